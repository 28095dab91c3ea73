//! # Proving keys
//!
//! A proving key file holds the model (graph and integer weights) and the verifying key. What is
//! derived from them — traces, low-degree extensions, Merkle trees — is rebuilt on loading, and
//! the rebuilt commitments must equal the stored ones: a damaged key cannot make wrong proofs.
//!
//! With private weights the file is secret, and it ends in the count of proofs ([`crate::budget`]).

use std::sync::atomic::Ordering;

use air::graph::Model;
use p3_field::PrimeField32;
use serde::{Deserialize, Serialize};
use verifier::codec::{self, CodecError, Kind};
use verifier::{KeyError, Protocol, VerifyingKey};

use crate::budget::{self, Budget};
use crate::masks::Seed;
use crate::setup::{Prover, SetupError};

/// Largest proving key accepted, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 31;

/// The content of a proving key file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "VerifyingKey<P>: Serialize",
    deserialize = "VerifyingKey<P>: serde::de::DeserializeOwned"
))]
pub struct ProvingKey<P: Protocol> {
    /// Graph and weights.
    pub model: Model,
    /// The verifying key that belongs to them.
    pub verifying_key: VerifyingKey<P>,
    /// The seed of the mask of private weights: whoever knows it and a few proofs knows the weights.
    pub seed: Option<Seed>,
    /// With private weights, a byte that is 1 if the key was replaced, and one for each proof it is good
    /// for: 1 for those made, then 0 for those left. Last in the file, where [`crate::Ledger`] finds them.
    pub marks: Vec<u8>,
}

impl<P: Protocol> ProvingKey<P> {
    /// How many proofs the key is good for and how many were made; `None` with public weights.
    pub fn budget(&self) -> Option<Budget> {
        budget::read_marks(&self.marks, budget::proofs(self.verifying_key.privacy)?)
    }

    /// Private weights have a seed and a mark for every proof; public ones have neither.
    fn counts_are_sound(&self) -> bool {
        match budget::proofs(self.verifying_key.privacy) {
            Some(_) => self.seed.is_some() && self.budget().is_some(),
            None => self.seed.is_none() && self.marks.is_empty(),
        }
    }
}

/// Why a proving key is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvingKeyError {
    /// The bytes are no proving key.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The model inside cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The verifying key inside is not the model's.
    #[error("the key is damaged: its weights do not match its commitments")]
    Mismatch,
    /// The seed or the marks are not what the key's privacy calls for.
    #[error("the key is damaged: its count of proofs is not one")]
    Count,
}

/// Reads a proving key without setting it up: the model is checked, the commitments are not.
pub fn read_key<P: Protocol>(bytes: &[u8]) -> Result<ProvingKey<P>, ProvingKeyError> {
    let (id, key) = codec::decode::<ProvingKey<P>>(Kind::ProvingKey, bytes, MAX_KEY_BYTES)?;
    if id != key.verifying_key.profile {
        return Err(SetupError::Key(KeyError::Profile(id)).into());
    }
    key.model
        .validate(u64::from(P::Val::ORDER_U32))
        .map_err(SetupError::Model)?;
    if !key.counts_are_sound() {
        return Err(ProvingKeyError::Count);
    }
    Ok(key)
}

/// The model of a proving key, for running it without proofs.
pub fn read_model<P: Protocol>(bytes: &[u8]) -> Result<Model, ProvingKeyError> {
    Ok(read_key::<P>(bytes)?.model)
}

impl<P: Protocol> Prover<P> {
    /// The proving key as a file, with the proofs this prover knows of counted. Do not write it over a
    /// file with a [`crate::Ledger`]: that count is the one that holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let key = ProvingKey {
            model: self.model.clone(),
            verifying_key: self.prepared.key.clone(),
            seed: self.seed,
            marks: budget::marks(self.budget()),
        };
        codec::encode(Kind::ProvingKey, self.prepared.profile.id, &key)
    }

    /// Loads a proving key and rebuilds the prover.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProvingKeyError> {
        let key = read_key::<P>(bytes)?;
        let id = key.verifying_key.profile;
        let profile = *P::PROFILES
            .iter()
            .find(|p| p.id == id)
            .ok_or(SetupError::Key(KeyError::Profile(id)))?;
        let privacy = key.verifying_key.privacy;
        let budget = key.budget();
        let mut prover = Self::with_seed(key.model, &profile, privacy, key.seed)?;
        if prover.prepared.key == key.verifying_key {
            if let Some(budget) = budget {
                prover.spent.store(budget.spent, Ordering::Relaxed);
                prover.replaced = budget.replaced;
            }
            Ok(prover)
        } else {
            Err(ProvingKeyError::Mismatch)
        }
    }
}
