//! The constraints and messages of the chip.

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use super::ActivationAir;
use super::constants::Constants;
use super::fixed::Columns;
use crate::builder::{AirBuilder, Element, Row};
use crate::bus::Bus;
use crate::projection::select;

impl ActivationAir {
    /// `Σ_i 2^(i·limb_bits)·limb_i`.
    fn recompose<E: PrimeCharacteristicRing + Copy>(&self, limbs: &[E]) -> E {
        let mut value = E::ZERO;
        for &limb in limbs.iter().rev() {
            value = value.mul_2exp_u64(u64::from(self.limbs.bits)) + limb;
        }
        value
    }

    /// `(q + side·excess, rem)` of a lane.
    pub(super) fn parts<E: PrimeCharacteristicRing + Copy>(
        &self,
        main: &[E],
        lane: usize,
    ) -> (E, E) {
        let cols = self.lane(lane);
        let rem = self.recompose(&main[cols.rem..cols.rem + self.limbs.rem]);
        let mut quot = main[cols.q];
        if self.limbs.excess > 0 {
            let excess = &main[cols.excess..cols.excess + self.limbs.excess];
            quot += main[cols.side] * self.recompose(excess);
        }
        (quot, rem)
    }

    /// `A`: the accumulators of a row, projected.
    fn accumulators<E, X, EF>(&self, row: &Row<'_, E, X>, constants: Constants<'_, EF>) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let parts: Vec<(E, E)> = (0..self.lanes).map(|b| self.parts(row.main, b)).collect();
        let columns = Columns::new(self);
        let mut sum = X::ZERO;
        for (i, pattern) in self.own.patterns.items().iter().enumerate() {
            let [quot, rest] = columns.own_pattern(i).map(|c| row.fixed[c]);
            let coefficients = constants.own_pattern(i);
            for b in pattern.used_lanes() {
                let value = parts[b].0 * quot + parts[b].1 * rest;
                sum += X::from(coefficients[b]) * value;
            }
        }
        sum
    }

    /// `U_k`: what slot `k` reads of a row.
    fn read<E, X, EF>(&self, row: &Row<'_, E, X>, constants: Constants<'_, EF>, slot: usize) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let columns = Columns::new(self);
        let mut sum = X::ZERO;
        for (i, pattern) in self.slots[slot].lists.patterns.items().iter().enumerate() {
            let coefficients = constants.pattern(slot, i);
            let mut form = X::ZERO;
            for b in pattern.used_lanes() {
                form += X::from(coefficients[b]) * row.main[self.lane(b).out];
            }
            sum += form * row.fixed[columns.pattern(slot, i)];
        }
        sum
    }

    pub(super) fn eval_chains<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let constants = Constants::new(self, builder.constants());
        let columns = Columns::new(self);
        let (h, h_next) = (row.projection[0], row.projection_next[0]);
        let ratio: B::ExprEF = select(&row.fixed[columns.own_ratios()], constants.own_ratios());
        let acc: B::ExprEF = self.accumulators(&row, constants);
        builder.assert_zero_ext("project", h_next * row.step() - ratio * h - acc);
        if self.has_ranged() {
            self.eval_ranged(builder);
        }
        for slot in 0..self.slots.len() {
            self.eval_slot(builder, slot);
        }
    }

    fn eval_ranged<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let ranged = row.fixed[Columns::REAL] - row.fixed[Columns::LOOKED];
        let lo = row.fixed[Columns::LO];
        let constants = Constants::new(self, builder.constants());
        let mut sum = B::ExprEF::ZERO;
        for b in 0..self.lanes {
            let (quot, rem) = self.parts(row.main, b);
            let [own, read] = [b, self.lanes + b].map(|i| B::ExprEF::from(constants.power(i)));
            let value = lo + rem;
            sum += own * ((quot - value) * ranged);
            sum += read * ((row.main[self.lane(b).out] - value) * ranged);
        }
        builder.assert_zero_ext("ranged", sum);
    }

    fn eval_slot<B: AirBuilder>(&self, builder: &mut B, slot: usize) {
        let row = builder.row();
        let constants = Constants::new(self, builder.constants());
        let columns = Columns::new(self);
        let total = self.total_column(slot);
        let (t, t_next) = (row.projection[total], row.projection_next[total]);
        let ratio: B::ExprEF = select(&row.fixed[columns.ratios(slot)], constants.ratios(slot));
        let read = self.read(&row, constants, slot);
        let carried = t_next * row.step() - ratio * t;
        if !self.slots[slot].is_weighted {
            builder.assert_zero_ext("consume", carried - read);
            return;
        }
        let (g, g_next) = (row.projection[total - 1], row.projection_next[total - 1]);
        let weighted = columns.weighted(slot);
        let (hold, one) = (row.fixed[weighted.hold], row.fixed[weighted.one]);
        builder.assert_zero_ext("consume", carried - g * read);
        builder.assert_zero_ext("hold", (g_next - g) * hold);
        builder.assert_zero_ext("one", (g - B::ExprEF::ONE) * one);
    }

    /// Lookups of one lane.
    pub(super) fn eval_lookups<B: AirBuilder>(&self, builder: &mut B, lane: usize) {
        let cols = self.lane(lane);
        let row = builder.row();
        let taken = -row.fixed[Columns::REAL];
        let looked = -row.fixed[Columns::LOOKED];
        let function = row.fixed[Columns::FUNCTION];
        let (q, out) = (row.main[cols.q], row.main[cols.out]);
        let side = if self.limbs.excess > 0 {
            row.main[cols.side]
        } else {
            B::Expr::ZERO
        };
        builder.message(
            Bus::Activation,
            looked,
            &[function, side, q, out].map(Element::Base),
        );
        let first = Columns::new(self).limb_bits();
        for i in 0..self.num_limbs() {
            let row = builder.row();
            let bits = row.fixed[first + i];
            let limb = row.main[cols.rem + i];
            builder.message(Bus::Range, taken, &[bits, limb].map(Element::Base));
        }
    }

    /// The messages that carry projected values.
    pub(super) fn eval_claims<B: AirBuilder>(&self, builder: &mut B) {
        let columns = Columns::new(self);
        let claim = |builder: &mut B, first: usize, slot: Option<usize>| {
            let column = slot.map_or(0, |slot| self.total_column(slot));
            let row = builder.row();
            let mut count = row.fixed[first + 2];
            for (i, boundary) in self.boundary.iter().enumerate() {
                if boundary.slot == slot {
                    let receivers = B::F::from_u32(builder.challenges().receivers[boundary.tensor]);
                    count += row.fixed[columns.claimed(i)] * B::Expr::from(receivers);
                }
            }
            let message = [
                Element::Base(row.fixed[first]),
                Element::Base(row.fixed[first + 1]),
                Element::Ext(row.projection[column]),
            ];
            builder.message(Bus::Claim, count, &message);
        };
        claim(builder, Columns::ACC_CLAIM, None);
        for slot in 0..self.slots.len() {
            claim(builder, columns.claim(slot), Some(slot));
            if self.slots[slot].is_weighted {
                let row = builder.row();
                let weighted = columns.weighted(slot);
                let message = [
                    Element::Base(row.fixed[weighted.term]),
                    Element::Base(row.fixed[weighted.index]),
                    Element::Ext(row.projection[self.total_column(slot) - 1]),
                ];
                let takes = -row.fixed[weighted.takes];
                builder.message(Bus::Product, takes, &message);
            }
        }
        if let Some(gate) = columns.gate() {
            let row = builder.row();
            let out = row.main[self.lane(0).out];
            let message = [row.fixed[gate], row.fixed[gate + 1], out].map(Element::Base);
            let count = row.fixed[gate + 2];
            builder.message(Bus::Product, count, &message);
        }
    }
}
