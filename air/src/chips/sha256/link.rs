//! The links: every relation between rows, as one sum.

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use super::Width;
use super::columns::{fixed, link, main, shift};
use crate::builder::{Challenges, Row};

/// Two rotations and a third, or a shift.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotations {
    /// The first two, XORed in a column.
    pub pair: [usize; 2],
    /// The third.
    pub third: usize,
    /// The third shifts zeros in.
    pub shifts: bool,
}

/// Σ0, Σ1, σ0, σ1.
pub(super) const BIG_0: Rotations = rotations(2, 13, 22, false);
pub(super) const BIG_1: Rotations = rotations(6, 11, 25, false);
pub(super) const SMALL_0: Rotations = rotations(7, 18, 3, true);
pub(super) const SMALL_1: Rotations = rotations(17, 19, 10, true);

const fn rotations(a: usize, b: usize, third: usize, shifts: bool) -> Rotations {
    Rotations {
        pair: [a, b],
        third,
        shifts,
    }
}

impl Rotations {
    /// Bit `i` of the XOR of the first two rotations.
    pub fn paired<E: PrimeCharacteristicRing + Copy>(&self, x: &[E], i: usize) -> E {
        let [a, b] = self.pair.map(|n| x[(i + n) % 32]);
        xor(a, b)
    }

    /// Bit `i` of the whole function; `pair` holds the XOR of the first two rotations.
    fn bit<E: PrimeCharacteristicRing + Copy>(&self, x: &[E], pair: &[E], i: usize) -> E {
        if self.shifts && i + self.third >= 32 {
            return pair[i];
        }
        xor(pair[i], x[(i + self.third) % 32])
    }
}

/// `a + b − 2ab`.
pub(super) fn xor<E: PrimeCharacteristicRing + Copy>(a: E, b: E) -> E {
    a + b - (a * b).double()
}

/// `Σ_i 2^i·bits[i]`.
pub(super) fn number<E: PrimeCharacteristicRing + Copy>(bits: &[E]) -> E {
    let mut value = E::ZERO;
    for &bit in bits.iter().rev() {
        value = value.double() + bit;
    }
    value
}

/// The number in slot `slot` of a message word. Bytes lie in a word from the top; an element's
/// lower byte comes first; its top bit counts negative in two's complement.
pub(super) fn element<E: PrimeCharacteristicRing + Copy>(x: &[E], width: Width, slot: usize) -> E {
    let mut value = E::ZERO;
    for byte in (slot * width.bytes..(slot + 1) * width.bytes).rev() {
        let low = 24 - 8 * byte;
        value = value.mul_2exp_u64(8) + number(&x[low..low + 8]);
    }
    if width.signed {
        // −2^(n−1) instead of 2^(n−1).
        let top = x[24 - 8 * ((slot + 1) * width.bytes - 1) + 7];
        value -= top.mul_2exp_u64(8 * width.bytes as u64);
    }
    value
}

/// The links of a row: what it owes to its own relations, less what it contributes to those of the
/// rows below, each times `ρ^(CHAIN − shift)·σ^link`.
pub(super) fn contribution<E, X, EF>(
    row: &Row<'_, E, X>,
    width: Width,
    challenges: &Challenges<EF>,
) -> X
where
    E: PrimeCharacteristicRing + Copy,
    EF: Field,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    let links = Links {
        row,
        challenges,
        own: X::from(challenges.rho_powers[shift::CHAIN]),
        sigma: X::from(challenges.sigma_powers[1]),
    };
    links.word() + links.carries() + links.functions() + links.bits() + links.elements(width)
}

struct Links<'a, E, X, EF> {
    row: &'a Row<'a, E, X>,
    challenges: &'a Challenges<EF>,
    /// Weight of a row's own relations.
    own: X,
    sigma: X,
}

impl<E, X, EF> Links<'_, E, X, EF>
where
    E: PrimeCharacteristicRing + Copy,
    EF: Field,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    fn fixed(&self, column: usize) -> E {
        self.row.fixed[column]
    }

    fn main(&self, first: usize) -> &[E] {
        &self.row.main[first..first + 32]
    }

    /// Weight of a contribution to the row `shift` rows below.
    fn below(&self, shift: usize) -> X {
        X::from(self.challenges.rho_powers[shift::CHAIN - shift])
    }

    fn sigma_power(&self, i: usize) -> X {
        X::from(self.challenges.sigma_powers[i])
    }

    /// `σ^SUM_LO·lo + σ^SUM_HI·hi` of a word's halves, times a flag.
    fn halves(&self, flag: E, bits: &[E]) -> X {
        let (lo, hi) = bits.split_at(16);
        self.sigma * (number(hi) * flag) + number(lo) * flag
    }

    /// `Σ_i σ^(BITS + i)·bits[i]`.
    fn each(&self, bits: &[E]) -> X {
        let powers = self.challenges.sigma_powers[link::BITS..].iter();
        let mut sum = X::ZERO;
        for (&power, &bit) in powers.zip(bits) {
            sum += X::from(power) * bit;
        }
        sum
    }

    /// Rows whose word is the result of an addition.
    fn adds(&self) -> E {
        self.fixed(fixed::IS_W) + self.fixed(fixed::IS_E) + self.fixed(fixed::IS_A)
            - self.fixed(fixed::FREE)
    }

    /// The word itself, as a sum and as an addend.
    fn word(&self) -> X {
        let f = |column| self.fixed(column);
        let fourth = f(fixed::E_FOURTH) + f(fixed::A_FEED) - f(fixed::A_FOURTH);
        let addend = self.below(shift::W_TO_E) * f(fixed::IS_W)
            + self.below(shift::groups(7)) * f(fixed::W_SEVENTH)
            + self.below(shift::groups(16)) * f(fixed::W_SIXTEENTH)
            + self.below(shift::E_TO_A) * f(fixed::E_NOW)
            + self.below(shift::groups(3)) * f(fixed::E_THIRD)
            + self.below(shift::groups(4)) * fourth
            + self.below(shift::A_TO_E_FOURTH) * f(fixed::A_FOURTH)
            + self.below(shift::M_TO_A_FIRST) * f(fixed::M_FIRST)
            + self.below(shift::CHAIN) * f(fixed::CHAIN);
        let weight = self.own * self.adds() - addend;
        weight * self.halves(E::ONE, self.main(main::X))
    }

    /// Carries and constants of the row's addition. On `A` rows a carry is one less than its bits
    /// say, because an `A` row subtracts.
    fn carries(&self) -> X {
        let carry = |first: usize| number(&self.row.main[first..first + main::CARRY_BITS]);
        let (c_lo, c_hi) = (carry(main::CARRY_LO), carry(main::CARRY_HI));
        let (adds, is_a) = (self.adds(), self.fixed(fixed::IS_A));
        let unit = is_a.mul_2exp_u64(16);
        let lo = adds * c_lo.mul_2exp_u64(16) - unit - self.fixed(fixed::K_LO);
        let hi = adds * (c_hi.mul_2exp_u64(16) - c_lo) - unit + is_a - self.fixed(fixed::K_HI);
        self.own * (self.sigma * hi + lo)
    }

    /// Σ0, Σ1, σ0, σ1 and the choice function.
    fn functions(&self) -> X {
        let [x, y, z] = [main::X, main::Y, main::Z].map(|first| self.main(first));
        let term = |flag: usize, groups: usize, bit: &dyn Fn(usize) -> E| {
            let bits: [E; 32] = core::array::from_fn(bit);
            self.below(shift::groups(groups)) * self.halves(self.fixed(flag), &bits)
        };
        // Ch(e, f, g) = g + e·(f − g), bit by bit; the g is linear and comes from its own row.
        let round = |i: usize| BIG_1.bit(x, y, i) + x[i] * z[i];
        -(term(fixed::E_FIRST, 1, &round)
            + term(fixed::A_FIRST, 1, &|i| BIG_0.bit(x, y, i))
            + term(fixed::W_FIFTEENTH, 15, &|i| SMALL_0.bit(x, y, i))
            + term(fixed::W_SECOND, 2, &|i| SMALL_1.bit(x, z, i)))
    }

    /// `M`: `y + 2x = A_t + A_(t−1) + A_(t−2)`; `E`: `z = E_(t−1) − E_(t−2)`; bit by bit.
    fn bits(&self) -> X {
        let f = |column| self.fixed(column);
        let (is_m, is_e) = (f(fixed::IS_M), f(fixed::IS_E));
        let a_history = self.below(shift::A_TO_M_FIRST) + self.below(shift::A_TO_M_SECOND);
        let e_history = self.below(shift::groups(1)) - self.below(shift::groups(2));
        let x_weight = self.own * is_m.double()
            - self.below(shift::A_TO_M) * f(fixed::IS_A)
            - a_history * f(fixed::A_HISTORY)
            - e_history * f(fixed::E_HISTORY);
        x_weight * self.each(self.main(main::X))
            + self.own * is_m * self.each(self.main(main::Y))
            + self.own * is_e * self.each(self.main(main::Z))
    }

    /// On row `b` of a group, the element cell is slot `b` of the group's message word.
    fn elements(&self, width: Width) -> X {
        let is_w = self.fixed(fixed::IS_W);
        let x = self.main(main::X);
        let cell = self.own * (self.row.live() * self.row.main[main::ELEMENT]);
        let slots = (0..width.per_word()).fold(X::ZERO, |sum, slot| {
            sum + self.below(slot) * (is_w * element(x, width, slot))
        });
        self.sigma_power(link::ELEMENT) * (cell - slots)
    }
}
