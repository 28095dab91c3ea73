//! Columns of the SHA-256 chip, and the shifts of its links.

use crate::builder::engine;

/// Rows of one group, in order: the message word, then the two state words, then the majority.
pub mod position {
    /// `W_t`.
    pub const W: usize = 0;
    /// `E_t`.
    pub const E: usize = 1;
    /// `A_t`.
    pub const A: usize = 2;
    /// `Maj(A_t, A_(t−1), A_(t−2))`.
    pub const M: usize = 3;
    /// Rows of a group.
    pub const COUNT: usize = 4;
}

/// Main columns.
pub mod main {
    /// Bits of the row's word, lowest first.
    pub const X: usize = 0;
    /// `W`, `E`, `A`: XOR of the first two rotations; `M`: parity of the three words.
    pub const Y: usize = 32;
    /// `W`: XOR of σ1's rotations; `E`: `E_(t−1) − E_(t−2)`, bit by bit; else 0.
    pub const Z: usize = 64;
    /// Bits of the carry out of the low half of the row's addition.
    pub const CARRY_LO: usize = 96;
    /// Bits of the carry out of the high half.
    pub const CARRY_HI: usize = CARRY_LO + CARRY_BITS;
    /// Bits of a carry.
    pub const CARRY_BITS: usize = 3;
    /// The number in one slot of the group's message word: on row `b` of the group, slot `b`.
    pub const ELEMENT: usize = CARRY_HI + CARRY_BITS;
    /// Number of main columns.
    pub const WIDTH: usize = ELEMENT + 1;
}

/// Projection columns.
pub mod projection {
    /// The links of the rows above.
    pub const LINK: usize = 0;
    /// The fold of the elements above, later of the digest's pieces.
    pub const FOLD: usize = 1;
    /// Number of projection columns.
    pub const WIDTH: usize = 2;
}

/// Fixed columns. A name like `E_FOURTH` reads "what this `E` row contributes to the addition four
/// rounds later"; all are 0 or 1 but `K_LO` and `K_HI`.
pub mod fixed {
    use super::engine;
    /// The row's position in its group.
    pub const IS_W: usize = engine::WIDTH;
    /// See `IS_W`.
    pub const IS_E: usize = IS_W + 1;
    /// See `IS_W`.
    pub const IS_A: usize = IS_W + 2;
    /// See `IS_W`.
    pub const IS_M: usize = IS_W + 3;
    /// Halves of the row's constant: `K_t`, the initial state, or a word of padding.
    pub const K_LO: usize = IS_W + 4;
    /// See `K_LO`.
    pub const K_HI: usize = IS_W + 5;
    /// `W` rows with message bytes: no addition determines them.
    pub const FREE: usize = IS_W + 6;
    /// The `W` row where message bytes end and padding begins, if a word holds both.
    pub const TAIL: usize = IS_W + 7;
    /// `σ1(W_t)` to `W_(t+2)`.
    pub const W_SECOND: usize = IS_W + 8;
    /// `W_t` to `W_(t+7)`.
    pub const W_SEVENTH: usize = IS_W + 9;
    /// `σ0(W_t)` to `W_(t+15)`.
    pub const W_FIFTEENTH: usize = IS_W + 10;
    /// `W_t` to `W_(t+16)`.
    pub const W_SIXTEENTH: usize = IS_W + 11;
    /// `E_t` to `A_t`.
    pub const E_NOW: usize = IS_W + 12;
    /// `Σ1(E_t) + Σ 2^i·e_i·z_i` to `E_(t+1)`.
    pub const E_FIRST: usize = IS_W + 13;
    /// `E_t` to `E_(t+3)`, the rest of its choice function.
    pub const E_THIRD: usize = IS_W + 14;
    /// `E_t` to `E_(t+4)`: a round's `h`, or the last rounds' part of the next chaining value.
    pub const E_FOURTH: usize = IS_W + 15;
    /// Bits of `E_t` to `z` of `E_(t+1)` and, negated, `E_(t+2)`.
    pub const E_HISTORY: usize = IS_W + 16;
    /// `Σ0(A_t)` to `A_(t+1)`.
    pub const A_FIRST: usize = IS_W + 17;
    /// `A_t` to `E_(t+4)` and, negated, to `A_(t+4)`.
    pub const A_FOURTH: usize = IS_W + 18;
    /// `A_t` to `A_(t+4)`: the last rounds' part of the next chaining value.
    pub const A_FEED: usize = IS_W + 19;
    /// Bits of `A_t` to `M_(t+1)` and `M_(t+2)`.
    pub const A_HISTORY: usize = IS_W + 20;
    /// `M_t` to `A_(t+1)`.
    pub const M_FIRST: usize = IS_W + 21;
    /// A block's chaining value to the next block's.
    pub const CHAIN: usize = IS_W + 22;
    /// The fold's flags, see [`crate::chips::hashed::FoldFlags`].
    pub const SAME: usize = IS_W + 23;
    /// See `SAME`.
    pub const NEXT: usize = IS_W + 24;
    /// See `SAME`.
    pub const FINISH: usize = IS_W + 25;
    /// See `SAME`.
    pub const TAKEN: usize = IS_W + 26;
    /// Rows that hold a word of the digest.
    pub const DIGEST: usize = IS_W + 27;
    /// Number of fixed columns.
    pub const WIDTH: usize = IS_W + 28;
}

/// How many rows below its source a contribution is added, by groups and positions.
pub mod shift {
    use super::position::{A, COUNT, E, M, W};
    /// From position `from` to position `to`, `groups` groups later.
    const fn rows(from: usize, to: usize, groups: usize) -> usize {
        groups * COUNT + to - from
    }
    /// `W_t` into `E_t`.
    pub const W_TO_E: usize = rows(W, E, 0);
    /// `E_t` into `A_t`.
    pub const E_TO_A: usize = rows(E, A, 0);
    /// `A_t` into `M_t`.
    pub const A_TO_M: usize = rows(A, M, 0);
    /// `A_(t−1)` into `M_t`.
    pub const A_TO_M_FIRST: usize = rows(A, M, 1);
    /// `A_(t−2)` into `M_t`.
    pub const A_TO_M_SECOND: usize = rows(A, M, 2);
    /// `A_(t−4)` into `E_t`.
    pub const A_TO_E_FOURTH: usize = rows(A, E, 4);
    /// `M_(t−1)` into `A_t`.
    pub const M_TO_A_FIRST: usize = rows(M, A, 1);
    /// Into the same position, that many groups later.
    pub const fn groups(groups: usize) -> usize {
        rows(W, W, groups)
    }
    /// A chaining value into the next: the longest shift.
    pub const CHAIN: usize = groups(super::GROUPS_PER_BLOCK);
}

/// Groups of one block: four for the chaining value, one for each round.
pub const GROUPS_PER_BLOCK: usize = 68;
/// Groups that hold a chaining value.
pub const CHAIN_GROUPS: usize = 4;

/// The links of one row, by power of σ.
pub mod link {
    /// Low half of the row's addition.
    pub const SUM_LO: usize = 0;
    /// High half.
    pub const SUM_HI: usize = 1;
    /// The 32 links of bits.
    pub const BITS: usize = 2;
    /// The link of the element cell.
    pub const ELEMENT: usize = 34;
    /// Number of links.
    pub const COUNT: usize = 35;
}
