//! How much memory a proof takes, before it is taken.

use air::layout::Layout;
use verifier::Profile;

/// Bytes of a Merkle digest.
const DIGEST: u64 = 32;
/// What a process needs before it proves anything.
const BASE: u64 = 16 << 20;

/// An estimate of the peak memory of setting up and proving, in bytes: all traces, their low-degree
/// extensions and the Merkle trees over them.
pub fn memory_estimate(layout: &Layout, profile: &Profile) -> u64 {
    let degree = profile.extension_degree;
    let tables = layout.tables.iter().map(|table| {
        let (w, c) = (table.widths, table.committed);
        let extension = c.projection + c.lookup + c.quotient;
        let columns = (w.fixed + w.weight + c.main + degree * extension) as u64;
        let rows = 1u64 << table.log_height;
        // Each column as a trace and as an extension; a handful of trees with two digests a row.
        let cells = rows * columns * 4 * (1 + (1 << profile.log_blowup));
        let trees = 6 * 2 * DIGEST * (rows << profile.log_blowup);
        // LogUp messages, folded values and openings, all in the extension field.
        let scratch = rows * (w.messages as u64 + 16) * 4 * degree as u64;
        cells + trees + scratch
    });
    BASE + tables.sum::<u64>()
}
