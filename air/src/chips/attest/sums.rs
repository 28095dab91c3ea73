//! # Attest sums: the bound, output by output
//!
//! A row is one output of one layer. It holds the sums of its weights' parts and the distance of its
//! bias from the layer's limit, all in limbs, and shows that the bound holds.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `h` | limbs of `hi − b`, `b` the bias |
//! | main | `s`, `r` | limbs of the slack of the upper and of the lower bound |
//! | main | `S_u0`, `S_u1`, `S_v0`, `S_v1` | limbs of the sums of the parts |
//! | main | `k`, `l` | limbs of the carries of the two bounds modulo `2^8` |
//! | fixed | `cont`, `end` | 1 if the next row is of the same layer; 1 on a layer's last row |
//! | fixed | `layer`, `A`, `B`, `G`, `g`, `top` | the layer's, with `g = G mod 2^8`, `top = hi + half` |
//! | fixed | `bits` | widths of the limbs of `h`, `s` and `r`; of `S_u0` and `S_v0`; of `S_u1` and `S_v1` |
//! | projection | `y` | the layer's rows above, folded with ρ |
//!
//! ## Constraints
//!
//! With `U = S_u0 + 2^8·S_u1`, `V = S_v0 + 2^8·S_v1`, an index 0 for the lowest limb (of `S_u0` for `U`), and
//! `X = S_u0 + σ·S_u1 + σ²·S_v0 + σ³·S_v1 + σ⁴·(top − h)`:
//!
//!   1. `fold`        `step·y' − cont·ρ·(y + X) = 0`                                   deg 2
//!   2. `start`       `first·y = 0`                                                    deg 2
//!   3. `upper`       `live·(h − s) − B·U − A·V = 0`                                   deg 2
//!   4. `upper_low`   `live·(h_0 − s_0 + 2^8·k) − B·U_0 − A·V_0 = 0`                   deg 2
//!   5. `lower`       `G − live·(h + r) − A·U − B·V = 0`                               deg 2
//!   6. `lower_low`   `g − live·(h_0 + r_0 − 2^8·l) − A·U_0 − B·V_0 = 0`               deg 2
//!
//! ## Buses
//!
//! `RANGE`: receives `(bits, limb)` for every limb. `CLAIM`: on a layer's last row receives `(Sums, layer, y + X)`.
//!
//! ## Padding
//!
//! All fixed columns are 0, hence every constraint and every entry but limbs.
//!
//! ## Soundness
//!
//! Limbs are in range, their widths fixed columns or constants; `y` is determined by 1 and 2, since
//! `cont = 0` on a layer's last row. That the sums are those of the weights, `h` belongs to the bias, and 3
//! to 6 are identities of integers is argued, with numbers, in the parent module.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;

use super::{LIMB_BITS, LIMBS, LayerBound, PARTS, limbs};
use crate::builder::{AirBuilder, Challenges, Element, PowerCounts, engine};
use crate::bus::{Bus, ClaimKind};
use crate::chips::{Air, Widths, signed, small};
use crate::graph::{LayerWeights, Model};

/// The chip of all sums of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestSumsAir {
    /// The layers in order.
    pub layers: Vec<LayerBound>,
}

mod fixed {
    use super::{LIMBS, engine};
    pub const CONT: usize = engine::WIDTH;
    pub const END: usize = engine::WIDTH + 1;
    pub const LAYER: usize = engine::WIDTH + 2;
    pub const BELOW: usize = engine::WIDTH + 3;
    pub const ABOVE: usize = engine::WIDTH + 4;
    pub const GAP: usize = engine::WIDTH + 5;
    pub const GAP_LOW: usize = engine::WIDTH + 6;
    pub const TOP: usize = engine::WIDTH + 7;
    /// Of gaps, low sums, high sums.
    pub const BITS: usize = engine::WIDTH + 8;
    pub const WIDTH: usize = BITS + 3 * LIMBS;
}

/// Main columns: the first limb of each number.
mod cols {
    use super::{LIMBS, PARTS};
    pub const H: usize = 0;
    pub const UPPER_SLACK: usize = LIMBS;
    pub const LOWER_SLACK: usize = 2 * LIMBS;
    /// `S_u0, S_u1, S_v0, S_v1`.
    pub const SUMS: usize = 3 * LIMBS;
    pub const UPPER_CARRY: usize = SUMS + PARTS * LIMBS;
    pub const LOWER_CARRY: usize = UPPER_CARRY + super::CARRY_LIMBS;
    pub const WIDTH: usize = LOWER_CARRY + super::CARRY_LIMBS;
}

/// Limbs of a carry, all of them bytes.
const CARRY_LIMBS: usize = 2;

/// Which widths the limbs of a number have, for every number but the carries: 0 those of gaps, 1 of
/// low sums, 2 of high sums.
const WIDTHS_OF: [usize; 3 + PARTS] = [0, 0, 0, 1, 2, 1, 2];

/// The number whose limbs these are.
fn recompose<E: PrimeCharacteristicRing + Copy>(limbs: &[E]) -> E {
    limbs.iter().rev().fold(E::ZERO, |value, &limb| {
        value.mul_2exp_u64(u64::from(LIMB_BITS)) + limb
    })
}

impl LayerBound {
    /// The sums of output `j`, the distance of its bias from the limit, and the slacks of both bounds.
    fn slacks(&self, weights: &LayerWeights, half: i64, j: usize) -> ([u64; PARTS], [i64; 3]) {
        let mut sums = [0u64; PARTS];
        self.for_each_weight(weights, j, |w| {
            for (sum, part) in sums.iter_mut().zip(super::weights::parts(i64::from(w))) {
                *sum += part;
            }
        });
        let [u, v] = [sums[0] + (sums[1] << 8), sums[2] + (sums[3] << 8)].map(|x| x as i64);
        let (below, above) = (self.below as i64, self.above as i64);
        let h = self.top - half - i64::from(weights.bias[j]);
        let upper = h - above * u - below * v;
        let lower = self.gap as i64 - h - below * u - above * v;
        (sums, [h, upper, lower])
    }

    /// The numbers of output `j` as limbs, in the order of columns. Where the bound is broken they
    /// are those of no number that would do.
    fn row(&self, weights: &LayerWeights, half: i64, j: usize) -> [u64; cols::WIDTH] {
        let (sums, [h, upper, lower]) = self.slacks(weights, half, j);
        let (below, above) = (self.below as i64, self.above as i64);
        // 2^8·k from the lowest limbs alone.
        let low = |x: i64| x & 255;
        let carry_up =
            low(upper) - low(h) + above * low(sums[0] as i64) + below * low(sums[2] as i64);
        let carry_down = low(lower) - low(self.gap as i64)
            + low(h)
            + below * low(sums[0] as i64)
            + above * low(sums[2] as i64);
        let numbers = [h, upper, lower].map(|x| limbs::<LIMBS>(u64::from(x as u32)));
        let sums = sums.map(|x| limbs::<LIMBS>(u64::from(x as u32)));
        let carries =
            [carry_up, carry_down].map(|x| limbs::<CARRY_LIMBS>((x >> 8) as u64 & 0xffff));
        let mut row = [0; cols::WIDTH];
        let all = [numbers.concat(), sums.concat(), carries.concat()].concat();
        row.copy_from_slice(&all);
        row
    }

    /// Widths of the limbs of a row, in the order of columns.
    fn row_bits(&self) -> [u8; cols::WIDTH] {
        let widths = [self.gap_bits, self.sum_bits[0], self.sum_bits[1]];
        core::array::from_fn(|c| match WIDTHS_OF.get(c / LIMBS) {
            Some(&i) => widths[i][c % LIMBS],
            None => LIMB_BITS as u8,
        })
    }
}

impl AttestSumsAir {
    /// The first layer whose bound a model's weights break. A valid model may break it where several of
    /// a layer's inputs have different ranges, because the bound takes the widest for all.
    pub fn broken(&self, model: &Model) -> Option<usize> {
        let breaks = |bound: &&LayerBound| {
            let weights = &model.weights[bound.layer];
            let half = model.graph.layers[bound.layer].requant.half();
            let mut outputs = 0..bound.outputs;
            outputs.any(|j| {
                bound
                    .slacks(weights, half, j)
                    .1
                    .iter()
                    .any(|&slack| slack < 0)
            })
        };
        self.layers.iter().find(breaks).map(|bound| bound.layer)
    }

    /// How many powers of the challenges the chip uses.
    pub const fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: PARTS + 1,
            rho: 2,
        }
    }

    /// Calls `f` with the bound and the limbs of every row.
    fn for_each_row(&self, model: &Model, mut f: impl FnMut(&LayerBound, [u64; cols::WIDTH])) {
        for bound in &self.layers {
            let weights = &model.weights[bound.layer];
            let half = model.graph.layers[bound.layer].requant.half();
            for j in 0..bound.outputs {
                f(bound, bound.row(weights, half, j));
            }
        }
    }

    /// The main trace of a model.
    pub fn generate_main<F: Field>(&self, model: &Model, height: usize) -> RowMajorMatrix<F> {
        let mut cells = Vec::with_capacity(height * cols::WIDTH);
        self.for_each_row(model, |_, row| cells.extend(row.map(F::from_u64)));
        cells.resize(height * cols::WIDTH, F::ZERO);
        RowMajorMatrix::new(cells, cols::WIDTH)
    }

    /// Calls `range(bits, limb)` for everything the table looks up.
    pub fn for_each_lookup(&self, model: &Model, mut range: impl FnMut(u8, u32)) {
        self.for_each_row(model, |bound, row| {
            for (limb, bits) in row.into_iter().zip(bound.row_bits()) {
                range(bits, limb as u32);
            }
        });
    }

    /// The projection column.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let mut column = EF::zero_vec(height);
        let mut r = 0;
        for bound in &self.layers {
            let mut y = EF::ZERO;
            for _ in 0..bound.outputs {
                let row = &main.values[r * main.width..(r + 1) * main.width];
                column[r] = y;
                y = (y + fold_row::<F, EF, EF>(row, signed(bound.top), challenges))
                    * challenges.rho();
                r += 1;
            }
        }
        column
    }

    fn eval_fold<B: AirBuilder>(&self, builder: &mut B) -> B::ExprEF {
        let row = builder.row();
        let (y, y_next) = (row.projection[0], row.projection_next[0]);
        let (first, step, cont) = (row.fixed[engine::FIRST], row.step(), row.fixed[fixed::CONT]);
        let challenges = builder.challenges();
        let rho = B::ExprEF::from(challenges.rho());
        let value = y + fold_row::<_, _, B::ExprEF>(row.main, row.fixed[fixed::TOP], challenges);
        builder.assert_zero_ext("fold", y_next * step - value * rho * cont);
        builder.assert_zero_ext("start", y * first);
        value
    }

    fn eval_bounds<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let number = |first: usize| recompose(&row.main[first..first + LIMBS]);
        let carry = |first: usize| {
            recompose(&row.main[first..first + CARRY_LIMBS]).mul_2exp_u64(u64::from(LIMB_BITS))
        };
        let live = row.live();
        let [below, above] = [fixed::BELOW, fixed::ABOVE].map(|c| row.fixed[c]);
        let [h, s, r] = [cols::H, cols::UPPER_SLACK, cols::LOWER_SLACK];
        let sum = |part: usize| cols::SUMS + part * LIMBS;
        let joined = |part: usize| {
            number(sum(part)) + number(sum(part + 1)).mul_2exp_u64(u64::from(LIMB_BITS))
        };
        let [u, v] = [joined(0), joined(2)];
        let [u_low, v_low] = [row.main[sum(0)], row.main[sum(2)]];
        let (k, l) = (carry(cols::UPPER_CARRY), carry(cols::LOWER_CARRY));

        let upper = live * (number(h) - number(s)) - above * u - below * v;
        let upper_low = live * (row.main[h] - row.main[s] + k) - above * u_low - below * v_low;
        let lower = row.fixed[fixed::GAP] - live * (number(h) + number(r)) - below * u - above * v;
        let lower_low = row.fixed[fixed::GAP_LOW]
            - live * (row.main[h] + row.main[r] - l)
            - below * u_low
            - above * v_low;
        builder.assert_zero("upper", upper);
        builder.assert_zero("upper_low", upper_low);
        builder.assert_zero("lower", lower);
        builder.assert_zero("lower_low", lower_low);
    }
}

/// `X`: the row's numbers that belong to weights, with powers of σ.
fn fold_row<E, EF, X>(main: &[E], top: E, challenges: &Challenges<EF>) -> X
where
    E: PrimeCharacteristicRing + Copy,
    EF: Field,
    X: p3_field::Algebra<E> + p3_field::Algebra<EF> + Copy,
{
    let sums = main[cols::SUMS..cols::UPPER_CARRY].chunks_exact(LIMBS);
    let distance = top - recompose(&main[cols::H..cols::H + LIMBS]);
    let numbers = sums.map(recompose).chain([distance]);
    numbers
        .zip(&challenges.sigma_powers)
        .fold(X::ZERO, |sum, (number, &sigma)| {
            sum + X::from(sigma) * number
        })
}

impl Air for AttestSumsAir {
    fn name(&self) -> &'static str {
        "attested sums"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::WIDTH,
            weight: 0,
            main: cols::WIDTH,
            projection: 1,
            messages: cols::WIDTH + 1,
            constraints: self.constraint_names().len(),
        }
    }

    fn rows(&self) -> usize {
        self.layers.iter().map(|bound| bound.outputs).sum()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let claim = self.eval_fold(builder);
        self.eval_bounds(builder);
        for c in 0..cols::WIDTH {
            let row = builder.row();
            let bits = match WIDTHS_OF.get(c / LIMBS) {
                Some(&i) => row.fixed[fixed::BITS + i * LIMBS + c % LIMBS],
                None => row.live() * B::Expr::from(small::<B::F>(LIMB_BITS as usize)),
            };
            let message = [bits, row.main[c]].map(Element::Base);
            builder.message(Bus::Range, -row.live(), &message);
        }
        let row = builder.row();
        let (end, layer) = (row.fixed[fixed::END], row.fixed[fixed::LAYER]);
        let kind = end * B::Expr::from(small::<B::F>(ClaimKind::Sums as usize));
        let entries = [
            Element::Base(kind),
            Element::Base(layer),
            Element::Ext(claim),
        ];
        builder.message(Bus::Claim, -end, &entries);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values = Vec::with_capacity(self.rows() * (fixed::WIDTH - engine::WIDTH));
        for bound in &self.layers {
            let [low, high] = bound.sum_bits;
            let bits = [bound.gap_bits, low, high].concat();
            for j in 0..bound.outputs {
                let end = j + 1 == bound.outputs;
                values.extend([F::from_bool(!end), F::from_bool(end), small(bound.layer)]);
                values.extend([bound.below, bound.above, bound.gap].map(F::from_u64));
                values.extend([F::from_u64(bound.gap & 255), signed(bound.top)]);
                values.extend(bits.iter().map(|&b| F::from_u8(b)));
            }
        }
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        alloc::vec!["fold", "start", "upper", "upper_low", "lower", "lower_low"]
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "fold" => "y, S, h",
            "start" => "y",
            "upper" => "h, s, S",
            "upper_low" => "h, s, S, k",
            "lower" => "h, r, S",
            _ => "h, r, S, l",
        }
    }
}
