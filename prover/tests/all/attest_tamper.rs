//! # Damaged attestations
//!
//! Every field changed, other keys, other transcripts, flipped bits, cuts and extensions of the file. If
//! this failed, some part of an attestation would be carried without being checked, or one made for a
//! key would pass for another's.

use crate::common::attack::{Attack, EF, F};
use crate::common::attest::Lab;
use crate::common::{P, Rng, Spec, input, mlp};
use air::statement::Policy;
use p3_field::PrimeCharacteristicRing;
use verifier::attest::max_attestation_bytes;
use verifier::codec::CodecError;
use verifier::transcript::Transcript;
use verifier::{
    AttestError, Attestation, Privacy, Proof, ProofFile, VerifyError, verify_attestation,
};

const PRIVATE: Privacy = Privacy::DataAndWeights { proofs: 2 };

fn lab() -> Lab {
    Lab::new(&mlp(&Spec::default()), PRIVATE)
}

fn verify(lab: &Lab, attestation: &Attestation<P>) -> Result<(), AttestError> {
    verify_attestation(lab.prover.verifying_key(), attestation).map(|_| ())
}

#[test]
fn rejects_a_change_of_every_field() {
    let lab = lab();
    let honest = lab.forge(&mut prover::Honest);
    assert_eq!(verify(&lab, &honest), Ok(()));
    let other = lab.forge(&mut prover::Honest);
    let refused = |change: &dyn Fn(&mut Proof<P>)| {
        let mut attestation = honest.clone();
        change(&mut attestation.proof);
        match verify(&lab, &attestation) {
            Err(AttestError::Proof(error)) => error,
            got => panic!("a changed attestation: {got:?}"),
        }
    };
    // Taken apart, so that a new field does not compile until it is listed here.
    let Proof::<P> {
        main,
        projection,
        lookup,
        quotient,
        terminals,
        lookup_pow: _,
        ood_pow: _,
        opened,
        mask,
        pcs,
    } = other.proof;
    let known = |error: VerifyError| {
        use VerifyError::{Buses, Constraints, Opening, Pow};
        assert!(
            matches!(error, Buses | Constraints { .. } | Opening(_) | Pow(_)),
            "{error}"
        );
    };
    known(refused(&|p| p.main = main.clone()));
    known(refused(&|p| p.projection = projection.clone()));
    known(refused(&|p| p.lookup = lookup.clone()));
    known(refused(&|p| p.quotient = quotient.clone()));
    known(refused(&|p| p.terminals = terminals.clone()));
    known(refused(&|p| p.lookup_pow += F::ONE));
    known(refused(&|p| p.ood_pow += F::ONE));
    known(refused(&|p| p.opened = opened.clone()));
    known(refused(&|p| p.mask = mask.clone()));
    known(refused(&|p| p.pcs = pcs.clone()));
    for (what, change) in [
        (
            "the list of terminals",
            (|p| p.terminals.truncate(2)) as fn(&mut Proof<P>),
        ),
        ("the list of openings", |p| p.opened.truncate(2)),
        ("the mask", |p| p.mask.clear()),
        ("a table's openings", |p| p.opened[0].weight.truncate(1)),
        ("a table's openings", |p| p.opened[1].fixed.push(EF::ONE)),
    ] {
        assert_eq!(refused(&change), VerifyError::Shape(what));
    }
}

#[test]
fn rejects_the_key_of_another_model_and_of_the_same() {
    // Fresh masks, the same model; then another model.
    for seed in [1, 2] {
        let [lab, other] = [1, seed].map(|seed| {
            let spec = Spec {
                seed,
                ..Spec::default()
            };
            Lab::new(&mlp(&spec), PRIVATE)
        });
        let mut attestation = lab.forge(&mut prover::Honest);
        assert_eq!(verify(&other, &attestation), Err(AttestError::Key));
        attestation.key = other.prover.verifying_key().digest;
        assert!(matches!(
            verify(&other, &attestation),
            Err(AttestError::Proof(_))
        ));
        // Made with the other key's name in the transcript, by one who does not have its weights' mask.
        let mut impersonating = Attack::impersonating(attestation.key);
        let mut attestation = lab.forge(&mut impersonating);
        attestation.key = other.prover.verifying_key().digest;
        let error = verify(&other, &attestation);
        // The limbs of another model may be others. Of the same, only the weight commitment differs.
        let refused = match &error {
            Err(AttestError::Proof(VerifyError::Opening(_))) => true,
            Err(AttestError::Proof(_)) => seed != 1,
            _ => false,
        };
        assert!(refused, "{error:?}");
    }
}

#[test]
fn rejects_a_transcript_that_leaves_something_out() {
    let lab = lab();
    for absorb in 0..Transcript::<P>::ATTEST_ABSORBS {
        lab.refusal(Attack::forgetting(absorb));
    }
    // There are no more: a transcript told to leave out the next one is complete.
    let all = Transcript::<P>::ATTEST_ABSORBS;
    assert!(lab.attempt(&mut Attack::forgetting(all)).is_ok());
}

#[test]
fn rejects_damaged_bytes() {
    let lab = lab();
    let key = lab.prover.verifying_key();
    let bytes = lab.forge(&mut prover::Honest).to_bytes(key);
    assert!(bytes.len() <= max_attestation_bytes(key).expect("it has a layout"));
    let read = |bytes: &[u8]| {
        let attestation = Attestation::<P>::from_bytes(bytes, key)?;
        verify_attestation(key, &attestation)
    };
    assert!(read(&bytes).is_ok());
    let mut random = Rng(9);
    for i in 0..300 {
        let mut damaged = bytes.clone();
        // The head byte by byte, the rest by chance.
        let at = if i < 60 {
            i
        } else {
            random.next() as usize % bytes.len()
        };
        damaged[at] ^= 1 << (random.next() % 8);
        assert!(read(&damaged).is_err(), "byte {at}");
    }
    for cut in [0, 11, 12, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(read(&bytes[..cut]).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    let extra = AttestError::Codec(CodecError::Trailing { extra: 1 });
    assert_eq!(read(&longer), Err(extra));
}

#[test]
fn rejects_an_ordinary_proof_and_is_none() {
    let model = mlp(&Spec::default());
    let x = input(&model, 5);
    let lab = lab();
    let key = lab.prover.verifying_key();
    let evaluation = lab.prover.evaluate(&x).expect("it evaluates");
    let file = lab.prover.prove(&evaluation, &Policy::default());
    let file = file.expect("it proves");
    let as_attestation = Attestation {
        key: key.digest,
        proof: file.proof.clone(),
    };
    let shape = VerifyError::Shape("the list of terminals");
    assert_eq!(
        verify(&lab, &as_attestation),
        Err(AttestError::Proof(shape))
    );
    let kind = CodecError::WrongKind {
        expected: "attestation",
        got: "proof",
    };
    let error = Attestation::<P>::from_bytes(&file.to_bytes(key), key).err();
    assert_eq!(error, Some(AttestError::Codec(kind)));
    let bytes = lab.forge(&mut prover::Honest).to_bytes(key);
    assert!(ProofFile::<P>::from_bytes(&bytes, key).is_err());
}
