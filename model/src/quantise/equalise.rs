//! Equalisation: hidden features of one tensor share one scale, so small ones are made larger.
//!
//! ReLU, like the identity, commutes with positive factors: `relu(s·x) = s·relu(x)`. Multiplying what a hidden feature
//! is computed from by `s`, and dividing the weights that read it by `s`, changes nothing in the
//! real numbers. In integers the feature gains `log2 s` bits, and the layer that reads it loses as
//! much of its worst case. (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
//! and Bias Correction", section 4.1, here with calibrated maxima.)

use air::graph::{Function, Kernel};

use crate::float::{FloatGraph, FloatLayer, FloatTerm};

/// With this many samples a feature is given room for twice its calibrated maximum.
const MARGIN_SAMPLES: f64 = 8.0;
/// Larger factors are left alone: such a feature is as good as never active.
const MAX_FACTOR: f64 = 1024.0;

/// A linear layer's largest weight and worst case may grow by this: in depthwise convolutions few
/// channels hold the maximum, and weights have bits to spare.
const LINEAR_SLACK: f64 = 8.0;

/// Returns an equal graph whose hidden features have similar maxima. `maxima` holds the largest
/// absolute value of every feature of every layer's output over `samples` calibration samples.
///
/// A tensor's maximum over thousands of features is well known from few samples; a single feature's
/// is not, and a feature that was scaled up to what eight samples showed saturates on the ninth. So
/// features keep a margin that shrinks as samples grow. The positions of an image are samples too,
/// though much alike.
pub(super) fn equalise(graph: &FloatGraph, maxima: &[Vec<f64>], samples: usize) -> FloatGraph {
    let mut graph = graph.clone();
    for (i, maxima) in maxima.iter().enumerate() {
        if !can_scale(&graph, i) {
            continue;
        }
        let positions = graph.tensors[graph.layers[i].output].positions() as f64;
        let margin = 1.0 + MARGIN_SAMPLES / (samples.max(1) as f64 * positions.sqrt());
        let maxima: &[f64] = &maxima.iter().map(|m| m * margin).collect::<Vec<_>>();
        let factors = factors(&graph.layers[i], maxima, margin);
        scale_outputs(&mut graph.layers[i], &factors);
        let output = graph.layers[i].output;
        let tensor = &graph.tensors[output];
        let (features, positions) = (tensor.features, tensor.positions());
        for layer in &mut graph.layers {
            for term in layer.terms.iter_mut().filter(|t| t.input == output) {
                let merged = term.map.merged.contains(&true);
                let per_feature = if merged { positions } else { 1 };
                debug_assert_eq!(factors.len(), features);
                scale_inputs(term, &factors, per_feature);
            }
        }
    }
    graph
}

/// Whether a layer's features may be scaled: learned weights on both sides, and nothing else.
fn can_scale(graph: &FloatGraph, index: usize) -> bool {
    let layer = &graph.layers[index];
    let output = layer.output;
    let learned = |t: &FloatTerm| matches!(t.map.kernel, Kernel::Weights);
    let mut readers = (graph.layers.iter())
        .flat_map(|l| l.terms.iter().filter(|t| t.input == output))
        .peekable();
    let is_gate = graph
        .layers
        .iter()
        .flat_map(|l| &l.terms)
        .any(|t| t.gate() == Some(output));
    let extent = graph.tensors[output].extent;
    // Merged axes count with all of their positions, or the channel's feature is not its quotient.
    let is_whole = |t: &FloatTerm| {
        !t.map.merged.contains(&true) || (0..3).all(|a| t.map.merged[a] || extent[a] == 1)
    };
    matches!(layer.activation, Function::Relu | Function::Identity)
        && !layer.is_exact
        && layer.terms.iter().all(learned)
        && !graph.outputs.contains(&output)
        && !is_gate
        && readers.peek().is_some()
        && readers.all(|t| learned(t) && is_whole(t))
}

/// A power of two for each feature, at least 1: as large as leaves the tensor's maximum, the
/// layer's largest weight and its worst case where they are.
fn factors(layer: &FloatLayer, maxima: &[f64], margin: f64) -> Vec<f64> {
    let outputs = layer.bias.len();
    let mut largest = vec![0f64; outputs];
    let mut reach: Vec<f64> = layer.bias.iter().map(|b| f64::from(b.abs())).collect();
    for term in &layer.terms {
        for (o, w) in outputs_of(term).zip(&term.values) {
            let w = f64::from(w.abs());
            largest[o] = largest[o].max(w);
            reach[o] += w;
        }
    }
    let max = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
    // The margin applies to single features, not to the tensor.
    let slack = match layer.activation {
        Function::Identity => LINEAR_SLACK,
        _ => 1.0,
    };
    let tops = (
        max(maxima) / margin,
        max(&largest) * slack,
        max(&reach) * slack,
    );
    let factor = |j: usize| {
        let room = |top: f64, own: f64| if own > 0.0 { top / own } else { MAX_FACTOR };
        let free = room(tops.0, maxima[j])
            .min(room(tops.1, largest[j]))
            .min(room(tops.2, reach[j]));
        if maxima[j] > 0.0 {
            free.clamp(1.0, MAX_FACTOR).log2().floor().exp2()
        } else {
            1.0
        }
    };
    (0..outputs).map(factor).collect()
}

/// The output feature of each learned weight, in order.
fn outputs_of(term: &FloatTerm) -> impl Iterator<Item = usize> + use<> {
    let map = &term.map;
    let (first, outputs) = (map.first_output as usize, map.outputs as usize);
    let per_group = map.inputs as usize * map.taps() * outputs;
    (0..term.values.len()).map(move |i| first + i / per_group * outputs + i % outputs)
}

fn scale_outputs(layer: &mut FloatLayer, factors: &[f64]) {
    for term in &mut layer.terms {
        for (o, w) in outputs_of(term).zip(&mut term.values) {
            *w *= factors[o] as f32;
        }
    }
    for (b, &s) in layer.bias.iter_mut().zip(factors) {
        *b *= s as f32;
    }
}

/// Divides the weights that read each feature; `per_feature` channels of the map are one feature.
fn scale_inputs(term: &mut FloatTerm, factors: &[f64], per_feature: usize) {
    let map = &term.map;
    let first = map.first_input as usize;
    let row = map.taps() * map.outputs as usize;
    for (c, row) in term.values.chunks_exact_mut(row.max(1)).enumerate() {
        let s = factors[(first + c) / per_feature];
        row.iter_mut().for_each(|w| *w /= s as f32);
    }
}
