//! # provenn-prover: makes proofs
//!
//! ```text
//!   Model ──Prover::new──▶ Prover (tables laid out, F and W committed: keep it warm)
//!   inputs ──evaluate──▶ Evaluation ──Prover::prove──▶ ProofFile
//!   Prover ──Prover::attest──▶ Attestation (the weights keep their bound)
//!   Prover, its mask spent ──Prover::rekey──▶ Prover with a fresh mask, RekeyProof
//! ```
//!
//! Three types to know: [`Prover`] (a model ready to prove), [`key::ProvingKey`] (its file) and
//! [`Adversary`] (what tests use to play a dishonest prover; the honest one changes nothing). Keys with
//! private weights are good for a number of proofs: see [`budget`].

#![forbid(unsafe_code)]

mod adversary;
mod attest;
pub mod budget;
pub mod check;
pub mod key;
mod lookup;
mod masks;
mod predict;
mod prove;
mod quotient;
mod rekey;
mod setup;

pub use adversary::{Adversary, Honest};
pub use budget::{Budget, Ledger, LedgerError};
pub use masks::{Mask, NoRandomness, Seed, fresh_seed};
pub use predict::{Prediction, TablePrediction, commit_unit, memory_estimate, predict};
pub use prove::ProveError;
pub use setup::{Prover, SetupError};
