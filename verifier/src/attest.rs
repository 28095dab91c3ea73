//! # Attestation: the weights of a key keep their bound
//!
//! An audited key ([`Prepared::audit`]) can be wrong in one thing only, the weights it commits to. An
//! attestation is a proof, made once for a key, that they are integers for which every accumulator of
//! every input in range is representable and does not wrap around modulo p: (H2) of
//! `docs/soundness.md`. With both, nothing need be believed of whoever made the key but which model it
//! stands for.
//!
//! It is a proof like any other, by the same engine, with three tables of its own
//! ([`air::layout::Layout::attestation`]): one on the rows of the weight commitment, which it opens; one
//! with a row for each output; and the bytes they look up. There is no statement, and nobody commits to
//! fixed columns: the verifier evaluates them at ζ itself. What the tables say, and why it is (H2), is in
//! [`air::chips::attest`].
//!
//! With private weights an attestation is zero-knowledge and counts as one of the proofs a key is good for.

use alloc::vec::Vec;

use p3_field::BasedVectorSpace;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Kind};
use crate::config::{Commitment, PcsProof, Protocol};
use crate::key::{KeyError, Prepared};
use crate::proof::{OpeningSize, Proof};
use crate::transcript::{Digest, Transcript};
use crate::verify::{About, VerifyError, check_proof};

/// A proof that the weights of a key keep their bound: the content of an attestation file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Commitment<P>: Serialize, PcsProof<P>: Serialize",
    deserialize = "Commitment<P>: serde::de::DeserializeOwned, \
                   PcsProof<P>: serde::de::DeserializeOwned"
))]
pub struct Attestation<P: Protocol> {
    /// Digest of the key: lets a mismatch be told from a forgery.
    pub key: Digest,
    /// The proof.
    pub proof: Proof<P>,
}

impl<P: Protocol> Attestation<P> {
    /// The file.
    pub fn to_bytes(&self, prepared: &Prepared<P>) -> Vec<u8> {
        codec::encode(Kind::Attestation, prepared.profile.id, self)
    }

    /// Reads an attestation meant for a given key. The size is bounded by the key before a byte is
    /// decoded.
    pub fn from_bytes(bytes: &[u8], prepared: &Prepared<P>) -> Result<Self, AttestError> {
        let limit = max_attestation_bytes(prepared)?;
        let (profile, attestation) = codec::decode::<Self>(Kind::Attestation, bytes, limit)?;
        if profile != prepared.profile.id {
            return Err(CodecError::NotCanonical.into());
        }
        Ok(attestation)
    }
}

/// A size no valid attestation of this key exceeds.
pub fn max_attestation_bytes<P: Protocol>(prepared: &Prepared<P>) -> Result<usize, AttestError> {
    let (layout, _) = prepared.attest_layout()?;
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    let columns = layout.tables.iter().map(|t| {
        let (w, c) = (t.widths, t.committed);
        w.weight + c.main + degree * (c.projection + c.lookup + c.quotient)
    });
    let opening = OpeningSize {
        // With the mask of the batch.
        columns: columns.sum::<usize>() + degree,
        tables: layout.tables.len(),
        trees: 5,
        log_height: layout.max_log_height(),
    };
    Ok(opening.max_bytes(&prepared.profile) + (1 << 12))
}

/// What a verified attestation established: the weights of the key keep their bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Digest of the verifying key.
    pub key: Digest,
    /// Proven bits of security.
    pub security_bits: u32,
}

/// Why an attestation is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The bytes are no attestation.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The file names another key.
    #[error("the attestation was made for another verifying key")]
    Key,
    /// Weights of this graph cannot be attested, or not at the profile's level.
    #[error("the weights of this key cannot be attested: {0}")]
    Tables(#[from] KeyError),
    /// The proof is refused.
    #[error("the attestation does not show that the weights keep their bound: {0}")]
    Proof(#[from] VerifyError),
}

/// Checks that `attestation` proves that the weights of the key keep their bound.
///
/// Whether the fixed columns of the key are those of its graph is for [`Prepared::audit`] to say.
pub fn verify_attestation<P: Protocol>(
    prepared: &Prepared<P>,
    attestation: &Attestation<P>,
) -> Result<Attested, AttestError> {
    if attestation.key != prepared.digest {
        return Err(AttestError::Key);
    }
    let (layout, security) = prepared.attest_layout()?;
    let about = About {
        layout,
        receivers: Vec::new(),
        claims: |_: &_| Vec::new(),
    };
    let transcript = Transcript::<P>::attestation(&prepared.profile, &prepared.digest);
    check_proof(prepared, about, transcript, &attestation.proof)?;
    Ok(Attested {
        key: prepared.digest,
        security_bits: security.bits() as u32,
    })
}
