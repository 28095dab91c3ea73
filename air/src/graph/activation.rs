//! Activations as tables of integers.
//!
//! The table of an [`Activation`] is a function of its few parameters, computed with `libm` alone,
//! so that every machine builds the same table bit for bit.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{MAX_FRAC_BITS, MAX_TABLE_ENTRIES, Range};

/// A parameter of a function: an `f32`, kept as its bits so that functions can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Param(u32);

impl Param {
    /// The parameter of this value.
    pub const fn new(value: f32) -> Self {
        Self(value.to_bits())
    }

    /// The value, exactly.
    pub const fn value(self) -> f64 {
        f32::from_bits(self.0) as f64
    }
}

/// A real function of one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Function {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + e^(−x))`
    Sigmoid,
    /// `(e^x − e^(−x)) / (e^x + e^(−x))`
    Tanh,
    /// `min(max(x, lo), hi)`
    Clip {
        /// Smallest result.
        lo: Param,
        /// Largest result.
        hi: Param,
    },
    /// `x` where that is positive, else `alpha·x`
    LeakyRelu {
        /// Slope below 0.
        alpha: Param,
    },
    /// `x · min(max(x/6 + 1/2, 0), 1)`
    HardSwish,
    /// `min(max(alpha·x + beta, 0), 1)`
    HardSigmoid {
        /// Slope.
        alpha: Param,
        /// Value at 0.
        beta: Param,
    },
    /// `x / (1 + e^(−x))`
    Silu,
    /// `x` where that is positive, else `alpha·(e^x − 1)`
    Elu {
        /// Limit below 0, negated.
        alpha: Param,
    },
    /// `ln(1 + e^x)`
    Softplus,
    /// `x/2 · (1 + erf(x/√2))`
    Gelu,
    /// `e^x`
    Exp,
    /// `ln(min(max(x/lo, 1), 16))`: what `x` adds to a logarithm between `lo` and `16·lo`. The logarithm of a
    /// number from 1 to `16^n` is the sum of `n` of them, with `lo = 1, 16, 256, …`: each has a grid of its own, so that
    /// one of few entries does for a number of many bits.
    Log {
        /// Where it begins.
        lo: Param,
    },
    /// 1 where `x ≥ 0`, else 0
    Step,
}

/// How far one [`Function::Log`] reaches, as a factor.
pub const LOG_REACH: f64 = 16.0;

impl Function {
    /// The function's value, in `f64`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Relu => positive(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => libm::tanh(x),
            Self::Clip { lo, hi } => libm::fmin(libm::fmax(x, lo.value()), hi.value()),
            Self::LeakyRelu { alpha } if x < 0.0 => alpha.value() * x,
            Self::LeakyRelu { .. } => x,
            Self::HardSwish => x * unit(x / 6.0 + 0.5),
            Self::HardSigmoid { alpha, beta } => unit(alpha.value() * x + beta.value()),
            Self::Silu => x * sigmoid(x),
            Self::Elu { alpha } if x < 0.0 => alpha.value() * libm::expm1(x),
            Self::Elu { .. } => x,
            Self::Softplus => positive(x) + libm::log1p(libm::exp(-libm::fabs(x))),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)),
            Self::Exp => libm::exp(x),
            Self::Log { lo } => libm::log(libm::fmin(libm::fmax(x / lo.value(), 1.0), LOG_REACH)),
            Self::Step if x >= 0.0 => 1.0,
            Self::Step => 0.0,
        }
    }

    /// Whether `f(c·x) = c·f(x)` for every positive `c`: its table depends on the ratio of the scales
    /// alone.
    pub const fn is_homogeneous(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::LeakyRelu { .. })
    }

    /// Whether no result is negative.
    pub fn is_never_negative(self) -> bool {
        match self {
            Self::Relu | Self::Sigmoid | Self::HardSigmoid { .. } | Self::Softplus => true,
            Self::Exp | Self::Log { .. } | Self::Step => true,
            Self::Clip { lo, .. } => lo.value() >= 0.0,
            _ => false,
        }
    }

    /// Whether the parameters are finite, and in order.
    fn is_sound(self) -> bool {
        match self {
            Self::Clip { lo, hi } => {
                lo.value().is_finite() && hi.value().is_finite() && lo.value() <= hi.value()
            }
            Self::LeakyRelu { alpha } | Self::Elu { alpha } => alpha.value().is_finite(),
            Self::Log { lo } => lo.value().is_finite() && lo.value() > 0.0,
            Self::HardSigmoid { alpha, beta } => {
                alpha.value().is_finite() && beta.value().is_finite()
            }
            _ => true,
        }
    }
}

fn positive(x: f64) -> f64 {
    if x > 0.0 { x } else { 0.0 }
}

/// The nearest number in [0, 1].
fn unit(x: f64) -> f64 {
    libm::fmin(libm::fmax(x, 0.0), 1.0)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("Identity"),
            Self::Relu => f.write_str("Relu"),
            Self::Sigmoid => f.write_str("Sigmoid"),
            Self::Tanh => f.write_str("Tanh"),
            Self::Clip { lo, hi } => write!(f, "Clip({}, {})", lo.value(), hi.value()),
            Self::LeakyRelu { alpha } => write!(f, "LeakyRelu({})", alpha.value()),
            Self::HardSwish => f.write_str("HardSwish"),
            Self::HardSigmoid { alpha, beta } => {
                write!(f, "HardSigmoid({}, {})", alpha.value(), beta.value())
            }
            Self::Silu => f.write_str("Silu"),
            Self::Elu { alpha } => write!(f, "Elu({})", alpha.value()),
            Self::Softplus => f.write_str("Softplus"),
            Self::Gelu => f.write_str("Gelu"),
            Self::Exp => f.write_str("Exp"),
            Self::Log { lo } => write!(f, "Log({})", lo.value()),
            Self::Step => f.write_str("Step"),
        }
    }
}

/// A function tabulated on integers: `out(q) = clamp(round_half_up(f(q·2^−in)·2^out), image)` for
/// every `q` in `domain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Activation {
    /// The real function.
    pub function: Function,
    /// Fractional bits of the argument.
    pub in_frac_bits: i16,
    /// Fractional bits of the result.
    pub out_frac_bits: i16,
    /// Arguments in the table. An accumulator outside saturates to the nearest end.
    pub domain: Range,
    /// Results saturate to this interval.
    pub image: Range,
}

impl Activation {
    /// The identity on `range`.
    pub const fn identity(range: Range, frac_bits: i16) -> Self {
        Self {
            function: Function::Identity,
            in_frac_bits: frac_bits,
            out_frac_bits: frac_bits,
            domain: range,
            image: range,
        }
    }

    /// The table entry for `q`, an element of the domain.
    pub fn apply(&self, q: i32) -> i32 {
        debug_assert!(self.domain.contains(i64::from(q)));
        let x = f64::from(q) * libm::exp2(-f64::from(self.in_frac_bits));
        let y = self.function.apply(x) * libm::exp2(f64::from(self.out_frac_bits));
        let rounded = libm::floor(y + 0.5);
        rounded.clamp(f64::from(self.image.lo), f64::from(self.image.hi)) as i32
    }

    /// Bounds that keep the table small and its values exact in `f64`.
    pub(super) fn is_sound(&self) -> bool {
        let frac_ok = |f: i16| (-MAX_FRAC_BITS..=MAX_FRAC_BITS).contains(&f);
        let range_ok = |r: Range| !r.is_empty() && r.max_abs() <= 1 << 24;
        range_ok(self.domain)
            && range_ok(self.image)
            && self.function.is_sound()
            && self.domain.len() <= MAX_TABLE_ENTRIES
            && frac_ok(self.in_frac_bits)
            && frac_ok(self.out_frac_bits)
    }
}
