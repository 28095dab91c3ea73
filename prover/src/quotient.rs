//! Quotient chunks: the folded constraints of a table divided by its vanishing polynomial.
//!
//! The constraints have degree at most 3, so the quotient is a polynomial of degree below 2n. It
//! is evaluated on the coset of size 2n that every low-degree extension contains as a prefix (rows
//! are stored bit-reversed), interpolated, and split in chunks: `Q = Σ_i X^(i·m)·Q_i`.
//!
//! Without masks `m = n` and there are two chunks. With them `m = n − R`, there are three, and random
//! polynomials `b_i` of degree below `R` move between neighbours: `Q_i + X^m·b_i − b_(i−1)`. The sum
//! stays the same; all chunks but one are uniform wherever they are opened, and the sum gives the last.

use air::builder::{Challenges, ConstraintFolder, Over, Row};
use air::chips::weights::linear_form;
use air::chips::{Air, MAX_DEGREE};
use air::layout::Table;
use air::logup::LookupRow;
use p3_dft::TwoAdicSubgroupDft;
use p3_field::{
    BasedVectorSpace, Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing,
};
use p3_matrix::Matrix;
use p3_matrix::bitrev::BitReversibleMatrix;
use p3_matrix::dense::{RowMajorMatrix, RowMajorMatrixCow};
use p3_maybe_rayon::prelude::*;
use p3_util::{reverse_bits_len, reverse_slice_index_bits};
use verifier::Protocol;

/// The committed columns of one table on the quotient's coset, bit-reversed.
pub(crate) struct Columns<'a, F: Clone + Send + Sync> {
    pub fixed: RowMajorMatrixCow<'a, F>,
    pub weight: Option<RowMajorMatrixCow<'a, F>>,
    pub main: Option<RowMajorMatrixCow<'a, F>>,
    pub projection: Option<RowMajorMatrixCow<'a, F>>,
    pub lookup: RowMajorMatrixCow<'a, F>,
}

/// Points of the quotient's coset per row: degree 3 leaves a quotient of degree below 2n.
pub(crate) const EXTENSION: usize = MAX_DEGREE - 1;

/// What the constraints of a table are folded with.
#[derive(Clone, Copy)]
pub(crate) struct Folding<'a, EF> {
    pub challenges: &'a Challenges<EF>,
    pub terminal: EF,
    pub lambda: EF,
}

type Packed<P> = <<P as Protocol>::Val as Field>::Packing;
type PackedExt<P> = <<P as Protocol>::Challenge as p3_field::ExtensionField<
    <P as Protocol>::Val,
>>::ExtensionPacking;

/// The low-degree extensions of a table's quotient chunks, side by side, ready to be committed.
pub(crate) fn chunks<P: Protocol>(
    dft: &impl TwoAdicSubgroupDft<P::Val>,
    table: &Table,
    columns: &Columns<'_, P::Val>,
    folding: &Folding<'_, P::Challenge>,
    masks: &[Vec<P::Challenge>],
    log_blowup: usize,
) -> RowMajorMatrix<P::Val> {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    let n = table.height();
    let mut values = evaluate::<P>(table, columns, folding);
    reverse_slice_index_bits(&mut values);
    let values = RowMajorMatrix::new(P::Challenge::flatten_to_base(values), degree);
    let coefficients = dft.coset_idft_batch(values, P::Val::GENERATOR).values;

    let (chunks, stride) = (table.committed.quotient, table.quotient_stride());
    let width = chunks * degree;
    let mut padded = P::Val::zero_vec((n << log_blowup) * width);
    for (i, coefficient) in coefficients.chunks_exact(degree).enumerate() {
        let (chunk, r) = match i / stride {
            chunk if chunk < chunks => (chunk, i % stride),
            _ => (chunks - 1, i - (chunks - 1) * stride),
        };
        let at = r * width + chunk * degree;
        padded[at..at + degree].copy_from_slice(coefficient);
    }
    for (chunk, mask) in masks.iter().enumerate() {
        let mask = P::Challenge::flatten_to_base(mask.clone());
        for (i, b) in mask.chunks_exact(degree).enumerate() {
            let above = (stride + i) * width + chunk * degree;
            let beside = i * width + (chunk + 1) * degree;
            for (d, &b) in b.iter().enumerate() {
                padded[above + d] += b;
                padded[beside + d] -= b;
            }
        }
    }
    dft.coset_dft_batch(RowMajorMatrix::new(padded, width), P::Val::GENERATOR)
        .bit_reverse_rows()
        .to_row_major_matrix()
}

/// The quotient on its coset, in bit-reversed order.
fn evaluate<P: Protocol>(
    table: &Table,
    columns: &Columns<'_, P::Val>,
    folding: &Folding<'_, P::Challenge>,
) -> Vec<P::Challenge> {
    let size = table.height() * EXTENSION;
    let lanes = Packed::<P>::WIDTH;
    let challenges = &folding.challenges.for_chip(&table.chip);
    let folding = &Folding {
        challenges,
        ..*folding
    };
    let form = match (table.chip.weight_form(folding.challenges), &columns.weight) {
        (Some(coefficients), Some(weight)) => {
            Some(linear_form::<P::Val, P::Challenge>(weight, &coefficients))
        }
        _ => None,
    };
    // x^n takes two values on the coset: g^n at even positions, −g^n at odd ones. Bit-reversed,
    // even positions are the first half.
    let shift = P::Val::GENERATOR.exp_power_of_2(table.log_height);
    let inverse = |x_n: P::Val| (x_n - P::Val::ONE).inverse();
    let inverses = [inverse(shift), inverse(-shift)];

    let mut values = P::Challenge::zero_vec(size);
    values
        .par_chunks_exact_mut(lanes)
        .enumerate()
        .for_each(|(chunk, out)| {
            let first = chunk * lanes;
            let folded = fold_rows::<P>(table, columns, form.as_deref(), folding, first);
            for (lane, slot) in out.iter_mut().enumerate() {
                let half = (first + lane) / table.height();
                *slot = folded.extract(lane) * inverses[half];
            }
        });
    values
}

/// The folded constraints on the packed rows from storage index `first` on.
fn fold_rows<P: Protocol>(
    table: &Table,
    columns: &Columns<'_, P::Val>,
    form: Option<&[P::Challenge]>,
    folding: &Folding<'_, P::Challenge>,
    first: usize,
) -> PackedExt<P> {
    let lanes = Packed::<P>::WIDTH;
    let here: Vec<usize> = (first..first + lanes).collect();
    let log_size = table.log_height + EXTENSION.ilog2() as usize;
    let next: Vec<usize> = here
        .iter()
        .map(|&s| {
            // One step of the trace domain is EXTENSION steps of the coset.
            let natural = reverse_bits_len(s, log_size) + EXTENSION;
            reverse_bits_len(natural & ((1 << log_size) - 1), log_size)
        })
        .collect();
    let fixed = pack_base::<P>(Some(&columns.fixed), &here);
    let main = pack_base::<P>(columns.main.as_ref(), &here);
    // A table with a form reads its weights through the form only.
    let weight = pack_base::<P>(columns.weight.as_ref().filter(|_| form.is_none()), &here);
    let projection = pack_ext::<P>(columns.projection.as_ref(), &here);
    let projection_next = pack_ext::<P>(columns.projection.as_ref(), &next);
    let lookup = pack_ext::<P>(Some(&columns.lookup), &here);
    let lookup_next = pack_ext::<P>(Some(&columns.lookup), &next);

    let row = Row {
        fixed: &fixed,
        weight: &weight,
        main: &main,
        form: form.map(|f| PackedExt::<P>::from_ext_fn(|lane| f[first + lane])),
        projection: &projection,
        projection_next: &projection_next,
    };
    let width = table.widths.lookup();
    let lookup = LookupRow {
        local: &lookup[..width],
        next: &lookup_next[..width],
        terminal: table.blinded(PackedExt::<P>::from(folding.terminal), &projection_next),
    };
    let folder = ConstraintFolder::new(row, lookup, folding.challenges, folding.lambda);
    let mut folder = Over::<_, P::Val>::new(folder);
    table.chip.eval(&mut folder);
    folder.into_inner().finish()
}

fn pack_base<P: Protocol>(
    matrix: Option<&RowMajorMatrixCow<'_, P::Val>>,
    rows: &[usize],
) -> Vec<Packed<P>> {
    let Some(matrix) = matrix else {
        return Vec::new();
    };
    let width = matrix.width();
    let rows: Vec<&[P::Val]> = rows
        .iter()
        .map(|&r| &matrix.values[r * width..(r + 1) * width])
        .collect();
    (0..width)
        .map(|c| Packed::<P>::from_fn(|lane| rows[lane][c]))
        .collect()
}

fn pack_ext<P: Protocol>(
    matrix: Option<&RowMajorMatrixCow<'_, P::Val>>,
    rows: &[usize],
) -> Vec<PackedExt<P>> {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    pack_base::<P>(matrix, rows)
        .chunks_exact(degree)
        .map(|coefficients| PackedExt::<P>::from_basis_coefficients_fn(|d| coefficients[d]))
        .collect()
}
