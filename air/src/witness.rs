//! # Traces of a whole layout
//!
//! Setup traces (fixed and weight matrices) depend on the model alone; the main traces on one
//! evaluation. Both are built from the same integers the reference evaluator works with.

use alloc::vec;
use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;

use crate::builder::Challenges;
use crate::chips::Chip;
use crate::chips::lookup::{LookupAir, LookupContent};
use crate::graph::{Evaluation, Model};
use crate::layout::Layout;

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
                Chip::Activation(_) | Chip::Lookup(_) | Chip::Sha256(_) | Chip::Poseidon2(_) => {
                    None
                }
            })
            .collect();
        Self { fixed, weight }
    }
}

/// The main matrices of one evaluation, for tables that have main columns.
pub fn generate_main<F: Field>(
    layout: &Layout,
    evaluation: &Evaluation,
) -> Vec<Option<RowMajorMatrix<F>>> {
    let mut counters: Vec<Option<Counter<'_>>> = layout
        .tables
        .iter()
        .map(|table| match &table.chip {
            Chip::Lookup(air) => Some(Counter::new(air)),
            _ => None,
        })
        .collect();
    for table in &layout.tables {
        if let Chip::Activation(air) = &table.chip {
            let mut functions: Vec<(usize, i32, i32)> = Vec::new();
            let mut ranges: Vec<(u8, u32)> = Vec::new();
            air.for_each_lookup(
                evaluation,
                |f, side, q| functions.push((f, side, q)),
                |bits, value| ranges.push((bits, value)),
            );
            for counter in counters.iter_mut().flatten() {
                counter.count_all(&functions, &ranges);
            }
        }
    }
    layout
        .tables
        .iter()
        .zip(counters)
        .map(|(table, counter)| match (&table.chip, counter) {
            (Chip::Activation(air), _) => Some(air.generate_main(evaluation, table.height())),
            (Chip::Lookup(air), Some(c)) => Some(air.generate_main(&c.counts, table.height())),
            _ => None,
        })
        .collect()
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
            LookupContent::Range(widths) => {
                for &(bits, value) in ranges {
                    if let Ok(section) = widths.binary_search(&bits) {
                        self.counts[self.starts[section] + value as usize] += 1;
                    }
                }
            }
        }
    }
}

/// The projection columns of every table that has any: row-major extension elements.
pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
    layout: &Layout,
    weight: &[Option<RowMajorMatrix<F>>],
    main: &[Option<RowMajorMatrix<F>>],
    challenges: &Challenges<EF>,
) -> Vec<Option<Vec<EF>>> {
    // The weight table first: the activation rows receive what it folds.
    let mut folded: Vec<Vec<EF>> = Vec::new();
    let mut columns: Vec<Option<Vec<EF>>> = vec![None; layout.tables.len()];
    for (i, table) in layout.tables.iter().enumerate() {
        if let (Chip::Weights(air), Some(w)) = (&table.chip, &weight[i]) {
            let (column, products) = air.generate_projection(w, challenges);
            for (layer, v) in products {
                folded.resize(folded.len().max(layer + 1), Vec::new());
                folded[layer] = v;
            }
            columns[i] = Some(column);
        }
    }
    for (i, table) in layout.tables.iter().enumerate() {
        if let (Chip::Activation(air), Some(m)) = (&table.chip, &main[i]) {
            columns[i] = Some(air.generate_projection(m, &folded, challenges, table.height()));
        }
    }
    columns
}
