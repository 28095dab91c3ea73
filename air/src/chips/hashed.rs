//! # The tensor behind a digest
//!
//! What the hash chips have in common: which tensor they hash, and the running fold that turns the
//! elements of a hidden message into the tensor's projected value.
//!
//! Every row of a hash table holds at most one element `x` of the tensor, in flat order
//! `i = f·positions + p`. A projection column `fold` runs over the rows by Horner's rule:
//!
//! ```text
//!   input    same feature   σ·fold' = fold + σ·x        next feature   fold' = ρσ^(P−1)·fold + x
//!   output   same feature   σ·fold' = fold + σ·x        next feature   ρ·fold' = σ^(P−1)·fold + ρ·x
//! ```
//!
//! After the last element `fold = Σ_f ρ^(F−1−f) Σ_p σ^(p−P+1)·x` for an input, with `ρ^(f−F+1)` for
//! an output; one multiplication by `σ^(P−1)`, or `σ^(P−1)·ρ^(F−1)`, makes it the value every other
//! chip means by the tensor's claim. No inverse is ever needed in a constraint. Where σ or ρ is 0
//! the recurrence does not determine `fold'`: two bad values of the challenges, a term of
//! `2/|EF|` in the soundness error.

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use crate::builder::Challenges;
use crate::bus::ClaimKind;
use crate::graph::Range;

/// A tensor whose elements are hashed inside the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedTensor {
    /// Index of the tensor in the graph.
    pub tensor: usize,
    /// The claim on the tensor's values that the chip receives: `Input` or `Output`.
    pub kind: ClaimKind,
    /// Features `F` of the tensor.
    pub features: usize,
    /// Positions `P` of the tensor.
    pub positions: usize,
    /// Every element lies in this interval.
    pub range: Range,
    /// Whether a random salt is hashed before the elements.
    pub salted: bool,
}

/// Why a tensor has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Elements of this range have no one- or two-byte encoding.
    #[error("values from {} to {} fit no encoding of one or two bytes", range.lo, range.hi)]
    NoEncoding {
        /// The tensor's range.
        range: Range,
    },
    /// A value lies outside the range.
    #[error("element {element} is outside the tensor's range")]
    Range {
        /// Index of the element.
        element: usize,
    },
}

impl HashedTensor {
    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.features * self.positions
    }

    /// Whether the tensor has no elements.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether element `i` belongs to the same feature as the element before it.
    pub const fn continues(&self, i: usize) -> bool {
        !i.is_multiple_of(self.positions)
    }

    /// The factors of the fold.
    pub fn fold_factors<EF: Field>(&self, challenges: &Challenges<EF>) -> FoldFactors<EF> {
        let (sigma, rho) = (challenges.sigma_powers[1], challenges.rho());
        let lift = challenges.sigma_powers[self.positions.max(1) - 1];
        match self.kind {
            ClaimKind::Output => FoldFactors {
                sigma,
                next_after: rho,
                next_before: lift,
                finish: lift * rho.exp_u64(self.features.max(1) as u64 - 1),
            },
            _ => FoldFactors {
                sigma,
                next_after: EF::ONE,
                next_before: rho * lift,
                finish: lift,
            },
        }
    }
}

/// What the fold is multiplied by, see the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct FoldFactors<EF> {
    /// σ.
    pub sigma: EF,
    /// Factor of `fold'` and of the element on a feature's first element.
    pub next_after: EF,
    /// Factor of `fold` there.
    pub next_before: EF,
    /// Factor after the last element.
    pub finish: EF,
}

/// The fixed columns that steer the fold; at most one is 1 on a row.
#[derive(Clone, Copy, Debug)]
pub struct FoldFlags<E> {
    /// The row holds an element of the same feature as the element before it.
    pub same: E,
    /// The row holds the first element of a feature.
    pub next: E,
    /// The fold is complete but for its last factor.
    pub finish: E,
    /// The claim is received on this row; the fold starts over below.
    pub taken: E,
}

/// The fold's transition, `after·fold' = before·fold + element`, with `before = 0` where the claim
/// is taken, 1 on other live rows without an element, and all three 0 on dead rows.
#[derive(Clone, Copy, Debug)]
pub struct FoldStep<X> {
    /// Factor of the next row's fold.
    pub after: X,
    /// Factor of this row's fold.
    pub before: X,
    /// Addend.
    pub element: X,
}

impl<X: Copy> FoldStep<X> {
    /// The transition on a row with element `x`.
    pub fn new<E, EF>(factors: &FoldFactors<EF>, step: E, flags: &FoldFlags<E>, x: E) -> Self
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let constant = |c: EF| X::from(c);
        let less_one = |c: EF| X::from(c - EF::ONE);
        let kept = X::from(step - flags.taken);
        Self {
            after: X::from(step)
                + less_one(factors.sigma) * flags.same
                + less_one(factors.next_after) * flags.next,
            before: kept
                + less_one(factors.next_before) * flags.next
                + less_one(factors.finish) * flags.finish,
            element: (constant(factors.sigma) * flags.same
                + constant(factors.next_after) * flags.next)
                * x,
        }
    }
}

/// The fold column over the rows whose transitions are given, from 0 on.
pub(super) fn run_fold<EF: Field>(steps: impl Iterator<Item = FoldStep<EF>>) -> Vec<EF> {
    let mut fold = EF::ZERO;
    // The transitions that divide do so by few different numbers.
    let mut divisors: Vec<(EF, EF)> = Vec::new();
    steps
        .map(|step| {
            let value = fold;
            fold = step.before * fold + step.element;
            if step.after != EF::ONE {
                let known = divisors.iter().find(|d| d.0 == step.after).copied();
                let (_, inverse) = known.unwrap_or_else(|| {
                    let inverse = step.after.try_inverse().unwrap_or(EF::ZERO);
                    divisors.push((step.after, inverse));
                    (step.after, inverse)
                });
                fold *= inverse;
            }
            value
        })
        .collect()
}
