//! # Proofs that hide
//!
//! Every combination of what is shown and what is hidden proves and verifies, and a proof of one
//! combination is none of another. What a proof reveals is the subject of `distinguish/`.

use crate::common::attack::{Attack, EF, F, Lab, constraints, shown};
use crate::common::{P, Spec, input, mlp};
use air::graph::Function;
use air::statement::{Disclosed, Policy, Statement, Visibility};
use p3_field::PrimeCharacteristicRing;
use prover::{ProveError, Prover};
use verifier::VerifyError::{self, Buses, NotHiding};
use verifier::{KeyError, Privacy, Profile, ProofFile, VerifyingKey, verify, verify_file};

const POLICIES: [Policy; 4] = [
    Policy::new(Visibility::Public, Visibility::Public),
    Policy::new(Visibility::Private, Visibility::Public),
    Policy::new(Visibility::Public, Visibility::Private),
    Policy::new(Visibility::Private, Visibility::Private),
];

const WEIGHTS: Privacy = Privacy::DataAndWeights { proofs: 4 };

fn lab(privacy: Privacy, policy: Policy) -> Lab {
    let model = mlp(&Spec::default());
    let x = input(&model, 7);
    Lab::with(model, &x, privacy, policy)
}

#[test]
fn accepts_every_combination() {
    let spec = Spec {
        positions: 3,
        functions: &[Function::Tanh, Function::Sigmoid],
        ..Spec::default()
    };
    for profile in [Profile::LATENCY, Profile::THROUGHPUT] {
        for privacy in [Privacy::Data, WEIGHTS] {
            let model = mlp(&spec);
            let x = input(&model, 7);
            let prover = Prover::<P>::new(model, &profile, privacy).expect("it sets up");
            let evaluation = prover.evaluate(&x).expect("it evaluates");
            let key = prover.verifying_key().key.to_bytes();
            let key = VerifyingKey::<P>::from_bytes(&key).expect("the key is sound");
            key.audit().expect("its fixed columns are the graph's");
            for policy in POLICIES {
                let file = prover.prove(&evaluation, &policy).expect("it proves");
                let bytes = file.to_bytes(&key);
                let file = ProofFile::from_bytes(&bytes, &key).expect("it decodes");
                verify_file(&key, &file).expect("it verifies");
                let shows = |d: &Disclosed| d.values.is_some();
                let public = |v: &Visibility| *v == Visibility::Public;
                assert_eq!(shows(&file.statement.inputs[0]), public(&policy.inputs));
                assert_eq!(shows(&file.statement.outputs[0]), public(&policy.outputs));
            }
        }
    }
}

#[test]
fn accepts_models_of_every_shape() {
    for (widths, positions) in [(&[1, 1][..], 1), (&[3, 200, 2], 1), (&[40, 5, 5, 3], 4)] {
        let model = mlp(&Spec {
            widths,
            positions,
            ..Spec::default()
        });
        let x = input(&model, 3);
        Lab::with(model, &x, Privacy::Data, Policy::default());
    }
}

#[test]
fn rejects_a_proof_passed_off_as_another_kind() {
    for policy in POLICIES {
        let lab = lab(Privacy::Data, policy.clone());
        let file = lab.forge(&mut Attack::default());
        let key = lab.prover.verifying_key();
        for other in POLICIES {
            let graph = &lab.prover.model().graph;
            let statement =
                Statement::of::<F>(graph, &lab.evaluation, &other).expect("it can be said");
            let verified = verify(key, &statement, &file.proof);
            // Even where everything the other statement says is true.
            assert_eq!(verified.is_ok(), other == policy, "{policy:?} {other:?}");
        }
    }
}

#[test]
fn rejects_values_a_key_cannot_hide() {
    let lab = lab(Privacy::None, Policy::PUBLIC);
    let error = lab.prover.prove(&lab.evaluation, &Policy::default()).err();
    assert_eq!(error, Some(ProveError::NotHiding));
    // A prover who does it anyway makes a proof that is sound, and that nobody may call private.
    for policy in &POLICIES[1..] {
        let file = lab
            .prover
            .prove_as(&lab.evaluation, policy, &mut Attack::default())
            .expect("the prover does not look at what it proves");
        let verified = verify(lab.prover.verifying_key(), &file.statement, &file.proof);
        assert_eq!(verified, Err(NotHiding));
    }
}

#[test]
fn rejects_false_outputs_of_a_hidden_input() {
    for privacy in [Privacy::Data, WEIGHTS] {
        let lab = lab(privacy, Policy::default());
        let attack = || Attack::on_main(|_, s| shown(&mut s.outputs[0])[0] ^= 1);
        assert_eq!(lab.refusal(attack()), Buses);
        for (i, table) in lab.layout().tables.iter().enumerate() {
            let error = lab.balanced_refusal(attack(), i);
            assert_eq!(error, constraints(table.chip_name()));
        }
    }
}

/// The cell that blinds a table's terminal.
fn blind(lab: &Lab, table: usize) -> usize {
    let table = &lab.layout().tables[table];
    table.live_rows() * table.committed.projection
}

#[test]
fn rejects_blinds_that_do_not_cancel() {
    // A prover who wants the sum of terminals to be off by a number of its choice has to choose it
    // before α is drawn.
    let lab = lab(Privacy::Data, Policy::default());
    for table in 0..lab.layout().tables.len() {
        let at = blind(&lab, table);
        let error = lab.refusal(Attack::on_projection(|columns, _| {
            columns[table].as_mut().expect("every table has them")[at] += EF::ONE;
        }));
        assert_eq!(error, Buses);
        // With it, a false output: the difference is a fraction in α, not a constant.
        let attack = Attack::on_main(|_, s| shown(&mut s.outputs[0])[0] ^= 1).and_projection(
            |columns, _| {
                columns[table].as_mut().expect("every table has them")[at] += EF::from_u32(5);
            },
        );
        assert_eq!(lab.refusal(attack), Buses);
    }
}

#[test]
fn rejects_a_blind_chosen_after_alpha() {
    // The terminals are made to balance, as if the blinding cell had been another one.
    let lab = lab(Privacy::Data, Policy::default());
    let attack = Attack::on_main(|_, s| shown(&mut s.outputs[0])[0] ^= 1);
    let error = lab.balanced_refusal(attack, 0);
    assert_eq!(error, constraints("activation"));
}

#[test]
fn rejects_a_mask_of_another_length() {
    let lab = lab(Privacy::Data, Policy::default());
    let file = lab.forge(&mut Attack::default());
    let key = lab.prover.verifying_key();
    let refused = |change: &dyn Fn(&mut Vec<EF>)| {
        let mut proof = file.proof.clone();
        change(&mut proof.mask);
        verify(key, &file.statement, &proof).expect_err("another mask")
    };
    for change in [&|m: &mut Vec<EF>| m.clear() as _, &|m: &mut Vec<EF>| {
        m.push(EF::ZERO)
    }] as [&dyn Fn(&mut Vec<EF>); 2]
    {
        assert_eq!(refused(change), VerifyError::Shape("the mask"));
    }
    for i in 0..5 {
        let error = refused(&|m| m[i] += F::ONE);
        assert!(matches!(error, VerifyError::Opening(_)), "{error}");
    }
    let mut plain = Lab::new(&Spec::default()).forge(&mut Attack::default());
    plain.proof.mask.push(EF::ZERO);
    let lab = Lab::new(&Spec::default());
    let error = verify(lab.prover.verifying_key(), &plain.statement, &plain.proof);
    assert_eq!(error, Err(VerifyError::Shape("the mask")));
}

#[test]
fn private_weights_are_committed_to_anew_and_public_ones_reproducibly() {
    let model = mlp(&Spec::default());
    let commit = |privacy| {
        let prover = Prover::<P>::new(model.clone(), &Profile::LATENCY, privacy);
        prover.expect("it sets up").verifying_key().key.clone()
    };
    for privacy in [Privacy::None, Privacy::Data] {
        assert_eq!(commit(privacy).to_bytes(), commit(privacy).to_bytes());
    }
    let [a, b] = [commit(WEIGHTS), commit(WEIGHTS)];
    assert_ne!(a.weights, b.weights);
    assert_eq!(a.fixed, b.fixed);
}

#[test]
fn a_proving_key_keeps_the_mask_of_its_weights() {
    let model = mlp(&Spec::default());
    let x = input(&model, 7);
    let prover = Prover::<P>::new(model, &Profile::LATENCY, WEIGHTS).expect("it sets up");
    let loaded = Prover::<P>::from_bytes(&prover.to_bytes()).expect("its own key");
    assert_eq!(loaded.verifying_key().digest, prover.verifying_key().digest);
    let evaluation = loaded.evaluate(&x).expect("it evaluates");
    let file = loaded
        .prove(&evaluation, &Policy::default())
        .expect("it proves");
    verify_file(prover.verifying_key(), &file).expect("it verifies");
}

#[test]
fn rejects_keys_for_no_proofs_or_too_many() {
    let model = mlp(&Spec::default());
    for proofs in [0, (1 << 16) + 1, u32::MAX] {
        let privacy = Privacy::DataAndWeights { proofs };
        let error = Prover::<P>::new(model.clone(), &Profile::LATENCY, privacy).err();
        assert_eq!(error, Some(KeyError::Proofs(proofs).into()));
    }
}

#[test]
fn keys_of_different_privacy_are_different_keys() {
    // A proof under one key is refused under another that differs in what it promises to hide.
    let lab = lab(Privacy::Data, Policy::default());
    let file = lab.forge(&mut Attack::default());
    let mut key = lab.prover.verifying_key().key.clone();
    key.privacy = Privacy::None;
    let prepared = key.clone().prepare().expect("it is sound by itself");
    assert_eq!(prepared.audit(), Err(KeyError::Fixed));
    key.privacy = WEIGHTS;
    let prepared = key.prepare().expect("it is sound by itself");
    assert!(verify(&prepared, &file.statement, &file.proof).is_err());
}
