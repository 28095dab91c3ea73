//! # Quantisation: from floats to integers that cannot overflow
//!
//! Layer by layer, from the inputs on:
//!
//! 1. *Encode the inputs.* One power-of-two scale for a tensor whose features are alike; a scale
//!    and a zero point for each feature where the model begins with a feature scaler.
//! 2. *Equalise hidden features* that share a scale, where ReLU allows it.
//! 3. *Choose the activation's grid* from the calibrated range, with headroom. ReLU needs no table
//!    for negative numbers: its domain starts at 0 and saturation does the rest.
//! 4. *Choose the weight scale*: fine enough that rounding weights disturbs less than rounding
//!    activations, coarse enough for the bounds. With `T` the worst accumulator over **all**
//!    representable inputs and `V` what the requantisation can represent,
//!    `max|T| + max|V| < p` and `#V ≤ p` must hold, or an integer would be ambiguous modulo `p`.
//! 5. *Check* with [`air::graph::Model::validate`], which knows nothing of the steps above.
//!
//! ```text
//!   x = (q + z)·2^−f   ──▶   acc = Σ w·q + b   at 2^−a   ──shift s = a − i──▶   clamp, table at 2^−i
//! ```

mod calibrate;
mod equalise;
mod fit;
mod report;
mod scales;

use air::graph::{Encoding, Graph, Layer, Model, ModelError, Tensor, TensorId};

pub use self::calibrate::synthetic_samples;
use self::calibrate::{Calibration, calibrate};
pub use self::report::{InputReport, LayerReport, QuantReport};
use crate::float::{FloatGraph, FloatTensor, ShapeError};
use crate::{FIELD_MODULUS, Sample};

/// Weights of fewer bits than this are worth a warning.
const COARSE_WEIGHT_BITS: u32 = 11;

/// How to quantise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantOptions {
    /// Bits of activations, 8 to 16.
    pub bits: u32,
    /// Bits of linear outputs; `None` for `bits + 1`, at most 16.
    pub output_bits: Option<u32>,
    /// Bits of inputs with a scale for each feature; `None` for `bits + 2`, at most 16.
    pub tabular_bits: Option<u32>,
    /// Seed of synthetic calibration data.
    pub seed: u64,
    /// Number of synthetic samples, where no calibration data is given.
    pub synthetic_samples: usize,
}

impl Default for QuantOptions {
    fn default() -> Self {
        Self {
            bits: 12,
            output_bits: None,
            tabular_bits: None,
            seed: 0,
            synthetic_samples: 64,
        }
    }
}

/// Why a model could not be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// A number of bits is out of range.
    #[error("{what}: {got} bits, expected 8 to 16")]
    Bits {
        /// Which option.
        what: &'static str,
        /// Its value.
        got: u32,
    },
    /// The calibration data is empty.
    #[error("the calibration data holds no sample")]
    NoSamples,
    /// A calibration sample does not fit the model.
    #[error("calibration sample {index}: {source}")]
    Sample {
        /// Which sample.
        index: usize,
        /// What is wrong with it.
        source: ShapeError,
    },
    /// A calibration value is NaN or infinite.
    #[error("calibration sample {sample}, input `{input}`: element {index} is not finite")]
    NotFinite {
        /// Which sample.
        sample: usize,
        /// The input.
        input: String,
        /// Flat index of the element.
        index: usize,
    },
    /// No scales satisfy a layer's bounds.
    #[error("layer `{layer}`: {reason}")]
    Layer {
        /// The layer.
        layer: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The result failed its own check: a bug.
    #[error("the quantised model is unsound ({layer}): {source}")]
    Unsound {
        /// The layer the check complains about, if it names one.
        layer: String,
        /// What the check says.
        source: ModelError,
    },
}

/// Quantises a model, with calibration samples or synthetic ones.
pub fn quantise(
    graph: &FloatGraph,
    samples: Option<&[Sample]>,
    options: &QuantOptions,
) -> Result<(Model, QuantReport), QuantError> {
    check_options(options)?;
    let mut report = QuantReport::default();
    let synthetic;
    let samples = match samples {
        Some(samples) => samples,
        None => {
            report.warnings.push(format!(
                "calibrated on {} synthetic samples (seed {}): ranges may not fit real data; \
                 give calibration data",
                options.synthetic_samples, options.seed
            ));
            synthetic = synthetic_samples(graph, options.synthetic_samples, options.seed);
            &synthetic
        }
    };
    report.calibration_samples = samples.len();
    let seen = calibrate(graph, samples)?;
    let equal = equalise::equalise(graph, &seen.layer_maxima(graph.inputs), samples.len());
    let calibration = calibrate(&equal, samples)?;
    let model = build(&equal, &calibration, options, &mut report)?;
    warn_of_coarse_weights(options, &mut report);
    model
        .validate(FIELD_MODULUS)
        .map_err(|source| unsound(graph, source))?;
    Ok((model, report))
}

/// Accumulators have a fixed number of bits: what activations take, weights lack.
fn warn_of_coarse_weights(options: &QuantOptions, report: &mut QuantReport) {
    let coarse = |l: &&LayerReport| (2..COARSE_WEIGHT_BITS).contains(&l.weight_bits);
    if options.bits > QuantOptions::default().bits
        && let Some(layer) = report.layers.iter().find(coarse)
    {
        report.warnings.push(format!(
            "{} bits of activations leave {} bits for the weights of `{}`: \
             fewer bits may be more accurate",
            options.bits, layer.weight_bits, layer.tensor
        ));
    }
}

fn check_options(options: &QuantOptions) -> Result<(), QuantError> {
    let given = [
        ("bits", Some(options.bits)),
        ("output bits", options.output_bits),
        ("tabular bits", options.tabular_bits),
    ];
    for (what, bits) in given {
        if let Some(got) = bits
            && !(8..=16).contains(&got)
        {
            return Err(QuantError::Bits { what, got });
        }
    }
    Ok(())
}

fn build(
    graph: &FloatGraph,
    calibration: &Calibration,
    options: &QuantOptions,
    report: &mut QuantReport,
) -> Result<Model, QuantError> {
    let mut tensors = Vec::with_capacity(graph.tensors.len());
    for (i, tensor) in graph.input_tensors().iter().enumerate() {
        let scaler = graph
            .layers
            .iter()
            .find(|layer| layer.input == i)
            .and_then(|layer| layer.scaler.as_ref());
        let plan = scales::input(calibration, i, scaler, options);
        report.inputs.push(InputReport {
            tensor: tensor.name.clone(),
            calibrated: (calibration.tensors[i].min, calibration.tensors[i].max),
            encoding: plan.encoding.clone(),
            range: plan.range,
            reason: plan.reason,
        });
        tensors.push(to_tensor(tensor, plan.range, plan.encoding));
    }
    let mut layers = Vec::with_capacity(graph.layers.len());
    let mut weights = Vec::with_capacity(graph.layers.len());
    for (i, layer) in graph.layers.iter().enumerate() {
        let is_output = graph.outputs.iter().any(|o| o.tensor == layer.output);
        let bits = scales::layer_bits(layer.activation, is_output, options);
        let fitted = fit::fit(layer, &tensors[layer.input], calibration, i, bits)?;
        let activation = fitted.requant.activation;
        report.layers.push(fitted.report(graph, i, calibration));
        tensors.push(to_tensor(
            &graph.tensors[layer.output],
            activation.image,
            Encoding::Uniform {
                frac_bits: activation.out_frac_bits,
            },
        ));
        layers.push(Layer {
            name: layer.name.clone(),
            input: TensorId(layer.input as u32),
            output: TensorId(layer.output as u32),
            requant: fitted.requant,
        });
        weights.push(fitted.weights);
    }
    let id = |i: usize| TensorId(i as u32);
    Ok(Model {
        graph: Graph {
            tensors,
            layers,
            inputs: (0..graph.inputs).map(id).collect(),
            outputs: graph.outputs.iter().map(|o| id(o.tensor)).collect(),
            post: graph.outputs.iter().map(|o| o.post.clone()).collect(),
        },
        weights,
    })
}

fn to_tensor(tensor: &FloatTensor, range: air::graph::Range, encoding: Encoding) -> Tensor {
    Tensor {
        name: tensor.name.clone(),
        shape: tensor.shape.iter().map(|&d| d as u32).collect(),
        features: tensor.features as u32,
        positions: tensor.positions as u32,
        range,
        encoding,
    }
}

fn unsound(graph: &FloatGraph, source: ModelError) -> QuantError {
    let layer = match &source {
        ModelError::Shape { layer } | ModelError::Overflow { layer, .. } => Some(*layer),
        _ => None,
    };
    QuantError::Unsound {
        layer: layer
            .and_then(|i| graph.layers.get(i))
            .map_or_else(|| "graph".to_owned(), |l| l.name.clone()),
        source,
    }
}
