//! Polynomials and linear equations.

use p3_dft::{Radix2DitParallel, TwoAdicSubgroupDft};
use p3_field::{BasedVectorSpace, ExtensionField, Field, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

use super::toy::{EF, F};

/// Degree of the extension.
pub const D: usize = 5;

/// The base coefficients of extension elements, one after the other.
pub fn limbs(values: &[EF]) -> Vec<F> {
    EF::flatten_to_base(values.to_vec())
}

/// `X^l` of the extension's basis.
pub fn basis(l: usize) -> EF {
    EF::from_basis_coefficients_fn(|i| F::from_bool(i == l))
}

/// Extension columns at a point of the base field, from their base columns.
pub fn recombine(values: &[F]) -> Vec<EF> {
    EF::reconstitute_from_base(values.to_vec())
}

/// The values at `z` of the polynomials that are 1 on one row of a trace and 0 on all others.
pub fn lagrange<K: ExtensionField<F>>(log_height: usize, z: K) -> Vec<K> {
    let generator = F::two_adic_generator(log_height);
    let rows: Vec<F> = generator.powers().take(1 << log_height).collect();
    let differences: Vec<K> = rows.iter().map(|&row| z - row).collect();
    let inverses = p3_field::batch_multiplicative_inverse(&differences);
    let scale = (z.exp_power_of_2(log_height) - K::ONE) * F::from_usize(rows.len()).inverse();
    let pairs = rows.iter().zip(inverses);
    pairs.map(|(&row, inverse)| scale * inverse * row).collect()
}

/// The values of all columns at the point whose [`lagrange`] vector is given.
pub fn evaluate<K: ExtensionField<F>>(matrix: &RowMajorMatrix<F>, point: &[K]) -> Vec<K> {
    let mut values = vec![K::ZERO; matrix.width()];
    for (row, &weight) in matrix.row_slices().zip(point) {
        for (value, &cell) in values.iter_mut().zip(row) {
            if !cell.is_zero() {
                *value += weight * cell;
            }
        }
    }
    values
}

/// The value of a polynomial, given by its coefficients.
pub fn horner<K: ExtensionField<F>>(polynomial: &[F], x: K) -> K {
    let coefficients = polynomial.iter().rev();
    coefficients.fold(K::ZERO, |value, &c| value * x + c)
}

/// The polynomials of columns: for each its coefficients.
pub fn interpolate(columns: &RowMajorMatrix<F>) -> Vec<Vec<F>> {
    let coefficients = Radix2DitParallel::default().idft_batch(columns.clone());
    columns_of(&coefficients)
}

/// The polynomials, of degree below `2n`, of extension values on the coset of [`extend`].
pub fn interpolate_coset(values: &[EF]) -> Vec<Vec<F>> {
    let values = RowMajorMatrix::new(limbs(values), D);
    columns_of(&Radix2DitParallel::default().coset_idft_batch(values, F::GENERATOR))
}

/// The values of polynomials of degree below `n` on the coset `g·K` of `2n` points, in the order
/// of its powers.
pub fn extend(polynomials: &[Vec<F>]) -> RowMajorMatrix<F> {
    let size = 2 * polynomials.first().map_or(0, Vec::len);
    let padded = (0..size)
        .flat_map(|i| polynomials.iter().map(move |p| p.get(i).copied()))
        .map(Option::unwrap_or_default);
    let padded = RowMajorMatrix::new(padded.collect(), polynomials.len());
    Radix2DitParallel::default()
        .coset_dft_batch(padded, F::GENERATOR)
        .to_row_major_matrix()
}

fn columns_of(matrix: &RowMajorMatrix<F>) -> Vec<Vec<F>> {
    let column = |c: usize| matrix.row_slices().map(|row| row[c]).collect();
    (0..matrix.width()).map(column).collect()
}

/// What a system of linear equations says.
#[derive(Debug, PartialEq, Eq)]
pub struct Solved {
    /// Equations that do not follow from others.
    pub rank: usize,
    /// For every right-hand side: whether there is a solution.
    pub solvable: Vec<bool>,
}

/// Solves for `unknowns` unknowns; the columns after them are right-hand sides.
pub fn solve(mut rows: Vec<Vec<F>>, unknowns: usize) -> Solved {
    let mut rank = 0;
    for column in 0..unknowns {
        let Some(pivot) = (rank..rows.len()).find(|&r| !rows[r][column].is_zero()) else {
            continue;
        };
        rows.swap(rank, pivot);
        let (above, below) = rows.split_at_mut(rank + 1);
        let pivot = &above[rank][column..];
        let inverse = pivot[0].inverse();
        for row in below.iter_mut().filter(|row| !row[column].is_zero()) {
            let factor = row[column] * inverse;
            for (value, &p) in row[column..].iter_mut().zip(pivot) {
                *value -= factor * p;
            }
        }
        rank += 1;
    }
    let sides = rows.first().map_or(0, Vec::len) - unknowns;
    let zero = |side: usize| rows[rank..].iter().all(|r| r[unknowns + side].is_zero());
    Solved {
        rank,
        solvable: (0..sides).map(zero).collect(),
    }
}
