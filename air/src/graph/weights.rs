//! Weights, and the bounds that give them a meaning over the integers.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Graph, GraphError, Range};

/// The weights of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearWeights {
    /// Input features `K`.
    pub inputs: u32,
    /// Output features `N`.
    pub outputs: u32,
    /// `W[k][j]` at `k * outputs + j`, in units of `2^(−weight_frac_bits)`.
    pub values: Vec<i16>,
    /// One per output, in units of the accumulator.
    pub bias: Vec<i32>,
}

impl LinearWeights {
    /// Smallest and largest accumulator over *all* inputs within `range`: the worst case, not what
    /// calibration happened to see.
    pub fn accumulator_bounds(&self, range: Range) -> (i64, i64) {
        let outputs = self.outputs as usize;
        let (lo, hi) = (i64::from(range.lo), i64::from(range.hi));
        let mut bounds: Vec<(i64, i64)> = self
            .bias
            .iter()
            .map(|&b| (i64::from(b), i64::from(b)))
            .collect();
        for row in self.values.chunks_exact(outputs.max(1)) {
            for (bound, &w) in bounds.iter_mut().zip(row) {
                let (a, b) = (i64::from(w) * lo, i64::from(w) * hi);
                bound.0 += a.min(b);
                bound.1 += a.max(b);
            }
        }
        bounds
            .iter()
            .fold((0, 0), |acc, b| (acc.0.min(b.0), acc.1.max(b.1)))
    }
}

/// A graph with its weights: everything needed to compute, and to prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The computation.
    pub graph: Graph,
    /// Weights of each layer, in order.
    pub weights: Vec<LinearWeights>,
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
            let input = &self.graph.tensors[layer.input.index()];
            let output = &self.graph.tensors[layer.output.index()];
            let sound = weights.inputs == input.features
                && weights.outputs == output.features
                && weights.values.len() as u64
                    == u64::from(weights.inputs) * u64::from(weights.outputs)
                && weights.bias.len() == weights.outputs as usize;
            if !sound {
                return Err(ModelError::Shape { layer: i });
            }
            let (lo, hi) = weights.accumulator_bounds(input.range);
            let (least, most) = layer.requant.limits(modulus);
            if lo < least || hi > most {
                return Err(ModelError::Overflow { layer: i, lo, hi });
            }
        }
        Ok(())
    }
}
