//! # Quantisation: from floats to integers that cannot overflow
//!
//! Layer by layer, from the inputs on:
//!
//! 1. *Encode the inputs.* One power-of-two scale for a tensor whose features are alike; a scale
//!    and a zero point for each feature where the model begins with a feature scaler.
//! 2. *Equalise hidden features* that share a scale, between learned weights.
//! 3. *Choose the activation's grid* from the calibrated range, with headroom. ReLU needs no table
//!    for negative numbers: its domain starts at 0 and saturation does the rest.
//! 4. *Choose the accumulator's scale*, which all terms of a layer share: fine enough that rounding weights disturbs less than rounding
//!    activations, coarse enough for the bounds. With `T` the worst accumulator over **all**
//!    representable inputs and `V` what the requantisation can represent,
//!    `max|T| + max|V| < p` and `#V ≤ p` must hold, or an integer would be ambiguous modulo `p`.
//!    Constant factors that are powers of two stay exact, and a gate dictates the scale.
//! 5. *Saturate* by an excess for each element, or by a table so tall that none is needed, whichever
//!    costs less over all layers that share the table.
//! 6. *Check* with [`air::graph::Model::validate`], which knows nothing of the steps above.
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

use air::graph::{Combine, Encoding, Function, Graph, Model, ModelError, Tensor, TensorId};
use air::layout::Layout;

pub use self::calibrate::synthetic_samples;
use self::calibrate::{Calibration, calibrate};
use self::fit::Fitted;
pub use self::report::{InputReport, LayerReport, QuantReport};
use self::tables::Wish;
use crate::float::{FloatGraph, FloatLayer, FloatTensor, ShapeError};
use crate::{FIELD_MODULUS, Sample};

/// Extension degree for which cells are counted.
const EXTENSION_DEGREE: usize = 5;
/// Weights of fewer bits than this are worth a warning.
const COARSE_WEIGHT_BITS: u32 = 11;

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantOptions {
    /// Bits of activations, 8 to 16.
    pub bits: u32,
    /// Bits of linear outputs; `None` for `bits + 1`, at most 16.
    pub output_bits: Option<u32>,
    /// Bits of inputs with a scale for each feature; `None` for `bits + 2`, at most 16.
    pub tabular_bits: Option<u32>,
    /// Largest error of any output on the calibration data, relative to the output's range: as long as
    /// it is exceeded, other widths are tried.
    pub target_error: Option<f64>,
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
            target_error: None,
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
    /// A quantised model could not be evaluated on a calibration sample.
    #[error("calibration sample {sample}: {reason}")]
    Evaluation {
        /// Which sample.
        sample: usize,
        /// Why.
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

/// Quantises a model, with calibration samples or synthetic ones. Of two forms of it, that with maxima apart is taken
/// where it commits to clearly fewer cells.
pub fn quantise(
    graph: &FloatGraph,
    samples: Option<&[Sample]>,
    options: &QuantOptions,
) -> Result<(Model, QuantReport), QuantError> {
    let quantised = quantise_form(graph, samples, options);
    let Some(apart) = graph.apart.as_deref() else {
        return quantised;
    };
    let other = quantise_form(apart, samples, options);
    match (quantised, other) {
        (Ok(one), Ok(other)) if is_clearly_less(cells(&other.0), cells(&one.0)) => Ok(other),
        (Err(_), Ok(other)) => Ok(other),
        (one, _) => one,
    }
}

/// By more than a 32nd: less than that is luck, heights being powers of two, and a form with maxima in rows has fewer
/// tensors, terms and columns.
const fn is_clearly_less(a: usize, b: usize) -> bool {
    a.saturating_add(b / 32) < b
}

/// What a proof commits to; more than anything if there is no layout.
fn cells(model: &Model) -> usize {
    let layout = Layout::new(&model.graph, None, FIELD_MODULUS);
    layout.map_or(usize::MAX, |layout| {
        layout.committed_cells(EXTENSION_DEGREE)
    })
}

fn quantise_form(
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
    report.bits = options.bits;
    let seen = calibrate(graph, samples)?;
    let equal = equalise::equalise(graph, &seen.layer_maxima(graph.inputs), samples.len());
    let calibration = calibrate(&equal, samples)?;
    let mut model = build(&equal, &calibration, options, true, &mut report)?;
    if let Some(target) = options.target_error {
        let first = error_on(graph, &model, samples)?;
        let mut least = first;
        for (bits, is_frugal) in candidates(options.bits) {
            if least <= target {
                break;
            }
            let wider = QuantOptions {
                bits,
                ..options.clone()
            };
            let mut tried = report.without_rows();
            tried.bits = bits;
            let candidate = build(&equal, &calibration, &wider, is_frugal, &mut tried)?;
            let error = error_on(graph, &candidate, samples)?;
            if error < least {
                (model, report, least) = (candidate, tried, error);
            }
        }
        if least > target {
            report.warnings.push(format!(
                "the error on the calibration data is {least:.5} of an output's range, more than the \
                 {target} asked for ({first:.5} with {} bits)",
                options.bits
            ));
        }
    }
    warn_of_coarse_weights(options, &mut report);
    model
        .validate(FIELD_MODULUS)
        .map_err(|source| unsound(graph, source))?;
    Ok((model, report))
}

/// What is tried after `bits` bits were too few: without sacrifices for common tables, wider, and at
/// last narrower, which leaves more bits to the weights of layers with many inputs.
fn candidates(bits: u32) -> impl Iterator<Item = (u32, bool)> {
    const FURTHEST: u32 = 3;
    let wider = (bits + 1..=16).take(FURTHEST as usize);
    let narrower = (8..bits).rev().take(FURTHEST as usize);
    let others = wider
        .chain(narrower)
        .flat_map(|bits| [(bits, true), (bits, false)]);
    std::iter::once((bits, false)).chain(others)
}

/// Elements that may be evaluated to judge a width by.
const MAX_JUDGED: usize = 1 << 24;

/// The largest error of any output, relative to the output's range, over as many samples as do not take long:
/// 4 of a large network, 256 of a small one.
fn error_on(graph: &FloatGraph, model: &Model, samples: &[Sample]) -> Result<f64, QuantError> {
    let elements: usize = graph.tensors.iter().map(FloatTensor::len).sum();
    let few = (MAX_JUDGED / elements.max(1)).clamp(4, 256);
    let outputs = graph.outputs.len();
    let mut worst = vec![0f64; outputs];
    let mut ends = vec![(f64::INFINITY, f64::NEG_INFINITY); outputs];
    for (index, sample) in samples.iter().take(few).enumerate() {
        let expected = graph
            .evaluate(sample)
            .map_err(|source| QuantError::Sample { index, source })?;
        let got = crate::accuracy::run_quantised(model, index, sample).map_err(|source| {
            QuantError::Evaluation {
                sample: index,
                reason: source.to_string(),
            }
        })?;
        for (o, (e, g)) in expected.iter().zip(&got).enumerate() {
            for (&e, g) in e.iter().zip(g) {
                let e = f64::from(e);
                worst[o] = worst[o].max((e - g).abs());
                ends[o] = (ends[o].0.min(e), ends[o].1.max(e));
            }
        }
    }
    let relative = worst.iter().zip(&ends).map(|(&w, (lo, hi))| {
        let range = hi - lo;
        if range > 0.0 { w / range } else { w }
    });
    Ok(relative.fold(0.0, f64::max))
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

/// Quantises with given ranges. `is_frugal` lets layers give up some accuracy to share tall tables.
fn build(
    graph: &FloatGraph,
    calibration: &Calibration,
    options: &QuantOptions,
    is_frugal: bool,
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
    let is_free = |layer: &FloatLayer| !layer.is_exact && !has_scores(graph, layer);
    let free: Vec<bool> = graph.layers.iter().map(is_free).collect();
    let is_looked_up: Vec<bool> = graph.layers.iter().map(|l| looks_up(graph, l)).collect();
    let none = vec![Wish::NONE; graph.layers.len()];
    let (mut done, mut fitted) = fit_all(graph, &inputs, calibration, options, &none)?;
    let wishes = tables::wishes(&fitted, &elements, &free, &is_looked_up);
    if is_frugal && wishes != none {
        (done, fitted) = fit_all(graph, &inputs, calibration, options, &wishes)?;
    }
    tables::share(&mut fitted, &elements, &is_looked_up);
    for (i, fitted) in fitted.iter().enumerate() {
        report.layers.push(fitted.report(graph, i, calibration));
    }
    let (layers, weights) = fitted.into_iter().map(|f| (f.layer, f.weights)).unzip();
    Ok(Model {
        graph: Graph { layers, ..done },
        weights,
    })
}

/// Whether a layer writes an output of the model, or what a Softmax or an ArgMax makes one of.
fn has_scores(graph: &FloatGraph, layer: &FloatLayer) -> bool {
    let compares = |l: &FloatLayer| {
        matches!(l.activation, Function::Exp | Function::Step)
            && l.terms.iter().any(|t| t.input == layer.output)
    };
    graph.outputs.contains(&layer.output) || graph.layers.iter().any(compares)
}

/// Whether a layer's quotients are looked up: not in a maximum, nor in a copy that one reads.
fn looks_up(graph: &FloatGraph, layer: &FloatLayer) -> bool {
    let maxima = || graph.layers.iter().filter(|l| l.combine == Combine::Max);
    let is_copy = maxima().any(|l| l.terms[1..].iter().any(|t| t.input == layer.output));
    layer.combine == Combine::Sum && !is_copy
}

/// Fits every layer in order. The graph that comes back has tensors, and no layers.
fn fit_all(
    graph: &FloatGraph,
    inputs: &[Tensor],
    calibration: &Calibration,
    options: &QuantOptions,
    wishes: &[Wish],
) -> Result<(Graph, Vec<Fitted>), QuantError> {
    let id = |i: usize| TensorId(i as u32);
    let mut done = Graph {
        tensors: inputs.to_vec(),
        layers: Vec::new(),
        inputs: (0..graph.inputs).map(id).collect(),
        outputs: graph.outputs.iter().map(|&o| id(o)).collect(),
    };
    let mut all = Vec::with_capacity(graph.layers.len());
    for (i, layer) in graph.layers.iter().enumerate() {
        let positions = graph.tensors[layer.output].positions();
        let is_last = has_scores(graph, layer);
        let bits = scales::layer_bits(layer.activation, positions, is_last, options);
        let fitted = fit::fit(layer, &done, calibration, i, bits, wishes[i])?;
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
