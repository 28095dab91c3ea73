//! Renewing a key with private weights, through the command line: the successor is good, the old key
//! is not any more, and nothing else passes for a successor.

mod support;

use support::{Fixture, testdata};

fn fixture() -> Fixture {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    fixture.setup("k", "--weights private --proofs 2");
    fixture
}

const VERIFY: &str = "verify --vk k/model.vk --successor k2/model.vk k2/model.rekey";

#[test]
fn a_key_is_replaced_once() {
    let fixture = fixture();
    fixture
        .run("prove k/model.pk --input x.json -o a.proof")
        .expect(0);
    let report = fixture
        .run("rekey k/model.pk -o k2 --json")
        .expect(0)
        .json();
    assert_eq!(report["proofs_left"], 2);
    let verified = fixture.run(&format!("{VERIFY} --json")).expect(0).json();
    for key in ["old_vk_digest", "new_vk_digest"] {
        assert_eq!(verified[key], report[key]);
    }
    // The new key proves, the old one does not, though a proof was left.
    fixture
        .run("prove k2/model.pk --input x.json -o b.proof")
        .expect(0);
    fixture.run("verify --vk k2/model.vk b.proof").expect(0);
    fixture.run("verify --vk k/model.vk a.proof").expect(0);
    fixture
        .run("prove k/model.pk --input x.json -o c.proof")
        .expect(5)
        .says("replaced");
    assert!(!fixture.path("c.proof").exists());
    let left = fixture.run("inspect k/model.pk --json").expect(0).json();
    assert_eq!(left["proofs_left"], 0);
    fixture
        .run("rekey k/model.pk -o k3")
        .expect(5)
        .says("replaced");
    assert!(!fixture.path("k3/model.rekey").exists());
    let inspected = fixture
        .run("inspect k2/model.rekey --json")
        .expect(0)
        .json();
    assert_eq!(inspected["new_vk_digest"], report["new_vk_digest"]);
    // A successor has a successor.
    fixture.run("rekey k2/model.pk -o k3").expect(0);
    fixture
        .run("verify --vk k2/model.vk --successor k3/model.vk k3/model.rekey")
        .expect(0);
}

#[test]
fn a_spent_key_is_replaced() {
    let fixture = fixture();
    for name in ["a", "b"] {
        fixture
            .run(&format!("prove k/model.pk --input x.json -o {name}.proof"))
            .expect(0);
    }
    fixture
        .run("prove k/model.pk --input x.json -o c.proof")
        .expect(5)
        .says("rekey");
    fixture.run("rekey k/model.pk -o k2").expect(0);
    fixture.run(VERIFY).expect(0);
}

#[test]
fn rejects_what_is_no_successor() {
    let fixture = fixture();
    fixture.run("rekey k/model.pk -o k2").expect(0);
    fixture.setup("other", "--weights private --proofs 2");
    fixture.setup("longer", "--weights private --proofs 3");
    for (old, new) in [
        ("k", "other"),
        ("k", "longer"),
        ("k2", "k"),
        ("k", "k"),
        ("other", "k2"),
    ] {
        let verify =
            format!("verify --vk {old}/model.vk --successor {new}/model.vk k2/model.rekey");
        fixture.run(&verify).expect(1);
    }
    let good = std::fs::read(fixture.path("k2/model.rekey")).expect("the proof");
    for at in [20, good.len() / 2, good.len() - 9] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(fixture.path("k2/model.rekey"), bad).expect("written");
        let run = fixture.run(VERIFY);
        assert!(run.code == 1 || run.code == 4, "{run:?}");
    }
    std::fs::write(fixture.path("k2/model.rekey"), &good[..good.len() / 2]).expect("written");
    fixture.run(VERIFY).expect(4);
    // A proof of an inference is no rekey proof.
    fixture
        .run("prove k2/model.pk --input x.json -o a.proof")
        .expect(0);
    fixture
        .run("verify --vk k/model.vk --successor k2/model.vk a.proof")
        .expect(4);
}

#[test]
fn refuses_to_begin_what_cannot_end() {
    let fixture = fixture();
    fixture
        .run("rekey k/model.pk -o k")
        .expect(2)
        .says("overwrite");
    fixture.setup("public", "");
    fixture
        .run("rekey public/model.pk -o k2")
        .expect(2)
        .says("public");
    std::fs::write(fixture.path("file"), "in the way").expect("written");
    fixture.run("rekey k/model.pk -o file").expect(2);
    // None of this has used the key up.
    fixture.run("rekey k/model.pk -o k2").expect(0);
    fixture.run(VERIFY).expect(0);
}
