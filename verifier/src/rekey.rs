//! # Rekeying: two commitments to the same weights
//!
//! The mask of private weights is good for a number of proofs. When it is spent, the owner commits
//! to the weights anew, under a fresh mask, and proves that the new key is a key for the same model:
//! whoever trusts the old key can trust the new one. Graph, profile, privacy and fixed columns are
//! compared; the weight columns `w₀`, `w₁` of the two keys are proved equal on every live row, which
//! is where a model's weights are. Mask rows differ: that is the point.
//!
//! ```text
//!   both keys → λ │ Q, mask → ζ │ FRI                    (transcript::Transcript::rekey)
//!
//!   Σ_b λ^b·(w₀_b − w₁_b)  =  Z·Q,     Z(X) = Π_{i < live rows} (X − ω^i)
//! ```
//!
//! Left and right are polynomials of degree at most `2k` that the opening proof fixes before ζ is
//! drawn, so if they agree at ζ they are the same; then the left side vanishes on the live rows, and
//! no two weights differ there unless λ is a root of the difference of their rows. No bound on the
//! degree of Q enters. The argument is in `docs/soundness.md`, what the proof hides in
//! `docs/zero-knowledge.md`.
//!
//! Each rekey proof opens both commitments once, like any other proof; the layout reserves an
//! opening for the proof a key is born by and one for the proof it dies by
//! ([`crate::Privacy::hiding`]). Which key comes first says who replaces whom.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use air::layout::Table;
use p3_commit::{CommitmentOpening, MatrixOpening, Pcs, PointOpening};
use p3_field::coset::TwoAdicMultiplicativeCoset;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, TwoAdicField};
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Kind};
use crate::config::{Commitment, PcsProof, Protocol};
use crate::key::{Prepared, Privacy};
use crate::proof::OpeningSize;
use crate::security::{RekeyShape, Security};
use crate::transcript::{Digest, Pow, Transcript};
use crate::verify::{Round, recombine};

/// A proof that two keys have the same weights: the content of a rekey file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Commitment<P>: Serialize, PcsProof<P>: Serialize",
    deserialize = "Commitment<P>: serde::de::DeserializeOwned, \
                   PcsProof<P>: serde::de::DeserializeOwned"
))]
pub struct RekeyProof<P: Protocol> {
    /// Digest of the key that is replaced: lets a mismatch be told from a forgery.
    pub old: Digest,
    /// Digest of the key that replaces it.
    pub new: Digest,
    /// Commitment Q: a quotient for every table with weight columns, and the mask of the batch.
    pub quotient: Commitment<P>,
    /// Grinding before ζ.
    pub ood_pow: P::Val,
    /// Opened values of every table with weight columns.
    pub opened: Vec<WeightOpenings<P::Challenge>>,
    /// The mask of the batched opening at ζ, as base columns.
    pub mask: Vec<P::Challenge>,
    /// The opening proof.
    pub pcs: PcsProof<P>,
}

impl<P: Protocol> core::fmt::Debug for RekeyProof<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RekeyProof").finish_non_exhaustive()
    }
}

/// The values at ζ of one table's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightOpenings<EF> {
    /// Weight columns of the old key.
    pub old: Vec<EF>,
    /// Weight columns of the new key.
    pub new: Vec<EF>,
    /// The quotient, as base columns.
    pub quotient: Vec<EF>,
}

impl<EF> WeightOpenings<EF> {
    /// Whether every list has the length the table gives it.
    fn matches(&self, table: &Table, degree: usize) -> bool {
        // Taken apart, so that a new field cannot be forgotten here.
        let Self { old, new, quotient } = self;
        let width = table.widths.weight;
        old.len() == width && new.len() == width && quotient.len() == degree
    }
}

impl<P: Protocol> RekeyProof<P> {
    /// The file. Both keys have the same profile.
    pub fn to_bytes(&self, old: &Prepared<P>) -> Vec<u8> {
        codec::encode(Kind::RekeyProof, old.profile.id, self)
    }

    /// Reads a rekey file meant for a given old key. The size is bounded by the key before a byte is
    /// decoded.
    pub fn from_bytes(bytes: &[u8], old: &Prepared<P>) -> Result<Self, CodecError> {
        let limit = max_rekey_bytes(old);
        let (profile, proof) = codec::decode::<Self>(Kind::RekeyProof, bytes, limit)?;
        if profile != old.profile.id {
            return Err(CodecError::NotCanonical);
        }
        Ok(proof)
    }
}

/// A size no valid rekey proof for this key exceeds.
pub fn max_rekey_bytes<P: Protocol>(old: &Prepared<P>) -> usize {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    let shape = RekeyShape::new(&old.layout, degree);
    let opening = OpeningSize {
        columns: shape.openings,
        tables: old.layout.weight_tables().count(),
        trees: 3,
        log_height: shape.log_height,
    };
    opening.max_bytes(&old.profile) + (1 << 12)
}

/// What a verified rekey proof established: the second key is for the same model as the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// Digest of the key that is replaced.
    pub old: Digest,
    /// Digest of the key that replaces it.
    pub new: Digest,
    /// Proven bits of security.
    pub security_bits: u32,
}

/// Why a rekey proof is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyError {
    /// The weights are public: there is no mask to renew, and the key can be made again from them.
    #[error("the weights of the old key are not private: such a key is never spent")]
    NotPrivate,
    /// The keys are for different computations, or promise different things.
    #[error("the two keys differ in their {0}")]
    Differ(&'static str),
    /// Both keys are the same.
    #[error("the new key is the old one")]
    SameKey,
    /// The proof file names other keys.
    #[error("the rekey proof was made for other keys")]
    Keys,
    /// The level computed for this key is below its profile's target.
    #[error("round `{round}` of a rekey proof reaches {bits} bits, the profile promises {target}")]
    Security {
        /// The weakest round.
        round: &'static str,
        /// Its level, rounded down.
        bits: u32,
        /// The profile's target.
        target: u32,
    },
    /// The proof does not have the shape the keys give it.
    #[error("malformed rekey proof: {0} has the wrong shape")]
    Shape(&'static str),
    /// A grinding witness is wrong.
    #[error("invalid rekey proof: proof of work before {0} is wrong")]
    Pow(&'static str),
    /// The weights are not shown to be the same.
    #[error("invalid rekey proof: it does not show that the two keys have the same weights")]
    Weights,
    /// A table is taller than the field has roots of unity for; the layout's bound excludes it.
    #[error("a table is too tall for the field")]
    Domain,
    /// The opening proof is wrong.
    #[error("invalid rekey proof: the opening proof is wrong ({0})")]
    Opening(String),
}

/// Checks that `proof` proves that `new` is a key for the model of `old`.
///
/// Whether the fixed columns are those of the graph is for [`Prepared::audit`] to say; they are the
/// same in both keys, so that an audit of either is one of both.
pub fn verify_rekey<P: Protocol>(
    old: &Prepared<P>,
    new: &Prepared<P>,
    proof: &RekeyProof<P>,
) -> Result<Rekeyed, RekeyError> {
    check_keys(old, new)?;
    if (proof.old, proof.new) != (old.digest, new.digest) {
        return Err(RekeyError::Keys);
    }
    let security_bits = check_security(old)?;
    check_shape(old, proof)?;

    let profile = &old.profile;
    let mut transcript = Transcript::<P>::rekey(profile, &old.digest, &new.digest);
    let lambda = transcript.weights();
    let (_, zeta) = transcript
        .quotient(&proof.quotient, profile, Pow::Check(proof.ood_pow))
        .map_err(|_| RekeyError::Pow("the out-of-domain point"))?;
    for (table, opened) in old.layout.weight_tables().zip(&proof.opened) {
        check_weights::<P>(table, opened, lambda, zeta)?;
    }
    let rounds = opening_rounds(old, new, proof, zeta).ok_or(RekeyError::Domain)?;
    P::pcs(profile)
        .verify(rounds, &proof.pcs, &mut transcript.challenger)
        .map_err(|e| RekeyError::Opening(alloc::format!("{e:?}")))?;
    Ok(Rekeyed {
        old: old.digest,
        new: new.digest,
        security_bits,
    })
}

/// The keys must be the same but for the weight commitment. Then their layouts are the same.
fn check_keys<P: Protocol>(old: &Prepared<P>, new: &Prepared<P>) -> Result<(), RekeyError> {
    let (old, new) = (&old.key, &new.key);
    if !matches!(old.privacy, Privacy::DataAndWeights { .. }) {
        return Err(RekeyError::NotPrivate);
    }
    let same = [
        (old.graph == new.graph, "graph"),
        (old.profile == new.profile, "security profile"),
        (old.privacy == new.privacy, "privacy"),
        (old.fixed == new.fixed, "fixed columns"),
    ];
    if let Some((_, what)) = same.into_iter().find(|(same, _)| !same) {
        return Err(RekeyError::Differ(what));
    }
    if old.weights == new.weights {
        return Err(RekeyError::SameKey);
    }
    Ok(())
}

fn check_security<P: Protocol>(old: &Prepared<P>) -> Result<u32, RekeyError> {
    let shape = RekeyShape::new(&old.layout, old.profile.extension_degree);
    let security = Security::rekey::<P>(&old.profile, &shape);
    let (bits, target) = (security.bits(), old.profile.target_bits);
    if bits < f64::from(target) {
        return Err(RekeyError::Security {
            round: security.binding(),
            bits: bits as u32,
            target,
        });
    }
    Ok(bits as u32)
}

fn check_shape<P: Protocol>(old: &Prepared<P>, proof: &RekeyProof<P>) -> Result<(), RekeyError> {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    if !P::is_single_root(&proof.quotient) {
        return Err(RekeyError::Shape("a commitment"));
    }
    if !P::has_single_roots(&proof.pcs) {
        return Err(RekeyError::Shape("a commitment of the opening proof"));
    }
    if proof.opened.len() != old.layout.weight_tables().count() {
        return Err(RekeyError::Shape("the list of openings"));
    }
    let mut tables = old.layout.weight_tables().zip(&proof.opened);
    if !tables.all(|(table, opened)| opened.matches(table, degree)) {
        return Err(RekeyError::Shape("a table's openings"));
    }
    if proof.mask.len() != degree {
        return Err(RekeyError::Shape("the mask"));
    }
    Ok(())
}

/// Σ_b λ^b·(w₀_b(ζ) − w₁_b(ζ)) = Z(ζ)·Q(ζ).
fn check_weights<P: Protocol>(
    table: &Table,
    opened: &WeightOpenings<P::Challenge>,
    lambda: P::Challenge,
    zeta: P::Challenge,
) -> Result<(), RekeyError> {
    let difference: P::Challenge = (opened.old.iter().zip(&opened.new))
        .zip(lambda.powers())
        .map(|((&old, &new), power)| power * (old - new))
        .sum();
    let quotient: P::Challenge = recombine::<P>(&opened.quotient).into_iter().sum();
    let vanishing: P::Challenge = P::Val::two_adic_generator(table.log_height)
        .powers()
        .take(table.live_rows())
        .map(|root| zeta - root)
        .product();
    if difference == vanishing * quotient {
        Ok(())
    } else {
        Err(RekeyError::Weights)
    }
}

/// W of the old key, W of the new one, and Q with the mask of the batch, all at ζ.
fn opening_rounds<P: Protocol>(
    old: &Prepared<P>,
    new: &Prepared<P>,
    proof: &RekeyProof<P>,
    zeta: P::Challenge,
) -> Option<Vec<Round<P>>> {
    let matrix = |log_height, values: &Vec<_>| {
        let values = values.clone();
        Some(MatrixOpening {
            domain: TwoAdicMultiplicativeCoset::new(P::Val::ONE, log_height)?,
            points: vec![PointOpening {
                point: zeta,
                values,
            }],
        })
    };
    type Pick<EF> = fn(&WeightOpenings<EF>) -> &Vec<EF>;
    let round = |commitment: &Commitment<P>, pick: Pick<P::Challenge>| {
        let tables = old.layout.weight_tables().zip(&proof.opened);
        let matrices = tables.map(|(table, opened)| matrix(table.log_height, pick(opened)));
        Some(CommitmentOpening {
            commitment: commitment.clone(),
            matrices: matrices.collect::<Option<_>>()?,
        })
    };
    let mut rounds = vec![
        round(&old.key.weights, |o| &o.old)?,
        round(&new.key.weights, |o| &o.new)?,
        round(&proof.quotient, |o| &o.quotient)?,
    ];
    let tallest = old.layout.weight_tables().map(|t| t.log_height).max()?;
    rounds
        .last_mut()?
        .matrices
        .push(matrix(tallest, &proof.mask)?);
    Some(rounds)
}
