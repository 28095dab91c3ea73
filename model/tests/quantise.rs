//! Properties of quantisation on models nobody chose: it is close to the floats inside the
//! calibrated range, and has an answer everywhere else.

mod support;

use air::graph::{Encoding, EvalError, Function, Range, evaluate};
use model::accuracy::{InputError, dequantise_outputs, quantise_inputs, run_quantised};
use model::{
    FIELD_MODULUS, FloatGraph, FloatLayer, FloatTensor, FloatTerm, QuantError, QuantOptions,
    Sample, quantise,
};
use proptest::prelude::*;

/// A small generator of numbers in [-1, 1).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

fn mlp(
    widths: &[usize],
    positions: usize,
    function: Function,
    scale: f32,
    seed: u64,
) -> FloatGraph {
    let mut rng = Rng(seed);
    let mut tensors = vec![FloatTensor::dense("x", widths[0], positions)];
    let mut layers = Vec::new();
    for (i, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let is_last = i + 2 == widths.len();
        let gain = scale / (inputs as f32).sqrt();
        tensors.push(FloatTensor::dense(&format!("t{i}"), outputs, positions));
        let weights = (0..inputs * outputs).map(|_| rng.next() * gain).collect();
        let term = FloatTerm::dense(i, inputs, outputs, [1, 1, positions as u32], weights);
        let bias = (0..outputs).map(|_| rng.next() * scale * 0.1).collect();
        let activation = if is_last {
            Function::Identity
        } else {
            function
        };
        let name = format!("layer{i}");
        layers.push(FloatLayer::dense(&name, term, bias, i + 1, activation));
    }
    FloatGraph {
        apart: None,
        inputs: 1,
        outputs: vec![layers.len()],
        tensors,
        layers,
        nodes: vec![],
    }
}

fn samples(graph: &FloatGraph, count: usize, size: f32, seed: u64) -> Vec<Sample> {
    let mut rng = Rng(seed);
    let len = graph.tensors[0].len();
    (0..count)
        .map(|_| vec![(0..len).map(|_| rng.next() * size).collect()])
        .collect()
}

/// The size that outputs have where nothing cancels: root mean squares of weights and of what they meet.
fn weight_of_last_layer(graph: &FloatGraph, sample: &Sample) -> f64 {
    let last = graph.layers.last().expect("it has layers");
    let trace = graph.trace(sample).expect("it evaluates");
    let hidden = &trace.tensors[last.terms[0].input];
    let norm = |values: &[f32]| {
        let squares = values.iter().map(|&x| f64::from(x) * f64::from(x));
        squares.sum::<f64>().sqrt()
    };
    let positions = graph.tensors[last.output].positions() as f64;
    norm(&last.terms[0].values) * norm(hidden) / (last.bias.len() as f64 * positions).sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_networks_stay_close_and_never_overflow(
        widths in prop::collection::vec(1usize..40, 2..5),
        positions in 1usize..4,
        function in prop::sample::select(vec![
            Function::Relu, Function::Sigmoid, Function::Tanh, Function::Identity,
        ]),
        log_scale in -12i32..12,
        log_size in -12i32..12,
        bits in 8u32..=16,
        seed in any::<u64>(),
    ) {
        let (scale, size) = ((log_scale as f32).exp2(), (log_size as f32).exp2());
        let graph = mlp(&widths, positions, function, scale, seed);
        let calibration = samples(&graph, 32, size, seed ^ 1);
        let options = QuantOptions { bits, ..QuantOptions::default() };
        let (model, report) = quantise(&graph, Some(&calibration), &options).unwrap();
        prop_assert_eq!(model.validate(FIELD_MODULUS), Ok(()));
        prop_assert_eq!(report.layers.len(), graph.layers.len());
        // Calibration data: close to the floats, unless a squashing function amplifies its
        // argument's rounding by a large weight.
        if matches!(function, Function::Relu | Function::Identity) && bits >= 12 {
            let mut worst = 0f64;
            let mut largest = 0f64;
            for (i, sample) in calibration.iter().enumerate() {
                let floats = graph.evaluate(sample).unwrap().concat();
                let integers = run_quantised(&model, i, sample).unwrap().concat();
                // An output in which nearly all cancels has the error of what cancels.
                largest = largest.max(0.1 * weight_of_last_layer(&graph, sample));
                for (f, q) in floats.iter().zip(&integers) {
                    worst = worst.max((f64::from(*f) - q).abs());
                    largest = largest.max(f64::from(*f).abs());
                }
            }
            prop_assert!(worst <= 0.02 * largest, "{worst} {largest}");
        }
        // Anything finite: saturates, and still evaluates.
        for extreme in [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e9, -1e9] {
            let sample = vec![vec![extreme; graph.tensors[0].len()]];
            prop_assert!(run_quantised(&model, 0, &sample).is_ok());
        }
        // Every corner the bounds were computed for.
        let range = model.graph.tensors[0].range;
        for corner in [range.lo, range.hi] {
            let input = vec![vec![corner; model.graph.tensors[0].len()]];
            prop_assert!(evaluate(&model, &input).is_ok());
        }
    }
}

/// The worst input of every output, sign by sign: exactly where bounds would fail.
#[test]
fn worst_case_inputs_are_representable() {
    let graph = mlp(&[64, 32, 5], 1, Function::Relu, 3.0, 11);
    let calibration = samples(&graph, 16, 1.0, 12);
    let (model, _) = quantise(&graph, Some(&calibration), &QuantOptions::default()).unwrap();
    let (range, weights) = (model.graph.tensors[0].range, &model.weights[0]);
    for j in 0..32usize {
        for negate in [false, true] {
            let pick = |k: usize| {
                let positive = weights.terms[0][k * 32 + j] > 0;
                if positive != negate {
                    range.hi
                } else {
                    range.lo
                }
            };
            let input: Vec<i32> = (0..64).map(pick).collect();
            assert!(evaluate(&model, &[input]).is_ok());
        }
    }
}

#[test]
fn activations_have_the_documented_domains() {
    for (function, domain, image) in [
        (Function::Relu, Range::unsigned(12), Range::unsigned(12)),
        (Function::Sigmoid, Range::signed(12), Range::unsigned(12)),
        (Function::Tanh, Range::signed(12), Range::signed(12)),
    ] {
        let graph = mlp(&[8, 8, 2], 1, function, 2.0, 3);
        let calibration = samples(&graph, 16, 1.0, 4);
        let (model, _) = quantise(&graph, Some(&calibration), &QuantOptions::default()).unwrap();
        let activation = model.graph.layers[0].requant.activation;
        assert_eq!(
            (activation.domain, activation.image),
            (domain, image),
            "{function}"
        );
        if function == Function::Relu {
            assert_eq!(activation.in_frac_bits, activation.out_frac_bits);
        }
        assert_eq!(model.graph.tensors[0].range, Range::signed(12));
    }
}

#[test]
fn pixels_use_the_finest_grid_and_raw_features_their_own() {
    let graph = mlp(&[4, 2], 1, Function::Identity, 1.0, 5);
    let pixels = vec![vec![vec![0.0, 1.0, 0.5, 0.25]]];
    let (model, _) = quantise(&graph, Some(&pixels), &QuantOptions::default()).unwrap();
    let input = &model.graph.tensors[0];
    assert_eq!(input.range, Range::unsigned(12));
    assert_eq!(input.encoding, Encoding::Uniform { frac_bits: 12 });

    let case = support::bundled().swap_remove(0);
    assert_eq!(case.name, "logreg_cancer");
    let (model, report) = quantise(&case.graph, None, &QuantOptions::default()).unwrap();
    let Encoding::PerFeature { frac_bits, .. } = &model.graph.tensors[0].encoding else {
        panic!("expected a scale for each feature");
    };
    // Areas of thousands beside fractal dimensions of thousandths.
    let (coarsest, finest) = (frac_bits.iter().min(), frac_bits.iter().max());
    assert!(finest.unwrap() - coarsest.unwrap() >= 10);
    assert!(report.warnings.iter().any(|w| w.contains("synthetic")));
}

#[test]
fn layout_is_feature_major_inside_and_row_major_outside() {
    let graph = mlp(&[3, 2], 4, Function::Identity, 1.0, 6);
    let calibration = samples(&graph, 8, 1.0, 7);
    let (model, _) = quantise(&graph, Some(&calibration), &QuantOptions::default()).unwrap();
    let row_major: Vec<f32> = (0..12).map(|i| i as f32 / 16.0).collect();
    let integers = quantise_inputs(&model.graph, std::slice::from_ref(&row_major)).unwrap();
    let unit = model.graph.tensors[0].encoding.dequantise(0, 1);
    for p in 0..4 {
        for f in 0..3 {
            let real = f64::from(integers[0][f * 4 + p]) * unit;
            assert!((real - f64::from(row_major[p * 3 + f])).abs() <= unit);
        }
    }
    // Feature 0 of all positions, then feature 1.
    let outputs = dequantise_outputs(&model.graph, &[(0..8).collect()]);
    let unit = model.graph.tensors[1].encoding.dequantise(0, 1);
    let expected = [0, 4, 1, 5, 2, 6, 3, 7].map(|q| f64::from(q) * unit);
    assert_eq!(outputs[0], expected);
}

#[test]
fn bad_requests_have_their_own_errors() {
    let graph = mlp(&[2, 2], 1, Function::Identity, 1.0, 8);
    let one = vec![vec![vec![0.5, -0.5]]];
    let with_bits = |bits| {
        quantise(
            &graph,
            Some(&one),
            &QuantOptions {
                bits,
                ..QuantOptions::default()
            },
        )
    };
    assert!(matches!(with_bits(7), Err(QuantError::Bits { got: 7, .. })));
    assert!(matches!(
        with_bits(17),
        Err(QuantError::Bits { got: 17, .. })
    ));
    let options = QuantOptions::default();
    let none = quantise(&graph, Some(&[]), &options);
    assert!(matches!(none, Err(QuantError::NoSamples)));
    let nan = quantise(&graph, Some(&[vec![vec![0.0, f32::NAN]]]), &options);
    assert!(matches!(nan, Err(QuantError::NotFinite { index: 1, .. })));
    let short = quantise(&graph, Some(&[vec![vec![0.0]]]), &options);
    assert!(matches!(short, Err(QuantError::Sample { index: 0, .. })));

    let (model, _) = quantise(&graph, Some(&one), &options).unwrap();
    let nan = quantise_inputs(&model.graph, &[vec![f32::NAN, 0.0]]);
    assert!(matches!(nan, Err(InputError::NotFinite { index: 0, .. })));
    let out_of_range = vec![vec![i32::MAX, 0]];
    let error = evaluate(&model, &out_of_range);
    assert!(matches!(error, Err(EvalError::InputRange { .. })));
}

#[test]
fn constant_and_dead_layers_quantise() {
    let mut graph = mlp(&[4, 3, 2], 1, Function::Relu, 1.0, 9);
    graph.layers[0].terms[0].values.fill(0.0);
    graph.layers[0].bias.fill(-1.0);
    let calibration = samples(&graph, 4, 1.0, 10);
    let (model, _) = quantise(&graph, Some(&calibration), &QuantOptions::default()).unwrap();
    let expected = graph.evaluate(&calibration[0]).unwrap().concat();
    let got = run_quantised(&model, 0, &calibration[0]).unwrap().concat();
    for (e, g) in expected.iter().zip(got) {
        assert!((f64::from(*e) - g).abs() < 1e-3);
    }
}
