//! Saturation: an excess for each element, or a table so tall that none is needed.
//!
//! An accumulator beyond the activation's domain saturates, and how far it lay beyond costs cells for
//! every element. A domain that holds every accumulator any input can cause costs the entries of a
//! table, once for all layers that share it. Small models take the first, large ones the second.

use std::collections::BTreeMap;

use air::graph::{Activation, Combine, Function, MAX_TABLE_ENTRIES, Range};

use super::fit::{Fitted, MAX_SHIFT, smallest_excess};

/// Cells that an excess costs, for each element.
const EXCESS_CELLS: f64 = 9.0;
/// Cells of one entry of a table.
const ENTRY_CELLS: f64 = 4.3;
/// Tallest table, as a power of two.
const MAX_BITS: u32 = MAX_TABLE_ENTRIES.trailing_zeros();
/// A grid may give up this many bits to need no excess.
const MAX_COARSER: u32 = 2;

/// With this many bits of accumulators, those that are meant and those that are representable add up
/// to less than the field's order.
const MAX_SPAN_BITS: i16 = 30;

/// What layers with one table have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Table {
    function: Function,
    image: (i32, i32),
    scales: (i16, i16),
}

impl Table {
    fn of(activation: &Activation) -> Self {
        let (input, output) = (activation.in_frac_bits, activation.out_frac_bits);
        Self {
            function: activation.function,
            image: (activation.image.lo, activation.image.hi),
            scales: if activation.function.is_homogeneous() {
                (0, output - input)
            } else {
                (input, output)
            },
        }
    }
}

/// A layer's part in a table.
struct Member {
    /// `None` for the comparisons of a maximum, which need all of their domain.
    layer: Option<usize>,
    elements: f64,
    /// All quotients that inputs can cause.
    reach: (i64, i64),
    /// Bits of an interval around 0 that holds them.
    bits: u32,
    may_coarsen: bool,
    /// The domain that saturation makes do with.
    least: Range,
}

impl Member {
    /// Comparisons of values at most so far apart.
    const fn comparing(most: i32) -> Self {
        Self {
            layer: None,
            elements: 0.0,
            reach: (0, 0),
            bits: 0,
            may_coarsen: false,
            least: Range {
                lo: -most,
                hi: most,
            },
        }
    }

    /// Its quotients, if the grid may be coarser by so many bits, and they then fit an interval of `bits` bits
    /// around 0.
    fn within(&self, bits: u32, coarser: u32) -> Option<(i64, i64)> {
        let give = if self.may_coarsen { coarser } else { 0 };
        let missing = self.bits.saturating_sub(bits);
        (missing <= give).then_some((self.reach.0 >> missing, self.reach.1 >> missing))
    }
}

/// The domain for those members that fit `bits` bits. Those with an excess share the table too, and must not
/// saturate earlier for that.
fn domain(members: &[Member], bits: u32, coarser: u32) -> (i64, i64) {
    let all = members
        .iter()
        .map(|m| (i64::from(m.least.lo), i64::from(m.least.hi)));
    let fitting = members.iter().filter_map(|m| m.within(bits, coarser));
    let union = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
    all.chain(fitting).reduce(union).unwrap_or((0, 0))
}

/// What a layer should give up to share a tall table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Bits by which its grid should be coarser.
    pub coarser: u8,
    /// Largest shift.
    pub max_shift: i16,
}

impl Wish {
    /// Nothing at all.
    pub(super) const NONE: Self = Self {
        coarser: 0,
        max_shift: MAX_SHIFT,
    };
}

/// For each layer what it should give up, where that lets it share a tall table.
pub(super) fn wishes(
    fitted: &[Fitted],
    elements: &[usize],
    is_free: &[bool],
    is_looked_up: &[bool],
) -> Vec<Wish> {
    let mut wishes = vec![Wish::NONE; fitted.len()];
    for members in groups(fitted, elements, is_free, is_looked_up).values() {
        let (Some(bits), _) = cheapest(members, MAX_COARSER) else {
            continue;
        };
        let coarsest = if bits == MAX_BITS { MAX_COARSER } else { 0 };
        let reachable = |m: &&Member| m.may_coarsen && m.bits <= bits + coarsest;
        for m in members.iter().filter(reachable) {
            let Some(layer) = m.layer else {
                continue;
            };
            wishes[layer] = Wish {
                coarser: m.bits.saturating_sub(bits) as u8,
                // Domain and shift together stay below the field's order.
                max_shift: MAX_SHIFT.min(MAX_SPAN_BITS - bits as i16),
            };
        }
    }
    wishes
}

/// Gives layers that share a table the domain that costs least.
pub(super) fn share(fitted: &mut [Fitted], elements: &[usize], is_looked_up: &[bool]) {
    let is_free = vec![false; fitted.len()];
    for members in groups(fitted, elements, &is_free, is_looked_up).values() {
        let (Some(bits), _) = cheapest(members, 0) else {
            continue;
        };
        let (lo, hi) = domain(members, bits, 0);
        // At most 2^20 values around 0, or what a layer had before.
        let domain = Range {
            lo: lo as i32,
            hi: hi as i32,
        };
        for layer in members.iter().filter_map(|m| m.layer) {
            let requant = &mut fitted[layer].layer.requant;
            let activation = Activation {
                domain,
                ..requant.activation
            };
            if let Some(taller) = smallest_excess(requant.shift, activation, fitted[layer].bounds) {
                fitted[layer].layer.requant = taller;
            }
        }
    }
}

fn groups(
    fitted: &[Fitted],
    elements: &[usize],
    is_free: &[bool],
    is_looked_up: &[bool],
) -> BTreeMap<Table, Vec<Member>> {
    let mut groups: BTreeMap<Table, Vec<Member>> = BTreeMap::new();
    let looked_up = fitted.iter().enumerate().filter(|(i, _)| is_looked_up[*i]);
    for (layer, f) in looked_up {
        let requant = &f.layer.requant;
        groups
            .entry(Table::of(&requant.activation))
            .or_default()
            .push(Member {
                layer: Some(layer),
                elements: elements[layer] as f64,
                reach: f.reach(),
                bits: f.domain_bits(),
                may_coarsen: is_free[layer] && requant.activation.function.is_homogeneous(),
                least: requant.activation.domain,
            });
    }
    for f in fitted.iter().filter(|f| f.layer.combine == Combine::Max) {
        let range = f.layer.requant.activation.domain;
        let most = range.hi - range.lo;
        let compares = Activation {
            function: Function::Relu,
            ..Activation::identity(Range { lo: 0, hi: most }, 0)
        };
        groups
            .entry(Table::of(&compares))
            .or_default()
            .push(Member::comparing(most));
    }
    groups
}

/// The bits of the interval that costs least to hold in a table, if that is less than the excess of every layer;
/// and the cost.
fn cheapest(members: &[Member], coarser: u32) -> (Option<u32>, f64) {
    let price = |(lo, hi): (i64, i64), is_beyond: &dyn Fn(&Member) -> bool| {
        let beyond = members.iter().filter(|m| is_beyond(m));
        let excess: f64 = beyond.map(|m| m.elements * EXCESS_CELLS).sum();
        (hi - lo + 1) as f64 * ENTRY_CELLS + excess
    };
    let all = price(domain(members, 0, 0), &|_| true);
    let cost = |bits: u32| {
        let domain = domain(members, bits, coarser);
        price(domain, &|m| m.within(bits, coarser).is_none())
    };
    let fits = |bits: &u32| {
        let (lo, hi) = domain(members, *bits, coarser);
        hi - lo < MAX_TABLE_ENTRIES
    };
    (2..=MAX_BITS)
        .filter(fits)
        .map(|bits| (Some(bits), cost(bits)))
        .filter(|&(_, c)| c < all)
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((None, all))
}
