//! # Verifying keys

use alloc::vec::Vec;

use air::graph::{Graph, GraphError};
use air::hiding::Hiding;
use air::layout::{Layout, LayoutError};
use air::statement::{Disclosed, Statement};
use p3_commit::Pcs;
use p3_field::{BasedVectorSpace, PrimeField32};
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Kind};
use crate::config::{Commitment, Protocol};
use crate::profile::Profile;
use crate::security::{Security, Shape};
use crate::transcript::{Digest, digest};

/// Largest verifying key accepted, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 24;

/// Most proofs that one commitment to private weights may be made for.
pub const MAX_PROOFS: u32 = 1 << 16;

/// Openings of a commitment to private weights that are kept for [`crate::rekey`].
const REKEY_OPENINGS: usize = 2;

/// What proofs made with a key hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privacy {
    /// Nothing: inputs and outputs must be shown, and whoever sees a proof learns something of
    /// everything in between.
    None,
    /// Everything but the weights and what a statement shows: proofs are zero-knowledge.
    Data,
    /// The weights as well. Every proof uses up a part of the mask of their commitment.
    DataAndWeights {
        /// How many proofs may be made.
        proofs: u32,
    },
}

impl Privacy {
    /// What the layout must hide.
    pub fn hiding(self, profile: &Profile) -> Option<Hiding> {
        let weight_openings = match self {
            Self::None => return None,
            Self::Data => 0,
            // A commitment is opened once by the rekey proof that it came from, and once by the one
            // that replaces it.
            Self::DataAndWeights { proofs } => proofs as usize + REKEY_OPENINGS,
        };
        Some(Hiding {
            queries: profile.num_queries,
            degree: profile.extension_degree,
            weight_openings,
        })
    }
}

/// What a verifier must know of a model: the quantised graph, the profile, and two commitments.
///
/// The weight commitment is the model's identity: two models with different weights have different
/// keys. Public weights are committed to without a mask, so whoever has the ONNX file can recompute
/// the key; the mask of private weights makes their commitment hiding.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Commitment<P>: Serialize",
    deserialize = "Commitment<P>: serde::de::DeserializeOwned"
))]
pub struct VerifyingKey<P: Protocol> {
    /// Number of the security profile.
    pub profile: u8,
    /// What proofs hide.
    pub privacy: Privacy,
    /// The computation.
    pub graph: Graph,
    /// Commitment F: selectors, range tables, activation tables.
    pub fixed: Commitment<P>,
    /// Commitment W: weights.
    pub weights: Commitment<P>,
}

impl<P: Protocol> PartialEq for VerifyingKey<P> {
    fn eq(&self, other: &Self) -> bool {
        self.profile == other.profile
            && self.privacy == other.privacy
            && self.graph == other.graph
            && self.fixed == other.fixed
            && self.weights == other.weights
    }
}

impl<P: Protocol> Eq for VerifyingKey<P> {}

/// Why a verifying key is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no verifying key.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The profile is unknown, or belongs to another configuration.
    #[error("security profile {0} is unknown to this verifier")]
    Profile(u8),
    /// The graph is unsound.
    #[error("the key's graph is refused: {0}")]
    Graph(#[from] GraphError),
    /// The graph has no layout.
    #[error("the key's graph cannot be laid out: {0}")]
    Layout(#[from] LayoutError),
    /// A commitment to private weights promises more proofs than this implementation goes, or none.
    #[error("a key for {0} proofs of private weights; 1 to {MAX_PROOFS} are possible")]
    Proofs(u32),
    /// A commitment of the key is not a single root.
    #[error("a commitment of the key is malformed")]
    Commitment,
    /// The fixed commitment is not the graph's: selectors or tables are not what they should be.
    #[error("the key's fixed columns are not those of its graph")]
    Fixed,
    /// The level computed for this key is below its profile's target.
    #[error("round `{round}` reaches {bits} bits, the profile promises {target}")]
    Security {
        /// The weakest round.
        round: &'static str,
        /// Its level, rounded down.
        bits: u32,
        /// The profile's target.
        target: u32,
    },
}

/// A verifying key that passed every check, with everything computed from it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared<P: Protocol> {
    /// The key.
    pub key: VerifyingKey<P>,
    /// Its profile.
    pub profile: Profile,
    /// Its tables.
    pub layout: Layout,
    /// Its level.
    pub security: Security,
    /// Its digest, which names model, parameters and code version.
    pub digest: Digest,
}

/// Checks a graph and lays it out: what a verifier does with the graph of a key.
pub fn layout_of<P: Protocol>(
    graph: &Graph,
    profile: &Profile,
    privacy: Privacy,
) -> Result<Layout, KeyError> {
    let modulus = u64::from(P::Val::ORDER_U32);
    graph.validate(modulus)?;
    if let Privacy::DataAndWeights { proofs } = privacy
        && !(1..=MAX_PROOFS).contains(&proofs)
    {
        return Err(KeyError::Proofs(proofs));
    }
    Ok(Layout::new(graph, privacy.hiding(profile), modulus)?)
}

/// The level of proofs of this shape, which must reach the profile's target.
fn security_of<P: Protocol>(profile: &Profile, shape: &Shape) -> Result<Security, KeyError> {
    let security = Security::new::<P>(profile, shape);
    if security.bits() < f64::from(profile.target_bits) {
        return Err(KeyError::Security {
            round: security.binding(),
            bits: security.bits() as u32,
            target: profile.target_bits,
        });
    }
    Ok(security)
}

impl<P: Protocol> VerifyingKey<P> {
    /// The key as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(Kind::VerifyingKey, self.profile, self)
    }

    /// Reads a key and checks it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Prepared<P>, KeyError> {
        let (profile, key) = codec::decode::<Self>(Kind::VerifyingKey, bytes, MAX_KEY_BYTES)?;
        if profile != key.profile {
            return Err(CodecError::NotCanonical.into());
        }
        key.prepare()
    }

    /// The digest that the transcript absorbs.
    pub fn digest(&self) -> Digest {
        digest("provenn verifying key", &codec::encode_payload(self))
    }

    /// Checks the key: known profile, sound graph, a layout, and the promised level.
    pub fn prepare(self) -> Result<Prepared<P>, KeyError> {
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        let profile = *P::PROFILES
            .iter()
            .find(|p| p.id == self.profile && p.extension_degree == degree)
            .ok_or(KeyError::Profile(self.profile))?;
        if ![&self.fixed, &self.weights]
            .into_iter()
            .all(P::is_single_root)
        {
            return Err(KeyError::Commitment);
        }
        let layout = layout_of::<P>(&self.graph, &profile, self.privacy)?;
        let shape = Shape::new(&self.graph, &layout, degree);
        let security = security_of::<P>(&profile, &shape)?;
        let digest = self.digest();
        Ok(Prepared {
            key: self,
            profile,
            layout,
            security,
            digest,
        })
    }
}

impl<P: Protocol> Prepared<P> {
    /// Rebuilds the fixed columns from graph, profile and privacy, and compares their commitment with the key's.
    ///
    /// Selectors, range tables and activation tables follow from graph, profile and privacy, so a key that
    /// passes can be wrong in one thing only: which weights it commits to, and that is its identity.
    /// Without this check a key must come from someone who is trusted to have run setup. It costs
    /// about as much as committing to the fixed columns, and needs to be made once for each key.
    pub fn audit(&self) -> Result<(), KeyError> {
        let pcs = P::pcs(&self.profile);
        let fixed = self.layout.tables.iter().map(|table| {
            let matrix = table.generate_fixed::<P::Val>();
            let domain = <P::Pcs as Pcs<P::Challenge, P::Challenger>>::natural_domain_for_degree(
                &pcs,
                table.height(),
            );
            (domain, matrix)
        });
        let committed = <P::Pcs as Pcs<P::Challenge, P::Challenger>>::commit(&pcs, fixed);
        match committed {
            Ok((commitment, _)) if commitment == self.key.fixed => Ok(()),
            _ => Err(KeyError::Fixed),
        }
    }

    /// The tables of a proof of this statement, and the level it reaches. The statement must have
    /// passed its check against the graph.
    pub fn proof_layout(&self, statement: &Statement) -> Result<(Layout, Security), KeyError> {
        let graph = &self.key.graph;
        let needs_tables = |(_, _, said): (_, _, &Disclosed)| said.needs_table();
        match self.key.privacy.hiding(&self.profile) {
            Some(hiding) if statement.tensors(graph).any(needs_tables) => {
                let modulus = u64::from(P::Val::ORDER_U32);
                let layout = (self.layout).with_statement(graph, statement, &hiding, modulus)?;
                let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
                let shape = Shape::new(graph, &layout, degree);
                let security = security_of::<P>(&self.profile, &shape)?;
                Ok((layout, security))
            }
            _ => Ok((self.layout.clone(), self.security.clone())),
        }
    }

    /// The tables of an attestation of the key's weights, and the level it reaches.
    pub fn attest_layout(&self) -> Result<(Layout, Security), KeyError> {
        let graph = &self.key.graph;
        let hiding = match self.key.privacy {
            // Nothing of public weights needs hiding.
            Privacy::None | Privacy::Data => None,
            Privacy::DataAndWeights { .. } => self.key.privacy.hiding(&self.profile),
        };
        let modulus = u64::from(P::Val::ORDER_U32);
        let layout = (self.layout).attestation(graph, hiding.as_ref(), modulus)?;
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        let security = security_of::<P>(&self.profile, &Shape::of_tables(&layout, degree))?;
        Ok((layout, security))
    }

    /// A short name of the model: the digest of its graph and of both commitments.
    pub fn model_digest(&self) -> Digest {
        digest(
            "provenn model",
            &codec::encode_payload(&(&self.key.graph, &self.key.fixed, &self.key.weights)),
        )
    }
}
