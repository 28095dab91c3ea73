//! Power-of-two scales: how many fractional bits a tensor gets.

use air::graph::{Activation, Encoding, Function, LOG_REACH, MAX_FRAC_BITS, Range};

use super::QuantOptions;
use super::calibrate::{Calibration, Stats};
use crate::float::Affine;

/// Room above the largest calibrated value of a hidden tensor.
const HEADROOM: f64 = 1.5;
/// The same where a tensor has so many positions that its largest value is well known.
const IMAGE_HEADROOM: f64 = 1.2;
const IMAGE_POSITIONS: usize = 64;
/// Room above the largest calibrated value of an output.
const OUTPUT_HEADROOM: f64 = 2.0;
/// Weight rounding may disturb a requantised value by this much (standard deviation, in units of
/// the result); the rounding of the result itself is 0.29.
const WEIGHT_NOISE: f64 = 0.12;
/// The same for images, where one wrong weight errs alike at all positions, and does not average out.
const IMAGE_WEIGHT_NOISE: f64 = 0.06;
/// How many standard deviations of a scaled feature its encoding covers at least.
const DEVIATIONS: f64 = 12.0;

/// Widths of one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerBits {
    /// Bits of the activation's argument and result.
    pub bits: u32,
    /// Room above the calibrated range.
    pub headroom: f64,
    /// What rounded weights may do to a result, in its units.
    pub weight_noise: f64,
    /// Whether other layers with weights read the result.
    pub is_hidden: bool,
}

/// The widths of a layer. Linear scores, `is_last`, get one bit more: nothing downstream averages their
/// rounding, and the headroom costs up to one.
pub(super) fn layer_bits(
    activation: Function,
    positions: usize,
    is_last: bool,
    options: &QuantOptions,
) -> LayerBits {
    let is_image = positions >= IMAGE_POSITIONS;
    let linear = options.output_bits.unwrap_or((options.bits + 1).min(16));
    LayerBits {
        bits: if is_last && !is_squashing(activation) {
            linear
        } else {
            options.bits
        },
        headroom: match (is_last, is_image) {
            (true, _) => OUTPUT_HEADROOM,
            (false, true) => IMAGE_HEADROOM,
            (false, false) => HEADROOM,
        },
        weight_noise: if is_image {
            IMAGE_WEIGHT_NOISE
        } else {
            WEIGHT_NOISE
        },
        is_hidden: !is_last,
    }
}

/// How an input is to be encoded.
pub(super) struct InputPlan {
    pub encoding: Encoding,
    pub range: Range,
    pub reason: String,
}

/// Encodes input `index`.
pub(super) fn input(
    calibration: &Calibration,
    index: usize,
    scaler: Option<&Affine>,
    options: &QuantOptions,
) -> InputPlan {
    match scaler {
        Some(scaler) if !scaler.is_uniform() => {
            tabular(&calibration.features[index], scaler, options)
        }
        _ => uniform(&calibration.tensors[index], options.bits),
    }
}

/// One scale for the whole tensor. Rounding a value just beyond the largest integer down to it
/// costs no more than a coarser grid would everywhere, so half a step of saturation is allowed.
fn uniform(stats: &Stats, bits: u32) -> InputPlan {
    let signed = stats.min < 0.0;
    let range = if signed {
        Range::signed(bits)
    } else {
        Range::unsigned(bits)
    };
    let covered = f64::from(range.hi) + 1.0;
    let frac_bits = frac_bits_for(stats.max_abs(), covered);
    let sign = if signed { "signed" } else { "never negative" };
    InputPlan {
        encoding: Encoding::Uniform { frac_bits },
        range,
        reason: format!("{sign}, covers ±{:.4}", covered * exp2(-frac_bits)),
    }
}

/// A scale and a zero point for each feature, from the model's own scaler and the data. The zero
/// point is the middle, so that typical integers, and what rounded weights do to them, are small.
fn tabular(features: &[(f64, f64)], scaler: &Affine, options: &QuantOptions) -> InputPlan {
    let bits = options.tabular_bits.unwrap_or((options.bits + 2).min(16));
    let range = Range::signed(bits);
    let one = |(f, &(lo, hi)): (usize, &(f64, f64))| {
        let (a, c) = (scaler.scale[f], scaler.offset[f]);
        let (lo, hi) = if a == 0.0 {
            (lo, hi)
        } else {
            let (mean, width) = (-c / a, DEVIATIONS / a.abs());
            (lo.min(mean - width), hi.max(mean + width))
        };
        let frac_bits = frac_bits_for((hi - lo) / 2.0, f64::from(range.hi));
        let limit = f64::from(1 << 30);
        let middle = (lo + hi) / 2.0 * exp2(frac_bits);
        (frac_bits, middle.round().clamp(-limit, limit) as i32)
    };
    let (frac_bits, zero_point) = features.iter().enumerate().map(one).unzip();
    InputPlan {
        encoding: Encoding::PerFeature {
            frac_bits,
            zero_point,
        },
        range,
        reason: format!("own scale per feature: its scaler's mean ± {DEVIATIONS} deviations"),
    }
}

/// Whether all results lie in a small interval that does not depend on the model.
fn is_squashing(function: Function) -> bool {
    matches!(
        function,
        Function::Sigmoid | Function::Tanh | Function::HardSigmoid { .. }
    )
}

/// The activation of a layer: function, domain and image. `reach` is the largest absolute value
/// any input can cause, beyond which no range needs to go.
pub(super) fn activation(
    function: Function,
    pre: &Stats,
    reach: f64,
    width: LayerBits,
) -> (Activation, String) {
    match function {
        Function::Relu => rectified(pre.max, reach, f64::INFINITY, width),
        Function::Clip { lo, hi } if lo.value() == 0.0 => {
            rectified(pre.max.min(hi.value()), reach, hi.value(), width)
        }
        Function::Clip { lo, hi } => clipped(pre, reach, (lo.value(), hi.value()), width),
        // Averages and maxima of what is never negative need no sign, and share the table of ReLU.
        Function::Identity if width.is_hidden && pre.min >= 0.0 && pre.max > 0.0 => {
            rectified(pre.max, reach, f64::INFINITY, width)
        }
        Function::Identity => {
            let signed = Range::signed(width.bits);
            let top = (pre.max_abs() * width.headroom).min(reach);
            let frac = frac_bits_for(top, f64::from(signed.hi) + 0.5);
            let reason = format!("covers ±{:.4}", covered(signed, frac));
            (Activation::identity(signed, frac), reason)
        }
        Function::LeakyRelu { alpha } => leaky(function, alpha.value(), pre, reach, width),
        Function::Sigmoid | Function::Tanh | Function::HardSigmoid { .. } => {
            squashing(function, pre, reach, width.bits)
        }
        _ => bent(function, pre, reach, width),
    }
}

/// Fractional bits of an exponential of at most 1, and of a probability.
const EXP_BITS: i16 = 15;

/// The activation of a layer whose accumulators are exact, `frac` bits behind the point and between `lo` and
/// `hi`.
///
/// Errors, for `b` bits: a probability is `e^(x − ln Σ)`. Its argument is rounded to `2^(3−b)`, and a logarithm's
/// argument to the same relative precision, so that a probability is wrong by at most `2^(2−b)` of itself for
/// each, and by half a unit of [`EXP_BITS`].
pub(super) fn exact(function: Function, frac: i16, bits: u32, (lo, hi): (f64, f64)) -> Activation {
    let round = |x: f64, frac: i16| (x * exp2(frac)).round() as i32;
    let of = |function, in_frac_bits, out_frac_bits, domain, image| Activation {
        function,
        in_frac_bits,
        out_frac_bits,
        domain,
        image,
    };
    let to = |lo, hi| Range { lo, hi };
    let fine = bits as i16 - 3;
    match function {
        Function::Exp => {
            // Below, the result is less than half a unit.
            let vanishes = -f64::from(EXP_BITS + 1) * core::f64::consts::LN_2;
            let grid = frac.min(fine);
            let domain = to(round(vanishes.max(lo), grid) - 1, 0);
            of(function, grid, EXP_BITS, domain, to(0, 1 << EXP_BITS))
        }
        Function::Log { lo: from } => {
            let most = (hi / from.value()).clamp(1.0, LOG_REACH);
            let grid = frac.min(fine - from.value().log2() as i16);
            let domain = to(round(from.value(), grid), round(from.value() * most, grid));
            let out = bits as i16 - 1;
            of(
                function,
                grid,
                out,
                domain,
                to(0, round(most.ln(), out) + 1),
            )
        }
        // Any other function of integers: the sign is all that is asked.
        _ => of(function, frac, 0, to(-1, 0), to(0, 1)),
    }
}

/// ReLU, perhaps with a ceiling: the domain starts at 0 and saturation does the rest.
fn rectified(max: f64, reach: f64, ceiling: f64, width: LayerBits) -> (Activation, String) {
    let mut range = Range::unsigned(width.bits);
    let top = (max.max(0.0) * width.headroom).min(reach).min(ceiling);
    let frac = frac_bits_for(top, f64::from(range.hi) + 0.5);
    let limit = (ceiling * exp2(frac)).round();
    if limit < f64::from(range.hi) {
        range.hi = limit.max(1.0) as i32;
    }
    let activation = Activation {
        function: Function::Relu,
        ..Activation::identity(range, frac)
    };
    let reason = format!("covers {:.4}; below 0 saturates", covered(range, frac));
    (activation, reason)
}

/// Both bounds are ends of the image.
fn clipped(
    pre: &Stats,
    reach: f64,
    (lo, hi): (f64, f64),
    width: LayerBits,
) -> (Activation, String) {
    let signed = Range::signed(width.bits);
    let top = (pre.max_abs() * width.headroom)
        .min(reach)
        .min(lo.abs().max(hi.abs()));
    let frac = frac_bits_for(top, f64::from(signed.hi) + 0.5);
    let end = |x: f64| {
        let q = (x * exp2(frac)).round();
        q.clamp(f64::from(signed.lo), f64::from(signed.hi)) as i32
    };
    let range = Range {
        lo: end(lo),
        hi: end(hi),
    };
    let reason = format!("clips to [{lo}, {hi}]");
    (Activation::identity(range, frac), reason)
}

/// One grid for both sides; the argument may reach further below 0 than the result.
fn leaky(
    function: Function,
    alpha: f64,
    pre: &Stats,
    reach: f64,
    width: LayerBits,
) -> (Activation, String) {
    let signed = Range::signed(width.bits);
    let below = (-pre.min).max(0.0);
    let top = pre.max.max(below * alpha.abs()) * width.headroom;
    let frac = frac_bits_for(top.min(reach), f64::from(signed.hi) + 0.5);
    let lowest = (below * width.headroom).min(reach) * exp2(frac);
    let bits = (lowest.max(1.0).log2().ceil() as u32).clamp(width.bits - 1, 16);
    let activation = Activation {
        function,
        in_frac_bits: frac,
        out_frac_bits: frac,
        domain: Range {
            lo: -(1 << bits),
            hi: signed.hi,
        },
        image: signed,
    };
    let reason = format!("covers ±{:.4}", covered(signed, frac));
    (activation, reason)
}

fn squashing(function: Function, pre: &Stats, reach: f64, bits: u32) -> (Activation, String) {
    let signed = Range::signed(bits);
    // Beyond this argument the result rounds to its limit: σ(x) > 1 − e^−x, and
    // tanh(x) = 2σ(2x) − 1.
    let limit = f64::from(bits + 1) * core::f64::consts::LN_2;
    let (image, out_frac_bits, limit) = match function {
        Function::Sigmoid => (Range::unsigned(bits), bits as i16, limit),
        Function::HardSigmoid { alpha, beta } => {
            // Its limit is reached, and must be exact.
            let one = Range {
                lo: 0,
                hi: 1 << (bits - 1),
            };
            let limit = (1.0 + beta.value().abs()) / alpha.value().abs().max(1e-6);
            (one, bits as i16 - 1, limit)
        }
        _ => (signed, bits as i16 - 1, limit / 2.0),
    };
    // Twice what was seen: saturating a squashing function early is a large error.
    let top = (2.0 * pre.max_abs()).max(1.0).min(reach).min(limit);
    // Reaching 7/8 of the limit loses less than the next coarser grid would.
    let frac = frac_bits_for(top * 0.875, f64::from(signed.hi) + 0.5);
    let activation = Activation {
        function,
        in_frac_bits: frac,
        out_frac_bits,
        domain: signed,
        image,
    };
    let reason = format!("argument covers ±{:.4}", covered(signed, frac));
    (activation, reason)
}

/// Functions that are bent near 0 and straight far from it: the argument gets a bit more than the
/// result.
fn bent(function: Function, pre: &Stats, reach: f64, width: LayerBits) -> (Activation, String) {
    let (image, domain) = (Range::signed(width.bits), Range::signed(width.bits + 1));
    let top = (pre.max_abs() * width.headroom).max(1.0).min(reach);
    // Far below 0 the result is flat: the argument need not go there.
    let far = match function {
        Function::HardSwish => 3.0,
        Function::Elu { .. } => f64::from(width.bits) * core::f64::consts::LN_2,
        _ => 24.0,
    };
    let highest = (pre.max * width.headroom).max(far.min(top)).min(top);
    let result = function.apply(highest).abs().max(match function {
        Function::Elu { alpha } => alpha.value().abs(),
        _ => 0.5,
    });
    let in_frac = frac_bits_for(highest, f64::from(domain.hi) + 0.5);
    let out_frac = frac_bits_for(result, f64::from(image.hi) + 0.5);
    let activation = Activation {
        function,
        in_frac_bits: in_frac,
        out_frac_bits: out_frac,
        domain,
        image,
    };
    let reason = format!("argument covers ±{:.4}", covered(domain, in_frac));
    (activation, reason)
}

/// The most fractional bits with `magnitude · 2^bits ≤ limit`.
fn frac_bits_for(magnitude: f64, limit: f64) -> i16 {
    if magnitude <= 0.0 || !magnitude.is_finite() {
        return 0;
    }
    let exact = (limit / magnitude).log2().floor();
    let max = f64::from(MAX_FRAC_BITS);
    let mut bits = exact.clamp(-max, max) as i16;
    // The logarithm may be off by a rounding.
    while bits > -MAX_FRAC_BITS && magnitude * exp2(bits) > limit {
        bits -= 1;
    }
    bits
}

fn covered(range: Range, frac_bits: i16) -> f64 {
    f64::from(range.hi) * exp2(-frac_bits)
}

/// `2^bits`.
pub(super) fn exp2(bits: i16) -> f64 {
    f64::from(bits).exp2()
}
