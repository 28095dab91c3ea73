//! LogUp columns of all tables, from the messages the chips state.

use air::builder::{Challenges, MessageCollector, Over, Row};
use air::chips::Air;
use air::chips::weights::linear_form;
use air::layout::Table;
use p3_field::{ExtensionField, Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing};
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
    let (live, width) = (table.chip.rows(), table.widths.lookup());
    let mut columns = EF::zero_vec(width * table.height());
    if width == 0 {
        return (columns, EF::ZERO);
    }
    let lanes = F::Packing::WIDTH;
    let mut sums = EF::zero_vec(live.next_multiple_of(lanes));
    let packs = columns.par_chunks_mut(lanes * width);
    let packs = packs.zip(sums.par_chunks_exact_mut(lanes)).enumerate();
    packs.for_each(|(pack, (columns, sums))| {
        let first = pack * lanes;
        let mut messages = packed_messages(table, traces, form.as_deref(), challenges, first);
        debug_assert_eq!(messages.len(), table.widths.messages);
        if first + lanes > live {
            // Beyond the live rows denominators are 0.
            for (d, _) in &mut messages {
                let known = *d;
                *d = EF::ExtensionPacking::from_ext_fn(|lane| match first + lane < live {
                    true => known.extract(lane),
                    false => EF::ONE,
                });
            }
        }
        let fractions = packed_fractions::<F, EF>(&messages);
        for (lane, (row, sum)) in columns.chunks_exact_mut(width).zip(sums).enumerate() {
            if first + lane >= live {
                break;
            }
            for (slot, pair) in row.iter_mut().zip(fractions.chunks_exact(2)) {
                *slot = (pair[0] + pair[1]).extract(lane);
                *sum += *slot;
            }
            // An odd message has no column.
            if let [odd] = fractions.chunks_exact(2).remainder() {
                *sum += odd.extract(lane);
            }
        }
    });
    let mut acc = EF::ZERO;
    for (row, &sum) in columns.chunks_exact_mut(width).zip(&sums[..live]) {
        row[width - 1] = acc;
        acc += sum;
    }
    (columns, acc)
}

/// `count/denominator` of every message, with one inversion for all of a row.
fn packed_fractions<F: Field, EF: ExtensionField<F>>(
    messages: &[(EF::ExtensionPacking, F::Packing)],
) -> Vec<EF::ExtensionPacking> {
    let mut product = EF::ExtensionPacking::ONE;
    let mut fractions: Vec<_> = (messages.iter())
        .map(|&(d, _)| {
            let before = product;
            product *= d;
            before
        })
        .collect();
    let mut inverse = EF::ExtensionPacking::from_ext_fn(|lane| product.extract(lane).inverse());
    for (slot, &(d, count)) in fractions.iter_mut().zip(messages).rev() {
        *slot = *slot * inverse * count;
        inverse *= d;
    }
    fractions
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
