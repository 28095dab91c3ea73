//! Honest proofs verify, for models of many shapes.

use crate::common::{P, Spec, input, mlp};
use air::graph::Function;
use air::statement::Policy;
use prover::Prover;
use verifier::{BabyBearKeccak, Privacy, Profile, ProofFile, Protocol, verify_file};

fn round_trip(spec: &Spec<'_>, profile: &Profile) {
    for privacy in [Privacy::None, Privacy::Data] {
        round_trip_in::<P>(spec, profile, privacy);
    }
}

fn round_trip_in<P: Protocol>(spec: &Spec<'_>, profile: &Profile, privacy: Privacy) {
    let model = mlp(spec);
    let x = input(&model, 7);
    let prover = Prover::<P>::new(model, profile, privacy).expect("the model sets up");
    let evaluation = prover.evaluate(&x).expect("the model evaluates");
    assert_eq!(
        prover.check(&evaluation, 4),
        [],
        "the witness satisfies everything"
    );
    let file = prover
        .prove(&evaluation, &Policy::PUBLIC)
        .expect("the prover finishes");
    let key = prover.verifying_key();
    let bytes = file.to_bytes(key);
    assert!(bytes.len() <= verifier::proof::max_proof_bytes(key));
    let file = ProofFile::<P>::from_bytes(&bytes, key).expect("the proof decodes");
    let verified = verify_file(key, &file).expect("the proof verifies");
    assert!(verified.security_bits >= profile.target_bits);
}

#[test]
fn accepts_a_small_mlp() {
    round_trip(&Spec::default(), &Profile::LATENCY);
}

#[test]
fn accepts_every_profile() {
    for profile in Profile::ALL {
        round_trip(&Spec::default(), &profile);
    }
}

#[test]
fn accepts_every_activation_and_shape() {
    let functions = [
        Function::Relu,
        Function::Sigmoid,
        Function::Tanh,
        Function::Identity,
    ];
    let shapes: [&[u32]; 6] = [
        &[1, 1],
        &[30, 1],
        &[3, 70, 2],
        &[100, 10, 10, 10],
        &[16, 17, 31],
        &[2, 300],
    ];
    for (seed, widths) in shapes.into_iter().enumerate() {
        let spec = Spec {
            widths,
            functions: &functions,
            seed: seed as u64,
            ..Spec::default()
        };
        round_trip(&spec, &Profile::LATENCY);
    }
}

#[test]
fn accepts_batches_and_every_shift() {
    for (positions, shift) in [(1, 0), (2, 1), (3, 5), (8, 9), (17, 12)] {
        let spec = Spec {
            positions,
            shift,
            seed: u64::from(shift),
            ..Spec::default()
        };
        round_trip(&spec, &Profile::LATENCY);
    }
}

#[test]
fn accepts_another_extension_degree() {
    for privacy in [Privacy::None, Privacy::Data] {
        round_trip_in::<BabyBearKeccak<4>>(&Spec::default(), &Profile::DEGREE_4, privacy);
    }
}
