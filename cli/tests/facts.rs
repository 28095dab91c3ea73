//! Digests, bounds and ranks of hidden data, through the command line: they prove, say what they say,
//! can be compared with the data by whoever has it, and with nothing else.

mod support;

use serde_json::{Value, json};
use support::{Fixture, Run, testdata};

fn fixture(model: &str, options: &str) -> Fixture {
    let fixture = Fixture::empty(&testdata().join("models").join(model));
    fixture.setup("k", options);
    fixture
}

const PROVE: &str = "prove k/model.pk --input x.json -o x.proof";
const VERIFY: &str = "verify --vk k/model.vk x.proof";

impl Fixture {
    fn prove(&self, options: &str) -> Run {
        self.run(&format!("{PROVE} {options}"))
    }

    fn verify(&self, options: &str) -> Run {
        self.run(&format!("{VERIFY} {options}"))
    }

    /// Another input than `x.json`, far enough away to be another one in integers.
    fn write_other(&self) {
        let mut values = self.input();
        for v in &mut values {
            *v = -*v;
        }
        values[0] += 1.0;
        self.write_input("other.json", &values);
    }
}

#[test]
fn a_digest_is_of_the_input_it_was_made_of() {
    let fixture = fixture("adult-income-mlp", "");
    fixture.write_other();
    for hash in ["sha256", "poseidon2"] {
        let run = fixture.prove(&format!("--input-visibility hashed --hash {hash}"));
        assert!(run.expect(0).stdout.contains("input (but for its"));
        let report = fixture.verify("--json").expect(0).json();
        assert_eq!(report["visibility"]["input"], "hashed");
        assert_eq!(report["input"], json!([[]]));
        let digest = &report["input_facts"][0]["digest"];
        assert_eq!(
            (&digest["hash"], &digest["salted"]),
            (&json!(hash), &json!(true))
        );
        // `provenn hash` comes to the same digest.
        let hashed = format!("hash x.json --vk k/model.vk --salt x.salt --hash {hash} --json");
        let hashed = fixture.run(&hashed).expect(0).json();
        assert_eq!(hashed["digests"][0]["hex"], digest["hex"]);
        // Whoever has input and salt can compare, nobody else.
        fixture.verify("--input x.json --salt x.salt").expect(0);
        let salt = std::fs::read_to_string(fixture.path("x.salt")).expect("salts");
        fixture
            .verify("--input other.json --salt x.salt")
            .expect(1)
            .says("another input");
        fixture
            .verify("--input x.json")
            .expect(2)
            .says("--salt is needed");
        fixture
            .run("hash x.json --vk k/model.vk --salt new.salt")
            .expect(0);
        if hash == "sha256" {
            fixture
                .verify("--input x.json --salt new.salt")
                .expect(1)
                .says("another salt");
        }
        // The salt is not in the proof.
        let salts: Value = serde_json::from_str(&salt).expect("JSON");
        let salt = salts["salts"]
            .as_object()
            .and_then(|m| m.values().next()?.as_str());
        let salt = unhex(salt.expect("a salt"));
        let proof = std::fs::read(fixture.path("x.proof")).expect("the proof");
        assert!(!proof.windows(8).any(|w| w == &salt[..8]));
        for name in ["x.salt", "new.salt"] {
            let _ = std::fs::remove_file(fixture.path(name));
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn sha256_of_the_bytes_is_the_digest() {
    use sha2::Digest;
    let fixture = fixture("adult-income-mlp", "");
    let run = fixture.prove("--input-visibility hashed --unsalted");
    run.expect(0).says("can confirm");
    let report = fixture.verify("--json").expect(0).json();
    let stated = report["input_facts"][0]["digest"]["hex"].clone();
    let hash = "hash x.json --vk k/model.vk --unsalted --bytes x.bin --json";
    fixture.run(hash).expect(0).says("can confirm");
    let bytes = std::fs::read(fixture.path("x.bin")).expect("the bytes");
    let digest: String = (sha2::Sha256::digest(&bytes).iter())
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(stated, digest);
    fixture.verify("--input x.json").expect(0);
    // A salt makes another digest of the same bytes.
    fixture
        .prove("--input-visibility hashed --salt my.salt")
        .expect(0);
    let report = fixture.verify("--json").expect(0).json();
    assert_ne!(report["input_facts"][0]["digest"]["hex"], digest);
    fixture.verify("--input x.json --salt my.salt").expect(0);
    // The same salt, the same digest, in another proof.
    let first = report["input_facts"].clone();
    fixture
        .prove("--input-visibility hashed --salt my.salt")
        .expect(0);
    assert_eq!(
        fixture.verify("--json").expect(0).json()["input_facts"],
        first
    );
}

#[test]
fn an_output_can_be_hashed_and_ranked() {
    let fixture = fixture("mlp2_mnist", "");
    let shown = fixture.prove("--json").expect(0).json();
    let output: Vec<f64> = (shown["output"][0].as_array().expect("a list").iter())
        .map(|v| v.as_f64().expect("a number"))
        .collect();
    let mut order: Vec<usize> = (0..output.len()).collect();
    order.sort_by(|&a, &b| output[b].total_cmp(&output[a]));
    for (reveal, count) in [("argmax", 1), ("topk:3", 3)] {
        fixture.prove(&format!("--reveal {reveal}")).expect(0);
        let report = fixture.verify("--json").expect(0).json();
        assert_eq!(report["output"], json!([[]]));
        let mut largest = order[..count].to_vec();
        largest.sort_unstable();
        assert_eq!(report["output_facts"][0]["largest"], json!([largest]));
    }
    let run = fixture.prove("--output-visibility hashed --reveal argmax --input-visibility public");
    run.expect(0);
    let report = fixture.verify("--json").expect(0).json();
    assert_eq!(report["visibility"]["output"], "hashed");
    assert_eq!(report["output_facts"][0]["largest"], json!([[order[0]]]));
    std::fs::write(
        fixture.path("y.json"),
        json!({"input_data": [shown["output"][0]]}).to_string(),
    )
    .expect("written");
    fixture.verify("--output y.json --salt x.salt").expect(0);
    let inspected = fixture.run("inspect x.proof --json").expect(0).json();
    assert_eq!(inspected["output_facts"], report["output_facts"]);
    let text = fixture.run("inspect x.proof").expect(0).stdout;
    assert!(text.contains("largest"), "{text}");
}

#[test]
fn bounds_that_hold_are_proved_and_others_refused() {
    let fixture = fixture("adult-income-mlp", "");
    let x = fixture.input();
    let name = {
        let hash = "hash x.json --vk k/model.vk --unsalted --json";
        let report = fixture.run(hash).expect(0).json();
        report["digests"][0]["tensor"].as_str().map(str::to_owned)
    };
    fixture.prove("--bounds -1000..1000").expect(0);
    let report = fixture.verify("--json").expect(0).json();
    let bounds = report["input_facts"][0]["bounds"]
        .as_array()
        .expect("bounds");
    assert_eq!(bounds.len(), x.len());
    // One feature for itself, all others free.
    let mut list = vec![Value::Null; x.len()];
    list[2] = json!([x[2] - 0.5, x[2] + 0.5]);
    let name = name.expect("the input has a name");
    let write = |list: &[Value]| {
        let text = json!({ name.as_str(): list }).to_string();
        std::fs::write(fixture.path("bounds.json"), text).expect("written");
    };
    write(&list);
    let both = "--bounds bounds.json --input-visibility hashed";
    fixture.prove(both).expect(0);
    let text = fixture.verify("").expect(0).stdout;
    assert!(text.contains("bounds") && text.contains("digest"), "{text}");
    list[2] = json!([x[2] + 1.0, x[2] + 2.0]);
    write(&list);
    let before = fixture.files();
    std::fs::remove_file(fixture.path("x.proof")).expect("it is there");
    fixture
        .prove("--bounds bounds.json")
        .expect(2)
        .says("feature 2");
    assert!(!fixture.path("x.proof").exists());
    assert_eq!(before.len(), fixture.files().len() + 1);
    list.pop();
    write(&list);
    fixture
        .prove("--bounds bounds.json")
        .expect(2)
        .says("features");
    for (wrong, message) in [
        ("5..1", "no number"),
        ("nobody=0..1", "no input"),
        ("missing.json", "neither"),
        ("1e9..2e9", "no number"),
    ] {
        fixture
            .prove(&format!("--bounds {wrong}"))
            .expect(2)
            .says(message);
    }
    let public = "--bounds 0..1 --input-visibility public";
    fixture.prove(public).expect(2).says("hidden inputs");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let fixture = fixture("adult-income-mlp", "");
    for options in [
        "--reveal argmax --output-visibility public",
        "--reveal all --output-visibility private",
        "--reveal best",
        "--reveal topk:0",
        "--salt x.salt",
        "--unsalted",
        "--input-visibility hashed --salt x.salt --unsalted",
    ] {
        fixture.prove(options).expect(2);
        assert!(!fixture.path("x.proof").exists());
    }
    fixture
        .run("hash x.json --vk k/model.vk")
        .expect(2)
        .says("--salt");
    let plain = "--no-zk";
    fixture.setup("plain", plain);
    fixture
        .run("prove plain/model.pk --input x.json -o x.proof --input-visibility hashed")
        .expect(2)
        .says("not zero-knowledge");
}

#[test]
fn damaged_salt_files_are_refused() {
    let fixture = fixture("adult-income-mlp", "");
    fixture
        .run("hash x.json --vk k/model.vk --salt good.salt")
        .expect(0);
    let good = std::fs::read_to_string(fixture.path("good.salt")).expect("salts");
    let json: Value = serde_json::from_str(&good).expect("JSON");
    let salts = json["salts"].as_object().expect("an object");
    let (name, salt) = salts.iter().next().expect("a salt");
    let salt = salt.as_str().expect("text");
    for (text, message) in [
        (good.replace("provenn.salts", "other"), "not a salt file"),
        (good.replace(&salt[..2], "zz"), "64 hexadecimal"),
        (good.replace(salt, &salt[2..]), "64 hexadecimal"),
        (good.replace(name.as_str(), "another"), "no salt"),
        (good[..20].to_owned(), "not JSON"),
    ] {
        std::fs::write(fixture.path("bad.salt"), text).expect("written");
        let prove = fixture.prove("--input-visibility hashed --salt bad.salt");
        prove.expect(4).says(message);
        assert!(!fixture.path("x.proof").exists());
    }
    // A salt for SHA-256 that is none for Poseidon2.
    std::fs::write(
        fixture.path("bad.salt"),
        good.replace(salt, &"f".repeat(64)),
    )
    .expect("written");
    fixture
        .prove("--input-visibility hashed --salt bad.salt")
        .expect(0);
    let poseidon2 = "--input-visibility hashed --salt bad.salt --hash poseidon2";
    fixture.prove(poseidon2).expect(4).says("Poseidon2");
}

#[cfg(unix)]
#[test]
fn salts_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture("adult-income-mlp", "");
    fixture.prove("--input-visibility hashed").expect(0);
    let mode = std::fs::metadata(fixture.path("x.salt"))
        .expect("salts")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
