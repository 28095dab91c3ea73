//! What must be refused: changed artefacts, malformed files, wrong usage. Each with the documented
//! exit code and a message naming the file; nothing may be left half-written, nothing may panic.

mod support;

use std::path::Path;

use support::{Fixture, provenn, testdata};

fn mlp() -> Fixture {
    Fixture::proved(&testdata().join("models/adult-income-mlp"))
}

#[test]
fn rejects_another_input_output_or_model() {
    let fixture = mlp();
    fixture
        .run("verify --vk k/model.vk x.proof --input x.json")
        .expect(0);
    let mut other = fixture.input();
    other[0] += 0.25;
    fixture.write_input("other.json", &other);
    let run = fixture.run("verify --vk k/model.vk x.proof --input other.json");
    run.expect(1).says("another input");

    let proved = fixture
        .run("verify --vk k/model.vk x.proof --json")
        .expect(0)
        .json();
    let output = proved["output"][0][0].as_f64().expect("a number");
    fixture.write_input("y.json", &[output]);
    fixture
        .run("verify --vk k/model.vk x.proof --output y.json")
        .expect(0);
    let printed = fixture.run("prove k/model.pk --input x.json --json").stdout;
    std::fs::write(fixture.path("printed.json"), printed).expect("written");
    fixture
        .run("verify --vk k/model.vk x.proof --output printed.json")
        .expect(0);
    fixture.write_input("y.json", &[output + 0.01]);
    let run = fixture.run("verify --vk k/model.vk x.proof --output y.json");
    run.expect(1).says("another output");

    // The same model quantised otherwise is another model.
    fixture.setup("other", "--bits 11");
    let run = fixture.run("verify --vk other/model.vk x.proof");
    assert!([1, 4].contains(&run.code), "{run:?}");
    let logreg = Fixture::proved(&testdata().join("models/logreg_cancer"));
    let run = provenn(
        fixture.dir.path(),
        "verify --vk {} x.proof",
        &[&logreg.path("k/model.vk")],
    );
    assert!([1, 4].contains(&run.code), "{run:?}");
}

#[test]
fn rejects_every_changed_byte_it_tries() {
    let fixture = mlp();
    for (file, args) in [
        ("x.proof", "verify --vk k/model.vk bad"),
        ("k/model.vk", "verify --vk bad x.proof"),
    ] {
        let good = std::fs::read(fixture.path(file)).expect(file);
        let step = (good.len() / 24).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(fixture.path("bad"), &bad).expect("written");
            let run = fixture.run(args);
            assert!(
                [1, 4, 5].contains(&run.code),
                "byte {at} of {file}: {run:?}"
            );
            assert!(!run.stderr.contains("panicked"), "{run:?}");
        }
        for len in [0, 1, 11, 12, 13, good.len() / 2, good.len() - 1] {
            std::fs::write(fixture.path("bad"), &good[..len]).expect("written");
            let run = fixture.run(args).expect(4);
            assert!(run.stderr.contains("bad"), "the file is named: {run:?}");
        }
        let mut longer = good.clone();
        longer.push(0);
        std::fs::write(fixture.path("bad"), &longer).expect("written");
        let run = fixture.run(args);
        assert!([4, 5].contains(&run.code), "{run:?}");
    }
}

#[test]
fn rejects_damaged_proving_keys() {
    let fixture = mlp();
    let good = std::fs::read(fixture.path("k/model.pk")).expect("the key");
    let step = (good.len() / 24).max(1);
    for at in (0..good.len()).step_by(step) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(fixture.path("bad.pk"), &bad).expect("written");
        let run = fixture.run("prove bad.pk --input x.json -o never.proof");
        // A flipped byte of a name is still a key, but another one: its digest differs, and its
        // verifying key inside no longer matches.
        assert_ne!(run.code, 0, "byte {at}: {run:?}");
        assert_ne!(run.code, 101, "byte {at}: {run:?}");
        assert!(!fixture.files().contains(&"never.proof".to_owned()));
    }
}

#[test]
fn rejects_wrong_inputs_naming_file_and_tensor() {
    let fixture = mlp();
    let cases: [(&str, &str); 6] = [
        (r#"{"input_data": [[1, 2, 3]]}"#, "x"),
        (r#"{"input_data": [[]]}"#, "bad.json"),
        (r#"{"data": [[1]]}"#, "input_data"),
        (r#"{"input_data": [["a"]]}"#, "bad.json"),
        (r#"{"input_data": [[1"#, "bad.json"),
        ("", "bad.json"),
    ];
    for (content, named) in cases {
        std::fs::write(fixture.path("bad.json"), content).expect("written");
        fixture
            .run("prove k/model.pk --input bad.json -o never.proof")
            .expect(2)
            .says(named);
    }
    fixture
        .run("prove k/model.pk --input missing.json -o never.proof")
        .expect(2)
        .says("missing.json");
    assert!(!fixture.files().contains(&"never.proof".to_owned()));
}

#[test]
fn rejects_damaged_models_without_panicking() {
    let fixture = Fixture::empty(&testdata().join("models/mlp2_mnist"));
    let good = std::fs::read(fixture.model.join("model.onnx")).expect("the model");
    let run = |bytes: &[u8]| {
        std::fs::write(fixture.path("bad.onnx"), bytes).expect("written");
        let run = fixture.run("setup bad.onnx -o never");
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        run
    };
    for len in [0, 10, good.len() / 3, good.len() - 3] {
        let run = run(&good[..len]);
        assert!([3, 4].contains(&run.code), "{len}: {run:?}");
        assert!(run.stderr.contains("bad.onnx"), "{run:?}");
    }
    assert!(!fixture.path("never").exists(), "nothing half-written");
    // Somewhere among the weights: not a number.
    let mut nan = good.clone();
    let at = nan.len() / 2;
    for b in &mut nan[at..at + 8] {
        *b = 0xff;
    }
    let run = run(&nan).expect(4);
    assert!(run.stderr.contains("NaN"), "{run:?}");
}

#[test]
fn rejects_unsupported_operators_by_name() {
    let fixture = Fixture::empty(&testdata().join("models/mlp2_mnist"));
    let good = std::fs::read(fixture.model.join("model.onnx")).expect("the model");
    // The operator's name in the file, replaced by another of the same length.
    let mut bad = good.clone();
    let at = find(&bad, b"Relu").expect("the model has a Relu");
    let mut positions = vec![at];
    while let Some(next) = find(&bad[positions[positions.len() - 1] + 1..], b"Relu") {
        let last = positions[positions.len() - 1];
        positions.push(last + 1 + next);
    }
    for at in positions {
        bad[at..at + 4].copy_from_slice(b"Selu");
    }
    std::fs::write(fixture.path("bad.onnx"), &bad).expect("written");
    fixture
        .run("setup bad.onnx -o never")
        .expect(3)
        .says("Selu")
        .says("provenn operators");
    let json = fixture
        .run("setup bad.onnx -o never --json")
        .expect(3)
        .json();
    assert_eq!(json["exit_code"], 3);
    assert_eq!(json["error"], "unsupported");
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[test]
fn rejects_wrong_usage() {
    let fixture = mlp();
    for args in [
        "",
        "prove",
        "verify x.proof",
        "setup missing.onnx -o k",
        "prove k/model.pk --input x.json --profile nonsense",
        "prove k/model.pk --input x.json --bits 40",
        "prove k/model.pk --input x.json --bits 12",
        "prove k/model.pk --input x.json --target-error 0.01",
        "setup missing.onnx -o k --target-error NaN",
        "setup missing.onnx -o k --target-error 0",
        "prove k/model.pk --input x.json --profile latency",
        "run k/model.pk --input x.json --float",
        "run k/model.pk --input x.json --shape x=1x29",
        "prove k/model.pk --input x.json --calibrate x.json",
        "verify --vk missing.vk x.proof",
        "prove k --input x.json",
    ] {
        fixture.run(args).expect(2);
    }
    // A proof where a key is wanted, and the other way round.
    fixture
        .run("verify --vk x.proof x.proof")
        .expect(4)
        .says("not a verifying key");
    fixture
        .run("verify --vk k/model.vk k/model.vk")
        .expect(4)
        .says("not a proof");
    fixture
        .run("prove k/model.vk --input x.json")
        .expect(4)
        .says("not a proving key");
}

/// `verify --model` makes the key again and compares: another network, other options or one changed
/// weight are noticed. Private weights are not comparable, and that is no acceptance.
#[test]
fn rejects_a_key_that_is_not_the_models() {
    let fixture = mlp();
    let (onnx, refs) = (
        fixture.model.join("model.onnx"),
        fixture.model.join("refs.npz"),
    );
    let verify = |key: &str, onnx: &Path, options: &str| {
        let args = format!("verify --vk {key}/model.vk {key}.proof --model {{}} {options}");
        provenn(fixture.dir.path(), &args, &[onnx, &refs])
    };
    for (key, setup) in [
        ("plain", ""),
        ("none", "--no-zk --profile compact"),
        ("wide", "--bits 14 --profile p128"),
        ("hidden", "--weights private --proofs 1"),
    ] {
        fixture.setup(key, setup);
        let show = "--input-visibility public";
        fixture
            .run(&format!(
                "prove {key}/model.pk --input x.json {show} -o {key}.proof"
            ))
            .expect(0);
    }
    let same = "--calibrate {}";
    let run = verify("plain", &onnx, same).expect(0);
    assert!(run.stdout.contains("the one `setup` makes of"), "{run:?}");
    verify("none", &onnx, same).expect(0);
    verify("wide", &onnx, "--calibrate {} --bits 14").expect(0);
    verify("wide", &onnx, same)
        .expect(1)
        .says("layers or scales");
    verify("plain", &onnx, "").expect(1).says("--calibrate");
    verify("hidden", &onnx, same)
        .expect(1)
        .says("are those of")
        .says("its weights are private and cannot be compared");
    verify("hidden", &onnx, "")
        .expect(1)
        .says("layers or scales");

    // One weight of the first layer, by a part of its size.
    let mut changed = std::fs::read(&onnx).expect("the model");
    changed[802] ^= 0x40;
    std::fs::write(fixture.path("changed.onnx"), changed).expect("written");
    verify("plain", &fixture.path("changed.onnx"), same)
        .expect(1)
        .says("changed.onnx: its weights are others");
    let other = testdata().join("models/logreg_cancer/model.onnx");
    verify("plain", &other, "")
        .expect(1)
        .says("layers or scales");
    fixture
        .run("verify --vk plain/model.vk plain.proof --bits 12")
        .expect(2)
        .says("--model");
}

#[test]
fn rejects_more_memory_than_allowed() {
    let fixture = mlp();
    let onnx = fixture.model.join("model.onnx");
    let args = "setup {} -o big --max-memory 1M";
    provenn(fixture.dir.path(), args, &[&onnx])
        .expect(5)
        .says("memory");
    assert!(!fixture.path("big").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn leaves_nothing_behind_on_a_full_disk() {
    let fixture = mlp();
    let before = fixture.files();
    // Every write to /dev/full fails as on a full disk.
    for target in ["/dev/full", "no/such/dir/x.proof"] {
        let args = "prove k/model.pk --input x.json -o {}";
        provenn(fixture.dir.path(), args, &[Path::new(target)])
            .expect(2)
            .says(target);
    }
    assert!(!Path::new("/dev/full").is_file(), "still a device");
    assert_eq!(fixture.files(), before);
}
