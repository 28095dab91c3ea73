//! # Hiding: how many random rows a table needs
//!
//! A zero-knowledge proof shows a few evaluations of every committed column and nothing else. If
//! the column has at least as many uniformly random cells, on rows no constraint cares about, then
//! those evaluations are uniform too: outside the trace domain the map from `r` cells to any `r`
//! evaluations is a Cauchy matrix up to factors, hence invertible. So every table ends in rows that
//! are not live, the *mask rows*:
//!
//! | band | main, projection | LogUp fractions | running sum |
//! |---|---|---|---|
//! | uniform | uniform | 0, or uniform where every message is fixed there | uniform |
//! | blank | 0 | uniform | uniform |
//!
//! Two bands, because a fraction is pinned to its messages on every row: it is free exactly where
//! all denominators are 0, and they are where `live` and every cell of the messages is 0.
//!
//! What one proof discloses of a column, in base-field evaluations, with `s` queries and extension
//! degree `D`:
//!
//! | column | shown | count |
//! |---|---|---|
//! | read at the current row, opened at ζ | `x` of every query, ζ | `s + D` |
//! | read at the current row, opened at ζ and ω·ζ | `x`, ζ, ω·ζ | `s + 2D` |
//! | read at the next row as well | `x`, `ω·x` (through the quotient), ζ, ω·ζ | `2s + 2D` |
//!
//! Every band has one row more than the count, so that a row nobody opened keeps its entropy inside
//! its Merkle leaf, and a leaf has at least [`LEAF_COLUMNS`] base columns. The argument is in
//! `docs/zero-knowledge.md`.

use crate::chips::Air;

/// Fewest base columns of a leaf of a hiding commitment, the matrices of one height taken together: nine
/// elements of 30.9 bits each, so that an unopened leaf cannot be guessed.
pub const LEAF_COLUMNS: usize = 9;

/// What a layout must hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hiding {
    /// Rows of every low-degree extension that a proof shows: the FRI queries.
    pub queries: usize,
    /// Base-field evaluations in one extension-field evaluation.
    pub degree: usize,
    /// How many proofs may open the weight commitment before its mask is used up; 0 where weights
    /// are public and need none.
    pub weight_openings: usize,
}

/// Rows at the end of a table that are set aside for masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskBands {
    /// Rows of uniform cells, right below the live ones.
    pub uniform: usize,
    /// Rows of zero cells with uniform fractions, below those.
    pub blank: usize,
}

impl MaskBands {
    /// Rows of both bands.
    pub const fn rows(self) -> usize {
        self.uniform + self.blank
    }
}

impl Hiding {
    /// Evaluations of a column that is read at the current row and opened at ζ.
    pub const fn current(&self) -> usize {
        self.queries + self.degree
    }

    /// Evaluations of a column that is read at the next row as well.
    pub const fn next(&self) -> usize {
        2 * (self.queries + self.degree)
    }

    /// Coefficients of a mask of the quotient's chunks, which are opened like a column that is read
    /// at the current row.
    pub const fn quotient_mask(&self) -> usize {
        self.current() + 1
    }

    /// The bands of a chip's table.
    pub fn bands(&self, chip: &impl Air) -> MaskBands {
        self.bands_for(chip.widths().weight > 0, chip.needs_blank_band())
    }

    /// The bands of a table, by what it has: weight columns, and LogUp fractions that prover cells
    /// pin.
    pub const fn bands_for(&self, weights: bool, needs_blank_band: bool) -> MaskBands {
        // One row more for the cell that blinds the terminal, one so that unopened leaves keep
        // their entropy.
        let own = self.next() + 2;
        let weights = if weights && self.weight_openings > 0 {
            self.weight_openings * self.current() + 1
        } else {
            0
        };
        MaskBands {
            uniform: if own > weights { own } else { weights },
            // The matrix of a fraction is opened at ω·ζ too, because the running sum is in it.
            blank: if needs_blank_band {
                self.queries + 2 * self.degree + 1
            } else {
                0
            },
        }
    }
}
