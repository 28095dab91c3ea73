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
mod effective;
mod equalise;
mod fit;
mod report;
mod scales;
mod tables;

use air::graph::{Encoding, Graph, Model, ModelError, Tensor, TensorId};

pub use self::calibrate::synthetic_samples;
use self::calibrate::{Calibration, calibrate};
use self::fit::Fitted;
pub use self::report::{InputReport, LayerReport, QuantReport};
use crate::float::{FloatGraph, FloatLayer, ShapeError};
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
    let mut inputs = Vec::with_capacity(graph.inputs);
    for (i, tensor) in graph.input_tensors().iter().enumerate() {
        let plan = scales::input(calibration, i, graph.scaler(i), options);
        report.inputs.push(InputReport {
            tensor: tensor.name.clone(),
            calibrated: (calibration.tensors[i].min, calibration.tensors[i].max),
            encoding: plan.encoding.clone(),
            range: plan.range,
            reason: plan.reason,
        });
        inputs.push(tensor.quantised(plan.range, plan.encoding));
    }
    let elements: Vec<usize> = (graph.layers.iter())
        .map(|layer| graph.tensors[layer.output].len())
        .collect();
    let is_output = |layer: &FloatLayer| graph.outputs.iter().any(|o| o.tensor == layer.output);
    let is_free = |layer: &FloatLayer| !layer.is_exact && !is_output(layer);
    let free: Vec<bool> = graph.layers.iter().map(is_free).collect();
    let none = vec![0; graph.layers.len()];
    let (mut done, mut fitted) = fit_all(graph, &inputs, calibration, options, &none)?;
    let coarser = tables::coarser(&fitted, &elements, &free);
    if coarser != none {
        (done, fitted) = fit_all(graph, &inputs, calibration, options, &coarser)?;
    }
    tables::share(&mut fitted, &elements);
    for (i, fitted) in fitted.iter().enumerate() {
        report.layers.push(fitted.report(graph, i, calibration));
    }
    let (layers, weights) = fitted.into_iter().map(|f| (f.layer, f.weights)).unzip();
    Ok(Model {
        graph: Graph { layers, ..done },
        weights,
    })
}

/// Fits every layer in order. The graph that comes back has tensors, and no layers.
fn fit_all(
    graph: &FloatGraph,
    inputs: &[Tensor],
    calibration: &Calibration,
    options: &QuantOptions,
    coarser: &[u8],
) -> Result<(Graph, Vec<Fitted>), QuantError> {
    let id = |i: usize| TensorId(i as u32);
    let mut done = Graph {
        tensors: inputs.to_vec(),
        layers: Vec::new(),
        inputs: (0..graph.inputs).map(id).collect(),
        outputs: graph.outputs.iter().map(|o| id(o.tensor)).collect(),
        post: graph.outputs.iter().map(|o| o.post.clone()).collect(),
    };
    let mut all = Vec::with_capacity(graph.layers.len());
    for (i, layer) in graph.layers.iter().enumerate() {
        let is_output = graph.outputs.iter().any(|o| o.tensor == layer.output);
        let bits = scales::layer_bits(layer.activation, is_output, options);
        let fitted = fit::fit(layer, &done, calibration, i, bits, coarser[i])?;
        let activation = fitted.layer.requant.activation;
        let encoding = Encoding::Uniform {
            frac_bits: activation.out_frac_bits,
        };
        let tensor = &graph.tensors[layer.output];
        done.tensors
            .push(tensor.quantised(activation.image, encoding));
        all.push(fitted);
    }
    Ok((done, all))
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
