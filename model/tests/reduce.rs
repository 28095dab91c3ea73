//! Maxima, Softmax and ArgMax over channels and over axes of positions, float and quantised, against an
//! independent run of small files.

mod support;

use air::graph::Function;
use model::accuracy::run_quantised;
use model::{FloatRunner, ImportOptions, QuantOptions, Sample, import_bytes, quantise};
use support::agree::{check, noise, weights};
use support::onnx::*;
use tract_onnx::pb::{NodeProto, TensorProto};

/// Of a probability, relative to the largest.
const TOLERANCE: f64 = 0.01;

fn dense(width: i64) -> (NodeProto, TensorProto) {
    (node("MatMul", &["x", "w"], "s"), weights("w", &[4, width]))
}

#[test]
fn softmax_over_channels() {
    // One, two and three logarithms.
    for width in [2, 3, 10, 16, 17, 300] {
        for op in ["Softmax", "LogSoftmax"] {
            let (scores, w) = dense(width);
            let nodes = vec![scores, with_int(node(op, &["s"], "y"), "axis", -1)];
            let graph = check(&[1, 4], nodes, vec![w], TOLERANCE);
            let logs = graph
                .layers
                .iter()
                .filter(|l| matches!(l.activation, Function::Log { .. }));
            let expected = (width as f64).log(16.0).ceil() as usize;
            assert_eq!(logs.count(), expected, "{op} of {width}");
        }
    }
}

#[test]
fn softmax_of_images() {
    let conv = || node("Conv", &["x", "w"], "s");
    let cases = [
        // Every pixel by itself, along a line, and down a column.
        with_int(node("Softmax", &["s"], "y"), "axis", 1),
        with_int(node("Softmax", &["s"], "y"), "axis", 3),
        with_int(node("Softmax", &["s"], "y"), "axis", -2),
    ];
    for softmax in cases {
        let w = weights("w", &[5, 3, 2, 2]);
        check(&[1, 3, 6, 7], vec![conv(), softmax], vec![w], TOLERANCE);
    }
}

/// In old operator sets all dimensions from the axis on are one.
#[test]
fn softmax_of_everything_at_once() {
    let w = weights("w", &[2, 3, 2, 2]);
    let nodes = vec![
        node("Conv", &["x", "w"], "s"),
        with_int(node("Softmax", &["s"], "y"), "axis", 1),
    ];
    let mut file = model(&[1, 3, 4, 5], nodes, vec![w]);
    file.opset_import[0].version = 11;
    let bytes = bytes(&file);
    let options = ImportOptions::default();
    let graph = import_bytes(&bytes, &options).unwrap();
    let runner = FloatRunner::from_bytes(&bytes, &options).unwrap();
    let samples: Vec<Sample> = (0..4).map(|seed| vec![noise(seed, 60)]).collect();
    let (integers, _) = quantise(&graph, Some(&samples), &QuantOptions::default()).unwrap();
    for (i, sample) in samples.iter().enumerate() {
        let expected = runner.run(sample).unwrap().concat();
        let got = run_quantised(&integers, i, sample).unwrap().concat();
        let sum: f64 = got.iter().sum();
        assert!((sum - 1.0).abs() < 0.005, "{sum}");
        for (g, e) in got.iter().zip(&expected) {
            assert!((g - f64::from(*e)).abs() < 0.002, "{g} {e}");
        }
    }
}

/// Scores far from each other, and all alike: nothing saturates to nonsense.
#[test]
fn softmax_at_its_ends() {
    let large = floats("c", &[1], &[400.0]);
    let nodes = vec![node("Mul", &["x", "c"], "s"), node("Softmax", &["s"], "y")];
    let bytes = bytes(&model(&[1, 4], nodes, vec![large]));
    let graph = import_bytes(&bytes, &ImportOptions::default()).unwrap();
    let samples: Vec<Sample> = vec![
        vec![vec![1.0, -1.0, 0.0, 0.5]],
        vec![vec![0.0; 4]],
        vec![vec![-1.0, -1.0, 1.0, 1.0]],
    ];
    let (integers, _) = quantise(&graph, Some(&samples), &QuantOptions::default()).unwrap();
    let run = |i: usize| run_quantised(&integers, i, &samples[i]).unwrap().concat();
    assert_eq!(run(0), [1.0, 0.0, 0.0, 0.0]);
    for (i, expected) in [(1, [0.25; 4]), (2, [0.0, 0.0, 0.5, 0.5])] {
        for (got, e) in run(i).iter().zip(expected) {
            assert!((got - e).abs() < 0.001, "{got} {e}");
        }
    }
}

/// The classes of a file with one ArgMax, and those of the ONNX library.
fn classes(arg_max: NodeProto, samples: &[Sample]) -> Vec<Vec<f64>> {
    let width = samples[0][0].len() as i64;
    let bytes = bytes(&model(&[1, width], vec![arg_max], vec![]));
    let options = ImportOptions::default();
    let graph = import_bytes(&bytes, &options).unwrap();
    let (integers, _) = quantise(&graph, Some(samples), &QuantOptions::default()).unwrap();
    let run = |(i, s): (usize, &Sample)| run_quantised(&integers, i, s).unwrap().concat();
    samples.iter().enumerate().map(run).collect()
}

#[test]
fn the_first_of_equals_wins_or_the_last() {
    let samples: Vec<Sample> = [
        [0.5, 1.0, -1.0, 1.0, 0.0],
        [-1.0; 5],
        [0.0, 0.0, 0.0, 0.0, 0.25],
        [-0.5, -0.25, -0.25, -0.75, -1.0],
    ]
    .map(|s| vec![s.to_vec()])
    .to_vec();
    let arg_max = with_int(node("ArgMax", &["x"], "y"), "axis", 1);
    assert_eq!(
        classes(arg_max.clone(), &samples),
        [[1.0], [0.0], [4.0], [1.0]]
    );
    let last = with_int(arg_max, "select_last_index", 1);
    assert_eq!(classes(last, &samples), [[3.0], [4.0], [4.0], [2.0]]);
}

#[test]
fn arg_max_after_layers() {
    // 300 classes of one vector, of which calibration sees a few; and five for every pixel.
    let (scores, w) = dense(300);
    let nodes = vec![scores, with_int(node("ArgMax", &["s"], "y"), "axis", -1)];
    check(&[1, 4], nodes, vec![w], 0.0);
    let arg_max = with_int(node("ArgMax", &["s"], "y"), "axis", 1);
    let nodes = vec![
        node("Conv", &["x", "w"], "s"),
        with_int(arg_max, "keepdims", 0),
    ];
    check(&[1, 3, 5, 4], nodes, vec![weights("w", &[5, 3, 2, 2])], 0.0);
}

#[test]
fn maxima_over_axes() {
    let cases = [vec![2, 3], vec![1], vec![-1], vec![1, 2, 3]];
    for axes in cases {
        for keepdims in [0, 1] {
            let max = with_ints(node("ReduceMax", &["s"], "y"), "axes", &axes);
            let nodes = vec![
                node("Conv", &["x", "w"], "s"),
                with_int(max, "keepdims", keepdims),
            ];
            check(
                &[1, 3, 6, 5],
                nodes,
                vec![weights("w", &[7, 3, 2, 2])],
                TOLERANCE,
            );
        }
    }
    let nodes = vec![node("GlobalMaxPool", &["x"], "y")];
    check(&[2, 3, 7, 5], nodes, vec![], TOLERANCE);
}

#[test]
fn refusals_name_the_node() {
    let cases = [
        (
            with_int(node("ArgMax", &["x"], "y"), "axis", 2),
            "positions, not channels",
        ),
        (node("ReduceMax", &["x"], "y"), "without axes"),
    ];
    for (reduce, reason) in cases {
        let bytes = bytes(&model(
            &[1, 3, 4, 4],
            vec![node("Relu", &["x"], "r"), reduce],
            vec![],
        ));
        let error = import_bytes(&bytes, &ImportOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("node_y") && error.contains(reason),
            "{error}"
        );
    }
}
