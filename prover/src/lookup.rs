//! LogUp columns of all tables, from the messages the chips state.

use air::builder::{Challenges, MessageCollector, Over, Row};
use air::chips::Air;
use air::chips::weights::linear_form;
use air::layout::Table;
use air::logup::fill_columns;
use p3_field::{ExtensionField, Field, PackedFieldExtension, PackedValue};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

/// The traces of one table, in trace order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traces<'a, F, EF> {
    pub fixed: &'a RowMajorMatrix<F>,
    pub weight: Option<&'a RowMajorMatrix<F>>,
    pub main: Option<&'a RowMajorMatrix<F>>,
    pub projection: Option<&'a [EF]>,
}

/// The LogUp columns of a table, row-major, and its terminal.
pub(crate) fn generate<F: Field, EF: ExtensionField<F>>(
    table: &Table,
    traces: &Traces<'_, F, EF>,
    challenges: &Challenges<EF>,
) -> (Vec<EF>, EF) {
    let challenges = &challenges.for_chip(&table.chip);
    let form = match (table.chip.weight_form(challenges), traces.weight) {
        (Some(coefficients), Some(weight)) => Some(linear_form::<F, EF>(weight, &coefficients)),
        _ => None,
    };
    let (live, per_row) = (table.chip.rows(), table.widths.messages);
    let lanes = F::Packing::WIDTH;
    let messages: Vec<(EF, F)> = (0..live.div_ceil(lanes))
        .into_par_iter()
        .flat_map_iter(|chunk| {
            let first = chunk * lanes;
            let rows = lanes.min(live - first);
            let packed = packed_messages(table, traces, form.as_deref(), challenges, first);
            debug_assert_eq!(packed.len(), per_row);
            (0..rows).flat_map(move |lane| {
                packed
                    .iter()
                    .map(move |(d, m)| (d.extract(lane), m.as_slice()[lane]))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    fill_columns(&messages, per_row, table.height())
}

/// The messages of the packed rows from `first` on.
fn packed_messages<F: Field, EF: ExtensionField<F>>(
    table: &Table,
    traces: &Traces<'_, F, EF>,
    form: Option<&[EF]>,
    challenges: &Challenges<EF>,
    first: usize,
) -> Vec<(EF::ExtensionPacking, F::Packing)> {
    let base = |matrix: Option<&RowMajorMatrix<F>>| -> Vec<F::Packing> {
        matrix.map_or(Vec::new(), |m| m.vertically_packed_row(first).collect())
    };
    // A table with a form reads its weights through the form only.
    let (fixed, main) = (base(Some(traces.fixed)), base(traces.main));
    let weight = base(traces.weight.filter(|_| form.is_none()));
    let width = table.committed.projection;
    let projection: Vec<EF::ExtensionPacking> = (0..table.widths.projection)
        .map(|c| {
            EF::ExtensionPacking::from_ext_fn(|lane| {
                traces
                    .projection
                    .map_or(EF::ZERO, |p| p[(first + lane) * width + c])
            })
        })
        .collect();
    let row = Row {
        fixed: &fixed,
        weight: &weight,
        main: &main,
        form: form.map(|f| EF::ExtensionPacking::from_ext_fn(|lane| f[first + lane])),
        projection: &projection,
        // Messages read the current row only.
        projection_next: &projection,
    };
    let mut messages = Vec::with_capacity(table.widths.messages);
    let collector = MessageCollector::new(row, challenges, &mut messages);
    table.chip.eval(&mut Over::<_, F>::new(collector));
    messages
}
