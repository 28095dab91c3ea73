//! # Damaged files
//!
//! Bits flipped at seeded places all over proof and key files, cuts, extensions, numbers out of
//! range. Every damaged file must be refused by the decoder or by `verify`, and none may panic. If
//! this failed, two different files would pass for one proof, or a file could stop a verifier.

use crate::common::{MODULUS, P, Prover, Rng, Spec, input, mlp};
use air::statement::Policy;
use verifier::Privacy;
use verifier::codec::{self, CodecError};
use verifier::{KeyError, Prepared, Profile, ProofFile, VerifyError, VerifyingKey, verify};

struct Files {
    key: Prepared<P>,
    file: ProofFile<P>,
    proof_bytes: Vec<u8>,
    key_bytes: Vec<u8>,
}

fn files() -> Files {
    let model = mlp(&Spec::default());
    let x = input(&model, 7);
    let prover = Prover::new(model, &Profile::LATENCY, Privacy::None).expect("the model sets up");
    let evaluation = prover.evaluate(&x).expect("the model evaluates");
    let file = prover
        .prove(&evaluation, &Policy::PUBLIC)
        .expect("the prover finishes");
    let key = prover.verifying_key().clone();
    verify(&key, &file.statement, &file.proof).expect("it verifies");
    Files {
        proof_bytes: file.to_bytes(&key),
        key_bytes: key.key.to_bytes(),
        key,
        file,
    }
}

impl Files {
    /// Whether a reader of proof files accepts these bytes as a proof under the key.
    fn accepts_proof(&self, bytes: &[u8]) -> bool {
        ProofFile::<P>::from_bytes(bytes, &self.key).is_ok_and(|file| {
            // The digest tells "made for another key" from "forged"; a reader compares it.
            file.key == self.key.digest && verify(&self.key, &file.statement, &file.proof).is_ok()
        })
    }

    /// Whether the proof verifies under a key read from these bytes.
    fn accepts_key(&self, bytes: &[u8]) -> bool {
        VerifyingKey::<P>::from_bytes(bytes)
            .is_ok_and(|key| verify(&key, &self.file.statement, &self.file.proof).is_ok())
    }
}

/// `n` places in `0..len`: the first 256 bytes are tried densely, for they hold headers and lengths.
fn places(len: usize, n: usize, seed: u64) -> impl Iterator<Item = (usize, u8)> {
    let mut rng = Rng(seed);
    (0..n).map(move |i| {
        let at = if i < n / 3 {
            rng.next() as usize % len.min(256)
        } else {
            rng.next() as usize % len
        };
        (at, 1 << (rng.next() % 8))
    })
}

fn rejects_flips_of_a_proof(seed: u64) {
    let files = files();
    assert!(files.accepts_proof(&files.proof_bytes));
    for (at, bit) in places(files.proof_bytes.len(), 300, seed) {
        let mut bytes = files.proof_bytes.clone();
        bytes[at] ^= bit;
        assert!(!files.accepts_proof(&bytes), "byte {at}, bit {bit:#x}");
    }
}

#[test]
fn rejects_flipped_bits_of_a_proof() {
    rejects_flips_of_a_proof(1);
}

#[test]
fn rejects_more_flipped_bits_of_a_proof() {
    rejects_flips_of_a_proof(2);
}

#[test]
fn rejects_flipped_bits_of_a_key() {
    let files = files();
    assert!(files.accepts_key(&files.key_bytes));
    // All bits of a short file.
    for at in 0..files.key_bytes.len() {
        let mut bytes = files.key_bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(!files.accepts_key(&bytes), "byte {at}");
    }
}

#[test]
fn rejects_truncated_files() {
    let files = files();
    let key = &files.key;
    for bytes in [&files.proof_bytes, &files.key_bytes] {
        let len = bytes.len();
        let mut cuts: Vec<usize> = (0..64).map(|i| len * i / 64).collect();
        cuts.extend((0..32).chain(len - 32..len));
        for cut in cuts {
            let expected = if cut < 12 {
                CodecError::NotOurs
            } else {
                CodecError::Damaged
            };
            let bytes = &bytes[..cut];
            let error = if std::ptr::eq(bytes.as_ptr(), files.proof_bytes.as_ptr()) {
                ProofFile::<P>::from_bytes(bytes, key)
                    .map(|_| ())
                    .map_err(KeyError::from)
            } else {
                VerifyingKey::<P>::from_bytes(bytes).map(|_| ())
            };
            assert_eq!(error, Err(KeyError::Codec(expected)), "cut at {cut}");
        }
    }
}

#[test]
fn rejects_extended_files() {
    let files = files();
    for extra in [1, 7, 1000] {
        let mut bytes = files.proof_bytes.clone();
        bytes.resize(bytes.len() + extra, 0);
        let error = ProofFile::<P>::from_bytes(&bytes, &files.key).map(|_| ());
        assert_eq!(error, Err(CodecError::Trailing { extra }));
        let mut bytes = files.key_bytes.clone();
        bytes.resize(bytes.len() + extra, 0);
        let error = VerifyingKey::<P>::from_bytes(&bytes).map(|_| ());
        assert_eq!(error, Err(CodecError::Trailing { extra }.into()));
    }
}

#[test]
fn rejects_files_longer_than_any_valid_one() {
    let files = files();
    let limit = verifier::proof::max_proof_bytes(&files.key);
    let mut bytes = files.proof_bytes.clone();
    bytes.resize(limit + 1, 0);
    let error = ProofFile::<P>::from_bytes(&bytes, &files.key).map(|_| ());
    let got = limit + 1;
    assert_eq!(error, Err(CodecError::TooLong { limit, got }));
    // A valid file leaves little room: the bound is no invitation.
    assert!(limit < 8 * files.proof_bytes.len());

    let limit = verifier::key::MAX_KEY_BYTES;
    let mut bytes = files.key_bytes.clone();
    bytes.resize(limit + 1, 0);
    let error = VerifyingKey::<P>::from_bytes(&bytes).map(|_| ());
    let got = limit + 1;
    assert_eq!(error, Err(CodecError::TooLong { limit, got }.into()));
}

#[test]
fn rejects_field_elements_that_are_not_reduced() {
    let files = files();
    let ProofFile {
        key,
        statement,
        proof,
    } = &files.file;
    // Everything before the first coefficient of the first terminal: the header, these, a length.
    let before = (
        key,
        statement,
        (
            &proof.main,
            &proof.projection,
            &proof.lookup,
            &proof.quotient,
        ),
    );
    let at = 12 + codec::encode_payload(&before).len() + 8;
    let first = codec::encode_payload(&proof.terminals[0]);
    assert_eq!(files.proof_bytes[at..at + first.len()], first);
    let p = MODULUS as u32;
    let mut stored = [0; 4];
    stored.copy_from_slice(&first[..4]);
    let alias = u32::from_le_bytes(stored).wrapping_add(p);
    for value in [p, p + 1, alias, u32::MAX] {
        if value < p {
            continue;
        }
        let mut bytes = files.proof_bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let error = ProofFile::<P>::from_bytes(&bytes, &files.key).map(|_| ());
        assert_eq!(error, Err(CodecError::Damaged), "{value}");
    }
}

#[test]
fn rejects_lengths_that_promise_gigabytes() {
    // A length prefix is believed only as far as bytes follow.
    let files = files();
    let at = 12 + 1 + 4; // after header, profile and privacy: the number of tensors
    for claimed in [1u64 << 20, 1 << 31, 1 << 40, u64::MAX] {
        let mut bytes = files.key_bytes.clone();
        bytes[at..at + 8].copy_from_slice(&claimed.to_le_bytes());
        let error = VerifyingKey::<P>::from_bytes(&bytes).map(|_| ());
        assert_eq!(error, Err(CodecError::Damaged.into()), "{claimed}");
        // And the length of the first tensor's name.
        let mut bytes = files.key_bytes.clone();
        bytes[at + 8..at + 16].copy_from_slice(&claimed.to_le_bytes());
        let error = VerifyingKey::<P>::from_bytes(&bytes).map(|_| ());
        assert_eq!(error, Err(CodecError::Damaged.into()), "{claimed}");
    }
}

/// Replaces the one root of the commitment at `at` by two.
fn with_two_roots(bytes: &[u8], at: usize) -> Vec<u8> {
    assert_eq!(bytes[at..at + 8], 1u64.to_le_bytes());
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].copy_from_slice(&2u64.to_le_bytes());
    let root = bytes[at + 8..at + 40].to_vec();
    bytes.splice(at + 40..at + 40, root);
    bytes
}

#[test]
fn rejects_commitments_that_are_not_a_single_root() {
    let files = files();
    let ProofFile {
        key,
        statement,
        proof,
    } = &files.file;
    let before = codec::encode_payload(&(key, statement)).len();
    let one = codec::encode_payload(&proof.main).len();
    for i in 0..4 {
        let bytes = with_two_roots(&files.proof_bytes, 12 + before + i * one);
        let file = ProofFile::<P>::from_bytes(&bytes, &files.key).expect("it is well formed");
        let error = verify(&files.key, &file.statement, &file.proof);
        assert_eq!(error, Err(VerifyError::Shape("a commitment")), "{i}");
    }
    for round in &proof.pcs.commit_phase_commits {
        let encoded = codec::encode_payload(round);
        let at = files
            .proof_bytes
            .windows(encoded.len())
            .position(|w| w == encoded)
            .expect("the proof holds its commitments");
        let bytes = with_two_roots(&files.proof_bytes, at);
        let file = ProofFile::<P>::from_bytes(&bytes, &files.key).expect("it is well formed");
        let error = verify(&files.key, &file.statement, &file.proof);
        let shape = VerifyError::Shape("a commitment of the opening proof");
        assert_eq!(error, Err(shape));
    }
    let key = &files.key.key;
    let before = codec::encode_payload(&(key.profile, key.privacy, &key.graph)).len();
    for i in 0..2 {
        let bytes = with_two_roots(&files.key_bytes, 12 + before + i * one);
        let error = VerifyingKey::<P>::from_bytes(&bytes).map(|_| ());
        assert_eq!(error, Err(KeyError::Commitment), "{i}");
    }
}
