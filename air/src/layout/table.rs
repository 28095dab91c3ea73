//! # Table: a chip, its height, its masks and what is committed of it

use alloc::vec::Vec;
use core::ops::Sub;

use p3_field::Field;
use p3_matrix::dense::RowMajorMatrix;

use super::{MIN_LOG_HEIGHT, log2_ceil};
use crate::builder::engine;
use crate::chips::{Air, Chip, MAX_DEGREE, Widths};
use crate::hiding::{Hiding, LEAF_COLUMNS, MaskBands};

/// Columns of a table as they are committed, where masks need more of them than the chip has. What
/// is added stands behind the chip's own columns, and no constraint reads it but the terminal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Fixed columns; none of a table outside the key.
    pub fixed: usize,
    /// Main columns.
    pub main: usize,
    /// Projection columns, each an extension element.
    pub projection: usize,
    /// LogUp columns, each an extension element.
    pub lookup: usize,
    /// Chunks of the quotient, each an extension element.
    pub quotient: usize,
}

impl Committed {
    /// What is committed of a chip's columns.
    fn of(widths: &Widths, hiding: bool) -> Self {
        let own = Self {
            fixed: widths.fixed,
            main: widths.main,
            projection: widths.projection,
            lookup: widths.lookup(),
            quotient: QUOTIENT_CHUNKS,
        };
        match hiding {
            false => own,
            true => Self {
                // The cell that blinds the terminal needs a projection column.
                projection: own.projection.max(1),
                // Chunks shorter by their masks: a third one takes the rest.
                quotient: QUOTIENT_CHUNKS + 1,
                ..own
            },
        }
    }

    /// The numbers of columns in M, P and L, in this order, with how many base columns one of them is.
    fn traces(&mut self, degree: usize) -> [(&mut usize, usize); 3] {
        [
            (&mut self.main, 1),
            (&mut self.projection, degree),
            (&mut self.lookup, degree),
        ]
    }
}

/// Widens tables that hide something until every leaf of M, P and L has [`LEAF_COLUMNS`] base columns:
/// a leaf is a row of all tables of one height, so one of them is widened for all. The mask of the
/// batch is in P, as tall as the tallest of the tables, which are all those of a proof.
///
/// Tables may have been widened before, among fewer.
pub(super) fn lengthen_leaves(tables: &mut [Table], hiding: &Hiding) {
    let mut heights: Vec<usize> = tables.iter().map(|t| t.log_height).collect();
    heights.sort_unstable();
    heights.dedup();
    let tallest = heights.last().copied();
    for table in tables.iter_mut() {
        table.committed = Committed {
            fixed: table.committed.fixed,
            ..Committed::of(&table.widths, true)
        };
    }
    for height in heights {
        for kind in 0..3 {
            let class = tables.iter_mut().filter(|t| t.log_height == height);
            let columns = class.map(|t| {
                let traces = t.committed.traces(hiding.degree);
                traces.into_iter().nth(kind)
            });
            let mut columns: Vec<_> = columns.flatten().filter(|(n, _)| **n > 0).collect();
            let own: usize = columns.iter().map(|(n, degree)| **n * degree).sum();
            let holds_batch_mask = kind == P && Some(height) == tallest;
            let base = own + usize::from(holds_batch_mask) * hiding.degree;
            if let Some((first, degree)) = columns.first_mut() {
                **first += LEAF_COLUMNS.saturating_sub(base).div_ceil(*degree);
            }
        }
    }
}

/// P among M, P and L.
const P: usize = 1;

/// One table: a chip and its height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The constraints.
    pub chip: Chip,
    /// The chip's columns.
    pub widths: Widths,
    /// The columns committed to.
    pub committed: Committed,
    /// Logarithm of the number of rows.
    pub log_height: usize,
    /// Mask rows, if the table hides anything.
    pub bands: Option<MaskBands>,
    /// Coefficients of the quotient's masks; 0 without masks.
    pub quotient_mask: usize,
}

/// Quotient chunks of a table without masks: constraints have degree at most [`MAX_DEGREE`].
const QUOTIENT_CHUNKS: usize = MAX_DEGREE - 1;

impl Table {
    /// A chip's table, with mask rows if it is to hide anything. Its leaves may be too short by
    /// themselves: `lengthen_leaves` sees to it.
    pub fn new(chip: Chip, hiding: Option<&Hiding>) -> Self {
        let widths = chip.widths();
        let bands = hiding.map(|h| h.bands(&chip));
        let rows = chip.rows() + bands.unwrap_or_default().rows();
        Self {
            chip,
            widths,
            committed: Committed::of(&widths, hiding.is_some()),
            log_height: log2_ceil(rows).max(MIN_LOG_HEIGHT),
            bands,
            quotient_mask: hiding.map_or(0, Hiding::quotient_mask),
        }
    }

    /// A table that is not one of the key's: it is there because of what a statement says, or of an
    /// attestation.
    pub fn outside_key(chip: Chip, hiding: Option<&Hiding>) -> Self {
        let mut table = Self::new(chip, hiding);
        table.committed.fixed = 0;
        table
    }

    /// Whether it is not one of the key's. Then nobody has committed to its fixed columns, and the
    /// verifier evaluates them itself.
    pub const fn is_outside_key(&self) -> bool {
        self.committed.fixed == 0
    }

    /// The chip's name.
    pub fn chip_name(&self) -> &'static str {
        self.chip.name()
    }

    /// Number of live rows.
    pub fn live_rows(&self) -> usize {
        self.chip.rows()
    }

    /// Number of rows.
    pub const fn height(&self) -> usize {
        1 << self.log_height
    }

    /// The quotient is `Σ_i X^(i·stride)·Q_i` with every `Q_i` of degree below the height.
    pub const fn quotient_stride(&self) -> usize {
        self.height() - self.quotient_mask
    }

    /// The terminal as the last row's constraint sees it. On a table with masks the running sum ends
    /// at the terminal minus the first projection cell of the first mask row: a random number,
    /// committed before α is drawn. The prover chooses these numbers to add up to 0 over all tables;
    /// if they do not, no α but a few makes the buses balance.
    pub fn blinded<X: Copy + Sub<Output = X>>(&self, terminal: X, projection_next: &[X]) -> X {
        match self.bands {
            Some(_) => terminal - projection_next[0],
            None => terminal,
        }
    }

    /// Base cells a proof commits to for this table, with extension degree `degree`: main,
    /// projection and LogUp columns. The quotient is not counted.
    pub const fn committed_cells(&self, degree: usize) -> usize {
        let extension = self.committed.projection + self.committed.lookup;
        (self.committed.main + extension * degree) * self.height()
    }

    /// The fixed trace: the engine's columns and the chip's.
    pub fn generate_fixed<F: Field>(&self) -> RowMajorMatrix<F> {
        let mut fixed = self.generate_live_fixed();
        fixed.values.resize(self.height() * fixed.width, F::ZERO);
        fixed
    }

    /// The live rows of the fixed trace; all others are 0.
    pub fn generate_live_fixed<F: Field>(&self) -> RowMajorMatrix<F> {
        let (live, width) = (self.chip.rows(), self.widths.fixed);
        let mut values = F::zero_vec(live * width);
        let chip_rows = self.chip.fixed_rows::<F>();
        let chip_width = width - engine::WIDTH;
        for (r, row) in values.chunks_exact_mut(width).enumerate() {
            row[engine::LIVE] = F::ONE;
            row[engine::FIRST] = F::from_bool(r == 0);
            row[engine::STEP] = F::from_bool(r + 1 < live);
            row[engine::LAST] = F::from_bool(r + 1 == live);
            row[engine::WIDTH..].copy_from_slice(&chip_rows[r * chip_width..(r + 1) * chip_width]);
        }
        RowMajorMatrix::new(values, width)
    }
}
