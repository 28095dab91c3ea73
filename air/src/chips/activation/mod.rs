//! # Activation: requantise, apply a function, pass the claims on
//!
//! One row is one feature of one tensor, its batch items side by side in `lanes`. A tensor that a
//! layer reads has one row more, its first: the *unit row*, the feature that is always 1 and whose
//! weights are the layer's biases. For a layer's output the row takes each accumulator apart and
//! looks its activation up:
//!
//! ```text
//!   acc + half = (q + side·excess)·2^s + rem        0 ≤ rem < 2^s,   (side, q, out) ∈ table
//! ```
//!
//! `side` is 0 where the quotient lies in the table's domain and ±1 where it saturates: the table
//! has entries with `side = ±1` at the two ends of the domain only. The accumulator itself is no
//! cell: it is the linear form above, and it leaves the row only inside a projection.
//!
//! A graph input with `2^k` values is *ranged*: it is `lo + rem` with `0 ≤ rem < 2^k`, and needs no
//! table. An input with another number of values has `s = 0` and an identity table.
//!
//! ## Columns (per lane `b`: `[b]`)
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `q[b]`, `out[b]` | clamped quotient, activation |
//! | main | `side[b]` | −1, 0, 1; absent if no tensor of the table can saturate |
//! | main | `rem[b][i]`, `excess[b][i]` | limbs of `limb_bits` bits, lowest first |
//! | fixed | `real` | 1 on rows of a tensor's features |
//! | fixed | `looked` | 1 on those among them that are looked up: not of a ranged input |
//! | fixed | `lo` | the smallest value of a ranged input |
//! | fixed | `unit` | 1 on unit rows |
//! | fixed | `keep` | 1 on rows of a tensor except its first |
//! | fixed | `function`, `pow_shift` | table identifier, `2^s`; 0 on rows of a ranged input |
//! | fixed | `rem_bits[i]`, `excess_bits[i]` | width of each limb; 0 for an absent limb |
//! | fixed | `acc_kind`, `acc_tensor`, `acc_count` | the claim on `h`, on the row below a tensor |
//! | fixed | `sum_kind`, `sum_tensor`, `sum_count` | the claim on `s`, on the row below a tensor |
//! | fixed | `claimed[i]` | 1 on the row below input or output `i`, where it is claimed |
//! | fixed | `layer`, `index`, `takes` | which `v_k` this row receives, if any |
//! | fixed | `pow_first`, `pow_step` | on an output's rows: `v` runs through the powers of ρ |
//! | projection | `h` | `Σ_j ρ^(·) Σ_b σ^b acc[j][b]` over the rows above, of this tensor |
//! | projection | `v` | received `v_k`, or `ρ^f` on an output's rows |
//! | projection | `s` | `Σ_k v_k Σ_b σ^b out[k][b]` over the rows above, of this tensor |
//!
//! ## Constraints
//!
//! With `A = Σ_b σ^b ((q + side·excess)·pow_shift + real·rem + lo)` and
//! `u = Σ_b σ^b (looked·out[b] + (real − looked)·rem + lo + unit)`:
//!
//!   1. `project`    `step·h' − ρ·keep·h − A = 0`                                       deg 3
//!   2. `consume`    `step·s' − keep·s − u·v = 0`                                       deg 3
//!   3. `pow_first`  `pow_first·(v − 1) = 0`                                            deg 2
//!   4. `pow_step`   `pow_step·(v' − ρ·v) = 0`                                          deg 2
//!
//! `keep = 0` on a tensor's first row discards what the tensor above left in `h` and `s`, so those
//! totals are readable exactly there, on the row below the tensor they belong to. The last live
//! row belongs to no tensor: it is where the last totals are read.
//!
//! ## Buses
//!
//! `RANGE`: receives `(rem_bits[i], rem[i])`, `(excess_bits[i], excess[i])`, `real` times.
//! `ACTIVATION`: receives `(function, side, q, out)`, `looked` times.
//! `PRODUCT`: receives `(layer, index, v)`, `takes` times.
//! `CLAIM`: sends `(acc_kind, acc_tensor, h)` `acc_count` times and `(sum_kind, sum_tensor, s)`
//! `sum_count` times (−1 where the claim is received: `s` of a layer's input must be the `h` of its
//! output). The claim on a graph input (`h`) or output (`s`) is sent `claimed[i]` times the number of
//! its receivers: the verifier if the statement shows the tensor, and every table that proves
//! something of it.
//!
//! ## Padding
//!
//! `real`, `looked`, `lo`, `unit`, `keep`, `pow_shift`, `step`, all counts and `pow_*` are 0: no main
//! cell enters anything. On a unit row `real`, `looked`, `lo` and `pow_shift` are 0 too. On rows of a
//! ranged input `q`, `out`, `side` and `excess` enter nothing but the ranges of `excess`.
//!
//! ## Soundness
//!
//! - `rem`: each limb is in `[0, 2^rem_bits[i])` by `RANGE`, hence `0 ≤ rem < 2^s`. The width is
//!   part of the message, so a wide limb cannot pass as a narrow one.
//! - `side`, `q`, `out`: an entry of the table `function`. `side = 1` forces `q` to the upper end
//!   of the domain, `−1` to the lower end.
//! - `excess`: in `[0, 2^excess_bits)`. With `side = 0` it does not matter: it is multiplied by 0.
//! - Uniqueness. Let `V = (q + side·excess)·2^s + rem`, an integer. `V` fixes `out`: inside the
//!   domain `q = ⌊V/2^s⌋`, and where two decompositions of one `V` exist (`side·excess = 0`) they
//!   name the same `q`. `V` is known modulo p and takes fewer than p values: `span ≤ p`, where
//!   `span = (domain + 2·(2^m − 1))·2^s`, is checked on the graph by the verifier
//!   ([`crate::graph::Graph::validate`]). So is the meaning bound, by whoever holds the weights.
//!   Example: s = 10, m = 18, 12-bit domain: `(2^12 + 2^19 − 2)·2^10 = 541 063 168 < p = 2 013 265 921`.
//! - A ranged input. `lo + rem` is an integer in `[lo, lo + 2^k)`, `2^k ≤ 2^16 < p`, and the same in `A` as
//!   in `u`: the value that is claimed is the value the next layer reads.
//! - `h`, `s`: fixed by 1 and 2 from row to row. They are *not* fixed on row 0, and need not be:
//!   row 0 has `keep = 0` and no claim. A unit row leaves `h = 0` below it and starts `s` with
//!   `v_K·Σ_b σ^b`: nothing of it is a cell, so the biases are added exactly once.
//! - `v`: received from the weight table, `takes` being fixed, or by 3 and 4 a power of ρ.
//! - A tensor of which the statement says nothing is not claimed, hence as free as the statement
//!   says: some values in its range. What is said is absorbed before all else.
//! - The claim on `h` has `Σ_j ρ^(N−1−j)` (Horner from the top, lanes by σ^b): the map
//!   (feature, position) → (exponent of ρ, exponent of σ) is one-to-one, all lanes are positions.
//!
//! ## References
//!
//! Rounding and saturation: `crate::graph::Requant`. Projection: `docs/protocol.md`.

mod trace;

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use super::{Air, Widths, signed, small};
use crate::builder::{AirBuilder, Element, Row, engine};
use crate::bus::{Bus, ClaimKind};
use crate::graph::{Graph, Layer};

/// Where a tensor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the graph's input of this index.
    Input(usize),
    /// It is the output of this layer.
    Layer(usize),
}

/// Where a tensor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// It is the input of this layer, whose output tensor is `output`.
    Layer {
        /// Index of the layer.
        layer: usize,
        /// Index of the tensor it writes.
        output: usize,
    },
    /// It is an output of the graph.
    Output,
}

/// The rows of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorBlock {
    /// Index of the tensor.
    pub tensor: usize,
    /// First row: the unit row, if there is one.
    pub start: usize,
    /// Number of features.
    pub features: usize,
    /// Where it comes from.
    pub source: Source,
    /// Where it goes.
    pub sink: Sink,
    /// Right shift `s`; the bits `k` of a ranged input.
    pub shift: u8,
    /// Width of the excess, `m`.
    pub excess_bits: u8,
    /// Identifier of the activation table, from 1; 0 for a ranged input.
    pub function: usize,
    /// The smallest value of a ranged input.
    pub lo: i32,
}

impl TensorBlock {
    /// Whether it is an output of the graph.
    pub const fn is_output(&self) -> bool {
        matches!(self.sink, Sink::Output)
    }

    /// Row of the first feature: below the unit row of a tensor that a layer reads.
    pub const fn first_feature(&self) -> usize {
        self.start + !self.is_output() as usize
    }

    /// Whether it is an input that limbs alone keep in its range.
    pub const fn is_ranged(&self) -> bool {
        self.function == 0
    }

    /// Whether `row` is the block's unit row.
    pub const fn is_unit_row(&self, row: usize) -> bool {
        row == self.start && row < self.first_feature()
    }

    /// The first row below the block.
    pub const fn end(&self) -> usize {
        self.first_feature() + self.features
    }
}

/// The shape of a row: how many lanes and limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limbs {
    /// Width of a full limb.
    pub bits: u8,
    /// Limbs of a remainder.
    pub rem: usize,
    /// Limbs of an excess; 0 if no tensor of the table can saturate.
    pub excess: usize,
}

impl Limbs {
    /// Width of limb `i` of a number of `bits` bits.
    pub fn width(&self, bits: u8, i: usize) -> u8 {
        let below = (i * usize::from(self.bits)).min(255) as u8;
        bits.saturating_sub(below).min(self.bits)
    }
}

/// The chip of all tensors with the same number of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAir {
    /// Positions, side by side in a row.
    pub lanes: usize,
    /// Limb structure, shared by all rows.
    pub limbs: Limbs,
    /// Tensors in order, without gaps.
    pub blocks: Vec<TensorBlock>,
    /// Those among them that a statement may show.
    pub boundary: Vec<Boundary>,
}

/// An input or output of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// Index of the tensor.
    pub tensor: usize,
    /// Whether it is an input.
    pub is_input: bool,
}

/// Fixed columns behind the engine's.
mod fixed {
    use super::engine;
    pub const REAL: usize = engine::WIDTH;
    pub const LOOKED: usize = REAL + 1;
    pub const LO: usize = REAL + 2;
    pub const UNIT: usize = REAL + 3;
    pub const KEEP: usize = REAL + 4;
    pub const FUNCTION: usize = REAL + 5;
    pub const POW_SHIFT: usize = REAL + 6;
    pub const ACC_KIND: usize = REAL + 7;
    pub const ACC_TENSOR: usize = REAL + 8;
    pub const ACC_COUNT: usize = REAL + 9;
    pub const SUM_KIND: usize = REAL + 10;
    pub const SUM_TENSOR: usize = REAL + 11;
    pub const SUM_COUNT: usize = REAL + 12;
    pub const LAYER: usize = REAL + 13;
    pub const INDEX: usize = REAL + 14;
    pub const TAKES: usize = REAL + 15;
    pub const POW_FIRST: usize = REAL + 16;
    pub const POW_STEP: usize = REAL + 17;
    pub const LIMB_BITS: usize = REAL + 18;
}

/// Projection columns.
mod projection {
    pub const H: usize = 0;
    pub const V: usize = 1;
    pub const S: usize = 2;
    pub const WIDTH: usize = 3;
}

/// Where the cells of a lane lie.
#[derive(Clone, Copy, Debug)]
struct LaneCols {
    q: usize,
    out: usize,
    side: usize,
    rem: usize,
    excess: usize,
}

impl ActivationAir {
    /// The blocks of all tensors of `graph` with `positions` positions. `function_of` names the
    /// activation table of a tensor, 0 for none.
    pub fn new(
        graph: &Graph,
        positions: u32,
        limbs: Limbs,
        function_of: impl Fn(usize) -> usize,
    ) -> Self {
        let mut blocks = Vec::new();
        let mut boundary = Vec::new();
        let mut start = 0;
        for (index, tensor) in graph.tensors.iter().enumerate() {
            if tensor.positions != positions {
                continue;
            }
            let (source, requant) = match index.checked_sub(graph.inputs.len()) {
                None => (Source::Input(index), None),
                Some(layer) => (Source::Layer(layer), Some(&graph.layers[layer].requant)),
            };
            let ranged = graph.ranged_bits(index);
            let block = TensorBlock {
                tensor: index,
                start,
                features: tensor.features as usize,
                source,
                sink: sink_of(&graph.layers, index),
                shift: requant.map_or(ranged.unwrap_or(0), |r| r.shift),
                excess_bits: requant.map_or(0, |r| r.excess_bits),
                function: function_of(index),
                lo: ranged.map_or(0, |_| tensor.range.lo),
            };
            start = block.end();
            let is_input = matches!(block.source, Source::Input(_));
            if is_input || block.is_output() {
                boundary.push(Boundary {
                    tensor: index,
                    is_input,
                });
            }
            blocks.push(block);
        }
        Self {
            lanes: positions as usize,
            limbs,
            blocks,
            boundary,
        }
    }

    /// Main columns of one lane.
    pub const fn lane_width(&self) -> usize {
        2 + (self.limbs.excess > 0) as usize + self.limbs.rem + self.limbs.excess
    }

    const fn lane(&self, lane: usize) -> LaneCols {
        let q = lane * self.lane_width();
        let has_side = (self.limbs.excess > 0) as usize;
        LaneCols {
            q,
            out: q + 1,
            side: q + 2,
            rem: q + 2 + has_side,
            excess: q + 2 + has_side + self.limbs.rem,
        }
    }

    /// Limb columns a lane has.
    const fn num_limbs(&self) -> usize {
        self.limbs.rem + self.limbs.excess
    }

    /// The fixed column `claimed[i]`.
    const fn claimed_column(&self, i: usize) -> usize {
        fixed::LIMB_BITS + self.num_limbs() + i
    }

    /// `Σ_i 2^(i·limb_bits)·limb_i`.
    fn recompose<E: PrimeCharacteristicRing + Copy>(&self, limbs: &[E]) -> E {
        let mut value = E::ZERO;
        for &limb in limbs.iter().rev() {
            value = value.mul_2exp_u64(u64::from(self.limbs.bits)) + limb;
        }
        value
    }

    /// `(A, u)`: the projected accumulators, and the projected outputs.
    fn forms<E, X, EF>(&self, row: &Row<'_, E, X>, sigma_powers: &[EF]) -> (X, X)
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let (real, looked) = (row.fixed[fixed::REAL], row.fixed[fixed::LOOKED]);
        let (lo, unit) = (row.fixed[fixed::LO], row.fixed[fixed::UNIT]);
        let pow_shift = row.fixed[fixed::POW_SHIFT];
        let (mut acc, mut out) = (X::ZERO, X::ZERO);
        for (lane, &sigma) in (0..self.lanes).zip(sigma_powers) {
            let cols = self.lane(lane);
            let rem = self.recompose(&row.main[cols.rem..cols.rem + self.limbs.rem]);
            let mut quot = row.main[cols.q];
            if self.limbs.excess > 0 {
                let excess = &row.main[cols.excess..cols.excess + self.limbs.excess];
                quot += row.main[cols.side] * self.recompose(excess);
            }
            let sigma = X::from(sigma);
            let looked_up = looked * row.main[cols.out];
            acc += sigma * (quot * pow_shift + real * rem + lo);
            out += sigma * (looked_up + (real - looked) * rem + lo + unit);
        }
        (acc, out)
    }

    /// Lookups of one lane.
    fn eval_lookups<B: AirBuilder>(&self, builder: &mut B, lane: usize) {
        let cols = self.lane(lane);
        let row = builder.row();
        let taken = -row.fixed[fixed::REAL];
        let looked = -row.fixed[fixed::LOOKED];
        let function = row.fixed[fixed::FUNCTION];
        let (q, out) = (row.main[cols.q], row.main[cols.out]);
        let side = if self.limbs.excess > 0 {
            row.main[cols.side]
        } else {
            B::Expr::ZERO
        };
        builder.message(
            Bus::Activation,
            looked,
            &[function, side, q, out].map(Element::Base),
        );
        for i in 0..self.num_limbs() {
            let row = builder.row();
            let bits = row.fixed[fixed::LIMB_BITS + i];
            let limb = row.main[cols.rem + i];
            builder.message(Bus::Range, taken, &[bits, limb].map(Element::Base));
        }
    }

    /// The three messages that carry projected values.
    fn eval_claims<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let f = |column: usize| row.fixed[column];
        let product = [
            Element::Base(f(fixed::LAYER)),
            Element::Base(f(fixed::INDEX)),
            Element::Ext(row.projection[projection::V]),
        ];
        let accumulated = [
            Element::Base(f(fixed::ACC_KIND)),
            Element::Base(f(fixed::ACC_TENSOR)),
            Element::Ext(row.projection[projection::H]),
        ];
        let summed = [
            Element::Base(f(fixed::SUM_KIND)),
            Element::Base(f(fixed::SUM_TENSOR)),
            Element::Ext(row.projection[projection::S]),
        ];
        let takes = f(fixed::TAKES);
        let (mut acc_count, mut sum_count) = (f(fixed::ACC_COUNT), f(fixed::SUM_COUNT));
        for (i, boundary) in self.boundary.iter().enumerate() {
            let receivers = B::F::from_u32(builder.challenges().receivers[boundary.tensor]);
            let claimed = f(self.claimed_column(i)) * B::Expr::from(receivers);
            if boundary.is_input {
                acc_count += claimed;
            } else {
                sum_count += claimed;
            }
        }
        builder.message(Bus::Product, -takes, &product);
        builder.message(Bus::Claim, acc_count, &accumulated);
        builder.message(Bus::Claim, sum_count, &summed);
    }

    /// The fixed columns of row `r`, in a block or below the last one.
    fn fixed_row<F: Field>(
        &self,
        r: usize,
        block: Option<&TensorBlock>,
        above: Option<&TensorBlock>,
    ) -> Vec<F> {
        let mut row = F::zero_vec(self.widths().fixed - engine::WIDTH);
        let mut set = |column: usize, value: F| row[column - engine::WIDTH] = value;
        let offset = block.map_or(0, |block| r - block.start);
        if let Some(block) = block {
            set(fixed::KEEP, F::from_bool(offset > 0));
            if let Sink::Layer { layer, .. } = block.sink {
                // The biases are the weights of a feature behind the last one.
                let index = r.checked_sub(block.first_feature());
                set(fixed::UNIT, F::from_bool(index.is_none()));
                set(fixed::LAYER, small(layer));
                set(fixed::INDEX, small(index.unwrap_or(block.features)));
                set(fixed::TAKES, F::ONE);
            } else {
                set(fixed::POW_FIRST, F::from_bool(offset == 0));
                set(fixed::POW_STEP, F::from_bool(offset + 1 < block.features));
            }
        }
        if let Some(block) = block.filter(|block| r >= block.first_feature()) {
            set(fixed::REAL, F::ONE);
            set(fixed::LO, signed(i64::from(block.lo)));
            if !block.is_ranged() {
                set(fixed::LOOKED, F::ONE);
                set(fixed::FUNCTION, small(block.function));
                set(fixed::POW_SHIFT, F::TWO.exp_u64(u64::from(block.shift)));
            }
            for i in 0..self.limbs.rem {
                let bits = self.limbs.width(block.shift, i);
                set(fixed::LIMB_BITS + i, F::from_u8(bits));
            }
            for i in 0..self.limbs.excess {
                let bits = self.limbs.width(block.excess_bits, i);
                set(fixed::LIMB_BITS + self.limbs.rem + i, F::from_u8(bits));
            }
        }
        // Totals of the tensor above are read on the first row below it.
        let is_below = offset == 0;
        if let (true, Some(above)) = (is_below, above) {
            let kind = match above.source {
                Source::Input(_) => ClaimKind::Input,
                Source::Layer(_) => ClaimKind::Accumulator,
            };
            set(fixed::ACC_KIND, F::from_u8(kind as u8));
            set(fixed::ACC_TENSOR, small(above.tensor));
            set(fixed::ACC_COUNT, F::from_bool(kind != ClaimKind::Input));
            let (kind, tensor, count) = match above.sink {
                Sink::Layer { output, .. } => (ClaimKind::Accumulator, output, -F::ONE),
                Sink::Output => (ClaimKind::Output, above.tensor, F::ZERO),
            };
            set(fixed::SUM_KIND, F::from_u8(kind as u8));
            set(fixed::SUM_TENSOR, small(tensor));
            set(fixed::SUM_COUNT, count);
            if let Some(i) = self.boundary.iter().position(|b| b.tensor == above.tensor) {
                set(self.claimed_column(i), F::ONE);
            }
        }
        row
    }
}

fn sink_of(layers: &[Layer], tensor: usize) -> Sink {
    match layers.iter().position(|l| l.input.index() == tensor) {
        Some(layer) => Sink::Layer {
            layer,
            output: layers[layer].output.index(),
        },
        None => Sink::Output,
    }
}

impl Air for ActivationAir {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: self.claimed_column(self.boundary.len()),
            weight: 0,
            main: self.lanes * self.lane_width(),
            projection: projection::WIDTH,
            messages: self.lanes * (1 + self.num_limbs()) + 3,
            constraints: self.constraint_names().len(),
        }
    }

    /// All tensors, and the row below the last one.
    fn rows(&self) -> usize {
        self.blocks.last().map_or(0, TensorBlock::end) + 1
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let rho = B::ExprEF::from(builder.challenges().rho());
        let row = builder.row();
        let (h, v, s) = (
            row.projection[projection::H],
            row.projection[projection::V],
            row.projection[projection::S],
        );
        let (h_next, v_next, s_next) = (
            row.projection_next[projection::H],
            row.projection_next[projection::V],
            row.projection_next[projection::S],
        );
        let (step, keep) = (row.step(), row.fixed[fixed::KEEP]);
        let (pow_first, pow_step) = (row.fixed[fixed::POW_FIRST], row.fixed[fixed::POW_STEP]);
        let (acc, out) = self.forms(&row, &builder.challenges().sigma_powers);

        // step·h' = ρ·keep·h + A
        builder.assert_zero_ext("project", h_next * step - h * keep * rho - acc);
        // step·s' = keep·s + u·v
        builder.assert_zero_ext("consume", s_next * step - s * keep - out * v);
        // On the rows of an output, v = 1, ρ, ρ², …
        builder.assert_zero_ext("pow_first", (v - B::ExprEF::ONE) * pow_first);
        builder.assert_zero_ext("pow_step", (v_next - v * rho) * pow_step);

        for lane in 0..self.lanes {
            self.eval_lookups(builder, lane);
        }
        self.eval_claims(builder);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values = Vec::new();
        let mut above = None;
        for block in &self.blocks {
            for r in block.start..block.end() {
                values.extend(self.fixed_row::<F>(r, Some(block), above));
            }
            above = Some(block);
        }
        values.extend(self.fixed_row::<F>(self.rows() - 1, None, above));
        values
    }

    fn constraint_names(&self) -> &'static [&'static str] {
        &["project", "consume", "pow_first", "pow_step"]
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "project" => "h, q, side, rem, excess",
            "consume" => "s, out, rem, v",
            _ => "v",
        }
    }
}
