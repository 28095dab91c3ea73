//! What people see: help pages, one success and one failure of each command. A change of wording
//! shows as a diff; `PROVENN_BLESS=1` writes the new text.

mod support;

use std::path::{Path, PathBuf};

use support::{Fixture, Run, provenn, testdata};

/// Compares text with `snapshots/NAME.txt`.
fn matches(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("PROVENN_BLESS").is_some() {
        std::fs::write(&file, text).expect("writable");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{} is stale", file.display());
}

/// Everything printed, with what differs from run to run (times, temporary paths, the size of a
/// proof, which depends on where its random queries fall) made the same every time.
fn stable(run: &Run, dir: &Path) -> String {
    let text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        run.code, run.stdout, run.stderr
    );
    let text = text.replace(&dir.display().to_string(), "DIR");
    let text = text.replace(&testdata().display().to_string(), "TESTDATA");
    text.lines()
        .map(|line| {
            let unsized_proof = line.split_once("x.proof (").map(|(head, _)| head);
            match unsized_proof {
                _ if line.starts_with("time ") => "time         …".to_owned(),
                _ if line.starts_with("predicted ") => "predicted    …".to_owned(),
                Some(head) => format!("{head}x.proof (…)"),
                None => line.trim_end().to_owned(),
            }
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn matches_the_help_pages() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut text = provenn(dir.path(), "--help", &[]).expect(0).stdout;
    for command in [
        "setup", "prove", "verify", "run", "accuracy", "check", "inspect",
    ] {
        text.push_str(&format!("\n===== {command}\n"));
        text.push_str(
            &provenn(dir.path(), &format!("{command} --help"), &[])
                .expect(0)
                .stdout,
        );
    }
    matches("help", &text);
}

#[test]
fn matches_what_commands_print() {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    let dir: PathBuf = fixture.dir.path().canonicalize().expect("a path");
    let (onnx, refs) = (
        fixture.model.join("model.onnx"),
        fixture.model.join("refs.npz"),
    );
    let mut text = String::new();
    let mut show = |title: &str, run: Run| {
        text.push_str(&format!("===== {title}\n{}\n", stable(&run, &dir)));
    };
    let setup = provenn(&dir, "setup {} --calibrate {} -o k", &[&onnx, &refs]);
    show("setup", setup);
    show(
        "setup, no such file",
        fixture.run("setup missing.onnx -o k"),
    );
    show(
        "prove",
        fixture.run("prove k/model.pk --input x.json -o x.proof"),
    );
    show(
        "prove, a key instead of data",
        fixture.run("prove k/model.pk --input k/model.vk"),
    );
    show("verify", fixture.run("verify --vk k/model.vk x.proof"));
    show(
        "verify, the input is hidden",
        fixture.run("verify --vk k/model.vk x.proof --input x.json"),
    );
    std::fs::write(fixture.path("bad.proof"), b"PROVENN?").expect("written");
    show(
        "verify, not a proof",
        fixture.run("verify --vk k/model.vk bad.proof"),
    );
    show("run", fixture.run("run k/model.pk --input x.json"));
    show("run, wrong length", {
        fixture.write_input("short.json", &[1.0, 2.0]);
        fixture.run("run k/model.pk --input short.json")
    });
    show(
        "accuracy",
        provenn(&dir, "accuracy {} --data {}", &[&onnx, &refs]),
    );
    show("check", fixture.run("check k/model.pk --input x.json"));
    show(
        "inspect, a verifying key",
        fixture.run("inspect k/model.vk"),
    );
    show("inspect, a proof", fixture.run("inspect x.proof"));
    show("inspect, neither", fixture.run("inspect x.json"));
    matches("commands", &text);
}
