//! Accumulators: the finest scale whose worst case still has one meaning modulo the field's order.

use air::graph::{
    Activation, Combine, Function, Graph, Kernel, Layer, LayerWeights, Map, Range, Requant, Tensor,
    TensorId, Term,
};

use super::QuantError;
use super::calibrate::Calibration;
use super::effective::Effective;
use super::report::LayerReport;
use super::scales::{self, LayerBits};
use super::tables::Wish;
use crate::FIELD_MODULUS;
use crate::float::{FloatGraph, FloatLayer, FloatTerm};

/// Larger shifts would need taller range tables than they are worth.
pub(super) const MAX_SHIFT: i16 = 16;
/// Most excess bits a graph may state.
const MAX_EXCESS_BITS: u8 = 30;
/// Largest value of an image, so that its values are few enough for a range.
const MAX_IMAGE: i64 = air::graph::MAX_RANGE - 1;

/// A layer in integers.
pub(super) struct Fitted {
    pub layer: Layer,
    pub weights: LayerWeights,
    /// Smallest and largest accumulator over all inputs.
    pub bounds: (i64, i64),
    reason: String,
}

/// Quantises layer `index`, giving up what `wish` says. `done` holds the
/// tensors and layers before it.
pub(super) fn fit(
    layer: &FloatLayer,
    done: &Graph,
    calibration: &Calibration,
    index: usize,
    width: LayerBits,
    wish: Wish,
) -> Result<Fitted, QuantError> {
    let fail = |reason: &str| QuantError::Layer {
        layer: layer.name.clone(),
        reason: reason.to_owned(),
    };
    if layer.combine == Combine::Max {
        return maximum(layer, done)
            .ok_or_else(|| fail("it compares elements of different scales"));
    }
    let effective = Effective::new(layer, &done.tensors, calibration);
    if !effective.reach.is_finite() {
        return Err(fail("its weights are too large"));
    }
    if effective.gate == Some(None) {
        return Err(fail("it adds up gated values of different scales"));
    }
    let search = Search {
        layer,
        done,
        effective,
        weight_noise: width.weight_noise,
        max_shift: wish.max_shift,
    };
    if layer.is_exact {
        return search
            .exact(width.bits)
            .ok_or_else(|| fail("it compares too many elements, or scales too far apart"));
    }
    let pre = &calibration.pre_activations[index];
    let reach = search.effective.reach;
    let (mut activation, mut reason) = scales::activation(layer.activation, pre, reach, width);
    (0..wish.coarser).for_each(|_| coarsen(&mut activation));
    // A grid too fine for any accumulator scale is made coarser, step by step.
    for more in 0..64 {
        if let Some(mut fitted) = search.finest(activation) {
            let bits = more + i32::from(wish.coarser);
            if bits > 0 {
                reason = format!("{reason}; {bits} bits coarser, for the accumulator's bounds");
            }
            fitted.reason = reason;
            return Ok(fitted);
        }
        coarsen(&mut activation);
        if activation.in_frac_bits <= -air::graph::MAX_FRAC_BITS {
            break;
        }
    }
    Err(fail(
        "no weight scale keeps its accumulators within the field; use fewer bits",
    ))
}

/// A maximum in integers: it has the values and the scale of what it is taken of.
fn maximum(layer: &FloatLayer, done: &Graph) -> Option<Fitted> {
    let inputs = || layer.terms.iter().map(|t| &done.tensors[t.input]);
    let first = inputs().next()?;
    let hull = |range: Range, t: &Tensor| Range {
        lo: range.lo.min(t.range.lo),
        hi: range.hi.max(t.range.hi),
    };
    let range = inputs().fold(first.range, hull);
    let terms = layer.terms.iter().map(|term| Term {
        input: TensorId(term.input as u32),
        map: Map {
            kernel: Kernel::Taps(vec![1; term.map.taps()]),
            ..term.map.clone()
        },
    });
    let fitted = Fitted {
        layer: Layer {
            name: layer.name.clone(),
            terms: terms.collect(),
            combine: Combine::Max,
            output: TensorId(layer.output as u32),
            requant: Requant {
                shift: 0,
                excess_bits: 0,
                activation: Activation::identity(range, first.encoding.frac_bits(0)),
            },
        },
        weights: LayerWeights {
            terms: vec![Vec::new(); layer.terms.len()],
            bias: Vec::new(),
        },
        bounds: (i64::from(range.lo), i64::from(range.hi)),
        reason: "exact: the largest of its window".to_owned(),
    };
    let has_same_scale = |t: &Tensor| t.encoding == first.encoding;
    inputs().all(has_same_scale).then_some(fitted)
}

/// One fractional bit less. A ceiling of the image stays where it is in real numbers.
fn coarsen(activation: &mut Activation) {
    activation.in_frac_bits -= 1;
    if activation.function.is_homogeneous() {
        activation.out_frac_bits -= 1;
        if activation.function != Function::Relu {
            return;
        }
        let is_ceiling = (activation.image.hi + 1) & activation.image.hi != 0;
        if is_ceiling {
            activation.image.hi = (activation.image.hi / 2).max(1);
            activation.domain = activation.image;
        }
    }
}

/// The choice of an accumulator scale.
struct Search<'a> {
    layer: &'a FloatLayer,
    done: &'a Graph,
    effective: Effective<'a>,
    weight_noise: f64,
    max_shift: i16,
}

impl Search<'_> {
    /// The first accumulator scale, from the finest useful one down, that satisfies every bound.
    fn finest(&self, activation: Activation) -> Option<Fitted> {
        let effective = &self.effective;
        let grid = activation.in_frac_bits;
        let most = grid.saturating_add(self.max_shift);
        if let Some(Some(fixed)) = effective.gate {
            let fits =
                (grid..=most).contains(&fixed) && effective.taps_least.is_none_or(|l| l <= fixed);
            return fits.then(|| self.attempt(fixed, activation)).flatten();
        }
        let floor = effective.taps_least.map_or(grid, |least| grid.max(least));
        let log2_floor = |x: f64| x.log2().floor().clamp(-512.0, 512.0) as i16;
        let by = |limit: f64, of: f64| {
            if of > 0.0 {
                log2_floor(limit / of)
            } else {
                most
            }
        };
        let by_width = by(f64::from(i16::MAX), effective.largest);
        let by_reach = by((FIELD_MODULUS / 2) as f64, effective.reach);
        // Rounding K weights adds noise of deviation √(Σx²)·2^−s/√12 to the quotient.
        let noise = effective.input_norm / 12f64.sqrt() / self.weight_noise;
        let mut useful = if noise > 1.0 {
            grid.saturating_add(log2_floor(noise) + 1)
        } else {
            grid
        };
        useful = useful
            .max(effective.taps_useful.unwrap_or(useful))
            .max(floor);
        let finest = by_width.min(by_reach).min(useful).min(most);
        (floor..=finest)
            .rev()
            .find_map(|acc_frac| self.attempt(acc_frac, activation))
    }

    fn attempt(&self, acc_frac: i16, activation: Activation) -> Option<Fitted> {
        let shift = u8::try_from(acc_frac - activation.in_frac_bits).ok()?;
        let (terms, weights) = self.effective.round(acc_frac)?;
        let mut layer = Layer {
            name: self.layer.name.clone(),
            terms,
            combine: Combine::Sum,
            output: TensorId(self.layer.output as u32),
            requant: Requant {
                shift,
                excess_bits: 0,
                activation,
            },
        };
        let bounds = weights.accumulator_bounds(self.done, &layer);
        layer.requant = smallest_excess(shift, activation, bounds)?;
        Some(Fitted {
            layer,
            weights,
            bounds,
            reason: String::new(),
        })
    }

    /// A layer that adds up the integers of its inputs, at the finest of their scales: nothing is rounded
    /// before the activation.
    fn exact(&self, bits: u32) -> Option<Fitted> {
        let inputs = || self.layer.terms.iter().map(|t| &self.done.tensors[t.input]);
        let frac = inputs().map(|t| t.encoding.frac_bits(0)).max()?;
        let activation = match self.layer.activation {
            Function::Identity | Function::Relu => {
                let (lo, hi) = self.exact_image(frac)?;
                let range = Range {
                    lo: i32::try_from(lo).ok()?,
                    hi: i32::try_from(hi).ok()?,
                };
                Activation {
                    function: self.layer.activation,
                    ..Activation::identity(range, frac)
                }
            }
            function => {
                let (lo, hi) = self.bounds_at(frac)?;
                let unit = scales::exp2(-frac);
                scales::exact(function, frac, bits, (lo as f64 * unit, hi as f64 * unit))
            }
        };
        let mut fitted = self.attempt(frac, activation)?;
        fitted.reason = "exact: integers as they are".to_owned();
        Some(fitted)
    }

    /// All values of a layer that compares integers or counts with them.
    fn exact_image(&self, frac: i16) -> Option<(i64, i64)> {
        let inputs = || self.layer.terms.iter().map(|t| &self.done.tensors[t.input]);
        let is_unit = |t: &FloatTerm| t.values.iter().all(|w| w.abs() == 1.0);
        let has_bias = self.layer.bias.iter().any(|&b| b != 0.0);
        let (lo, hi) = if has_bias || !self.layer.terms.iter().all(is_unit) {
            self.bounds_at(frac)?
        } else {
            // A difference counts from 0: what it is added to is a tensor that may be negative.
            let signed = inputs().any(|t| t.range.lo < 0);
            let ends = inputs().filter(|t| !signed || t.range.lo < 0).map(|t| {
                let step = 1i64
                    .checked_shl((frac - t.encoding.frac_bits(0)) as u32)
                    .unwrap_or(0);
                (i64::from(t.range.lo) * step, i64::from(t.range.hi) * step)
            });
            let (lo, hi) = ends.fold((0, 0), |(a, b), (lo, hi)| (a.min(lo), b.max(hi)));
            match self.layer.activation {
                Function::Relu => (0, hi - lo),
                _ => (lo, hi),
            }
        };
        (hi - lo <= MAX_IMAGE).then_some((lo, hi))
    }

    /// The smallest and the largest accumulator at a scale.
    fn bounds_at(&self, acc_frac: i16) -> Option<(i64, i64)> {
        let (terms, weights) = self.effective.round(acc_frac)?;
        let range = Range { lo: 0, hi: 0 };
        let layer = Layer {
            name: String::new(),
            terms,
            combine: Combine::Sum,
            output: TensorId(self.layer.output as u32),
            requant: Requant {
                shift: 0,
                excess_bits: 0,
                activation: Activation::identity(range, acc_frac),
            },
        };
        Some(weights.accumulator_bounds(self.done, &layer))
    }
}

/// The smallest excess that represents every accumulator in `bounds`, if that has one meaning.
pub(super) fn smallest_excess(
    shift: u8,
    activation: Activation,
    bounds: (i64, i64),
) -> Option<Requant> {
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
    let (least, most) = requant.limits(FIELD_MODULUS);
    let is_meaningful =
        least <= bounds.0 && bounds.1 <= most && requant.span().unsigned_abs() <= FIELD_MODULUS;
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
        let weights = self.weights.terms.iter().flatten();
        let largest = weights.map(|w| u64::from(w.unsigned_abs())).max();
        let requant = &self.layer.requant;
        LayerReport {
            tensor: graph.tensors[layer.output].name.clone(),
            op: layer.ops.clone(),
            calibrated: (seen.min, seen.max),
            frac_bits: requant.activation.out_frac_bits,
            range: requant.activation.image,
            weight_bits: signed_bits(largest.unwrap_or(0)),
            shift: requant.shift,
            excess_bits: requant.excess_bits,
            acc_bits: signed_bits(
                self.bounds
                    .0
                    .unsigned_abs()
                    .max(self.bounds.1.unsigned_abs()),
            ),
            reason: self.reason.clone(),
        }
    }

    /// The smallest and the largest quotient.
    pub(super) fn reach(&self) -> (i64, i64) {
        let requant = &self.layer.requant;
        let quotient = |acc: i64| (acc + requant.half()) >> requant.shift;
        (quotient(self.bounds.0), quotient(self.bounds.1))
    }

    /// How many values of the domain, as a power of two around 0, hold every accumulator.
    pub(super) fn domain_bits(&self) -> u32 {
        let (lo, hi) = self.reach();
        (0..40)
            .find(|&bits| lo >= -(1 << bits) && hi < (1 << bits))
            .map_or(64, |bits| bits + 1)
    }
}
