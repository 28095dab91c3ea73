//! Calibration: what values a model meets on typical data.

use crate::float::FloatGraph;
use crate::{QuantError, Sample};

/// What was seen of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stats {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean of the squares.
    pub mean_square: f64,
}

impl Stats {
    /// Largest absolute value.
    pub(super) fn max_abs(&self) -> f64 {
        self.min.abs().max(self.max.abs())
    }
}

/// What was seen of a whole model.
pub(super) struct Calibration {
    /// Of every tensor.
    pub tensors: Vec<Stats>,
    /// Of what every layer's activation was applied to.
    pub pre_activations: Vec<Stats>,
    /// Smallest and largest value of every feature of every tensor.
    pub features: Vec<Vec<(f64, f64)>>,
}

impl Calibration {
    /// The largest absolute value of every feature of every layer's output.
    pub(super) fn layer_maxima(&self, inputs: usize) -> Vec<Vec<f64>> {
        let maxima = |f: &Vec<(f64, f64)>| f.iter().map(|&(lo, hi)| hi.max(-lo)).collect();
        self.features[inputs..].iter().map(maxima).collect()
    }
}

/// Runs the float graph over all samples.
pub(super) fn calibrate(graph: &FloatGraph, samples: &[Sample]) -> Result<Calibration, QuantError> {
    if samples.is_empty() {
        return Err(QuantError::NoSamples);
    }
    let mut tensors = vec![Accumulator::default(); graph.tensors.len()];
    let mut pre_activations = vec![Accumulator::default(); graph.layers.len()];
    let mut features: Vec<Vec<(f64, f64)>> = graph
        .tensors
        .iter()
        .map(|t| vec![(f64::INFINITY, f64::NEG_INFINITY); t.features])
        .collect();
    for (index, sample) in samples.iter().enumerate() {
        check_finite(graph, index, sample)?;
        let trace = graph
            .trace(sample)
            .map_err(|source| QuantError::Sample { index, source })?;
        for (seen, data) in features.iter_mut().zip(&trace.tensors) {
            let positions = data.len() / seen.len().max(1);
            for ((lo, hi), data) in seen.iter_mut().zip(data.chunks_exact(positions.max(1))) {
                for &x in data {
                    (*lo, *hi) = (lo.min(f64::from(x)), hi.max(f64::from(x)));
                }
            }
        }
        for (stats, data) in tensors.iter_mut().zip(&trace.tensors) {
            stats.add(data);
        }
        for (i, data) in trace.pre_activations.iter().enumerate() {
            if data.iter().any(|x| !x.is_finite()) {
                return Err(QuantError::Layer {
                    layer: graph.layers[i].name.clone(),
                    reason: format!("calibration sample {index} overflows to infinity"),
                });
            }
            pre_activations[i].add(data);
        }
    }
    Ok(Calibration {
        tensors: tensors.iter().map(Accumulator::finish).collect(),
        pre_activations: pre_activations.iter().map(Accumulator::finish).collect(),
        features,
    })
}

fn check_finite(graph: &FloatGraph, sample: usize, data: &Sample) -> Result<(), QuantError> {
    for (tensor, data) in graph.input_tensors().iter().zip(data) {
        if let Some(index) = data.iter().position(|x| !x.is_finite()) {
            return Err(QuantError::NotFinite {
                sample,
                input: tensor.name.clone(),
                index,
            });
        }
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Accumulator {
    min: f64,
    max: f64,
    squares: f64,
    count: u64,
}

impl Accumulator {
    fn add(&mut self, data: &[f32]) {
        for &x in data {
            let x = f64::from(x);
            let (min, max) = if self.count == 0 {
                (x, x)
            } else {
                (self.min.min(x), self.max.max(x))
            };
            (self.min, self.max) = (min, max);
            self.squares += x * x;
            self.count += 1;
        }
    }

    fn finish(&self) -> Stats {
        Stats {
            min: self.min,
            max: self.max,
            mean_square: self.squares / self.count.max(1) as f64,
        }
    }
}

/// Deterministic stand-ins for data, where a user has none.
///
/// Features that the model scales itself are drawn normally around the scaler's mean with its
/// deviation. Of other inputs, half the samples are uniform in [0, 1] (pixels, one-hot codes), half
/// standard normal (standardised features).
pub fn synthetic_samples(graph: &FloatGraph, count: usize, seed: u64) -> Vec<Sample> {
    let mut rng = Rng(seed);
    let mut sample = |index: usize| -> Sample {
        let one = |(i, tensor): (usize, &crate::FloatTensor)| {
            let scaler = graph.scaler(i);
            let positions = tensor.positions();
            (tensor.row_major().into_iter())
                .map(|at| match scaler {
                    Some(s) => {
                        let (a, c) = (s.scale[at / positions], s.offset[at / positions]);
                        let z = rng.normal();
                        if a == 0.0 {
                            z as f32
                        } else {
                            ((z - c) / a) as f32
                        }
                    }
                    None if index.is_multiple_of(2) => rng.uniform() as f32,
                    None => rng.normal() as f32,
                })
                .collect()
        };
        graph.input_tensors().iter().enumerate().map(one).collect()
    };
    (0..count).map(&mut sample).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 1: the sum of twelve uniforms, which needs no libm.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
