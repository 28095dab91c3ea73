//! The links: every relation between rows, as one sum, computed backwards.
//!
//! A sum over the relations of a row is a vector of weights on the S-box inputs of that row. The
//! weights on what lies before a linear layer are the layer's transpose applied to them, so no
//! matrix of a whole phase is ever written down.

use p3_field::{Algebra, ExtensionField, Field, PrimeCharacteristicRing};

use super::columns::{fixed, main, position};
use super::constants::{EXTERNAL, INTERNAL};
use super::hash::{external_transposed, initial_state, internal};
use super::{INTERNAL_ROUNDS, Poseidon2Air, RATE, WIDTH};
use crate::builder::{Challenges, Row};

/// Rows between an element cell on row 0 of a group and the permutation that absorbs it.
pub(super) const LONGEST_SHIFT: usize = position::COUNT;

/// Weights on the S-box outputs of each kind of row, and on the constants.
#[derive(Clone, Debug)]
pub(super) struct Weights<EF> {
    /// `ρ^LONGEST_SHIFT·σ^i`: a row's own relations.
    own: [EF; WIDTH],
    /// An external round that another follows.
    round: [EF; WIDTH],
    /// The external round before the internal ones.
    before_internal: [EF; WIDTH],
    /// The internal rounds, lane `k` for round `k`.
    internal: [EF; INTERNAL_ROUNDS],
    /// The last round, into the next permutation.
    chain: [EF; WIDTH],
    /// The last round, into the digest.
    pub digest: [EF; WIDTH],
    /// The element on row `j` of a group.
    element: [EF; RATE],
    /// The round constants of each row.
    constants: [EF; position::COUNT],
    /// The initial state.
    initial: EF,
}

impl<EF: Field> Weights<EF> {
    pub fn new<F: Field>(air: &Poseidon2Air, challenges: &Challenges<EF>) -> Self
    where
        EF: ExtensionField<F>,
    {
        let sigma: [EF; WIDTH] = core::array::from_fn(|i| challenges.sigma_powers[i]);
        // Weight of a contribution to the row `shift` rows below.
        let below = |shift: usize| challenges.rho_powers[LONGEST_SHIFT - shift];
        let scaled = |by: EF, v: &[EF; WIDTH]| v.map(|w| w * by);
        let mut mixed = sigma;
        external_transposed(&mut mixed);
        let mut chain = mixed;
        external_transposed(&mut chain);
        let mut digest = sigma;
        digest[RATE..].fill(EF::ZERO);
        external_transposed(&mut digest);

        // Backwards through the internal rounds, from the row below them.
        let mut state = scaled(below(2), &sigma);
        let mut inner = [EF::ZERO; INTERNAL_ROUNDS];
        for (k, slot) in inner.iter_mut().enumerate().rev() {
            internal::<F, EF>(&mut state);
            *slot = state[0] * challenges.rho();
            state[0] = below(1) * sigma[k];
        }
        external_transposed(&mut state);

        let dot = |weights: &[EF], constants: &[u32]| -> EF {
            let terms = weights.iter().zip(constants);
            terms.map(|(&w, &c)| w * F::from_u32(c)).sum()
        };
        let constants = core::array::from_fn(|row| match row {
            position::INTERNAL => dot(&sigma, &INTERNAL),
            _ => dot(
                &sigma,
                &EXTERNAL[row - usize::from(row > position::INTERNAL)],
            ),
        });
        let start = initial_state::<F>(air.tensor.len(), air.tensor.salted);
        Self {
            own: scaled(below(0), &sigma),
            round: scaled(below(1), &mixed),
            before_internal: state,
            internal: inner,
            chain: scaled(below(1), &chain),
            digest,
            element: core::array::from_fn(|j| below(position::COUNT - j) * mixed[j]),
            constants: constants.map(|c: EF| c * below(0)),
            initial: mixed.iter().zip(start).map(|(&w, v)| w * v).sum::<EF>() * below(0),
        }
    }

    /// The links of a row: what it owes to its own relations, less what it contributes to others'.
    pub fn contribution<E, X>(&self, row: &Row<'_, E, X>) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let at = |position: usize| row.fixed[fixed::POSITION + position];
        let (f, x) = (|column: usize| row.fixed[column], &row.main[main::X..]);
        let y = outputs(row);
        // Rounds that another external round follows.
        let rounds = at(0) + at(1) + at(2) + at(5) + at(6) + at(7);
        let mut sum = dot::<E, X, EF>(&self.own, &x[..WIDTH]) * row.live();
        sum -= dot::<E, X, EF>(&self.round, &y) * rounds;
        sum -= dot::<E, X, EF>(&self.before_internal, &y) * at(position::INTERNAL - 1);
        sum -= dot::<E, X, EF>(&self.internal, &y) * at(position::INTERNAL);
        sum -= dot::<E, X, EF>(&self.chain, &y) * f(fixed::CHAIN);
        let mut element = X::ZERO;
        for (j, &weight) in self.element.iter().enumerate() {
            element += X::from(weight) * at(j);
        }
        sum -= element * row.main[main::ELEMENT];
        for (j, &weight) in self.constants.iter().enumerate() {
            sum -= X::from(weight) * at(j);
        }
        sum - X::from(self.initial) * f(fixed::START)
    }
}

/// What leaves the S-boxes: `x^7 = x^6·x`.
pub(super) fn outputs<E, X>(row: &Row<'_, E, X>) -> [E; WIDTH]
where
    E: PrimeCharacteristicRing + Copy,
{
    core::array::from_fn(|i| row.main[main::SIXTH + i] * row.main[main::X + i])
}

/// `Σ_i weights[i]·values[i]`.
pub(super) fn dot<E, X, EF>(weights: &[EF], values: &[E]) -> X
where
    E: Copy,
    EF: Copy,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    let mut sum = X::ZERO;
    for (&weight, &value) in weights.iter().zip(values) {
        sum += X::from(weight) * value;
    }
    sum
}
