//! # Cell mutation
//!
//! Every cell a prover commits to is either *pinned* — change it and `verify` refuses, naming the
//! expected check — or *free*, and then it is listed here with the reason. Columns are enumerated
//! from the layout, so a new column is pinned by default and fails this test until it is. Free
//! cells are all changed at once and the proof must still verify: a waiver that is out of date
//! fails as well.
//!
//! If this failed, some cell of a witness would mean something without being checked.

use crate::common::attack::{Attack, EF, F, Lab, constraints, places};
use crate::common::{Rng, Spec, input, nets};
use air::chips::activation::{ActivationAir, SlotReader, TensorBlock};
use air::chips::weights::WeightsAir;
use air::chips::{Air, Chip};
use air::graph::Function;
use air::layout::Table;
use p3_field::PrimeCharacteristicRing;
use verifier::VerifyError::{self, Buses};

/// What holds a cell in place.
#[derive(Clone, Debug, PartialEq)]
enum Pin {
    /// Changing it is refused like this.
    Pinned(VerifyError),
    /// It may hold anything, for this reason.
    Free(&'static str),
}

use Pin::{Free, Pinned};

/// The waivers for main columns.
fn main_pin(table: &Table, row: usize, column: usize) -> Pin {
    let live = table.chip.rows();
    match &table.chip {
        Chip::Activation(_) if row + 1 == live => {
            Free("the closing row belongs to no tensor: real = 0 gates every use of its cells")
        }
        Chip::Overhang(_) if row + 1 == live => {
            Free("the closing row belongs to no layer: across and down are 0")
        }
        _ if row >= live => Free("padding: live, real and step are 0"),
        Chip::Activation(air) => activation_main_pin(air, row, column),
        _ => Pinned(Buses),
    }
}

fn activation_main_pin(air: &ActivationAir, row: usize, column: usize) -> Pin {
    let block = block_of(air, row).expect("the row belongs to a tensor");
    let (lane, cell) = (column / air.lane_width(), column % air.lane_width());
    let (part, cell) = (
        cell / air.limbs.element_width(),
        cell % air.limbs.element_width(),
    );
    // Copies and results are behind the activations: results are looked up, copies enter what is.
    if !block.is_ranged() || part >= air.window.hosts {
        return Pinned(Buses);
    }
    let activation = lane * air.window.hosts + part;
    let is_element = places(block)
        .iter()
        .any(|&(r, i, _)| (r, i) == (row, activation));
    match cell {
        2 if air.limbs.excess > 0 => {
            Free("a ranged input has no excess: side is multiplied by 0, and not looked up")
        }
        // Nothing adds it up, but it must be in its range all the same.
        0 if !is_element => Pinned(constraints("activation")),
        // Where something is compared, it is looked up as well.
        1 if !is_element && air.window.comparisons.is_empty() => Pinned(constraints("activation")),
        _ => Pinned(Buses),
    }
}

/// The tensor a row belongs to.
fn block_of(air: &ActivationAir, row: usize) -> Option<&TensorBlock> {
    let mut blocks = air.blocks.iter();
    blocks.find(|b| (b.start..b.end()).contains(&row))
}

/// The waivers for projection columns.
fn projection_pin(table: &Table, row: usize, column: usize) -> Pin {
    if row >= table.chip.rows() {
        return Free("padding: step, keep and all counts are 0");
    }
    let pinned = |claimed: bool| match claimed {
        true => Pinned(Buses),
        false => Pinned(constraints(table.chip.name())),
    };
    match &table.chip {
        Chip::Activation(air) => activation_projection_pin(air, row, column),
        Chip::Weights(_) | Chip::Overhang(_) if row == 0 => {
            Free("nothing lies above row 0: keep = 0 and nobody is sent it")
        }
        Chip::Weights(air) => pinned(is_sent(air, row)),
        Chip::Overhang(air) => pinned(air.blocks.iter().any(|b| b.end() == row)),
        Chip::Sums(_) if (row, column) == (0, 1) => Free("nothing lies above row 0: keep = 0"),
        // What is received, what is added up.
        Chip::Sums(_) => pinned(column == 0),
        Chip::Lookup(_) => unreachable!("lookup tables have no projections"),
        Chip::Sha256(_) | Chip::Poseidon2(_) | Chip::Compare(_) => {
            unreachable!("nothing is said of a hidden tensor of these models")
        }
        Chip::AttestWeights(_) | Chip::AttestSums(_) => {
            unreachable!("a proof is no attestation")
        }
    }
}

/// Columns of a slot: `g` if it is weighted, then `t`. Weighted slots come first.
fn slot_of(air: &ActivationAir, column: usize) -> (usize, bool) {
    let readers = |b: &TensorBlock| {
        let weighted = b.readers.iter().filter(|r| r.reader.is_weighted());
        weighted.map(|r| r.slot + 1).max().unwrap_or(0)
    };
    let weighted = air.blocks.iter().map(readers).max().unwrap_or(0);
    let cell = column - 1;
    if cell < 2 * weighted {
        (cell / 2, cell.is_multiple_of(2))
    } else {
        (cell - weighted, false)
    }
}

fn reader_of(block: &TensorBlock, slot: usize) -> Option<&SlotReader> {
    block.readers.iter().find(|r| r.slot == slot)
}

fn activation_projection_pin(air: &ActivationAir, row: usize, column: usize) -> Pin {
    let block = block_of(air, row);
    if column > 0
        && let (slot, true) = slot_of(air, column)
    {
        let reader = block.and_then(|b| reader_of(b, slot).map(|reader| (b, reader)));
        return match reader {
            Some((block, reader)) => factor_pin(block, reader, row),
            None => Free("nothing is read in this slot: the factor has nothing to multiply"),
        };
    }
    let above = air.blocks.iter().find(|b| b.end() == row);
    let claimed = above.is_some_and(|above| {
        // Every total of the tensor above that somebody reads is claimed here.
        column == 0 || reader_of(above, slot_of(air, column).0).is_some()
    });
    match claimed {
        _ if row == 0 => Free("nothing lies above row 0: no ratio and no claim reads it"),
        true => Pinned(Buses),
        false => Pinned(constraints("activation")),
    }
}

/// What holds the factor of a row in place.
fn factor_pin(block: &TensorBlock, reader: &SlotReader, row: usize) -> Pin {
    let tenant = block.tenant(reader.member);
    let reader = &reader.reader;
    let per_channel = block.grid.rows().len();
    let read = |r: usize| reader.read(tenant, r / per_channel, r % per_channel);
    let weight = |r: usize| read(r).and_then(|reading| reading.weight);
    let r = row - block.start;
    if !reader.is_weighted() {
        return match read(r) {
            Some(_) => Pinned(constraints("activation")),
            None => Free("the row is not read: the factor is multiplied by 0"),
        };
    }
    let above = (0..r).rev().find_map(weight);
    match weight(r) {
        Some(index) if above != Some(index) => Pinned(Buses),
        Some(_) => Pinned(constraints("activation")),
        // Held for a row below.
        None if above.is_some() && (r..block.grid.height()).find_map(weight) == above => {
            Pinned(constraints("activation"))
        }
        None => Free("the row is not read: the factor is multiplied by 0"),
    }
}

/// Whether somebody receives what the row finishes.
fn is_sent(air: &WeightsAir, row: usize) -> bool {
    air.blocks.iter().any(|b| {
        let Some(r) = (row - 1).checked_sub(b.start).filter(|_| row <= b.end()) else {
            return false;
        };
        let (channel, last) = (r / b.rows.len(), &b.rows[r % b.rows.len()]);
        let index = channel * b.residues + last.residue;
        last.end && b.counts[index % b.counts.len()] > 0
    })
}

/// The waivers for LogUp columns.
fn lookup_pin(table: &Table, row: usize) -> Pin {
    if row >= table.chip.rows() {
        return Free("padding: denominators are 0 and no step reads the row");
    }
    Pinned(constraints(table.chip.name()))
}

/// First, borders, middle, last live, closing and padding rows.
fn row_classes(table: &Table) -> Vec<usize> {
    let (live, height) = (table.chip.rows(), table.height());
    let mut rows = vec![0, 1, live / 2, live - 1, live, height - 1];
    match &table.chip {
        Chip::Activation(air) => {
            for block in &air.blocks {
                rows.extend([block.start, block.start + 1, block.end() - 1]);
            }
        }
        Chip::Overhang(air) => {
            for block in &air.blocks {
                rows.extend([
                    block.start,
                    (block.start + block.end()) / 2,
                    block.end() - 1,
                ]);
            }
        }
        _ => {}
    }
    rows.retain(|&r| r < height);
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Ways to change a cell, knowing the one below.
const MUTATIONS: usize = 5;

fn mutated<T: PrimeCharacteristicRing + Copy>(cell: T, below: T, mutation: usize) -> T {
    match mutation {
        0 => cell + T::ONE,
        1 => cell - T::ONE,
        2 => -cell,
        3 => cell + T::from_u32(1 << 6),
        _ => below,
    }
}

/// Applies a mutation to `cells[row][column]`. Returns whether that changed anything.
fn mutate<T: PrimeCharacteristicRing + Copy + PartialEq>(
    cells: &mut [T],
    width: usize,
    (row, column): (usize, usize),
    mutation: usize,
) -> bool {
    let index = row * width + column;
    let below = cells.get(index + width).copied().unwrap_or(T::ZERO);
    let new = mutated(cells[index], below, mutation);
    let changed = new != cells[index];
    cells[index] = new;
    changed
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Main,
    Projection,
    Lookup,
}

fn width(table: &Table, kind: Kind) -> usize {
    match kind {
        Kind::Main => table.widths.main,
        Kind::Projection => table.widths.projection,
        Kind::Lookup => table.widths.lookup(),
    }
}

fn pin(table: &Table, kind: Kind, row: usize, column: usize) -> Pin {
    match kind {
        Kind::Main => main_pin(table, row, column),
        Kind::Projection => projection_pin(table, row, column),
        Kind::Lookup => lookup_pin(table, row),
    }
}

/// An attack that runs `f` on one kind of a table's cells.
fn touch<'a>(
    table: usize,
    kind: Kind,
    mut base: impl FnMut(&mut [F]) + 'a,
    mut extension: impl FnMut(&mut [EF]) + 'a,
) -> Attack<'a> {
    let missing = "the table has such columns";
    match kind {
        Kind::Main => Attack::on_main(move |main, _| {
            base(&mut main[table].as_mut().expect(missing).values);
        }),
        Kind::Projection => Attack::on_projection(move |columns, _| {
            extension(columns[table].as_mut().expect(missing));
        }),
        Kind::Lookup => Attack::on_lookup(move |columns, _| extension(&mut columns[table])),
    }
}

/// Mutates every pinned column on every row class. `sample` picks which mutations to try on a cell.
fn rejects_pinned(lab: &Lab, kind: Kind, sample: impl Fn(usize, usize) -> Vec<usize>) {
    let mut tried = 0;
    for (t, table) in lab.layout().tables.iter().enumerate() {
        let width = width(table, kind);
        for column in 0..width {
            let mut changes = 0;
            for (class, row) in row_classes(table).into_iter().enumerate() {
                let Pinned(expected) = pin(table, kind, row, column) else {
                    continue;
                };
                for mutation in sample(column, class) {
                    let mut changed = false;
                    let attack = {
                        let changed = std::cell::RefCell::new(&mut changed);
                        let at = (row, column);
                        lab.attempt(&mut touch(
                            t,
                            kind,
                            |cells| **changed.borrow_mut() = mutate(cells, width, at, mutation),
                            |cells| **changed.borrow_mut() = mutate(cells, width, at, mutation),
                        ))
                    };
                    let name = table.chip.name();
                    if changed {
                        let what = format!("{name} {kind:?} [{row}][{column}] mutation {mutation}");
                        assert_eq!(attack, Err(expected.clone()), "{what}");
                        changes += 1;
                    }
                }
            }
            assert!(changes > 0, "no mutation of column {column} was tried");
            tried += changes;
        }
    }
    assert!(tried > 10);
}

/// Overwrites every free cell with noise; the proof must still verify.
fn accepts_free(lab: &Lab, kind: Kind) {
    let mut reasons = std::collections::BTreeSet::new();
    for (t, table) in lab.layout().tables.iter().enumerate() {
        let width = width(table, kind);
        let free: Vec<usize> = (0..table.height())
            .flat_map(|row| (0..width).map(move |column| (row, column)))
            .filter_map(|(row, column)| match pin(table, kind, row, column) {
                Free(reason) => {
                    reasons.insert(reason);
                    Some(row * width + column)
                }
                Pinned(_) => None,
            })
            .collect();
        if free.is_empty() {
            continue;
        }
        let mut noise = Rng(t as u64);
        let mut more_noise = noise.clone();
        let verified = lab.attempt(&mut touch(
            t,
            kind,
            |cells| {
                for &i in &free {
                    cells[i] = F::from_u32(noise.next() >> 1);
                }
            },
            |cells| {
                for &i in &free {
                    cells[i] = EF::from_u32(more_noise.next() >> 1);
                }
            },
        ));
        assert!(
            verified.is_ok(),
            "{} {kind:?}: a waived cell is pinned: {verified:?}",
            table.chip.name()
        );
    }
    assert!(!reasons.is_empty());
}

/// Saturating and ordinary accumulators, one limb of remainder.
fn saturating() -> Lab {
    Lab::new(&Spec {
        functions: &[Function::Sigmoid, Function::Identity],
        ..Spec::default()
    })
}

/// Three batch items, several limbs of remainder, a clipped and an odd function, an input that is
/// looked up.
fn batched() -> Lab {
    Lab::new(&Spec {
        positions: 3,
        table_input: true,
        shift: 13,
        weight_max: 120,
        functions: &[Function::Relu, Function::Tanh],
        seed: 3,
        ..Spec::default()
    })
}

/// No accumulator can saturate: there are no side and excess columns.
fn roomy() -> Lab {
    Lab::new(&Spec {
        widths: &[5, 3],
        shift: 9,
        weight_max: 40,
        functions: &[Function::Identity],
        seed: 5,
        ..Spec::default()
    })
}

/// A convolution with a border, a strided one, a gate, a residual sum, a flat layer.
fn convolutional() -> Lab {
    let model = nets::small();
    let x = input(&model, 3);
    let lab = Lab::of(model, &x);
    assert!(
        lab.layout()
            .tables
            .iter()
            .any(|t| t.chip.name() == "overhang")
    );
    lab
}

/// Windows in rows, with copies, odd borders and a ranged input among the hosts.
fn windowed() -> Lab {
    let model = nets::windows();
    let x = input(&model, 4);
    let lab = Lab::of(model, &x);
    let activations = lab.layout().tables.iter().filter_map(|t| match &t.chip {
        Chip::Activation(air) => Some(air),
        _ => None,
    });
    let (windows, copies): (Vec<_>, Vec<_>) = activations
        .map(|air| (!air.window.comparisons.is_empty(), air.window.copies > 0))
        .unzip();
    assert!(windows.contains(&true) && copies.contains(&true));
    lab
}

/// All mutations.
fn all(_: usize, _: usize) -> Vec<usize> {
    (0..MUTATIONS).collect()
}

/// Two mutations, others for every column and row class.
fn two(column: usize, class: usize) -> Vec<usize> {
    let first = (column + class) % MUTATIONS;
    vec![first, (first + 2) % MUTATIONS]
}

/// Extension cells: any change is a random change.
fn one(column: usize, class: usize) -> Vec<usize> {
    vec![(column + class) % 2 * 3]
}

#[test]
fn rejects_every_main_cell_of_a_saturating_model() {
    rejects_pinned(&saturating(), Kind::Main, all);
}

#[test]
fn rejects_every_main_cell_of_a_batched_model() {
    rejects_pinned(&batched(), Kind::Main, two);
}

#[test]
fn rejects_every_main_cell_of_a_convolutional_model() {
    rejects_pinned(&convolutional(), Kind::Main, two);
}

#[test]
fn rejects_every_main_cell_of_windows() {
    rejects_pinned(&windowed(), Kind::Main, two);
}

#[test]
fn rejects_every_main_cell_of_a_model_without_saturation() {
    let lab = roomy();
    assert_eq!(lab.activation().1.limbs.excess, 0);
    rejects_pinned(&lab, Kind::Main, all);
}

#[test]
fn rejects_every_projection_cell() {
    rejects_pinned(&saturating(), Kind::Projection, two);
    rejects_pinned(&batched(), Kind::Projection, one);
    rejects_pinned(&convolutional(), Kind::Projection, one);
    rejects_pinned(&windowed(), Kind::Projection, one);
}

#[test]
fn rejects_every_lookup_cell() {
    rejects_pinned(&saturating(), Kind::Lookup, one);
    rejects_pinned(&batched(), Kind::Lookup, one);
    rejects_pinned(&convolutional(), Kind::Lookup, one);
    rejects_pinned(&windowed(), Kind::Lookup, one);
}

#[test]
fn rejects_every_terminal() {
    for lab in [
        saturating(),
        batched(),
        roomy(),
        convolutional(),
        windowed(),
    ] {
        for table in 0..lab.layout().tables.len() {
            for mutation in [0, 1, 2, 3] {
                let error = lab.refusal(Attack::on_lookup(|_, terminals| {
                    terminals[table] = mutated(terminals[table], EF::ZERO, mutation);
                }));
                assert_eq!(error, Buses);
            }
        }
    }
}

#[test]
fn accepts_every_waived_cell() {
    for lab in [
        saturating(),
        batched(),
        roomy(),
        convolutional(),
        windowed(),
    ] {
        for kind in [Kind::Main, Kind::Projection, Kind::Lookup] {
            accepts_free(&lab, kind);
        }
    }
}
