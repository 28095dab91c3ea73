//! Attestations through the command line: a key's weights are shown to overflow nothing, for public
//! and private weights; nothing else passes for that; and what it costs of the budget is counted.

mod support;

use support::{Fixture, testdata};

fn fixture(name: &str) -> Fixture {
    Fixture::empty(&testdata().join("models").join(name))
}

const VERIFY: &str = "verify --vk k/model.vk k/model.attest";

#[test]
fn every_model_is_attested() {
    for name in support::BUNDLED {
        for options in ["--attest", "--attest --no-zk", "--attest --profile p128"] {
            let fixture = fixture(name);
            fixture.setup("k", options);
            let verified = fixture.run(&format!("{VERIFY} --json")).expect(0).json();
            assert_eq!(verified["kind"], "attestation");
            let inspected = fixture.run("inspect k/model.attest --json").expect(0);
            assert_eq!(inspected.json()["vk_digest"], verified["vk_digest"]);
        }
        let fixture = fixture(name);
        fixture.setup("k", "");
        assert!(!fixture.path("k/model.attest").exists());
    }
}

#[test]
fn costs_one_proof_of_private_weights_and_leaves_those_asked_for() {
    let fixture = fixture("adult-income-mlp");
    fixture.setup("k", "--weights private --proofs 1 --attest");
    fixture.run(VERIFY).expect(0);
    let key = fixture.run("inspect k/model.pk --json").expect(0).json();
    assert_eq!(key["proofs_left"], 1);
    let onnx = fixture.model.join("model.onnx");
    let setup = "setup {} --weights private --proofs 3 --attest -o m --json";
    let made = support::provenn(fixture.dir.path(), setup, &[&onnx]).expect(0);
    assert_eq!(made.json()["proofs"], 4);
    assert_eq!(made.json()["proofs_left"], 3);
    fixture
        .run("prove k/model.pk --input x.json -o a.proof")
        .expect(0);
    fixture.run("verify --vk k/model.vk a.proof").expect(0);
    fixture
        .run("prove k/model.pk --input x.json -o b.proof")
        .expect(5);
    let onnx = fixture.model.join("model.onnx");
    let most = "setup {} --weights private --proofs 65536 --attest -o l";
    support::provenn(fixture.dir.path(), most, &[&onnx])
        .expect(2)
        .says("65535");
    assert!(!fixture.path("l").exists());
}

#[test]
fn is_refused_where_it_takes_more_memory_than_allowed() {
    let fixture = fixture("mlp2_mnist");
    let onnx = fixture.model.join("model.onnx");
    let setup = "setup {} --profile latency --max-memory 48M";
    support::provenn(fixture.dir.path(), &format!("{setup} -o k"), &[&onnx]).expect(0);
    support::provenn(
        fixture.dir.path(),
        &format!("{setup} --attest -o l"),
        &[&onnx],
    )
    .expect(5)
    .says("--attest");
    assert!(!fixture.path("l").exists());
}

#[test]
fn what_cannot_be_written_does_not_leave_an_attestation() {
    let fixture = fixture("adult-income-mlp");
    // The proving key cannot be put where a directory is: then nothing counts the attestation.
    std::fs::create_dir_all(fixture.path("k/model.pk/in the way")).expect("made");
    let onnx = fixture.model.join("model.onnx");
    let setup = "setup {} --weights private --attest -o k";
    support::provenn(fixture.dir.path(), setup, &[&onnx]).expect(2);
    assert!(!fixture.path("k/model.attest").exists());
}

#[test]
fn rejects_what_is_no_attestation_of_the_key() {
    let fixture = fixture("adult-income-mlp");
    fixture.setup("k", "--attest --weights private");
    fixture.setup("other", "--attest --weights private");
    fixture.setup("public", "--attest");
    for (key, attested) in [
        ("k", "other"),
        ("other", "k"),
        ("k", "public"),
        ("public", "k"),
    ] {
        fixture
            .run(&format!(
                "verify --vk {key}/model.vk {attested}/model.attest"
            ))
            .expect(1)
            .says("another verifying key");
    }
    fixture
        .run(&format!("{VERIFY} --input x.json"))
        .expect(2)
        .says("no input");
    fixture
        .run("verify --vk k/model.vk --successor k/model.vk k/model.attest")
        .expect(4);
    let good = std::fs::read(fixture.path("k/model.attest")).expect("the attestation");
    for at in [12, 20, good.len() / 2, good.len() - 9] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(fixture.path("k/model.attest"), bad).expect("written");
        let run = fixture.run(VERIFY);
        assert!(run.code == 1 || run.code == 4, "{run:?}");
    }
    std::fs::write(fixture.path("k/model.attest"), &good[..good.len() / 2]).expect("written");
    fixture.run(VERIFY).expect(4);
    // A proof of an inference under the name of an attestation is still one of an inference.
    fixture
        .run("prove k/model.pk --input x.json -o k/model.attest")
        .expect(0);
    let verified = fixture.run(&format!("{VERIFY} --json")).expect(0).json();
    assert!(verified["kind"].is_null());
}

#[test]
fn a_successor_needs_no_attestation_of_its_own() {
    let fixture = fixture("adult-income-mlp");
    fixture.setup("k", "--attest --weights private --proofs 1");
    fixture.run("rekey k/model.pk -o k2").expect(0);
    fixture.run(VERIFY).expect(0);
    fixture
        .run("verify --vk k/model.vk --successor k2/model.vk k2/model.rekey")
        .expect(0);
}
