//! # Weights: fold what the key commits to
//!
//! A row holds `lanes` weights that belong to consecutive outputs, one input channel and one tap of
//! a kernel. A *run* is the rows of one input channel whose taps fall on one phase of the layer's stride; it
//! is folded into the factor that rows of the input receive:
//!
//! ```text
//!   G_(c,φ) = Σ_(δ on φ) Σ_a σ_a^(e_a(δ)) · Σ_o ρ^(n−1−o)·W[c][δ][o],      e_a(δ) = (φ_a − d_a·δ_a + pad_a) / s_a
//! ```
//!
//! A dense layer has one tap and one phase: then `G` is the fold of one row of its matrix. Biases are a
//! run as well, times the sum over all positions of the output; rounding constants are added to them.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | weight | `w[b]` | weights of outputs, the highest power of ρ first; a run's first rows begin with zeros |
//! | fixed | `keep` | 1 on rows of a run except its first |
//! | fixed | `ratio[i]` | 1 if the row's sum is passed on times constant `i` |
//! | fixed | `term`, `index`, `count` | on the row below a run: who receives it, how often |
//! | form | `F` | `Σ_b ρ^(lanes−1−b)·w[b]` |
//! | projection | `h` | the run above, finished; within a run its rows above |
//!
//! ## Constraints
//!
//! With the constants `r_i`:
//!
//!   1. `fold`   `step·h' − Σ_i r_i·ratio[i]·(keep·h + F) = 0`                            deg 3
//!
//! A row `(tap δ, lanes from output o on)` stands at `M = ρ^(…)·σ^(e(δ))`; within a run `r = M/M_next`, on its
//! last row `r = M`, so that below it `h = Σ M·F`.
//!
//! ## Buses
//!
//! `PRODUCT`: sends `(term, index, h)` `count` times.
//!
//! ## Padding
//!
//! All fixed columns are 0; other cells unread.
//!
//! ## Soundness
//!
//! `w`, `keep`, `ratio` and the message's first entries are committed by the verifying key; `fold` fixes `h` on
//! every live row but the first, where it is sent to nobody and not kept. Leading empty lanes carry exponents
//! of outputs of the groups before, or that no accumulator has: a key that puts numbers there describes a
//! denser kernel than its graph says, or a model that some inputs have no proof for, never one with a second
//! answer.
//! That the *folded* identity implies the product is Schwartz–Zippel in ρ and σ, because weights, inputs and
//! accumulators are all committed before the challenges are drawn.
//!
//! ## References
//!
//! Freivalds 1977; the projection of the whole layer at once is derived in `docs/protocol.md`.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PackedFieldExtension};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::activation::readers::{Takes, residues};
use super::{Air, Widths, signed, small};
use crate::builder::{AirBuilder, Challenges, Element, engine};
use crate::bus::Bus;
use crate::graph::{AXES, Graph, Kernel, Map, Model};
use crate::layout::TermIds;
use crate::projection::{Interner, Monomial, select};

/// Which numbers of a layer a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The weights of this term.
    Term(usize),
    /// The biases.
    Bias,
}

/// A constant that a row's sum is passed on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// A monomial.
    Monomial(Monomial),
    /// The sum of `σ^q` over all positions of an extent.
    Positions([u32; AXES]),
}

/// A row of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightRow {
    /// Phase of the run, among those of the map's strides.
    pub residue: usize,
    /// Tap of the kernel.
    pub tap: usize,
    /// Which of the row groups of a tap.
    pub chunk: usize,
    /// Whether it is not the first of its run.
    pub keep: bool,
    /// Whether it is the last of its run.
    pub end: bool,
    /// Index of the constant its sum is passed on with.
    pub ratio: usize,
}

/// The weights of one term, or the biases of one layer, inside the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightBlock {
    /// Index of the layer.
    pub layer: usize,
    /// What it holds.
    pub content: Content,
    /// Number of the term.
    pub term: usize,
    /// First row.
    pub start: usize,
    /// Input channels of all groups.
    pub channels: usize,
    /// Input channels of a group.
    pub group: usize,
    /// Taps of the kernel.
    pub taps: usize,
    /// Outputs of a group.
    pub outputs: usize,
    /// The first output of the layer that is written.
    pub first_output: usize,
    /// Runs of a channel, those without taps included.
    pub residues: usize,
    /// The rows of a channel.
    pub rows: Vec<WeightRow>,
    /// How often each run is received: by index, repeating.
    pub counts: Vec<u32>,
}

impl WeightBlock {
    /// The first row below the block.
    pub fn end(&self) -> usize {
        self.start + self.channels * self.rows.len()
    }
}

/// The chip of one weight table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsAir {
    /// Weights per row.
    pub lanes: usize,
    /// Layers in order, without gaps: the terms with learned weights, then the biases.
    pub blocks: Vec<WeightBlock>,
    scalars: Interner<Scalar>,
}

mod fixed {
    use super::engine;
    pub const KEEP: usize = engine::WIDTH;
    pub const TERM: usize = engine::WIDTH + 1;
    pub const INDEX: usize = engine::WIDTH + 2;
    pub const COUNT: usize = engine::WIDTH + 3;
    pub const RATIO: usize = engine::WIDTH + 4;
}

/// The taps of a map on one phase, with their monomials.
fn taps_on(map: &Map, residue: usize) -> Vec<(usize, Monomial)> {
    let [sz, sy, sx] = map.axes.map(|a| a.stride as usize);
    let phase = [residue / (sy * sx) % sz, residue / sx % sy, residue % sx];
    let [z, y, x]: [Vec<(u32, i32)>; AXES] =
        core::array::from_fn(|a| map.taps_on(a, phase[a] as u32));
    let [_, h, w] = map.axes.map(|a| a.taps as usize);
    let mut taps = Vec::new();
    for &(tz, ez) in &z {
        for &(ty, ey) in &y {
            for &(tx, ex) in &x {
                let tap = (tz as usize * h + ty as usize) * w + tx as usize;
                let monomial = Monomial {
                    rho: 0,
                    sigma: [ez, ey, ex],
                };
                taps.push((tap, monomial));
            }
        }
    }
    taps
}

impl WeightsAir {
    /// The table of a graph's weights.
    pub fn new(graph: &Graph, ids: &TermIds, lanes: usize) -> Self {
        let mut air = Self {
            lanes,
            blocks: Vec::new(),
            scalars: Interner::default(),
        };
        for (l, layer) in graph.sums() {
            for (t, term) in layer.terms.iter().enumerate() {
                if term.map.kernel == Kernel::Weights {
                    air.push_term(graph, ids, l, t, &term.map);
                }
            }
            air.push_bias(graph, ids, l);
        }
        air
    }

    fn next_row(&self) -> usize {
        self.blocks.last().map_or(0, WeightBlock::end)
    }

    fn push_term(&mut self, graph: &Graph, ids: &TermIds, layer: usize, t: usize, map: &Map) {
        let runs: Vec<_> = (0..residues(map)).map(|r| taps_on(map, r)).collect();
        let outputs = map.outputs as usize;
        let mut rows = Vec::new();
        for (residue, taps) in runs.iter().enumerate() {
            self.push_run(&mut rows, residue, taps, outputs, None);
        }
        let takes = Takes::new(graph, ids, layer, t);
        self.blocks.push(WeightBlock {
            layer,
            content: Content::Term(t),
            term: ids.term(layer, t),
            start: self.next_row(),
            channels: (map.groups * map.inputs) as usize,
            group: map.inputs as usize,
            taps: map.taps(),
            outputs,
            first_output: map.first_output as usize,
            residues: runs.len(),
            rows,
            counts: takes.counts(),
        });
    }

    fn push_bias(&mut self, graph: &Graph, ids: &TermIds, layer: usize) {
        let output = &graph.tensors[graph.layers[layer].output.index()];
        let outputs = output.features as usize;
        let mut rows = Vec::new();
        let positions = Scalar::Positions(output.extent);
        self.push_run(
            &mut rows,
            0,
            &[(0, Monomial::ONE)],
            outputs,
            Some(positions),
        );
        self.blocks.push(WeightBlock {
            layer,
            content: Content::Bias,
            term: ids.bias(graph, layer),
            start: self.next_row(),
            channels: 1,
            group: 1,
            taps: 1,
            outputs,
            first_output: 0,
            residues: 1,
            rows,
            counts: alloc::vec![1],
        });
    }

    /// The rows of a run: row groups of outputs outside, taps inside.
    fn push_run(
        &mut self,
        rows: &mut Vec<WeightRow>,
        residue: usize,
        taps: &[(usize, Monomial)],
        outputs: usize,
        last: Option<Scalar>,
    ) {
        let chunks = outputs.div_ceil(self.lanes);
        let places: Vec<(usize, usize, Monomial)> = (0..chunks)
            .flat_map(|chunk| {
                let above = ((chunks - 1 - chunk) * self.lanes) as i32;
                let at = move |m: Monomial| m.times(Monomial::rho(above));
                taps.iter().map(move |&(tap, m)| (chunk, tap, at(m)))
            })
            .collect();
        for (i, &(chunk, tap, monomial)) in places.iter().enumerate() {
            let ratio = match (places.get(i + 1), last) {
                (Some((_, _, next)), _) => Scalar::Monomial(monomial.over(*next)),
                (None, Some(last)) => last,
                (None, None) => Scalar::Monomial(monomial),
            };
            rows.push(WeightRow {
                residue,
                tap,
                chunk,
                keep: i > 0,
                end: i + 1 == places.len(),
                ratio: self.scalars.index(ratio),
            });
        }
    }

    /// The output of each lane of a row, if it has one.
    pub(super) fn output_of(
        &self,
        block: &WeightBlock,
        row: &WeightRow,
        lane: usize,
    ) -> Option<usize> {
        let empty = block.outputs.div_ceil(self.lanes) * self.lanes - block.outputs;
        let output = (row.chunk * self.lanes + lane).checked_sub(empty)?;
        (output < block.outputs).then_some(output)
    }

    /// Calls `f` with the row, the lane and the number of every weight and bias of a block.
    pub(super) fn for_each_number(
        &self,
        block: &WeightBlock,
        model: &Model,
        mut f: impl FnMut(usize, usize, i64),
    ) {
        let weights = &model.weights[block.layer];
        let half = model.graph.layers[block.layer].requant.half();
        for channel in 0..block.channels {
            for (r, row) in block.rows.iter().enumerate() {
                let at = block.start + channel * block.rows.len() + r;
                for lane in 0..self.lanes {
                    let Some(o) = self.output_of(block, row, lane) else {
                        continue;
                    };
                    let number = match block.content {
                        Content::Term(t) => {
                            let first = (channel * block.taps + row.tap) * block.outputs;
                            i64::from(weights.terms[t][first + o])
                        }
                        Content::Bias => i64::from(weights.bias[o]) + half,
                    };
                    f(at, lane, number);
                }
            }
        }
    }

    /// The weight matrix, padded to `height` rows.
    pub fn generate_weights<F: Field>(&self, model: &Model, height: usize) -> RowMajorMatrix<F> {
        let mut values = F::zero_vec(height * self.lanes);
        for block in &self.blocks {
            self.for_each_number(block, model, |row, lane, number| {
                values[row * self.lanes + lane] = signed(number);
            });
        }
        RowMajorMatrix::new(values, self.lanes)
    }

    /// The projection column `h`, and the folded runs of every term with weights: by number of the term,
    /// then by index.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        weights: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
    ) -> (Vec<EF>, Vec<(usize, Vec<EF>)>) {
        let forms = linear_form::<F, EF>(weights, &self.form_coefficients(challenges));
        let constants = self.constants(challenges);
        // `below[r]` is the cell of row r + 1.
        let mut below = EF::zero_vec(self.rows() - 1);
        let mut folded = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let rows = block.start..block.end();
            let per_channel = block.rows.len();
            let channels = below[rows.clone()]
                .par_chunks_exact_mut(per_channel)
                .zip(forms[rows].par_chunks_exact(per_channel));
            let runs: Vec<Vec<EF>> = channels
                .map(|(below, forms)| {
                    let mut runs = EF::zero_vec(block.residues);
                    let mut h = EF::ZERO;
                    for ((row, &form), slot) in block.rows.iter().zip(forms).zip(below) {
                        h = if row.keep { h + form } else { form };
                        h *= constants[row.ratio];
                        *slot = h;
                        if row.end {
                            runs[row.residue] = h;
                        }
                    }
                    runs
                })
                .collect();
            folded.push((block.term, runs.concat()));
        }
        let mut column = alloc::vec![EF::ZERO];
        column.append(&mut below);
        column.resize(weights.height(), EF::ZERO);
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
            fixed: fixed::RATIO + self.scalars.len(),
            weight: self.lanes,
            main: 0,
            projection: 1,
            messages: 1,
            constraints: self.constraint_names().len(),
        }
    }

    /// All runs, and the row below the last one.
    fn rows(&self) -> usize {
        self.next_row() + 1
    }

    fn weight_form<EF: Field>(&self, challenges: &Challenges<EF>) -> Option<Vec<EF>> {
        Some(self.form_coefficients(challenges))
    }

    fn constants<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        let points = &challenges.points;
        let value = |scalar: &Scalar| match *scalar {
            Scalar::Monomial(monomial) => points.at(monomial),
            Scalar::Positions(extent) => points.all_positions(extent),
        };
        self.scalars.items().iter().map(value).collect()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let (h, h_next) = (row.projection[0], row.projection_next[0]);
        let kept = h * row.fixed[fixed::KEEP];
        // `form` is present because `weight_form` is.
        let value = row.form.map_or(kept, |form| kept + form);
        let ratio: B::ExprEF = select(&row.fixed[fixed::RATIO..], builder.constants());
        // step·h' = Σ_i r_i·ratio[i]·(keep·h + F)
        builder.assert_zero_ext("fold", h_next * row.step() - ratio * value);
        let row = builder.row();
        let entries = [
            Element::Base(row.fixed[fixed::TERM]),
            Element::Base(row.fixed[fixed::INDEX]),
            Element::Ext(h),
        ];
        let count = row.fixed[fixed::COUNT];
        builder.message(Bus::Product, count, &entries);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let width = self.widths().fixed - engine::WIDTH;
        let mut values = F::zero_vec(self.rows() * width);
        let mut set = |row: usize, column: usize, value: F| {
            values[row * width + column - engine::WIDTH] = value;
        };
        for block in &self.blocks {
            for channel in 0..block.channels {
                for (r, row) in block.rows.iter().enumerate() {
                    let at = block.start + channel * block.rows.len() + r;
                    set(at, fixed::KEEP, F::from_bool(row.keep));
                    set(at, fixed::RATIO + row.ratio, F::ONE);
                    if row.end {
                        let index = channel * block.residues + row.residue;
                        let count = block.counts.get(index % block.counts.len().max(1));
                        set(at + 1, fixed::TERM, small(block.term));
                        set(at + 1, fixed::INDEX, small(index));
                        set(
                            at + 1,
                            fixed::COUNT,
                            F::from_u32(count.copied().unwrap_or(0)),
                        );
                    }
                }
            }
        }
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        alloc::vec!["fold"]
    }

    fn columns_of(&self, _constraint: &str) -> &'static str {
        "h"
    }
}
