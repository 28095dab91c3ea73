//! # Proofs

use alloc::vec::Vec;

use air::layout::{Layout, MAX_LOG_HEIGHT, MAX_POSITIONS, Table};
use air::statement::Statement;
use p3_field::BasedVectorSpace;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, Kind};
use crate::config::{Commitment, PcsProof, Protocol};
use crate::key::Prepared;
use crate::profile::Profile;
use crate::transcript::{Digest, digest};

/// Everything the prover sends.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Commitment<P>: Serialize, PcsProof<P>: Serialize",
    deserialize = "Commitment<P>: serde::de::DeserializeOwned, \
                   PcsProof<P>: serde::de::DeserializeOwned"
))]
pub struct Proof<P: Protocol> {
    /// Commitment M: main columns.
    pub main: Commitment<P>,
    /// Commitment P: projection columns.
    pub projection: Commitment<P>,
    /// Commitment L: LogUp columns.
    pub lookup: Commitment<P>,
    /// Commitment Q: quotient chunks.
    pub quotient: Commitment<P>,
    /// Every table's LogUp terminal; every table has messages.
    pub terminals: Vec<P::Challenge>,
    /// Grinding before α, β.
    pub lookup_pow: P::Val,
    /// Grinding before ζ.
    pub ood_pow: P::Val,
    /// Opened values of every table.
    pub opened: Opened<P>,
    /// The mask of the batched opening at ζ, as base columns; empty in a proof that hides nothing.
    pub mask: Vec<P::Challenge>,
    /// The opening proof.
    pub pcs: PcsProof<P>,
}

impl<P: Protocol> core::fmt::Debug for Proof<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// Opened values, one entry per table.
pub type Opened<P> = Vec<TableOpenings<<P as Protocol>::Challenge>>;

/// The values of one table's columns at ζ, and of some at ω·ζ. Extension columns appear as their
/// base columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOpenings<EF> {
    /// Fixed columns at ζ; none of a table that is there for the statement.
    pub fixed: Vec<EF>,
    /// Weight columns at ζ.
    pub weight: Vec<EF>,
    /// Main columns at ζ.
    pub main: Vec<EF>,
    /// Projection columns at ζ.
    pub projection: Vec<EF>,
    /// Projection columns at ω·ζ.
    pub projection_next: Vec<EF>,
    /// LogUp columns at ζ.
    pub lookup: Vec<EF>,
    /// LogUp columns at ω·ζ.
    pub lookup_next: Vec<EF>,
    /// Quotient chunks at ζ.
    pub quotient: Vec<EF>,
}

impl<EF> TableOpenings<EF> {
    /// Whether every list has the length the table gives it.
    pub fn matches(&self, table: &Table, degree: usize) -> bool {
        // Taken apart, so that a new field cannot be forgotten here.
        let Self {
            fixed,
            weight,
            main,
            projection,
            projection_next,
            lookup,
            lookup_next,
            quotient,
        } = self;
        let (w, c) = (table.widths, table.committed);
        fixed.len() == c.fixed
            && weight.len() == w.weight
            && main.len() == c.main
            && projection.len() == c.projection * degree
            && projection_next.len() == c.projection * degree
            && lookup.len() == c.lookup * degree
            && lookup_next.len() == c.lookup * degree
            && quotient.len() == c.quotient * degree
    }
}

/// A proof with what it proves: the content of a proof file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Commitment<P>: Serialize, PcsProof<P>: Serialize",
    deserialize = "Commitment<P>: serde::de::DeserializeOwned, \
                   PcsProof<P>: serde::de::DeserializeOwned"
))]
pub struct ProofFile<P: Protocol> {
    /// Digest of the verifying key the proof was made for: lets a mismatch be told from a forgery.
    pub key: Digest,
    /// What is proved.
    pub statement: Statement,
    /// The proof.
    pub proof: Proof<P>,
}

impl<P: Protocol> ProofFile<P> {
    /// The file.
    pub fn to_bytes(&self, prepared: &Prepared<P>) -> Vec<u8> {
        codec::encode(Kind::Proof, prepared.profile.id, self)
    }

    /// Reads a proof file meant for a given key. The size is bounded by the key before a byte is
    /// decoded.
    pub fn from_bytes(bytes: &[u8], prepared: &Prepared<P>) -> Result<Self, CodecError> {
        let limit = max_proof_bytes(prepared);
        let (profile, file) = codec::decode::<Self>(Kind::Proof, bytes, limit)?;
        if profile != prepared.profile.id {
            return Err(CodecError::NotCanonical);
        }
        Ok(file)
    }
}

/// The digest of a statement.
pub fn statement_digest(statement: &Statement) -> Digest {
    digest("provenn statement", &statement.canonical_bytes())
}

/// A size no valid proof for this key exceeds, whatever its statement.
pub fn max_proof_bytes<P: Protocol>(prepared: &Prepared<P>) -> usize {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    let profile = &prepared.profile;
    let graph = &prepared.key.graph;
    let layout: &Layout = &prepared.layout;
    let own: usize = layout
        .tables
        .iter()
        .map(|t| {
            let (w, c) = (t.widths, t.committed);
            let extension = c.projection + c.lookup + c.quotient;
            c.fixed + w.weight + c.main + degree * extension
        })
        .sum();
    // What may be proved of an input or output, wherever something can be hidden.
    let boundary = graph.inputs.iter().chain(&graph.outputs);
    let (statement, statement_tables) = match layout.is_hiding() {
        true => boundary
            .map(|id| STATEMENT_COLUMNS * graph.tensors[id.index()].positions().min(MAX_POSITIONS))
            .fold((0, 1), |(sum, tables), columns| (sum + columns, tables + 3)),
        false => (0, 0),
    };
    let opening = OpeningSize {
        // With the mask of the batch.
        columns: own + statement + degree,
        tables: layout.tables.len() + statement_tables,
        trees: 6,
        log_height: match statement_tables {
            0 => layout.max_log_height(),
            _ => MAX_LOG_HEIGHT,
        },
    };
    let said: usize = graph
        .tensors
        .iter()
        .map(|t| 12 * t.len() + 8 * t.positions() + 128)
        .sum();
    opening.max_bytes(profile) + said + (1 << 16)
}

/// What the size of an opening proof and of the opened values depends on.
pub(crate) struct OpeningSize {
    /// Committed base columns.
    pub columns: usize,
    /// Tables.
    pub tables: usize,
    /// Commitments.
    pub trees: usize,
    /// Logarithm of the tallest height.
    pub log_height: usize,
}

impl OpeningSize {
    /// A size that is not exceeded.
    pub fn max_bytes(&self, profile: &Profile) -> usize {
        let depth = self.log_height + profile.log_blowup;
        let element = 4 * profile.extension_degree;
        // Opened at most twice each; per query every column once, with a length per matrix and batch.
        let openings = 2 * self.columns * element + 64 * self.tables * 8;
        let rows = self.columns * 4 + (self.trees * self.tables + self.trees) * 16;
        // Authentication paths: the input trees and at most one folding layer per level folded.
        let layers = self.log_height.saturating_sub(profile.log_final_poly_len);
        let paths = (self.trees + layers) * depth * 32;
        let folds = layers * ((element << profile.max_log_arity) + 16);
        let last = element << profile.log_final_poly_len;
        openings + profile.num_queries * (rows + paths + folds) + last
    }
}

/// More columns, as base columns, than all tables of one tensor with one position have: a hash
/// table, one for bounds, one for ranks, and a share of their range table.
const STATEMENT_COLUMNS: usize = 512;
