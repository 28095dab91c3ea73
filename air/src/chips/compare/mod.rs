//! # Compare: facts about a hidden tensor
//!
//! One row is one feature of one tensor, its positions side by side in lanes. The table receives the
//! tensor's claim, so its `x` are the tensor's, and compares each of them with something:
//!
//! - [`Rule::Bounds`]: `lo ≤ x ≤ hi`, with `lo` and `hi` from the statement;
//! - [`Rule::Leading`]: `x ≥ m` for the features the statement names and `x ≤ m` for all others, with
//!   a hidden `m` for each position. So no other feature exceeds a named one.
//!
//! What is from the statement stands in fixed columns, which the verifier evaluates itself.
//!
//! ## Columns (per lane `p`: `[p]`)
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `x[p]` | the feature's value |
//! | main | `m[p]` | the threshold, the same on all rows; `Leading` only |
//! | main | `d[p][c][i]` | limbs of a difference, lowest first, [`LIMB_BITS`] bits each but the last |
//! | fixed | `real` | 1 on rows of features |
//! | fixed | `lo`, `hi` | the feature's interval; `Bounds` only |
//! | fixed | `sign[p]` | 1 if the feature leads at position `p`, else −1; `Leading` only |
//! | projection | `fold` | the features above, projected |
//! | projection | `level` | `Σ_p σ^p m[p]`; `Leading` only |
//!
//! ## Constraints
//!
//! With `A = Σ_p σ^p x[p]` and `D = Σ_i 2^(8i)·d[i]`:
//!
//!   1. `fold_start`  `first·fold = 0`                                                deg 2
//!   2. `fold`        `step·fold' − ρ·step·fold − real·A = 0`, of an input             deg 2
//!   3. `fold`        `ρ·step·fold' − step·fold − ρ·real·A = 0`, of an output          deg 2
//!   4. `below`       `real·(x[p] − D_0) − lo = 0`                                    deg 2
//!   5. `above`       `hi − real·(x[p] + D_1) = 0`                                    deg 2
//!   6. `level_step`  `step·(level' − level) = 0`                                     deg 2
//!   7. `level`       `real·(level − Σ_p σ^p m[p]) = 0`                               deg 2
//!   8. `distance`    `sign[p]·(x[p] − m[p]) − real·D_0 = 0`                          deg 2
//!
//! 2 or 3 by the tensor; 4 and 5 with `Bounds`, 6 to 8 with `Leading`.
//!
//! ## Buses
//!
//! `CLAIM`: on the last row, below all features, receives `(kind, tensor, fold)`, for an output
//! `ρ^(F−1)·fold`. `RANGE`: receives `(bits_i, d[i])`, `real` times.
//!
//! ## Padding
//!
//! All fixed columns are 0, hence every constraint and every message's entry but cells.
//!
//! ## Soundness
//!
//! - `fold`: by 1 to 3 it is `Σ_f ρ^(F−1−f) A_f` on the last row, for an output with `ρ^(f−F+1)`
//!   instead; there `ρ ≠ 0`, one bad value of the challenge. The claim makes all `x` those of the
//!   tensor, as residues, and the table that sends the claim has them in the tensor's range (of a copy, a part of the
//!   meaning bound).
//! - `D`: limbs are in range by `RANGE`, the widths are constants of the message, so
//!   `0 ≤ D < 2^w`, where `2^w` is at least the number of values of the tensor's range, `w ≤ 16`.
//! - `Bounds`: `x − lo` is an integer of absolute value below `2^16`, and congruent to `D < 2^16`
//!   modulo p: `2^16 + 2^16 < p = 2 013 265 921`, so they are equal, and `x ≥ lo`. Likewise `hi`.
//! - `Leading`: `m` needs no range. By 6 and 7 the projections of `m` agree on all rows; `m` was
//!   committed before σ, so all rows have the same `m`, except with probability
//!   `F·(P − 1)/|EF|`. For `x` named and `y` not, `x − y = (x − m) + (m − y) = D + D'` modulo p. The
//!   left is an integer above `−2^16`, the right in `[0, 2^17)`, and `2^16 + 2^17 < p`: they are equal
//!   and `x ≥ y`. The statement names equally many features for each position, at least one.
//!
//! ## References
//!
//! Projection, claims: `docs/protocol.md`. Order by differences: any textbook on range proofs.

mod trace;

use alloc::vec::Vec;

use p3_field::{Field, PrimeCharacteristicRing};

use super::{Air, Widths, signed, small};
use crate::builder::{AirBuilder, Element, PowerCounts, engine};
use crate::bus::{Bus, ClaimKind};
use crate::graph::Range;

/// Width of a full limb.
pub const LIMB_BITS: u8 = 8;
/// Most lanes, hence most constraints.
const MAX_LANES: usize = crate::layout::MAX_POSITIONS;

/// What the values are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An interval for each feature.
    Bounds(Vec<Range>),
    /// For each position the features, ascending, that no other exceeds.
    Leading(Vec<Vec<u32>>),
}

/// The chip of one tensor and one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareAir {
    /// Index of the tensor in the graph.
    pub tensor: usize,
    /// The claim on the tensor's values that the chip receives: `Input` or `Output`.
    pub kind: ClaimKind,
    /// Features `F` of the tensor.
    pub features: usize,
    /// Positions `P` of the tensor.
    pub positions: usize,
    /// Every element lies in this interval.
    pub range: Range,
    /// What is proved.
    pub rule: Rule,
}

/// Fixed columns behind the engine's.
mod fixed {
    use super::engine;
    pub const REAL: usize = engine::WIDTH;
    pub const LO: usize = REAL + 1;
    pub const HI: usize = REAL + 2;
    pub const SIGN: usize = REAL + 1;
}

/// Projection columns.
mod projection {
    pub const FOLD: usize = 0;
    pub const LEVEL: usize = 1;
}

/// Where the cells of a lane lie.
#[derive(Clone, Copy, Debug)]
struct LaneCols {
    x: usize,
    /// Of `Leading` only.
    m: usize,
    /// First limb of the first difference.
    limbs: usize,
}

impl CompareAir {
    /// Widths of the limbs of a difference, lowest first.
    pub fn limb_bits(&self) -> Vec<u8> {
        let largest = self.range.len().max(2) as u64 - 1;
        let bits = (u64::BITS - largest.leading_zeros()) as u8;
        let full = core::iter::repeat_n(LIMB_BITS, usize::from((bits - 1) / LIMB_BITS));
        full.chain([(bits - 1) % LIMB_BITS + 1]).collect()
    }

    /// How many powers of the challenges the chip uses.
    pub const fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: self.positions,
            rho: 2,
        }
    }

    /// Differences per lane.
    const fn differences(&self) -> usize {
        match self.rule {
            Rule::Bounds(_) => 2,
            Rule::Leading(_) => 1,
        }
    }

    const fn ranks(&self) -> bool {
        matches!(self.rule, Rule::Leading(_))
    }

    fn lane_width(&self) -> usize {
        1 + self.ranks() as usize + self.differences() * self.limb_bits().len()
    }

    fn lane(&self, lane: usize) -> LaneCols {
        let x = lane * self.lane_width();
        LaneCols {
            x,
            m: x + 1,
            limbs: x + 1 + self.ranks() as usize,
        }
    }

    /// The difference whose limbs these are.
    fn recompose<E: PrimeCharacteristicRing + Copy>(limbs: &[E]) -> E {
        limbs.iter().rev().fold(E::ZERO, |value, &limb| {
            value.mul_2exp_u64(u64::from(LIMB_BITS)) + limb
        })
    }

    /// The factor that makes the fold the tensor's claim.
    fn finish<EF: Field>(&self, rho: EF) -> EF {
        match self.kind {
            ClaimKind::Output => rho.exp_u64(self.features.max(1) as u64 - 1),
            _ => EF::ONE,
        }
    }

    fn eval_fold<B: AirBuilder>(&self, builder: &mut B) {
        let rho = B::ExprEF::from(builder.challenges().rho());
        let row = builder.row();
        let (fold, fold_next) = (
            row.projection[projection::FOLD],
            row.projection_next[projection::FOLD],
        );
        let (first, step, real) = (row.fixed[engine::FIRST], row.step(), row.fixed[fixed::REAL]);
        let mut values = B::ExprEF::ZERO;
        for (lane, &sigma) in (0..self.positions).zip(&builder.challenges().sigma_powers) {
            values += B::ExprEF::from(sigma) * (real * row.main[self.lane(lane).x]);
        }
        let turn = match self.kind {
            ClaimKind::Output => (fold_next * step - values) * rho - fold * step,
            _ => fold_next * step - fold * step * rho - values,
        };
        builder.assert_zero_ext("fold_start", fold * first);
        builder.assert_zero_ext("fold", turn);
    }

    fn eval_level<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let (level, level_next) = (
            row.projection[projection::LEVEL],
            row.projection_next[projection::LEVEL],
        );
        let (step, real) = (row.step(), row.fixed[fixed::REAL]);
        let mut thresholds = B::ExprEF::ZERO;
        for (lane, &sigma) in (0..self.positions).zip(&builder.challenges().sigma_powers) {
            thresholds += B::ExprEF::from(sigma) * row.main[self.lane(lane).m];
        }
        builder.assert_zero_ext("level_step", (level_next - level) * step);
        builder.assert_zero_ext("level", (level - thresholds) * real);
    }

    fn eval_lane<B: AirBuilder>(&self, builder: &mut B, lane: usize) {
        let cols = self.lane(lane);
        let bits = self.limb_bits();
        let row = builder.row();
        let real = row.fixed[fixed::REAL];
        let difference = |c: usize| {
            let first = cols.limbs + c * bits.len();
            Self::recompose(&row.main[first..first + bits.len()])
        };
        let x = row.main[cols.x];
        match self.rule {
            Rule::Bounds(_) => {
                let below = real * (x - difference(0)) - row.fixed[fixed::LO];
                let above = row.fixed[fixed::HI] - real * (x + difference(1));
                builder.assert_zero("below", below);
                builder.assert_zero("above", above);
            }
            Rule::Leading(_) => {
                let apart = row.fixed[fixed::SIGN + lane] * (x - row.main[cols.m]);
                let distance = apart - real * difference(0);
                builder.assert_zero("distance", distance);
            }
        }
        for i in 0..self.differences() * bits.len() {
            let row = builder.row();
            let (real, limb) = (row.fixed[fixed::REAL], row.main[cols.limbs + i]);
            let width = real * B::Expr::from(B::F::from_u8(bits[i % bits.len()]));
            builder.message(Bus::Range, -real, &[width, limb].map(Element::Base));
        }
    }

    /// Receives the tensor's claim on the last row.
    fn eval_claim<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let last = row.fixed[engine::LAST];
        let fold = row.projection[projection::FOLD];
        let finish = B::ExprEF::from(self.finish(builder.challenges().rho()));
        let claim = [
            Element::Base(last * B::Expr::from(B::F::from_u8(self.kind as u8))),
            Element::Base(last * B::Expr::from(small::<B::F>(self.tensor))),
            Element::Ext(fold * finish),
        ];
        builder.message(Bus::Claim, -last, &claim);
    }

    /// The chip's fixed columns on the row of feature `f`.
    fn fixed_row<F: Field>(&self, f: usize) -> Vec<F> {
        match &self.rule {
            Rule::Bounds(bounds) => {
                let [lo, hi] = [bounds[f].lo, bounds[f].hi].map(|v| signed(i64::from(v)));
                alloc::vec![F::ONE, lo, hi]
            }
            Rule::Leading(leading) => {
                let sign = |list: &Vec<u32>| match list.binary_search(&(f as u32)) {
                    Ok(_) => F::ONE,
                    Err(_) => -F::ONE,
                };
                [F::ONE]
                    .into_iter()
                    .chain(leading.iter().map(sign))
                    .collect()
            }
        }
    }
}

const BOUNDS_NAMES: [&str; 2 + 2 * MAX_LANES] = {
    let mut names = ["below"; 2 + 2 * MAX_LANES];
    names[0] = "fold_start";
    names[1] = "fold";
    let mut i = 3;
    while i < names.len() {
        names[i] = "above";
        i += 2;
    }
    names
};

const LEADING_NAMES: [&str; 4 + MAX_LANES] = {
    let mut names = ["distance"; 4 + MAX_LANES];
    names[0] = "fold_start";
    names[1] = "fold";
    names[2] = "level_step";
    names[3] = "level";
    names
};

impl Air for CompareAir {
    fn name(&self) -> &'static str {
        match self.rule {
            Rule::Bounds(_) => "bounds",
            Rule::Leading(_) => "leading",
        }
    }

    fn widths(&self) -> Widths {
        let statement = match self.rule {
            Rule::Bounds(_) => 2,
            Rule::Leading(_) => self.positions,
        };
        Widths {
            fixed: fixed::REAL + 1 + statement,
            weight: 0,
            main: self.positions * self.lane_width(),
            projection: 1 + self.ranks() as usize,
            messages: self.positions * self.differences() * self.limb_bits().len() + 1,
            constraints: self.constraint_names().len(),
        }
    }

    /// The features, and the row below them.
    fn rows(&self) -> usize {
        self.features + 1
    }

    fn projection_degree(&self) -> usize {
        let thresholds = match self.rule {
            Rule::Bounds(_) => 0,
            Rule::Leading(_) => self.features * self.positions,
        };
        1 + thresholds
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        self.eval_fold(builder);
        if self.ranks() {
            self.eval_level(builder);
        }
        for lane in 0..self.positions {
            self.eval_lane(builder, lane);
        }
        self.eval_claim(builder);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values: Vec<F> = (0..self.features).flat_map(|f| self.fixed_row(f)).collect();
        let width = self.widths().fixed - engine::WIDTH;
        values.resize(self.rows() * width, F::ZERO);
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        match self.rule {
            Rule::Bounds(_) => BOUNDS_NAMES[..2 + 2 * self.positions].to_vec(),
            Rule::Leading(_) => LEADING_NAMES[..4 + self.positions].to_vec(),
        }
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "fold_start" => "fold",
            "fold" => "fold, x",
            "level_step" => "level",
            "level" => "level, m",
            "distance" => "x, m, d",
            _ => "x, d",
        }
    }
}
