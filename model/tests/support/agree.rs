//! Small files, run as floats and as integers, and by the ONNX library.

use air::graph::evaluate;
use air::layout::Layout;
use model::accuracy::{quantise_inputs, run_quantised};
use model::{
    FIELD_MODULUS, FloatGraph, FloatRunner, ImportOptions, QuantOptions, Sample, import_bytes,
    quantise,
};
use tract_onnx::pb::{NodeProto, TensorProto};

use super::onnx::{bytes, floats, model};

/// Numbers in [-1, 1), the same in every run.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub fn weights(name: &str, dims: &[i64]) -> TensorProto {
    let len: i64 = dims.iter().product();
    let seed = name.bytes().map(u64::from).sum();
    floats(name, dims, &noise(seed, len as usize))
}

/// Imports, and compares floats and integers with the ONNX library. `tolerance` is that of the
/// integers, relative to the largest output.
pub fn check(
    shape: &[i64],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    tolerance: f64,
) -> FloatGraph {
    let what = nodes
        .iter()
        .map(|n| {
            format!(
                "{} {:?}",
                n.op_type,
                n.attribute
                    .iter()
                    .map(|a| (&a.name, &a.ints, a.i))
                    .collect::<Vec<_>>()
            )
        })
        .collect::<Vec<_>>()
        .join(", ");
    let bytes = bytes(&model(shape, nodes, constants));
    let options = ImportOptions::default();
    let graph = import_bytes(&bytes, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let runner = FloatRunner::from_bytes(&bytes, &options).unwrap();
    let len = shape.iter().product::<i64>() as usize;
    let samples: Vec<Sample> = (0..8).map(|seed| vec![noise(seed + 100, len)]).collect();
    let mut forms = vec![FloatGraph {
        apart: None,
        ..graph.clone()
    }];
    forms.extend(graph.apart.as_deref().cloned());
    for form in &forms {
        check_form(form, &runner, &samples, tolerance, &what);
    }
    graph
}

/// Compares floats and integers of one form of a graph with the ONNX library.
fn check_form(
    graph: &FloatGraph,
    runner: &FloatRunner,
    samples: &[Sample],
    tolerance: f64,
    what: &str,
) {
    let (integers, _) = quantise(graph, Some(samples), &QuantOptions::default())
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(integers.validate(FIELD_MODULUS), Ok(()), "{what}");
    let layout = Layout::new(&integers.graph, None, FIELD_MODULUS);
    assert_eq!(layout.map(|_| ()), Ok(()), "{what}");
    for (index, sample) in samples.iter().enumerate() {
        let expected = runner.run(sample).unwrap().concat();
        let float = graph.evaluate(sample).unwrap().concat();
        let quantised = run_quantised(&integers, index, sample).unwrap().concat();
        assert_eq!(float.len(), expected.len(), "{what}");
        let scale = expected
            .iter()
            .fold(1e-3f64, |m, x| m.max(f64::from(x.abs())));
        for (i, e) in expected.iter().enumerate() {
            let error = (f64::from(float[i]) - f64::from(*e)).abs();
            assert!(error <= 2e-5 * scale, "{what}: float {i}: {} {e}", float[i]);
            let error = (quantised[i] - f64::from(*e)).abs();
            assert!(
                error <= tolerance * scale,
                "{what}: integer {i}: {} {e}",
                quantised[i]
            );
        }
    }
    // Corners of the input's range evaluate as well.
    let range = integers.graph.tensors[0].range;
    for corner in [range.lo, range.hi] {
        assert!(
            evaluate(&integers, &[vec![corner; samples[0][0].len()]]).is_ok(),
            "{what}"
        );
    }
    assert!(quantise_inputs(&integers.graph, &samples[0]).is_ok());
}
