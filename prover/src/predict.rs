//! How long a proof takes and how much memory, before it is made.
//!
//! Both are sums over tables of counts that the layout knows. Time is counted in the time that committing to
//! one base cell takes on this machine, [`commit_unit`]; the weights of other work, in this unit at a blow-up
//! of 4, were fitted to proofs of thirteen convolutional and dense networks, with masks and without (`cargo bench --bench models` compares).

use std::time::Instant;

use air::layout::{Layout, Table};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use verifier::{Profile, Protocol};

use crate::setup::commit;

/// Bytes of a Merkle digest.
const DIGEST: u64 = 32;
/// What a process needs before it proves anything.
const BASE_BYTES: u64 = 16 << 20;

/// Time of a proof that no table accounts for: threads, FRI's last layers, queries, in seconds.
const BASE_SECONDS: f64 = 0.006;
/// A message: its fraction, and its part in the quotient.
const MESSAGE: f64 = 6.6;
/// A row, however narrow: nodes of six Merkle trees, quotients by the zerofier, folding.
const ROW: f64 = 128.0;
/// Opening a cell, whatever it was committed with.
const OPEN: f64 = 0.3;
/// The linear forms of a weight, beyond opening it.
const WEIGHT: f64 = 1.3;
/// One hash of grinding.
const HASH: f64 = 1.8;

/// What a table costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TablePrediction {
    /// Seconds of proving.
    pub seconds: f64,
    /// Bytes of memory.
    pub bytes: u64,
}

/// What a proof costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Table by table, in the layout's order.
    pub tables: Vec<TablePrediction>,
    /// All of it, with what belongs to no table.
    pub total: TablePrediction,
}

/// An estimate of the peak memory of setting up and proving, in bytes: all traces, their low-degree
/// extensions and the Merkle trees over them.
pub fn memory_estimate(layout: &Layout, profile: &Profile) -> u64 {
    let tables = layout
        .tables
        .iter()
        .map(|table| table_bytes(table, profile));
    BASE_BYTES + tables.sum::<u64>()
}

fn table_bytes(table: &Table, profile: &Profile) -> u64 {
    let degree = profile.extension_degree;
    let (w, c) = (table.widths, table.committed);
    let extension = c.projection + c.lookup + c.quotient;
    let columns = (w.fixed + w.weight + c.main + degree * extension) as u64;
    let rows = 1u64 << table.log_height;
    // Each column as a trace and as an extension; a handful of trees with two digests a row.
    let cells = rows * columns * 4 * (1 + (1 << profile.log_blowup));
    let trees = 6 * 2 * DIGEST * (rows << profile.log_blowup);
    // Folded values and openings, in the extension field.
    let scratch = rows * 16 * 4 * degree as u64;
    cells + trees + scratch
}

/// What a proof for a layout costs, with a [`commit_unit`] measured at the profile's blow-up.
pub fn predict(layout: &Layout, profile: &Profile, unit: f64) -> Prediction {
    let tables: Vec<TablePrediction> = (layout.tables.iter())
        .map(|table| TablePrediction {
            seconds: table_seconds(table, profile, unit),
            bytes: table_bytes(table, profile),
        })
        .collect();
    let grinding = [
        profile.batch_pow_bits,
        profile.fold_pow_bits,
        profile.query_pow_bits,
        profile.lookup_pow_bits,
        profile.ood_pow_bits,
    ];
    let hashes: f64 = grinding
        .iter()
        .map(|&bits| (bits as f64).exp2() - 1.0)
        .sum();
    let seconds: f64 = tables.iter().map(|t| t.seconds).sum();
    Prediction {
        total: TablePrediction {
            seconds: BASE_SECONDS + seconds + hashes * HASH * arithmetic(profile, unit),
            bytes: memory_estimate(layout, profile),
        },
        tables,
    }
}

/// The unit without the blow-up's share.
fn arithmetic(profile: &Profile, unit: f64) -> f64 {
    unit * 4.0 / f64::from(1 << profile.log_blowup)
}

fn table_seconds(table: &Table, profile: &Profile, unit: f64) -> f64 {
    let degree = profile.extension_degree;
    let (w, c) = (table.widths, table.committed);
    let rows = f64::from(1 << table.log_height);
    let committed = c.main + degree * (c.projection + c.lookup + c.quotient);
    let opened = w.fixed + w.weight + committed;
    let messages = MESSAGE * w.messages as f64;
    let cells = committed as f64 + OPEN * opened as f64 + WEIGHT * w.weight as f64;
    let per_row = (ROW + cells) * unit + messages * arithmetic(profile, unit);
    rows * per_row
}

/// Seconds that committing to one base cell takes on this machine with this profile, measured.
pub fn commit_unit<P: Protocol>(profile: &Profile) -> f64 {
    const LOG_ROWS: usize = 14;
    const COLUMNS: usize = 64;
    let pcs = P::pcs(profile);
    let cells = 1 << LOG_ROWS << COLUMNS.ilog2();
    let once = || {
        let values = (0..cells as u64).map(|i| P::Val::from_u64(i * i)).collect();
        let matrix = RowMajorMatrix::new(values, COLUMNS);
        let start = Instant::now();
        // Committing to a matrix of this size cannot fail, and what becomes of it does not matter.
        let _ = commit::<P>(&pcs, [matrix]);
        start.elapsed().as_secs_f64() / f64::from(cells)
    };
    // The first run warms caches and threads up.
    once();
    (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
}
