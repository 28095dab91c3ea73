//! # Random networks
//!
//! Networks of every kind of map: convolutions with strides, dilations, borders and windows, branches,
//! gates, sums over positions, flattening. Every witness satisfies its tables; some are proved. If this
//! failed, an honest proof of some architecture would not verify.

use crate::common::{Prover, input, nets};
use air::graph::Model;
use air::statement::{Policy, Visibility};
use verifier::{Privacy, Profile, verify_file};

/// The model satisfies its tables, and is proved if wanted.
fn holds(model: Model, seed: u64, privacy: Privacy, prove: bool) {
    let x = input(&model, seed);
    let prover = Prover::new(model, &Profile::LATENCY, privacy).expect("the model sets up");
    let evaluation = prover.evaluate(&x).expect("the model evaluates");
    let failures = prover.check(&evaluation, 5);
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
    if prove {
        let policy = match privacy {
            Privacy::None => Policy::PUBLIC,
            _ => Policy::new(Visibility::Private, Visibility::Public),
        };
        let file = prover.prove(&evaluation, &policy).expect("it proves");
        verify_file(prover.verifying_key(), &file).expect("it verifies");
    }
}

#[test]
fn accepts_random_networks() {
    for seed in 0..300 {
        holds(nets::random(seed), seed + 1000, Privacy::None, false);
    }
}

#[test]
fn accepts_proofs_of_random_networks() {
    for seed in 300..312 {
        let privacy = match seed % 3 {
            0 => Privacy::Data,
            1 => Privacy::DataAndWeights { proofs: 2 },
            _ => Privacy::None,
        };
        holds(nets::random(seed), seed, privacy, true);
        holds(nets::random(seed), seed, Privacy::None, true);
    }
}

#[test]
fn accepts_maxima_within_rows() {
    for (seed, privacy) in [
        (1, Privacy::None),
        (2, Privacy::Data),
        (3, Privacy::DataAndWeights { proofs: 2 }),
    ] {
        holds(nets::windows(), seed, privacy, true);
    }
}
