//! What a proof shows and hides, through the command line: every combination proves and verifies,
//! says what it reveals, and keeps what it hides out of the file.

mod support;

use serde_json::{Value, json};
use support::{Fixture, testdata};

fn fixture(options: &str) -> Fixture {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    fixture.setup("k", options);
    fixture
}

#[test]
fn accepts_every_visibility_and_says_so() {
    let fixture = fixture("");
    for input in ["public", "private"] {
        for output in ["public", "private"] {
            let visible = format!("--input-visibility {input} --output-visibility {output}");
            let prove = format!("prove k/model.pk --input x.json {visible} -o x.proof --json");
            let proved = fixture.run(&prove).expect(0).json();
            let verify = "verify --vk k/model.vk x.proof --json";
            let verified = fixture.run(verify).expect(0).json();
            let visibility = json!({"input": input, "output": output, "weights": "public"});
            for report in [&proved, &verified] {
                assert_eq!(report["visibility"], visibility);
                assert_eq!(report["zero_knowledge"], true);
            }
            let values = |report: &Value, key: &str| report[key][0].as_array().map(Vec::len);
            assert_eq!(
                values(&verified, "input"),
                Some(if input == "public" { 29 } else { 0 })
            );
            assert_eq!(
                values(&verified, "output"),
                Some(if output == "public" { 1 } else { 0 })
            );
            // Whoever proves is told the output in any case.
            assert_eq!(values(&proved, "output"), Some(1));
            let shown = fixture.run("inspect x.proof --json").expect(0).json();
            assert_eq!(shown["inputs"][0].is_null(), input == "private");
            assert_eq!(shown["outputs"][0].is_null(), output == "private");
        }
    }
}

#[test]
fn the_default_hides_the_input_and_shows_the_output() {
    let fixture = fixture("");
    let run = fixture
        .run("prove k/model.pk --input x.json -o x.proof")
        .expect(0);
    assert!(
        run.stdout.contains("input hidden (zero-knowledge)"),
        "{run:?}"
    );
    let run = fixture.run("verify --vk k/model.vk x.proof").expect(0);
    assert!(run.stdout.contains("for a hidden input"), "{run:?}");
    fixture
        .run("verify --vk k/model.vk x.proof --input x.json")
        .expect(1)
        .says("hides its input");
}

#[test]
fn two_proofs_of_one_input_differ_everywhere_it_matters() {
    let fixture = fixture("");
    for name in ["a", "b"] {
        fixture
            .run(&format!("prove k/model.pk --input x.json -o {name}.proof"))
            .expect(0);
    }
    let read = |name: &str| std::fs::read(fixture.path(name)).expect("the proof");
    let (a, b) = (read("a.proof"), read("b.proof"));
    // Header, key digest and statement are the same; commitments are not.
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    assert!(same < 200, "the proofs agree on {same} bytes");
}

#[test]
fn a_key_without_zero_knowledge_hides_nothing_and_says_so() {
    let fixture = fixture("--no-zk");
    fixture
        .run("prove k/model.pk --input x.json -o x.proof")
        .expect(2)
        .says("--input-visibility public");
    assert!(!fixture.path("x.proof").exists());
    let run = fixture
        .run("prove k/model.pk --input x.json --input-visibility public -o x.proof")
        .expect(0);
    assert!(run.stdout.contains("not zero-knowledge"), "{run:?}");
    let run = fixture
        .run("verify --vk k/model.vk x.proof --input x.json --json")
        .expect(0);
    assert_eq!(run.json()["zero_knowledge"], false);
}
