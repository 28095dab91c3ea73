//! Weights: the finest scale whose worst case still has one meaning modulo the field's order.

use air::graph::{Activation, Encoding, LinearWeights, Requant, Tensor};

use super::QuantError;
use super::calibrate::{Calibration, Stats};
use super::report::LayerReport;
use super::scales::{self, LayerBits, exp2};
use crate::FIELD_MODULUS;
use crate::float::{FloatGraph, FloatLayer};

/// Weight rounding may disturb a requantised value by this much (standard deviation, in units of
/// the result); the rounding of the result itself is 0.29.
const WEIGHT_NOISE: f64 = 0.12;
/// Larger shifts would need taller range tables than they are worth.
const MAX_SHIFT: i16 = 16;
/// Most excess bits a graph may state.
const MAX_EXCESS_BITS: u8 = 30;

/// A layer in integers.
pub(super) struct Fitted {
    pub weights: LinearWeights,
    pub requant: Requant,
    bounds: (i64, i64),
    reason: String,
}

/// A layer's real weights for each unit of its integer input.
struct Effective {
    values: Vec<f64>,
    bias: Vec<f64>,
    outputs: usize,
    /// Largest absolute accumulator over the whole input range.
    reach: f64,
    /// Root of the sum of mean squares of the integer inputs.
    input_norm: f64,
}

/// Quantises layer `index`.
pub(super) fn fit(
    layer: &FloatLayer,
    input: &Tensor,
    calibration: &Calibration,
    index: usize,
    width: LayerBits,
) -> Result<Fitted, QuantError> {
    let effective = Effective::new(layer, input, &calibration.tensors[layer.input]);
    let fail = |reason: &str| QuantError::Layer {
        layer: layer.name.clone(),
        reason: reason.to_owned(),
    };
    if !effective.reach.is_finite() {
        return Err(fail("its weights are too large"));
    }
    let pre = &calibration.pre_activations[index];
    let (mut activation, mut reason) =
        scales::activation(layer.activation, pre, effective.reach, width);
    // A grid too fine for any weight scale is made coarser, step by step.
    for coarser in 0..64 {
        if let Some((weights, requant, bounds)) = effective.search(activation, input) {
            if coarser > 0 {
                reason = format!("{reason}; {coarser} bits coarser, for the accumulator's bounds");
            }
            return Ok(Fitted {
                weights,
                requant,
                bounds,
                reason,
            });
        }
        activation.in_frac_bits -= 1;
        if matches!(
            layer.activation,
            air::graph::Function::Relu | air::graph::Function::Identity
        ) {
            activation.out_frac_bits -= 1;
        }
        if activation.in_frac_bits <= -air::graph::MAX_FRAC_BITS {
            break;
        }
    }
    Err(fail(
        "no weight scale keeps its accumulators within the field; use fewer bits",
    ))
}

impl Effective {
    fn new(layer: &FloatLayer, input: &Tensor, stats: &Stats) -> Self {
        let linear = &layer.linear;
        let mut values = Vec::with_capacity(linear.weights.len());
        let mut bias: Vec<f64> = linear.bias.iter().map(|&b| f64::from(b)).collect();
        let (lo, hi) = (f64::from(input.range.lo), f64::from(input.range.hi));
        for (k, row) in linear.weights.chunks_exact(linear.outputs).enumerate() {
            let unit = exp2(-input.encoding.frac_bits(k));
            let zero = f64::from(input.encoding.zero_point(k)) * unit;
            let (scale, offset) = match &layer.scaler {
                Some(s) => (s.scale[k] * unit, s.scale[k] * zero + s.offset[k]),
                None => (unit, zero),
            };
            for (&w, b) in row.iter().zip(&mut bias) {
                values.push(f64::from(w) * scale);
                *b += f64::from(w) * offset;
            }
        }
        let mut bounds: Vec<(f64, f64)> = bias.iter().map(|&b| (b, b)).collect();
        for row in values.chunks_exact(linear.outputs) {
            for (bound, &w) in bounds.iter_mut().zip(row) {
                bound.0 += (w * lo).min(w * hi);
                bound.1 += (w * lo).max(w * hi);
            }
        }
        let reach = bounds
            .iter()
            .fold(0.0, |m, b| f64::max(m, b.0.abs().max(b.1.abs())));
        let mean_square = match &input.encoding {
            Encoding::Uniform { frac_bits } => stats.mean_square * exp2(2 * frac_bits),
            // Around zero, with a twelfth of the range as deviation or a little more.
            Encoding::PerFeature { .. } => (hi / 8.0).powi(2),
        };
        Self {
            values,
            bias,
            outputs: linear.outputs,
            reach,
            input_norm: (mean_square * linear.inputs as f64).sqrt(),
        }
    }

    /// The first weight scale, from the finest useful one down, that satisfies every bound.
    fn search(
        &self,
        activation: Activation,
        input: &Tensor,
    ) -> Option<(LinearWeights, Requant, (i64, i64))> {
        let floor = activation.in_frac_bits;
        let largest = self.values.iter().fold(0.0, |m, v| f64::max(m, v.abs()));
        let log2_floor = |x: f64| x.log2().floor().clamp(-512.0, 512.0) as i16;
        let by_width = if largest > 0.0 {
            log2_floor(f64::from(i16::MAX) / largest)
        } else {
            floor
        };
        let by_reach = if self.reach > 0.0 {
            log2_floor((FIELD_MODULUS / 2) as f64 / self.reach)
        } else {
            floor
        };
        // Rounding K weights adds noise of deviation √(Σx²)·2^−s/√12 to the quotient.
        let noise = self.input_norm / 12f64.sqrt() / WEIGHT_NOISE;
        let useful = if noise > 1.0 {
            floor.saturating_add(log2_floor(noise) + 1)
        } else {
            floor
        };
        let finest = by_width
            .min(by_reach)
            .min(useful)
            .min(floor.saturating_add(MAX_SHIFT));
        (floor..=finest)
            .rev()
            .find_map(|acc_frac| self.attempt(acc_frac, activation, input))
    }

    fn attempt(
        &self,
        acc_frac: i16,
        activation: Activation,
        input: &Tensor,
    ) -> Option<(LinearWeights, Requant, (i64, i64))> {
        let scale = exp2(acc_frac);
        let narrow = |v: f64| {
            let r = (v * scale).round();
            (r.abs() <= f64::from(i16::MAX)).then_some(r as i16)
        };
        let wide = |v: f64| {
            let r = (v * scale).round();
            (r.abs() <= f64::from(i32::MAX)).then_some(r as i32)
        };
        let weights = LinearWeights {
            inputs: input.features,
            outputs: self.outputs as u32,
            values: self
                .values
                .iter()
                .map(|&v| narrow(v))
                .collect::<Option<_>>()?,
            bias: self.bias.iter().map(|&v| wide(v)).collect::<Option<_>>()?,
        };
        let shift = u8::try_from(acc_frac - activation.in_frac_bits).ok()?;
        let bounds = weights.accumulator_bounds(input.range);
        let requant = smallest_excess(shift, activation, bounds)?;
        Some((weights, requant, bounds))
    }
}

/// The smallest excess that represents every accumulator in `bounds`, if that has one meaning.
fn smallest_excess(shift: u8, activation: Activation, bounds: (i64, i64)) -> Option<Requant> {
    let requant = (0..=MAX_EXCESS_BITS)
        .map(|excess_bits| Requant {
            shift,
            excess_bits,
            activation,
        })
        .find(|requant| {
            let (lo, hi) = requant.representable();
            lo <= bounds.0 && bounds.1 <= hi
        })?;
    let (lo, hi) = requant.representable();
    let true_max = bounds.0.unsigned_abs().max(bounds.1.unsigned_abs());
    let represented_max = lo.unsigned_abs().max(hi.unsigned_abs());
    let is_meaningful = true_max + represented_max < FIELD_MODULUS
        && requant.span().unsigned_abs() <= FIELD_MODULUS;
    is_meaningful.then_some(requant)
}

impl Fitted {
    /// The row of the report.
    pub(super) fn report(
        &self,
        graph: &FloatGraph,
        index: usize,
        calibration: &Calibration,
    ) -> LayerReport {
        let layer = &graph.layers[index];
        let seen = &calibration.tensors[layer.output];
        let signed_bits = |v: u64| 65 - v.leading_zeros();
        let largest = self
            .weights
            .values
            .iter()
            .map(|w| u64::from(w.unsigned_abs()))
            .max();
        LayerReport {
            tensor: graph.tensors[layer.output].name.clone(),
            op: layer.ops.clone(),
            calibrated: (seen.min, seen.max),
            frac_bits: self.requant.activation.out_frac_bits,
            range: self.requant.activation.image,
            weight_bits: signed_bits(largest.unwrap_or(0)),
            shift: self.requant.shift,
            excess_bits: self.requant.excess_bits,
            acc_bits: signed_bits(
                self.bounds
                    .0
                    .unsigned_abs()
                    .max(self.bounds.1.unsigned_abs()),
            ),
            reason: self.reason.clone(),
        }
    }
}
