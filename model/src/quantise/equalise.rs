//! Equalisation: hidden features of one tensor share one scale, so small ones are made larger.
//!
//! ReLU commutes with positive factors: `relu(s·x) = s·relu(x)`. Multiplying what a hidden feature
//! is computed from by `s`, and dividing the weights that read it by `s`, changes nothing in the
//! real numbers. In integers the feature gains `log2 s` bits, and the layer that reads it loses as
//! much of its worst case. (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
//! and Bias Correction", section 4.1, here with calibrated maxima.)

use air::graph::Function;

use crate::float::{FloatGraph, FloatLayer};

/// With this many samples a feature is given room for twice its calibrated maximum.
const MARGIN_SAMPLES: f64 = 8.0;
/// Larger factors are left alone: such a feature is as good as never active.
const MAX_FACTOR: f64 = 1024.0;

/// Returns an equal graph whose hidden ReLU features have similar maxima. `maxima` holds the
/// largest value of every feature of every layer's output over `samples` calibration samples.
///
/// A tensor's maximum over thousands of features is well known from few samples; a single feature's
/// is not, and a feature that was scaled up to what eight samples showed saturates on the ninth. So
/// features keep a margin that shrinks as samples grow.
pub(super) fn equalise(graph: &FloatGraph, maxima: &[Vec<f64>], samples: usize) -> FloatGraph {
    let mut graph = graph.clone();
    let margin = 1.0 + MARGIN_SAMPLES / samples.max(1) as f64;
    for (i, maxima) in maxima.iter().enumerate() {
        let maxima: &[f64] = &maxima.iter().map(|m| m * margin).collect::<Vec<_>>();
        let output = graph.layers[i].output;
        let reader = graph.layers.iter().position(|l| l.input == output);
        if let (Some(reader), Function::Relu) = (reader, graph.layers[i].activation) {
            let factors = factors(&graph.layers[i], maxima, margin);
            scale_columns(&mut graph.layers[i], &factors);
            scale_rows(&mut graph.layers[reader], &factors);
        }
    }
    graph
}

/// A power of two for each feature, at least 1: as large as leaves the tensor's maximum, the
/// layer's largest weight and its worst case where they are.
fn factors(layer: &FloatLayer, maxima: &[f64], margin: f64) -> Vec<f64> {
    let linear = &layer.linear;
    let mut largest = vec![0f64; linear.outputs];
    let mut reach: Vec<f64> = linear.bias.iter().map(|b| f64::from(b.abs())).collect();
    for row in linear.weights.chunks_exact(linear.outputs) {
        for (j, w) in row.iter().enumerate() {
            let w = f64::from(w.abs());
            largest[j] = largest[j].max(w);
            reach[j] += w;
        }
    }
    let max = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
    // The margin applies to single features, not to the tensor.
    let tops = (max(maxima) / margin, max(&largest), max(&reach));
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
    (0..linear.outputs).map(factor).collect()
}

fn scale_columns(layer: &mut FloatLayer, factors: &[f64]) {
    let linear = &mut layer.linear;
    for row in linear.weights.chunks_exact_mut(linear.outputs) {
        for (w, &s) in row.iter_mut().zip(factors) {
            *w *= s as f32;
        }
    }
    for (b, &s) in linear.bias.iter_mut().zip(factors) {
        *b *= s as f32;
    }
}

fn scale_rows(layer: &mut FloatLayer, factors: &[f64]) {
    let linear = &mut layer.linear;
    for (row, &s) in linear.weights.chunks_exact_mut(linear.outputs).zip(factors) {
        row.iter_mut().for_each(|w| *w /= s as f32);
    }
}
