//! # The evaluator against arithmetic done another way
//!
//! The reference evaluator defines what a graph means; here it is compared with wide integers,
//! another loop order, and rounding spelled out by cases. If this failed, proofs would be about
//! another computation than the documented one.

use crate::common::{MODULUS, Witness, chain, identity, scalar};
use air::graph::{
    Activation, EvalError, Function, LayerWeights, Model, Param, Range, Requant, evaluate,
};
use proptest::prelude::*;

/// Round half up by cases, in 128 bits: the quotient, and what is left.
fn round_shift(acc: i128, shift: u8) -> i128 {
    let unit = 1i128 << shift;
    let (floor, rest) = (acc.div_euclid(unit), acc.rem_euclid(unit));
    if 2 * rest >= unit && shift > 0 {
        floor + 1
    } else {
        floor
    }
}

/// The graph, one output at a time.
fn naive(model: &Model, input: &[i32]) -> Vec<i32> {
    let mut x: Vec<i128> = input.iter().map(|&v| i128::from(v)).collect();
    for (layer, w) in model.graph.layers.iter().zip(&model.weights) {
        let positions = model.graph.tensors[0].positions();
        let map = &layer.terms[0].map;
        let (inputs, outputs) = (map.inputs as usize, map.outputs as usize);
        let mut y = vec![0; outputs * positions];
        for p in 0..positions {
            for j in 0..outputs {
                let dot: i128 = (0..inputs)
                    .map(|k| i128::from(w.terms[0][k * outputs + j]) * x[k * positions + p])
                    .sum();
                let acc = dot + i128::from(w.bias[j]);
                let q = round_shift(acc, layer.requant.shift);
                let domain = layer.requant.activation.domain;
                let q = q.clamp(i128::from(domain.lo), i128::from(domain.hi));
                y[j * positions + p] = i128::from(function(&layer.requant.activation, q));
            }
        }
        x = y;
    }
    x.into_iter().map(|v| v as i32).collect()
}

/// An activation in double precision with the standard library's functions.
fn function(a: &Activation, q: i128) -> i32 {
    let x = q as f64 / f64::from(a.in_frac_bits).exp2();
    let y = match a.function {
        Function::Identity => x,
        Function::Relu => x.max(0.0),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Tanh => x.tanh(),
        Function::Clip { lo, hi } => x.max(lo.value()).min(hi.value()),
        Function::LeakyRelu { alpha } => x.max(0.0) + alpha.value() * x.min(0.0),
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::HardSigmoid { alpha, beta } => (alpha.value() * x + beta.value()).clamp(0.0, 1.0),
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Elu { alpha } => x.max(0.0) + alpha.value() * x.min(0.0).exp_m1(),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Function::Gelu => x * normal(x),
        Function::Exp => x.exp(),
        Function::Log { lo } => (x / lo.value()).clamp(1.0, 16.0).ln(),
        Function::Step => f64::from(u8::from(q >= 0)),
    };
    let y = (y * f64::from(a.out_frac_bits).exp2() + 0.5).floor();
    y.clamp(f64::from(a.image.lo), f64::from(a.image.hi)) as i32
}

/// The distribution function of the normal distribution, by Simpson's rule.
fn normal(x: f64) -> f64 {
    const STEPS: usize = 4000;
    // From here on it is 1 in double precision, and `x` times it a tie.
    if x > 8.5 {
        return 1.0;
    }
    let h = x / STEPS as f64;
    let density = |t: f64| (-t * t / 2.0).exp();
    let weight = |i: usize| match i {
        0 | STEPS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let sum: f64 = (0..=STEPS).map(|i| weight(i) * density(i as f64 * h)).sum();
    0.5 + sum * h / 3.0 / (2.0 * core::f64::consts::PI).sqrt()
}

fn activations() -> impl Strategy<Value = Activation> {
    let functions = prop_oneof![
        Just(Function::Identity),
        Just(Function::Relu),
        Just(Function::Sigmoid),
        Just(Function::Tanh),
        Just(Function::HardSwish),
        Just(Function::Silu),
        Just(Function::Softplus),
        Just(Function::Gelu),
        Just(Function::Exp),
        Just(Function::Step),
        (0.1f32..4.0).prop_map(|lo| Function::Log { lo: Param::new(lo) }),
        (-2.0f32..2.0).prop_map(|a| Function::LeakyRelu {
            alpha: Param::new(a)
        }),
        (0.0f32..2.0).prop_map(|a| Function::Elu {
            alpha: Param::new(a)
        }),
        (0.0f32..1.0, 0.0f32..1.0).prop_map(|(a, b)| Function::HardSigmoid {
            alpha: Param::new(a),
            beta: Param::new(b),
        }),
        (-3.0f32..0.0, 0.0f32..3.0).prop_map(|(a, b)| Function::Clip {
            lo: Param::new(a),
            hi: Param::new(b),
        }),
    ];
    (functions, 0i16..7, 0i16..8).prop_map(|(function, in_frac_bits, out_frac_bits)| Activation {
        function,
        in_frac_bits,
        out_frac_bits,
        domain: Range::signed(8),
        image: Range::signed(8),
    })
}

prop_compose! {
    fn requants()(shift in 0u8..12, activation in activations()) -> Requant {
        Requant { shift, excess_bits: 14, activation }
    }
}

prop_compose! {
    fn models()(
        widths in prop::collection::vec(1u32..7, 2..4),
        positions in 1u32..4,
    )(
        requants in prop::collection::vec(requants(), widths.len() - 1),
        values in prop::collection::vec(-200i16..=200, 64),
        bias in prop::collection::vec(-3000i32..=3000, 8),
        widths in Just(widths),
        positions in Just(positions),
    ) -> Model {
        let weights = widths
            .windows(2)
            .map(|pair| {
                let values = values[..(pair[0] * pair[1]) as usize].to_vec();
                LayerWeights::dense(values, bias[..pair[1] as usize].to_vec())
            })
            .collect();
        let mut requants = requants;
        for requant in &mut requants {
            // As much excess as the field allows.
            while requant.span() > MODULUS as i64 {
                requant.excess_bits -= 1;
            }
        }
        chain(positions, Range::signed(8), &widths, &requants, weights)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn matches_reference_in_wide_integers(model in models(), seed in any::<u32>()) {
        prop_assume!(model.validate(MODULUS).is_ok());
        let len = model.graph.tensors[0].len();
        let input: Vec<i32> = (0..len as u32)
            .map(|i| (seed.wrapping_mul(2 * i + 1).rotate_left(i) % 256) as i32 - 128)
            .collect();
        let evaluation = evaluate(&model, core::slice::from_ref(&input)).expect("it evaluates");
        let output = evaluation.tensors.last().expect("there is an output");
        prop_assert_eq!(output, &naive(&model, &input));
        prop_assert_eq!(Witness::new(&model, &evaluation).check(), []);
    }

    #[test]
    fn matches_reference_rounding(acc in -1_000_000i64..1_000_000, shift in 0u8..20) {
        let requant = identity(shift, 21, Range::signed(12));
        let cell = requant.apply(acc).expect("it fits");
        let expected = round_shift(i128::from(acc), shift);
        prop_assert_eq!(i128::from(cell.q) + i128::from(cell.excess), expected);
        prop_assert!(u64::from(cell.rem) < 1 << shift);
    }
}

#[test]
fn matches_reference_on_ties() {
    // Half a unit is rounded up, below zero as above it.
    for (acc, shift, expected) in [
        (1, 1, 1),
        (-1, 1, 0),
        (3, 1, 2),
        (-3, 1, -1),
        (8, 4, 1),
        (-8, 4, 0),
        (24, 4, 2),
        (-24, 4, -1),
        (7, 4, 0),
        (-9, 4, -1),
        (5, 0, 5),
        (-5, 0, -5),
    ] {
        let cell = identity(shift, 1, Range::signed(8))
            .apply(acc)
            .expect("it fits");
        assert_eq!(i64::from(cell.q), expected, "{acc} >> {shift}");
        assert_eq!(round_shift(i128::from(acc), shift), i128::from(expected));
    }
}

#[test]
fn matches_reference_at_the_ends_of_the_span() {
    // The first and last representable accumulators, the ends of the domain, one beyond each.
    let requant = identity(3, 4, Range::signed(5));
    let (first, last) = requant.representable();
    let cell = requant.apply(first).expect("the first");
    assert_eq!((cell.q, cell.excess, cell.rem), (-16, -15, 0));
    let cell = requant.apply(last).expect("the last");
    assert_eq!((cell.q, cell.excess, cell.rem), (15, 15, 7));
    assert_eq!(requant.apply(first - 1), None);
    assert_eq!(requant.apply(last + 1), None);
    for (acc, q, excess) in [(-132, -16, 0), (-133, -16, -1), (123, 15, 0), (124, 15, 1)] {
        let cell = requant.apply(acc).expect("inside");
        assert_eq!((cell.q, cell.excess), (q, excess), "{acc}");
    }
}

#[test]
fn rejects_accumulators_that_are_not_representable() {
    let model = scalar(Range::signed(8), 100, 0, &identity(0, 2, Range::signed(8)));
    assert!(model.validate(MODULUS).is_err());
    let error = evaluate(&model, &[vec![100]]).expect_err("10 000 does not fit");
    assert_eq!(
        error,
        EvalError::Overflow {
            layer: 0,
            acc: 10_000
        }
    );
}

#[test]
fn rejects_inputs_of_the_wrong_shape_or_range() {
    let model = scalar(Range::signed(4), 1, 0, &identity(0, 0, Range::signed(5)));
    let refused = |inputs: &[Vec<i32>]| evaluate(&model, inputs).expect_err("a bad input");
    let count = |got| EvalError::InputCount { expected: 1, got };
    assert_eq!(refused(&[]), count(0));
    assert_eq!(refused(&[vec![1], vec![1]]), count(2));
    let length = |got| EvalError::InputLength {
        input: 0,
        expected: 1,
        got,
    };
    assert_eq!(refused(&[vec![]]), length(0));
    assert_eq!(refused(&[vec![1, 2]]), length(2));
    for value in [8, -9, i32::MAX, i32::MIN] {
        let error = EvalError::InputRange {
            input: 0,
            index: 0,
            value,
        };
        assert_eq!(refused(&[vec![value]]), error);
    }
}
