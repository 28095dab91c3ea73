//! # Accuracy: what the integers cost
//!
//! The quantised model is evaluated with the exact integers a proof would speak about, and compared
//! with the ONNX file run in floating point, sample by sample. Numbers cross the border with
//! [`quantise_inputs`] and [`dequantise_outputs`]: ONNX stores elements in the order of its shapes, the
//! graph a feature after the other.

use air::graph::{EvalError, Function, Graph, Layer, Model, TensorId, evaluate};
use serde::Serialize;

use crate::{FloatRunner, ImportError, Sample};

/// How far a quantised model is from its reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Samples compared.
    pub samples: usize,
    /// Largest absolute error of any output element.
    pub max_error: f64,
    /// Mean absolute error.
    pub mean_error: f64,
    /// Largest minus smallest reference output, of the output with the largest relative error.
    pub output_range: f64,
    /// Largest error of an output relative to the range of that output.
    pub max_relative_error: f64,
    /// Share of decisions on which both agree.
    pub agreement: f64,
    /// How a decision is read off the first output.
    pub decision: &'static str,
    /// Share of right decisions of the reference, if labels were given.
    pub float_accuracy: Option<f64>,
    /// Share of right decisions of the quantised model, if labels were given.
    pub quantised_accuracy: Option<f64>,
}

/// Why accuracy could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccuracyError {
    /// The number of labels differs from the number of decisions.
    #[error("{got} labels were given for {expected} decisions")]
    Labels {
        /// Decisions made.
        expected: usize,
        /// Labels given.
        got: usize,
    },
    /// There is nothing to measure on.
    #[error("no samples were given")]
    NoSamples,
    /// A sample cannot be quantised.
    #[error("sample {index}: {source}")]
    Input {
        /// Which sample.
        index: usize,
        /// Why.
        source: InputError,
    },
    /// The quantised model could not be evaluated.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The reference could not be evaluated.
    #[error(transparent)]
    Reference(#[from] ImportError),
}

/// Why numbers cannot become a graph's inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Too few or too many tensors.
    #[error("the model has {expected} inputs, {got} were given")]
    Count {
        /// Inputs of the model.
        expected: usize,
        /// Tensors given.
        got: usize,
    },
    /// A tensor has the wrong number of elements.
    #[error("input `{name}` has {expected} elements, {got} were given")]
    Length {
        /// The input.
        name: String,
        /// Elements of the input.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// A value is NaN or infinite.
    #[error("input `{name}`: element {index} is not a finite number")]
    NotFinite {
        /// The input.
        name: String,
        /// Flat row-major index of the element.
        index: usize,
    },
}

/// Turns row-major ONNX inputs into the graph's integers, in the order of its tensors. Values beyond an
/// input's range saturate.
pub fn quantise_inputs(graph: &Graph, inputs: &[Vec<f32>]) -> Result<Vec<Vec<i32>>, InputError> {
    quantise_tensors(graph, &graph.inputs, inputs)
}

/// The same for any tensors of the graph.
pub fn quantise_tensors(
    graph: &Graph,
    ids: &[TensorId],
    values: &[Vec<f32>],
) -> Result<Vec<Vec<i32>>, InputError> {
    if values.len() != ids.len() {
        return Err(InputError::Count {
            expected: ids.len(),
            got: values.len(),
        });
    }
    let one = |(id, data): (&TensorId, &Vec<f32>)| {
        let tensor = &graph.tensors[id.index()];
        if data.len() != tensor.len() {
            return Err(InputError::Length {
                name: tensor.name.clone(),
                expected: tensor.len(),
                got: data.len(),
            });
        }
        let positions = tensor.positions();
        let mut out = vec![0; data.len()];
        for (index, (at, &x)) in tensor.row_major().into_iter().zip(data).enumerate() {
            out[at] = tensor
                .encoding
                .quantise(at / positions, f64::from(x), tensor.range)
                .ok_or_else(|| InputError::NotFinite {
                    name: tensor.name.clone(),
                    index,
                })?;
        }
        Ok(out)
    };
    ids.iter().zip(values).map(one).collect()
}

/// Turns the graph's output integers into row-major numbers. One entry of `outputs` for each of the graph's outputs.
pub fn dequantise_outputs(graph: &Graph, outputs: &[Vec<i32>]) -> Vec<Vec<f64>> {
    let one = |(id, data): (&TensorId, &Vec<i32>)| {
        // A hidden output has no values.
        if data.is_empty() {
            return Vec::new();
        }
        let tensor = &graph.tensors[id.index()];
        let real = |at: usize| {
            let q = data.get(at).copied().unwrap_or(0);
            tensor.encoding.dequantise(at / tensor.positions(), q)
        };
        tensor.row_major().into_iter().map(real).collect()
    };
    graph.outputs.iter().zip(outputs).map(one).collect()
}

/// Runs a quantised model on row-major numbers: quantise, evaluate, dequantise.
pub fn run_quantised(
    model: &Model,
    index: usize,
    sample: &Sample,
) -> Result<Vec<Vec<f64>>, AccuracyError> {
    let graph = &model.graph;
    let inputs =
        quantise_inputs(graph, sample).map_err(|source| AccuracyError::Input { index, source })?;
    let evaluation = evaluate(model, &inputs)?;
    let integers: Vec<Vec<i32>> = graph
        .outputs
        .iter()
        .map(|id| evaluation.tensors[id.index()].clone())
        .collect();
    Ok(dequantise_outputs(graph, &integers))
}

/// Compares a quantised model with its ONNX file. `labels` holds one class for every batch item of
/// every sample.
pub fn measure(
    model: &Model,
    reference: &FloatRunner,
    samples: &[Sample],
    labels: Option<&[i64]>,
) -> Result<Accuracy, AccuracyError> {
    if samples.is_empty() {
        return Err(AccuracyError::NoSamples);
    }
    let graph = &model.graph;
    let rule = Decision::of(graph);
    let mut errors = vec![OutputError::default(); graph.outputs.len()];
    let (mut float_classes, mut quantised_classes) = (Vec::new(), Vec::new());
    for (index, sample) in samples.iter().enumerate() {
        let quantised = run_quantised(model, index, sample)?;
        let expected: Vec<Vec<f64>> = reference
            .run(sample)?
            .into_iter()
            .map(|v| v.into_iter().map(f64::from).collect())
            .collect();
        for ((error, q), e) in errors.iter_mut().zip(&quantised).zip(&expected) {
            error.add(e, q);
        }
        if let (Some(q), Some(e)) = (quantised.first(), expected.first()) {
            quantised_classes.extend(rule.classes(q));
            float_classes.extend(rule.classes(e));
        }
    }
    if let Some(labels) = labels
        && labels.len() != float_classes.len()
    {
        return Err(AccuracyError::Labels {
            expected: float_classes.len(),
            got: labels.len(),
        });
    }
    let worst = errors
        .iter()
        .max_by(|a, b| a.relative().total_cmp(&b.relative()))
        .cloned()
        .unwrap_or_default();
    let count: u64 = errors.iter().map(|e| e.count).sum();
    Ok(Accuracy {
        samples: samples.len(),
        max_error: errors.iter().fold(0.0, |m, e| m.max(e.max)),
        mean_error: errors.iter().map(|e| e.sum).sum::<f64>() / count.max(1) as f64,
        output_range: worst.range(),
        max_relative_error: worst.relative(),
        agreement: share(&float_classes, &quantised_classes),
        decision: rule.description(),
        float_accuracy: labels.map(|y| share(y, &float_classes)),
        quantised_accuracy: labels.map(|y| share(y, &quantised_classes)),
    })
}

fn share(a: &[i64], b: &[i64]) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
    equal as f64 / a.len().max(1) as f64
}

/// Errors of one output over all samples.
#[derive(Clone, Default)]
struct OutputError {
    max: f64,
    sum: f64,
    count: u64,
    bounds: Option<(f64, f64)>,
}

impl OutputError {
    fn add(&mut self, expected: &[f64], got: &[f64]) {
        for (e, g) in expected.iter().zip(got) {
            let error = (e - g).abs();
            self.max = self.max.max(error);
            self.sum += error;
            self.count += 1;
            let (lo, hi) = self.bounds.unwrap_or((*e, *e));
            self.bounds = Some((lo.min(*e), hi.max(*e)));
        }
    }

    fn range(&self) -> f64 {
        self.bounds.map_or(0.0, |(lo, hi)| hi - lo)
    }

    fn relative(&self) -> f64 {
        let range = self.range();
        if range > 0.0 {
            self.max / range
        } else {
            self.max
        }
    }
}

/// How the first output becomes a class.
#[derive(Clone, Copy)]
enum Decision {
    Argmax {
        features: usize,
    },
    /// The output is a class already.
    Class,
    Threshold {
        at: f64,
        what: &'static str,
    },
}

impl Decision {
    fn of(graph: &Graph) -> Self {
        let Some(id) = graph.outputs.first() else {
            return Self::Argmax { features: 1 };
        };
        let features = graph.tensors[id.index()].features as usize;
        let ends_in_sigmoid = graph
            .layers
            .iter()
            .any(|l| l.output == *id && l.requant.activation.function == Function::Sigmoid);
        // What an ArgMax is made of, and nothing else.
        let has_step = |l: &Layer| l.requant.activation.function == Function::Step;
        match (features, ends_in_sigmoid) {
            (1, _) if graph.layers.iter().any(has_step) => Self::Class,
            (1, true) => Self::Threshold {
                at: 0.5,
                what: "single probability: class 1 above 0.5",
            },
            (1, false) => Self::Threshold {
                at: 0.0,
                what: "single score: class 1 above 0",
            },
            _ => Self::Argmax { features },
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Argmax { .. } => "largest element of the first output",
            Self::Class => "the class that is the first output",
            Self::Threshold { what, .. } => what,
        }
    }

    fn classes(self, output: &[f64]) -> Vec<i64> {
        match self {
            Self::Argmax { features } => output.chunks(features.max(1)).map(argmax).collect(),
            Self::Class => output.iter().map(|&x| x as i64).collect(),
            Self::Threshold { at, .. } => output.iter().map(|&x| i64::from(x > at)).collect(),
        }
    }
}

/// Index of the largest element, the first of equals.
fn argmax(row: &[f64]) -> i64 {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (1..row.len()).fold(0, better) as i64
}
