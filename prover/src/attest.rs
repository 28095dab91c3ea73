//! # Attestation: the weights of a key keep their bound
//!
//! The prover's half of [`verifier::attest`]. It is a proof over other tables: the traces come from the
//! model alone, and the phases are [`crate::prove`]'s.

use air::chips::Chip;
use air::witness::generate_attestation;
use tracing::info_span;
use verifier::{Attestation, Protocol};

use crate::adversary::{Adversary, Honest};
use crate::masks::{Masks, fresh_seed};
use crate::prove::{Main, ProveError, Run};
use crate::setup::Prover;

impl<P: Protocol> Prover<P> {
    /// Proves that the weights this key commits to keep the bound that gives proofs their meaning, so
    /// that a verifier need not trust whoever made the key.
    ///
    /// ```
    /// # type P = verifier::BabyBearKeccak<5>;
    /// fn publish(prover: &prover::Prover<P>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    ///     let attestation = prover.attest()?;
    ///     let key = prover.verifying_key();
    ///     verifier::verify_attestation(key, &attestation)?;
    ///     Ok(attestation.to_bytes(key))
    /// }
    /// ```
    ///
    /// Once for a key is enough. With private weights it opens their commitment, so it counts as one of
    /// the proofs the key is good for, and is refused when the budget is spent. As for proofs, a key that
    /// is kept in a file needs a [`Ledger`](crate::Ledger) as well.
    pub fn attest(&self) -> Result<Attestation<P>, ProveError> {
        // Before anything is spent.
        let (layout, _) = self.prepared.attest_layout()?;
        let broken = layout.tables.iter().find_map(|table| match &table.chip {
            Chip::AttestSums(air) => air.broken(&self.model),
            _ => None,
        });
        if let Some(layer) = broken {
            let name = self.model.graph.layers[layer].name.clone();
            return Err(ProveError::NotAttestable { layer: name });
        }
        if self.replaced {
            return Err(ProveError::Replaced);
        }
        if !self.count_proof() {
            let proofs = self.budget().map_or(0, |b| b.proofs);
            return Err(ProveError::BudgetSpent { proofs });
        }
        self.attest_as(&mut Honest)
    }

    /// Attests as an adversary would: the traces pass through its hands, nothing checks or counts them.
    pub fn attest_as(
        &self,
        adversary: &mut dyn Adversary<P>,
    ) -> Result<Attestation<P>, ProveError> {
        let _span = info_span!("attest").entered();
        let (layout, _) = self.prepared.attest_layout()?;
        let mut masks = match layout.is_hiding() {
            true => {
                let seed = adversary.seed().map_or_else(fresh_seed, Ok)?;
                Some(Masks::new(seed, adversary.leaves_out()))
            }
            false => None,
        };
        let mut main: Main<P> =
            info_span!("main traces").in_scope(|| generate_attestation(&layout, &self.model));
        if let Some(masks) = &mut masks {
            masks.main(&layout, &mut main);
        }
        adversary.attest(&mut main);
        let key = self.prepared.digest;
        let transcript = adversary.attest_transcript(&self.prepared.profile, &key);
        // The weights come first among the tables of an attestation.
        let weight = self.weight.iter().position(Option::is_some);
        let weight = weight.map_or(&[][..], |i| &self.weight[i..=i]);
        let run = Run::new(self, layout, &[], weight);
        let proof = run.prove(transcript, Vec::new(), main, masks, adversary)?;
        Ok(Attestation { key, proof })
    }
}
