//! The float graph: what is left of an ONNX file once everything linear has been folded.
//!
//! A chain of layers, each `activation(W·x + b)`, with the same `[position][feature]` (row-major)
//! order as the ONNX tensors. It is evaluated in `f32` to calibrate, and compared with an
//! independent run of the file ([`crate::FloatRunner`]) so that an error of the importer shows.

use air::graph::{Function, PostOp};

/// A tensor of the float graph: an input or a layer's output.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTensor {
    /// Name in the ONNX file.
    pub name: String,
    /// Shape in the ONNX file, every dimension bound.
    pub shape: Vec<usize>,
    /// Hidden units: what one position holds.
    pub features: usize,
    /// Batch items.
    pub positions: usize,
}

impl FloatTensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.features * self.positions
    }

    /// Whether there are no elements (never, in an imported graph).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `y_f = scale_f · x_f + offset_f`, for every feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// One factor per feature.
    pub scale: Vec<f64>,
    /// One summand per feature.
    pub offset: Vec<f64>,
}

impl Affine {
    /// Whether every feature is treated alike (an image scaled by one constant, say).
    pub fn is_uniform(&self) -> bool {
        let same = |v: &[f64]| v.windows(2).all(|w| w[0] == w[1]);
        same(&self.scale) && same(&self.offset)
    }

    /// Whether it does nothing.
    pub fn is_identity(&self) -> bool {
        self.scale.iter().all(|&s| s == 1.0) && self.offset.iter().all(|&o| o == 0.0)
    }
}

/// `y_j = bias_j + Σ_k W[k][j]·x_k`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Input features `K`.
    pub inputs: usize,
    /// Output features `N`.
    pub outputs: usize,
    /// `W[k][j]` at `k * outputs + j`.
    pub weights: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
}

/// One layer: `activation(linear(scaler(x)))`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// Name of the first ONNX node folded into the layer.
    pub name: String,
    /// The operators folded into it, such as `Gemm+Relu`.
    pub ops: String,
    /// Index of the tensor read.
    pub input: usize,
    /// Index of the tensor written.
    pub output: usize,
    /// Feature scaling of a graph input, kept apart because it tells how large raw features are.
    pub scaler: Option<Affine>,
    /// The linear map.
    pub linear: Linear,
    /// Applied to every element of the result.
    pub activation: Function,
}

/// An output of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatOutput {
    /// Index of the tensor.
    pub tensor: usize,
    /// What the file does to it afterwards, outside the proof.
    pub post: Vec<PostOp>,
}

/// A node of the ONNX file, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedNode {
    /// The node's name, or that of its first output.
    pub name: String,
    /// Its operator.
    pub op: String,
}

/// A model as a chain of linear layers with activations.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatGraph {
    /// Inputs first, then every layer's output.
    pub tensors: Vec<FloatTensor>,
    /// How many of the tensors are inputs.
    pub inputs: usize,
    /// Layers in order; layer `i` writes tensor `inputs + i`.
    pub layers: Vec<FloatLayer>,
    /// Outputs, in the file's order.
    pub outputs: Vec<FloatOutput>,
    /// The nodes the graph was made of, in the order they were read.
    pub nodes: Vec<ImportedNode>,
}

/// Everything computed on the way through a float graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Every tensor, row-major.
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
    /// The graph's inputs.
    pub fn input_tensors(&self) -> &[FloatTensor] {
        &self.tensors[..self.inputs]
    }

    /// Evaluates the graph on row-major inputs, keeping every intermediate value.
    pub fn trace(&self, inputs: &[Vec<f32>]) -> Result<Trace, ShapeError> {
        check_sample(self.input_tensors(), inputs)?;
        let mut tensors = inputs.to_vec();
        let mut pre_activations = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let acc = layer.accumulate(&tensors[layer.input]);
            tensors.push(
                acc.iter()
                    .map(|&x| layer.activation.apply(f64::from(x)) as f32)
                    .collect(),
            );
            pre_activations.push(acc);
        }
        Ok(Trace {
            tensors,
            pre_activations,
        })
    }

    /// The graph's outputs on row-major inputs, post-operations included.
    pub fn evaluate(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ShapeError> {
        let mut trace = self.trace(inputs)?;
        let outputs = self.outputs.iter().map(|output| {
            let data = core::mem::take(&mut trace.tensors[output.tensor]);
            let mut wide: Vec<f64> = data.into_iter().map(f64::from).collect();
            apply_post(
                &output.post,
                self.tensors[output.tensor].features,
                &mut wide,
            );
            wide.into_iter().map(|x| x as f32).collect()
        });
        Ok(outputs.collect())
    }
}

impl FloatLayer {
    /// `W·scaler(x) + b`, row-major.
    fn accumulate(&self, x: &[f32]) -> Vec<f32> {
        let Linear {
            inputs, outputs, ..
        } = self.linear;
        let mut acc = Vec::with_capacity(x.len() / inputs.max(1) * outputs);
        for row in x.chunks_exact(inputs) {
            let start = acc.len();
            acc.extend_from_slice(&self.linear.bias);
            let acc_row = &mut acc[start..];
            for (k, &raw) in row.iter().enumerate() {
                let value = match &self.scaler {
                    Some(s) => (f64::from(raw) * s.scale[k] + s.offset[k]) as f32,
                    None => raw,
                };
                if value == 0.0 {
                    continue;
                }
                let weights = &self.linear.weights[k * outputs..][..outputs];
                for (a, &w) in acc_row.iter_mut().zip(weights) {
                    *a += w * value;
                }
            }
        }
        acc
    }
}

/// Applies what a model does to an output after its last proved layer, position by position.
pub fn apply_post(post: &[PostOp], features: usize, data: &mut [f64]) {
    for op in post {
        match op {
            PostOp::Softmax => data.chunks_exact_mut(features.max(1)).for_each(softmax),
        }
    }
}

fn softmax(row: &mut [f64]) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
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
