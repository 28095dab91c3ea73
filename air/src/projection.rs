//! # Projection: monomials in the challenges, and chains of rows
//!
//! A layer is checked as one identity of polynomials in ρ (features) and σ_0, σ_1, σ_2 (depth, height,
//! width): element `(f, q)` of a tensor with `N` features stands at `ρ^(N−1−f)·Π_a σ_a^(q_a)`. A convolution is
//! a product of such polynomials, so that exponents may be negative: Laurent monomials.
//!
//! A table adds the elements of a tensor up row by row. Row `r` has a *form*, a sum over its lanes
//! with constant coefficients ([`Pattern`]), and a *base* monomial `M_r` of its first lane. What is wanted
//! is `Σ_r M_r·form_r`; what a row can do is one step of Horner's scheme:
//!
//! ```text
//!   t' = (M_(r−1)/M_r)·t + form_r        hence, below the last row,   t = Σ_r (M_r/M_last)·form_r
//! ```
//!
//! The factor `M_last` is a constant of the pattern. The ratios of a table are few, because rows
//! follow each other in few ways (next segment, next line, next feature); each has a fixed column that is
//! 1 on the rows where it applies ([`Interner`]).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use p3_field::{Field, PrimeCharacteristicRing};

use crate::graph::AXES;

/// `ρ^rho · Π_a σ_a^sigma[a]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Monomial {
    /// Exponent of ρ.
    pub rho: i32,
    /// Exponents of σ_0, σ_1, σ_2.
    pub sigma: [i32; AXES],
}

impl Monomial {
    /// The constant 1.
    pub const ONE: Self = Self {
        rho: 0,
        sigma: [0; AXES],
    };

    /// A power of ρ.
    pub const fn rho(exponent: i32) -> Self {
        Self {
            rho: exponent,
            ..Self::ONE
        }
    }

    /// A power of σ_a.
    pub fn sigma(axis: usize, exponent: i32) -> Self {
        let mut monomial = Self::ONE;
        monomial.sigma[axis] = exponent;
        monomial
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self {
            rho: self.rho + other.rho,
            sigma: core::array::from_fn(|a| self.sigma[a] + other.sigma[a]),
        }
    }

    /// The quotient.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            rho: self.rho - other.rho,
            sigma: core::array::from_fn(|a| self.sigma[a] - other.sigma[a]),
        }
    }
}

/// A Laurent polynomial with few terms.
pub type Polynomial = Vec<(i64, Monomial)>;

/// ρ, σ_0, σ_1, σ_2 and their inverses.
#[derive(Clone, Debug)]
pub struct Points<EF> {
    rho: [EF; 2],
    sigma: [[EF; 2]; AXES],
}

impl<EF: Field> Points<EF> {
    /// The points where monomials are evaluated. A challenge of 0, which happens with negligible
    /// probability, counts as its own inverse: identities of Laurent polynomials then simply fail.
    pub fn new(rho: EF, sigma: [EF; AXES]) -> Self {
        let pair = |x: EF| [x, x.try_inverse().unwrap_or(EF::ZERO)];
        Self {
            rho: pair(rho),
            sigma: sigma.map(pair),
        }
    }

    /// The value of a monomial.
    pub fn at(&self, monomial: Monomial) -> EF {
        let power = |pair: &[EF; 2], exponent: i32| match exponent {
            0 => EF::ONE,
            e => pair[usize::from(e < 0)].exp_u64(u64::from(e.unsigned_abs())),
        };
        let sigma = self.sigma.iter().zip(monomial.sigma);
        sigma.fold(power(&self.rho, monomial.rho), |value, (pair, e)| {
            value * power(pair, e)
        })
    }

    /// The value of a polynomial.
    pub fn at_polynomial(&self, polynomial: &[(i64, Monomial)]) -> EF {
        let term = |&(factor, monomial): &(i64, Monomial)| {
            self.at(monomial) * crate::chips::signed::<EF>(factor)
        };
        polynomial.iter().map(term).sum()
    }

    /// `Σ_q Π_a σ_a^(q_a)` over all positions of an extent.
    pub fn all_positions(&self, extent: [u32; AXES]) -> EF {
        // (σ^n − 1)/(σ − 1); n if σ = 1.
        let axis = |(pair, n): (&[EF; 2], u32)| -> EF {
            let below = pair[0] - EF::ONE;
            match below.try_inverse() {
                Some(inverse) => (pair[0].exp_u64(u64::from(n)) - EF::ONE) * inverse,
                None => EF::from_u32(n),
            }
        };
        self.sigma.iter().zip(extent).map(axis).product()
    }
}

/// Which lanes of a row enter a form, and with which coefficients.
///
/// Lanes lie in lines of `width`; of those only lines and columns within the two intervals enter. A lane in
/// line `i`, column `j` has the coefficient `base·line^i·column^j`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Lanes of a line.
    pub width: u32,
    /// Lines that enter: from the first to before the second.
    pub lines: [u32; 2],
    /// Columns that enter.
    pub columns: [u32; 2],
    /// From one line to the next.
    pub line: Monomial,
    /// From one column to the next.
    pub column: Monomial,
    /// A common factor.
    pub base: Polynomial,
}

impl Pattern {
    /// The lanes that enter, in order.
    pub fn used_lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let (width, [from, to]) = (self.width, self.columns);
        let lines = self.lines[0]..self.lines[1];
        lines.flat_map(move |i| (from..to).map(move |j| (i * width + j) as usize))
    }

    /// The coefficients of all lanes; 0 where a lane does not enter.
    pub fn coefficients<EF: Field>(&self, points: &Points<EF>, lanes: usize) -> Vec<EF> {
        let mut coefficients = EF::zero_vec(lanes);
        let base = points.at_polynomial(&self.base);
        let (line, column) = (points.at(self.line), points.at(self.column));
        let mut first = base * line.exp_u64(u64::from(self.lines[0]));
        first *= column.exp_u64(u64::from(self.columns[0]));
        for i in self.lines[0]..self.lines[1] {
            let mut value = first;
            for j in self.columns[0]..self.columns[1] {
                if let Some(slot) = coefficients.get_mut((i * self.width + j) as usize) {
                    *slot = value;
                }
                value *= column;
            }
            first *= line;
        }
        coefficients
    }
}

/// A list without repetition, in order of first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interner<T> {
    items: Vec<T>,
    places: BTreeMap<T, usize>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Clone> Interner<T> {
    /// The index of an item, which is added if it is new.
    pub fn index(&mut self, item: T) -> usize {
        let next = self.items.len();
        *self.places.entry(item).or_insert_with_key(|item| {
            self.items.push(item.clone());
            next
        })
    }

    /// The index of an item that is in the list.
    pub fn find(&self, item: &T) -> Option<usize> {
        self.places.get(item).copied()
    }

    /// The items.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// `Σ_i selectors[i]·constants[i]`: the ratio of a row.
pub fn select<E, X, EF>(selectors: &[E], constants: &[EF]) -> X
where
    E: Copy,
    EF: Copy,
    X: p3_field::Algebra<E> + p3_field::Algebra<EF> + Copy + PrimeCharacteristicRing,
{
    let pairs = selectors.iter().zip(constants);
    pairs.fold(X::ZERO, |sum, (&s, &c)| sum + X::from(c) * s)
}
