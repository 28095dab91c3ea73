//! Maxima, averages, gates, residual branches, and tensors that are shown.

use std::cell::RefCell;

use super::{attempt, block_of, columns, lab, misread, position, refuses, term_cell};
use crate::common::attack::{Attack, EF, F, Lab, int, shown};
use crate::common::nets;
use air::chips::Chip;
use air::chips::activation::Factors;
use air::chips::sums::Part;
use air::graph::{Kernel, TensorId, accumulate};
use air::layout::TermIds;
use p3_matrix::dense::RowMajorMatrix;
use verifier::VerifyError::Buses;

#[test]
fn rejects_maxima_that_are_not_of_their_window() {
    let (lab, x) = lab(nets::max_pool());
    let model = lab.prover.model().clone();
    // Layers: positive; above, larger of rows; above, larger of columns.
    for layer in [1, 3] {
        let source = model.graph.layers[layer].terms[0].input.index();
        let channel = model.graph.tensors[source].positions() as i64;
        let out_positions = model.graph.tensors[source + 1].positions();
        for shifted in [1, channel] {
            // The difference of other neighbours, or with a pixel of another channel.
            let evaluation = misread(&model, &x, |l, tensors, acc| {
                if l == layer {
                    for (i, acc) in acc.iter_mut().enumerate() {
                        let from = &tensors[source];
                        let at = (i % out_positions) as i64 + shifted;
                        *acc += i64::from(from[at as usize % from.len()]) - i64::from(from[0]);
                    }
                }
            });
            refuses(&lab, layer, &evaluation);
        }
        // The maximum itself: the smaller one, or larger than both.
        for by in [-1, 1] {
            let evaluation = misread(&model, &x, |l, _, acc| {
                if l == layer + 1 {
                    let large = acc.iter_mut().filter(|acc| **acc > 0);
                    large.for_each(|acc| *acc += by);
                }
            });
            refuses(&lab, layer + 1, &evaluation);
        }
    }
}

#[test]
fn rejects_averages_with_another_remainder() {
    let (lab, x) = lab(nets::averages());
    let model = lab.prover.model().clone();
    for layer in 0..2 {
        // By one unit of the sum, which may change the remainder alone, and by a whole unit of the mean.
        let unit = 1 << model.graph.layers[layer].requant.shift;
        for by in [1, -1, unit, -unit] {
            let evaluation = misread(&model, &x, |l, _, acc| {
                acc[0] += if l == layer { by } else { 0 };
            });
            refuses(&lab, layer, &evaluation);
        }
        // One pixel counted twice, one not at all.
        let evaluation = misread(&model, &x, |l, tensors, acc| {
            let pixel = tensors[0]
                .iter()
                .position(|&v| v != 0)
                .expect("some pixel is not 0");
            if l == layer {
                acc[0] -= i64::from(tensors[0][pixel]);
            }
        });
        refuses(&lab, layer, &evaluation);
    }
}

#[test]
fn rejects_gates_of_another_channel() {
    let (lab, x) = lab(nets::gate());
    let model = lab.prover.model().clone();
    let (first, second) = (1, 2);
    assert_ne!(
        lab.evaluation.tensors[1][first], lab.evaluation.tensors[1][second],
        "the gates differ"
    );
    let Kernel::Gate(TensorId(1)) = model.graph.layers[1].terms[0].map.kernel else {
        panic!("the second layer is gated by the first");
    };
    let swapped = |gates: &mut [i32]| gates.swap(first, second);
    let evaluation = misread(&model, &x, |l, tensors, acc| {
        if l == 1 {
            let mut gates = tensors[1].clone();
            swapped(&mut gates);
            let positions = tensors[0].len() / gates.len();
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = i64::from(gates[i / positions]) * i64::from(tensors[0][i]);
            }
        }
    });
    refuses(&lab, 1, &evaluation);
    // Rows receive the factors of the other channel: only the bus knows whose they are.
    let captured: RefCell<Vec<Option<RowMajorMatrix<F>>>> = RefCell::default();
    let (table, air, _) = block_of(&lab, 0);
    let height = lab.layout().tables[table].height();
    let attack = Attack::on_main(|main, _| *captured.borrow_mut() = main.to_vec()).and_projection(
        |all, drawn| {
            let challenges = lab.projection_challenges(drawn);
            let mut factors: Factors<EF> = lab.folded_weights(&challenges);
            let mut gates: Vec<EF> = evaluation.tensors[1]
                .iter()
                .map(|&g| EF::from(int(i64::from(g))))
                .collect();
            gates.swap(first, second);
            factors.gates = vec![vec![], gates];
            let main = captured.borrow();
            let main = main[table].as_ref().expect("it has main columns");
            all[table] = Some(air.generate_projection(main, &factors, &challenges, height));
            // Sums go with it.
            mend_sums(&lab, all, 1);
        },
    );
    assert_eq!(attempt(&lab, &evaluation, attack).map(|_| ()), Err(Buses));
}

/// Makes the sums of a layer those of its first term's total as it stands.
fn mend_sums(lab: &Lab, all: &mut [Option<Vec<EF>>], layer: usize) {
    let graph = &lab.prover.model().graph;
    let (table, at) = term_cell(lab, layer);
    let total = columns(all, table)[at];
    let sums = lab.table("sums");
    let Chip::Sums(air) = &lab.layout().tables[sums].chip else {
        unreachable!("found by name");
    };
    let ids = TermIds::new(graph);
    let part = position(&air.parts, Part::Term(ids.term(layer, 0)));
    let whole = position(&air.parts, Part::Whole(graph.layers[layer].output.index()));
    let cells = columns(all, sums);
    let change = total - cells[2 * part];
    cells[2 * part] += change;
    cells[2 * whole] += change;
    (part + 1..=whole).for_each(|r| cells[2 * r + 1] += change);
}

#[test]
fn rejects_residual_branches_left_out_or_counted_twice() {
    let (lab, x) = lab(nets::residual());
    let model = lab.prover.model().clone();
    let layer = 1;
    for (term, times) in [(0, -1), (0, 1), (1, -1), (1, 1)] {
        let Kernel::Taps(factors) = &model.graph.layers[layer].terms[term].map.kernel else {
            panic!("branches are added up times a constant");
        };
        let input = model.graph.layers[layer].terms[term].input.index();
        let factor = i64::from(factors[0]) * times;
        let evaluation = misread(&model, &x, |l, tensors, acc| {
            if l == layer {
                for (acc, &v) in acc.iter_mut().zip(&tensors[input]) {
                    *acc += factor * i64::from(v);
                }
            }
        });
        refuses(&lab, layer, &evaluation);
    }
    // Both branches there, one of them a claim of the other: the sums receive a term twice.
    let attack = Attack::on_projection(|all, _| {
        let sums = lab.table("sums");
        let Chip::Sums(air) = &lab.layout().tables[sums].chip else {
            unreachable!("found by name");
        };
        let ids = TermIds::new(&model.graph);
        let [a, b] = [0, 1].map(|t| position(&air.parts, Part::Term(ids.term(layer, t))));
        let cells = columns(all, sums);
        assert_ne!(cells[2 * a], cells[2 * b]);
        // The sum of both stays what it is.
        cells.swap(2 * a, 2 * b);
        cells[2 * b + 1] = cells[2 * a];
    });
    assert_eq!(
        attempt(&lab, &lab.evaluation, attack).map(|_| ()),
        Err(Buses)
    );
}

#[test]
fn rejects_a_shown_tensor_that_is_read_as_another() {
    // One tensor is an output and is read by layers as well: its claim and its readers go their own ways.
    let (lab, x) = lab(nets::small());
    let model = lab.prover.model().clone();
    let outputs = &model.graph.outputs;
    let shown_index = outputs.len() - 1;
    let tensor = outputs[shown_index].index();
    assert!(
        model
            .graph
            .terms()
            .any(|(_, term)| term.input.index() == tensor)
    );
    let range = model.graph.tensors[tensor].range;
    for i in [0, lab.evaluation.tensors[tensor].len() - 1] {
        // The statement alone.
        let attack = Attack::on_main(|_, statement| {
            let value = &mut shown(&mut statement.outputs[shown_index])[i];
            *value += if *value == range.hi { -1 } else { 1 };
        });
        assert_eq!(lab.refusal(attack), Buses);
        // The readers alone: the layers behind it are evaluated on another value.
        let layer = model
            .graph
            .layers
            .iter()
            .position(|l| l.terms.iter().any(|term| term.input.index() == tensor));
        let layer = layer.expect("a layer reads it");
        let evaluation = misread(&model, &x, |l, tensors, acc| {
            if l == layer {
                let mut other = tensors.to_vec();
                other[tensor][i] += if other[tensor][i] == range.hi { -1 } else { 1 };
                let weights = &model.weights[layer];
                let changed = accumulate(&model.graph, &model.graph.layers[layer], weights, &other);
                acc.copy_from_slice(&changed);
            }
        });
        if evaluation.layers[layer] != lab.evaluation.layers[layer] {
            refuses(&lab, layer, &evaluation);
        }
    }
}
