//! Constants of the chip: coefficients of forms, ratios, powers of σ.

use alloc::vec::Vec;
use core::ops::Range;

use p3_field::Field;

use super::{ActivationAir, ChainLists};
use crate::builder::Challenges;
use crate::chips::Air;

/// All constants of a proof, in the order `powers, own ratios, own forms, (ratios, forms)` of each
/// slot.
pub(super) fn compute<EF: Field>(air: &ActivationAir, challenges: &Challenges<EF>) -> Vec<EF> {
    let points = &challenges.points;
    let mut constants: Vec<EF> = match air.has_ranged() {
        true => challenges
            .sigma()
            .powers()
            .take(air.projection_degree())
            .collect(),
        false => Vec::new(),
    };
    for lists in core::iter::once(&air.own).chain(air.slots.iter().map(|s| &s.lists)) {
        constants.extend(lists.ratios.items().iter().map(|&m| points.at(m)));
        for (_, pattern) in lists.forms.items().iter().flat_map(|(_, form)| form) {
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

    /// Constants of the first `forms` forms, and of all ratios, of some chains.
    fn size(&self, lists: &ChainLists, forms: usize) -> usize {
        let parts = lists.forms.items()[..forms]
            .iter()
            .map(|(_, form)| form.len());
        lists.ratios.len() + parts.sum::<usize>() * self.air.lanes
    }

    fn own_start(&self) -> usize {
        self.air.projection_degree()
    }

    fn slot_start(&self, slot: usize) -> usize {
        let before = self.air.slots[..slot].iter().map(|s| &s.lists);
        let sizes = before
            .chain([&self.air.own])
            .map(|lists| self.size(lists, lists.forms.len()));
        self.own_start() + sizes.sum::<usize>()
    }

    fn slice(&self, range: Range<usize>) -> &'a [EF] {
        &self.values[range]
    }

    /// The coefficients of the lanes of each part of form `i` of chains that begin at `start`.
    fn parts(
        &self,
        start: usize,
        lists: &ChainLists,
        i: usize,
    ) -> impl Iterator<Item = &'a [EF]> + use<'a, EF> {
        let (from, to) = (self.size(lists, i), self.size(lists, i + 1));
        self.slice(start + from..start + to)
            .chunks_exact(self.air.lanes)
    }

    /// The ratios of the accumulators' chains.
    pub(super) fn own_ratios(&self) -> &'a [EF] {
        let start = self.own_start();
        self.slice(start..start + self.air.own.ratios.len())
    }

    /// The coefficients of each part of an accumulator form.
    pub(super) fn own_form(&self, i: usize) -> impl Iterator<Item = &'a [EF]> + use<'a, EF> {
        self.parts(self.own_start(), &self.air.own, i)
    }

    /// The ratios of a slot.
    pub(super) fn ratios(&self, slot: usize) -> &'a [EF] {
        let start = self.slot_start(slot);
        self.slice(start..start + self.air.slots[slot].lists.ratios.len())
    }

    /// The coefficients of each part of a form of a slot.
    pub(super) fn form(
        &self,
        slot: usize,
        i: usize,
    ) -> impl Iterator<Item = &'a [EF]> + use<'a, EF> {
        self.parts(self.slot_start(slot), &self.air.slots[slot].lists, i)
    }
}
