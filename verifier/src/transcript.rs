//! # The transcript
//!
//! The order of absorbing and drawing, written once. Prover and verifier both drive a
//! [`Transcript`]; the prover grinds where the verifier checks.
//!
//! | step | absorbed | drawn |
//! |---|---|---|
//! | begin | protocol name and version, profile, digest of the verifying key, digest of the statement | |
//! | main | M | σ, ρ, τ |
//! | projection | P, grinding | α, β |
//! | lookup | L, every terminal | λ |
//! | quotient | Q, grinding | ζ |
//! | opening | every opened value, FRI's own messages | FRI's challenges and queries |
//!
//! A rekey proof ([`crate::rekey`]) has a transcript of its own. Its first absorb differs, so that
//! no message of one kind of proof is ever one of the other:
//!
//! | step | absorbed | drawn |
//! |---|---|---|
//! | begin | protocol name and version under another tag, profile, digest of the old key, digest of the new key | λ |
//! | quotient | Q, grinding | ζ |
//! | opening | as above | as above |
//!
//! An attestation ([`crate::attest`]) begins with a tag of its own and the digest of the key, there being no
//! statement; all steps that follow are a proof's.
//!
//! F and W, the commitments of the verifying key, are inside its digest. τ is drawn with σ and ρ
//! for products of two activations; no chip of this version uses it.

use alloc::vec::Vec;

use p3_challenger::{CanObserve, FieldChallenger, GrindingChallenger};
use p3_field::{Field, PrimeCharacteristicRing};
use p3_keccak::Keccak256Hash;
use p3_symmetric::CryptographicHasher;

use crate::codec::FORMAT_VERSION;
use crate::config::{Commitment, Protocol};
use crate::profile::Profile;
use air::builder::Drawn;

/// Tag of what a proof's transcript begins with.
const PROOF: &str = "provenn protocol";
/// Tag of what a rekey proof's transcript begins with.
const REKEY: &str = "provenn rekey";
/// Tag of what an attestation's transcript begins with.
const ATTEST: &str = "provenn attestation";

/// A 256-bit digest.
pub type Digest = [u8; 32];

/// Keccak-256 of a domain tag, its length first, and some bytes.
pub fn digest(tag: &str, bytes: &[u8]) -> Digest {
    let mut message = Vec::with_capacity(8 + tag.len() + bytes.len());
    message.extend((tag.len() as u64).to_le_bytes());
    message.extend(tag.as_bytes());
    message.extend(bytes);
    Keccak256Hash {}.hash_iter(message)
}

/// A grinding witness: found by the prover, or given to the verifier.
#[derive(Clone, Copy, Debug)]
pub enum Pow<F> {
    /// Search for one.
    Find,
    /// Check this one.
    Check(F),
}

/// A grinding witness was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowError;

/// The transcript of one proof.
#[derive(Clone, Debug)]
pub struct Transcript<P: Protocol> {
    /// The challenger underneath; the commitment scheme continues on it.
    pub challenger: P::Challenger,
    /// Absorbs done so far, and one to leave out: lets a test play a prover that forgets.
    #[cfg(feature = "testing")]
    skip: (usize, Option<usize>),
}

impl<P: Protocol> Transcript<P> {
    /// Step *begin*.
    pub fn new(profile: &Profile, key: &Digest, statement: &Digest) -> Self {
        Self::start(PROOF, profile, &[key, statement], None)
    }

    /// Step *begin* of a rekey proof.
    pub fn rekey(profile: &Profile, old: &Digest, new: &Digest) -> Self {
        Self::start(REKEY, profile, &[old, new], None)
    }

    /// Step *begin* of an attestation. All other steps are a proof's.
    pub fn attestation(profile: &Profile, key: &Digest) -> Self {
        Self::start(ATTEST, profile, &[key], None)
    }

    /// A transcript that leaves out its `skip`-th absorb.
    #[cfg(feature = "testing")]
    pub fn forgetful(profile: &Profile, key: &Digest, statement: &Digest, skip: usize) -> Self {
        Self::start(PROOF, profile, &[key, statement], Some(skip))
    }

    /// The same for a rekey proof.
    #[cfg(feature = "testing")]
    pub fn forgetful_rekey(profile: &Profile, old: &Digest, new: &Digest, skip: usize) -> Self {
        Self::start(REKEY, profile, &[old, new], Some(skip))
    }

    /// The same for an attestation.
    #[cfg(feature = "testing")]
    pub fn forgetful_attestation(profile: &Profile, key: &Digest, skip: usize) -> Self {
        Self::start(ATTEST, profile, &[key], Some(skip))
    }

    /// Number of absorbs before the opening, for tests that leave each out in turn.
    #[cfg(feature = "testing")]
    pub const ABSORBS: usize = 9;

    /// The same for a rekey proof.
    #[cfg(feature = "testing")]
    pub const REKEY_ABSORBS: usize = 5;

    /// The same for an attestation.
    #[cfg(feature = "testing")]
    pub const ATTEST_ABSORBS: usize = 8;

    #[cfg_attr(
        not(feature = "testing"),
        expect(unused_variables, reason = "tests only")
    )]
    fn start(tag: &str, profile: &Profile, about: &[&Digest], skip: Option<usize>) -> Self {
        let mut transcript = Self {
            challenger: P::challenger(),
            #[cfg(feature = "testing")]
            skip: (0, skip),
        };
        let mut protocol = Vec::from(P::NAME.as_bytes());
        protocol.extend(FORMAT_VERSION.to_le_bytes());
        let protocol = digest(tag, &protocol);
        transcript.absorb(|c| observe_bytes::<P>(c, &protocol));
        transcript.absorb(|c| observe_bytes::<P>(c, &[profile.id]));
        for digest in about {
            transcript.absorb(|c| observe_bytes::<P>(c, *digest));
        }
        transcript
    }

    fn absorb(&mut self, f: impl FnOnce(&mut P::Challenger)) {
        #[cfg(feature = "testing")]
        {
            let index = self.skip.0;
            self.skip.0 += 1;
            if self.skip.1 == Some(index) {
                return;
            }
        }
        f(&mut self.challenger);
    }

    fn draw(&mut self) -> P::Challenge {
        self.challenger.sample_algebra_element()
    }

    fn grind(&mut self, bits: usize, pow: Pow<P::Val>) -> Result<P::Val, PowError> {
        match pow {
            Pow::Find if bits == 0 => Ok(P::Val::ZERO),
            Pow::Find => Ok(self.challenger.grind(bits)),
            // Without grinding nothing reads the witness, so only one value is canonical.
            Pow::Check(witness) if bits == 0 && witness.is_zero() => Ok(witness),
            Pow::Check(witness) if bits > 0 && self.challenger.check_witness(bits, witness) => {
                Ok(witness)
            }
            Pow::Check(_) => Err(PowError),
        }
    }

    /// Step *main*: draws σ_2, ρ, σ_1, σ_0.
    pub fn main(&mut self, main: &Commitment<P>) -> Drawn<P::Challenge> {
        self.absorb(|c| c.observe(main.clone()));
        let [width, rho, height, depth] = core::array::from_fn(|_| self.draw());
        Drawn {
            rho,
            sigma: [depth, height, width],
        }
    }

    /// Step *projection*: draws α, β.
    pub fn projection(
        &mut self,
        projection: &Commitment<P>,
        profile: &Profile,
        pow: Pow<P::Val>,
    ) -> Result<(P::Val, [P::Challenge; 2]), PowError> {
        self.absorb(|c| c.observe(projection.clone()));
        let witness = self.grind(profile.lookup_pow_bits, pow)?;
        Ok((witness, [self.draw(), self.draw()]))
    }

    /// Step *lookup*: draws λ.
    pub fn lookup(&mut self, lookup: &Commitment<P>, terminals: &[P::Challenge]) -> P::Challenge {
        self.absorb(|c| c.observe(lookup.clone()));
        self.absorb(|c| c.observe_algebra_slice(terminals));
        self.draw()
    }

    /// Draws λ of a rekey proof: both commitments are inside the digests of the keys.
    pub fn weights(&mut self) -> P::Challenge {
        self.draw()
    }

    /// Step *quotient*: draws ζ.
    pub fn quotient(
        &mut self,
        quotient: &Commitment<P>,
        profile: &Profile,
        pow: Pow<P::Val>,
    ) -> Result<(P::Val, P::Challenge), PowError> {
        self.absorb(|c| c.observe(quotient.clone()));
        let witness = self.grind(profile.ood_pow_bits, pow)?;
        Ok((witness, self.draw()))
    }
}

/// One field element per byte: no packing to get wrong in a second implementation.
fn observe_bytes<P: Protocol>(challenger: &mut P::Challenger, bytes: &[u8]) {
    for &byte in bytes {
        challenger.observe(P::Val::from_u8(byte));
    }
}
