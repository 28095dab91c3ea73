//! # Cell mutation
//!
//! Every cell a prover commits to is either *pinned* — change it and `verify` refuses, naming the
//! expected check — or *free*, and then it is listed here with the reason. Columns are enumerated
//! from the layout, so a new column is pinned by default and fails this test until it is. Free
//! cells are all changed at once and the proof must still verify: a waiver that is out of date
//! fails as well.
//!
//! If this failed, some cell of a witness would mean something without being checked.

use crate::common::attack::{Attack, EF, F, Lab, constraints};
use crate::common::{Rng, Spec};
use air::chips::activation::{ActivationAir, Sink};
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
        Chip::Activation(air) if air.blocks.iter().any(|b| b.is_unit_row(row)) => {
            Free("a unit row has no cells of its own: real = 0 gates every use of them")
        }
        Chip::Activation(air) if is_unlooked(air, row, column) => {
            Free("a ranged input is its limbs: looked = 0 gates every use of q, out and side")
        }
        _ if row >= live => Free("padding: live, real and step are 0"),
        _ => Pinned(Buses),
    }
}

/// Whether the cell is `q`, `out` or `side` of a ranged input.
fn is_unlooked(air: &ActivationAir, row: usize, column: usize) -> bool {
    let mut ranged = air.blocks.iter().filter(|b| b.is_ranged());
    let has_side = usize::from(air.limbs.excess > 0);
    ranged.any(|b| (b.first_feature()..b.end()).contains(&row))
        && column % air.lane_width() < 2 + has_side
}

/// The waivers for projection columns.
fn projection_pin(table: &Table, row: usize, column: usize) -> Pin {
    if row >= table.chip.rows() {
        return Free("padding: step, keep and all counts are 0");
    }
    match &table.chip {
        Chip::Activation(air) => activation_projection_pin(air, row, column),
        Chip::Weights(air) if ends_block(air, row) => Pinned(Buses),
        Chip::Weights(_) => Pinned(constraints("weights")),
        Chip::Lookup(_) => unreachable!("lookup tables have no projections"),
        Chip::Sha256(_) | Chip::Poseidon2(_) | Chip::Compare(_) => {
            unreachable!("nothing is said of a hidden tensor of these models")
        }
        Chip::AttestWeights(_) | Chip::AttestSums(_) => {
            unreachable!("a proof is no attestation")
        }
    }
}

fn activation_projection_pin(air: &ActivationAir, row: usize, column: usize) -> Pin {
    const V: usize = 1;
    let block = air
        .blocks
        .iter()
        .find(|b| (b.start..b.end()).contains(&row));
    if column == V {
        return match block.map(|b| b.sink) {
            None => Free("the closing row takes no product"),
            Some(Sink::Layer { .. }) => Pinned(Buses),
            Some(Sink::Output) => Pinned(constraints("activation")),
        };
    }
    match block {
        _ if row == 0 => Free("nothing lies above row 0: keep = 0 and no claim reads it"),
        // Totals of the tensor above are claimed here.
        None => Pinned(Buses),
        Some(b) if b.start == row => Pinned(Buses),
        Some(_) => Pinned(constraints("activation")),
    }
}

/// Whether the row sends `v_k`.
fn ends_block(air: &WeightsAir, row: usize) -> bool {
    air.blocks.iter().any(|b| {
        let per_input = b.outputs.div_ceil(air.lanes);
        let rows = b.start..b.start + (b.inputs + 1) * per_input;
        rows.contains(&row) && (row - b.start) % per_input + 1 == per_input
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
    if let Chip::Activation(air) = &table.chip {
        for block in &air.blocks {
            rows.extend([block.start, block.first_feature(), block.end() - 1]);
        }
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
        Kind::Projection => Attack::on_projection(move |columns, _, _| {
            extension(columns[table].as_mut().expect(missing));
        }),
        Kind::Lookup => Attack::on_lookup(move |columns, _| extension(&mut columns[table])),
    }
}

/// Mutates every pinned column on every row class. `sample` picks which mutations to try on a cell.
fn rejects_pinned(spec: &Spec<'_>, kind: Kind, sample: impl Fn(usize, usize) -> Vec<usize>) {
    let lab = Lab::new(spec);
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
fn accepts_free(spec: &Spec<'_>, kind: Kind) {
    let lab = Lab::new(spec);
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
fn saturating() -> Spec<'static> {
    Spec {
        functions: &[Function::Sigmoid, Function::Identity],
        ..Spec::default()
    }
}

/// Three batch items, several limbs of remainder, a clipped and an odd function, an input that is
/// looked up.
fn batched() -> Spec<'static> {
    Spec {
        positions: 3,
        table_input: true,
        shift: 13,
        weight_max: 120,
        functions: &[Function::Relu, Function::Tanh],
        seed: 3,
        ..Spec::default()
    }
}

/// No accumulator can saturate: there are no side and excess columns.
fn roomy() -> Spec<'static> {
    Spec {
        widths: &[5, 3],
        shift: 9,
        weight_max: 40,
        functions: &[Function::Identity],
        seed: 5,
        ..Spec::default()
    }
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
fn rejects_every_main_cell_of_a_model_without_saturation() {
    let spec = roomy();
    assert_eq!(Lab::new(&spec).activation().1.limbs.excess, 0);
    rejects_pinned(&spec, Kind::Main, all);
}

#[test]
fn rejects_every_projection_cell() {
    rejects_pinned(&saturating(), Kind::Projection, two);
    rejects_pinned(&batched(), Kind::Projection, one);
}

#[test]
fn rejects_every_lookup_cell() {
    rejects_pinned(&saturating(), Kind::Lookup, one);
    rejects_pinned(&batched(), Kind::Lookup, one);
}

#[test]
fn rejects_every_terminal() {
    for spec in [saturating(), batched(), roomy()] {
        let lab = Lab::new(&spec);
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
    for spec in [saturating(), batched(), roomy()] {
        for kind in [Kind::Main, Kind::Projection, Kind::Lookup] {
            accepts_free(&spec, kind);
        }
    }
}
