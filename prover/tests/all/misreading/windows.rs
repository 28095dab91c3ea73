//! Maxima within rows: one that is not in its window or from another channel, a smaller element, none at all; a
//! neighbour that is another's, a border pixel wrapped to the next line, padding passed as real.

use super::{attempt, block_of, lab, misread, refuses};
use crate::common::attack::{Attack, Lab, Main, cell, int, recount};
use crate::common::nets;
use air::chips::activation::readers::Reader;
use air::graph::groups::Role;
use air::graph::{Combine, Model};
use verifier::VerifyError::Buses;

/// A change of a layer's accumulators, by someone who sees all tensors before it.
type Change<'a> = &'a dyn Fn(&[Vec<i32>], &mut [i64]);

/// Layers that are maxima, or copies.
fn layers(model: &Model, lab: &Lab, wanted: impl Fn(&Role) -> bool) -> Vec<usize> {
    let outputs = (0..model.graph.layers.len()).map(|l| model.graph.layers[l].output.index());
    let is_wanted = |tensor: &usize| {
        let (_, _, block) = block_of(lab, *tensor);
        let mut members = block.members.iter().map(|m| &m.member);
        members.any(|m| m.tensor == *tensor && wanted(&m.role))
    };
    let found = outputs.enumerate().filter(|(_, tensor)| is_wanted(tensor));
    found.map(|(layer, _)| layer).collect()
}

/// Raises the result of the last comparison behind an element of a maximum.
fn raise(lab: &Lab, main: &mut Main, tensor: usize, element: usize, by: i64) {
    let (table, air, block) = block_of(lab, tensor);
    let member = block.members.iter().position(|m| m.member.tensor == tensor);
    let member = member.expect("it is a member");
    let per_channel = block.grid.rows().len();
    for r in 0..block.grid.height() {
        for (part, view) in block.tenant(member).views().enumerate() {
            for (lane, found) in view.elements(r / per_channel, r % per_channel) {
                if found == element {
                    let values = &air.window.elements[member][part];
                    let last = *values.last().expect("it is a sum of values");
                    *cell(main, table, block.start + r, air.value(last, lane)) += int(by);
                }
            }
        }
    }
}

#[test]
fn rejects_a_maximum_that_is_not_the_largest_of_its_window() {
    let (lab, x) = lab(nets::windows());
    let model = lab.prover.model().clone();
    let maxima = layers(&model, &lab, |role| matches!(role, Role::Max(_)));
    assert_eq!(maxima.len(), 4);
    for layer in maxima {
        assert_eq!(model.graph.layers[layer].combine, Combine::Max);
        let tensor = model.graph.layers[layer].output.index();
        let honest = &lab.evaluation.tensors[tensor];
        let positions = model.graph.tensors[tensor].positions();
        // The next window's, the other channel's, one more, one less.
        let differs = |i: usize, other: usize| honest[i] != honest[other];
        let next = (0..honest.len() - 1).find(|&i| differs(i, i + 1));
        let channel = (0..positions).find(|&i| differs(i, i + positions));
        let [next, channel] = [next, channel].map(|i| i.expect("elements differ"));
        let range = model.graph.tensors[tensor].range;
        let inside = |v: &i32| range.lo < *v && *v < range.hi;
        let one = honest.iter().position(inside).expect("one inside");
        let wrong = [
            (next, honest[next + 1]),
            (channel, honest[channel + positions]),
            (one, honest[one] + 1),
            (one, honest[one] - 1),
        ];
        for (element, value) in wrong {
            let evaluation = misread(&model, &x, |l, _, max| {
                if l == layer {
                    max[element] = i64::from(value);
                }
            });
            let by = i64::from(value - honest[element]);
            // What lies in the row is true, and what is read of it does not fit.
            let found = attempt(&lab, &evaluation, Attack::default());
            assert_eq!(found.map(|_| ()), Err(Buses));
            // The row is made to fit: no table has the comparison.
            let mut missing = 0;
            let attack = Attack::on_main(|main, _| {
                raise(&lab, main, tensor, element, by);
                missing = recount(lab.layout(), main);
            });
            let found = attempt(&lab, &evaluation, attack);
            assert_eq!(found.map(|_| ()), Err(Buses));
            assert!(missing > 0, "the comparison is in a table");
        }
    }
}

#[test]
fn rejects_neighbours_that_are_none() {
    let (lab, x) = lab(nets::windows());
    let model = lab.prover.model().clone();
    let copies = layers(&model, &lab, |role| *role == Role::Copy);
    assert_eq!(copies.len(), 2);
    for layer in copies {
        let output = &model.graph.layers[layer].output;
        let shape = model.graph.tensors[output.index()].clone();
        let of = model.graph.layers[layer].terms[0].input.index();
        let (_, _, block) = block_of(&lab, output.index());
        assert!(block.readers.iter().any(|r| r.reader == Reader::Places));
        let positions = shape.positions();
        let change = |f: Change<'_>| {
            misread(&model, &x, |l, tensors, acc| {
                if l == layer {
                    f(tensors, acc);
                }
            })
        };
        // The border is a pixel, or the end of the line above; another channel's; one further on.
        let real = change(&|_, acc| acc[0] += 1);
        let wrapped = change(&|tensors, acc| {
            let line = shape.extent[2] as usize;
            acc[line] = i64::from(*tensors[of].iter().find(|&&x| x > 0).expect("a pixel"));
        });
        let channel = change(&|_, acc| acc.rotate_left(positions));
        let shifted = change(&|_, acc| acc[..positions].rotate_left(1));
        for evaluation in [real, wrapped, channel, shifted] {
            refuses(&lab, layer, &evaluation);
        }
    }
}
