//! Columns of the Poseidon2 chip.

use super::WIDTH as LANES;
use crate::builder::engine;

/// Rows of one permutation: four external rounds, all internal rounds, four external rounds.
pub mod position {
    /// The row of the internal rounds.
    pub const INTERNAL: usize = 4;
    /// The last external round.
    pub const LAST: usize = 8;
    /// Rows of a permutation.
    pub const COUNT: usize = 9;
}

/// Main columns.
pub mod main {
    use super::LANES;
    /// What enters each S-box, the round constant included.
    pub const X: usize = 0;
    /// Its square.
    pub const SQUARE: usize = LANES;
    /// Its cube.
    pub const CUBE: usize = 2 * LANES;
    /// Its sixth power.
    pub const SIXTH: usize = 3 * LANES;
    /// On row `j < 8` of a group, what the next group's permutation absorbs in lane `j`.
    pub const ELEMENT: usize = 4 * LANES;
    /// Number of main columns.
    pub const WIDTH: usize = ELEMENT + 1;
}

/// Projection columns.
pub mod projection {
    /// The links of the rows above.
    pub const LINK: usize = 0;
    /// The fold of the elements above, later the digest.
    pub const FOLD: usize = 1;
    /// Number of projection columns.
    pub const WIDTH: usize = 2;
}

/// Fixed columns, all 0 or 1.
pub mod fixed {
    use super::{engine, position};
    /// The row's position in its group: nine columns, one of them 1; all 0 on the last row.
    pub const POSITION: usize = engine::WIDTH;
    /// First row of the first permutation that counts: its state starts from the initial value.
    pub const START: usize = POSITION + position::COUNT;
    /// Last row of a permutation whose state the next permutation continues.
    pub const CHAIN: usize = START + 1;
    /// Last row of the last permutation.
    pub const DIGEST: usize = START + 2;
    /// Rows whose element cell holds salt or an element; elsewhere it is 0.
    pub const SLOT: usize = START + 3;
    /// The fold's flags, see [`crate::chips::hashed::FoldFlags`].
    pub const SAME: usize = START + 4;
    /// See `SAME`.
    pub const NEXT: usize = START + 5;
    /// See `SAME`.
    pub const FINISH: usize = START + 6;
    /// See `SAME`.
    pub const TAKEN: usize = START + 7;
    /// Number of fixed columns.
    pub const WIDTH: usize = START + 8;
}
