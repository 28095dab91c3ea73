//! Committed cells of each kind of layer, on images large enough that rows are full: what a layer may cost, as a
//! table, and that it costs no more. Cells do not jitter; a change that costs cells must say so here.

mod support;

use air::layout::Layout;
use model::{FIELD_MODULUS, ImportOptions, QuantOptions, Sample, import_bytes, quantise};
use support::agree::noise;
use support::onnx::*;
use tract_onnx::pb::{NodeProto, TensorProto};

/// Extension degree of the field in use.
const DEGREE: usize = 5;

fn kaiming(name: &str, dims: &[i64]) -> TensorProto {
    let fan_in: i64 = dims[1..].iter().product();
    let len = (dims[0] * fan_in) as usize;
    let seed = name.bytes().map(u64::from).sum();
    let scale = (2.0 / fan_in as f32).sqrt();
    let values: Vec<f32> = noise(seed, len).iter().map(|x| x * scale).collect();
    floats(name, dims, &values)
}

/// The committed cells of a model by tensor, in order, under the names of the file.
struct Cells(Vec<(String, usize)>);

impl Cells {
    fn of(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Self {
        let bytes = bytes(&model(&SHAPE, nodes, constants));
        let graph = import_bytes(&bytes, &ImportOptions::default()).expect("it imports");
        let samples: Vec<Sample> = (0..2).map(|seed| vec![noise(seed, SIZE)]).collect();
        let options = QuantOptions::default();
        let (model, _) = quantise(&graph, Some(&samples), &options).expect("it quantises");
        let graph = &model.graph;
        let layout = Layout::new(graph, None, FIELD_MODULUS).expect("it has a layout");
        let names = graph.tensors.iter().map(|t| t.name.clone());
        Self(names.zip(layout.cells_by_tensor(graph, DEGREE)).collect())
    }

    /// Cells of all tensors of this name for each of `units`.
    fn each(&self, name: &str, units: usize) -> f64 {
        let own = self.0.iter().filter(|(n, _)| n == name);
        own.map(|(_, cells)| *cells as f64).sum::<f64>() / units as f64
    }
}

fn within(what: &str, cells: f64, budget: f64) {
    assert!(
        cells <= budget,
        "{what}: {cells:.2} cells, {budget} budgeted"
    );
    assert!(
        cells >= 0.8 * budget,
        "{what}: {cells:.2} cells now, lower the budget of {budget}"
    );
}

fn conv(x: &str, w: &str, y: &str) -> NodeProto {
    let node = with_ints(node("Conv", &[x, w], y), "kernel_shape", &[3, 3]);
    with_ints(node, "pads", &[1, 1, 1, 1])
}

fn pool(op: &str, x: &str, y: &str, kernel: i64) -> NodeProto {
    let pool = with_ints(node(op, &[x], y), "kernel_shape", &[kernel, kernel]);
    let pool = with_ints(pool, "pads", &[kernel / 3, kernel / 3, 0, 0]);
    with_ints(pool, "strides", &[2, 2])
}

fn kernels() -> Vec<TensorProto> {
    ["v", "w"]
        .map(|name| kaiming(name, &[16, 16, 3, 3]))
        .to_vec()
}

const SHAPE: [i64; 4] = [1, 16, 224, 224];
const SIZE: usize = 16 * 224 * 224;

/// Weights, borders and the element itself.
#[test]
fn convolution_with_relu() {
    let cells = Cells::of(
        vec![conv("x", "w", "a"), node("Relu", &["a"], "y")],
        kernels(),
    );
    within("per output", cells.each("y", SIZE), 8.5);
}

#[test]
fn residual_branch() {
    let nodes = vec![
        conv("x", "w", "a"),
        node("Relu", &["a"], "b"),
        conv("b", "v", "c"),
        node("Add", &["c", "b"], "d"),
        node("Relu", &["d"], "y"),
    ];
    within(
        "per output",
        Cells::of(nodes, kernels()).each("y", SIZE),
        9.0,
    );
}

/// In the row of what it compares, a comparison has 3.5 cells; slots and copies come on top.
#[test]
fn maxima() {
    for (kernel, budget) in [(2, 3.2), (3, 6.8)] {
        let nodes = vec![
            conv("x", "w", "a"),
            node("Relu", &["a"], "b"),
            pool("MaxPool", "b", "c", kernel),
            conv("c", "v", "y"),
        ];
        let cells = Cells::of(nodes, kernels());
        within(
            &format!("per input, {kernel}×{kernel}"),
            cells.each("c", SIZE),
            budget,
        );
    }
}

#[test]
fn averages() {
    let nodes = vec![
        conv("x", "w", "a"),
        node("Relu", &["a"], "b"),
        pool("AveragePool", "b", "c", 2),
        node("Relu", &["c"], "y"),
    ];
    within(
        "per input",
        Cells::of(nodes, kernels()).each("y", SIZE),
        2.2,
    );
}

/// Sixteen scores at each pixel: comparisons, two exponentials, a logarithm.
#[test]
fn softmax() {
    let nodes = vec![
        conv("x", "w", "a"),
        with_int(node("Softmax", &["a"], "y"), "axis", 1),
    ];
    within(
        "per score",
        Cells::of(nodes, kernels()).each("y", SIZE),
        20.0,
    );
}

/// Squeeze and excite: the product of an image with one value for each channel.
#[test]
fn gate() {
    let nodes = vec![
        conv("x", "w", "a"),
        node("Relu", &["a"], "b"),
        node("GlobalAveragePool", &["b"], "c"),
        node("Sigmoid", &["c"], "d"),
        node("Mul", &["b", "d"], "y"),
    ];
    within(
        "per output",
        Cells::of(nodes, kernels()).each("y", SIZE),
        9.0,
    );
}
