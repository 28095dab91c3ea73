//! # Graphs with several inputs, outputs and batch sizes
//!
//! Two models side by side in one graph: their tensors share buses, lookup tables, a weight table
//! and, when their batches are of one size, an activation table. If this failed, values of one
//! tensor could pass for those of another.

use crate::common::attack::{Attack, F, Lab, cell, constraints, recount, shown};
use crate::common::{MODULUS, Spec, input, mlp};
use air::chips::Air;
use air::graph::{Model, TensorId};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Matrix;
use verifier::VerifyError::Buses;

/// Both models in one graph. They must have as many layers.
fn beside(a: &Model, b: &Model) -> Model {
    assert_eq!(a.weights.len(), b.weights.len());
    let mut model = a.clone();
    let graph = &mut model.graph;
    graph.tensors.clear();
    graph.layers.clear();
    model.weights.clear();
    for i in 0..a.graph.tensors.len() {
        graph.tensors.push(a.graph.tensors[i].clone());
        graph.tensors.push(b.graph.tensors[i].clone());
    }
    for i in 0..a.weights.len() {
        for (part, source) in [a, b].into_iter().enumerate() {
            let mut layer = source.graph.layers[i].clone();
            layer.terms[0].input = TensorId((2 * i + part) as u32);
            layer.output = TensorId((2 * i + 2 + part) as u32);
            graph.layers.push(layer);
            model.weights.push(source.weights[i].clone());
        }
    }
    let last = 2 * a.weights.len() as u32;
    graph.inputs = vec![TensorId(0), TensorId(1)];
    graph.outputs = vec![TensorId(last), TensorId(last + 1)];
    model.validate(MODULUS).expect("two sound models are sound");
    model
}

fn lab(positions: [u32; 2], widths: [&'static [u32]; 2]) -> Lab {
    let [a, b] = [0, 1].map(|i| {
        mlp(&Spec {
            widths: widths[i],
            positions: positions[i],
            seed: i as u64,
            ..Spec::default()
        })
    });
    let x = [input(&a, 1), input(&b, 2)].concat();
    Lab::of(beside(&a, &b), &x)
}

const SMALL: &[u32] = &[7, 5, 3];
const LARGE: &[u32] = &[40, 5, 3];

#[test]
fn accepts_several_inputs_and_outputs() {
    for positions in [[1, 1], [2, 2], [1, 3], [4, 2]] {
        for widths in [[SMALL, SMALL], [SMALL, LARGE], [LARGE, SMALL]] {
            lab(positions, widths);
        }
    }
}

#[test]
fn rejects_inputs_or_outputs_that_change_places() {
    for positions in [[1, 1], [2, 2]] {
        let lab = lab(positions, [SMALL, SMALL]);
        let error = lab.refusal(Attack::on_main(|_, s| s.inputs.swap(0, 1)));
        assert_eq!(error, Buses);
        let error = lab.refusal(Attack::on_main(|_, s| s.outputs.swap(0, 1)));
        assert_eq!(error, Buses);
        // Both, as if the two models were one.
        let error = lab.refusal(Attack::on_main(|_, s| {
            s.inputs.swap(0, 1);
            s.outputs.swap(0, 1);
        }));
        assert_eq!(error, Buses);
    }
}

#[test]
fn rejects_tensors_that_change_places_in_the_trace() {
    // The rows of two tensors of one shape, exchanged as a whole: every lookup still balances.
    let lab = lab([2, 2], [SMALL, SMALL]);
    let (table, air) = lab.activation();
    for pair in air.blocks.chunks_exact(2) {
        let [a, b] = pair else {
            unreachable!("tensors come in pairs");
        };
        let error = lab.refusal(Attack::on_main(|main, _| {
            let width = main[table].as_ref().map_or(0, Matrix::width);
            for offset in 0..a.grid.height() {
                for column in 0..width {
                    let x = *cell(main, table, a.start + offset, column);
                    let y = *cell(main, table, b.start + offset, column);
                    *cell(main, table, a.start + offset, column) = y;
                    *cell(main, table, b.start + offset, column) = x;
                }
            }
            recount(lab.layout(), main);
        }));
        assert_eq!(error, Buses);
    }
}

#[test]
fn rejects_totals_that_change_places() {
    // What one tensor's row claims is claimed by another's: the bus would balance if a claim did
    // not name its tensor.
    const WIDTH: usize = 3;
    let lab = lab([1, 1], [SMALL, SMALL]);
    let (table, air) = lab.activation();
    let below = |i: usize| air.blocks[i].end();
    for column in [0, 2] {
        for i in (0..air.blocks.len()).step_by(2) {
            let error = lab.refusal(Attack::on_projection(|columns, _| {
                let cells = columns[table].as_mut().expect("it has projections");
                cells.swap(below(i) * WIDTH + column, below(i + 1) * WIDTH + column);
            }));
            assert_eq!(error, Buses);
        }
    }
}

#[test]
fn rejects_terminals_moved_between_activation_tables() {
    // A wide vector and a large batch want rows of different widths.
    let lab = lab([1, 60], [&[3000, 5, 3], &[900, 5, 3]]);
    let tables = &lab.layout().tables;
    assert_eq!(tables[0].chip.name(), tables[1].chip.name());
    let error = lab.refusal(Attack::on_lookup(|_, terminals| {
        terminals[0] += F::ONE;
        terminals[1] -= F::ONE;
    }));
    assert_eq!(error, constraints("activation"));
    for (i, table) in tables.iter().enumerate() {
        let attack = Attack::on_main(|_, statement| shown(&mut statement.outputs[1])[0] ^= 1);
        let error = lab.balanced_refusal(attack, i);
        assert_eq!(error, constraints(table.chip.name()));
    }
}
