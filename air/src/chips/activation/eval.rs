//! The constraints and messages of the chip.

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use super::constants::Constants;
use super::fixed::Columns;
use super::{ActivationAir, Comparison};
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

    /// `(q + side·excess, rem)` of an activation.
    pub(super) fn parts<E: PrimeCharacteristicRing + Copy>(
        &self,
        main: &[E],
        part: usize,
        lane: usize,
    ) -> (E, E) {
        let cols = self.cells(part, lane);
        let rem = self.recompose(&main[cols.rem..cols.rem + self.limbs.rem]);
        let mut quot = main[cols.q];
        if self.limbs.excess > 0 {
            let excess = &main[cols.excess..cols.excess + self.limbs.excess];
            quot += main[cols.side] * self.recompose(excess);
        }
        (quot, rem)
    }

    /// A sum of values of a lane.
    pub(super) fn sum_of<E: PrimeCharacteristicRing + Copy>(
        &self,
        main: &[E],
        values: &[usize],
        lane: usize,
    ) -> E {
        let cells = values.iter().map(|&value| main[self.value(value, lane)]);
        cells.reduce(|sum, cell| sum + cell).unwrap_or(E::ZERO)
    }

    /// `A`: the accumulators of a row, projected.
    fn accumulators<E, X, EF>(&self, row: &Row<'_, E, X>, constants: Constants<'_, EF>) -> X
    where
        E: PrimeCharacteristicRing + Copy,
        EF: Field,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        let columns = Columns::new(self);
        let parts: Vec<(E, E)> = (0..self.window.hosts * self.lanes)
            .map(|i| self.parts(row.main, i / self.lanes, i % self.lanes))
            .collect();
        let mut sum = X::ZERO;
        for (i, (_, form)) in self.own.forms.items().iter().enumerate() {
            let [quot, rest] = columns.own_form(i).map(|c| row.fixed[c]);
            for (coefficients, (part, pattern)) in constants.own_form(i).zip(form) {
                for b in pattern.used_lanes() {
                    let cells = parts[part * self.lanes + b];
                    let value = cells.0 * quot + cells.1 * rest;
                    sum += X::from(coefficients[b]) * value;
                }
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
        for (i, (member, form)) in self.slots[slot].lists.forms.items().iter().enumerate() {
            let mut read = X::ZERO;
            for (coefficients, (part, pattern)) in constants.form(slot, i).zip(form) {
                let values = &self.window.elements[*member][*part];
                for b in pattern.used_lanes() {
                    read += X::from(coefficients[b]) * self.sum_of(row.main, values, b);
                }
            }
            sum += read * row.fixed[columns.form(slot, i)];
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
        let elements = self.window.hosts * self.lanes;
        for i in 0..elements {
            let (part, lane) = (i / self.lanes, i % self.lanes);
            let (quot, rem) = self.parts(row.main, part, lane);
            let powers = [i, elements + i].map(|i| B::ExprEF::from(constants.power(i)));
            let value = lo + rem;
            sum += powers[0] * ((quot - value) * ranged);
            sum += powers[1] * ((row.main[self.cells(part, lane).out] - value) * ranged);
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

    /// The lookup of one comparison.
    pub(super) fn eval_comparison<B: AirBuilder>(
        &self,
        builder: &mut B,
        comparison: &Comparison,
        lane: usize,
    ) {
        let row = builder.row();
        let taken = -row.fixed[Columns::REAL];
        let table = Columns::new(self).comparison();
        let table = table.map_or(B::Expr::ZERO, |column| row.fixed[column]);
        let sum = |values: &[usize]| -> B::Expr { self.sum_of(row.main, values, lane) };
        let difference = sum(&comparison.plus) - sum(&comparison.minus);
        let larger = row.main[self.value(comparison.result, lane)];
        let message = [table, B::Expr::ZERO, difference, larger].map(Element::Base);
        builder.message(Bus::Activation, taken, &message);
    }

    /// Lookups of one activation.
    pub(super) fn eval_lookups<B: AirBuilder>(&self, builder: &mut B, part: usize, lane: usize) {
        let cols = self.cells(part, lane);
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
            let out = row.main[self.cells(0, 0).out];
            let message = [row.fixed[gate], row.fixed[gate + 1], out].map(Element::Base);
            let count = row.fixed[gate + 2];
            builder.message(Bus::Product, count, &message);
        }
    }
}
