//! Every operator, folded or not, against an independent run of the same file.

mod support;

use model::import::{Status, operators};
use model::{FloatGraph, FloatRunner, ImportOptions, import_bytes};
use support::onnx::*;
use tract_onnx::pb::ModelProto;

/// Imports, and compares with the ONNX library on the data (import itself compares on others).
fn import(proto: &ModelProto, x: &[f32]) -> FloatGraph {
    let bytes = bytes(proto);
    let options = ImportOptions::default();
    let graph = import_bytes(&bytes, &options).expect("imports");
    let runner = FloatRunner::from_bytes(&bytes, &options).expect("runs");
    let sample = vec![x.to_vec()];
    let (ours, theirs) = (
        graph.evaluate(&sample).unwrap(),
        runner.run(&sample).unwrap(),
    );
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours.concat().len(), theirs.concat().len());
    for (a, b) in ours.concat().iter().zip(&theirs.concat()) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b}");
    }
    graph
}

fn shape_of(graph: &FloatGraph) -> Vec<(String, String, Option<bool>)> {
    let row = |l: &model::FloatLayer| {
        (
            l.name.clone(),
            l.ops.clone(),
            l.scaler.as_ref().map(|_| true),
        )
    };
    graph.layers.iter().map(row).collect()
}

#[test]
fn gemm_with_all_attributes() {
    let mut gemm = node("Gemm", &["x", "b", "c"], "y");
    gemm = with_float(gemm, "alpha", 0.5);
    gemm = with_float(gemm, "beta", -2.0);
    gemm = with_int(gemm, "transB", 1);
    let b = floats("b", &[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.25]);
    let c = floats("c", &[1, 2], &[0.3, -0.7]);
    let graph = import(&model(&[1, 3], vec![gemm], vec![b, c]), &[1.0, -2.0, 0.5]);
    assert_eq!(
        graph.layers[0].terms[0].values,
        [0.5, -0.5, 1.0, 0.25, 1.5, 0.125]
    );
    assert_eq!(graph.layers[0].bias, [-0.6, 1.4]);
}

#[test]
fn scaler_stays_apart_and_batch_normalization_folds() {
    let nodes = vec![
        node("Sub", &["x", "mean"], "a"),
        node("Div", &["a", "std"], "b"),
        node("MatMul", &["b", "w"], "c"),
        with_float(
            node("BatchNormalization", &["c", "s", "o", "m", "v"], "d"),
            "epsilon",
            1e-3,
        ),
        node("Tanh", &["d"], "e"),
        node("Mul", &["e", "two"], "f"),
        node("MatMul", &["f", "w2"], "y"),
    ];
    let constants = vec![
        floats("mean", &[2], &[100.0, -3.0]),
        floats("std", &[1, 2], &[50.0, 0.5]),
        floats("w", &[2, 2], &[0.5, -1.0, 0.25, 2.0]),
        floats("s", &[2], &[1.5, 0.5]),
        floats("o", &[2], &[0.1, 0.2]),
        floats("m", &[2], &[0.3, -0.3]),
        floats("v", &[2], &[0.9, 1.1]),
        floats("two", &[], &[2.0]),
        floats("w2", &[2, 1], &[1.0, -1.0]),
    ];
    let graph = import(&model(&[-1, 2], nodes, constants), &[120.0, -2.5]);
    let expected = [
        (
            "node_a",
            "Sub+Div+MatMul+BatchNormalization+Tanh",
            Some(true),
        ),
        ("node_f", "Mul+MatMul", None),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c));
    assert_eq!(shape_of(&graph), expected);
}

#[test]
fn free_operators_leave_no_layer() {
    let nodes = vec![
        node("Identity", &["x"], "a"),
        with_int(node("Flatten", &["a"], "b"), "axis", 1),
        node("Unsqueeze", &["b", "one"], "c"),
        with_ints(node("Transpose", &["c"], "d"), "perm", &[1, 0, 2]),
        node("Squeeze", &["d", "zero"], "e"),
        node("Dropout", &["e"], "f"),
        with_int(node("Cast", &["f"], "g"), "to", 1),
        node("Shape", &["g"], "shape"),
        node("Reshape", &["g", "shape"], "h"),
        node("Reshape", &["h", "target"], "i"),
        node("MatMul", &["i", "w"], "j"),
        node("Relu", &["j"], "y"),
    ];
    let constants = vec![
        ints("one", &[1]),
        ints("zero", &[0]),
        ints("target", &[0, -1]),
        floats("w", &[4, 1], &[1.0, 2.0, 3.0, -4.0]),
    ];
    let graph = import(&model(&[1, 2, 2], nodes, constants), &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(graph.layers.len(), 1);
    assert_eq!(graph.tensors[1].name, "y");
    assert_eq!(graph.tensors[1].shape, [1, 1]);
}

#[test]
fn constant_subgraphs_fold() {
    let nodes = vec![
        with_ints(node("Transpose", &["w"], "wt"), "perm", &[1, 0]),
        node("Mul", &["wt", "half"], "scaled"),
        node("MatMul", &["x", "scaled"], "a"),
        with_int(node("Concat", &["c1", "c2"], "c"), "axis", 0),
        node("Add", &["c", "a"], "y"),
    ];
    let constants = vec![
        floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        floats("half", &[1], &[0.5]),
        floats("c1", &[1], &[0.1]),
        floats("c2", &[1], &[0.2]),
    ];
    let graph = import(&model(&[1, 3], nodes, constants), &[1.0, -1.0, 2.0]);
    assert_eq!(graph.layers.len(), 1);
    assert_eq!(graph.layers[0].bias, [0.1, 0.2]);
}

#[test]
fn batches_and_rows_become_positions() {
    let w = floats("w", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let nodes = vec![node("MatMul", &["x", "w"], "a"), node("Relu", &["a"], "y")];
    let proto = model(&[2, 2, 3], nodes, vec![w]);
    let x: Vec<f32> = (0..12).map(|i| i as f32 / 4.0 - 1.5).collect();
    let graph = import(&proto, &x);
    assert_eq!(
        (graph.tensors[0].positions(), graph.tensors[0].features),
        (4, 3)
    );
    assert_eq!(graph.tensors[1].shape, [2, 2, 2]);

    let options = ImportOptions {
        shapes: vec![("x".to_owned(), vec![5, 2, 3])],
    };
    let graph = import_bytes(&bytes(&proto), &options).unwrap();
    assert_eq!(graph.tensors[0].positions(), 10);
}

#[test]
fn linear_maps_compose_unless_that_costs() {
    let weights = |name: &str, k: usize, n: usize| {
        let values: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect();
        floats(name, &[k as i64, n as i64], &values)
    };
    let nodes = || {
        vec![
            node("MatMul", &["x", "w1"], "a"),
            node("MatMul", &["a", "w2"], "y"),
        ]
    };
    let x: Vec<f32> = (0..8).map(|i| i as f32 / 8.0).collect();
    let narrow = model(
        &[1, 8],
        nodes(),
        vec![weights("w1", 8, 1), weights("w2", 1, 8)],
    );
    assert_eq!(import(&narrow, &x).layers.len(), 2);
    let wide = model(
        &[1, 8],
        nodes(),
        vec![weights("w1", 8, 6), weights("w2", 6, 4)],
    );
    assert_eq!(import(&wide, &x).layers.len(), 1);
}

#[test]
fn lonely_activations_and_left_weights() {
    let graph = import(
        &model(&[1, 3], vec![node("Sigmoid", &["x"], "y")], vec![]),
        &[1.0, 0.0, -2.0],
    );
    assert!(graph.layers[0].terms[0].is_identity(3, [1; 3]));
    let w = floats("w", &[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]);
    let left = model(&[3, 1], vec![node("MatMul", &["w", "x"], "y")], vec![w]);
    let graph = import(&left, &[0.5, -1.0, 2.0]);
    assert_eq!(
        (graph.tensors[1].features, graph.tensors[1].positions()),
        (2, 1)
    );
}

#[test]
fn registry_is_sorted_and_every_entry_is_explained() {
    assert!(operators().is_sorted_by_key(|o| o.name));
    for info in operators() {
        assert!(!info.status.label().is_empty());
        let explained = !info.note.is_empty()
            || matches!(info.status, Status::Free | Status::ConstantOnly)
            || matches!(
                info.name,
                "Elu"
                    | "GlobalAveragePool"
                    | "GlobalMaxPool"
                    | "HardSigmoid"
                    | "Relu"
                    | "Sigmoid"
                    | "Softplus"
                    | "Split"
                    | "Tanh"
            );
        assert!(explained, "{}", info.name);
    }
}

#[test]
fn bundled_models_import_as_recorded() {
    let recorded = [
        ("logreg_cancer", vec!["Sub+Div+Gemm+Sigmoid"]),
        ("adult-income-mlp", vec!["Gemm+Relu", "Gemm+Sigmoid"]),
        ("mlp2_mnist", vec!["Gemm+Relu", "Gemm"]),
    ];
    for (case, (name, ops)) in support::bundled().iter().zip(recorded) {
        assert_eq!(case.name, name);
        let got: Vec<&str> = case.graph.layers.iter().map(|l| l.ops.as_str()).collect();
        assert_eq!(got, ops);
        let nodes: Vec<&str> = case.graph.nodes.iter().map(|n| n.op.as_str()).collect();
        assert_eq!(nodes.join("+"), ops.join("+"), "{name}");
    }
}
