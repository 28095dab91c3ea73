//! The equations between masks and a proof, solved.
//!
//! The table of functions is special: its messages are fixed columns, so its constraints are linear
//! in the prover's cells. Once challenges are drawn, everything a proof shows of this table is a
//! linear function of its mask cells, plus a constant that depends on the witness:
//!
//! - its terminal;
//! - its columns at the queries, at ζ and at ω·ζ, and those of the batch's mask;
//! - its quotient's chunks, at the queries and at ζ;
//! - the siblings in the first folding layer, which is a combination of the above at points that
//!   were not queried, and of nothing else if the table is much taller than any other. Where it is not,
//!   they are not among the equations.
//!
//! So "could this witness have led to this proof?" is a question of linear algebra, with a certain
//! answer. The probability of a proof, given a witness, is the share of masks that lead to it: the
//! same for all witnesses for which there is a solution, because the solutions are those of one
//! homogeneous system, moved.
//!
//! The unknowns are the mask cells of the table and as many cells of the batch's mask as there are
//! equations about it; further ones can only add solutions. A mask that is left out is known to be 0.

use core::ops::Range;
use std::collections::HashSet;

use air::layout::Table;
use p3_field::{Field, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use prover::Mask;

use super::algebra::{
    D, Solved, basis, extend, horner, interpolate, interpolate_coset, limbs, solve,
};
use super::bench::{Of, Seen};
use super::guess::{Columns, Guess, Window};
use super::toy::{EF, F, TOY};

/// Polynomials of some base columns, by their numbers; the others are 0.
type Polynomials = Vec<(usize, Vec<F>)>;

/// A proof, and what it takes to say whose it may be.
pub struct Equations<'a> {
    seen: &'a Seen,
    guess: &'a Guess,
    index: usize,
    table: &'a Table,
    /// Base columns are numbered: M, P, L, the chunks, the batch's mask.
    starts: [usize; 6],
    /// Fixed columns on the coset, which is also the committed one.
    fixed: RowMajorMatrix<F>,
    /// Positions in the first folding layer beside the queried ones.
    siblings: Vec<usize>,
}

/// Parts of the columns' numbers.
const MAIN: usize = 0;
const PROJECTION: usize = 1;
const LOOKUP: usize = 2;
const CHUNKS: usize = 3;
const BATCH: usize = 4;

/// The table under test, and the number of its matrix in M.
fn functions(guess: &Guess) -> (usize, usize) {
    let tables = &guess.layout.tables;
    let index = tables.iter().position(|t| t.chip_name() == "functions");
    let index = index.expect("every layout has one");
    let with_main = |t: &&Table| t.committed.main > 0;
    (index, tables[..index].iter().filter(with_main).count())
}

/// Whether the first layer folds to the height of the next table, no further: then it is a combination
/// of this table's columns.
fn is_folded_alone(guess: &Guess, index: usize) -> bool {
    let tables = guess.layout.tables.iter().enumerate();
    let others = tables.filter(|&(t, _)| t != index);
    let tallest_other = others.map(|(_, t)| t.log_height).max();
    let joins = tallest_other.map(|h| h + TOY.max_log_arity);
    joins == Some(guess.layout.tables[index].log_height)
}

impl<'a> Equations<'a> {
    /// A proof, and a guess that supplies what is public.
    pub fn new(seen: &'a Seen, guess: &'a Guess) -> Self {
        let (index, _) = functions(guess);
        let table = &guess.layout.tables[index];
        let committed = table.committed;
        let widths = [
            committed.main,
            committed.projection * D,
            committed.lookup * D,
            committed.quotient * D,
            D,
        ];
        let mut starts = [0; 6];
        for (i, width) in widths.into_iter().enumerate() {
            starts[i + 1] = starts[i] + width;
        }
        let arity = 1 << TOY.max_log_arity;
        let beside = |&p: &usize| (p - p % arity..p - p % arity + arity).filter(move |&q| q != p);
        let siblings = match is_folded_alone(guess, index) {
            true => seen.positions.iter().flat_map(beside).collect(),
            false => Vec::new(),
        };
        Self {
            fixed: extend(&interpolate(&guess.setup.fixed[index])),
            siblings,
            seen,
            guess,
            index,
            table,
            starts,
        }
    }

    /// Whether no number is shown twice: no two queries share a sibling, none is a row behind
    /// another.
    pub fn is_spread(&self) -> bool {
        let positions = self.seen.positions.iter();
        let groups: HashSet<usize> = positions.clone().map(|p| p >> TOY.max_log_arity).collect();
        let h = self.table.log_height;
        let exponents: HashSet<usize> = positions.map(|&p| self.seen.exponent(h, p)).collect();
        let next = |e: &usize| (e + 2) % (2 << h);
        groups.len() == TOY.num_queries && exponents.iter().all(|e| !exponents.contains(&next(e)))
    }

    /// What witnesses could have led to this proof, if one mask was left out.
    pub fn solve(&self, witnesses: &[Guess], left_out: Option<Mask>) -> Solved {
        let shown = self.shown();
        let columns: Vec<Columns> = witnesses
            .iter()
            .map(|witness| witness.columns(self.seen).swap_remove(self.index))
            .collect();
        let unknowns: Vec<Vec<F>> = self
            .unknowns(&columns[0], left_out)
            .iter()
            .map(|polynomials| self.view(polynomials))
            .collect();
        let predicted: Vec<Vec<F>> = columns.iter().map(|c| self.predict(c)).collect();
        let rows = (0..shown.len()).map(|i| {
            let left = unknowns.iter().map(|view| view[i]);
            let right = predicted.iter().map(|view| shown[i] - view[i]);
            left.chain(right).collect()
        });
        solve(rows.collect(), unknowns.len())
    }

    /// Numbers shown of the table.
    pub fn count(&self) -> usize {
        self.numbers_of(self.starts[5]) + D * self.siblings.len() + D
    }

    /// Where the numbers of a column begin: at the queries, at ζ and perhaps at ω·ζ.
    fn numbers_of(&self, column: usize) -> usize {
        let both = self.starts[PROJECTION]..self.starts[CHUNKS];
        let twice = column.clamp(both.start, both.end) - both.start;
        column * (TOY.num_queries + D) + twice * D
    }

    /// What the proof shows, in the order of [`Self::view`], less what fixed columns add.
    fn shown(&self) -> Vec<F> {
        let opened = self.seen.opened(self.index);
        let (_, main) = functions(self.guess);
        let none = Vec::new();
        let parts = [
            (Of::Main, main, &opened.main, &none),
            (
                Of::Projection,
                self.index,
                &opened.projection,
                &opened.projection_next,
            ),
            (Of::Lookup, self.index, &opened.lookup, &opened.lookup_next),
            (Of::Quotient, self.index, &opened.quotient, &none),
            (
                Of::Projection,
                self.guess.layout.tables.len(),
                &self.seen.file.proof.mask,
                &none,
            ),
        ];
        let mut numbers = Vec::new();
        for (of, matrix, zeta, next) in parts {
            let rows: Vec<&[F]> = self.seen.rows(of, matrix).collect();
            for (c, value) in zeta.iter().enumerate() {
                numbers.extend(rows.iter().map(|row| row[c]));
                numbers.extend(limbs(&[*value]));
                numbers.extend(next.get(c).map_or(Vec::new(), |v| limbs(&[*v])));
            }
        }
        let layer = &self.seen.file.proof.pcs.commit_phase_openings[0].sibling_values;
        for (sibling, &position) in layer.concat().iter().zip(&self.siblings) {
            let row = self.fixed_at(position);
            let quotients = opened.fixed.iter().zip(row).zip(self.seen.batch.powers());
            let known: EF = quotients.map(|((&v, &f), power)| power * (v - f)).sum();
            let known = known * self.over(self.seen.zeta, position);
            numbers.extend(limbs(&[*sibling - known]));
        }
        numbers.extend(limbs(&[self.seen.file.proof.terminals[self.index]]));
        assert_eq!(numbers.len(), self.count());
        numbers
    }

    /// What a proof shows of polynomials: a linear map.
    fn view(&self, polynomials: &Polynomials) -> Vec<F> {
        let mut numbers = F::zero_vec(self.count());
        let mut siblings = EF::zero_vec(self.siblings.len());
        let mut terminal = EF::ZERO;
        let h = self.table.log_height;
        let blind = F::two_adic_generator(h).exp_u64(self.table.live_rows() as u64);
        let columns: Vec<Vec<F>> = polynomials.iter().map(|(_, p)| p.clone()).collect();
        let values = extend(&columns);
        for (i, (column, polynomial)) in polynomials.iter().enumerate() {
            let at = |position: usize| {
                values.values[self.seen.exponent(h, position) * columns.len() + i]
            };
            let mut here: Vec<F> = self.seen.positions.iter().map(|&p| at(p)).collect();
            for (z, power) in self.points(*column) {
                let opened = horner(polynomial, z);
                here.extend(limbs(&[opened]));
                for (sum, &p) in siblings.iter_mut().zip(&self.siblings) {
                    *sum += power * (opened - at(p)) * self.over(z, p);
                }
            }
            let start = self.numbers_of(*column);
            numbers[start..start + here.len()].copy_from_slice(&here);
            if let Some(l @ 0..D) = column.checked_sub(self.starts[PROJECTION]) {
                terminal += basis(l) * horner(polynomial, blind);
            }
        }
        let start = self.numbers_of(self.starts[5]);
        siblings.push(terminal);
        numbers[start..].copy_from_slice(&limbs(&siblings));
        numbers
    }

    /// Where a column is opened, and with what coefficient it enters the batch.
    fn points(&self, column: usize) -> Vec<(EF, EF)> {
        let fixed = self.table.widths.fixed;
        let power = |i: usize| self.seen.batch.exp_u64(i as u64);
        let zeta = self.seen.zeta;
        let next = zeta * F::two_adic_generator(self.table.log_height);
        // P and L are opened twice, and take as many powers again for the columns at ω·ζ. The mask of
        // the batch comes between them.
        let [p, l, q, mask] = [PROJECTION, LOOKUP, CHUNKS, BATCH].map(|part| self.starts[part]);
        let (first, second) = match column {
            c if c < p => (fixed + c, None),
            c if c < l => (fixed + c, Some(fixed + c + (l - p))),
            c if c < q => (fixed + c + (l - p) + D, Some(fixed + c + (q - p) + D)),
            c if c < mask => (fixed + c + (q - p) + D, None),
            c => (fixed + l + (l - p) + (c - mask), None),
        };
        let second = second.map(|i| (next, power(i)));
        [(zeta, power(first))].into_iter().chain(second).collect()
    }

    /// `1/(z − x)` at a position.
    fn over(&self, z: EF, position: usize) -> EF {
        (z - self.seen.point(self.table.log_height, position)).inverse()
    }

    fn fixed_at(&self, position: usize) -> &[F] {
        let width = self.fixed.width();
        let at = self.seen.exponent(self.table.log_height, position) * width;
        &self.fixed.values[at..at + width]
    }

    /// What a witness predicts without masks.
    fn predict(&self, columns: &Columns) -> Vec<F> {
        let parts = [&columns.main, &columns.projection, &columns.lookup];
        let own = parts.into_iter().flat_map(interpolate);
        let chunks = self.chunks(&self.quotient(&Coset::new(columns)));
        let mut view = self.view(&own.chain(chunks).enumerate().collect());
        let start = view.len() - D;
        for (number, limb) in view[start..].iter_mut().zip(limbs(&[columns.terminal])) {
            *number += limb;
        }
        view
    }

    /// The polynomials that each mask cell adds.
    fn unknowns(&self, columns: &Columns, left_out: Option<Mask>) -> Vec<Polynomials> {
        let coset = Coset::new(columns);
        let plain = self.quotient(&coset);
        let bands = self.table.bands.expect("the table hides");
        assert_eq!(bands.blank, 0, "fractions are free where counts are");
        let live = self.table.live_rows();
        let mut unknowns = Vec::new();
        for row in live..live + bands.uniform {
            let cell = self.lagrange(row);
            let values = extend(core::slice::from_ref(&cell)).values;
            let mut change = Vec::new();
            for column in 0..self.starts[CHUNKS] {
                if left_out == Some(self.mask_of(column, row == live)) {
                    continue;
                }
                let mut polynomials = vec![(column, cell.clone())];
                if self.is_read(column) {
                    // Base columns of one extension column act alike, up to a factor.
                    let limb = column
                        .checked_sub(self.starts[PROJECTION])
                        .map_or(0, |c| c % D);
                    if limb == 0 {
                        let quotient = self.quotient(&coset.with(column, &values));
                        let pairs = quotient.iter().zip(&plain);
                        change = pairs.map(|(&with, &plain)| with - plain).collect();
                    }
                    let change: Vec<EF> = change.iter().map(|&c| c * basis(limb)).collect();
                    let numbers = self.starts[CHUNKS]..;
                    polynomials.extend(numbers.zip(self.chunks(&change)));
                }
                unknowns.push(polynomials);
            }
        }
        if left_out != Some(Mask::Quotient) {
            unknowns.extend(self.quotient_masks());
        }
        if left_out != Some(Mask::Batch) {
            let about_it = D + TOY.num_queries + self.siblings.len();
            for row in 0..about_it {
                let cell = self.lagrange(row);
                let columns = self.starts[BATCH]..self.starts[5];
                unknowns.extend(columns.map(|c| vec![(c, cell.clone())]));
            }
        }
        unknowns
    }

    /// The mask that fills a column, on the first mask row or on others.
    fn mask_of(&self, column: usize, first: bool) -> Mask {
        let [p, l] = [PROJECTION, LOOKUP].map(|part| self.starts[part]);
        let sums = self.table.widths.lookup() - 1;
        match column {
            c if c < p => Mask::Main,
            c if c < p + D && first => Mask::Terminals,
            c if c < l => Mask::Projection,
            c if (c - l) / D == sums => Mask::Sums,
            _ => Mask::Fractions,
        }
    }

    /// Whether constraints read a column; those that only lengthen leaves are read by none.
    fn is_read(&self, column: usize) -> bool {
        let own = self.table.widths;
        let read = |part: usize, width: usize| -> Range<usize> {
            self.starts[part]..self.starts[part] + width
        };
        // Of P the cell that blinds the terminal.
        let parts = [
            read(MAIN, own.main),
            read(PROJECTION, D),
            read(LOOKUP, own.lookup() * D),
        ];
        parts.iter().any(|range| range.contains(&column))
    }

    /// The polynomial that is 1 on a row and 0 on the others.
    fn lagrange(&self, row: usize) -> Vec<F> {
        let n = self.table.height();
        let step = F::two_adic_generator(self.table.log_height).inverse();
        let coefficients = step
            .exp_u64(row as u64)
            .shifted_powers(F::from_usize(n).inverse());
        coefficients.take(n).collect()
    }

    /// What each coefficient of the quotient's masks adds to two neighbouring chunks.
    fn quotient_masks(&self) -> Vec<Polynomials> {
        let (n, stride) = (self.table.height(), self.table.quotient_stride());
        let monomial = |i: usize, c: F| {
            let mut polynomial = F::zero_vec(n);
            polynomial[i] = c;
            polynomial
        };
        let above = self.starts[CHUNKS]..self.starts[BATCH] - D;
        let coefficients = 0..self.table.quotient_mask;
        above
            .flat_map(|c| coefficients.clone().map(move |i| (c, i)))
            .map(|(c, i)| {
                let lower = (c, monomial(stride + i, F::ONE));
                vec![lower, (c + D, monomial(i, -F::ONE))]
            })
            .collect()
    }

    /// The quotient on the coset, for columns on the coset.
    fn quotient(&self, at: &Coset) -> Vec<EF> {
        let fold = self.guess.folder(self.seen, self.index);
        let size = 2 * self.table.height();
        let shift = F::GENERATOR.exp_power_of_2(self.table.log_height);
        // x^n takes two values on the coset.
        let inverses = [shift, -shift].map(|x_n| (x_n - F::ONE).inverse());
        let row = |matrix: &RowMajorMatrix<F>, i: usize| -> Range<usize> {
            let i = i % size;
            i * matrix.width()..(i + 1) * matrix.width()
        };
        let value = |i: usize| {
            // A row of the trace is two steps of the coset.
            let pair = |matrix: &'_ RowMajorMatrix<F>| [row(matrix, i), row(matrix, i + 2)];
            let window = Window {
                fixed: &self.fixed.values[row(&self.fixed, i)],
                main: &at.main.values[row(&at.main, i)],
                projection: pair(&at.projection).map(|r| &at.projection.values[r]),
                lookup: pair(&at.lookup).map(|r| &at.lookup.values[r]),
            };
            fold(&window) * inverses[i % 2]
        };
        (0..size).map(value).collect()
    }

    /// Cuts a quotient in chunks: their base columns.
    fn chunks(&self, quotient: &[EF]) -> Vec<Vec<F>> {
        let (n, stride) = (self.table.height(), self.table.quotient_stride());
        let columns = interpolate_coset(quotient);
        let cuts = [0..stride, stride..2 * stride, 2 * stride..2 * n];
        let chunk = |cut: Range<usize>| {
            columns.iter().map(move |column| {
                let mut chunk = column[cut.clone()].to_vec();
                chunk.resize(n, F::ZERO);
                chunk
            })
        };
        cuts.into_iter().flat_map(chunk).collect()
    }
}

/// A table's columns on the coset.
#[derive(Clone)]
struct Coset {
    main: RowMajorMatrix<F>,
    projection: RowMajorMatrix<F>,
    lookup: RowMajorMatrix<F>,
}

impl Coset {
    fn new(columns: &Columns) -> Self {
        let extend = |matrix| extend(&interpolate(matrix));
        Self {
            main: extend(&columns.main),
            projection: extend(&columns.projection),
            lookup: extend(&columns.lookup),
        }
    }

    /// With values added to one column, by its number.
    fn with(&self, mut column: usize, values: &[F]) -> Self {
        let mut changed = self.clone();
        let parts = [
            &mut changed.main,
            &mut changed.projection,
            &mut changed.lookup,
        ];
        for matrix in parts {
            let width = matrix.width();
            if column < width {
                let cells = matrix.values.iter_mut().skip(column).step_by(width);
                cells.zip(values).for_each(|(cell, &v)| *cell += v);
                break;
            }
            column -= width;
        }
        changed
    }
}
