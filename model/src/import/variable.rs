//! A value on its way from one layer to the next: the last tensor that will exist, and the linear
//! work since then that has not become a layer yet.

use crate::float::{Affine, Linear};

/// Work that waits for an activation, or for a linear map to be folded into.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Nothing: the value is the tensor, perhaps in another shape.
    Nothing,
    /// An affine map of every feature.
    Diagonal(Affine),
    /// A linear map, after the scaling of a graph input if there is one.
    Dense {
        scaler: Option<Affine>,
        linear: Linear,
    },
}

/// A value that depends on the inputs.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    /// Name in the ONNX file.
    pub name: String,
    /// Shape in the ONNX file.
    pub shape: Vec<usize>,
    /// Index of the tensor it is computed from.
    pub source: usize,
    /// Features of one position, after the pending work.
    pub features: usize,
    /// What happens to the tensor first.
    pub pending: Pending,
    /// The nodes behind the pending work.
    pub nodes: Vec<(String, String)>,
    /// Whether a softmax was applied: nothing else may be.
    pub is_softmax: bool,
}

impl Variable {
    /// Applies an affine map to every feature.
    pub(super) fn push_affine(&mut self, affine: Affine) {
        match &mut self.pending {
            Pending::Nothing => self.pending = Pending::Diagonal(affine),
            Pending::Diagonal(first) => {
                for (f, (s, o)) in affine.scale.iter().zip(&affine.offset).enumerate() {
                    first.scale[f] *= s;
                    first.offset[f] = first.offset[f] * s + o;
                }
            }
            Pending::Dense { linear, .. } => {
                for row in linear.weights.chunks_exact_mut(linear.outputs) {
                    for (w, s) in row.iter_mut().zip(&affine.scale) {
                        *w = (f64::from(*w) * s) as f32;
                    }
                }
                for (j, b) in linear.bias.iter_mut().enumerate() {
                    *b = (f64::from(*b) * affine.scale[j] + affine.offset[j]) as f32;
                }
            }
        }
    }

    /// Applies a linear map. `is_input` says that the source is a graph input, whose scaling is
    /// kept apart. The caller has materialised a pending linear map that [`composes`] refused.
    pub(super) fn push_linear(&mut self, linear: Linear, is_input: bool) {
        self.features = linear.outputs;
        let pending = core::mem::replace(&mut self.pending, Pending::Nothing);
        self.pending = match pending {
            Pending::Nothing => Pending::Dense {
                scaler: None,
                linear,
            },
            Pending::Diagonal(affine) if is_input => Pending::Dense {
                scaler: (!affine.is_identity()).then_some(affine),
                linear,
            },
            Pending::Diagonal(affine) => Pending::Dense {
                scaler: None,
                linear: fold_rows(&affine, linear),
            },
            Pending::Dense {
                scaler,
                linear: first,
            } => Pending::Dense {
                scaler,
                linear: compose(&first, &linear),
            },
        };
    }
}

/// Whether one matrix is no larger than the two it replaces, and cheap to compute.
pub(super) fn composes(first: &Linear, second: &Linear) -> bool {
    let (k, m, n) = (first.inputs, first.outputs, second.outputs);
    k * n <= k * m + m * n && (k * m).saturating_mul(n) <= 1 << 33
}

/// `diag(scale)` and the offset, pulled into the rows of the linear map behind them.
fn fold_rows(affine: &Affine, mut linear: Linear) -> Linear {
    let mut bias: Vec<f64> = linear.bias.iter().map(|&b| f64::from(b)).collect();
    let rows = linear.weights.chunks_exact_mut(linear.outputs);
    for ((row, s), o) in rows.zip(&affine.scale).zip(&affine.offset) {
        for (w, b) in row.iter_mut().zip(&mut bias) {
            *b += f64::from(*w) * o;
            *w = (f64::from(*w) * s) as f32;
        }
    }
    linear.bias = bias.into_iter().map(|b| b as f32).collect();
    linear
}

fn compose(first: &Linear, second: &Linear) -> Linear {
    let outputs = second.outputs;
    let apply = |x: &[f32], start: &[f32]| -> Vec<f32> {
        let mut acc: Vec<f64> = start.iter().map(|&b| f64::from(b)).collect();
        for (&x, row) in x.iter().zip(second.weights.chunks_exact(outputs)) {
            for (a, &w) in acc.iter_mut().zip(row) {
                *a += f64::from(x) * f64::from(w);
            }
        }
        acc.into_iter().map(|a| a as f32).collect()
    };
    let zero = vec![0.0; outputs];
    Linear {
        inputs: first.inputs,
        outputs,
        weights: first
            .weights
            .chunks_exact(first.outputs)
            .flat_map(|row| apply(row, &zero))
            .collect(),
        bias: apply(&first.bias, &second.bias),
    }
}

/// The map that does nothing, as a matrix.
pub(super) fn identity(features: usize) -> Linear {
    let mut weights = vec![0.0; features * features];
    weights
        .iter_mut()
        .step_by(features + 1)
        .for_each(|w| *w = 1.0);
    Linear {
        inputs: features,
        outputs: features,
        weights,
        bias: vec![0.0; features],
    }
}

/// An affine map that treats every feature alike.
pub(super) fn affine(features: usize, f: impl Fn(usize) -> (f64, f64)) -> Affine {
    let (scale, offset) = (0..features).map(f).unzip();
    Affine { scale, offset }
}
