//! Files that must be refused, and how: a clear error, never a panic, never a guess.

mod support;

use model::{FloatRunner, ImportError, ImportOptions, import_bytes};
use support::onnx::*;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

fn refuse(proto: &ModelProto) -> ImportError {
    let error = import_bytes(&bytes(proto), &ImportOptions::default());
    error.expect_err("must be refused")
}

fn refuse_nodes(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ImportError {
    refuse(&model(&[1, 2], nodes, initializers))
}

/// Asserts that the error names this node and operator.
fn assert_unsupported(error: &ImportError, node: &str, op: &str) {
    match error {
        ImportError::Unsupported { node: n, op: o, .. } if n == node && o == op => {}
        other => panic!("expected an unsupported {op} at {node}, got: {other}"),
    }
}

fn w() -> TensorProto {
    floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
}

fn linear() -> ModelProto {
    model(&[1, 2], vec![node("MatMul", &["x", "w"], "y")], vec![w()])
}

#[test]
fn unsupported_operators_and_attributes_are_named() {
    let error = refuse_nodes(vec![node("Erf", &["x"], "y")], vec![]);
    assert_unsupported(&error, "node_y", "Erf");
    let error = refuse_nodes(vec![node("NoSuchOperator", &["x"], "y")], vec![]);
    assert_unsupported(&error, "node_y", "NoSuchOperator");
    let mut scaler = node("Scaler", &["x"], "y");
    scaler.domain = "ai.onnx.ml".to_owned();
    let error = refuse_nodes(vec![scaler], vec![]);
    assert_unsupported(&error, "node_y", "ai.onnx.ml.Scaler");
    let odd = with_int(node("MatMul", &["x", "w"], "y"), "mystery", 1);
    let error = refuse_nodes(vec![odd], vec![w()]);
    assert_unsupported(&error, "node_y", "MatMul");
    assert!(error.to_string().contains("`mystery`"));
    let transposed = with_int(node("Gemm", &["x", "w"], "y"), "transA", 1);
    assert_unsupported(&refuse_nodes(vec![transposed], vec![w()]), "node_y", "Gemm");
}

#[test]
fn products_of_two_tensors_are_refused() {
    let twice = vec![
        node("MatMul", &["x", "w"], "a"),
        node("MatMul", &["a", "a"], "y"),
    ];
    assert_unsupported(&refuse_nodes(twice, vec![w()]), "node_y", "MatMul");
}

#[test]
fn weights_must_be_finite_and_fit() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut proto = linear();
        proto.graph.as_mut().unwrap().initializer[0].float_data[2] = bad;
        let error = refuse(&proto);
        assert!(
            matches!(error, ImportError::NotFinite { index: 2, .. }),
            "{error}"
        );
    }
    let short = floats("w", &[2, 2], &[1.0, 2.0, 3.0]);
    let error = refuse_nodes(vec![node("MatMul", &["x", "w"], "y")], vec![short]);
    assert!(matches!(error, ImportError::Tensor { .. }), "{error}");
    let tall = floats("w", &[3, 1], &[1.0, 2.0, 3.0]);
    let error = refuse_nodes(vec![node("MatMul", &["x", "w"], "y")], vec![tall]);
    assert_unsupported(&error, "node_y", "MatMul");
    let nodes = vec![
        node("MatMul", &["x", "w"], "a"),
        node("Div", &["a", "z"], "y"),
    ];
    let error = refuse_nodes(nodes, vec![w(), floats("z", &[2], &[1.0, 0.0])]);
    assert_unsupported(&error, "node_y", "Div");
}

#[test]
fn absurd_sizes_are_refused_before_allocation() {
    for dims in [vec![i64::MAX, 2], vec![-1, 4], vec![1 << 40]] {
        let mut proto = linear();
        proto.graph.as_mut().unwrap().initializer[0].dims = dims;
        let error = refuse(&proto);
        assert!(matches!(error, ImportError::Tensor { .. }), "{error}");
    }
    let huge = model(&[1, 1 << 40], vec![node("Relu", &["x"], "y")], vec![]);
    let error = refuse(&huge);
    assert!(matches!(error, ImportError::Input { .. }), "{error}");
    let nodes = vec![
        node("ConstantOfShape", &["s"], "c"),
        node("Add", &["x", "c"], "y"),
    ];
    let error = refuse_nodes(nodes, vec![ints("s", &[1 << 30, 1 << 30])]);
    assert_unsupported(&error, "node_c", "ConstantOfShape");
}

#[test]
fn long_chains_are_read_or_refused() {
    let chain = |length: usize| {
        let name = |i: usize| match i {
            0 => "x".to_owned(),
            i if i == length => "y".to_owned(),
            i => format!("t{i}"),
        };
        let link = |i: usize, op: &str| node(op, &[&name(i)], &name(i + 1));
        let mut nodes: Vec<NodeProto> = (0..length - 1).map(|i| link(i, "Identity")).collect();
        nodes.push(link(length - 1, "Relu"));
        model(&[1, 2], nodes, vec![])
    };
    let options = ImportOptions::default();
    let started = std::time::Instant::now();
    assert!(import_bytes(&bytes(&chain(1 << 14)), &options).is_ok());
    println!("{:?}", started.elapsed());
    let error = refuse(&chain((1 << 14) + 1));
    assert!(matches!(error, ImportError::TooLarge { .. }), "{error}");
}

#[test]
fn external_data_is_refused() {
    let mut proto = linear();
    let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
    tensor.data_location = Some(1);
    tensor.float_data.clear();
    let error = refuse(&proto);
    assert!(error.to_string().contains("another file"), "{error}");
}

#[test]
fn names_must_make_sense() {
    let cycle = vec![
        node("Relu", &["b"], "a"),
        node("Relu", &["a"], "b"),
        node("Add", &["x", "a"], "y"),
    ];
    let error = refuse_nodes(cycle, vec![]);
    assert!(error.to_string().contains("cycle"), "{error}");
    let error = refuse_nodes(vec![node("Relu", &["nowhere"], "y")], vec![]);
    assert!(error.to_string().contains("nowhere"), "{error}");
    let duplicate = vec![node("Relu", &["x"], "y"), node("Tanh", &["x"], "y")];
    let error = refuse_nodes(duplicate, vec![]);
    assert!(error.to_string().contains("twice"), "{error}");
    let error = refuse_nodes(vec![node("Identity", &["w"], "y")], vec![w()]);
    assert!(matches!(error, ImportError::Output { .. }), "{error}");
}

#[test]
fn accepts_an_input_passed_on_by_a_layer_that_is_the_identity() {
    let proto = model(&[1, 2], vec![node("Identity", &["x"], "y")], vec![]);
    let graph = import_bytes(&bytes(&proto), &ImportOptions::default()).expect("imported");
    assert_eq!(graph.layers.len(), 1);
    assert!(graph.layers[0].terms[0].is_identity(2, [1; 3]));
}

#[test]
fn shapes_must_be_bound_and_agree() {
    let nodes = vec![node("MatMul", &["x", "w"], "y")];
    let open = model(&[1, -1], nodes.clone(), vec![w()]);
    let error = refuse(&open);
    assert!(matches!(error, ImportError::Input { .. }), "{error}");
    let bind = |name: &str, shape: &[usize]| ImportOptions {
        shapes: vec![(name.to_owned(), shape.to_vec())],
    };
    assert!(import_bytes(&bytes(&open), &bind("x", &[1, 2])).is_ok());
    assert!(import_bytes(&bytes(&open), &bind("z", &[1, 2])).is_err());
    let fixed = model(&[1, 2], nodes, vec![w()]);
    assert!(import_bytes(&bytes(&fixed), &bind("x", &[4, 2])).is_ok());
    assert!(import_bytes(&bytes(&fixed), &bind("x", &[1, 3])).is_err());
    assert!(import_bytes(&bytes(&fixed), &bind("x", &[2])).is_err());
    assert!(import_bytes(&bytes(&fixed), &bind("x", &[0, 2])).is_err());
}

#[test]
fn other_operator_sets_are_refused() {
    for version in [-1, 0, 6, 1000] {
        let mut proto = linear();
        proto.opset_import[0].version = version;
        let error = refuse(&proto);
        assert!(matches!(error, ImportError::Opset { .. }), "{error}");
    }
}

#[test]
fn other_exports_of_the_zoo_are_refused_by_name() {
    let Some(root) = support::zoo() else { return };
    // Other kinds of models, and the alternatives to which no class belongs.
    let unsupported = [
        "adult-income-rf",
        "aecmos",
        "gbt_cancer",
        "magika",
        "melspectrogram",
        "minilm-l6-int8",
        "silero-vad-default",
        "silero-vad-openvino16k",
        "vit-cifar-pgd",
        "vit_mnist",
    ];
    let options = ImportOptions::default();
    let path = root.join("logreg_cancer/alt-skl2onnx.onnx");
    let error = model::import_path(path, &options).unwrap_err();
    assert!(error.to_string().contains("ai.onnx.ml.Scaler"), "{error}");
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let path = entry.path().join("model.onnx");
        let name = entry.file_name().to_string_lossy().into_owned();
        if !unsupported.contains(&&*name) || !path.is_file() {
            continue;
        }
        match model::import_path(&path, &options).map(|_| ()) {
            Err(ImportError::Unsupported { node, op, .. }) => {
                assert!(!node.is_empty() && !op.is_empty(), "{name}");
            }
            Err(ImportError::Input { .. }) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn truncated_files_are_errors() {
    for case in support::bundled() {
        let len = case.bytes.len();
        let step = (len / 200).max(1);
        for cut in (0..len).step_by(step) {
            let result = import_bytes(&case.bytes[..cut], &ImportOptions::default());
            assert!(result.is_err(), "{} cut at {cut}", case.name);
        }
    }
}

/// A small network with an operator of every kind.
fn convolutional() -> ModelProto {
    let nodes = vec![
        with_ints(
            with_ints(node("Conv", &["x", "w"], "a"), "pads", &[1, 1, 1, 1]),
            "strides",
            &[1, 1],
        ),
        node("Relu", &["a"], "b"),
        with_ints(
            with_ints(node("MaxPool", &["b"], "c"), "kernel_shape", &[2, 2]),
            "strides",
            &[2, 2],
        ),
        node("Resize", &["c", "", "s"], "d"),
        with_text(node("Pad", &["d", "p"], "e"), "mode", "edge"),
        node("Slice", &["e", "starts", "ends", "axes"], "f"),
        with_int(node("Concat", &["a", "f"], "g"), "axis", 1),
        with_ints(node("AveragePool", &["g"], "h"), "kernel_shape", &[3, 3]),
        node("GlobalAveragePool", &["h"], "i"),
        node("Sigmoid", &["i"], "j"),
        node("Mul", &["h", "j"], "k"),
        with_int(node("Flatten", &["k"], "l"), "axis", 1),
        node("MatMul", &["l", "m"], "y"),
    ];
    let constants = vec![
        floats("w", &[2, 1, 3, 3], &[0.25; 18]),
        floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]),
        ints("p", &[0, 0, 1, 0, 0, 0, 0, 1]),
        ints("starts", &[1, 0]),
        ints("ends", &[5, 4]),
        ints("axes", &[2, 3]),
        floats("m", &[16, 2], &[0.5; 32]),
    ];
    model(&[1, 1, 4, 4], nodes, constants)
}

#[test]
fn flipped_bits_of_convolutions_never_panic() {
    let original = bytes(&convolutional());
    import_bytes(&original, &ImportOptions::default()).expect("imports");
    for at in 0..original.len() * 8 {
        let mut bytes = original.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(graph) = import_bytes(&bytes, &ImportOptions::default()) {
            let options = model::QuantOptions {
                synthetic_samples: 1,
                ..model::QuantOptions::default()
            };
            let _ = model::quantise(&graph, None, &options);
        }
    }
}

/// A flipped bit may leave a model that means something; it may not make the importer panic.
#[test]
fn flipped_bits_never_panic() {
    let mut state = 7u64;
    for case in support::bundled().iter().take(2) {
        for _ in 0..600 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % (case.bytes.len() * 8);
            let mut bytes = case.bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            let _ = import_bytes(&bytes, &ImportOptions::default());
            let _ = FloatRunner::from_bytes(&bytes, &ImportOptions::default());
        }
    }
}
