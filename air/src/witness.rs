//! # Traces of a whole layout
//!
//! Setup traces (fixed and weight matrices) depend on the model alone; the main traces on one
//! evaluation and on salts. Both are built from the same integers the reference evaluator works with.

use alloc::vec;
use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;

use crate::builder::Challenges;
use crate::chips::Chip;
use crate::chips::activation::Factors;
use crate::chips::lookup::{LookupAir, LookupContent};
use crate::graph::{Evaluation, Frame, Model, accumulate_frame};
use crate::layout::{Layout, Table};
use crate::statement::{Salt, words};

/// The matrices a verifying key commits to, one entry per table.
#[derive(Clone, Debug)]
pub struct SetupTraces<F> {
    /// Fixed matrices.
    pub fixed: Vec<RowMajorMatrix<F>>,
    /// Weight matrices, for tables that have weight columns.
    pub weight: Vec<Option<RowMajorMatrix<F>>>,
}

impl<F: Field> SetupTraces<F> {
    /// The setup traces of a model.
    pub fn generate(layout: &Layout, model: &Model) -> Self {
        let fixed = layout.tables.iter().map(|t| t.generate_fixed()).collect();
        let weight = layout
            .tables
            .iter()
            .map(|table| match &table.chip {
                Chip::Weights(air) => Some(air.generate_weights(model, table.height())),
                Chip::Activation(_)
                | Chip::Overhang(_)
                | Chip::Sums(_)
                | Chip::Lookup(_)
                | Chip::Sha256(_)
                | Chip::Poseidon2(_)
                | Chip::Compare(_)
                | Chip::AttestWeights(_)
                | Chip::AttestSums(_) => None,
            })
            .collect();
        Self { fixed, weight }
    }
}

/// The main matrices of one evaluation of a model, for tables that have main columns. `salts` has the
/// salt of every tensor that is hashed with one, by index.
pub fn generate_main<F: Field>(
    layout: &Layout,
    model: &Model,
    evaluation: &Evaluation,
    salts: &[Option<Salt>],
) -> Vec<Option<RowMajorMatrix<F>>> {
    let functions = layout.functions();
    let frame = |layer: usize| {
        let (graph, weights) = (&model.graph, &model.weights[layer]);
        let layer = &graph.layers[layer];
        let frame = Frame::new(graph, layer);
        accumulate_frame(graph, layer, weights, &evaluation.tensors, &frame)
    };
    let values = |tensor: usize| evaluation.tensors[tensor].as_slice();
    let salt = |tensor: usize| salts.get(tensor).copied().flatten();
    let counters = count_lookups(layout, evaluation);
    layout
        .tables
        .iter()
        .zip(counters)
        .map(|(table, counter)| {
            let height = table.height();
            match &table.chip {
                Chip::Activation(air) => Some(air.generate_main(evaluation, functions, height)),
                Chip::Overhang(air) => Some(air.generate_main(&frame, height)),
                Chip::Lookup(air) => counter.map(|c| air.generate_main(&c.counts, height)),
                // An attestation is about no evaluation: see `generate_attestation`.
                Chip::Weights(_) | Chip::Sums(_) | Chip::AttestWeights(_) | Chip::AttestSums(_) => {
                    None
                }
                Chip::Sha256(air) => {
                    let salt = salt(air.tensor.tensor);
                    Some(air.generate_main(values(air.tensor.tensor), salt.as_ref(), height))
                }
                Chip::Poseidon2(air) => {
                    let salt = salt(air.tensor.tensor).map(|s| words(&s).map(F::from_u32));
                    Some(air.generate_main(values(air.tensor.tensor), salt.as_ref(), height))
                }
                Chip::Compare(air) => Some(air.generate_main(values(air.tensor), height)),
            }
        })
        .collect()
}

/// The main matrices of an attestation, see [`Layout::attestation`].
pub fn generate_attestation<F: Field>(
    layout: &Layout,
    model: &Model,
) -> Vec<Option<RowMajorMatrix<F>>> {
    let generate = |table: &Table| {
        let height = table.height();
        match &table.chip {
            Chip::AttestWeights(air) => Some(air.generate_main(model, height)),
            Chip::AttestSums(air) => Some(air.generate_main(model, height)),
            Chip::Lookup(air) => {
                let mut counter = Counter::new(air);
                for other in &layout.tables {
                    let range = |bits, value| counter.count_range(bits, value);
                    match &other.chip {
                        Chip::AttestWeights(air) => air.for_each_lookup(model, range),
                        Chip::AttestSums(air) => air.for_each_lookup(model, range),
                        _ => {}
                    }
                }
                Some(air.generate_main(&counter.counts, height))
            }
            _ => None,
        }
    };
    layout.tables.iter().map(generate).collect()
}

/// What is looked up, counted for every lookup table. Tables of the key look values up in the key's
/// lookup tables, those of a statement in the statement's.
fn count_lookups<'a>(layout: &'a Layout, evaluation: &Evaluation) -> Vec<Option<Counter<'a>>> {
    let mut counters: Vec<Option<Counter<'_>>> = layout
        .tables
        .iter()
        .map(|table| match &table.chip {
            Chip::Lookup(air) => Some(Counter::new(air)),
            _ => None,
        })
        .collect();
    for table in &layout.tables {
        let mut functions: Vec<(usize, i32, i32)> = Vec::new();
        let mut ranges: Vec<(u8, u32)> = Vec::new();
        match &table.chip {
            Chip::Activation(air) => air.for_each_lookup(
                evaluation,
                layout.functions(),
                |f, side, q| functions.push((f, side, q)),
                |bits, value| ranges.push((bits, value)),
            ),
            Chip::Compare(air) => {
                let values = &evaluation.tensors[air.tensor];
                air.for_each_lookup(values, |bits, value| ranges.push((bits, value)));
            }
            _ => continue,
        }
        for (counter, other) in counters.iter_mut().zip(&layout.tables) {
            if let Some(counter) = counter
                && other.is_outside_key() == table.is_outside_key()
            {
                counter.count_all(&functions, &ranges);
            }
        }
    }
    counters
}

/// Counts how often each entry of a lookup table is used.
struct Counter<'a> {
    air: &'a LookupAir,
    starts: Vec<usize>,
    counts: Vec<u32>,
}

impl<'a> Counter<'a> {
    fn new(air: &'a LookupAir) -> Self {
        Self {
            air,
            starts: air.content.section_starts(),
            counts: vec![0; air.content.len()],
        }
    }

    fn count_all(&mut self, functions: &[(usize, i32, i32)], ranges: &[(u8, u32)]) {
        match &self.air.content {
            LookupContent::Functions(list) => {
                for &(id, side, q) in functions {
                    let domain = list[id - 1].domain;
                    let within = match side {
                        0 => (q - domain.lo) as usize,
                        s if s < 0 => domain.len() as usize,
                        _ => domain.len() as usize + 1,
                    };
                    self.counts[self.starts[id - 1] + within] += 1;
                }
            }
            LookupContent::Range(_) => {
                for &(bits, value) in ranges {
                    self.count_range(bits, value);
                }
            }
        }
    }

    /// Counts a value in a range table; what is no entry is not counted.
    fn count_range(&mut self, bits: u8, value: u32) {
        if let LookupContent::Range(widths) = &self.air.content
            && let Ok(section) = widths.binary_search(&bits)
            && value >> bits == 0
        {
            self.counts[self.starts[section] + value as usize] += 1;
        }
    }
}

/// The projection columns of every table that has any: row-major extension elements. `weight` has an
/// entry for every table of the key.
pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
    layout: &Layout,
    weight: &[Option<RowMajorMatrix<F>>],
    main: &[Option<RowMajorMatrix<F>>],
    challenges: &Challenges<EF>,
) -> Vec<Option<Vec<EF>>> {
    // The weights first, and the gates: the activation rows receive them. The sums last.
    let mut factors = Factors::default();
    let mut columns: Vec<Option<Vec<EF>>> = vec![None; layout.tables.len()];
    for (i, table) in layout.tables.iter().enumerate() {
        match (&table.chip, weight.get(i), &main[i]) {
            (Chip::Weights(air), Some(Some(w)), _) => {
                let (column, folded) = air.generate_projection(w, challenges);
                for (term, runs) in folded {
                    *slot(&mut factors.weights, term) = runs;
                }
                columns[i] = Some(column);
            }
            (Chip::Activation(air), _, Some(m)) => {
                for (tensor, values) in air.gates(m) {
                    let values = values.into_iter().map(EF::from).collect();
                    *slot(&mut factors.gates, tensor) = values;
                }
            }
            _ => {}
        }
    }
    let mut claims: Vec<EF> = Vec::new();
    for (term, runs) in factors.weights.iter().enumerate() {
        // Of a block of biases this is its only run; others are overwritten below.
        *slot(&mut claims, term) = runs.first().copied().unwrap_or(EF::ZERO);
    }
    for (i, table) in layout.tables.iter().enumerate() {
        let (Some(m), height) = (&main[i], table.height()) else {
            continue;
        };
        columns[i] = match &table.chip {
            Chip::Activation(air) => {
                let cells = air.generate_projection(m, &factors, challenges, height);
                for (term, value) in air.term_claims(&cells) {
                    *slot(&mut claims, term) = value;
                }
                Some(cells)
            }
            Chip::Overhang(air) => {
                let cells = air.generate_projection(m, challenges, height);
                for block in &air.blocks {
                    *slot(&mut claims, block.term) = cells[block.end()];
                }
                Some(cells)
            }
            Chip::Sha256(air) => Some(air.generate_projection(m, challenges, height)),
            Chip::Poseidon2(air) => Some(air.generate_projection(m, challenges, height)),
            Chip::Compare(air) => Some(air.generate_projection(m, challenges, height)),
            Chip::AttestWeights(air) => match weight.get(i) {
                Some(Some(w)) => Some(air.generate_projection(w, m, challenges, height)),
                _ => continue,
            },
            Chip::AttestSums(air) => Some(air.generate_projection(m, challenges, height)),
            Chip::Weights(_) | Chip::Sums(_) | Chip::Lookup(_) => continue,
        };
    }
    for (i, table) in layout.tables.iter().enumerate() {
        if let Chip::Sums(air) = &table.chip {
            columns[i] = Some(air.generate_projection::<F, EF>(&claims, table.height()));
        }
    }
    columns
}

/// The entry of a list that grows as needed.
fn slot<T: Clone + Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}
