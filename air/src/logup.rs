//! # LogUp
//!
//! Every table proves `terminal = Σ_rows Σ_messages count/denominator`; the verifier checks that
//! the terminals and its own messages sum to zero.
//!
//! ## Columns (extension)
//!
//! Messages are taken in pairs. `f_i` holds the two fractions of pair `i`; `acc`, the last column,
//! the running sum over the rows *above*. An odd message has no column: its fraction is merged
//! into the step of `acc`.
//!
//! ## Constraints (all of degree ≤ 3, `d` linear, `m` linear)
//!
//!   1. `pin_i`   every row   `f_i·d_1·d_2 − m_1·d_2 − m_2·d_1 = 0`
//!   2. `start`   first row   `first·acc = 0`
//!   3. `step`    live pairs  `step·(acc' − acc − Σf_i) = 0`, or with an odd message `(d, m)`:
//!      `step·((acc' − acc − Σf_i)·d − m) = 0`
//!   4. `last`    last live   the same with the terminal in place of `acc'`
//!
//! ## Padding
//!
//! Rows with `live = 0` are never summed: `step` and `last` are fixed columns.
//!
//! ## Blinding
//!
//! A terminal in clear is a function of the witness. On a table with mask rows the last live row is
//! followed by one whose first projection cell `r` is random, and `last` reads `terminal − r` for
//! the terminal; an honest prover makes the `r` of all tables add up to 0. A dishonest one gains
//! nothing: `r` is committed before `α` is drawn, so `Σ r = c` is a constant, and a sum of fractions
//! that is not the zero function takes the value `c` for at most as many `α` as it has poles.
//!
//! ## Soundness
//!
//! `d` is nonzero on live rows except with probability (number of messages)/|EF|, since `α` is
//! drawn after everything in a message is committed; then `pin` determines `f_i`, and `start`,
//! `step`, `last` determine the terminal. The same `live` column multiplies `α` in every
//! denominator, and it is 1 wherever `step` or `last` reads an `f_i`: a fraction can only be free on
//! a row that is not summed. The sum of fractions is the zero rational function iff every message
//! has total count 0 mod p (eprint 2022/1530, Lemma 5); counts add up to less than p because
//! messages × height is bounded by the layout.

use alloc::vec::Vec;

use p3_field::{Algebra, Field};

/// Number of LogUp columns of a table with this many messages per row.
pub const fn lookup_width(messages: usize) -> usize {
    if messages == 0 { 0 } else { messages / 2 + 1 }
}

/// Number of constraints LogUp adds to a table with this many messages per row.
pub const fn lookup_constraints(messages: usize) -> usize {
    if messages == 0 { 0 } else { messages / 2 + 3 }
}

/// The LogUp columns at one row.
#[derive(Clone, Copy, Debug)]
pub struct LookupRow<'a, X> {
    /// `f_0, f_1, …, acc`; empty for a table without messages.
    pub local: &'a [X],
    /// The same at the next row; only `acc` is read.
    pub next: &'a [X],
    /// The table's terminal, [blinded](crate::layout::Table::blinded).
    pub terminal: X,
}

/// The engine's row selectors.
#[derive(Clone, Copy, Debug)]
pub struct Selectors<E> {
    /// 1 on the first row.
    pub first: E,
    /// 1 where this row and the next are live.
    pub step: E,
    /// 1 on the last live row.
    pub last: E,
}

/// Turns a row's messages into LogUp constraints.
#[derive(Debug)]
pub struct LogUpFolder<'a, E, X> {
    columns: LookupRow<'a, X>,
    pending: Option<(X, E)>,
    next_column: usize,
    sum: X,
}

impl<'a, E: Copy, X: Algebra<E> + Copy> LogUpFolder<'a, E, X> {
    /// A folder that has seen no message.
    pub const fn new(columns: LookupRow<'a, X>) -> Self {
        Self {
            columns,
            pending: None,
            next_column: 0,
            sum: X::ZERO,
        }
    }

    /// Takes a message. Every second one yields a `pin` constraint.
    pub fn message(&mut self, d: X, count: E) -> Option<X> {
        let Some((d1, m1)) = self.pending.take() else {
            self.pending = Some((d, count));
            return None;
        };
        let f = self.columns.local[self.next_column];
        self.next_column += 1;
        self.sum += f;
        // f·d1·d2 = m1·d2 + m2·d1
        Some(f * d1 * d - d * m1 - d1 * count)
    }

    /// `start`, `step` and `last`, for a table that has messages.
    pub fn finish(&self, selectors: Selectors<E>) -> impl Iterator<Item = X> + use<E, X> {
        let width = self.columns.local.len();
        let constraints = (width > 0).then(|| {
            // A chip that states fewer messages than it declares would leave fractions free.
            assert_eq!(width, self.next_column + 1);
            let acc = self.columns.local[width - 1];
            let through = |to: X| {
                let step = to - acc - self.sum;
                match self.pending {
                    None => step,
                    Some((d, m)) => step * d - X::from(m),
                }
            };
            [
                acc * selectors.first,
                through(self.columns.next[width - 1]) * selectors.step,
                through(self.columns.terminal) * selectors.last,
            ]
        });
        constraints.into_iter().flatten()
    }
}

/// Fills the LogUp columns of a table from the messages of its live rows.
///
/// `messages` holds `(denominator, count)` of every live row, row after row, `per_row` each.
/// Returns the columns, row-major with [`lookup_width`] columns and `height` rows (rows beyond the
/// live ones are zero), and the terminal.
pub fn fill_columns<F, EF>(messages: &[(EF, F)], per_row: usize, height: usize) -> (Vec<EF>, EF)
where
    F: Field,
    EF: p3_field::ExtensionField<F>,
{
    let width = lookup_width(per_row);
    let mut columns = EF::zero_vec(width * height);
    if per_row == 0 {
        return (columns, EF::ZERO);
    }
    let denominators: Vec<EF> = messages.iter().map(|m| m.0).collect();
    let inverses = p3_field::batch_multiplicative_inverse(&denominators);
    let mut acc = EF::ZERO;
    for (row, (messages, inverses)) in columns.chunks_exact_mut(width).zip(
        messages
            .chunks_exact(per_row)
            .zip(inverses.chunks_exact(per_row)),
    ) {
        let mut fractions = messages.iter().zip(inverses).map(|(m, inv)| *inv * m.1);
        row[width - 1] = acc;
        for f in &mut row[..width - 1] {
            // Two messages a column; an odd one has none.
            *f = fractions.next().unwrap_or(EF::ZERO) + fractions.next().unwrap_or(EF::ZERO);
            acc += *f;
        }
        acc += fractions.sum::<EF>();
    }
    (columns, acc)
}
