//! # Dishonest provers
//!
//! Soundness tests run the real prover on false witnesses: the prover checks nothing about its
//! traces, so a forgery reaches the verifier as a complete proof. An [`Adversary`] sees the traces
//! between phases and may change anything a prover controls.

use air::builder::Drawn;
use p3_matrix::dense::RowMajorMatrix;
use verifier::config::Protocol;
use verifier::transcript::{Digest, Transcript};
use verifier::{Privacy, Profile};

use air::graph::Model;
use air::statement::Statement;

use crate::masks::{Mask, Seed, fresh_seed};
use crate::setup::{Prover, SetupError, commit};

/// Changes to traces on their way into a proof. Every method does nothing by default.
pub trait Adversary<P: Protocol> {
    /// The transcript to use.
    fn transcript(&mut self, profile: &Profile, key: &Digest, statement: &Digest) -> Transcript<P> {
        Transcript::new(profile, key, statement)
    }

    /// Where the masks of a zero-knowledge proof come from: a seed of the adversary's choice, or the
    /// operating system.
    fn seed(&self) -> Option<Seed> {
        None
    }

    /// A mask to leave out of a zero-knowledge proof, to show that it is needed.
    fn leaves_out(&self) -> Option<Mask> {
        None
    }

    /// Called before the tables for the statement are laid out.
    fn statement(&mut self, _statement: &mut Statement) {}

    /// Called before the main traces are committed. Masks are in place.
    fn main(&mut self, _main: &mut [Option<RowMajorMatrix<P::Val>>], _statement: &mut Statement) {}

    /// Called before the projection columns are committed; `sigma` and `rho` are known.
    fn projection(
        &mut self,
        _columns: &mut [Option<Vec<P::Challenge>>],
        _drawn: Drawn<P::Challenge>,
    ) {
    }

    /// The transcript to use for an attestation.
    fn attest_transcript(&mut self, profile: &Profile, key: &Digest) -> Transcript<P> {
        Transcript::attestation(profile, key)
    }

    /// Called before the main traces of an attestation are committed. Masks are in place. What follows
    /// is as for a proof.
    fn attest(&mut self, _main: &mut [Option<RowMajorMatrix<P::Val>>]) {}

    /// The transcript to use for a rekey proof.
    fn rekey_transcript(&mut self, profile: &Profile, old: &Digest, new: &Digest) -> Transcript<P> {
        Transcript::rekey(profile, old, new)
    }

    /// Called before the quotients of a rekey proof are committed: the values of each on its coset.
    fn rekey(&mut self, _quotients: &mut [Vec<P::Challenge>]) {}

    /// Called before the LogUp columns and terminals are committed.
    fn lookup(&mut self, _columns: &mut [Vec<P::Challenge>], _terminals: &mut [P::Challenge]) {}
}

impl<P: Protocol> Prover<P> {
    /// Sets up a model whose weights may break every bound: nothing but its shape is checked.
    pub fn unchecked(
        model: Model,
        profile: &Profile,
        privacy: Privacy,
    ) -> Result<Self, SetupError> {
        let seed = match privacy {
            Privacy::None | Privacy::Data => None,
            Privacy::DataAndWeights { .. } => Some(fresh_seed()?),
        };
        Self::of_sound(model, profile, privacy, seed)
    }

    /// A prover whose key commits to other weight columns than the model's.
    pub fn with_weights_as(
        mut self,
        change: impl FnOnce(&mut [Option<RowMajorMatrix<P::Val>>]),
    ) -> Result<Self, SetupError> {
        change(&mut self.weight);
        let columns = self.weight.iter().flatten().cloned();
        let (weights, weight_data) = commit::<P>(&self.pcs, columns)?;
        let mut key = self.prepared.key;
        key.weights = weights;
        self.prepared = key.prepare()?;
        self.weight_data = weight_data;
        Ok(self)
    }
}

/// The prover that follows the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Honest;

impl<P: Protocol> Adversary<P> for Honest {}
