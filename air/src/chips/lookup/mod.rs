//! # Lookup: a fixed table, laid in lanes
//!
//! Range tables and activation tables are lists of tuples fixed by the verifying key. A row holds
//! `lanes` tuples side by side, so that one LogUp column serves two of them and a table of `2^k`
//! entries is `2^k / lanes` rows tall.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | fixed | `entry[l][0..arity]` | the tuple in lane `l` |
//! | main | `count[l]` | how often the tuple is looked up, all tables together |
//!
//! ## Constraints
//!
//! None of its own.
//!
//! ## Buses
//!
//! Sends each tuple `count[l]` times on its bus.
//!
//! ## Padding
//!
//! Unused lanes of the last live row repeat the last entry, which is harmless: a repeated entry
//! only splits a count in two. Rows below are not live; their denominators are 0, so that counts and
//! fractions are free there.
//!
//! ## Soundness
//!
//! `entry` is committed by the verifying key. `count` is free, and may be: the LogUp sum is a
//! rational function of α whose poles are messages; a message that is received but is no entry
//! leaves a pole no count can cancel. Counts are residues mod p and total counts stay below p
//! because messages × height does (checked by the layout).
//!
//! ## References
//!
//! LogUp: eprint 2022/1530.

use alloc::vec::Vec;

use p3_field::Field;
use p3_matrix::dense::RowMajorMatrix;

use super::{Air, Widths, signed};
use crate::builder::{AirBuilder, Element, engine};
use crate::bus::{Bus, MAX_MESSAGE_LEN};
use crate::graph::Activation;

/// What a table lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupContent {
    /// For every width, ascending: `(bits, 0), …, (bits, 2^bits − 1)`.
    Range(Vec<u8>),
    /// For function `i` (from 1): `(i, 0, q, f(q))` over its domain, then the two saturated ends
    /// `(i, −1, lo, f(lo))` and `(i, 1, hi, f(hi))`.
    Functions(Vec<Activation>),
}

/// The chip of one fixed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupAir {
    /// Tuples per row.
    pub lanes: usize,
    /// The tuples.
    pub content: LookupContent,
}

impl LookupContent {
    /// The bus the tuples are sent on.
    pub const fn bus(&self) -> Bus {
        match self {
            Self::Range(_) => Bus::Range,
            Self::Functions(_) => Bus::Activation,
        }
    }

    /// Numbers per tuple.
    pub const fn arity(&self) -> usize {
        match self {
            Self::Range(_) => 2,
            Self::Functions(_) => 4,
        }
    }

    /// Number of tuples.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(widths) => widths.iter().map(|&w| 1usize << w).sum(),
            Self::Functions(functions) => functions.iter().map(function_len).sum(),
        }
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tuples, in order; numbers beyond the arity are 0.
    pub fn entries(&self) -> Vec<[i32; MAX_MESSAGE_LEN]> {
        let mut entries = Vec::with_capacity(self.len());
        match self {
            Self::Range(widths) => {
                for &w in widths {
                    entries.extend((0..1i32 << w).map(|v| [i32::from(w), v, 0, 0]));
                }
            }
            Self::Functions(functions) => {
                for (id, f) in (1..).zip(functions) {
                    let domain = f.domain;
                    entries.extend((domain.lo..=domain.hi).map(|q| [id, 0, q, f.apply(q)]));
                    entries.push([id, -1, domain.lo, f.apply(domain.lo)]);
                    entries.push([id, 1, domain.hi, f.apply(domain.hi)]);
                }
            }
        }
        entries
    }

    /// Index of the first tuple of every section (a width or a function).
    pub fn section_starts(&self) -> Vec<usize> {
        let lengths: Vec<usize> = match self {
            Self::Range(widths) => widths.iter().map(|&w| 1usize << w).collect(),
            Self::Functions(functions) => functions.iter().map(function_len).collect(),
        };
        let mut start = 0;
        lengths
            .iter()
            .map(|len| {
                start += len;
                start - len
            })
            .collect()
    }
}

fn function_len(f: &Activation) -> usize {
    f.domain.len() as usize + 2
}

impl LookupAir {
    /// The main trace from the number of uses of every entry.
    pub fn generate_main<F: Field>(&self, counts: &[u32], height: usize) -> RowMajorMatrix<F> {
        let mut values = F::zero_vec(height * self.lanes);
        for (slot, &count) in values.iter_mut().zip(counts) {
            *slot = F::from_u32(count);
        }
        RowMajorMatrix::new(values, self.lanes)
    }
}

impl Air for LookupAir {
    fn name(&self) -> &'static str {
        match self.content {
            LookupContent::Range(_) => "range",
            LookupContent::Functions(_) => "functions",
        }
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: engine::WIDTH + self.lanes * self.content.arity(),
            main: self.lanes,
            messages: self.lanes,
            ..Widths::default()
        }
    }

    fn rows(&self) -> usize {
        self.content.len().div_ceil(self.lanes)
    }

    /// Messages are fixed columns: on rows that are not live every denominator is 0, whatever the
    /// counts are.
    fn needs_blank_band(&self) -> bool {
        false
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let (bus, arity) = (self.content.bus(), self.content.arity());
        for lane in 0..self.lanes {
            let row = builder.row();
            let count = row.main[lane];
            let first = engine::WIDTH + lane * arity;
            let mut tuple = [Element::Base(count); MAX_MESSAGE_LEN];
            for (slot, &entry) in tuple.iter_mut().zip(&row.fixed[first..first + arity]) {
                *slot = Element::Base(entry);
            }
            builder.message(bus, count, &tuple[..arity]);
        }
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let (arity, padded) = (self.content.arity(), self.rows() * self.lanes);
        let mut entries = self.content.entries();
        if let Some(&last) = entries.last() {
            entries.resize(padded, last);
        }
        entries
            .iter()
            .flat_map(|entry| entry[..arity].iter().map(|&v| signed(i64::from(v))))
            .collect()
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn columns_of(&self, _constraint: &str) -> &'static str {
        "count"
    }
}
