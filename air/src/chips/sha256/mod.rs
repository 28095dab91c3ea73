//! # SHA-256: the digest of a hidden tensor
//!
//! The table hashes the elements of one tensor with SHA-256 (FIPS 180-4) and says two things on the
//! claims bus: it receives the tensor's projected values, and it sends the digest. Whoever knows
//! the digest then knows which tensor the rest of the proof is about, and nothing else about it.
//!
//! ## The message, byte by byte
//!
//! ```text
//!   message = salt (32 bytes, if the tensor is salted) ‖ x[0] ‖ x[1] ‖ … ‖ x[F·P − 1]
//! ```
//!
//! `x[f·P + p]` is feature `f` at position `p`. The tensor's range `[lo, hi]` fixes how an element
//! is written, the first line that fits:
//!
//! | range | bytes | encoding |
//! |---|---|---|
//! | `0 ≤ lo`, `hi ≤ 255` | 1 | unsigned |
//! | `−128 ≤ lo`, `hi ≤ 127` | 1 | two's complement |
//! | `0 ≤ lo`, `hi ≤ 65535` | 2 | unsigned, low byte first |
//! | `−32768 ≤ lo`, `hi ≤ 32767` | 2 | two's complement, low byte first |
//!
//! Other ranges have no digest. The digest is plain SHA-256 of the message: `sha256sum` of a file
//! of these bytes prints it. For one tensor shape the encoding is injective: every message has the
//! same length, the salt the same place, and every element its own bytes.
//!
//! ## Rows
//!
//! A block is 68 groups of four rows. Write the state of round `t` as two words, `A_t` and `E_t`
//! (FIPS 180-4's `a` and `e` after round `t`; `b, c, d` are the `A`s of the three rounds before, and
//! `f, g, h` the `E`s). Groups `t = −4 … −1` hold the chaining value, groups `0 … 63` a round each:
//!
//! ```text
//!   W_t = σ1(W_(t−2)) + W_(t−7) + σ0(W_(t−15)) + W_(t−16)                          t ≥ 16
//!   E_t = A_(t−4) + E_(t−4) + Σ1(E_(t−1)) + Ch(E_(t−1), E_(t−2), E_(t−3)) + K_t + W_t
//!   A_t = E_t − A_(t−4) + Σ0(A_(t−1)) + Maj(A_(t−1), A_(t−2), A_(t−3))
//!   A_i, E_i of the next block's groups i = −4 … −1:  A_i + A_(i+64), E_i + E_(i+64)
//! ```
//!
//! all modulo `2^32`. Four groups after the last block hold the digest, as a next block's chaining
//! value: `t = −4` is `(H7, H3)`, then `(H6, H2)`, `(H5, H1)`, `(H4, H0)`. The rows of a group are
//! `W`, `E`, `A` and `M`, whose word is `Maj(A_t, A_(t−1), A_(t−2))`.
//!
//! Rows of different groups meet in sums only. What is not linear is local to a row: the rotations
//! of one word, `Ch` as `g + e·(f − g)` with the bits of `f − g` in the `E` row, and `Maj` through
//! `a + b + c = parity + 2·maj`. So all relations between rows are linear in local terms, and one
//! random combination checks all of them: no row repeats the state or the message window.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `x[32]` | bits of the row's word |
//! | main | `y[32]` | XOR of the first two rotations (`σ0`, `Σ1`, `Σ0`); on `M` rows the parity |
//! | main | `z[32]` | `W`: XOR of σ1's rotations; `E`: bits of `E_(t−1) − E_(t−2)`; else 0 |
//! | main | `carry_lo[3]`, `carry_hi[3]` | carries of the row's addition, by halves of 16 bits |
//! | main | `element` | on row `b` of a group, the number in slot `b` of `W_t` |
//! | fixed | `is_w`, `is_e`, `is_a`, `is_m` | the row's position in its group |
//! | fixed | `k_lo`, `k_hi` | its constant: `K_t`, the initial state, a word of padding |
//! | fixed | `free`, `tail` | words with message bytes; the one where they end |
//! | fixed | 15 flags | which additions below a word takes part in, see [`columns::fixed`] |
//! | fixed | `same`, `next`, `finish`, `taken` | the fold's, see [`crate::chips::hashed`] |
//! | fixed | `digest` | rows that hold a word of the digest |
//! | projection | `link` | the links of the rows above |
//! | projection | `fold` | the fold of the elements above; below `taken`, of the digest |
//!
//! ## Constraints
//!
//! For each bit `i`, with `a ⊕ b = a + b − 2ab` and `x[i]` read modulo 32:
//!
//!   1. `x_bool`      `live·x(x − 1) = 0`                                                deg 3
//!   2. `y_pin`       `is_w·(y − x[i+7] ⊕ x[i+18]) + is_e·(y − x[i+6] ⊕ x[i+11])`
//!      `+ is_a·(y − x[i+2] ⊕ x[i+13]) + is_m·y(y − 1) = 0`                              deg 3
//!   3. `z_pin`       `is_w·(z − x[i+17] ⊕ x[i+19]) + (is_a + is_m)·z = 0`               deg 3
//!   4. `carry`       `(live − idle)·c(c − 1) + idle·c = 0`, `idle = is_m + free`        deg 3
//!   5. `tail`        `tail·(low bytes of x − 0x80…) = 0`                                deg 2
//!   6. `link_start`  `first·link = 0`                                                   deg 2
//!   7. `link`        `step·link' − live·ρ·link − C = 0`                                 deg 3
//!   8. `fold_start`  `first·fold = 0`                                                   deg 2
//!   9. `fold`        `after·fold' − before·fold − element_term = 0`                     deg 2
//!
//! `C` is a row's part in the links. Row `r` has 35 of them, each of which must be 0:
//!
//! | link | meaning |
//! |---|---|
//! | `σ^0`, `σ^1` | halves of the row's addition: `x_lo + 2^16·c_lo = Σ lo`, `x_hi + 2^16·c_hi = Σ hi + c_lo`; absent on `M` and `free` rows |
//! | `σ^(2+i)` | `M`: `y[i] + 2·x[i]` is the sum of bit `i` of `A_t, A_(t−1), A_(t−2)`; `E`: `z[i]` is the difference of bit `i` of `E_(t−1), E_(t−2)` |
//! | `σ^34` | `element` is the number in its slot |
//!
//! `C` holds the row's own terms times `ρ^272` and, negated, what it adds to the links of the row
//! `k` rows below times `ρ^(272−k)`; 272 rows are one block. Horner's rule in ρ then gives every
//! link of row `r` the monomial `ρ^(272+R−1−r)·σ^l`, wherever its terms come from. On the last row
//! `step = 0`: there `link` says that the sum of all links is 0.
//!
//! ## Buses
//!
//! `CLAIM`: on the `taken` row receives `(kind, tensor, fold)`: the elements, in the place of the
//! verifier; on the last row sends `(Digest, tensor, fold)`, see [`digest_value`].
//!
//! ## Padding
//!
//! All fixed columns are 0, hence every constraint, whatever the cells.
//!
//! ## Soundness
//!
//! - Links. Let `L(r, l)` be link `l` of row `r`: a function of main and fixed columns, which are
//!   committed before σ and ρ are drawn. Constraints 6 and 7 say
//!   `Σ_(r,l) L(r, l)·ρ^(272+R−1−r)·σ^l = 0`; exponents are distinct, so by Schwartz–Zippel every
//!   `L(r, l) = 0` except with probability `(R + 271 + 34)/|EF|` ([`Sha256Air::link_degree`]).
//!   A contribution never reaches beyond the last row: its flag is 0 there.
//! - `x`: bits by 1. On `free` rows they are the message, which is the witness; on other `W`, `E`
//!   and `A` rows the addition fixes them: a half of the sum is an integer between −65 536 and
//!   6·65 535 + 5 = 393 215 (`A` rows: between −65 536 and 196 607), and `x_half + 2^16·c` with
//!   `c ∈ [−1, 7]` lies in `[−2^16, 2^19)`: both sides are far below `p/2`, so they are equal as
//!   integers, and `x_half < 2^16` is the remainder, `c` the quotient. Three bits hold every
//!   quotient: at most 5, and on `A` rows −1 to 2, stored as 0 to 3. On `M` rows `y + 2x` is a sum
//!   of three bits with `x` and `y` boolean: they are its binary digits.
//! - `y`, `z`: fixed by 2, 3 or, on `E` rows, by a link whose two sides are single cells.
//! - `carry`: with `x` as above; 0 on idle rows. `element`: by its link, on every live row.
//! - Padding: `0x80`, zeros and length are constants of `k` or, in the word shared with message
//!   bytes, pinned by 5. The number of blocks is the number of rows.
//! - Salt bytes are 32 free bytes: bits, like all of the message.
//! - Elements: 8 or 16 bits each, of one sign convention: no residue has two encodings. Range is
//!   not checked here but by the table that sends the claim: equal projections mean equal elements.
//!   The fold gives element `(f, p)` its own exponents of ρ and σ, the same as everywhere else; a
//!   byte of salt or padding has neither `same` nor `next` and enters nothing.
//! - `fold`: fixed by 8 and 9 from row to row, except where σ or ρ is 0 (`2/|EF|`).
//!
//! ## Layouts compared
//!
//! Main, projection and LogUp cells with extension degree 5, a cell at 40 ns, a column (fixed ones
//! included) at 10 µs; 784 one-byte elements, which are 13 blocks:
//!
//! | layout | rows | columns, fixed | cells, padded | cost | bytes per proof |
//! |---|---|---|---|---|---|
//! | one round a row, state and window repeated | 832 → 1024 | 510, 10 | 0.52 M | 26 ms | 310 kB |
//! | one round a row, links | 888 → 1024 | 358, 30 | 0.37 M | 19 ms | 230 kB |
//! | **four rows a round, links** | 3552 → 4096 | 118, 32 | 0.48 M | 21 ms | 90 kB |
//! | six rows a round, links | 5328 → 8192 | 87, 34 | 0.71 M | 30 ms | 73 kB |
//!
//! With 300 rows of masks the second line needs 2048 rows and costs 33 ms, the third stays.
//!
//! ## References
//!
//! FIPS 180-4. The state as two sequences `A`, `E`: Mendel, Nad and Schläffer, ASIACRYPT 2011, §2.

pub mod columns;
mod hash;
mod link;
mod trace;

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

pub use self::hash::{
    DIGEST_BYTES, SALT_BYTES, Width, blocks, digest, digest_value, hash_blocks, message,
};

use self::columns::{fixed, link as links, main, projection, shift};
use self::link::{BIG_0, BIG_1, SMALL_0, SMALL_1, contribution, number};
use super::hashed::{FoldFactors, FoldFlags, FoldStep, HashError, HashedTensor};
use super::{Air, Widths, small};
use crate::builder::{AirBuilder, Challenges, Element, PowerCounts, Row, engine};
use crate::bus::{Bus, ClaimKind};

/// Degree in σ of the claim on a digest: sixteen half-words.
const DIGEST_DEGREE: usize = 15;

/// The chip of one hashed tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256Air {
    /// The tensor.
    pub tensor: HashedTensor,
    /// How its elements are written.
    pub width: Width,
}

impl Sha256Air {
    /// The chip that hashes `tensor`.
    pub const fn new(tensor: HashedTensor) -> Result<Self, HashError> {
        match Width::of(tensor.range) {
            Some(width) => Ok(Self { tensor, width }),
            None => Err(HashError::NoEncoding {
                range: tensor.range,
            }),
        }
    }

    /// How many powers of the challenges the chip uses.
    pub fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: links::COUNT.max(self.tensor.positions),
            rho: shift::CHAIN + 1,
        }
    }

    /// Degree in the challenges of the polynomial that says all links hold.
    pub const fn link_degree(&self) -> usize {
        self.num_rows() + shift::CHAIN - 1 + links::COUNT - 1
    }

    /// Constraints 1 to 5, bit by bit.
    fn local_constraints<E: PrimeCharacteristicRing + Copy>(
        &self,
        row: &Row<'_, E, impl Copy>,
    ) -> Vec<E> {
        let f = |column: usize| row.fixed[column];
        let bits = |first: usize| &row.main[first..first + 32];
        let (x, y, z) = (bits(main::X), bits(main::Y), bits(main::Z));
        let (is_w, is_e) = (f(fixed::IS_W), f(fixed::IS_E));
        let (is_a, is_m) = (f(fixed::IS_A), f(fixed::IS_M));
        let bool_of = |b: E| b * (b - E::ONE);
        let mut values = Vec::with_capacity(NAMES.len());
        values.extend(x.iter().map(|&b| row.live() * bool_of(b)));
        values.extend((0..32).map(|i| {
            is_w * (y[i] - SMALL_0.paired(x, i))
                + is_e * (y[i] - BIG_1.paired(x, i))
                + is_a * (y[i] - BIG_0.paired(x, i))
                + is_m * bool_of(y[i])
        }));
        values.extend((0..32).map(|i| is_w * (z[i] - SMALL_1.paired(x, i)) + (is_a + is_m) * z[i]));
        let idle = is_m + f(fixed::FREE);
        let carries = &row.main[main::CARRY_LO..main::CARRY_HI + main::CARRY_BITS];
        values.extend(
            carries
                .iter()
                .map(|&c| (row.live() - idle) * bool_of(c) + idle * c),
        );
        // The last word of the message: its low bytes are 0x80 and zeros.
        let low_bits = 8 * (4 - self.message_bytes() % 4);
        let padding = E::TWO.exp_u64(low_bits as u64 - 1);
        values.push(f(fixed::TAIL) * (number(&x[..low_bits]) - padding));
        values
    }
}

/// The fold's transition on one row: elements, and the words of the digest.
fn fold_step<E, X, EF>(
    row: &Row<'_, E, X>,
    factors: &FoldFactors<EF>,
    challenges: &Challenges<EF>,
) -> FoldStep<X>
where
    E: PrimeCharacteristicRing + Copy,
    EF: Field,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    let f = |column: usize| row.fixed[column];
    let flags = FoldFlags {
        same: f(fixed::SAME),
        next: f(fixed::NEXT),
        finish: f(fixed::FINISH),
        taken: f(fixed::TAKEN),
    };
    let mut step = FoldStep::new(factors, row.step(), &flags, row.main[main::ELEMENT]);
    // fold' = σ²·fold + σ·x_hi + x_lo
    let (sigma, is_digest) = (challenges.sigma_powers[1], f(fixed::DIGEST));
    let (lo, hi) = row.main[main::X..main::X + 32].split_at(16);
    step.before += X::from(sigma.square() - EF::ONE) * is_digest;
    step.element += X::from(sigma) * (is_digest * number(hi)) + is_digest * number(lo);
    step
}

const NAMES: [&str; 107] = {
    let mut names = ["x_bool"; 107];
    let mut i = 32;
    while i < 102 {
        names[i] = match i {
            32..64 => "y_pin",
            64..96 => "z_pin",
            _ => "carry",
        };
        i += 1;
    }
    names[102] = "tail";
    names[103] = "link_start";
    names[104] = "link";
    names[105] = "fold_start";
    names[106] = "fold";
    names
};

impl Air for Sha256Air {
    fn name(&self) -> &'static str {
        "sha256"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::WIDTH,
            weight: 0,
            main: main::WIDTH,
            projection: projection::WIDTH,
            messages: 1,
            constraints: NAMES.len(),
        }
    }

    fn rows(&self) -> usize {
        self.num_rows()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let values = self.local_constraints(&builder.row());
        for (name, value) in NAMES.iter().zip(values) {
            builder.assert_zero(name, value);
        }
        let (row, challenges) = (builder.row(), builder.challenges());
        let (first, step, live) = (row.fixed[engine::FIRST], row.step(), row.live());
        let (link, fold) = (
            row.projection[projection::LINK],
            row.projection[projection::FOLD],
        );
        let link_next = row.projection_next[projection::LINK];
        let fold_next = row.projection_next[projection::FOLD];
        let rho = B::ExprEF::from(challenges.rho());
        let own = contribution(&row, self.width, challenges);
        let factors = self.tensor.fold_factors(challenges);
        let turn: FoldStep<B::ExprEF> = fold_step(&row, &factors, challenges);

        // step·link' = ρ·live·link + C
        builder.assert_zero_ext("link_start", link * first);
        builder.assert_zero_ext("link", link_next * step - link * live * rho - own);
        // after·fold' = before·fold + element
        builder.assert_zero_ext("fold_start", fold * first);
        builder.assert_zero_ext(
            "fold",
            fold_next * turn.after - fold * turn.before - turn.element,
        );
        self.eval_claims(builder);
    }

    /// The links, the fold's two bad values, and the digest's claim.
    fn projection_degree(&self) -> usize {
        self.link_degree() + 2 + DIGEST_DEGREE
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        self.fixed_columns()
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "x_bool" | "tail" => "x",
            "y_pin" => "y, x",
            "z_pin" => "z, x",
            "carry" => "carry_lo, carry_hi",
            "link_start" => "link",
            "link" => "link, x, y, z, carry_lo, carry_hi, element",
            "fold_start" => "fold",
            _ => "fold, element",
        }
    }
}

impl Sha256Air {
    /// Receives the tensor's claim on the `taken` row, sends the digest's on the last.
    fn eval_claims<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let (taken, last) = (row.fixed[fixed::TAKEN], row.fixed[engine::LAST]);
        let fold = row.projection[projection::FOLD];
        let kind = |kind: ClaimKind| B::Expr::from(B::F::from_u8(kind as u8));
        let tensor = B::Expr::from(small::<B::F>(self.tensor.tensor));
        let claim = [
            Element::Base(taken * kind(self.tensor.kind) + last * kind(ClaimKind::Digest)),
            Element::Base((taken + last) * tensor),
            Element::Ext(fold),
        ];
        builder.message(Bus::Claim, last - taken, &claim);
    }
}
