//! # Coherent forgeries of maps
//!
//! A forger computes something else than the model: a pixel from beyond the border, a stride off by one, the
//! maximum of another window. Values, remainders, counts and the statement all follow from it, and whatever
//! the layer is checked with is made to fit in one place. Only that place stands in the way. If one of
//! these verified, a proof could be about another network.

mod layers;
mod maps;
mod softmax;
mod windows;

use crate::common::attack::{Attack, EF, Lab, constraints};
use crate::common::input;
use air::chips::activation::readers::Reader;
use air::chips::activation::{ActivationAir, SlotReader, TensorBlock};
use air::chips::sums::Part;
use air::chips::{Air, Chip};
use air::graph::{Combine, Evaluation, Model, Requantised, accumulate, maxima};
use air::layout::TermIds;
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
        let mut acc = match layer.combine {
            Combine::Sum => accumulate(graph, layer, weights, &tensors),
            Combine::Max => maxima(graph, layer, &tensors),
        };
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
            let is_member = |b: &&TensorBlock| b.members.iter().any(|m| m.member.tensor == tensor);
            let block = air.blocks.iter().find(is_member)?;
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
    (table, total_cell(air, block, slot))
}

/// The cell with the total of a slot.
fn total_cell(air: &ActivationAir, block: &TensorBlock, slot: usize) -> usize {
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
    block.end() * width + column
}

/// The cell with a tensor's accumulators: a copy has them in a slot.
fn accumulator_cell(air: &ActivationAir, block: &TensorBlock, tensor: usize) -> usize {
    let is_copy = |r: &&SlotReader| {
        r.reader == Reader::Places && block.members[r.member].member.tensor == tensor
    };
    match block.readers.iter().find(is_copy) {
        Some(reader) => total_cell(air, block, reader.slot),
        None => block.end() * air.widths().projection,
    }
}

/// Makes the identity of a layer hold where the forger wants to.
fn mend(lab: &Lab, all: &mut [Option<Vec<EF>>], layer: usize, place: Mend) {
    let graph = &lab.prover.model().graph;
    let output = graph.layers[layer].output.index();
    let (table, air, block) = block_of(lab, output);
    let at = accumulator_cell(air, block, output);
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
