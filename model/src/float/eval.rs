//! Evaluation in `f32`, tensor by tensor.

use air::graph::{AXES, AxisMap, Combine, Function, Kernel, Tensor};

use super::{FloatGraph, FloatLayer, FloatTensor, FloatTerm};

/// Everything computed on the way through a float graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Every tensor, `[feature][depth][height][width]`.
    pub tensors: Vec<Vec<f32>>,
    /// For every layer, the values its activation was applied to.
    pub pre_activations: Vec<Vec<f32>>,
}

/// A sample does not have the shape of the graph's inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Too few or too many tensors.
    #[error("the model has {expected} inputs, the sample {got}")]
    Count {
        /// Inputs of the model.
        expected: usize,
        /// Tensors given.
        got: usize,
    },
    /// A tensor has the wrong number of elements.
    #[error("input `{name}` has {expected} elements, the sample {got}")]
    Length {
        /// The input.
        name: String,
        /// Elements of the input.
        expected: usize,
        /// Elements given.
        got: usize,
    },
}

impl FloatGraph {
    /// Evaluates the graph on row-major inputs, keeping every intermediate value.
    pub fn trace(&self, inputs: &[Vec<f32>]) -> Result<Trace, ShapeError> {
        check_sample(self.input_tensors(), inputs)?;
        let stored = |(tensor, data): (&FloatTensor, &Vec<f32>)| {
            let mut out = vec![0.0; data.len()];
            for (at, &x) in tensor.row_major().into_iter().zip(data) {
                out[at] = x;
            }
            out
        };
        let mut tensors: Vec<Vec<f32>> = self.tensors.iter().zip(inputs).map(stored).collect();
        let mut pre_activations = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let acc = match layer.combine {
                Combine::Sum => self.accumulate(layer, &tensors),
                Combine::Max => self.maxima(layer, &tensors),
            };
            let (f, slack) = (layer.activation, slack(layer, &tensors));
            let apply = |&x: &f32| f.apply(f64::from(x) + slack) as f32;
            tensors.push(acc.iter().map(apply).collect());
            pre_activations.push(acc);
        }
        Ok(Trace {
            tensors,
            pre_activations,
        })
    }

    /// The graph's outputs on row-major inputs, row-major.
    pub fn evaluate(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ShapeError> {
        let trace = self.trace(inputs)?;
        let outputs = self.outputs.iter().map(|&output| {
            let data = &trace.tensors[output];
            let order = self.tensors[output].row_major();
            order.into_iter().map(|at| data[at]).collect()
        });
        Ok(outputs.collect())
    }

    /// The largest element that any tap reads, in the tensor's order.
    fn maxima(&self, layer: &FloatLayer, tensors: &[Vec<f32>]) -> Vec<f32> {
        let output = self.tensors[layer.output].geometry();
        let mut max = vec![f32::NEG_INFINITY; output.len()];
        for term in &layer.terms {
            let tensor = self.tensors[term.input].geometry();
            let input = Operand {
                tensor: &tensor,
                values: &tensors[term.input],
            };
            let mut reader = Reader::new(term, input, &output);
            for (channel, max) in max.chunks_exact_mut(output.positions()).enumerate() {
                for tap in term.map.tap_indices() {
                    let read = reader.read(channel, tap).unwrap_or(&[]);
                    for (i, max) in max.iter_mut().enumerate() {
                        // Nothing read is 0 everywhere.
                        *max = max.max(read.get(i).copied().unwrap_or(0.0));
                    }
                }
            }
        }
        max
    }

    /// `Σ map(scaler(x)) + bias`, in the tensor's order.
    fn accumulate(&self, layer: &FloatLayer, tensors: &[Vec<f32>]) -> Vec<f32> {
        let output = self.tensors[layer.output].geometry();
        let mut acc: Vec<f32> = (layer.bias.iter())
            .flat_map(|&b| core::iter::repeat_n(b, output.positions()))
            .collect();
        for term in &layer.terms {
            let tensor = self.tensors[term.input].geometry();
            let scaled;
            let values = match &layer.scaler {
                None => &tensors[term.input],
                Some(s) => {
                    let positions = tensor.positions().max(1);
                    let one = |(i, &x): (usize, &f32)| {
                        let f = i / positions;
                        (f64::from(x) * s.scale[f] + s.offset[f]) as f32
                    };
                    scaled = tensors[term.input].iter().enumerate().map(one).collect();
                    &scaled
                }
            };
            let gate = term.gate().map(|id| tensors[id].as_slice());
            add_term(
                &mut acc,
                &output,
                term,
                Operand {
                    tensor: &tensor,
                    values,
                },
                gate,
            );
        }
        acc
    }
}

#[derive(Clone, Copy)]
struct Operand<'a> {
    tensor: &'a Tensor,
    values: &'a [f32],
}

fn add_term(
    acc: &mut [f32],
    output: &Tensor,
    term: &FloatTerm,
    input: Operand<'_>,
    gate: Option<&[f32]>,
) {
    let map = &term.map;
    let positions = output.positions();
    let (inputs, outputs, taps) = (map.inputs as usize, map.outputs as usize, map.taps());
    let first = map.first_output as usize * positions;
    let written = &mut acc[first..first + map.groups as usize * outputs * positions];
    let mut reader = Reader::new(term, input, output);
    let all_taps: Vec<[u32; AXES]> = map.tap_indices().collect();
    for (g, acc) in written.chunks_exact_mut(outputs * positions).enumerate() {
        for c in 0..inputs {
            let channel = g * inputs + c;
            for (t, &tap) in all_taps.iter().enumerate() {
                let Some(shifted) = reader.read(channel, tap) else {
                    continue;
                };
                if let (Kernel::Weights, 1) = (&map.kernel, positions) {
                    let row = &term.values[(channel * taps + t) * outputs..][..outputs];
                    axpy(acc, row, shifted[0]);
                    continue;
                }
                for (o, acc) in acc.chunks_exact_mut(positions).enumerate() {
                    let w = match (&map.kernel, gate) {
                        (Kernel::Weights, _) => term.values[(channel * taps + t) * outputs + o],
                        (Kernel::Taps(_), _) => term.values[t],
                        (Kernel::Gate(_), Some(gate)) => gate[g],
                        (Kernel::Gate(_), None) => 0.0,
                    };
                    axpy(acc, shifted, w);
                }
            }
        }
    }
}

fn axpy(acc: &mut [f32], x: &[f32], w: f32) {
    for (a, &x) in acc.iter_mut().zip(x) {
        *a += w * x;
    }
}

/// Reads channels of a tensor, shifted by a tap, in the order of output positions.
struct Reader<'a> {
    term: &'a FloatTerm,
    input: Operand<'a>,
    /// For each axis and tap, the pairs of input and output offsets that meet.
    pairs: [Vec<Vec<(usize, usize)>>; AXES],
    is_copy: bool,
    shifted: Vec<f32>,
}

impl<'a> Reader<'a> {
    fn new(term: &'a FloatTerm, input: Operand<'a>, output: &Tensor) -> Self {
        let map = &term.map;
        let (_, extent) = map.view(input.tensor);
        let strides = |e: [u32; AXES]| [(e[1] * e[2]) as usize, e[2] as usize, 1];
        let (from, to) = (strides(input.tensor.extent), strides(output.extent));
        let pairs = core::array::from_fn(|a| {
            let axis = map.axes[a];
            let meet = |tap: u32| {
                let one = |j: u32| {
                    let q = axis.output_of(j, tap, output.extent[a])?;
                    Some((j as usize * from[a], q as usize * to[a]))
                };
                (axis.from..axis.to.min(extent[a]))
                    .filter_map(one)
                    .collect()
            };
            (0..axis.taps).map(meet).collect()
        });
        Self {
            term,
            input,
            pairs,
            is_copy: !map.merged.contains(&true)
                && input.tensor.extent == output.extent
                && map.axes == output.extent.map(AxisMap::identity),
            shifted: vec![0.0; output.positions()],
        }
    }

    /// What a tap reads of a channel, or nothing where that is 0 everywhere.
    fn read(&mut self, channel: usize, tap: [u32; AXES]) -> Option<&[f32]> {
        let map = &self.term.map;
        let from = map.channel_offset(self.input.tensor, map.first_input as usize + channel);
        if self.is_copy {
            return Some(&self.input.values[from..from + self.shifted.len()]);
        }
        self.shifted.fill(0.0);
        let [depth, height, width] = core::array::from_fn(|a| &self.pairs[a][tap[a] as usize]);
        let mut any = false;
        for (jz, qz) in depth {
            for (jy, qy) in height {
                let (j, q) = (from + jz + jy, qz + qy);
                for (jx, qx) in width {
                    let x = self.input.values[j + jx];
                    self.shifted[q + qx] += x;
                    any |= x != 0.0;
                }
            }
        }
        any.then_some(&self.shifted)
    }
}

/// A maximum `a + relu(b − a)` is rounded, and comes out a little beside the element it is: what is compared with
/// it counts as equal within this.
fn slack(layer: &FloatLayer, tensors: &[Vec<f32>]) -> f64 {
    const ROUNDING: f64 = 1e-6;
    if layer.activation != Function::Step {
        return 0.0;
    }
    let read = layer.terms.iter().flat_map(|t| &tensors[t.input]);
    ROUNDING * f64::from(read.fold(0f32, |m, x| m.max(x.abs())))
}

fn check_sample(tensors: &[FloatTensor], sample: &[Vec<f32>]) -> Result<(), ShapeError> {
    if tensors.len() != sample.len() {
        return Err(ShapeError::Count {
            expected: tensors.len(),
            got: sample.len(),
        });
    }
    match tensors.iter().zip(sample).find(|(t, s)| t.len() != s.len()) {
        None => Ok(()),
        Some((tensor, data)) => Err(ShapeError::Length {
            name: tensor.name.clone(),
            expected: tensor.len(),
            got: data.len(),
        }),
    }
}
