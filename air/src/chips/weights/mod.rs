//! # Weights: matrix products by random projection
//!
//! A product `acc[j] = Σ_k W[k][j]·x[k]` is never computed in the trace. Folded with a random ρ
//! it reads `Σ_j ρ^(N−1−j)·acc[j] = Σ_k x[k]·v_k` with `v_k = Σ_j ρ^(N−1−j)·W[k][j]`. This table
//! computes the `v_k` and sends each to the row that holds `x[k]`. Biases, the rounding constant
//! `half` included, are the weights of one more feature, `k = K`, which is always 1.
//!
//! A block of rows belongs to one `(layer, k)`: `lanes` weights a row, lowest output first, the
//! block's *leading* lanes left empty when `N` is not a multiple of `lanes`.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | weight | `w[0..lanes]` | weights, committed once for all proofs |
//! | form | `F = Σ_b ρ^(lanes−1−b)·w[b]` | virtual |
//! | fixed | `cont` | 1 if the next row continues this block |
//! | fixed | `end` | 1 on a block's last row |
//! | fixed | `layer`, `index` | the block's `(layer, k)` |
//! | projection | `h` | the block's rows above, folded |
//!
//! ## Constraints
//!
//!   1. `fold`   `step·h' − cont·ρ^lanes·(h + F) = 0`                                   deg 2
//!
//! On a block's first row `h` is 0, because the row above has `cont = 0`; on row 0 by constraint
//!
//!   2. `start`  `first·h = 0`                                                         deg 2
//!
//! ## Buses
//!
//! `PRODUCT`: sends `(layer, k, h + F)` `end` times; the single message is merged into LogUp's
//! running sum, so the table's auxiliary columns are two extension elements a row.
//!
//! ## Padding
//!
//! `cont`, `end`, `step` are 0; other cells unread.
//!
//! ## Soundness
//!
//! `w`, `cont`, `end`, `layer`, `index` are committed by the verifying key; `fold` and `start` fix
//! `h` on every live row. The empty leading lanes carry exponents `≥ N`, which no accumulator has:
//! a key that puts numbers there describes a model that some inputs have no proof for, never one
//! with a second answer.
//! Whether `v_k` belongs to the weights is exact; that the *folded* identity implies the product is
//! Schwartz–Zippel in ρ and σ, over polynomials of degree below `N` and the number of positions,
//! because weights, inputs and accumulators are all committed before σ, ρ are drawn.
//!
//! ## References
//!
//! Freivalds 1977; the projection of the whole layer at once is derived in `docs/protocol.md`.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PackedFieldExtension};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::{Air, Widths, signed, small};
use crate::builder::{AirBuilder, Challenges, Element, engine};
use crate::bus::Bus;
use crate::graph::Model;

/// The weights of one layer inside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightBlock {
    /// Index of the layer.
    pub layer: usize,
    /// First row.
    pub start: usize,
    /// Input features `K`, the unit that biases belong to not counted.
    pub inputs: usize,
    /// Output features `N`.
    pub outputs: usize,
}

/// The chip of one weight table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsAir {
    /// Weights per row.
    pub lanes: usize,
    /// Layers in order, without gaps.
    pub blocks: Vec<WeightBlock>,
}

mod fixed {
    use super::engine;
    pub const CONT: usize = engine::WIDTH;
    pub const END: usize = engine::WIDTH + 1;
    pub const LAYER: usize = engine::WIDTH + 2;
    pub const INDEX: usize = engine::WIDTH + 3;
    pub const WIDTH: usize = engine::WIDTH + 4;
}

impl WeightsAir {
    /// Rows of a block: one group for each input feature, one for the biases.
    pub(super) const fn block_rows(&self, block: &WeightBlock) -> usize {
        (block.inputs + 1) * self.rows_per_input(block)
    }

    /// Rows of one input feature of a block.
    pub(super) const fn rows_per_input(&self, block: &WeightBlock) -> usize {
        block.outputs.div_ceil(self.lanes)
    }

    /// The weight matrix, padded to `height` rows.
    pub fn generate_weights<F: Field>(&self, model: &Model, height: usize) -> RowMajorMatrix<F> {
        let mut values = F::zero_vec(height * self.lanes);
        for block in &self.blocks {
            let stride = self.rows_per_input(block) * self.lanes;
            let empty = stride - block.outputs;
            let start = block.start * self.lanes;
            let (weights, biases) = values[start..start + (block.inputs + 1) * stride]
                .split_at_mut(block.inputs * stride);
            let layer = &model.weights[block.layer];
            let source = layer.values.par_chunks_exact(block.outputs);
            let rows = weights.par_chunks_exact_mut(stride).zip(source);
            rows.for_each(|(row, w)| {
                for (slot, &w) in row[empty..].iter_mut().zip(w) {
                    *slot = signed(i64::from(w));
                }
            });
            let half = model.graph.layers[block.layer].requant.half();
            for (slot, &bias) in biases[empty..].iter_mut().zip(&layer.bias) {
                *slot = signed(i64::from(bias) + half);
            }
        }
        RowMajorMatrix::new(values, self.lanes)
    }

    /// The projection column `h`, and every layer's folded weights `v_0 … v_K`, from the weight matrix.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        weights: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
    ) -> (Vec<EF>, Vec<(usize, Vec<EF>)>) {
        let coefficients = self.form_coefficients(challenges);
        let forms = linear_form::<F, EF>(weights, &coefficients);
        let lift = challenges.rho_powers[self.lanes];
        let mut column = EF::zero_vec(weights.height());
        let mut folded = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let per_input = self.rows_per_input(block);
            let rows = block.start..block.start + self.block_rows(block);
            let v = column[rows.clone()]
                .par_chunks_exact_mut(per_input)
                .zip(forms[rows].par_chunks_exact(per_input))
                .map(|(column, forms)| {
                    let mut h = EF::ZERO;
                    for (slot, &form) in column.iter_mut().zip(forms) {
                        *slot = h;
                        h = (h + form) * lift;
                    }
                    // The last row's value is h + F, not yet lifted.
                    column[per_input - 1] + forms[per_input - 1]
                })
                .collect();
            folded.push((block.layer, v));
        }
        (column, folded)
    }

    fn form_coefficients<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        challenges.rho_powers[..self.lanes]
            .iter()
            .rev()
            .copied()
            .collect()
    }
}

/// `Σ_b coefficients[b]·row[b]` for every row.
pub fn linear_form<F: Field, EF: ExtensionField<F>>(
    matrix: &impl Matrix<F>,
    coefficients: &[EF],
) -> Vec<EF> {
    let width = <F::Packing as p3_field::PackedValue>::WIDTH;
    let packed: Vec<EF::ExtensionPacking> = coefficients
        .chunks(width)
        .map(|chunk| {
            EF::ExtensionPacking::from_ext_fn(|lane| chunk.get(lane).copied().unwrap_or(EF::ZERO))
        })
        .collect();
    matrix.rowwise_packed_dot_product::<EF>(&packed).collect()
}

impl Air for WeightsAir {
    fn name(&self) -> &'static str {
        "weights"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::WIDTH,
            weight: self.lanes,
            main: 0,
            projection: 1,
            messages: 1,
            constraints: self.constraint_names().len(),
        }
    }

    fn rows(&self) -> usize {
        self.blocks
            .last()
            .map_or(0, |b| b.start + self.block_rows(b))
    }

    fn weight_form<EF: Field>(&self, challenges: &Challenges<EF>) -> Option<Vec<EF>> {
        Some(self.form_coefficients(challenges))
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let lift = builder.challenges().rho_powers[self.lanes];
        let row = builder.row();
        let (h, h_next) = (row.projection[0], row.projection_next[0]);
        let (cont, end, step) = (row.fixed[fixed::CONT], row.fixed[fixed::END], row.step());
        let first = row.fixed[engine::FIRST];
        let (layer, index) = (row.fixed[fixed::LAYER], row.fixed[fixed::INDEX]);
        // `form` is present because `weight_form` is.
        let value = row.form.map_or(h, |form| h + form);

        // step·h' = cont·ρ^lanes·(h + F)
        let lifted = value * B::ExprEF::from(lift);
        builder.assert_zero_ext("fold", h_next * step - lifted * cont);
        // first·h = 0
        builder.assert_zero_ext("start", h * first);

        builder.message(
            Bus::Product,
            end,
            &[
                Element::Base(layer),
                Element::Base(index),
                Element::Ext(value),
            ],
        );
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values = Vec::with_capacity(self.rows() * 4);
        for block in &self.blocks {
            let per_input = self.rows_per_input(block);
            for k in 0..=block.inputs {
                for i in 0..per_input {
                    let end = i + 1 == per_input;
                    values.extend([
                        F::from_bool(!end),
                        F::from_bool(end),
                        small(block.layer),
                        small(k),
                    ]);
                }
            }
        }
        values
    }

    fn constraint_names(&self) -> &'static [&'static str] {
        &["fold", "start"]
    }

    fn columns_of(&self, _constraint: &str) -> &'static str {
        "h"
    }
}
