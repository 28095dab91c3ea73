//! # Masks: the randomness of a zero-knowledge proof
//!
//! What is drawn, and where it goes ([`air::hiding`] has the counts, `docs/zero-knowledge.md` the
//! argument):
//!
//! | mask | cells |
//! |---|---|
//! | weights | uniform band of W, once per key, for private weights only |
//! | main | uniform band of M |
//! | projection | uniform band of P |
//! | terminals | one cell of P per table, these cells adding up to 0 |
//! | fractions | blank band of L, or both bands where fractions are free in both |
//! | sums | both bands of L's last column |
//! | quotient | two random polynomials per table, spread over its chunks |
//! | batch | a random polynomial of the tallest height, opened with all others |
//!
//! Columns added only to lengthen a leaf are masked like those beside them. Every proof draws anew,
//! from a generator seeded by the operating system: nothing random is ever written down or used
//! twice, the mask of private weights excepted.

use air::chips::Air;
use air::layout::{Layout, Table};
use p3_field::{ExtensionField, PrimeField32};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng, SeedableRng};

/// A mask, for tests that leave one out to see the leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Uniform band of M.
    Main,
    /// Uniform band of P.
    Projection,
    /// The cells that blind terminals.
    Terminals,
    /// LogUp fractions.
    Fractions,
    /// LogUp running sums.
    Sums,
    /// Quotient chunks.
    Quotient,
    /// The batched opening.
    Batch,
}

/// What all masks of a proof are drawn from; or the mask of private weights, and then it is part of
/// the proving key.
pub type Seed = [u8; 32];

/// The operating system has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct NoRandomness;

/// A fresh seed from the operating system.
pub fn fresh_seed() -> Result<Seed, NoRandomness> {
    use rand::TryRng;
    let mut seed = Seed::default();
    SysRng.try_fill_bytes(&mut seed).map_err(|_| NoRandomness)?;
    Ok(seed)
}

/// The mask of a private weight matrix: its uniform band, from the key's seed.
pub(crate) fn mask_weights<F: PrimeField32>(
    layout: &Layout,
    weights: &mut [Option<RowMajorMatrix<F>>],
    seed: Seed,
) {
    let mut source = Source(ChaCha20Rng::from_seed(seed));
    for (table, matrix) in layout.tables.iter().zip(weights) {
        if let Some(matrix) = matrix {
            let width = matrix.width();
            for cell in &mut matrix.values[uniform_band(table, width)] {
                *cell = source.base();
            }
        }
    }
}

/// Cells of the uniform band of a row-major matrix.
fn uniform_band(table: &Table, width: usize) -> core::ops::Range<usize> {
    let live = table.chip.rows();
    let rows = table.bands.unwrap_or_default().uniform;
    live * width..(live + rows) * width
}

/// A source of uniform field elements.
struct Source(ChaCha20Rng);

impl Source {
    /// By rejection: uniform in `[0, p)`, without bias.
    fn base<F: PrimeField32>(&mut self) -> F {
        let excess = F::ORDER_U32.leading_zeros();
        loop {
            let v = self.0.next_u32() >> excess;
            if v < F::ORDER_U32 {
                return F::from_u32(v);
            }
        }
    }

    fn extension<F: PrimeField32, EF: ExtensionField<F>>(&mut self) -> EF {
        EF::from_basis_coefficients_fn(|_| self.base())
    }
}

/// All masks of one proof.
pub(crate) struct Masks {
    source: Source,
    left_out: Option<Mask>,
}

impl Masks {
    /// All masks but one, from a seed.
    pub fn new(seed: Seed, left_out: Option<Mask>) -> Self {
        Self {
            source: Source(ChaCha20Rng::from_seed(seed)),
            left_out,
        }
    }

    fn leaves_out(&self, mask: Mask) -> bool {
        self.left_out == Some(mask)
    }

    /// Widens the main matrices to their committed widths and fills their uniform bands.
    pub fn main<F: PrimeField32>(
        &mut self,
        layout: &Layout,
        main: &mut [Option<RowMajorMatrix<F>>],
    ) {
        for (table, matrix) in layout.tables.iter().zip(main) {
            let Some(matrix) = matrix else { continue };
            let width = table.committed.main;
            let values = core::mem::take(&mut matrix.values);
            matrix.values = widen(values, matrix.width(), width);
            matrix.width = width;
            if self.leaves_out(Mask::Main) {
                continue;
            }
            for cell in &mut matrix.values[uniform_band(table, width)] {
                *cell = self.source.base();
            }
        }
    }

    /// Widens the projection columns, fills their uniform bands, and makes the cells that blind
    /// terminals, the first of each band, add up to 0.
    pub fn projection<F: PrimeField32, EF: ExtensionField<F>>(
        &mut self,
        layout: &Layout,
        projection: &mut [Option<Vec<EF>>],
    ) {
        let mut last = None;
        let mut sum = EF::ZERO;
        for (table, columns) in layout.tables.iter().zip(projection) {
            let width = table.committed.projection;
            let own = columns
                .take()
                .unwrap_or_else(|| EF::zero_vec(table.widths.projection * table.height()));
            let mut cells = widen(own, table.widths.projection, width);
            cells.resize(width * table.height(), EF::ZERO);
            let band = uniform_band(table, width);
            if !self.leaves_out(Mask::Projection) {
                for cell in &mut cells[band.clone()] {
                    *cell = self.source.extension();
                }
            }
            let columns = columns.insert(cells);
            let blind = &mut columns[band.start];
            if self.leaves_out(Mask::Terminals) {
                *blind = EF::ZERO;
            } else {
                *blind = self.source.extension();
            }
            sum += *blind;
            last = Some(blind);
        }
        if let Some(blind) = last {
            *blind -= sum;
        }
    }

    /// Widens the LogUp columns and fills their bands; blinds the terminals.
    pub fn lookup<F: PrimeField32, EF: ExtensionField<F>>(
        &mut self,
        layout: &Layout,
        projection: &[Option<Vec<EF>>],
        lookup: &mut [Vec<EF>],
        terminals: &mut [EF],
    ) {
        for (i, table) in layout.tables.iter().enumerate() {
            let (own, width) = (table.widths.lookup(), table.committed.lookup);
            let (live, bands) = (table.chip.rows(), table.bands.unwrap_or_default());
            let mut cells = widen(core::mem::take(&mut lookup[i]), own, width);
            let rows = cells.chunks_exact_mut(width).enumerate();
            for (r, row) in rows.skip(live).take(bands.rows()) {
                let free = !table.chip.needs_blank_band() || r >= live + bands.uniform;
                for (c, cell) in row.iter_mut().enumerate() {
                    let (masked, mask) = match c + 1 {
                        n if n < own => (free, Mask::Fractions),
                        n if n == own => (true, Mask::Sums),
                        _ => (true, Mask::Fractions),
                    };
                    if masked && !self.leaves_out(mask) {
                        *cell = self.source.extension();
                    }
                }
            }
            lookup[i] = cells;
            let blind = projection[i]
                .as_ref()
                .map_or(EF::ZERO, |p| p[live * table.committed.projection]);
            terminals[i] += blind;
        }
    }

    /// Random coefficients for a table's quotient: one list less than it has chunks.
    pub fn quotient<F: PrimeField32, EF: ExtensionField<F>>(
        &mut self,
        table: &Table,
    ) -> Vec<Vec<EF>> {
        let left_out = self.leaves_out(Mask::Quotient);
        (1..table.committed.quotient)
            .map(|_| {
                (0..table.quotient_mask)
                    .map(|_| match left_out {
                        true => EF::ZERO,
                        false => self.source.extension(),
                    })
                    .collect()
            })
            .collect()
    }

    /// The evaluations of a random extension polynomial on a domain of `height` points, as base
    /// columns.
    pub fn batch<F: PrimeField32>(&mut self, height: usize, degree: usize) -> RowMajorMatrix<F> {
        let left_out = self.leaves_out(Mask::Batch);
        let values = (0..height * degree)
            .map(|_| match left_out {
                true => F::ZERO,
                false => self.source.base(),
            })
            .collect();
        RowMajorMatrix::new(values, degree)
    }
}

/// Appends columns of zeros to a row-major matrix.
fn widen<T: p3_field::PrimeCharacteristicRing + Copy>(
    values: Vec<T>,
    from: usize,
    to: usize,
) -> Vec<T> {
    if from == to || from == 0 {
        return values;
    }
    let mut wide = vec![T::ZERO; values.len() / from * to];
    for (wide, narrow) in wide.chunks_exact_mut(to).zip(values.chunks_exact(from)) {
        wide[..from].copy_from_slice(narrow);
    }
    wide
}
