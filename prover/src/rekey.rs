//! # Rekeying: a fresh mask for private weights
//!
//! The prover's half of [`verifier::rekey`]: a new key for the same model, and a proof that its
//! weights are those of the old key.
//!
//! The quotient is computed on the coset `g·H`, where the low-degree extensions of both commitments
//! begin: combined difference of the columns over `Z(X) = Π_{i < live rows} (X − ω^i)`. A random
//! polynomial of the tallest height, committed with the quotients, masks the batched opening.

use core::iter::once;

use air::chips::weights::linear_form;
use air::layout::Table;
use p3_commit::{OpenedValues, OpeningRequest, Pcs};
use p3_field::coset::TwoAdicMultiplicativeCoset;
use p3_field::{
    BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField, batch_multiplicative_inverse,
};
use p3_matrix::dense::RowMajorMatrix;
use p3_util::reverse_slice_index_bits;
use tracing::info_span;
use verifier::config::{Commitment, PcsProof, ProverData};
use verifier::rekey::WeightOpenings;
use verifier::transcript::Pow;
use verifier::{Privacy, Protocol, RekeyProof};

use crate::adversary::{Adversary, Honest};
use crate::masks::{Masks, fresh_seed};
use crate::prove::ProveError;
use crate::setup::Prover;

/// Opened values of all tables with weight columns, the mask's value, and the opening proof.
type Openings<P> = (
    Vec<WeightOpenings<<P as Protocol>::Challenge>>,
    Vec<<P as Protocol>::Challenge>,
    PcsProof<P>,
);

impl<P: Protocol> Prover<P> {
    /// Replaces a key with private weights by one with a fresh mask. Returns the prover of the new
    /// key, and the proof that its weights are those of the old one, whose verifying key is
    /// [`Self::verifying_key`].
    ///
    /// ```
    /// # type P = verifier::BabyBearKeccak<5>;
    /// fn renew(old: prover::Prover<P>) -> Result<prover::Prover<P>, Box<dyn std::error::Error>> {
    ///     let old_key = old.verifying_key().clone();
    ///     let (new, proof) = old.rekey()?;
    ///     verifier::verify_rekey(&old_key, new.verifying_key(), &proof)?;
    ///     Ok(new)
    /// }
    /// ```
    ///
    /// The mask of the old key covers one rekey proof beside the proofs it was made for, so the old
    /// key ends here: its prover is consumed.
    ///
    /// ```compile_fail
    /// # type P = verifier::BabyBearKeccak<5>;
    /// fn twice(old: prover::Prover<P>) {
    ///     let first = old.rekey();
    ///     let second = old.rekey();
    /// }
    /// ```
    ///
    /// That holds in memory. A key that is kept in a file must be marked there as replaced before the
    /// proof is shown to anyone ([`Ledger::replace`](crate::Ledger::replace)): loaded again, it would
    /// take part in a second rekey. A key may be replaced before all its proofs are made; those left are void.
    pub fn rekey(self) -> Result<(Self, RekeyProof<P>), ProveError> {
        let key = &self.prepared.key;
        if !matches!(key.privacy, Privacy::DataAndWeights { .. }) {
            return Err(ProveError::PublicWeights);
        }
        if self.replaced {
            return Err(ProveError::Replaced);
        }
        let new = Self::new(self.model.clone(), &self.prepared.profile, key.privacy)?;
        let proof = self.rekey_as(&new, &mut Honest)?;
        Ok((new, proof))
    }

    /// Proves as an adversary would that this prover's key and another of the same layout have the
    /// same weights: nothing checks that they have.
    pub fn rekey_as(
        &self,
        new: &Self,
        adversary: &mut dyn Adversary<P>,
    ) -> Result<RekeyProof<P>, ProveError> {
        let _span = info_span!("rekey").entered();
        let profile = &self.prepared.profile;
        let (old_key, new_key) = (&self.prepared.digest, &new.prepared.digest);
        let seed = adversary.seed().map_or_else(fresh_seed, Ok)?;
        let masks = Masks::new(seed, adversary.leaves_out());
        let mut transcript = adversary.rekey_transcript(profile, old_key, new_key);
        let lambda = transcript.weights();

        // Q → ζ
        let mut quotients = info_span!("quotient").in_scope(|| self.differences(new, lambda));
        adversary.rekey(&mut quotients);
        let (quotient, quotient_data) =
            info_span!("commit quotient").in_scope(|| self.commit_rekey(quotients, masks))?;
        let (ood_pow, zeta) = transcript
            .quotient(&quotient, profile, Pow::Find)
            .map_err(|_| ProveError::Open("grinding failed".into()))?;

        // FRI
        let data = [&self.weight_data, &new.weight_data, &quotient_data];
        let (opened, mask, pcs) = info_span!("open")
            .in_scope(|| self.open_rekey(data, zeta, &mut transcript.challenger))?;
        Ok(RekeyProof {
            old: *old_key,
            new: *new_key,
            quotient,
            ood_pow,
            opened,
            mask,
            pcs,
        })
    }

    fn weight_tables(&self) -> impl Iterator<Item = &Table> {
        self.prepared.layout.weight_tables()
    }

    /// Every table's quotient on its coset g·H, in natural order.
    fn differences(&self, new: &Self, lambda: P::Challenge) -> Vec<Vec<P::Challenge>> {
        let quotient = |(index, table): (usize, &Table)| {
            let powers: Vec<_> = lambda.powers().take(table.widths.weight).collect();
            let form = |data: &ProverData<P>| {
                let columns = P::evaluations(&self.pcs, data, index, table.log_height);
                linear_form::<P::Val, P::Challenge>(&columns, &powers)
            };
            let mut values = form(&self.weight_data);
            for (value, other) in values.iter_mut().zip(form(&new.weight_data)) {
                *value -= other;
            }
            reverse_slice_index_bits(&mut values);
            let inverses = inverse_vanishing::<P::Val>(table.log_height, table.live_rows());
            for (value, inverse) in values.iter_mut().zip(inverses) {
                *value *= inverse;
            }
            values
        };
        self.weight_tables().enumerate().map(quotient).collect()
    }

    /// Commits to the quotients and, as the last matrix, the mask of the batch.
    fn commit_rekey(
        &self,
        quotients: Vec<Vec<P::Challenge>>,
        mut masks: Masks,
    ) -> Result<(Commitment<P>, ProverData<P>), ProveError> {
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        let domain = |shift, log_height| {
            TwoAdicMultiplicativeCoset::new(shift, log_height)
                .ok_or_else(|| ProveError::Commit("a table is too tall for the field".into()))
        };
        let mut matrices = Vec::new();
        for (table, values) in self.weight_tables().zip(quotients) {
            let base = P::Challenge::flatten_to_base(values);
            let coset = domain(P::Val::GENERATOR, table.log_height)?;
            matrices.push((coset, RowMajorMatrix::new(base, degree)));
        }
        let tallest = self.weight_tables().map(|t| t.log_height).max();
        let tallest = tallest.unwrap_or_default();
        let mask = masks.batch(1 << tallest, degree);
        matrices.push((domain(P::Val::ONE, tallest)?, mask));
        <P::Pcs as Pcs<P::Challenge, P::Challenger>>::commit(&self.pcs, matrices)
            .map_err(|e| ProveError::Commit(format!("{e:?}")))
    }

    /// Opens both weight commitments, the quotients and the mask at ζ.
    fn open_rekey(
        &self,
        [old, new, quotient]: [&ProverData<P>; 3],
        zeta: P::Challenge,
        challenger: &mut P::Challenger,
    ) -> Result<Openings<P>, ProveError> {
        let tables = self.weight_tables().count();
        let request = |(prover_data, matrices)| OpeningRequest {
            prover_data,
            points: vec![vec![zeta]; matrices],
        };
        let requests = [(old, tables), (new, tables), (quotient, tables + 1)];
        let requests = requests.into_iter().map(request).collect();
        let (opened, proof) =
            <P::Pcs as Pcs<P::Challenge, P::Challenger>>::open(&self.pcs, requests, challenger)
                .map_err(|e| ProveError::Open(format!("{e:?}")))?;
        let (opened, mask) = arrange(opened);
        Ok((opened, mask, proof))
    }
}

/// From the commitment scheme's order (commitment, matrix, point) to one record per table, and the
/// mask.
fn arrange<EF>(opened: OpenedValues<EF>) -> (Vec<WeightOpenings<EF>>, Vec<EF>) {
    let mut rounds = opened.into_iter().map(|round| {
        let matrices = round.into_iter();
        matrices.map(|points| points.into_iter().flatten().collect::<Vec<_>>())
    });
    let [old, new, quotient] = [(); 3].map(|()| rounds.next().into_iter().flatten());
    let mut quotient = quotient.collect::<Vec<_>>();
    let mask = quotient.pop().unwrap_or_default();
    let tables = old.zip(new).zip(quotient);
    let opened = tables.map(|((old, new), quotient)| WeightOpenings { old, new, quotient });
    (opened.collect(), mask)
}

/// `1/Z(x)` with `Z(X) = Π_{i < live} (X − ω^i)`, for `x = g, g·ω, g·ω², …`.
///
/// One step along the coset moves the window of roots by one: `Z(ω·x)·(x − ω^−1) =
/// ω^live·Z(x)·(x − ω^(live − 1))`. No factor is 0: `x` is outside of H.
fn inverse_vanishing<F: TwoAdicField>(log_height: usize, live: usize) -> Vec<F> {
    let omega = F::two_adic_generator(log_height);
    let first: F = omega
        .powers()
        .take(live)
        .map(|r| F::GENERATOR - r)
        .product();
    let [before, last] = [
        omega.inverse(),
        omega.exp_u64(live as u64) * omega.inverse(),
    ];
    let lift = before.exp_u64(live as u64);
    let points = omega
        .shifted_powers(F::GENERATOR)
        .take((1 << log_height) - 1);
    let entering: Vec<F> = points.clone().map(|x| x - before).collect();
    let steps = points
        .zip(batch_multiplicative_inverse(&entering))
        .map(|(x, entering)| lift * (x - last) * entering);
    once(F::ONE)
        .chain(steps)
        .scan(first.inverse(), |value, step| {
            *value *= step;
            Some(*value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeField32;
    use verifier::BabyBearKeccak;

    use super::*;

    type F = <BabyBearKeccak<5> as Protocol>::Val;

    #[test]
    fn matches_reference_vanishing_polynomial() {
        // One live row, a few, all but one, all.
        for live in [1, 2, 5, 31, 32] {
            let omega = F::two_adic_generator(5);
            let found = inverse_vanishing::<F>(5, live);
            assert_eq!(found.len(), 32);
            for (inverse, x) in found.into_iter().zip(omega.shifted_powers(F::GENERATOR)) {
                let z: F = omega.powers().take(live).map(|root| x - root).product();
                assert_eq!((z * inverse).as_canonical_u32(), 1, "{live}");
            }
        }
    }
}
