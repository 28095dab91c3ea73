//! Activations as tables of integers.
//!
//! The table of an [`Activation`] is a function of its few parameters, computed with `libm` alone,
//! so that every machine builds the same table bit for bit.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{MAX_FRAC_BITS, MAX_TABLE_ENTRIES, Range};

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
}

impl Function {
    /// The function's value, in `f64`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x > 0.0 {
                    x
                } else {
                    0.0
                }
            }
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::Tanh => libm::tanh(x),
        }
    }
}

impl Function {
    /// Whether `f(c·x) = c·f(x)` for all `c > 0`.
    pub const fn is_homogeneous(self) -> bool {
        matches!(self, Self::Identity | Self::Relu)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "Identity",
            Self::Relu => "Relu",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
        })
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
            && self.domain.len() <= MAX_TABLE_ENTRIES
            && frac_ok(self.in_frac_bits)
            && frac_ok(self.out_frac_bits)
    }
}
