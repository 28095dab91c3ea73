//! # Buses
//!
//! A bus is a multiset of messages that must be empty in the end: whatever one table sends, others
//! receive. LogUp (eprint 2022/1530, §3) checks it: for random `α, β`, the sum over all messages of
//! `count / (α − bus − Σ_i β^(i+1)·m_i)` is zero.
//!
//! | bus | message | sent by | received by |
//! |---|---|---|---|
//! | `RANGE` | `(bits, value)` | the range tables, once per use | activation, compare and attest rows |
//! | `ACTIVATION` | `(function, side, q, out)` | the activation tables | activation rows |
//! | `PRODUCT` | `(number, index, value)` | the weight table, a folded run of a term; a tensor that gates, an element | activation rows; sums, for biases |
//! | `CLAIM` | `(kind, tensor, value)` | see [`ClaimKind`] | see [`ClaimKind`] |
//!
//! `value` is an extension element that was committed before `α` was drawn. Counts on
//! `PRODUCT` and `CLAIM` are fixed columns: nobody can skip or repeat a claim. Counts of `RANGE`
//! and `ACTIVATION` entries are free cells of the tables, which is sound because the entries are
//! fixed: whatever the counts, every message received must be an entry.

/// A bus. The discriminant is part of every message's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Bus {
    /// `(bits, value)`: `0 ≤ value < 2^bits`.
    Range = 1,
    /// `(function, side, q, out)`: an entry of an activation table.
    Activation = 2,
    /// `(number, index, value)`: what rows that a term reads are multiplied with, or biases.
    Product = 3,
    /// `(kind, tensor, value)`: a projected tensor, or in an attestation a layer's weights.
    Claim = 4,
}

impl Bus {
    /// Every bus.
    pub const ALL: [Self; 4] = [Self::Range, Self::Activation, Self::Product, Self::Claim];
}

/// Number of entries in the longest message, the bus identifier not counted.
pub const MAX_MESSAGE_LEN: usize = 4;

/// What a message on [`Bus::Claim`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClaimKind {
    /// `Σ_f ρ^(N−1−f) Σ_q σ^q acc[f][q]` of a tensor's accumulators, biases and rounding constants
    /// included. Sent by the rows of the tensor, received where its layer's terms are added up.
    Accumulator = 1,
    /// `Σ_f ρ^(F−1−f) Σ_p σ_2^p x[f][p]` of a graph input, `p` the flat position. Sent by its rows as often
    /// as it is received: by the verifier if the statement shows it, by every table that proves something
    /// of it.
    Input = 2,
    /// `Σ_f ρ^f Σ_p σ_2^p y[f][p]` of a graph output, sent and received like an input's.
    Output = 3,
    /// `Σ_i σ^i·d_i` over the pieces of a tensor's digest. Sent by the tensor's hash table, received
    /// by the verifier.
    Digest = 4,
    /// The sums of the parts of a layer's weights, see [`crate::chips::attest`]. Sent by the rows of the
    /// weights, received by those of the sums.
    Sums = 5,
    /// What a term adds to a layer's accumulators, or the overhang negated, by number of the term. Sent by
    /// the rows of the tensor that is read, or of the overhang; received where they are added up.
    Term = 6,
}
