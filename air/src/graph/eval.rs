//! The reference evaluator: plain integers, no field, no proof. It *defines* what a graph means;
//! the witness is built from its intermediate values and the tests compare everything else with it.

use alloc::vec::Vec;

use super::{Graph, Model, Requant};

/// An accumulator taken apart: `acc + half = (q + excess)·2^shift + rem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantised {
    /// The clamped quotient, an element of the activation's domain.
    pub q: i32,
    /// How far the quotient lay outside the domain: 0 inside, positive above, negative below.
    pub excess: i32,
    /// The remainder, in `[0, 2^shift)`.
    pub rem: u32,
    /// The activation's value at `q`.
    pub out: i32,
}

impl Requant {
    /// Requantises one accumulator. `None` if the excess does not fit [`Requant::excess_bits`].
    pub fn apply(&self, acc: i64) -> Option<Requantised> {
        let rounded = acc + self.half();
        let quot = rounded >> self.shift;
        let rem = (rounded - (quot << self.shift)) as u32;
        let q = self.activation.domain.clamp(quot);
        let excess = quot - i64::from(q);
        if excess.unsigned_abs() >> self.excess_bits != 0 {
            return None;
        }
        Some(Requantised {
            q,
            excess: excess as i32,
            rem,
            out: self.activation.apply(q),
        })
    }
}

/// Everything computed on the way from the inputs to the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Every tensor of the graph, flat `[feature][position]`.
    pub tensors: Vec<Vec<i32>>,
    /// For every layer, its requantised accumulators in the order of the output tensor.
    pub layers: Vec<Vec<Requantised>>,
}

/// Why a model cannot be evaluated on some data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The number of inputs differs from the graph's.
    #[error("expected {expected} input tensors, got {got}")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Inputs given.
        got: usize,
    },
    /// An input has the wrong number of elements.
    #[error("input {input}: expected {expected} elements, got {got}")]
    InputLength {
        /// Index of the input.
        input: usize,
        /// Elements of the tensor.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// An input value lies outside its tensor's range.
    #[error("input {input}: the value {value} at element {index} is outside the declared range")]
    InputRange {
        /// Index of the input.
        input: usize,
        /// Element, in `[feature][position]` order.
        index: usize,
        /// The value.
        value: i32,
    },
    /// An accumulator is not representable: the model was not validated.
    #[error("layer {layer}: accumulator {acc} is not representable")]
    Overflow {
        /// Index of the layer.
        layer: usize,
        /// The accumulator.
        acc: i64,
    },
}

/// Evaluates a model on quantised inputs, each flat `[feature][position]`.
pub fn evaluate(model: &Model, inputs: &[Vec<i32>]) -> Result<Evaluation, EvalError> {
    let graph = &model.graph;
    check_inputs(graph, inputs)?;
    let mut tensors: Vec<Vec<i32>> = inputs.to_vec();
    let mut layers = Vec::with_capacity(graph.layers.len());
    for (i, (layer, weights)) in graph.layers.iter().zip(&model.weights).enumerate() {
        let x = &tensors[layer.input.index()];
        let positions = graph.tensors[layer.input.index()].positions as usize;
        let outputs = weights.outputs as usize;
        let mut acc: Vec<i64> = weights
            .bias
            .iter()
            .flat_map(|&b| core::iter::repeat_n(i64::from(b), positions))
            .collect();
        for (x_k, w_k) in x
            .chunks_exact(positions)
            .zip(weights.values.chunks_exact(outputs))
        {
            if x_k.iter().all(|&v| v == 0) {
                continue;
            }
            for (acc_j, &w) in acc.chunks_exact_mut(positions).zip(w_k) {
                for (a, &v) in acc_j.iter_mut().zip(x_k) {
                    *a += i64::from(w) * i64::from(v);
                }
            }
        }
        let requantised = acc
            .iter()
            .map(|&acc| {
                layer
                    .requant
                    .apply(acc)
                    .ok_or(EvalError::Overflow { layer: i, acc })
            })
            .collect::<Result<Vec<_>, _>>()?;
        tensors.push(requantised.iter().map(|r| r.out).collect());
        layers.push(requantised);
    }
    Ok(Evaluation { tensors, layers })
}

fn check_inputs(graph: &Graph, inputs: &[Vec<i32>]) -> Result<(), EvalError> {
    if inputs.len() != graph.inputs.len() {
        return Err(EvalError::InputCount {
            expected: graph.inputs.len(),
            got: inputs.len(),
        });
    }
    for (i, (data, id)) in inputs.iter().zip(&graph.inputs).enumerate() {
        let tensor = &graph.tensors[id.index()];
        if data.len() != tensor.len() {
            return Err(EvalError::InputLength {
                input: i,
                expected: tensor.len(),
                got: data.len(),
            });
        }
        if let Some(index) = data
            .iter()
            .position(|&v| !tensor.range.contains(i64::from(v)))
        {
            return Err(EvalError::InputRange {
                input: i,
                index,
                value: data[index],
            });
        }
    }
    Ok(())
}
