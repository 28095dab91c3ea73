//! Constants of the chip: coefficients of patterns, ratios, powers of σ.

use alloc::vec::Vec;
use core::ops::Range;

use p3_field::Field;

use super::{ActivationAir, ChainLists};
use crate::builder::Challenges;

/// All constants of a proof, in the order `powers, own ratios, own patterns, (ratios, patterns)` of each
/// slot.
pub(super) fn compute<EF: Field>(air: &ActivationAir, challenges: &Challenges<EF>) -> Vec<EF> {
    let points = &challenges.points;
    let mut constants: Vec<EF> = match air.has_ranged() {
        true => challenges.sigma().powers().take(2 * air.lanes).collect(),
        false => Vec::new(),
    };
    for lists in core::iter::once(&air.own).chain(air.slots.iter().map(|s| &s.lists)) {
        constants.extend(lists.ratios.items().iter().map(|&m| points.at(m)));
        for pattern in lists.patterns.items() {
            constants.extend(pattern.coefficients(points, air.lanes));
        }
    }
    constants
}

/// Where the constants lie.
#[derive(Clone, Copy)]
pub(super) struct Constants<'a, EF> {
    air: &'a ActivationAir,
    values: &'a [EF],
}

impl<'a, EF: Copy> Constants<'a, EF> {
    pub(super) const fn new(air: &'a ActivationAir, values: &'a [EF]) -> Self {
        Self { air, values }
    }

    /// `σ^i`.
    pub(super) fn power(&self, i: usize) -> EF {
        self.values[i]
    }

    fn size(&self, lists: &ChainLists) -> usize {
        lists.ratios.len() + lists.patterns.len() * self.air.lanes
    }

    fn own_start(&self) -> usize {
        2 * self.air.lanes * usize::from(self.air.has_ranged())
    }

    fn slot_start(&self, slot: usize) -> usize {
        let before = self.air.slots[..slot].iter().map(|s| self.size(&s.lists));
        self.own_start() + self.size(&self.air.own) + before.sum::<usize>()
    }

    fn slice(&self, range: Range<usize>) -> &'a [EF] {
        &self.values[range]
    }

    /// The ratios of the accumulators' chains.
    pub(super) fn own_ratios(&self) -> &'a [EF] {
        let start = self.own_start();
        self.slice(start..start + self.air.own.ratios.len())
    }

    /// The coefficients of an accumulator pattern.
    pub(super) fn own_pattern(&self, i: usize) -> &'a [EF] {
        let start = self.own_start() + self.air.own.ratios.len() + i * self.air.lanes;
        self.slice(start..start + self.air.lanes)
    }

    /// The ratios of a slot.
    pub(super) fn ratios(&self, slot: usize) -> &'a [EF] {
        let start = self.slot_start(slot);
        self.slice(start..start + self.air.slots[slot].lists.ratios.len())
    }

    /// The coefficients of a pattern of a slot.
    pub(super) fn pattern(&self, slot: usize, i: usize) -> &'a [EF] {
        let ratios = self.air.slots[slot].lists.ratios.len();
        let start = self.slot_start(slot) + ratios + i * self.air.lanes;
        self.slice(start..start + self.air.lanes)
    }
}
