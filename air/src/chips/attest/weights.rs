//! # Attest weights: every weight in two parts
//!
//! Rows and lanes are those of the weights table ([`crate::chips::weights`]): the weight columns are
//! the key's own commitment.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | weight | `w[b]` | weights; biases with `half` on rows of biases |
//! | main | `u[b][0..2]`, `v[b][0..2]` | bytes of two numbers with `w = u − v`; unread on rows of biases |
//! | fixed | `weights`, `biases` | 1 on rows of weights, of biases |
//! | fixed | `keep` | 1 on rows of a layer except its first |
//! | fixed | `ratio[i]` | 1 if the row's sum is passed on times constant `i` |
//! | fixed | `layer`, `count` | the claim on `t`, on the row below a layer |
//! | projection | `t` | the layer above, finished; within a layer its rows above |
//!
//! ## Constraints
//!
//! With `F = Σ_b ρ^(lanes−1−b)·(u_0 + σ·u_1 + σ²·v_0 + σ³·v_1)[b]`, `H = σ⁴·Σ_b ρ^(lanes−1−b)·w[b]` and the
//! constants `r_i`, powers of ρ: a row whose last lane is output `o` of `N` stands at `M = ρ^(N−1−o)`, `r = M/M_next`,
//! and `r = M` on a layer's last row:
//!
//!   1. `fold`    `step·t' − Σ_i r_i·ratio[i]·(keep·t + weights·F + biases·H) = 0`       deg 3
//!   2. `split`   `weights·(w − u_0 − 2^8·u_1 + v_0 + 2^8·v_1)[b] = 0`                   deg 2
//!
//! ## Buses
//!
//! `RANGE`: receives `(8, byte)` for all bytes on rows of weights. `CLAIM`: sends `(Sums, layer, t)` `count` times.
//!
//! ## Padding
//!
//! All fixed columns are 0, hence every constraint. On mask rows every entry of a message that has a
//! fraction column is 0 or a byte; the claim, which is the odd message, has none, so that the mask of the
//! weights may reach into the blank band.
//!
//! ## Soundness
//!
//! `w` is committed by the key. `u`, `v`: bytes by `RANGE`; 2 says `w = u − v` modulo p, and the right
//! side is an integer between `−2^16` and `2^16`: that integer is the weight. `t`: 1 determines it on all live
//! rows but the first, where it is neither kept nor sent. What it says is the parent module's matter.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::{LIMB_BITS, PARTS, limbs};
use crate::builder::{AirBuilder, Challenges, Element, PowerCounts, engine};
use crate::bus::{Bus, ClaimKind};
use crate::chips::weights::{Content, WeightBlock, WeightsAir};
use crate::chips::{Air, Widths, small};
use crate::graph::Model;
use crate::projection::{Interner, Monomial, select};

/// The chip of one weight table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestWeightsAir {
    /// The table whose weight columns it reads.
    pub weights: WeightsAir,
    /// Features of each layer's output.
    outputs: Vec<usize>,
    ratios: Interner<Monomial>,
}

mod fixed {
    use super::engine;
    pub const WEIGHTS: usize = engine::WIDTH;
    pub const BIASES: usize = engine::WIDTH + 1;
    pub const KEEP: usize = engine::WIDTH + 2;
    pub const LAYER: usize = engine::WIDTH + 3;
    pub const COUNT: usize = engine::WIDTH + 4;
    pub const RATIO: usize = engine::WIDTH + 5;
}

/// The parts of a weight, in the order of columns and of powers of σ.
pub(super) fn parts(w: i64) -> [u64; PARTS] {
    let [positive, negative] = [w.max(0), (-w).max(0)].map(|x| limbs::<2>(x.unsigned_abs()));
    [positive[0], positive[1], negative[0], negative[1]]
}

impl AttestWeightsAir {
    /// The chip for a weight table and the numbers of features of the layers' outputs.
    pub fn new(weights: WeightsAir, outputs: Vec<usize>) -> Self {
        let mut air = Self {
            weights,
            outputs,
            ratios: Interner::default(),
        };
        let mut ratios = Interner::default();
        for (_, ratio) in air.steps() {
            ratios.index(ratio);
        }
        air.ratios = ratios;
        air
    }

    const fn lanes(&self) -> usize {
        self.weights.lanes
    }

    /// The monomial of the last lane of a row: the place of its output among the layer's.
    fn monomial(&self, block: &WeightBlock, channel: usize, chunk: usize) -> Monomial {
        let chunks = block.outputs.div_ceil(self.lanes());
        let own = (chunks - 1 - chunk) * self.lanes();
        let next_group = block.first_output + (channel / block.group + 1) * block.outputs;
        Monomial::rho((own + self.outputs[block.layer] - next_group) as i32)
    }

    /// The block of every row and the ratio its sum is passed on with.
    fn steps(&self) -> Vec<(&WeightBlock, Monomial)> {
        let rows = self.weights.blocks.iter().flat_map(|block| {
            (0..block.channels).flat_map(move |channel| {
                let place = move |chunk| self.monomial(block, channel, chunk);
                block.rows.iter().map(move |row| (block, place(row.chunk)))
            })
        });
        let rows: Vec<_> = rows.collect();
        let step = |(i, &(block, own)): (usize, &(&'_ WeightBlock, Monomial))| {
            let next = rows
                .get(i + 1)
                .filter(|(next, _)| next.layer == block.layer);
            let ratio = next.map_or(own, |(_, next)| own.over(*next));
            (rows[i].0, ratio)
        };
        rows.iter().enumerate().map(step).collect()
    }

    /// How many powers of the challenges the chip uses.
    pub const fn power_counts(&self) -> PowerCounts {
        PowerCounts {
            sigma: PARTS + 1,
            rho: self.weights.lanes + 1,
        }
    }

    /// The main trace: the parts of a model's weights.
    pub fn generate_main<F: Field>(&self, model: &Model, height: usize) -> RowMajorMatrix<F> {
        let width = PARTS * self.lanes();
        let mut cells = F::zero_vec(height * width);
        for block in self.blocks_of_weights() {
            self.weights.for_each_number(block, model, |row, lane, w| {
                let at = row * width + PARTS * lane;
                for (slot, part) in cells[at..at + PARTS].iter_mut().zip(parts(w)) {
                    *slot = F::from_u64(part);
                }
            });
        }
        RowMajorMatrix::new(cells, width)
    }

    fn blocks_of_weights(&self) -> impl Iterator<Item = &WeightBlock> {
        let blocks = self.weights.blocks.iter();
        blocks.filter(|block| block.content != Content::Bias)
    }

    /// Calls `range(bits, byte)` for everything the table looks up.
    pub fn for_each_lookup(&self, model: &Model, mut range: impl FnMut(u8, u32)) {
        for block in self.blocks_of_weights() {
            let mut padding = block.channels * block.rows.len() * self.lanes();
            self.weights.for_each_number(block, model, |_, _, w| {
                padding -= 1;
                for part in parts(w) {
                    range(LIMB_BITS as u8, part as u32);
                }
            });
            (0..PARTS * padding).for_each(|_| range(LIMB_BITS as u8, 0));
        }
    }

    /// The projection column.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        weight: &RowMajorMatrix<F>,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let steps = self.steps();
        let forms: Vec<EF> = steps
            .par_iter()
            .enumerate()
            .map(|(r, (block, _))| {
                let main = &main.values[r * main.width..(r + 1) * main.width];
                let weight = &weight.values[r * weight.width..(r + 1) * weight.width];
                match block.content {
                    Content::Term(_) => self.fold_parts::<F, EF, EF>(main, challenges),
                    Content::Bias => self.fold_biases::<F, EF, EF>(weight, challenges),
                }
            })
            .collect();
        let mut column = EF::zero_vec(height);
        let mut total = EF::ZERO;
        let mut layer = None;
        for (r, ((block, ratio), form)) in steps.iter().zip(forms).enumerate() {
            if layer != Some(block.layer) {
                total = EF::ZERO;
            }
            layer = Some(block.layer);
            total = (total + form) * challenges.points.at(*ratio);
            column[r + 1] = total;
        }
        column
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

    fn eval_fold<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let (t, t_next) = (row.projection[0], row.projection_next[0]);
        let f = |column: usize| row.fixed[column];
        let challenges = builder.challenges();
        let parts = self.fold_parts::<_, _, B::ExprEF>(row.main, challenges);
        let biases = self.fold_biases::<_, _, B::ExprEF>(row.weight, challenges);
        let value = t * f(fixed::KEEP) + parts * f(fixed::WEIGHTS) + biases * f(fixed::BIASES);
        let ratio: B::ExprEF = select(&row.fixed[fixed::RATIO..], builder.constants());
        builder.assert_zero_ext("fold", t_next * row.step() - ratio * value);
    }

    fn eval_lane<B: AirBuilder>(&self, builder: &mut B, lane: usize) {
        let row = builder.row();
        let real = row.fixed[fixed::WEIGHTS];
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
            fixed: fixed::RATIO + self.ratios.len(),
            weight: self.lanes(),
            main: PARTS * self.lanes(),
            projection: 1,
            messages: PARTS * self.lanes() + 1,
            constraints: self.constraint_names().len(),
        }
    }

    fn rows(&self) -> usize {
        self.weights.rows()
    }

    fn constants<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        let ratios = self.ratios.items().iter();
        ratios.map(|&m| challenges.points.at(m)).collect()
    }

    /// A polynomial in ρ and σ for every layer.
    fn projection_degree(&self) -> usize {
        let degree = |outputs: &usize| outputs + self.lanes() + PARTS;
        self.outputs.iter().map(degree).sum()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        self.eval_fold(builder);
        for lane in 0..self.lanes() {
            self.eval_lane(builder, lane);
        }
        let row = builder.row();
        let (count, layer) = (row.fixed[fixed::COUNT], row.fixed[fixed::LAYER]);
        let kind = count * B::Expr::from(small::<B::F>(ClaimKind::Sums as usize));
        let entries = [
            Element::Base(kind),
            Element::Base(layer),
            Element::Ext(row.projection[0]),
        ];
        builder.message(Bus::Claim, count, &entries);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let width = self.widths().fixed - engine::WIDTH;
        let mut values = F::zero_vec(self.rows() * width);
        let mut set = |row: usize, column: usize, value: F| {
            values[row * width + column - engine::WIDTH] = value;
        };
        let mut above = None;
        for (r, (block, ratio)) in self.steps().into_iter().enumerate() {
            let is_bias = block.content == Content::Bias;
            set(r, fixed::WEIGHTS, F::from_bool(!is_bias));
            set(r, fixed::BIASES, F::from_bool(is_bias));
            set(r, fixed::KEEP, F::from_bool(above == Some(block.layer)));
            if let Some(i) = self.ratios.find(&ratio) {
                set(r, fixed::RATIO + i, F::ONE);
            }
            // The biases are a layer's last rows.
            if is_bias && r + 1 == block.end() {
                set(r + 1, fixed::LAYER, small(block.layer));
                set(r + 1, fixed::COUNT, F::ONE);
            }
            above = Some(block.layer);
        }
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        let mut names = alloc::vec!["fold"];
        names.resize(1 + self.lanes(), "split");
        names
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "fold" => "t, u, v",
            _ => "u, v",
        }
    }
}
