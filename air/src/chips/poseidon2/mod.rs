//! # Poseidon2: the digest of a hidden tensor, cheaply
//!
//! The table hashes the elements of one tensor with a Poseidon2 sponge over the base field (eprint
//! 2023/323) and says two things on the claims bus: it receives the tensor's projected values, and
//! it sends the digest. It costs a fraction of what SHA-256 does; the digest is for other proofs
//! and for software that knows Poseidon2, not for `sha256sum`.
//!
//! ## The hash, element by element
//!
//! The permutation is Poseidon2 over BabyBear at width 16: S-box `x^7`, four external rounds, 13
//! internal ones, four external ones, with the round constants and matrices of
//! `p3_baby_bear::default_babybear_poseidon2_16`. The sponge has rate 8 and capacity 8:
//!
//! ```text
//!   lane       0 … 7    8        9               10                   11 … 15
//!   start      0        "prvn"   number F·P      1 if salted, else 0   0
//! ```
//!
//! Each block is added to lanes 0 to 7, then the state is permuted. If the tensor is salted the
//! first block is the salt, eight uniform field elements. Then come the elements `x[0], x[1], …` in
//! flat order (`x[f·P + p]` is feature `f` at position `p`), each as its residue modulo p (−1 is
//! p − 1), eight a block; the last block is filled up with zeros, and a tensor without elements or
//! salt is one block of zeros. The digest is lanes 0 to 7 in the end, eight numbers below p. The
//! number of elements and the salt flag are part of the start, so for one shape, and between
//! shapes of different size, different tensors are different sequences of blocks. `"prvn"` is
//! `0x7072766e`.
//!
//! ## Rows
//!
//! A permutation is nine rows: an external round a row, sixteen S-boxes each, and all thirteen
//! internal rounds on row 4, one S-box each in lanes 0 to 12. Between two S-boxes everything is
//! linear, so the input of every S-box is a linear function of S-box outputs on this row and the one
//! or two above, and no state is ever written down.
//!
//! What a permutation absorbs lies, one element a row, on the first eight rows of the group *above*
//! it. The first group carries the first block only: the permutation on its rows, of zeros, is
//! determined like any other and read by nobody. One row follows the last permutation.
//!
//! ## Columns (per lane `i`: `[i]`)
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `x[i]` | input of an S-box, round constant included |
//! | main | `square[i]`, `cube[i]`, `sixth[i]` | its powers; the output is `sixth·x` |
//! | main | `element` | on row `j < 8` of a group, lane `j` of the block below |
//! | fixed | `position[0..9]` | the row's position in its group |
//! | fixed | `start`, `chain`, `digest` | where a state starts, goes on, and is the digest |
//! | fixed | `slot` | rows with salt or an element |
//! | fixed | `same`, `next`, `finish`, `taken` | the fold's, see [`crate::chips::hashed`] |
//! | projection | `link` | the links of the rows above |
//! | projection | `fold` | the fold of the elements above; below `taken`, of the digest |
//!
//! ## Constraints
//!
//!   1. `square`      `live·(square − x²) = 0`                                           deg 3
//!   2. `cube`        `live·(cube − square·x) = 0`                                       deg 3
//!   3. `sixth`       `live·(sixth − cube²) = 0`                                         deg 3
//!   4. `element`     `(live − slot)·element = 0`                                        deg 2
//!   5. `link_start`  `first·link = 0`                                                   deg 2
//!   6. `link`        `step·link' − live·ρ·link − C = 0`                                 deg 3
//!   7. `fold_start`  `first·fold = 0`                                                   deg 2
//!   8. `fold`        `after·fold' − before·fold − element_term = 0`                     deg 3
//!
//! Link `i` of a row says that `x[i]` is its round constant (0 in unused lanes and on the last row)
//! plus what the linear layers make of the S-box outputs, elements and initial state above. `C` is
//! a row's part in all links: its own terms times `ρ^9·σ^i`, and what it adds to link `i` of the
//! row `k` rows below, negated, times `ρ^(9−k)·σ^i`. Horner's rule in ρ gives link `i` of row `r`
//! the monomial `ρ^(9+R−1−r)·σ^i`. On the last row `step = 0`: there `link` says that the sum of
//! all links is 0.
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
//! - Links. Link `i` of row `r` is a function of main and fixed columns, which are committed before
//!   σ and ρ are drawn. Constraints 5 and 6 say that the polynomial with these coefficients is 0 at
//!   (σ, ρ); exponents are distinct, so all links are 0 except with probability
//!   `(R + 8 + 15)/|EF|` ([`Poseidon2Air::link_degree`]).
//! - `x`, powers: from row to row by the links and 1 to 3; there is no freedom once the elements
//!   are given. All is arithmetic in the field, nothing can wrap.
//! - `element`: 0 by 4 where it is neither salt nor an element: padding is zeros. A salt element is
//!   any field element. Range is not checked here but by the table that sends the claim: equal
//!   projections mean equal residues, and a range of at most `2^16` values has one residue each.
//! - `fold`: as in [`crate::chips::hashed`], `2/|EF|`. Salt has neither `same` nor `next`.
//! - Outputs of the last permutation reach the digest only: its row has `digest`, not `chain`.
//!
//! ## Layouts compared
//!
//! As for [SHA-256](super::sha256), 784 elements, which are 98 permutations of 141 S-boxes:
//!
//! | layout | rows | columns, fixed | cells, padded | cost | bytes per proof |
//! |---|---|---|---|---|---|
//! | a permutation a row | 99 → 128 | 588, 14 | 0.08 M | 9 ms | 360 kB |
//! | a round a row | 2080 → 4096 | 80, 33 | 0.33 M | 14 ms | 68 kB |
//! | **nine rows a permutation** | 892 → 1024 | 80, 21 | 0.08 M | 4 ms | 61 kB |
//! | eight lanes, 18 rows | 1784 → 2048 | 48, 30 | 0.10 M | 5 ms | 47 kB |
//!
//! ## References
//!
//! Poseidon2: eprint 2023/323. Sponges: Bertoni et al., *Cryptographic sponge functions*, 2011.

pub mod columns;
mod constants;
mod hash;
mod link;
mod trace;

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

pub use self::hash::{DOMAIN, blocks, digest, digest_value, hash_blocks, initial_state, permute};

use self::columns::{fixed, main, projection};
use self::link::{LONGEST_SHIFT, Weights, dot, outputs};
use super::hashed::{FoldFactors, FoldFlags, FoldStep, HashedTensor};
use super::{Air, Widths, small};
use crate::builder::{AirBuilder, Element, PowerCounts, Row, engine};
use crate::bus::{Bus, ClaimKind};

/// Lanes of the state.
pub const WIDTH: usize = 16;
/// Lanes a block is added to; also the length of salts and digests.
pub const RATE: usize = 8;
/// External rounds, half of them before the internal ones.
pub const EXTERNAL_ROUNDS: usize = 8;
/// Internal rounds.
pub const INTERNAL_ROUNDS: usize = 13;

/// Degree in σ of the claim on a digest.
const DIGEST_DEGREE: usize = RATE - 1;

/// The chip of one hashed tensor. The base field must be BabyBear: the constants are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poseidon2Air {
    /// The tensor.
    pub tensor: HashedTensor,
}

impl Poseidon2Air {
    /// How many powers of the challenges the chip uses.
    pub fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: WIDTH.max(self.tensor.positions),
            rho: LONGEST_SHIFT + 1,
        }
    }

    /// Degree in the challenges of the polynomial that says all links hold.
    pub const fn link_degree(&self) -> usize {
        self.num_rows() + LONGEST_SHIFT - 1 + WIDTH - 1
    }

    /// Constraints 1 to 4.
    fn local_constraints<E: PrimeCharacteristicRing + Copy>(row: &Row<'_, E, impl Copy>) -> Vec<E> {
        let live = row.live();
        let cell = |first: usize, i: usize| row.main[first + i];
        let mut values = Vec::with_capacity(NAMES.len());
        values
            .extend((0..WIDTH).map(|i| live * (cell(main::SQUARE, i) - cell(main::X, i).square())));
        values.extend(
            (0..WIDTH)
                .map(|i| live * (cell(main::CUBE, i) - cell(main::SQUARE, i) * cell(main::X, i))),
        );
        values.extend(
            (0..WIDTH).map(|i| live * (cell(main::SIXTH, i) - cell(main::CUBE, i).square())),
        );
        values.push((live - row.fixed[fixed::SLOT]) * row.main[main::ELEMENT]);
        values
    }

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

/// The fold's transition on one row: elements, and the digest.
fn fold_step<E, X, EF>(
    row: &Row<'_, E, X>,
    factors: &FoldFactors<EF>,
    weights: &Weights<EF>,
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
    // fold' = fold + Σ_(i<8) σ^i·(M·y)_i, where fold = 0
    step.element += dot::<E, X, EF>(&weights.digest, &outputs(row)) * f(fixed::DIGEST);
    step
}

const NAMES: [&str; 53] = {
    let mut names = ["square"; 53];
    let mut i = WIDTH;
    while i < 3 * WIDTH {
        names[i] = if i < 2 * WIDTH { "cube" } else { "sixth" };
        i += 1;
    }
    names[48] = "element";
    names[49] = "link_start";
    names[50] = "link";
    names[51] = "fold_start";
    names[52] = "fold";
    names
};

impl Air for Poseidon2Air {
    fn name(&self) -> &'static str {
        "poseidon2"
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
        let values = Self::local_constraints(&builder.row());
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
        let weights = Weights::new::<B::F>(self, challenges);
        let own: B::ExprEF = weights.contribution(&row);
        let factors = self.tensor.fold_factors(challenges);
        let turn: FoldStep<B::ExprEF> = fold_step(&row, &factors, &weights);

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
            "square" => "square, x",
            "cube" => "cube, square, x",
            "sixth" => "sixth, cube",
            "element" => "element",
            "link_start" => "link",
            "link" => "link, x, sixth, element",
            "fold_start" => "fold",
            _ => "fold, element, x, sixth",
        }
    }
}
