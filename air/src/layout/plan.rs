//! # Which tensors share an activation table, and how wide its rows are
//!
//! The tensors of a group lie in the same rows, and groups share a table only if their windows have the same
//! structure. Among those, groups want rows of different shapes. Those with one unit a channel (dense layers)
//! want a single lane. Of the others, those that are looked up and nothing else, those with remainders, and those
//! that saturate beyond their table differ in the cells of a lane; and small images, or
//! images of which a stride reads small phases, leave lanes of wide rows unused. Each way of putting these kinds
//! together is priced with the best lanes and limbs it can have; the cheapest is taken.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::cost::{self, MAX_LANES};
use super::{LayoutError, TermIds};
use crate::chips::activation::grid::{Demand, Grid};
use crate::chips::activation::{Limbs, RowShape, Window, readers_of, slots_for};
use crate::graph::Graph;
use crate::graph::groups::Group;
use crate::hiding::Hiding;
use crate::logup::lookup_width;
use crate::projection::Interner;

/// Widest limb: a range table of `2^16` entries.
const MAX_LIMB_BITS: u8 = 16;
/// Most different structures of windows: each is planned by itself.
pub(super) const MAX_WINDOWS: usize = 16;
/// Fixed columns a table has, about.
const FIXED: u64 = 40;

/// An activation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// The hosts of its groups, ascending.
    pub hosts: Vec<usize>,
    /// Lanes of a row.
    pub lanes: usize,
    /// Limbs of a lane.
    pub limbs: Limbs,
    /// Its rows, masks included.
    pub rows: usize,
    /// Slots of a row.
    pub slots: usize,
}

/// Kinds of groups.
const KINDS: usize = 8;
/// Phases of at most so many units are narrow.
const NARROW: usize = 64;

/// Every way of putting kinds together: for each kind the index of its part, parts numbered in order of
/// their first kind. Kinds no group is of are a part with the first.
fn partitions(is_used: [bool; KINDS]) -> Vec<[usize; KINDS]> {
    let mut partitions = alloc::vec![([0; KINDS], 0)];
    for kind in (0..KINDS).filter(|&kind| is_used[kind]) {
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
pub fn plan(
    graph: &Graph,
    ids: &TermIds,
    hiding: Option<&Hiding>,
) -> Result<Vec<TablePlan>, LayoutError> {
    let mut structures: Interner<Window> = Interner::default();
    let mut windows: Vec<(Window, Vec<&Group>)> = Vec::new();
    for group in ids.groups().all() {
        let window = Window::new(group);
        let index = structures.index(window.clone());
        if index == MAX_WINDOWS {
            return Err(LayoutError::TooManyWindows);
        }
        if index == windows.len() {
            windows.push((window, Vec::new()));
        }
        windows[index].1.push(group);
    }
    let of_window = |(window, groups): (Window, Vec<&Group>)| {
        let mut kinds: [Option<Facts>; KINDS] = Default::default();
        for group in groups {
            let facts = Facts::of(graph, ids, group, &window);
            let kind = &mut kinds[kind(graph, ids, group)];
            match kind {
                None => *kind = Some(facts),
                Some(known) => known.join(&facts),
            }
        }
        cheapest(&kinds, hiding)
    };
    Ok(windows.into_iter().flat_map(of_window).collect())
}

/// The cheapest way of putting kinds together.
fn cheapest(kinds: &[Option<Facts>; KINDS], hiding: Option<&Hiding>) -> Vec<TablePlan> {
    // Parts recur.
    let mut priced: BTreeMap<[bool; KINDS], (u64, TablePlan)> = BTreeMap::new();
    let is_used = core::array::from_fn(|kind| kinds[kind].is_some());
    let candidates = partitions(is_used).into_iter().map(|parts| {
        let tables: Vec<(u64, TablePlan)> = (0..KINDS)
            .filter_map(|part| {
                let is_member: [bool; KINDS] =
                    core::array::from_fn(|kind| is_used[kind] && parts[kind] == part);
                let members = kinds
                    .iter()
                    .zip(is_member)
                    .filter(|(_, is_member)| *is_member);
                let mut facts = members.filter_map(|(facts, _)| facts.as_ref());
                let first = facts.next()?;
                let price = || {
                    let mut all = first.clone();
                    facts.for_each(|more| all.join(more));
                    all.best(hiding)
                };
                Some(priced.entry(is_member).or_insert_with(price).clone())
            })
            .collect();
        let cost: u64 = tables.iter().map(|(cost, _)| cost).sum();
        let plans = tables.into_iter().map(|(_, plan)| plan).collect();
        (cost, plans)
    });
    let best = candidates.min_by_key(|(cost, _): &(u64, Vec<TablePlan>)| *cost);
    best.map(|(_, plans)| plans).unwrap_or_default()
}

/// 0: one unit a channel. Else 1, 2: looked up only; 3, 4: with a remainder; 5, 6: with an excess of one limb
/// as well; the second of each with narrow phases. 7: with an excess of two limbs.
fn kind(graph: &Graph, ids: &TermIds, group: &Group) -> usize {
    let demand = Demand::of(graph, ids, group);
    let (shift, excess) = bits(graph, group.host());
    let first = match (demand.units(), shift, excess) {
        (1, _, _) => return 0,
        (_, 0, 0) => 1,
        (_, _, 0) => 3,
        (_, _, 1..=MAX_LIMB_BITS) => 5,
        _ => return 7,
    };
    first + usize::from(demand.phase() <= NARROW)
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
#[derive(Clone)]
struct Facts {
    hosts: Vec<usize>,
    /// Activations, copies and comparisons of a unit.
    unit: [usize; 3],
    /// Rows of groups, for each number of lanes from 1 on.
    rows: Vec<usize>,
    /// Most units of a channel.
    widest: usize,
    weighted: usize,
    slots: usize,
    gates: bool,
    /// Of remainders and excesses, each pair once.
    bits: Vec<(u8, u8)>,
}

impl Facts {
    /// Of one group.
    fn of(graph: &Graph, ids: &TermIds, group: &Group, window: &Window) -> Self {
        let (weighted, slots) = slots_for(&readers_of(graph, ids, group));
        let demand = Demand::of(graph, ids, group);
        Self {
            hosts: alloc::vec![group.host()],
            unit: [window.hosts, window.copies, window.comparisons.len()],
            rows: (1..=MAX_LANES / window.hosts)
                .map(|lanes| Grid::rows_for(&demand, lanes as u32))
                .collect(),
            widest: demand.units(),
            weighted,
            slots,
            gates: !ids.gated(group.host()).is_empty(),
            bits: alloc::vec![bits(graph, group.host())],
        }
    }

    /// Of these groups and more, of the same window.
    fn join(&mut self, more: &Self) {
        self.hosts.extend(&more.hosts);
        for (rows, more) in self.rows.iter_mut().zip(&more.rows) {
            *rows += more;
        }
        self.widest = self.widest.max(more.widest);
        self.weighted = self.weighted.max(more.weighted);
        self.slots = self.slots.max(more.slots);
        self.gates |= more.gates;
        self.bits.extend(&more.bits);
        self.bits.sort_unstable();
        self.bits.dedup();
    }

    /// The cheapest lanes and limbs, with their price.
    fn best(mut self, hiding: Option<&Hiding>) -> (u64, TablePlan) {
        let masks = hiding.map_or(0, |h| h.bands_for(false, true).rows());
        self.rows.truncate(self.widest.clamp(1, MAX_LANES));
        self.rows.iter_mut().for_each(|rows| *rows += 1 + masks);
        self.hosts.sort_unstable();
        let shift = self.bits.iter().map(|b| b.0).max().unwrap_or(0);
        let excess = self.bits.iter().map(|b| b.1).max().unwrap_or(0);
        let candidate = |bits: u8| Limbs {
            bits,
            rem: usize::from(shift.div_ceil(bits)),
            excess: usize::from(excess.div_ceil(bits)),
        };
        let mut best = None;
        for limbs in (1..=MAX_LIMB_BITS).map(candidate) {
            let ranges = self.range_cost(&limbs, hiding);
            for lanes in 1..=self.rows.len() {
                let cost = ranges + self.cost(lanes, &limbs, hiding);
                if best.is_none_or(|(least, _, _)| cost < least) {
                    best = Some((cost, lanes, limbs));
                }
            }
        }
        let (cost, lanes, limbs) = best.unwrap_or((0, 1, candidate(MAX_LIMB_BITS)));
        let plan = TablePlan {
            rows: self.rows.get(lanes - 1).copied().unwrap_or(1),
            hosts: self.hosts,
            lanes,
            limbs,
            slots: self.slots,
        };
        (cost, plan)
    }

    fn cost(&self, lanes: usize, limbs: &Limbs, hiding: Option<&Hiding>) -> u64 {
        let [hosts, copies, comparisons] = self.unit;
        let shape = RowShape {
            lanes,
            hosts,
            copies,
            comparisons,
            limbs: *limbs,
            weighted: self.weighted,
            slots: self.slots,
            gates: self.gates,
        };
        let lookup = lookup_width(shape.messages());
        let committed = cost::committed(shape.main(), shape.projection(), lookup, hiding);
        cost::table_cost(self.rows[lanes - 1], committed, FIXED)
    }

    /// The price of the range table for all limbs.
    fn range_cost(&self, limbs: &Limbs, hiding: Option<&Hiding>) -> u64 {
        let widths = self.bits.iter().flat_map(|&(shift, excess)| {
            let rem = (0..limbs.rem).map(move |i| limbs.width(shift, i));
            rem.chain((0..limbs.excess).map(move |i| limbs.width(excess, i)))
        });
        let widths = super::distinct(widths);
        let entries = widths.iter().map(|&w| 1usize << w).sum::<usize>().max(1);
        let lanes = cost::choose_table_lanes(entries, 2, hiding);
        cost::lookup_table_cost(entries, 2, lanes, hiding)
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
