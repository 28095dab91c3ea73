//! # Extremes
//!
//! Inputs at the ends of their range saturate as the reference does, and still prove: no input within its
//! range may make proving fail. Images of one pixel, single channels, kernels larger than the image, and
//! graphs of hundreds of layers are networks like any other.

use crate::common::nets::Net;
use crate::common::{Prover, nets};
use air::graph::{AxisMap, Function, Model, evaluate};
use air::statement::Policy;
use verifier::{Privacy, Profile, verify_file};

/// Proves a model on its smallest, its largest and alternating inputs; how many elements saturate.
fn proves_at_the_ends(model: &Model) -> usize {
    let prover = Prover::new(model.clone(), &Profile::LATENCY, Privacy::None);
    let prover = prover.expect("the model sets up");
    let tensor = &model.graph.tensors[0];
    let ends = [tensor.range.lo, tensor.range.hi];
    let mut saturated = 0;
    for pattern in 0..3 {
        let value = |i: usize| ends[if pattern < 2 { pattern } else { i % 2 }];
        let x: Vec<i32> = (0..tensor.len()).map(value).collect();
        let evaluation = prover.evaluate(&[x]).expect("the model evaluates");
        let cells = evaluation.layers.iter().flatten();
        saturated += cells.filter(|cell| cell.excess != 0).count();
        assert_eq!(prover.check(&evaluation, 3), []);
        let file = prover.prove(&evaluation, &Policy::PUBLIC).expect("it proves");
        verify_file(prover.verifying_key(), &file).expect("it verifies");
    }
    saturated
}

#[test]
fn inputs_at_the_ends_of_their_range_saturate_and_prove() {
    // Weights far beyond what the narrow outputs hold.
    let saturated = proves_at_the_ends(&nets::convolution(1, 1));
    assert!(saturated > 20, "{saturated} elements saturate");
    proves_at_the_ends(&nets::residual());
    proves_at_the_ends(&nets::gate());
    proves_at_the_ends(&nets::max_pool());
}

#[test]
fn an_image_of_one_pixel() {
    let mut net = Net::new(3, 1, [1, 1, 1]);
    let (term, extent) = net.conv3x3(net.input(), 1, 1, 1);
    assert_eq!(extent, [1, 1, 1]);
    let _ = net.layer(1, extent, vec![term], Function::Relu, 3);
    proves_at_the_ends(&net.finish());
}

#[test]
fn a_kernel_larger_than_the_image() {
    for pad in [0, 2, 5] {
        let mut net = Net::new(4, 2, [1, 2, 3]);
        let wide = |size: u32| AxisMap {
            taps: 7,
            pad,
            ..AxisMap::identity(size)
        };
        let term = net.conv(net.input(), 1, 3, [AxisMap::identity(1), wide(2), wide(3)]);
        let _ = net.layer(3, [1, 1, 1], vec![term], Function::Identity, 5);
        proves_at_the_ends(&net.finish());
    }
}

#[test]
fn five_hundred_layers() {
    let mut net = Net::new(6, 2, [1, 4, 4]);
    let mut x = net.input();
    for i in 0..500 {
        let (term, extent) = net.conv3x3(x, 1, 2, 1);
        let mut terms = vec![term];
        if i > 0 && i % 3 == 0 {
            terms.push(net.scale(x, 8));
        }
        x = net.layer(2, extent, terms, Function::Relu, 6);
    }
    let model = net.finish();
    let input = vec![vec![1; model.graph.tensors[0].len()]];
    assert!(evaluate(&model, &input).is_ok());
    let prover = Prover::new(model, &Profile::LATENCY, Privacy::None).expect("it sets up");
    let evaluation = prover.evaluate(&input).expect("the model evaluates");
    let file = prover.prove(&evaluation, &Policy::PUBLIC).expect("it proves");
    verify_file(prover.verifying_key(), &file).expect("it verifies");
}
