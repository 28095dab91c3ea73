//! # Proving keys
//!
//! A proving key file holds the model (graph and integer weights) and the verifying key. What is
//! derived from them — traces, low-degree extensions, Merkle trees — is rebuilt on loading, and
//! the rebuilt commitments must equal the stored ones: a damaged key cannot make wrong proofs.

use air::graph::Model;
use p3_field::PrimeField32;
use serde::{Deserialize, Serialize};
use verifier::codec::{self, CodecError, Kind};
use verifier::{KeyError, Protocol, VerifyingKey};

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
    Ok(key)
}

/// The model of a proving key, for running it without proofs.
pub fn read_model<P: Protocol>(bytes: &[u8]) -> Result<Model, ProvingKeyError> {
    Ok(read_key::<P>(bytes)?.model)
}

impl<P: Protocol> Prover<P> {
    /// The proving key as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let key = ProvingKey {
            model: self.model.clone(),
            verifying_key: self.prepared.key.clone(),
            seed: self.seed,
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
        let prover = Self::with_seed(key.model, &profile, privacy, key.seed)?;
        if prover.prepared.key == key.verifying_key {
            Ok(prover)
        } else {
            Err(ProvingKeyError::Mismatch)
        }
    }
}
