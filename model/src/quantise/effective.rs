//! A layer's real weights for each unit of its integer inputs, before any accumulator scale is chosen.

use air::graph::{Encoding, Kernel, LayerWeights, Map, TensorId, Term};

use super::calibrate::{Calibration, Stats};
use super::scales::exp2;
use crate::float::{FloatLayer, FloatTerm};

/// Constant factors that are no powers of two get at least this many bits, and rather as many again.
const TAP_BITS: i16 = 6;

/// One term.
struct EffectiveTerm<'a> {
    term: &'a FloatTerm,
    /// In the order of the term's values; a gate has one.
    values: Vec<f64>,
}

/// A layer.
pub(super) struct Effective<'a> {
    terms: Vec<EffectiveTerm<'a>>,
    bias: Vec<f64>,
    /// Largest absolute accumulator over the whole input ranges.
    pub reach: f64,
    /// Root of the sum of mean squares of the integers that learned weights meet.
    pub input_norm: f64,
    /// Largest learned weight.
    pub largest: f64,
    /// The accumulator's fractional bits, where a gate dictates them: `None` if two disagree.
    pub gate: Option<Option<i16>>,
    /// Fewer fractional bits would lose constant factors.
    pub taps_least: Option<i16>,
    /// With these the constant factors are exact, or as good as learned weights.
    pub taps_useful: Option<i16>,
}

impl<'a> Effective<'a> {
    pub(super) fn new(
        layer: &'a FloatLayer,
        tensors: &[air::graph::Tensor],
        calibration: &Calibration,
    ) -> Self {
        let mut effective = Self {
            terms: Vec::with_capacity(layer.terms.len()),
            bias: layer.bias.iter().map(|&b| f64::from(b)).collect(),
            reach: 0.0,
            input_norm: 0.0,
            largest: 0.0,
            gate: None,
            taps_least: None,
            taps_useful: None,
        };
        let mut squares = 0.0;
        for term in &layer.terms {
            let input = &tensors[term.input];
            match &term.map.kernel {
                Kernel::Weights => {
                    effective.add_weights(layer, term, input);
                    let stats = &calibration.tensors[term.input];
                    let fan_in = f64::from(term.map.inputs) * term.map.taps() as f64;
                    squares += mean_square(stats, input) * fan_in;
                }
                Kernel::Taps(_) => effective.add_taps(term, input),
                Kernel::Gate(id) => effective.add_gate(term, input, &tensors[id.index()]),
            }
        }
        effective.input_norm = squares.sqrt();
        effective.reach = effective.bounds(tensors);
        effective
    }

    fn add_weights(&mut self, layer: &FloatLayer, term: &'a FloatTerm, input: &air::graph::Tensor) {
        let map = &term.map;
        let merged = per_feature(map, input);
        let (taps, outputs) = (map.taps(), map.outputs as usize);
        let mut values = Vec::with_capacity(term.values.len());
        for (channel, rows) in term.values.chunks_exact(taps * outputs).enumerate() {
            let k = (map.first_input as usize + channel) / merged;
            let unit = exp2(-input.encoding.frac_bits(k));
            let zero = f64::from(input.encoding.zero_point(k)) * unit;
            let (scale, offset) = match &layer.scaler {
                Some(s) => (s.scale[k] * unit, s.scale[k] * zero + s.offset[k]),
                None => (unit, zero),
            };
            let group = channel / map.inputs as usize;
            let first = map.first_output as usize + group * outputs;
            for (i, &w) in rows.iter().enumerate() {
                values.push(f64::from(w) * scale);
                self.bias[first + i % outputs] += f64::from(w) * offset;
            }
        }
        // Sums and copies are constants, however they are written.
        if layer.scaler.is_none() && term.values.iter().all(|w| w.abs() == 1.0) {
            let bits = input.encoding.frac_bits(0);
            self.taps_least = Some(self.taps_least.map_or(bits, |b| b.max(bits)));
        }
        self.largest = values.iter().fold(self.largest, |m, v| m.max(v.abs()));
        self.terms.push(EffectiveTerm { term, values });
    }

    fn add_taps(&mut self, term: &'a FloatTerm, input: &air::graph::Tensor) {
        let unit = exp2(-input.encoding.frac_bits(0));
        let values: Vec<f64> = term.values.iter().map(|&w| f64::from(w) * unit).collect();
        for v in values.iter().map(|v| v.abs()).filter(|&v| v > 0.0) {
            let bits = -v.log2().floor() as i16;
            let is_power = v == exp2(-bits);
            let (least, useful) = if is_power {
                (bits, bits)
            } else {
                (bits + TAP_BITS, bits + 2 * TAP_BITS)
            };
            self.taps_least = Some(self.taps_least.map_or(least, |b| b.max(least)));
            self.taps_useful = Some(self.taps_useful.map_or(useful, |b| b.max(useful)));
        }
        self.terms.push(EffectiveTerm { term, values });
    }

    fn add_gate(
        &mut self,
        term: &'a FloatTerm,
        input: &air::graph::Tensor,
        gate: &air::graph::Tensor,
    ) {
        let frac = input.encoding.frac_bits(0) + gate.encoding.frac_bits(0);
        self.gate = Some(match self.gate {
            None => Some(frac),
            Some(known) => known.filter(|&f| f == frac),
        });
        let values = vec![exp2(-frac)];
        self.terms.push(EffectiveTerm { term, values });
    }

    /// The largest absolute accumulator any input within its range can cause.
    fn bounds(&self, tensors: &[air::graph::Tensor]) -> f64 {
        let mut bounds: Vec<(f64, f64)> = self.bias.iter().map(|&b| (b, b)).collect();
        for EffectiveTerm { term, values } in &self.terms {
            let map = &term.map;
            let range = tensors[term.input].range;
            let (lo, hi) = (f64::from(range.lo), f64::from(range.hi));
            let summed = map.axes.iter().filter(|a| a.expand == 0);
            let repeats: f64 = summed.map(|a| f64::from(a.to - a.from)).product();
            let mut add = |o: usize, w: f64, (lo, hi): (f64, f64)| {
                let (a, b) = (w * lo * repeats, w * hi * repeats);
                bounds[o].0 += a.min(b).min(0.0);
                bounds[o].1 += a.max(b).max(0.0);
            };
            let (first, outputs) = (map.first_output as usize, map.outputs as usize);
            match &map.kernel {
                Kernel::Weights => {
                    let per_group = map.inputs as usize * map.taps() * outputs;
                    for (i, &w) in values.iter().enumerate() {
                        add(first + i / per_group * outputs + i % outputs, w, (lo, hi));
                    }
                }
                Kernel::Taps(_) => {
                    for o in term.outputs() {
                        values.iter().for_each(|&w| add(o, w, (lo, hi)));
                    }
                }
                Kernel::Gate(id) => {
                    let gate = tensors[id.index()].range;
                    let most = gate.max_abs() as f64 * lo.abs().max(hi.abs());
                    for o in term.outputs() {
                        add(o, values[0], (-most, most));
                    }
                }
            }
        }
        let max = |m: f64, b: &(f64, f64)| m.max(b.0.abs()).max(b.1.abs());
        bounds.iter().fold(0.0, max)
    }

    /// The integers at `acc_frac` fractional bits, if they fit their types.
    pub(super) fn round(&self, acc_frac: i16) -> Option<(Vec<Term>, LayerWeights)> {
        let scale = exp2(acc_frac);
        let within = |v: f64, limit: f64| {
            let r = (v * scale).round();
            (r.abs() <= limit).then_some(r)
        };
        let mut terms = Vec::with_capacity(self.terms.len());
        let mut weights = Vec::with_capacity(self.terms.len());
        for EffectiveTerm { term, values } in &self.terms {
            let mut map: Map = term.map.clone();
            let mut learned = Vec::new();
            match &mut map.kernel {
                Kernel::Weights => {
                    let narrow = |&v: &f64| within(v, f64::from(i16::MAX)).map(|r| r as i16);
                    learned = values.iter().map(narrow).collect::<Option<_>>()?;
                }
                Kernel::Taps(taps) => {
                    let wide = |&v: &f64| within(v, f64::from(1 << 24)).map(|r| r as i32);
                    *taps = values.iter().map(wide).collect::<Option<_>>()?;
                }
                Kernel::Gate(_) => {}
            }
            terms.push(Term {
                input: TensorId(term.input as u32),
                map,
            });
            weights.push(learned);
        }
        let wide = |&v: &f64| within(v, f64::from(i32::MAX)).map(|r| r as i32);
        let bias = self.bias.iter().map(wide).collect::<Option<_>>()?;
        Some((
            terms,
            LayerWeights {
                terms: weights,
                bias,
            },
        ))
    }
}

/// Channels of a map that are one feature of its tensor.
fn per_feature(map: &Map, input: &air::graph::Tensor) -> usize {
    let merged = (0..3).filter(|&a| map.merged[a]);
    merged.map(|a| input.extent[a] as usize).product()
}

fn mean_square(stats: &Stats, input: &air::graph::Tensor) -> f64 {
    match &input.encoding {
        Encoding::Uniform { frac_bits } => stats.mean_square * exp2(2 * frac_bits),
        // Around zero, with a twelfth of the range as deviation or a little more.
        Encoding::PerFeature { .. } => (f64::from(input.range.hi) / 8.0).powi(2),
    }
}
