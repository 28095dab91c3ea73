//! # provenn-verifier: checks proofs
//!
//! `no_std + alloc`, no threads, no files: the same code runs on a server, in a browser and on a
//! microcontroller. It depends on `air` (what is proved) and on Plonky3 (fields, hashes, FRI).
//!
//! ```text
//!   verifying key ──▶ Prepared (graph checked, tables laid out, security computed)
//!   statement, proof ──▶ verify ──▶ Verified
//!
//!   old key, new key, rekey proof ──▶ verify_rekey ──▶ Rekeyed
//!   key, attestation ──▶ verify_attestation ──▶ Attested
//!
//!   transcript:  key, statement │ M → σ ρ τ │ P → α β │ L, terminals → λ │ Q → ζ │ FRI
//! ```
//!
//! Three types to know: [`VerifyingKey`], [`Proof`] and [`Profile`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attest;
pub mod codec;
pub mod config;
pub mod key;
pub mod profile;
pub mod proof;
pub mod rekey;
pub mod security;
pub mod transcript;
mod verify;

pub use attest::{AttestError, Attestation, Attested, verify_attestation};
pub use config::{BabyBearKeccak, Protocol};
pub use key::{KeyError, Prepared, Privacy, VerifyingKey};
pub use profile::Profile;
pub use proof::{Opened, Proof, ProofFile, TableOpenings};
pub use rekey::{RekeyError, RekeyProof, Rekeyed, verify_rekey};
pub use verify::{Verified, VerifyError, verify, verify_file};
