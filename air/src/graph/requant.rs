//! Requantisation: from an exact accumulator to a narrow integer.

use serde::{Deserialize, Serialize};

use super::Activation;

/// Requantisation fused with an activation, applied to every accumulator of a layer.
///
/// `q' = ⌊(acc + 2^(shift−1)) / 2^shift⌋` (round half up; `q' = acc` when `shift = 0`), then
/// `q = clamp(q', domain)`, then `out = activation(q)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requant {
    /// Right shift, in bits.
    pub shift: u8,
    /// `|q' − q| < 2^excess_bits`: how far an accumulator may lie beyond the activation's domain.
    /// The planner chooses it so that *no* input can leave this span.
    pub excess_bits: u8,
    /// What happens to the clamped value.
    pub activation: Activation,
}

impl Requant {
    /// `2^(shift−1)`, or 0 without a shift: the constant that turns floor into round half up.
    pub const fn half(&self) -> i64 {
        if self.shift == 0 {
            0
        } else {
            1 << (self.shift - 1)
        }
    }

    /// Smallest and largest accumulator this requantisation can represent.
    pub const fn representable(&self) -> (i64, i64) {
        let excess = (1i64 << self.excess_bits) - 1;
        let unit = 1i64 << self.shift;
        let lo = (self.activation.domain.lo as i64 - excess) * unit - self.half();
        let hi = (self.activation.domain.hi as i64 + excess) * unit + unit - 1 - self.half();
        (lo, hi)
    }

    /// The accumulators a model may produce: those that are representable, and far enough from wrapping
    /// around. For `T` within, `|T| + max|V| < modulus`, `V` over all that is representable, so that
    /// equality modulo the field's order is equality. An empty interval if there are none.
    pub const fn limits(&self, modulus: u64) -> (i64, i64) {
        let (lo, hi) = self.representable();
        let (lo_abs, hi_abs) = (lo.abs(), hi.abs());
        let largest = if lo_abs > hi_abs { lo_abs } else { hi_abs };
        let most = modulus as i64 - 1 - largest;
        (
            if lo > -most { lo } else { -most },
            if hi < most { hi } else { most },
        )
    }

    /// Number of distinct integers `(q + g·e)·2^s + rem` can take. At most `p` of them, or two
    /// different outputs would fit one accumulator modulo `p`.
    pub const fn span(&self) -> i64 {
        let (lo, hi) = self.representable();
        hi - lo + 1
    }
}

/// An accumulator taken apart: `acc + half = (q + excess)·2^shift + rem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantised {
    /// The clamped quotient, an element of the activation's domain.
    pub q: i32,
    /// How far the quotient lay outside the domain: 0 inside, positive above, negative below.
    pub excess: i32,
    /// The remainder, in `[0, 2^shift)`.
    pub rem: u32,
    /// The activation's value at `q`.
    pub out: i32,
}

impl Requant {
    /// Requantises one accumulator. `None` if the excess does not fit [`Requant::excess_bits`].
    pub fn apply(&self, acc: i64) -> Option<Requantised> {
        let rounded = acc + self.half();
        let quot = rounded >> self.shift;
        let rem = (rounded - (quot << self.shift)) as u32;
        let q = self.activation.domain.clamp(quot);
        let excess = quot - i64::from(q);
        if excess.unsigned_abs() >> self.excess_bits != 0 {
            return None;
        }
        Some(Requantised {
            q,
            excess: excess as i32,
            rem,
            out: self.activation.apply(q),
        })
    }
}
