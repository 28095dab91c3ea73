//! Operators of convolutional networks, float and quantised, against an independent run of small
//! files: borders, strides, asymmetric padding, both kinds of counting.

mod support;

use air::graph::{Combine, Function};
use model::{ImportError, ImportOptions, import_bytes};
use support::agree::{check, weights};
use support::onnx::*;
use tract_onnx::pb::{NodeProto, TensorProto};

const TOLERANCE: f64 = 0.01;

fn conv_cases() -> Vec<(Vec<i64>, Vec<i64>, NodeProto)> {
    let conv = || node("Conv", &["x", "w", "b"], "y");
    let pads = |n: NodeProto, p: &[i64]| with_ints(n, "pads", p);
    vec![
        (vec![1, 3, 7, 6], vec![4, 3, 3, 3], conv()),
        (
            vec![1, 3, 7, 6],
            vec![4, 3, 3, 2],
            with_ints(pads(conv(), &[1, 0, 2, 1]), "strides", &[2, 1]),
        ),
        (
            vec![2, 2, 7, 8],
            vec![3, 2, 3, 3],
            with_ints(pads(conv(), &[2, 2, 2, 2]), "dilations", &[2, 3]),
        ),
        (
            vec![1, 4, 5, 5],
            vec![6, 2, 3, 3],
            with_int(pads(conv(), &[1, 1, 1, 1]), "group", 2),
        ),
        (
            vec![1, 4, 6, 5],
            vec![4, 1, 3, 3],
            with_int(
                with_ints(pads(conv(), &[0, 0, 1, 1]), "strides", &[2, 2]),
                "group",
                4,
            ),
        ),
        (
            vec![1, 2, 7, 6],
            vec![3, 2, 4, 4],
            with_text(
                with_ints(conv(), "strides", &[2, 3]),
                "auto_pad",
                "SAME_UPPER",
            ),
        ),
        (
            vec![1, 2, 7, 6],
            vec![3, 2, 4, 4],
            with_text(
                with_ints(conv(), "strides", &[2, 3]),
                "auto_pad",
                "SAME_LOWER",
            ),
        ),
        (
            vec![1, 2, 7, 6],
            vec![3, 2, 2, 2],
            with_text(conv(), "auto_pad", "VALID"),
        ),
        (
            vec![1, 3, 9],
            vec![4, 3, 3],
            with_ints(pads(conv(), &[2, 0]), "strides", &[2]),
        ),
        (
            vec![1, 2, 4, 5, 3],
            vec![3, 2, 2, 3, 2],
            pads(conv(), &[1, 1, 0, 0, 1, 1]),
        ),
    ]
}

#[test]
fn convolutions() {
    for (shape, w, node) in conv_cases() {
        let constants = vec![weights("w", &w), weights("b", &w[..1])];
        let graph = check(&shape, vec![node], constants, TOLERANCE);
        assert_eq!(graph.layers.len(), 1);
    }
}

#[test]
fn transposed_convolutions() {
    let conv = || node("ConvTranspose", &["x", "w", "b"], "y");
    let strided = |n: NodeProto, s: &[i64]| with_ints(n, "strides", s);
    let cases = vec![
        (vec![1, 3, 4, 5], vec![3, 2, 3, 3], 2, conv()),
        (
            vec![1, 3, 4, 5],
            vec![3, 2, 3, 3],
            2,
            strided(with_ints(conv(), "pads", &[1, 0, 1, 2]), &[2, 3]),
        ),
        (
            vec![1, 4, 4, 3],
            vec![4, 2, 2, 2],
            4,
            with_int(strided(conv(), &[2, 2]), "group", 2),
        ),
        (
            vec![1, 2, 3, 4],
            vec![2, 3, 3, 3],
            3,
            with_ints(
                strided(with_ints(conv(), "pads", &[1, 1, 1, 1]), &[2, 2]),
                "output_padding",
                &[1, 1],
            ),
        ),
        (
            vec![1, 2, 3, 4],
            vec![2, 3, 2, 2],
            3,
            with_ints(conv(), "dilations", &[2, 1]),
        ),
    ];
    for (shape, w, outputs, node) in cases {
        let constants = vec![weights("w", &w), weights("b", &[outputs])];
        check(&shape, vec![node], constants, TOLERANCE);
    }
}

#[test]
fn maxima() {
    let pool = |kernel: &[i64]| with_ints(node("MaxPool", &["x"], "y"), "kernel_shape", kernel);
    let strided = |n: NodeProto, s: &[i64]| with_ints(n, "strides", s);
    let cases = vec![
        strided(pool(&[2, 2]), &[2, 2]),
        strided(pool(&[1, 1]), &[2, 2]),
        strided(pool(&[3, 3]), &[2, 2]),
        strided(with_ints(pool(&[3, 3]), "pads", &[1, 1, 1, 1]), &[2, 2]),
        with_ints(pool(&[3, 2]), "pads", &[1, 0, 1, 1]),
        with_ints(pool(&[2, 2]), "dilations", &[2, 3]),
        strided(with_int(pool(&[3, 2]), "ceil_mode", 1), &[2, 3]),
        with_text(strided(pool(&[3, 3]), &[2, 2]), "auto_pad", "SAME_UPPER"),
        pool(&[5, 1]),
        node("GlobalMaxPool", &["x"], "y"),
    ];
    for pool in cases {
        check(&[1, 2, 7, 8], vec![pool], vec![], TOLERANCE);
    }
    let nodes = vec![
        node("Relu", &["x"], "a"),
        strided(
            with_ints(
                with_ints(node("MaxPool", &["a"], "b"), "kernel_shape", &[3, 3]),
                "pads",
                &[1, 1, 1, 1],
            ),
            &[2, 2],
        ),
        with_ints(node("Conv", &["b", "w"], "y"), "pads", &[1, 1, 1, 1]),
    ];
    check(
        &[1, 2, 8, 8],
        nodes,
        vec![weights("w", &[3, 2, 3, 3])],
        TOLERANCE,
    );
}

/// Windows in the rows of what is pooled: one layer for each dimension, no differences, one reader. An overlap is
/// copied.
#[test]
fn windows_lie_in_rows() {
    let layers = |shape: [i64; 4], kernel, stride, pads: i64| {
        let pool = with_ints(node("MaxPool", &["a"], "b"), "kernel_shape", &[kernel; 2]);
        let pool = with_ints(with_ints(pool, "strides", &[stride; 2]), "pads", &[pads; 4]);
        let nodes = vec![
            node("Relu", &["x"], "a"),
            pool,
            node("Conv", &["b", "w"], "y"),
        ];
        let graph = check(&shape, nodes, vec![weights("w", &[2, 2, 2, 2])], TOLERANCE);
        let maxima = graph.layers.iter().filter(|l| l.combine == Combine::Max);
        assert_eq!(graph.layers.last().map(|l| l.terms.len()), Some(1));
        (graph.layers.len(), maxima.count())
    };
    assert_eq!(layers([1, 2, 8, 8], 2, 2, 0), (4, 2));
    assert_eq!(layers([1, 2, 9, 9], 3, 3, 0), (4, 2));
    assert_eq!(layers([1, 2, 8, 8], 3, 2, 1), (6, 2));
    assert_eq!(layers([1, 2, 9, 9], 3, 2, 0), (6, 2));
}

/// What else reads a tensor with windows in its rows: with a stride, by phases or apart; as a gate; flattened.
#[test]
fn windows_have_neighbours() {
    let strided = |n: NodeProto, s: i64| with_ints(n, "strides", &[s; 2]);
    let pool = |x: &str, y: &str, k: i64, s: i64| {
        let pool = with_ints(node("MaxPool", &[x], y), "kernel_shape", &[k; 2]);
        strided(pool, s)
    };
    let conv = |x: &str, y: &str| node("Conv", &[x, "w"], y);
    let cases: Vec<(Vec<NodeProto>, &[&str])> = vec![
        // Two phases of two, a stride of three beside windows of two, a dilation, a stride of the output.
        (
            vec![pool("a", "b", 2, 2), strided(conv("a", "c"), 2)],
            &["b", "c"],
        ),
        (
            vec![pool("a", "b", 2, 2), strided(conv("a", "c"), 3)],
            &["b", "c"],
        ),
        (
            vec![
                pool("a", "b", 2, 2),
                with_ints(strided(conv("a", "c"), 2), "dilations", &[2, 1]),
            ],
            &["b", "c"],
        ),
        (
            vec![
                pool("a", "b", 2, 2),
                strided(node("ConvTranspose", &["a", "w"], "c"), 2),
            ],
            &["b", "c"],
        ),
        // A maximum of a maximum, with a stride behind it, and others of the same tensor.
        (
            vec![
                pool("a", "b", 2, 2),
                pool("b", "c", 2, 2),
                pool("a", "d", 3, 1),
                pool("a", "e", 4, 4),
                strided(conv("b", "f"), 2),
            ],
            &["c", "d", "e", "f"],
        ),
        // One position, a gate.
        (
            vec![pool("a", "b", 12, 12), node("Mul", &["a", "b"], "c")],
            &["c"],
        ),
        (
            vec![pool("a", "b", 4, 4), node("Sigmoid", &["b"], "c")],
            &["c"],
        ),
    ];
    let constants = || vec![weights("w", &[2, 2, 3, 3])];
    for (nodes, results) in cases {
        let mut all = vec![node("Relu", &["x"], "a")];
        all.extend(nodes);
        let means: Vec<String> = results.iter().map(|r| format!("mean of {r}")).collect();
        let pairs = results.iter().zip(&means);
        all.extend(pairs.map(|(r, m)| node("GlobalAveragePool", &[r], m)));
        let means: Vec<&str> = means.iter().map(String::as_str).collect();
        all.push(with_int(node("Concat", &means, "y"), "axis", 1));
        check(&[1, 2, 12, 12], all, constants(), TOLERANCE);
    }
    // Both flattened.
    let nodes = vec![
        node("Relu", &["x"], "a"),
        pool("a", "b", 2, 2),
        node("Flatten", &["a"], "c"),
        node("Flatten", &["b"], "d"),
        node("MatMul", &["c", "p"], "e"),
        node("MatMul", &["d", "q"], "f"),
        node("Add", &["e", "f"], "y"),
    ];
    let constants = vec![weights("p", &[288, 3]), weights("q", &[72, 3])];
    check(&[1, 2, 12, 12], nodes, constants, TOLERANCE);
}

/// Windows that do not lie in rows are read as the sums they are: only the differences are layers.
#[test]
fn a_difference_is_a_layer() {
    let nodes = vec![
        node("Relu", &["x"], "a"),
        with_ints(
            with_ints(node("MaxPool", &["a"], "b"), "kernel_shape", &[2, 2]),
            "dilations",
            &[2, 2],
        ),
        node("Conv", &["b", "w"], "y"),
    ];
    let graph = check(
        &[1, 2, 8, 8],
        nodes,
        vec![weights("w", &[2, 2, 2, 2])],
        TOLERANCE,
    );
    assert_eq!(graph.layers.len(), 4);
    assert_eq!(graph.layers[3].terms.len(), 3);
    assert!(graph.layers[1].is_exact && graph.layers[2].is_exact);
}

#[test]
fn averages() {
    let pool = |kernel: &[i64]| with_ints(node("AveragePool", &["x"], "y"), "kernel_shape", kernel);
    let strided = |n: NodeProto, s: &[i64]| with_ints(n, "strides", s);
    let padded = |n: NodeProto| with_ints(n, "pads", &[1, 1, 1, 0]);
    let cases = vec![
        strided(pool(&[2, 2]), &[2, 2]),
        strided(pool(&[3, 3]), &[2, 2]),
        padded(pool(&[3, 3])),
        with_int(padded(pool(&[3, 3])), "count_include_pad", 1),
        strided(padded(pool(&[3, 2])), &[2, 2]),
        with_text(strided(pool(&[3, 3]), &[2, 2]), "auto_pad", "SAME_UPPER"),
        node("GlobalAveragePool", &["x"], "y"),
        with_ints(node("ReduceMean", &["x"], "y"), "axes", &[2, 3]),
        with_int(
            with_ints(node("ReduceMean", &["x"], "y"), "axes", &[-1]),
            "keepdims",
            0,
        ),
    ];
    for mut pool in cases {
        // Without a convolution nothing says that means are over positions.
        pool.input[0] = "c".to_owned();
        let conv = node("Conv", &["x", "w"], "c");
        check(
            &[1, 2, 7, 8],
            vec![conv, pool],
            vec![weights("w", &[2, 2, 1, 1])],
            TOLERANCE,
        );
    }
}

#[test]
fn padding() {
    // The reference takes a value to mean the mode `constant`.
    let pad = |mode: &str| {
        let inputs: &[&str] = match mode {
            "constant" => &["x", "p", "v"],
            _ => &["x", "p"],
        };
        with_text(node("Pad", inputs, "a"), "mode", mode)
    };
    let conv = || node("Conv", &["a", "w"], "y");
    for (mode, pads, value) in [
        ("constant", [0, 0, 1, 2, 0, 0, 0, 1], 0.0),
        ("constant", [0, 0, 1, 2, 0, 0, 0, 1], 0.75),
        ("constant", [0, 1, 0, 1, 0, 2, 0, 0], 0.0),
        ("edge", [0, 0, 1, 2, 0, 0, 0, 1], 0.0),
        ("reflect", [0, 0, 1, 2, 0, 0, 2, 1], 0.0),
    ] {
        let channels = 2 + pads[1] + pads[5];
        let constants = vec![
            ints("p", &pads),
            floats("v", &[], &[value]),
            weights("w", &[2, channels, 2, 2]),
        ];
        check(&[1, 2, 5, 6], vec![pad(mode), conv()], constants, TOLERANCE);
    }
}

#[test]
fn resizing() {
    let resize = |mode: &str, coordinates: &str, nearest: &str| {
        let n = with_text(node("Resize", &["x", "", "s"], "y"), "mode", mode);
        let n = with_text(n, "coordinate_transformation_mode", coordinates);
        with_text(n, "nearest_mode", nearest)
    };
    let scales = |s: &[f32]| floats("s", &[4], s);
    for (node, s) in [
        (
            resize("nearest", "asymmetric", "floor"),
            [1.0, 1.0, 2.0, 3.0],
        ),
        (
            resize("linear", "half_pixel", "floor"),
            [1.0, 1.0, 2.0, 2.0],
        ),
        (
            resize("linear", "asymmetric", "floor"),
            [1.0, 1.0, 2.0, 1.0],
        ),
        (
            resize("nearest", "half_pixel", "round_prefer_floor"),
            [1.0, 1.0, 2.0, 2.0],
        ),
        (
            resize("nearest", "asymmetric", "floor"),
            [1.0, 1.0, 0.5, 0.5],
        ),
    ] {
        check(&[1, 2, 4, 4], vec![node], vec![scales(&s)], TOLERANCE);
    }
}

#[test]
fn branches() {
    let conv =
        |x: &str, w: &str, y: &str| with_ints(node("Conv", &[x, w], y), "pads", &[1, 1, 1, 1]);
    let residual = vec![
        conv("x", "w1", "a"),
        node("Relu", &["a"], "b"),
        conv("b", "w2", "c"),
        node("Add", &["c", "a"], "d"),
        node("Sub", &["d", "b"], "e"),
        node("Tanh", &["e"], "y"),
    ];
    let w = |name: &str| weights(name, &[3, 3, 3, 3]);
    check(&[1, 3, 5, 5], residual, vec![w("w1"), w("w2")], 0.02);
    let squeeze = vec![
        conv("x", "w1", "a"),
        node("GlobalAveragePool", &["a"], "b"),
        node("Conv", &["b", "w2"], "c"),
        node("Sigmoid", &["c"], "d"),
        node("Mul", &["a", "d"], "e"),
        node("Add", &["e", "x"], "y"),
    ];
    check(
        &[1, 3, 6, 5],
        squeeze,
        vec![w("w1"), weights("w2", &[3, 3, 1, 1])],
        0.02,
    );
    let spread = vec![
        conv("x", "w1", "a"),
        node("GlobalMaxPool", &["a"], "b"),
        node("Add", &["a", "b"], "c"),
        node("Relu", &["c"], "y"),
    ];
    check(&[1, 3, 4, 5], spread, vec![w("w1")], 0.02);
    let join = vec![
        conv("x", "w1", "a"),
        node("Relu", &["a"], "b"),
        with_int(node("Concat", &["a", "b", "x"], "c"), "axis", 1),
        node("Conv", &["c", "w2"], "y"),
    ];
    check(
        &[1, 3, 4, 5],
        join,
        vec![w("w1"), weights("w2", &[2, 9, 2, 2])],
        0.02,
    );
    let lines = vec![
        conv("x", "w1", "a"),
        with_int(node("Concat", &["a", "x"], "c"), "axis", 2),
        with_ints(node("Conv", &["c", "w2"], "y"), "pads", &[1, 1, 1, 1]),
    ];
    check(
        &[1, 3, 4, 5],
        lines,
        vec![w("w1"), weights("w2", &[2, 3, 3, 3])],
        0.02,
    );
}

#[test]
fn slices_and_splits() {
    let slice = vec![
        node("Slice", &["x", "starts", "ends", "axes", "steps"], "a"),
        node("Conv", &["a", "w"], "y"),
    ];
    let constants = vec![
        ints("starts", &[1, 1, 0]),
        ints("ends", &[3, 6, 100]),
        ints("axes", &[1, 2, -1]),
        ints("steps", &[1, 2, 3]),
        weights("w", &[2, 2, 2, 2]),
    ];
    check(&[1, 4, 7, 8], slice, constants, TOLERANCE);
    let mut split = with_int(node("Split", &["x", "parts"], "a"), "axis", 1);
    split.output.push("b".to_owned());
    let nodes = vec![
        split,
        node("Conv", &["a", "w"], "c"),
        node("Conv", &["b", "v"], "d"),
        node("Add", &["c", "d"], "y"),
    ];
    let constants = vec![
        ints("parts", &[1, 3]),
        weights("w", &[2, 1, 2, 2]),
        weights("v", &[2, 3, 2, 2]),
    ];
    check(&[1, 4, 5, 5], nodes, constants, TOLERANCE);
}

#[test]
fn normalisation_before_and_after() {
    let parameters = |n: i64| {
        vec![
            weights("s", &[n]),
            weights("o", &[n]),
            weights("m", &[n]),
            floats("v", &[n], &[0.5, 1.0, 2.0][..n as usize]),
        ]
    };
    let batch = |x: &str, y: &str| node("BatchNormalization", &[x, "s", "o", "m", "v"], y);
    let conv = |x: &str, y: &str| with_ints(node("Conv", &[x, "w"], y), "pads", &[1, 1, 1, 1]);
    let mut constants = parameters(3);
    constants.push(weights("w", &[3, 3, 3, 3]));
    let before = check(
        &[1, 3, 5, 4],
        vec![batch("x", "a"), conv("a", "y")],
        constants.clone(),
        TOLERANCE,
    );
    assert_eq!(
        before.layers.len(),
        2,
        "padding is 0 after the normalisation"
    );
    let after = check(
        &[1, 3, 5, 4],
        vec![conv("x", "a"), batch("a", "y")],
        constants,
        TOLERANCE,
    );
    assert_eq!(after.layers.len(), 1);
}

#[test]
fn flattening_keeps_the_order_of_features() {
    let head = |x: &str| {
        vec![
            with_int(node("Flatten", &[x], "f"), "axis", 1),
            node("MatMul", &["f", "m"], "y"),
        ]
    };
    let conv = || node("Conv", &["x", "w"], "a");
    let constants = || vec![weights("w", &[2, 3, 2, 2]), weights("m", &[24, 5])];
    let mut nodes = vec![conv(), node("Relu", &["a"], "b")];
    nodes.extend(head("b"));
    let first = check(&[1, 3, 4, 5], nodes, constants(), TOLERANCE);
    assert_eq!(first.layers.len(), 2);
    let mut nodes = vec![
        conv(),
        node("Relu", &["a"], "b"),
        with_ints(node("Transpose", &["b"], "c"), "perm", &[0, 2, 3, 1]),
    ];
    nodes.extend(head("c"));
    check(&[1, 3, 4, 5], nodes, constants(), TOLERANCE);
    // Read as an image and flattened. Few outputs read an image, too; of many the overhang would cost more than
    // rows for every pixel, and the flattened reader gets a copy.
    for (outputs, is_copied) in [(5, false), (64, true)] {
        let mut nodes = vec![
            conv(),
            node("Relu", &["a"], "b"),
            node("Conv", &["b", "u"], "c"),
            node("GlobalAveragePool", &["c"], "d"),
        ];
        nodes.push(with_int(node("Flatten", &["d"], "g"), "axis", 1));
        nodes.push(with_int(node("Flatten", &["b"], "f"), "axis", 1));
        nodes.push(node("MatMul", &["f", "m"], "h"));
        nodes.push(node("Add", &["g", "h"], "y"));
        let all = vec![
            weights("w", &[2, 3, 2, 2]),
            weights("m", &[24, outputs]),
            weights("u", &[outputs, 2, 1, 1]),
        ];
        let both = check(&[1, 3, 4, 5], nodes, all, TOLERANCE);
        let has_copy = both.layers.iter().any(|l| l.name.ends_with("(copy)"));
        assert_eq!(has_copy, is_copied, "{outputs} outputs");
    }
}

#[test]
fn channels_last_inputs() {
    let nodes = vec![
        with_ints(node("Transpose", &["x"], "t"), "perm", &[0, 3, 1, 2]),
        with_ints(node("Conv", &["t", "w"], "c"), "pads", &[1, 1, 1, 1]),
        with_ints(node("Transpose", &["c"], "d"), "perm", &[0, 2, 3, 1]),
        node("Reshape", &["d", "shape"], "y"),
    ];
    let constants = vec![weights("w", &[4, 3, 3, 3]), ints("shape", &[1, -1, 2])];
    let graph = check(&[1, 4, 5, 3], nodes, constants, TOLERANCE);
    assert_eq!(graph.layers.len(), 1);
}

/// Boxes of two sizes, joined in one list.
#[test]
fn feature_maps_of_two_sizes_are_joined() {
    let boxes = |x: &str, t: &str, y: &str| {
        vec![
            with_ints(node("Transpose", &[x], t), "perm", &[0, 2, 3, 1]),
            node("Reshape", &[t, "shape"], y),
        ]
    };
    let mut nodes = vec![
        node("Conv", &["x", "w"], "a"),
        with_ints(node("Conv", &["x", "w"], "b"), "strides", &[2, 2]),
    ];
    nodes.extend(boxes("a", "at", "ar"));
    nodes.extend(boxes("b", "bt", "br"));
    nodes.push(with_int(node("Concat", &["ar", "br"], "y"), "axis", 1));
    let constants = vec![weights("w", &[4, 3, 2, 2]), ints("shape", &[1, -1, 2])];
    check(&[1, 3, 5, 6], nodes, constants, TOLERANCE);
}

#[test]
fn functions_of_one_variable() {
    let unary = |op: &str| node(op, &["c"], "y");
    let cases = vec![
        (unary("Relu"), Function::Relu),
        (unary("HardSwish"), Function::HardSwish),
        (unary("Softplus"), Function::Softplus),
        (
            with_float(unary("LeakyRelu"), "alpha", 0.1),
            Function::LeakyRelu {
                alpha: air::graph::Param::new(0.1),
            },
        ),
        (
            with_float(unary("Elu"), "alpha", 0.7),
            Function::Elu {
                alpha: air::graph::Param::new(0.7),
            },
        ),
        (
            with_float(with_float(unary("HardSigmoid"), "alpha", 0.3), "beta", 0.4),
            Function::HardSigmoid {
                alpha: air::graph::Param::new(0.3),
                beta: air::graph::Param::new(0.4),
            },
        ),
        (
            node("Clip", &["c", "lo", "hi"], "y"),
            Function::Clip {
                lo: air::graph::Param::new(-0.5),
                hi: air::graph::Param::new(1.25),
            },
        ),
        (
            node("Clip", &["c", "zero", "hi"], "y"),
            Function::Clip {
                lo: air::graph::Param::new(0.0),
                hi: air::graph::Param::new(1.25),
            },
        ),
        (
            node("PRelu", &["c", "same"], "y"),
            Function::LeakyRelu {
                alpha: air::graph::Param::new(0.25),
            },
        ),
    ];
    for (last, function) in cases {
        let nodes = vec![node("Conv", &["x", "w"], "c"), last];
        let scalar = |name: &str, v: f32| floats(name, &[], &[v]);
        let constants = vec![
            weights("w", &[2, 2, 2, 2]),
            scalar("lo", -0.5),
            scalar("zero", 0.0),
            scalar("hi", 1.25),
            floats("same", &[2, 1, 1], &[0.25, 0.25]),
        ];
        let graph = check(&[1, 2, 5, 5], nodes, constants, TOLERANCE);
        assert_eq!(graph.layers.len(), 1);
        assert_eq!(graph.layers[0].activation, function);
    }
    let nodes = vec![
        node("Conv", &["x", "w"], "c"),
        node("PRelu", &["c", "slopes"], "y"),
    ];
    let constants = vec![
        weights("w", &[2, 2, 2, 2]),
        floats("slopes", &[2, 1, 1], &[0.25, -0.5]),
    ];
    check(&[1, 2, 5, 5], nodes, constants, TOLERANCE);
}

/// What exporters take apart is one layer again.
#[test]
fn functions_are_recognised_in_pieces() {
    let conv = || node("Conv", &["x", "w"], "c");
    let hard = |last: NodeProto| {
        vec![
            conv(),
            node("Add", &["c", "three"], "d"),
            node("Clip", &["d", "zero", "six"], "e"),
            node("Mul", &["c", "e"], "f"),
            last,
        ]
    };
    let cases = vec![
        (hard(node("Div", &["f", "six"], "y")), Function::HardSwish),
        (hard(node("Mul", &["sixth", "f"], "y")), Function::HardSwish),
        (
            vec![
                conv(),
                with_float(node("HardSigmoid", &["c"], "g"), "alpha", 1.0 / 6.0),
                node("Mul", &["g", "c"], "y"),
            ],
            Function::HardSwish,
        ),
        (
            vec![
                conv(),
                node("Sigmoid", &["c"], "g"),
                node("Mul", &["c", "g"], "y"),
            ],
            Function::Silu,
        ),
        (
            vec![
                conv(),
                node("Mul", &["c", "sixth"], "g"),
                node("Max", &["g", "c"], "y"),
            ],
            Function::LeakyRelu {
                alpha: air::graph::Param::new(1.0 / 6.0),
            },
        ),
        (
            vec![
                conv(),
                node("Div", &["c", "root"], "d"),
                node("Erf", &["d"], "e"),
                node("Add", &["e", "one"], "f"),
                node("Mul", &["c", "f"], "g"),
                node("Mul", &["g", "half"], "y"),
            ],
            Function::Gelu,
        ),
    ];
    for (nodes, function) in cases {
        let scalar = |name: &str, v: f32| floats(name, &[], &[v]);
        let constants = vec![
            weights("w", &[2, 2, 2, 2]),
            scalar("three", 3.0),
            scalar("zero", 0.0),
            scalar("six", 6.0),
            scalar("sixth", 1.0 / 6.0),
            scalar("root", std::f32::consts::SQRT_2),
            scalar("one", 1.0),
            scalar("half", 0.5),
        ];
        let graph = check(&[1, 2, 5, 5], nodes, constants, TOLERANCE);
        assert_eq!(graph.layers.len(), 1);
        assert_eq!(graph.layers[0].activation, function);
    }
}

#[test]
fn refusals_name_the_node() {
    let refuse =
        |shape: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>, reason: &str| {
            let error = import_bytes(
                &bytes(&model(shape, nodes, constants)),
                &ImportOptions::default(),
            )
            .unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, ImportError::Unsupported { ref node, .. } if node == "node_y"),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        };
    let image = [1, 2, 4, 4];
    let conv = node("Conv", &["x", "w"], "y");
    refuse(
        &image,
        vec![conv.clone()],
        vec![weights("w", &[2, 3, 1, 1])],
        "do not fit",
    );
    refuse(
        &image,
        vec![conv.clone()],
        vec![weights("w", &[2, 2, 5, 5])],
        "larger than",
    );
    refuse(
        &image,
        vec![with_text(conv.clone(), "auto_pad", "ODD")],
        vec![weights("w", &[2, 2, 1, 1])],
        "ODD",
    );
    refuse(
        &image,
        vec![with_ints(conv, "strides", &[0, 1])],
        vec![weights("w", &[2, 2, 1, 1])],
        "strides",
    );
    let pool = with_ints(node("MaxPool", &["x"], "y"), "kernel_shape", &[2, 2]);
    refuse(
        &image,
        vec![with_int(pool, "storage_order", 1)],
        vec![],
        "storage_order",
    );
    let resize = with_text(node("Resize", &["x", "", "s"], "y"), "mode", "cubic");
    refuse(
        &image,
        vec![resize],
        vec![floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])],
        "cubic",
    );
    let scaled = node("Resize", &["x", "", "s"], "y");
    refuse(
        &image,
        vec![scaled],
        vec![floats("s", &[4], &[1.0, 1.0, 1.5, 1.5])],
        "whole factor",
    );
    let pad = with_text(node("Pad", &["x", "p"], "y"), "mode", "wrap");
    refuse(
        &image,
        vec![pad],
        vec![ints("p", &[0, 0, 1, 0, 0, 0, 0, 0])],
        "wrap",
    );
    let crop = node("Pad", &["x", "p"], "y");
    let pads = ints("p", &[0, 0, 0, 0, 0, 0, -1, 0]);
    refuse(&image, vec![crop], vec![pads], "negative");
    refuse(
        &image,
        vec![
            node("Conv", &["x", "c"], "c0"),
            node("Mul", &["c0", "x"], "y"),
        ],
        vec![weights("c", &[2, 2, 1, 1])],
        "multiplied",
    );
    refuse(
        &image,
        vec![
            node("Conv", &["x", "c"], "c0"),
            node("Add", &["c0", "k"], "y"),
        ],
        vec![weights("c", &[2, 2, 1, 1]), weights("k", &[1, 2, 4, 4])],
        "differs between positions",
    );
}
