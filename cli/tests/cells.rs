//! Committed cells of real convolutional networks, pinned: they do not jitter, and a change that costs
//! cells must say so.

mod support;

use serde_json::Value;
use support::{provenn, testdata};

/// `inspect --json` of a model as it would be set up.
fn inspect(name: &str, options: &str) -> Value {
    let folder = testdata().join("models").join(name);
    let (model, data) = (folder.join("model.onnx"), folder.join("refs.npz"));
    let args = format!("inspect {{}} --calibrate {{}} --json {options}");
    provenn(&testdata(), &args, &[&model, &data])
        .expect(0)
        .json()
}

/// `(chip, committed cells)` of every table.
fn tables(report: &Value) -> Vec<(String, u64)> {
    let tables = report["tables"].as_array().expect("a list of tables");
    let row = |t: &Value| {
        let chip = t["chip"].as_str().expect("a name");
        (
            chip.to_owned(),
            t["committed_cells"].as_u64().expect("a count"),
        )
    };
    tables.iter().map(row).collect()
}

fn assert_cells(name: &str, options: &str, expected: &[(&str, u64)]) {
    let found = tables(&inspect(name, options));
    let expected: Vec<_> = expected.iter().map(|&(c, n)| (c.to_owned(), n)).collect();
    assert_eq!(found, expected, "{name} {options}");
}

#[test]
fn lenet5() {
    let expected = [
        ("activation", 49_152),
        ("activation", 59_392),
        ("activation", 100_864),
        ("weights", 20_480),
        ("overhang", 12_288),
        ("sums", 1_280),
        ("range", 3_072),
        ("functions", 69_632),
    ];
    assert_cells("lenet5_mnist", "--no-zk", &expected);
}

#[test]
fn cnn264k() {
    let expected = [
        ("activation", 24_576),
        ("activation", 55_296),
        ("activation", 118_784),
        ("activation", 216_576),
        ("weights", 40_960),
        ("overhang", 40_960),
        ("sums", 1_280),
        ("range", 3_072),
        ("functions", 69_632),
    ];
    assert_cells("cnn264k_mnist32", "--no-zk", &expected);
}

#[test]
fn zoo_cntk() {
    let expected = [
        ("activation", 32_768),
        ("activation", 141_312),
        ("activation", 118_272),
        ("weights", 5_120),
        ("overhang", 12_288),
        ("sums", 1_280),
        ("range", 3_072),
        ("functions", 69_632),
    ];
    assert_cells("mnist-zoo-cntk", "--no-zk", &expected);
}

/// Wherever a kernel reaches over the edge, the overhang stays a small part of the whole; and no table
/// grows with the taps of a kernel.
#[test]
fn convolutions_commit_next_to_nothing_of_their_own() {
    for name in ["lenet5_mnist", "cnn264k_mnist32", "mnist-zoo-cntk"] {
        let report = inspect(name, "--no-zk");
        let total: u64 = tables(&report).iter().map(|(_, n)| n).sum();
        let overhang: u64 = (tables(&report).iter())
            .filter(|(chip, _)| chip == "overhang")
            .map(|(_, n)| n)
            .sum();
        assert!(13 * overhang < total, "{name}: {overhang} of {total}");
    }
}
