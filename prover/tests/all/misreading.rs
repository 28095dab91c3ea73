//! # Coherent forgeries of maps
//!
//! A forger computes something else than the model: a pixel from beyond the border, a stride off by one, the
//! maximum of another window. Values, remainders, counts and the statement all follow from it, and whatever
//! the layer is checked with is made to fit in one place. Only that place stands in the way. If one of
//! these verified, a proof could be about another network.

use std::cell::RefCell;

use crate::common::attack::{
    Attack, EF, F, Lab, Main, cell, constraints, int, places, recount, shown,
};
use crate::common::{Rng, input, nets};
use air::chips::activation::readers::Reader;
use air::chips::activation::{ActivationAir, Factors, TensorBlock};
use air::chips::sums::Part;
use air::chips::weights::WeightBlock;
use air::chips::{Air, Chip};
use air::graph::{Evaluation, Kernel, Model, Requantised, TensorId, accumulate};
use air::layout::TermIds;
use air::witness::generate_projection;
use p3_matrix::dense::RowMajorMatrix;
use verifier::VerifyError::{self, Buses};
use verifier::{Verified, verify};

/// Evaluates a model, but for the accumulators that somebody changes: he sees the layer and all tensors
/// before it.
fn misread(
    model: &Model,
    inputs: &[Vec<i32>],
    mut change: impl FnMut(usize, &[Vec<i32>], &mut [i64]),
) -> Evaluation {
    let graph = &model.graph;
    let mut tensors = inputs.to_vec();
    let mut layers: Vec<Vec<Requantised>> = Vec::new();
    for (l, (layer, weights)) in graph.layers.iter().zip(&model.weights).enumerate() {
        let mut acc = accumulate(graph, layer, weights, &tensors);
        change(l, &tensors, &mut acc);
        let cells = acc.into_iter().map(|acc| layer.requant.apply(acc));
        let cells: Vec<_> = cells.map(|c| c.expect("it is representable")).collect();
        tensors.push(cells.iter().map(|r| r.out).collect());
        layers.push(cells);
    }
    Evaluation { tensors, layers }
}

/// Where a forger makes a layer's identity hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mend {
    /// Nowhere.
    Nothing,
    /// In the total of the layer's first term.
    Term,
    /// In the overhang's total.
    Overhang,
    /// In the sum of the parts.
    Add,
    /// In what the sum is compared with.
    Whole,
    /// In the accumulators' own total.
    Accumulators,
}

impl Mend {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Term,
        Self::Overhang,
        Self::Add,
        Self::Whole,
        Self::Accumulators,
    ];

    /// The check that is in the way.
    fn refusal(self) -> VerifyError {
        match self {
            Self::Nothing => Buses,
            Self::Term | Self::Accumulators => constraints("activation"),
            Self::Overhang => constraints("overhang"),
            Self::Add | Self::Whole => constraints("sums"),
        }
    }
}

/// The table with rows of a tensor, and the tensor's block.
fn block_of(lab: &Lab, tensor: usize) -> (usize, &ActivationAir, &TensorBlock) {
    let mut tables = lab.layout().tables.iter().enumerate();
    let found = tables.find_map(|(i, table)| match &table.chip {
        Chip::Activation(air) => {
            let block = air.blocks.iter().find(|b| b.tensor == tensor)?;
            Some((i, air, block))
        }
        _ => None,
    });
    found.expect("every tensor has rows")
}

/// The projection columns of a table.
fn columns(all: &mut [Option<Vec<EF>>], table: usize) -> &mut [EF] {
    all[table].as_deref_mut().expect("it has projections")
}

/// The cell with the total of a term.
fn term_cell(lab: &Lab, layer: usize) -> (usize, usize) {
    let term = &lab.prover.model().graph.layers[layer].terms[0];
    let ids = TermIds::new(&lab.prover.model().graph);
    let (table, air, block) = block_of(lab, term.input.index());
    let wanted = ids.term(layer, 0);
    let is_term = |reader: &Reader| matches!(reader, Reader::Term { id, .. } if *id == wanted);
    let mut readers = block.readers.iter();
    let slot = readers
        .find(|r| is_term(&r.reader))
        .expect("it is read")
        .slot;
    // `h`, then for each slot its factor, if it is weighted, and its total.
    let width = air.widths().projection;
    let weighted = air
        .constraint_names()
        .iter()
        .filter(|n| **n == "hold")
        .count();
    let column = match slot < weighted {
        true => 2 * slot + 2,
        false => 1 + weighted + slot,
    };
    (table, block.end() * width + column)
}

/// Makes the identity of a layer hold where the forger wants to.
fn mend(lab: &Lab, all: &mut [Option<Vec<EF>>], layer: usize, place: Mend) {
    let graph = &lab.prover.model().graph;
    let output = graph.layers[layer].output.index();
    let (table, air, block) = block_of(lab, output);
    let at = block.end() * air.widths().projection;
    let accumulators = columns(all, table)[at];
    let sums = lab.table("sums");
    let Chip::Sums(sums_air) = &lab.layout().tables[sums].chip else {
        unreachable!("found by name");
    };
    let whole = position(&sums_air.parts, Part::Whole(output));
    let missing = accumulators - columns(all, sums)[2 * whole];
    let ids = TermIds::new(graph);
    match place {
        Mend::Nothing => return,
        Mend::Accumulators => {
            columns(all, table)[at] -= missing;
            return;
        }
        Mend::Term => {
            let (table, at) = term_cell(lab, layer);
            columns(all, table)[at] += missing;
        }
        Mend::Overhang => {
            let table = lab.table("overhang");
            let Chip::Overhang(air) = &lab.layout().tables[table].chip else {
                unreachable!("found by name");
            };
            let mut blocks = air.blocks.iter();
            let block = blocks.find(|b| b.layer == layer).expect("it hangs over");
            columns(all, table)[block.end()] += missing;
        }
        Mend::Add | Mend::Whole => {}
    }
    let part = match place {
        Mend::Term => Some(position(&sums_air.parts, Part::Term(ids.term(layer, 0)))),
        Mend::Overhang => Some(position(
            &sums_air.parts,
            Part::Term(ids.overhang(graph, layer)),
        )),
        _ => None,
    };
    let cells = columns(all, sums);
    cells[2 * whole] += missing;
    if let Some(part) = part {
        cells[2 * part] += missing;
        (part + 1..=whole).for_each(|r| cells[2 * r + 1] += missing);
    } else if place == Mend::Add {
        cells[2 * whole + 1] += missing;
    }
}

fn position(parts: &[Part], part: Part) -> usize {
    let found = parts.iter().position(|p| *p == part);
    found.expect("every layer has its parts")
}

fn attempt(
    lab: &Lab,
    evaluation: &Evaluation,
    mut attack: Attack<'_>,
) -> Result<Verified, VerifyError> {
    let file = lab.prover.prove_as(evaluation, &lab.policy, &mut attack);
    let file = file.expect("the prover does not look at what it proves");
    verify(lab.prover.verifying_key(), &file.statement, &file.proof)
}

/// A false evaluation is refused wherever the false layer is mended. The statement follows from it.
fn refuses(lab: &Lab, layer: usize, evaluation: &Evaluation) {
    assert_ne!(
        evaluation.layers[layer], lab.evaluation.layers[layer],
        "it is not false"
    );
    let is_there = |place: &Mend| *place != Mend::Overhang || hangs_over(lab, layer);
    for place in Mend::ALL.into_iter().filter(is_there) {
        let attack = || Attack::on_projection(|all, _| mend(lab, all, layer, place));
        let found = attempt(lab, evaluation, attack());
        assert_eq!(found.map(|_| ()), Err(place.refusal()), "{place:?}");
        // Without a mistake the mend changes nothing.
        attempt(lab, &lab.evaluation, attack()).expect("the honest evaluation verifies");
    }
}

/// Whether a layer has an overhang.
fn hangs_over(lab: &Lab, layer: usize) -> bool {
    lab.layout().tables.iter().any(|t| match &t.chip {
        Chip::Overhang(air) => air.blocks.iter().any(|b| b.layer == layer),
        _ => false,
    })
}

fn lab(model: Model) -> (Lab, Vec<Vec<i32>>) {
    let x = input(&model, 77);
    (Lab::of(model, &x), x)
}

/// The convolutions under attack.
fn convolutions() -> [Model; 4] {
    [(1, 1), (2, 1), (1, 2), (2, 2)].map(|(stride, groups)| nets::convolution(stride, groups))
}

#[test]
fn rejects_kernels_with_a_tap_left_out_or_twice() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        assert!(hangs_over(&lab, 0), "so that every mend is tried");
        for (tap, factor) in [(0, 0), (4, 0), (4, 2), (8, 2)] {
            let mut other = model.clone();
            let map = &model.graph.layers[0].terms[0].map;
            let outputs = map.outputs as usize;
            for w in &mut other.weights[0].terms[0][tap * outputs..(tap + 1) * outputs] {
                *w *= factor;
            }
            let evaluation = misread(&other, &x, |_, _, _| {});
            refuses(&lab, 0, &evaluation);
            // The forger's own weights in every place that is not committed: the fold alone refuses.
            let error = folded_otherwise(&lab, &other, &evaluation);
            assert_eq!(error, constraints("weights"));
        }
    }
}

/// A proof of another model's evaluation in which weights are folded as if they were the other's.
fn folded_otherwise(lab: &Lab, other: &Model, evaluation: &Evaluation) -> VerifyError {
    let captured: RefCell<Vec<Option<RowMajorMatrix<F>>>> = RefCell::default();
    let layout = lab.layout();
    let weight = layout.tables.iter().map(|table| match &table.chip {
        Chip::Weights(air) => Some(air.generate_weights::<F>(other, table.height())),
        _ => None,
    });
    let weight: Vec<_> = weight.collect();
    // The overhang is the other model's as well.
    let overhang = layout
        .tables
        .iter()
        .position(|t| t.chip.name() == "overhang");
    let overhang = overhang.expect("the layer hangs over");
    let theirs = air::witness::generate_main::<F>(layout, other, evaluation, &[]);
    let attack = Attack::on_main(|main, _| {
        main[overhang] = theirs[overhang].clone();
        *captured.borrow_mut() = main.to_vec();
    })
    .and_projection(|all, drawn| {
        let challenges = lab.projection_challenges(drawn);
        let forged = generate_projection(layout, &weight, &captured.borrow(), &challenges);
        all.clone_from_slice(&forged);
    });
    let found = attempt(lab, evaluation, attack);
    found.expect_err("a forgery must not verify")
}

/// The padded pixel of a window is the neighbour in memory: the last of the row above, the first of the
/// row below.
#[test]
fn rejects_borders_that_wrap_around() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        let (input, output) = (&model.graph.tensors[0], &model.graph.tensors[1]);
        let [_, height, width] = input.extent.map(|n| n as i64);
        let [_, _, out_width] = output.extent.map(|n| n as i64);
        let map = model.graph.layers[0].terms[0].map.clone();
        let [groups, inputs, outputs] = [map.groups, map.inputs, map.outputs].map(i64::from);
        let stride = i64::from(map.axes[2].stride);
        let evaluation = misread(&model, &x, |_, tensors, acc| {
            let positions = output.positions() as i64;
            for channel in 0..groups * inputs {
                for q in 0..positions {
                    let (qy, qx) = (q / out_width, q % out_width);
                    for tap in 0..9 {
                        let (jy, jx) = (stride * qy + tap / 3 - 1, stride * qx + tap % 3 - 1);
                        let flat = jy * width + jx;
                        let beyond =
                            !(0..width).contains(&jx) && (0..height * width).contains(&flat);
                        if !beyond || !(0..height).contains(&jy) {
                            continue;
                        }
                        let pixel = tensors[0][(channel * height * width + flat) as usize];
                        for o in 0..outputs {
                            let w = (channel * 9 + tap) * outputs + o;
                            let w = model.weights[0].terms[0][w as usize];
                            let feature = channel / inputs * outputs + o;
                            let at = feature * positions + q;
                            acc[at as usize] += i64::from(w) * i64::from(pixel);
                        }
                    }
                }
            }
        });
        refuses(&lab, 0, &evaluation);
    }
}

#[test]
fn rejects_strides_and_borders_off_by_one() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        for (axis, by) in [(1, -1), (1, 1), (2, -1), (2, 1)] {
            let mut other = model.clone();
            other.graph.layers[0].terms[0].map.axes[axis].pad += by;
            refuses(&lab, 0, &misread(&other, &x, |_, _, _| {}));
        }
        let mut other = model.clone();
        let stride = &mut other.graph.layers[0].terms[0].map.axes[2].stride;
        *stride = 3 - *stride;
        refuses(&lab, 0, &misread(&other, &x, |_, _, _| {}));
    }
}

#[test]
fn rejects_weight_moved_between_the_image_and_its_overhang() {
    // An output at the border is too large by 2^s, a cell of the overhang too small by as much.
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        let shift = model.graph.layers[0].requant.shift;
        let evaluation = misread(&model, &x, |_, _, acc| acc[0] += 1 << shift);
        let overhang = lab.table("overhang");
        let live = lab.layout().tables[overhang].chip.rows() - 1;
        let lanes = lab.layout().tables[overhang].widths.main;
        let mut rng = Rng(3);
        for _ in 0..6 {
            let (row, lane) = (rng.next() as usize % live, rng.next() as usize % lanes);
            for by in [1 << shift, -(1 << shift)] {
                let attack = Attack::on_main(|main, _| {
                    *cell(main, overhang, row, lane) += int(by);
                });
                assert_eq!(attempt(&lab, &evaluation, attack).map(|_| ()), Err(Buses));
            }
        }
    }
}

/// Every lane of an overhang stands outside the image, those beyond the end of a line included.
#[test]
fn no_lane_of_an_overhang_stands_at_an_output() {
    let mut lanes_seen = 0;
    for model in convolutions().into_iter().chain((0..40).map(nets::random)) {
        let lab_layout = verifier::key::layout_of::<crate::common::P>(
            &model.graph,
            &verifier::Profile::LATENCY,
            verifier::Privacy::None,
        );
        for table in lab_layout.expect("it has a layout").tables {
            let Chip::Overhang(air) = &table.chip else {
                continue;
            };
            for block in &air.blocks {
                for stretch in &block.stretches {
                    for lane in 0..air.lanes as i32 {
                        let mut at = stretch.start;
                        at[if stretch.down { 1 } else { 2 }] += lane;
                        let mut axes = at.into_iter().zip(block.frame.extent);
                        assert!(!axes.all(|(i, n)| (0..n as i32).contains(&i)), "{at:?}");
                        lanes_seen += 1;
                    }
                }
            }
        }
    }
    assert!(lanes_seen > 1000);
}

#[test]
fn rejects_padding_lanes_that_pass_for_pixels() {
    // A model whose rows have lanes beyond the end of a line.
    let idle = |lab: &Lab| {
        let (table, air, block) = block_of(lab, 0);
        let used = places(block);
        let rows = block.start..block.end();
        let mut lanes = rows.flat_map(|r| (0..air.lanes).map(move |lane| (r, lane)));
        let found = lanes.find(|&(r, lane)| used.iter().all(|p| (p.0, p.1) != (r, lane)))?;
        Some((table, found))
    };
    let candidates = (5..60).map(|width| {
        let mut net = nets::Net::new(width, 3, [1, 7, width as u32]);
        let (term, extent) = net.conv3x3(net.input(), 1, 2, 1);
        let _ = net.layer(2, extent, vec![term], air::graph::Function::Identity, 5);
        net.finish()
    });
    let labs = candidates.map(lab);
    let found = labs
        .filter_map(|(lab, x)| Some((idle(&lab)?, lab, x)))
        .next();
    let ((table, (row, lane)), lab, x) = found.expect("some model has idle lanes");
    let (_, air, block) = block_of(&lab, 0);
    let cols = crate::common::attack::lane(air, lane);
    let value = 1;
    let write = |main: &mut Main| {
        for column in [cols.q, cols.out] {
            *cell(main, table, row, column) = int(value);
        }
        for (i, &column) in cols.rem.iter().enumerate() {
            let limb = ((value - i64::from(block.lo)) >> (usize::from(air.limbs.bits) * i))
                & ((1 << air.limbs.bits) - 1);
            *cell(main, table, row, column) = int(limb);
        }
        assert_eq!(recount(lab.layout(), main), 0);
    };
    // By itself it is allowed, and means nothing.
    let attack = || Attack::on_main(|main, _| write(main));
    attempt(&lab, &lab.evaluation, attack()).expect("an idle lane is nobody's pixel");
    // Outputs that read it are refused.
    let model = lab.prover.model().clone();
    for w in model.weights[0].terms[0]
        .iter()
        .take(3)
        .filter(|w| **w != 0)
    {
        let by = i64::from(*w) * value * 64;
        let evaluation = misread(&model, &x, |_, _, acc| acc[3] += by);
        assert_eq!(attempt(&lab, &evaluation, attack()).map(|_| ()), Err(Buses));
    }
}

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

/// Weights that no input meets are committed all the same, are sent to nobody, and proofs verify.
#[test]
fn accepts_weights_that_nothing_is_multiplied_with() {
    let mut unread = 0;
    for seed in 0..40 {
        let model = nets::random(seed);
        let layout = verifier::key::layout_of::<crate::common::P>(
            &model.graph,
            &verifier::Profile::LATENCY,
            verifier::Privacy::None,
        );
        let layout = layout.expect("it has a layout");
        let blocks = layout.tables.iter().flat_map(|t| match &t.chip {
            Chip::Weights(air) => air.blocks.as_slice(),
            _ => &[],
        });
        let is_unread = |b: &&WeightBlock| {
            let count = |residue: usize| b.counts[residue % b.counts.len()];
            b.rows.iter().any(|r| r.end && count(r.residue) == 0)
        };
        if blocks.filter(is_unread).count() == 0 {
            continue;
        }
        unread += 1;
        let (lab, _) = lab(model);
        assert!(lab.layout().tables.len() > 3);
    }
    assert!(unread > 0, "no random network has a run that nobody reads");
}
