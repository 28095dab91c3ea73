//! # Cost model
//!
//! Chooses lanes and limb widths. Costs are in units of about a nanosecond of proving on two
//! cores: a committed base cell costs `COMMIT`, a cell that is only opened costs `OPEN`, and every
//! column adds proof bytes and verifier time, priced at `COLUMN`. The model decides speed and size
//! only; no choice it makes can affect soundness. It is integer arithmetic, so that prover and
//! verifier agree on every machine.

use alloc::vec::Vec;

use super::log2_ceil;
use crate::chips::overhang;
use crate::graph::{Frame, Graph, Kernel};
use crate::hiding::{Hiding, LEAF_COLUMNS};
use crate::logup::lookup_width;

const COMMIT: u64 = 40;
const OPEN: u64 = 10;
const COLUMN: u64 = 10_000;
/// Extension degree the model assumes.
const DEGREE: u64 = 5;
/// Widest row of a table.
pub(crate) const MAX_LANES: usize = 256;

pub(super) fn height(rows: usize) -> u64 {
    1 << log2_ceil(rows).max(super::MIN_LOG_HEIGHT)
}

/// Base cells of a row that a proof commits to, as if neither a table of the same height nor the mask of
/// the batch helped to make its leaves long enough. The quotient's are not counted: every table has as many.
pub(super) fn committed(
    main: usize,
    projection: usize,
    lookup: usize,
    hiding: Option<&Hiding>,
) -> u64 {
    let fewest = hiding.map_or(0, |h| LEAF_COLUMNS.div_ceil(h.degree));
    let main = match (main, hiding) {
        (1.., Some(_)) => main.max(LEAF_COLUMNS),
        _ => main,
    };
    main as u64 + DEGREE * (projection.max(fewest) + lookup.max(fewest)) as u64
}

pub(super) fn table_cost(rows: usize, committed: u64, opened: u64) -> u64 {
    height(rows) * (COMMIT * committed + OPEN * opened) + COLUMN * (committed + opened)
}

/// Auxiliary cells a weight may cost, in hundredths, wherever some number of lanes allows it.
const AUX_PER_WEIGHT: u64 = 16;

/// `(inputs × taps, outputs)` of every term with learned weights, and `(1, outputs)` for biases.
fn weight_shapes(graph: &Graph) -> Vec<(usize, usize)> {
    let terms = graph
        .terms()
        .filter(|(_, t)| t.map.kernel == Kernel::Weights);
    let terms = terms.map(|(_, term)| {
        let map = &term.map;
        let channels = (map.groups * map.inputs) as usize;
        (channels * map.taps(), map.outputs as usize)
    });
    let biases = graph.sums().map(|(_, layer)| {
        let output = &graph.tensors[layer.output.index()];
        (1, output.features as usize)
    });
    terms.chain(biases).collect()
}

/// Weights per row: the cheapest choice within the budget of auxiliary cells, or the cheapest at all where
/// narrow layers leave none.
pub fn choose_weight_lanes(graph: &Graph, hiding: Option<&Hiding>) -> usize {
    let shapes = weight_shapes(graph);
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
        let live = shapes.iter().map(|&(k, n)| k * n.div_ceil(lanes));
        live.sum::<usize>() + 1 + masks
    };
    let over_budget = |lanes: usize| 100 * aux * height(rows(lanes)) > AUX_PER_WEIGHT * weights;
    let cost = |lanes: usize| table_cost(rows(lanes), aux, lanes as u64);
    (fewest..=MAX_LANES)
        .min_by_key(|&lanes| (over_budget(lanes), cost(lanes)))
        .unwrap_or(1)
}

/// Rows of the weights table, masks left out.
pub fn weight_rows(graph: &Graph, lanes: usize) -> usize {
    let shapes = weight_shapes(graph).into_iter();
    shapes.map(|(k, n)| k * n.div_ceil(lanes)).sum::<usize>() + 1
}

/// Lanes of the table of overhangs.
pub fn choose_overhang_lanes(graph: &Graph, hiding: Option<&Hiding>) -> usize {
    let lines: Vec<(usize, usize)> = (graph.sums())
        .flat_map(|(_, layer)| {
            let features = graph.tensors[layer.output.index()].features as usize;
            let lines = overhang::lines(&Frame::new(graph, layer));
            lines.into_iter().map(move |(_, _, len)| (features, len))
        })
        .collect();
    let masks = hiding.map_or(0, |h| h.bands_for(false, false).rows());
    let rows = |lanes: usize| -> usize {
        let live = lines.iter().map(|&(n, len)| n * len.div_ceil(lanes));
        live.sum::<usize>() + 1 + masks
    };
    let cost = |lanes: usize| table_cost(rows(lanes), committed(lanes, 1, 1, hiding), 20);
    (1..=MAX_LANES)
        .min_by_key(|&lanes| cost(lanes))
        .unwrap_or(1)
}

/// Tuples per row of a fixed table.
pub fn choose_table_lanes(entries: usize, arity: usize, hiding: Option<&Hiding>) -> usize {
    (1..=32)
        .min_by_key(|&lanes| lookup_table_cost(entries, arity, lanes, hiding))
        .unwrap_or(1)
}

pub(super) fn lookup_table_cost(
    entries: usize,
    arity: usize,
    lanes: usize,
    hiding: Option<&Hiding>,
) -> u64 {
    let masks = hiding.map_or(0, |h| h.bands_for(false, false).rows());
    let committed = committed(lanes, 0, lookup_width(lanes), hiding);
    let opened = (lanes * arity) as u64;
    table_cost(entries.div_ceil(lanes) + masks, committed, opened)
}
