//! Softmax and ArgMax: a maximum that is none, an exponential of another score, a term left out of the sum, a
//! probability without its logarithm, a class that does not win.

use super::{lab, misread, refuses};
use crate::common::nets;
use air::graph::{Function, Model, TensorId};

/// Layers that apply a function, in order.
fn layers(model: &Model, wanted: impl Fn(Function) -> bool) -> Vec<usize> {
    let layers = model.graph.layers.iter().enumerate();
    let has = |l: &air::graph::Layer| wanted(l.requant.activation.function);
    layers.filter(|(_, l)| has(l)).map(|(i, _)| i).collect()
}

/// The tensor a layer writes.
fn written(model: &Model, layer: usize) -> TensorId {
    model.graph.layers[layer].output
}

#[test]
fn rejects_probabilities_that_are_not_the_softmax() {
    let (lab, x) = lab(nets::softmax());
    let model = lab.prover.model().clone();
    let positions = model.graph.tensors[0].positions();
    let exps = layers(&model, |f| f == Function::Exp);
    let [exponentials, probabilities] = exps[..] else {
        panic!("two layers of exponentials");
    };
    let [log] = layers(&model, |f| matches!(f, Function::Log { .. }))[..] else {
        panic!("one logarithm");
    };
    let sum = model.graph.layers[log].terms[0].input.index();
    assert_eq!(sum, written(&model, exponentials).index());
    // The exponential or the probability of the next score.
    for layer in [exponentials, probabilities] {
        let evaluation = misread(&model, &x, |l, _, acc| {
            if l == layer {
                acc.swap(0, positions);
            }
        });
        refuses(&lab, layer, &evaluation);
    }
    // An exponential left out of the sum, or added twice.
    for sign in [-1, 1] {
        let evaluation = misread(&model, &x, |l, tensors, acc| {
            if l == log {
                let most = (0..4).map(|f| tensors[sum][f * positions]).max();
                acc[0] += sign * i64::from(most.unwrap_or(0));
            }
        });
        refuses(&lab, log, &evaluation);
    }
    // The numerator alone.
    let evaluation = misread(&model, &x, |l, tensors, acc| {
        if l == probabilities {
            acc[0] += i64::from(tensors[written(&model, log).index()][0]);
        }
    });
    refuses(&lab, probabilities, &evaluation);
}

#[test]
fn rejects_a_maximum_that_no_score_has() {
    let (lab, x) = lab(nets::softmax());
    let model = lab.prover.model().clone();
    let first_exp = layers(&model, |f| f == Function::Exp)[0];
    // The last of the two terms is the maximum.
    let max = model.graph.layers[first_exp].terms[1].input.index() - model.graph.inputs.len();
    for by in [-1, 1] {
        let evaluation = misread(&model, &x, |l, _, acc| {
            if l == max {
                acc[0] += by;
            }
        });
        refuses(&lab, max, &evaluation);
    }
    // A difference that the larger score does not make.
    let rise = 0;
    let evaluation = misread(&model, &x, |l, _, acc| {
        if l == rise {
            acc.iter_mut().for_each(|acc| *acc = 1 - *acc);
        }
    });
    refuses(&lab, rise, &evaluation);
}

#[test]
fn rejects_a_class_that_does_not_win() {
    let (lab, x) = lab(nets::softmax());
    let model = lab.prover.model().clone();
    let step = layers(&model, |f| f == Function::Step)[0];
    let positions = model.graph.tensors[0].positions();
    // All scores, or none, equal to the maximum.
    for all in [0, -1] {
        let evaluation = misread(&model, &x, |l, _, acc| {
            if l == step {
                (0..4).for_each(|f| acc[f * positions] = all);
            }
        });
        refuses(&lab, step, &evaluation);
    }
    // The keys of two classes exchanged; the index off by one.
    let keys = step + 1;
    let evaluation = misread(&model, &x, |l, tensors, acc| {
        if l == keys {
            let winner =
                (0..4).find(|f| tensors[written(&model, step).index()][f * positions] == 1);
            let winner = winner.expect("one of them is the largest");
            acc.swap(winner * positions, (winner + 1) % 4 * positions);
        }
    });
    refuses(&lab, keys, &evaluation);
    let index = model.graph.layers.len() - 1;
    let evaluation = misread(&model, &x, |l, _, acc| {
        if l == index {
            acc[0] += if acc[0] > 0 { -1 } else { 1 };
        }
    });
    refuses(&lab, index, &evaluation);
}
