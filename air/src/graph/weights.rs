//! Weights, and the bounds that give them a meaning over the integers.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::map::{Kernel, Map, Term};
use super::{Combine, Graph, GraphError, Layer, Range};

/// The weights of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerWeights {
    /// For each term its weights `[group][input channel][tap][output]`, in units of the accumulator for
    /// each unit of the input; empty where the kernel is none of learned weights.
    pub terms: Vec<Vec<i16>>,
    /// One per output feature, in units of the accumulator; none in a maximum.
    pub bias: Vec<i32>,
}

impl LayerWeights {
    /// A dense layer's: `W[k][j]` at `k * outputs + j`.
    pub fn dense(values: Vec<i16>, bias: Vec<i32>) -> Self {
        Self {
            terms: alloc::vec![values],
            bias,
        }
    }

    /// Smallest and largest accumulator over *all* inputs within their tensors' ranges: the worst
    /// case, not what calibration happened to see. The weights have the shapes the layer gives them.
    pub fn accumulator_bounds(&self, graph: &Graph, layer: &Layer) -> (i64, i64) {
        if layer.combine == Combine::Max {
            let Range { lo, hi } = layer.requant.activation.domain;
            return (i64::from(lo), i64::from(hi));
        }
        let mut bounds: Vec<(i64, i64)> = self
            .bias
            .iter()
            .map(|&b| (i64::from(b), i64::from(b)))
            .collect();
        let range = |id: super::TensorId| graph.tensors[id.index()].range;
        for (term, values) in layer.terms.iter().zip(&self.terms) {
            let map = &term.map;
            let first = map.first_output as usize;
            let written = first..first + (map.groups * map.outputs) as usize;
            let bounds = &mut bounds[written];
            let input = range(term.input);
            if map.kernel == Kernel::Weights {
                add_weights(bounds, map, values, input);
            } else {
                let reach = fixed_reach(graph, term);
                bounds.iter_mut().for_each(|b| *b = add(*b, reach));
            }
        }
        bounds
            .iter()
            .fold((0, 0), |acc, b| (acc.0.min(b.0), acc.1.max(b.1)))
    }
}

impl Layer {
    /// Smallest and largest value that the terms without learned weights can add to an accumulator, or a
    /// little more: as if every output had all of them.
    pub fn fixed_bounds(&self, graph: &Graph) -> (i64, i64) {
        let fixed = self
            .terms
            .iter()
            .filter(|t| t.map.kernel != Kernel::Weights);
        fixed.map(|term| fixed_reach(graph, term)).fold((0, 0), add)
    }
}

/// What a term without learned weights adds to an accumulator at the least and at the most.
fn fixed_reach(graph: &Graph, term: &Term) -> (i64, i64) {
    let range = |id: super::TensorId| graph.tensors[id.index()].range;
    let input = range(term.input);
    match &term.map.kernel {
        Kernel::Weights => (0, 0),
        Kernel::Taps(factors) => interval(factors.iter().map(|&f| i64::from(f)), input, &term.map),
        Kernel::Gate(id) => {
            let gate = range(*id);
            let ends = [gate.lo, gate.hi].map(|g| times(i64::from(g), input));
            let repeats = term.map.repeats();
            let lo = ends[0].0.min(ends[1].0).saturating_mul(repeats);
            (lo, ends[0].1.max(ends[1].1).saturating_mul(repeats))
        }
    }
}

/// The interval of `w·x` for all `x` of a range, 0 among them: taps may lie outside the input.
fn times(w: i64, range: Range) -> (i64, i64) {
    let (a, b) = (w * i64::from(range.lo), w * i64::from(range.hi));
    (a.min(b).min(0), a.max(b).max(0))
}

fn add(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}

impl Map {
    /// How many input positions one output position may read through one tap: several only where an
    /// axis is summed over.
    pub fn repeats(&self) -> i64 {
        let summed = self.axes.iter().filter(|a| a.expand == 0);
        summed.map(|a| i64::from(a.to - a.from)).product()
    }
}

fn interval(factors: impl Iterator<Item = i64>, range: Range, map: &Map) -> (i64, i64) {
    let sum = factors.map(|f| times(f, range)).fold((0, 0), add);
    let repeats = map.repeats();
    (sum.0.saturating_mul(repeats), sum.1.saturating_mul(repeats))
}

fn add_weights(bounds: &mut [(i64, i64)], map: &Map, values: &[i16], range: Range) {
    let (inputs, outputs) = (map.inputs as usize * map.taps(), map.outputs as usize);
    let repeats = map.repeats();
    let groups = values.chunks_exact(inputs * outputs);
    for (bounds, values) in bounds.chunks_exact_mut(outputs).zip(groups) {
        for row in values.chunks_exact(outputs) {
            for (bound, &w) in bounds.iter_mut().zip(row) {
                let (lo, hi) = times(i64::from(w), range);
                *bound = add(
                    *bound,
                    (lo.saturating_mul(repeats), hi.saturating_mul(repeats)),
                );
            }
        }
    }
}

/// A graph with its weights: everything needed to compute, and to prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The computation.
    pub graph: Graph,
    /// Weights of each layer, in order.
    pub weights: Vec<LayerWeights>,
}

/// Why a model's weights do not belong to its graph, or do not mean what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The graph itself is unsound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A layer's weights have the wrong shape, or there are too few or too many.
    #[error("layer {layer}: the weights do not have the shape the graph gives them")]
    Shape {
        /// Index of the layer.
        layer: usize,
    },
    /// Some input makes an accumulator leave the representable span, so proving could fail or,
    /// modulo the field's order, mean something else.
    #[error("layer {layer}: accumulators in [{lo}, {hi}] exceed what is representable")]
    Overflow {
        /// Index of the layer.
        layer: usize,
        /// Smallest possible accumulator.
        lo: i64,
        /// Largest possible accumulator.
        hi: i64,
    },
}

impl Model {
    /// Checks the graph, the shapes, and the two no-wrap bounds of every layer:
    ///
    /// - *completeness*: every accumulator any input can produce is representable;
    /// - *meaning*: `max|T| + max|V| < p`, `T` the true integer and `V` what `(q, rem)` can
    ///   represent, so that equality modulo `p` is equality.
    pub fn validate(&self, modulus: u64) -> Result<(), ModelError> {
        self.graph.validate(modulus)?;
        if self.weights.len() != self.graph.layers.len() {
            return Err(ModelError::Shape {
                layer: self.weights.len().min(self.graph.layers.len()),
            });
        }
        for (i, (layer, weights)) in self.graph.layers.iter().zip(&self.weights).enumerate() {
            let output = &self.graph.tensors[layer.output.index()];
            let shapes = layer.terms.iter().zip(&weights.terms);
            let biases = match layer.combine {
                Combine::Sum => output.features as usize,
                Combine::Max => 0,
            };
            let sound = weights.terms.len() == layer.terms.len()
                && shapes
                    .into_iter()
                    .all(|(term, values)| values.len() as u64 == term.map.weights())
                && weights.bias.len() == biases;
            if !sound {
                return Err(ModelError::Shape { layer: i });
            }
            let (lo, hi) = weights.accumulator_bounds(&self.graph, layer);
            let (least, most) = layer.requant.limits(modulus);
            if lo < least || hi > most {
                return Err(ModelError::Overflow { layer: i, lo, hi });
            }
        }
        Ok(())
    }
}
