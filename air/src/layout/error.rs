//! # Layout errors: why a graph, a statement or an attestation has no tables

use super::plan::MAX_WINDOWS;
use super::{
    MAX_LOG_ENTRIES, MAX_LOG_FIXED_CELLS, MAX_LOG_HEIGHT, MAX_LOG_OUTSIDE_CELLS, MAX_POSITIONS,
    MAX_SLOTS,
};
use crate::chips::hashed::HashError;

/// Why a graph has no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A table would be taller than this implementation goes.
    #[error("the {chip} table needs 2^{log_height} rows, more than 2^{MAX_LOG_HEIGHT}")]
    TooTall {
        /// The chip.
        chip: &'static str,
        /// Rows it would need, as a logarithm.
        log_height: usize,
    },
    /// Maxima of more kinds than this implementation lays out.
    #[error("windows of more than {MAX_WINDOWS} different structures")]
    TooManyWindows,
    /// A tensor with bounds or ranks has more positions than fit a row.
    #[error("tensor {tensor} has {positions} positions: bounds and ranks go up to {MAX_POSITIONS}")]
    TooWide {
        /// Index of the tensor.
        tensor: usize,
        /// Its positions.
        positions: usize,
    },
    /// All activation tables, or all range tables, have more entries than this implementation goes.
    #[error("the {chip} table has {entries} entries, more than 2^{MAX_LOG_ENTRIES}")]
    TooManyEntries {
        /// The chip.
        chip: &'static str,
        /// Entries it would have.
        entries: usize,
    },
    /// A table would have no live row, hence nothing that pins its terminal.
    #[error("the {chip} table has no rows")]
    Empty {
        /// The chip.
        chip: &'static str,
    },
    /// The fixed columns of the key's tables are more than this implementation goes.
    #[error("the tables have {cells} fixed cells, more than 2^{MAX_LOG_FIXED_CELLS}")]
    FixedTooLarge {
        /// Fixed cells they would have.
        cells: usize,
    },
    /// A tensor has more readers than this implementation goes.
    #[error("a tensor is read {slots} times, more than {MAX_SLOTS}")]
    TooManyReaders {
        /// Its readers.
        slots: usize,
    },
    /// What is to be said of hidden tensors, or of weights, takes larger tables than this
    /// implementation goes.
    #[error(
        "the tables of the statement or attestation have {cells} fixed cells, more than \
         2^{MAX_LOG_OUTSIDE_CELLS}"
    )]
    OutsideTooLarge {
        /// Fixed cells they would have.
        cells: usize,
    },
    /// A tensor has no digest of the kind that is asked for.
    #[error("tensor {tensor}: {error}")]
    Digest {
        /// Index of the tensor.
        tensor: usize,
        /// Why not.
        error: HashError,
    },
    /// The weights of a layer cannot be attested.
    #[error("layer {layer}: its input is never 0, or no weights would keep its bound")]
    NoBound {
        /// Index of the layer.
        layer: usize,
    },
    /// The mask of private weights is too short for an attestation.
    #[error("the mask of a key for a single proof has no room for an attestation")]
    NoRoom,
    /// The messages of a proof could add up to the field's order.
    #[error("{messages} messages do not fit a field of order {modulus}")]
    TooManyMessages {
        /// Messages × height, summed over all tables.
        messages: u64,
        /// Order of the field.
        modulus: u64,
    },
}
