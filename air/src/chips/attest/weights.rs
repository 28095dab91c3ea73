//! # Attest weights: every weight in two parts
//!
//! Rows and lanes are those of the weights table ([`crate::chips::weights`]): the weight columns are
//! the key's own commitment.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | weight | `w[b]` | weights, biases with `half` on the rows of the unit |
//! | main | `u[b][0..2]`, `v[b][0..2]` | bytes of two numbers with `w = u − v`; unread on the unit's rows |
//! | fixed | `group` | 1 if the next row continues this input's weights |
//! | fixed | `group_end` | 1 on the last row of an input's weights |
//! | fixed | `unit`, `unit_end` | the same for the biases |
//! | fixed | `layer` | index of the layer |
//! | projection | `h` | this group's rows above, folded with ρ |
//! | projection | `t` | the layer's groups above, added up |
//!
//! ## Constraints
//!
//! With `F = Σ_b ρ^(lanes−1−b)·(u_0 + σ·u_1 + σ²·v_0 + σ³·v_1)[b]` and
//! `H = σ⁴·Σ_b ρ^(lanes−1−b)·w[b]`:
//!
//!   1. `fold`    `step·h' − ρ^lanes·(group·(h + F) + unit·(h + H)) = 0`                 deg 2
//!   2. `start`   `first·h = 0`                                                         deg 2
//!   3. `add`     `step·t' − (live − unit_end)·t − group_end·(h + F) = 0`                deg 2
//!   4. `zero`    `first·t = 0`                                                         deg 2
//!   5. `split`   `(group + group_end)·(w − u_0 − 2^8·u_1 + v_0 + 2^8·v_1)[b] = 0`       deg 2
//!
//! ## Buses
//!
//! `RANGE`: receives `(8, byte)` for all bytes on rows of weights. `CLAIM`: sends `(Sums, layer, t + h + H)`
//! `unit_end` times.
//!
//! ## Padding
//!
//! All fixed columns are 0, hence every constraint. On mask rows every entry of a message that has a
//! fraction column is 0 or a byte; the claim, which is the odd message, has none, so that the mask of the
//! weights may reach into the blank band.
//!
//! ## Soundness
//!
//! `w` is committed by the key. `u`, `v`: bytes by `RANGE`; 5 says `w = u − v` modulo p, and the right
//! side is an integer between `−2^16` and `2^16`: that integer is the weight. `h`, `t`: 1 to 4 determine
//! them on all live rows, since `group = unit = 0` on a group's last row and `live − unit_end = 0` on a
//! layer's. What they say is the parent module's matter.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::{LIMB_BITS, PARTS, limbs};
use crate::builder::{AirBuilder, Challenges, Element, PowerCounts, engine};
use crate::bus::{Bus, ClaimKind};
use crate::chips::weights::{WeightBlock, WeightsAir};
use crate::chips::{Air, Widths, small};
use crate::graph::Model;
use crate::layout::cost::MAX_LANES;

/// The chip of one weight table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestWeightsAir {
    /// The table whose weight columns it reads.
    pub weights: WeightsAir,
}

mod fixed {
    use super::engine;
    pub const GROUP: usize = engine::WIDTH;
    pub const GROUP_END: usize = engine::WIDTH + 1;
    pub const UNIT: usize = engine::WIDTH + 2;
    pub const UNIT_END: usize = engine::WIDTH + 3;
    pub const LAYER: usize = engine::WIDTH + 4;
    pub const WIDTH: usize = engine::WIDTH + 5;
}

mod projection {
    pub const H: usize = 0;
    pub const T: usize = 1;
    pub const WIDTH: usize = 2;
}

/// Constraints that are not per lane.
const SHARED: usize = 4;

const NAMES: [&str; SHARED + MAX_LANES] = {
    let mut names = ["split"; SHARED + MAX_LANES];
    names[0] = "fold";
    names[1] = "start";
    names[2] = "add";
    names[3] = "zero";
    names
};

/// The parts of a weight, in the order of columns and of powers of σ.
pub(super) fn parts(w: i64) -> [u64; PARTS] {
    let [positive, negative] = [w.max(0), (-w).max(0)].map(|x| limbs::<2>(x.unsigned_abs()));
    [positive[0], positive[1], negative[0], negative[1]]
}

impl AttestWeightsAir {
    const fn lanes(&self) -> usize {
        self.weights.lanes
    }

    /// How many powers of the challenges the chip uses.
    pub const fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: PARTS + 1,
            rho: self.weights.lanes + 1,
        }
    }

    /// Calls `f` for every weight of a block with the index of its first cell.
    fn for_each_weight(&self, block: &WeightBlock, model: &Model, mut f: impl FnMut(usize, i64)) {
        let stride = self.weights.rows_per_input(block) * self.lanes();
        let first = block.start * self.lanes() + stride - block.outputs;
        let values = &model.weights[block.layer].values;
        for (k, row) in values.chunks_exact(block.outputs).enumerate() {
            for (j, &w) in row.iter().enumerate() {
                f(first + k * stride + j, i64::from(w));
            }
        }
    }

    /// The main trace: the parts of a model's weights.
    pub fn generate_main<F: Field>(&self, model: &Model, height: usize) -> RowMajorMatrix<F> {
        let width = PARTS * self.lanes();
        let mut cells = F::zero_vec(height * width);
        for block in &self.weights.blocks {
            self.for_each_weight(block, model, |at, w| {
                let slots = &mut cells[PARTS * at..PARTS * (at + 1)];
                for (slot, part) in slots.iter_mut().zip(parts(w)) {
                    *slot = F::from_u64(part);
                }
            });
        }
        RowMajorMatrix::new(cells, width)
    }

    /// Calls `range(bits, byte)` for everything the table looks up.
    pub fn for_each_lookup(&self, model: &Model, mut range: impl FnMut(u8, u32)) {
        for block in &self.weights.blocks {
            let groups = block.inputs * self.weights.rows_per_input(block);
            let padding = groups * self.lanes() - block.inputs * block.outputs;
            (0..PARTS * padding).for_each(|_| range(LIMB_BITS as u8, 0));
            self.for_each_weight(block, model, |_, w| {
                for part in parts(w) {
                    range(LIMB_BITS as u8, part as u32);
                }
            });
        }
    }

    /// The projection columns, row-major.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        weight: &RowMajorMatrix<F>,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let lift = challenges.rho_powers[self.lanes()];
        let folds: Vec<[EF; 2]> = (0..self.rows())
            .into_par_iter()
            .map(|r| {
                let main = &main.values[r * main.width..(r + 1) * main.width];
                let weight = &weight.values[r * weight.width..(r + 1) * weight.width];
                [
                    self.fold_parts::<F, EF, EF>(main, challenges),
                    self.fold_biases::<F, EF, EF>(weight, challenges),
                ]
            })
            .collect();
        let mut cells = EF::zero_vec(height * projection::WIDTH);
        for block in &self.weights.blocks {
            let per_input = self.weights.rows_per_input(block);
            let mut total = EF::ZERO;
            for k in 0..=block.inputs {
                let mut h = EF::ZERO;
                let biases = usize::from(k == block.inputs);
                for i in 0..per_input {
                    let r = block.start + k * per_input + i;
                    cells[r * projection::WIDTH + projection::H] = h;
                    cells[r * projection::WIDTH + projection::T] = total;
                    h += folds[r][biases];
                    if i + 1 < per_input {
                        h *= lift;
                    }
                }
                total += h;
            }
        }
        cells
    }

    /// `F`: the parts of a row of weights, folded with ρ and σ.
    fn fold_parts<E, EF, X>(&self, main: &[E], challenges: &Challenges<EF>) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: p3_field::Algebra<E> + p3_field::Algebra<EF> + Copy,
    {
        let sigma = challenges.sigma_powers[..PARTS].iter();
        let sigma: Vec<X> = sigma.map(|&s| X::from(s)).collect();
        let rho = challenges.rho_powers[..self.lanes()].iter().rev();
        let lanes = main.chunks_exact(PARTS).zip(rho);
        lanes.fold(X::ZERO, |sum, (parts, &rho)| {
            let part = parts.iter().zip(&sigma);
            let value = part.fold(X::ZERO, |value, (&part, &sigma)| value + sigma * part);
            sum + value * X::from(rho)
        })
    }

    /// `H`: a row of biases, folded with ρ, with the power of σ that biases have.
    fn fold_biases<E, EF, X>(&self, weight: &[E], challenges: &Challenges<EF>) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: p3_field::Algebra<E> + p3_field::Algebra<EF> + Copy,
    {
        let rho = challenges.rho_powers[..self.lanes()].iter().rev();
        let lanes = weight.iter().zip(rho);
        let value = lanes.fold(X::ZERO, |sum, (&w, &rho)| sum + X::from(rho) * w);
        value * X::from(challenges.sigma_powers[PARTS])
    }

    fn eval_folds<B: AirBuilder>(&self, builder: &mut B) -> B::ExprEF {
        let row = builder.row();
        let [h, t] = [projection::H, projection::T].map(|c| row.projection[c]);
        let [h_next, t_next] = [projection::H, projection::T].map(|c| row.projection_next[c]);
        let [group, group_end] = [fixed::GROUP, fixed::GROUP_END].map(|c| row.fixed[c]);
        let [unit, unit_end] = [fixed::UNIT, fixed::UNIT_END].map(|c| row.fixed[c]);
        let (first, step, live) = (row.fixed[engine::FIRST], row.step(), row.live());
        let challenges = builder.challenges();
        let lift = B::ExprEF::from(challenges.rho_powers[self.lanes()]);
        let parts = h + self.fold_parts::<_, _, B::ExprEF>(row.main, challenges);
        let biases = h + self.fold_biases::<_, _, B::ExprEF>(row.weight, challenges);

        let lifted = (parts * group + biases * unit) * lift;
        builder.assert_zero_ext("fold", h_next * step - lifted);
        builder.assert_zero_ext("start", h * first);
        let total = t * (live - unit_end) + parts * group_end;
        builder.assert_zero_ext("add", t_next * step - total);
        builder.assert_zero_ext("zero", t * first);
        t + biases
    }

    fn eval_lane<B: AirBuilder>(&self, builder: &mut B, lane: usize) {
        let row = builder.row();
        let real = row.fixed[fixed::GROUP] + row.fixed[fixed::GROUP_END];
        let bytes: [B::Expr; PARTS] = core::array::from_fn(|i| row.main[PARTS * lane + i]);
        let join = |low: B::Expr, high: B::Expr| low + high.mul_2exp_u64(u64::from(LIMB_BITS));
        let [positive, negative] = [join(bytes[0], bytes[1]), join(bytes[2], bytes[3])];
        let split = row.weight[lane] - positive + negative;
        builder.assert_zero("split", split * real);
        let bits = real * B::Expr::from(small::<B::F>(LIMB_BITS as usize));
        for byte in bytes {
            builder.message(Bus::Range, -real, &[bits, byte].map(Element::Base));
        }
    }
}

impl Air for AttestWeightsAir {
    fn name(&self) -> &'static str {
        "attested weights"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::WIDTH,
            weight: self.lanes(),
            main: PARTS * self.lanes(),
            projection: projection::WIDTH,
            messages: PARTS * self.lanes() + 1,
            constraints: self.constraint_names().len(),
        }
    }

    fn rows(&self) -> usize {
        self.weights.rows()
    }

    /// A polynomial in ρ and σ for every layer.
    fn projection_degree(&self) -> usize {
        let degree = |b: &WeightBlock| self.weights.rows_per_input(b) * self.lanes() + PARTS;
        self.weights.blocks.iter().map(degree).sum()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let claim = self.eval_folds(builder);
        for lane in 0..self.lanes() {
            self.eval_lane(builder, lane);
        }
        let row = builder.row();
        let (end, layer) = (row.fixed[fixed::UNIT_END], row.fixed[fixed::LAYER]);
        let kind = end * B::Expr::from(small::<B::F>(ClaimKind::Sums as usize));
        let entries = [
            Element::Base(kind),
            Element::Base(layer),
            Element::Ext(claim),
        ];
        builder.message(Bus::Claim, end, &entries);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values = Vec::with_capacity(self.rows() * (fixed::WIDTH - engine::WIDTH));
        for block in &self.weights.blocks {
            let per_input = self.weights.rows_per_input(block);
            for k in 0..=block.inputs {
                let unit = k == block.inputs;
                for i in 0..per_input {
                    let end = i + 1 == per_input;
                    let flags = [!unit && !end, !unit && end, unit && !end, unit && end];
                    values.extend(flags.map(F::from_bool));
                    values.push(small(block.layer));
                }
            }
        }
        values
    }

    fn constraint_names(&self) -> &'static [&'static str] {
        &NAMES[..SHARED + self.lanes()]
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "fold" => "h, u, v",
            "start" => "h",
            "add" => "t, h, u, v",
            "zero" => "t",
            _ => "u, v",
        }
    }
}
