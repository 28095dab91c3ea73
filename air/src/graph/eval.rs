//! The reference evaluator: plain integers, no field, no proof. It *defines* what a graph means;
//! the witness is built from its intermediate values and the tests compare everything else with it.

use alloc::vec::Vec;

use p3_maybe_rayon::prelude::*;

use super::map::{Kernel, Map, strides};
use super::{AXES, Combine, Graph, Layer, LayerWeights, Model, Requantised, Tensor};

/// Everything computed on the way from the inputs to the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Every tensor of the graph, flat `[feature][depth][height][width]`.
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
        /// Element, in the tensor's order.
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

/// Evaluates a model on quantised inputs, each flat `[feature][depth][height][width]`.
pub fn evaluate(model: &Model, inputs: &[Vec<i32>]) -> Result<Evaluation, EvalError> {
    let graph = &model.graph;
    check_inputs(graph, inputs)?;
    let mut tensors: Vec<Vec<i32>> = inputs.to_vec();
    let mut layers = Vec::with_capacity(graph.layers.len());
    for (i, (layer, weights)) in graph.layers.iter().zip(&model.weights).enumerate() {
        let acc = match layer.combine {
            Combine::Sum => accumulate(graph, layer, weights, &tensors),
            Combine::Max => maxima(graph, layer, &tensors),
        };
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

/// The accumulators of a layer: biases and all terms.
pub fn accumulate(
    graph: &Graph,
    layer: &Layer,
    weights: &LayerWeights,
    tensors: &[Vec<i32>],
) -> Vec<i64> {
    let output = &graph.tensors[layer.output.index()];
    let mut acc: Vec<i64> = (weights.bias.iter())
        .flat_map(|&b| core::iter::repeat_n(i64::from(b), output.positions()))
        .collect();
    for (term, values) in layer.terms.iter().zip(&weights.terms) {
        let input = Operand {
            tensor: &graph.tensors[term.input.index()],
            values: &tensors[term.input.index()],
        };
        let gate = match term.map.kernel {
            Kernel::Gate(id) => tensors[id.index()].as_slice(),
            _ => &[],
        };
        add_term(&mut acc, output, &term.map, input, values, gate);
    }
    acc
}

/// The largest element of each window of a maximum.
pub fn maxima(graph: &Graph, layer: &Layer, tensors: &[Vec<i32>]) -> Vec<i64> {
    let output = &graph.tensors[layer.output.index()];
    let mut max = alloc::vec![i64::MIN; output.len()];
    let mut read = alloc::vec![0i32; output.positions()];
    for term in &layer.terms {
        let input = Operand {
            tensor: &graph.tensors[term.input.index()],
            values: &tensors[term.input.index()],
        };
        for (channel, max) in max.chunks_exact_mut(output.positions()).enumerate() {
            for tap in term.map.tap_indices() {
                shift(&mut read, &term.map, tap, channel, input, output);
                for (max, &x) in max.iter_mut().zip(&read) {
                    *max = (*max).max(i64::from(x));
                }
            }
        }
    }
    max
}

/// What the terms of a layer add up to at the positions of a box, `[feature][position]`, without biases.
/// The box may lie anywhere.
pub fn accumulate_box(
    graph: &Graph,
    layer: &Layer,
    weights: &LayerWeights,
    tensors: &[Vec<i32>],
    lo: [i32; AXES],
    hi: [i32; AXES],
) -> Vec<i64> {
    // The box is the output of the same layer with other padding.
    let mut graph = graph.clone();
    let mut layer = layer.clone();
    let output = &mut graph.tensors[layer.output.index()];
    output.extent = core::array::from_fn(|a| (hi[a] - lo[a]) as u32);
    for term in &mut layer.terms {
        for (axis, lo) in term.map.axes.iter_mut().zip(lo) {
            axis.pad -= lo * axis.stride as i32;
        }
    }
    let weights = LayerWeights {
        terms: weights.terms.clone(),
        bias: alloc::vec![0; weights.bias.len()],
    };
    accumulate(&graph, &layer, &weights, tensors)
}

#[derive(Clone, Copy)]
struct Operand<'a> {
    tensor: &'a Tensor,
    values: &'a [i32],
}

/// Output channels of a group that share a shifted copy of the input.
const OUTPUTS_AT_ONCE: usize = 16;

fn add_term(
    acc: &mut [i64],
    output: &Tensor,
    map: &Map,
    input: Operand<'_>,
    weights: &[i16],
    gate: &[i32],
) {
    let positions = output.positions();
    let (groups, outputs) = (map.groups as usize, map.outputs as usize);
    let first = map.first_output as usize * positions;
    let written = &mut acc[first..first + groups * outputs * positions];
    let per_channel = map.taps() * outputs;
    let group = |g: usize, from: usize, acc: &mut [i64]| {
        let mut shifted = alloc::vec![0i32; positions];
        for c in 0..map.inputs as usize {
            let channel = g * map.inputs as usize + c;
            for (t, tap) in map.tap_indices().enumerate() {
                let offset = map.first_input as usize + channel;
                if !shift(&mut shifted, map, tap, offset, input, output) {
                    continue;
                }
                let factor = |o: usize| match &map.kernel {
                    Kernel::Weights => {
                        i64::from(weights[channel * per_channel + t * outputs + from + o])
                    }
                    Kernel::Taps(factors) => i64::from(factors[t]),
                    Kernel::Gate(_) => i64::from(gate[g]),
                };
                for (o, acc) in acc.chunks_exact_mut(positions).enumerate() {
                    let w = factor(o);
                    for (a, &x) in acc.iter_mut().zip(&shifted) {
                        *a += w * i64::from(x);
                    }
                }
            }
        }
    };
    if positions == 1 && groups == 1 && matches!(map.kernel, Kernel::Weights) {
        return add_dense(written, map, input, weights, output);
    }
    let at_once = OUTPUTS_AT_ONCE.min(outputs);
    let chunks = outputs.div_ceil(at_once);
    let mut jobs: Vec<(usize, usize, &mut [i64])> = Vec::with_capacity(groups * chunks);
    for (g, acc) in written.chunks_exact_mut(outputs * positions).enumerate() {
        for (k, acc) in acc.chunks_mut(at_once * positions).enumerate() {
            jobs.push((g, k * at_once, acc));
        }
    }
    jobs.into_par_iter()
        .for_each(|(g, from, acc)| group(g, from, acc));
}

/// One position: rows of weights are read once, in order.
fn add_dense(acc: &mut [i64], map: &Map, input: Operand<'_>, weights: &[i16], output: &Tensor) {
    let outputs = map.outputs as usize;
    let mut shifted = [0i32];
    let mut rows = weights.chunks_exact(outputs);
    for c in 0..map.inputs as usize {
        for tap in map.tap_indices() {
            let row = rows.next().unwrap_or(&[]);
            let channel = map.first_input as usize + c;
            if shift(&mut shifted, map, tap, channel, input, output) {
                let x = i64::from(shifted[0]);
                for (a, &w) in acc.iter_mut().zip(row) {
                    *a += i64::from(w) * x;
                }
            }
        }
    }
}

/// What a tap reads of a channel, in the order of output positions. Whether anything of it is not 0.
fn shift(
    shifted: &mut [i32],
    map: &Map,
    tap: [u32; 3],
    channel: usize,
    input: Operand<'_>,
    output: &Tensor,
) -> bool {
    shifted.fill(0);
    let (_, extent) = map.view(input.tensor);
    let from = map.channel_offset(input.tensor, channel);
    let (x_strides, q_strides) = (strides(input.tensor.extent), strides(output.extent));
    let pairs = |a: usize| {
        let axis = map.axes[a];
        let to = axis.to.min(extent[a]);
        (axis.from..to).filter_map(move |j| {
            let q = axis.output_of(j, tap[a], output.extent[a])?;
            Some((j as usize * x_strides[a], q as usize * q_strides[a]))
        })
    };
    let line: Vec<(usize, usize)> = pairs(2).collect();
    let mut any = false;
    for (jz, qz) in pairs(0) {
        for (jy, qy) in pairs(1) {
            let (j, q) = (from + jz + jy, qz + qy);
            for &(jx, qx) in &line {
                let x = input.values[j + jx];
                shifted[q + qx] += x;
                any |= x != 0;
            }
        }
    }
    any
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
