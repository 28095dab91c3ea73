//! `setup`, `prove` and `verify` in three processes, on real models. Fails if a proof made by one
//! process is not accepted by another that has only the verifying key and the proof, or if `verify`
//! accepts anything that was changed.

mod support;

use serde_json::Value;
use support::{Fixture, models, provenn, testdata};

#[test]
fn accepts_every_dense_model_in_three_processes() {
    for folder in models() {
        let fixture = Fixture::proved(&folder);
        // Nothing but these two files is there to verify with.
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        for (from, to) in [("k/model.vk", "model.vk"), ("x.proof", "x.proof")] {
            std::fs::copy(fixture.path(from), elsewhere.path().join(to)).expect("copied");
        }
        let run = provenn(elsewhere.path(), "verify --vk model.vk x.proof --json", &[]).expect(0);
        let verified = run.json();
        assert_eq!(verified["accepted"], true, "{}", folder.display());
        assert!(verified["security_bits"].as_u64() >= Some(100));
        let text = provenn(elsewhere.path(), "verify --vk model.vk x.proof", &[]).expect(0);
        for what in ["accepted", "model", "input", "output", "bits proven"] {
            assert!(text.stdout.contains(what), "no {what:?} in {}", text.stdout);
        }
    }
}

#[test]
fn matches_the_reference_outputs() {
    for folder in models() {
        let fixture = Fixture::empty(&folder);
        fixture.setup("k", "");
        let proved = fixture
            .run("prove k/model.pk --input x.json --json")
            .expect(0)
            .json();
        let ran = fixture
            .run("run k/model.pk --input x.json --json")
            .expect(0)
            .json();
        assert_eq!(
            proved["output"], ran["output"],
            "proved and run agree exactly"
        );
        let onnx = folder.join("model.onnx");
        let float = provenn(
            fixture.dir.path(),
            "run {} --input x.json --float --json",
            &[&onnx],
        );
        let float = float.expect(0).json();
        let numbers = |v: &Value| -> Vec<f64> {
            let list = v["output"][0].as_array().expect("a list");
            list.iter().map(|x| x.as_f64().expect("a number")).collect()
        };
        let (a, b) = (numbers(&proved), numbers(&float));
        let (lo, hi) = b
            .iter()
            .fold((0.0f64, 0.0f64), |(l, h), &x| (l.min(x), h.max(x)));
        let worst = a
            .iter()
            .zip(&b)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max);
        assert!(
            worst <= 0.01 * (hi - lo).max(0.1),
            "{}: {worst}",
            folder.display()
        );
    }
}

#[test]
fn matches_float_accuracy_within_the_stated_error() {
    for folder in models() {
        let (onnx, refs) = (folder.join("model.onnx"), folder.join("refs.npz"));
        let run = provenn(&folder, "accuracy {} --data {} --json", &[&onnx, &refs]);
        let accuracy = run.expect(0).json();
        let number = |key: &str| accuracy[key].as_f64().expect("a number");
        assert!(
            number("agreement") >= 0.995,
            "{}: {accuracy}",
            folder.display()
        );
        assert!(
            number("max_relative_error") <= 0.003,
            "{}: {accuracy}",
            folder.display()
        );
    }
}

#[test]
fn accepts_an_onnx_file_set_up_on_the_fly() {
    let fixture = Fixture::empty(&testdata().join("models/mlp2_mnist"));
    let onnx = fixture.model.join("model.onnx");
    let run = provenn(
        fixture.dir.path(),
        "prove {} --input x.json --input-visibility public",
        &[&onnx],
    )
    .expect(0);
    assert!(run.stderr.contains("warning: calibrated on"), "{run:?}");
    fixture
        .run("verify --vk model.vk model.proof --input x.json")
        .expect(0);
}

#[test]
fn prove_reports_what_the_contract_names() {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    fixture.setup("k", "");
    let report = fixture
        .run("prove k/model.pk --input x.json --json")
        .expect(0)
        .json();
    let keys = [
        "output",
        "prove_ms",
        "setup_ms",
        "verify_ms",
        "proof_bytes",
        "peak_rss_bytes",
        "committed_cells",
        "security_bits",
        "schema",
        "version",
    ];
    for key in keys {
        assert!(!report[key].is_null(), "no {key} in {report}");
    }
    let size = std::fs::metadata(fixture.path("model.proof"))
        .expect("the proof")
        .len();
    assert_eq!(report["proof_bytes"].as_u64(), Some(size));
}

#[test]
fn accepts_every_profile_and_width() {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    for options in [
        "--profile latency --bits 8",
        "--profile compact --bits 10",
        "--profile throughput --bits 14",
        "--profile p128 --bits 16",
    ] {
        fixture.setup("k", options);
        fixture
            .run("prove k/model.pk --input x.json --input-visibility public -o x.proof")
            .expect(0);
        fixture
            .run("verify --vk k/model.vk x.proof --input x.json")
            .expect(0);
        fixture.run("check k/model.pk --input x.json").expect(0);
    }
}

#[test]
fn accepts_a_batch() {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    let row = fixture.input();
    let batch: Vec<f64> = row
        .iter()
        .chain(row.iter())
        .chain(row.iter())
        .copied()
        .collect();
    fixture.write_input("batch.json", &batch);
    let onnx = fixture.model.join("model.onnx");
    let args =
        "prove {} --shape x=3x29 --input batch.json --input-visibility public -o b.proof --json";
    let report = provenn(fixture.dir.path(), args, &[&onnx]).expect(0).json();
    let output = report["output"][0].as_array().expect("a list");
    assert_eq!(output.len(), 3);
    assert!(
        output.iter().all(|y| y == &output[0]),
        "equal items give equal outputs"
    );
    fixture
        .run("verify --vk b.vk b.proof --input batch.json")
        .expect(0);
}

#[test]
fn saturates_rather_than_fails_on_extreme_inputs() {
    let fixture = Fixture::empty(&testdata().join("models/mlp2_mnist"));
    fixture.setup("k", "");
    let n = fixture.input().len();
    let alternating = |i: usize| if i.is_multiple_of(2) { 1e30 } else { -1e30 };
    let extremes: [Vec<f64>; 4] = [
        vec![1e30; n],
        vec![-1e30; n],
        vec![0.0; n],
        (0..n).map(alternating).collect(),
    ];
    for values in extremes {
        fixture.write_input("extreme.json", &values);
        fixture
            .run("prove k/model.pk --input extreme.json --input-visibility public -o e.proof")
            .expect(0);
        fixture
            .run("verify --vk k/model.vk e.proof --input extreme.json")
            .expect(0);
    }
}

#[test]
fn keys_with_public_weights_are_the_same_every_time_and_others_never() {
    let fixture = Fixture::empty(&testdata().join("models/mlp2_mnist"));
    for (options, same) in [("", true), ("--weights private --proofs 1", false)] {
        fixture.setup("a", options);
        fixture.setup("b", options);
        for name in ["model.pk", "model.vk"] {
            let read = |dir: &str| std::fs::read(fixture.path(dir).join(name)).expect(name);
            assert_eq!(read("a") == read("b"), same, "{name}, {options:?}");
        }
    }
}

/// An error that 12 bits miss: other widths are tried, and the JSON says which were taken.
#[test]
fn takes_as_many_bits_as_a_target_error_asks_for() {
    let folder = testdata().join("models").join("adult-income-mlp");
    let (onnx, refs) = (folder.join("model.onnx"), folder.join("refs.npz"));
    let run = |options: &str| {
        let args = format!("accuracy {{}} --data {{}} --calibrate {{}} --json {options}");
        let report = provenn(&folder, &args, &[&onnx, &refs, &refs]);
        let report = report.expect(0).json();
        let number = |key: &str| report[key].as_f64().expect("a number");
        (number("bits"), number("max_relative_error"))
    };
    let (bits, error) = run("");
    assert_eq!(bits, 12.0);
    let (more, smaller) = run(&format!("--target-error {}", error / 2.0));
    assert!(more > bits && smaller < error, "{more} bits: {smaller}");
}
