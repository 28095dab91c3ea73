//! # Which tensors share an activation table, and how wide its rows are
//!
//! Four kinds of tensors want rows of different shapes: those with one position a channel (dense layers),
//! those that are looked up and nothing else (comparisons of a maximum), those with remainders, and those that
//! saturate beyond their table. Each way of putting kinds together is priced with the best lanes and limbs it
//! can have; the cheapest is taken.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::TermIds;
use super::cost::{self, MAX_LANES};
use crate::chips::activation::grid::{Demand, Grid};
use crate::chips::activation::{Limbs, RowShape, readers_of, slots_for};
use crate::graph::{Graph, Kernel};
use crate::hiding::Hiding;
use crate::logup::lookup_width;

/// Widest limb: a range table of `2^16` entries.
const MAX_LIMB_BITS: u8 = 16;
/// Fixed columns a table has, about.
const FIXED: u64 = 40;

/// An activation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// Its tensors, ascending.
    pub tensors: Vec<usize>,
    /// Lanes of a row.
    pub lanes: usize,
    /// Limbs of a lane.
    pub limbs: Limbs,
    /// Its rows, masks included.
    pub rows: usize,
    /// Slots of a row.
    pub slots: usize,
}

/// Kinds of tensors.
const KINDS: usize = 4;

/// Every way of putting kinds together: for each kind the index of its part, parts numbered in order of
/// their first kind.
fn partitions() -> Vec<[usize; KINDS]> {
    let mut partitions = alloc::vec![([0; KINDS], 0)];
    for kind in 0..KINDS {
        partitions = (partitions.into_iter())
            .flat_map(|(parts, used)| {
                (0..=used).map(move |part| {
                    let mut parts = parts;
                    parts[kind] = part;
                    (parts, used.max(part + 1))
                })
            })
            .collect();
    }
    partitions.into_iter().map(|(parts, _)| parts).collect()
}

/// The activation tables of a graph.
pub fn plan(graph: &Graph, ids: &TermIds, hiding: Option<&Hiding>) -> Vec<TablePlan> {
    let kinds: Vec<usize> = (0..graph.tensors.len())
        .map(|tensor| kind(graph, tensor))
        .collect();
    // The price of a part depends on its tensors only, and parts recur.
    let mut priced: BTreeMap<Vec<usize>, (u64, TablePlan)> = BTreeMap::new();
    let candidates = partitions().into_iter().map(|parts| {
        let tables: Vec<(u64, TablePlan)> = (0..KINDS)
            .filter_map(|part| {
                let of_part = |t: &usize| parts[kinds[*t]] == part;
                let tensors: Vec<usize> = (0..kinds.len()).filter(of_part).collect();
                if tensors.is_empty() {
                    return None;
                }
                let price = || Facts::new(graph, ids, tensors.clone(), hiding).best();
                Some(priced.entry(tensors.clone()).or_insert_with(price).clone())
            })
            .collect();
        let cost: u64 = tables.iter().map(|(cost, _)| cost).sum();
        let plans = tables.into_iter().map(|(_, plan)| plan).collect();
        (cost, plans)
    });
    let best = candidates.min_by_key(|(cost, _): &(u64, Vec<TablePlan>)| *cost);
    best.map(|(_, plans)| plans).unwrap_or_default()
}

/// 0: one position a channel; 1: looked up only; 2: with a remainder; 3: with an excess as well.
fn kind(graph: &Graph, tensor: usize) -> usize {
    let positions = Demand::of(graph, tensor).positions(&graph.tensors[tensor]);
    let (shift, excess) = bits(graph, tensor);
    match (positions, shift, excess) {
        (1, _, _) => 0,
        (_, 0, 0) => 1,
        (_, _, 0) => 2,
        _ => 3,
    }
}

/// Bits of the remainder and of the excess of a tensor. A ranged input is all remainder.
fn bits(graph: &Graph, tensor: usize) -> (u8, u8) {
    match tensor.checked_sub(graph.inputs.len()) {
        None => (graph.ranged_bits(tensor).unwrap_or(0), 0),
        Some(layer) => {
            let requant = &graph.layers[layer].requant;
            (requant.shift, requant.excess_bits)
        }
    }
}

/// What the price of a table depends on.
struct Facts<'a> {
    hiding: Option<&'a Hiding>,
    tensors: Vec<usize>,
    /// Rows for each number of lanes from 1 on.
    rows: Vec<usize>,
    /// What a row has beside its lanes.
    shape: RowShape,
    bits: Vec<(u8, u8)>,
}

impl<'a> Facts<'a> {
    fn new(graph: &Graph, ids: &TermIds, tensors: Vec<usize>, hiding: Option<&'a Hiding>) -> Self {
        let readers: Vec<_> = tensors.iter().map(|&t| readers_of(graph, ids, t)).collect();
        let (weighted, slots) = slots_for(readers.iter().map(Vec::as_slice));
        let demands: Vec<_> = tensors
            .iter()
            .map(|&t| (&graph.tensors[t], Demand::of(graph, t)))
            .collect();
        let masks = hiding.map_or(0, |h| h.bands_for(false, true).rows());
        let rows = |lanes: usize| -> usize {
            let own = demands
                .iter()
                .map(|(tensor, demand)| Grid::rows_for(tensor, demand, lanes as u32));
            own.sum::<usize>() + 1 + masks
        };
        let widest = demands
            .iter()
            .map(|(tensor, demand)| demand.positions(tensor))
            .max()
            .unwrap_or(1)
            .min(MAX_LANES);
        let gates = graph.terms().any(|(_, term)| match term.map.kernel {
            Kernel::Gate(id) => tensors.contains(&id.index()),
            Kernel::Weights | Kernel::Taps(_) => false,
        });
        Self {
            hiding,
            rows: (1..=widest).map(rows).collect(),
            shape: RowShape {
                lanes: 1,
                limbs: Limbs {
                    bits: MAX_LIMB_BITS,
                    rem: 0,
                    excess: 0,
                },
                weighted,
                slots,
                gates,
            },
            bits: tensors.iter().map(|&t| bits(graph, t)).collect(),
            tensors,
        }
    }

    /// The cheapest lanes and limbs, with their price.
    fn best(self) -> (u64, TablePlan) {
        let shift = self.bits.iter().map(|b| b.0).max().unwrap_or(0);
        let excess = self.bits.iter().map(|b| b.1).max().unwrap_or(0);
        let candidate = |bits: u8| Limbs {
            bits,
            rem: usize::from(shift.div_ceil(bits)),
            excess: usize::from(excess.div_ceil(bits)),
        };
        let mut best = None;
        for limbs in (1..=MAX_LIMB_BITS).map(candidate) {
            let ranges = self.range_cost(&limbs);
            for lanes in 1..=self.rows.len() {
                let cost = ranges + self.cost(lanes, &limbs);
                if best.is_none_or(|(least, _, _)| cost < least) {
                    best = Some((cost, lanes, limbs));
                }
            }
        }
        let (cost, lanes, limbs) = best.unwrap_or((0, 1, candidate(MAX_LIMB_BITS)));
        let plan = TablePlan {
            rows: self.rows.get(lanes - 1).copied().unwrap_or(1),
            tensors: self.tensors,
            lanes,
            limbs,
            slots: self.shape.slots,
        };
        (cost, plan)
    }

    fn cost(&self, lanes: usize, limbs: &Limbs) -> u64 {
        let shape = RowShape {
            lanes,
            limbs: *limbs,
            ..self.shape
        };
        let lookup = lookup_width(shape.messages());
        let committed = cost::committed(shape.main(), shape.projection(), lookup, self.hiding);
        cost::table_cost(self.rows[lanes - 1], committed, FIXED)
    }

    /// The price of the range table for all limbs.
    fn range_cost(&self, limbs: &Limbs) -> u64 {
        let widths = self.bits.iter().flat_map(|&(shift, excess)| {
            let rem = (0..limbs.rem).map(move |i| limbs.width(shift, i));
            rem.chain((0..limbs.excess).map(move |i| limbs.width(excess, i)))
        });
        let widths = super::distinct(widths);
        let entries = widths.iter().map(|&w| 1usize << w).sum::<usize>().max(1);
        let lanes = cost::choose_table_lanes(entries, 2, self.hiding);
        cost::lookup_table_cost(entries, 2, lanes, self.hiding)
    }
}

/// Every limb width the rows of a table look up.
pub fn limb_widths(air: &crate::chips::activation::ActivationAir) -> Vec<u8> {
    let limbs = air.limbs;
    let blocks = air.blocks.iter().flat_map(move |block| {
        let rem = (0..limbs.rem).map(move |i| limbs.width(block.shift, i));
        let excess = (0..limbs.excess).map(move |i| limbs.width(block.excess_bits, i));
        rem.chain(excess)
    });
    blocks.collect()
}
