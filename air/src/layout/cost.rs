//! # Cost model
//!
//! Chooses lanes and limb widths. Costs are in units of about a nanosecond of proving on two
//! cores: a committed base cell costs `COMMIT`, a cell that is only opened costs `OPEN`, and every
//! column adds proof bytes and verifier time, priced at `COLUMN`. The model decides speed and size
//! only; no choice it makes can affect soundness. It is integer arithmetic, so that prover and
//! verifier agree on every machine.

use alloc::vec::Vec;

use super::log2_ceil;
use crate::chips::activation::{ActivationAir, Limbs};
use crate::graph::Graph;
use crate::hiding::{Hiding, LEAF_COLUMNS};
use crate::logup::lookup_width;

const COMMIT: u64 = 40;
const OPEN: u64 = 10;
const COLUMN: u64 = 10_000;
/// Extension degree the model assumes.
const DEGREE: u64 = 5;
/// Widest row of a table.
pub(crate) const MAX_LANES: usize = 256;
/// Widest limb: a range table of `2^16` entries.
const MAX_LIMB_BITS: u8 = 16;

fn height(rows: usize) -> u64 {
    1 << log2_ceil(rows).max(super::MIN_LOG_HEIGHT)
}

/// Base cells of a row that a proof commits to, as if neither a table of the same height nor the mask of
/// the batch helped to make its leaves long enough. The quotient's are not counted: every table has as many.
fn committed(main: usize, projection: usize, lookup: usize, hiding: Option<&Hiding>) -> u64 {
    let fewest = hiding.map_or(0, |h| LEAF_COLUMNS.div_ceil(h.degree));
    let main = match (main, hiding) {
        (1.., Some(_)) => main.max(LEAF_COLUMNS),
        _ => main,
    };
    main as u64 + DEGREE * (projection.max(fewest) + lookup.max(fewest)) as u64
}

fn table_cost(rows: usize, committed: u64, opened: u64) -> u64 {
    height(rows) * (COMMIT * committed + OPEN * opened) + COLUMN * (committed + opened)
}

/// Auxiliary cells a weight may cost, in hundredths, wherever some number of lanes allows it.
const AUX_PER_WEIGHT: u64 = 16;

/// Weights per row for layers of shape `(inputs, outputs)`: the cheapest choice within the budget
/// of auxiliary cells, or the cheapest at all where narrow layers leave none.
pub fn choose_weight_lanes(shapes: &[(usize, usize)], hiding: Option<&Hiding>) -> usize {
    // One projection column and one LogUp column.
    let aux = committed(0, 1, 1, hiding);
    let masks = hiding.map_or(0, |h| h.bands_for(true, false).rows());
    // The rows of a private commitment must not be guessed from their leaves.
    let fewest = match hiding {
        Some(h) if h.weight_openings > 0 => LEAF_COLUMNS,
        _ => 1,
    };
    let weights: u64 = shapes.iter().map(|&(k, n)| (k * n) as u64).sum();
    let rows = |lanes: usize| -> usize {
        let live = shapes.iter().map(|&(k, n)| (k + 1) * n.div_ceil(lanes));
        live.sum::<usize>() + masks
    };
    let over_budget = |lanes: usize| 100 * aux * height(rows(lanes)) > AUX_PER_WEIGHT * weights;
    let cost = |lanes: usize| table_cost(rows(lanes), aux, lanes as u64);
    (fewest..=MAX_LANES)
        .min_by_key(|&lanes| (over_budget(lanes), cost(lanes)))
        .unwrap_or(1)
}

/// Tuples per row of a fixed table.
pub fn choose_table_lanes(entries: usize, arity: usize, hiding: Option<&Hiding>) -> usize {
    (1..=32)
        .min_by_key(|&lanes| lookup_table_cost(entries, arity, lanes, hiding))
        .unwrap_or(1)
}

fn lookup_table_cost(entries: usize, arity: usize, lanes: usize, hiding: Option<&Hiding>) -> u64 {
    let masks = hiding.map_or(0, |h| h.bands_for(false, false).rows());
    let committed = committed(lanes, 0, lookup_width(lanes), hiding);
    let opened = (lanes * arity) as u64;
    table_cost(entries.div_ceil(lanes) + masks, committed, opened)
}

/// Limb structure of the activation table of all tensors with `positions` positions: narrow limbs
/// mean small range tables and more columns.
pub fn choose_limbs(graph: &Graph, positions: u32, hiding: Option<&Hiding>) -> Limbs {
    let tensors = || {
        let of_width = move |t: &&crate::graph::Tensor| t.positions == positions;
        graph.tensors.iter().filter(of_width)
    };
    let layers = || {
        graph
            .layers
            .iter()
            .filter(move |l| graph.tensors[l.output.index()].positions == positions)
    };
    let features = tensors().map(|t| t.features as usize).sum::<usize>();
    let masks = hiding.map_or(0, |h| h.bands_for(false, true).rows());
    let rows = features + layers().count() + 1 + masks;
    // A ranged input is all remainder.
    let inputs = || {
        let bits = (0..graph.inputs.len()).map(|t| (t, graph.ranged_bits(t)));
        bits.filter_map(|(t, bits)| bits.filter(|_| graph.tensors[t].positions == positions))
    };
    let shifts = || layers().map(|l| l.requant.shift).chain(inputs());
    let shift = shifts().max().unwrap_or(0);
    let excess = layers().map(|l| l.requant.excess_bits).max().unwrap_or(0);
    let candidate = |bits: u8| Limbs {
        bits,
        rem: usize::from(shift.div_ceil(bits)),
        excess: usize::from(excess.div_ceil(bits)),
    };
    let cost = |limbs: &Limbs| {
        let rem = shifts().flat_map(|bits| (0..limbs.rem).map(move |i| limbs.width(bits, i)));
        let excess =
            layers().flat_map(|l| (0..limbs.excess).map(|i| limbs.width(l.requant.excess_bits, i)));
        let mut widths: Vec<u8> = rem.chain(excess).collect();
        widths.sort_unstable();
        widths.dedup();
        let entries = widths.iter().map(|&w| 1usize << w).sum::<usize>().max(1);
        let lanes = choose_table_lanes(entries, 2, hiding);
        let limb_count = limbs.rem + limbs.excess;
        let cells = positions as usize * (2 + usize::from(limbs.excess > 0) + limb_count);
        let messages = positions as usize * (1 + limb_count) + 3;
        let committed = committed(cells, 3, lookup_width(messages), hiding);
        table_cost(rows, committed, 20) + lookup_table_cost(entries, 2, lanes, hiding)
    };
    (1..=MAX_LIMB_BITS)
        .map(candidate)
        .min_by_key(cost)
        .unwrap_or(candidate(MAX_LIMB_BITS))
}

/// Every limb width the rows of a table look up.
pub fn limb_widths(air: &ActivationAir) -> Vec<u8> {
    air.blocks
        .iter()
        .flat_map(|block| {
            let rem = (0..air.limbs.rem).map(|i| air.limbs.width(block.shift, i));
            let excess = (0..air.limbs.excess).map(|i| air.limbs.width(block.excess_bits, i));
            rem.chain(excess).collect::<Vec<_>>()
        })
        .collect()
}
