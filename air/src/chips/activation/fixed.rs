//! The fixed columns of the chip.

use alloc::vec::Vec;
use core::ops::Range;

use p3_field::Field;

use super::readers::{Reader, Step};
use super::{ActivationAir, SlotReader, Source, TensorBlock};
use crate::builder::engine;
use crate::bus::ClaimKind;
use crate::chips::{Air, signed, small};
use crate::graph::Kernel;

/// Where the fixed columns lie.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    air: &'a ActivationAir,
}

/// Columns that only weighted slots have.
#[derive(Clone, Copy)]
pub(super) struct WeightedColumns {
    pub takes: usize,
    pub term: usize,
    pub index: usize,
    pub hold: usize,
    pub one: usize,
}

const WEIGHTED: usize = 5;

impl<'a> Columns<'a> {
    pub(super) const REAL: usize = engine::WIDTH;
    pub(super) const LOOKED: usize = Self::REAL + 1;
    pub(super) const LO: usize = Self::REAL + 2;
    pub(super) const FUNCTION: usize = Self::REAL + 3;
    /// Kind, number, count.
    pub(super) const ACC_CLAIM: usize = Self::REAL + 4;
    const ACC_CLAIM_END: usize = Self::ACC_CLAIM + 3;

    pub(super) const fn new(air: &'a ActivationAir) -> Self {
        Self { air }
    }

    /// The table that compares, if anything is compared.
    pub(super) fn comparison(&self) -> Option<usize> {
        let compares = !self.air.window.comparisons.is_empty();
        compares.then_some(Self::ACC_CLAIM_END)
    }

    pub(super) fn own_ratios(&self) -> Range<usize> {
        let start = Self::ACC_CLAIM_END + usize::from(self.comparison().is_some());
        start..start + self.air.own.ratios.len()
    }

    /// `quot` and `rest` of an accumulator form.
    pub(super) fn own_form(&self, i: usize) -> [usize; 2] {
        let start = self.own_ratios().end + 2 * i;
        [start, start + 1]
    }

    fn slot_width(&self, slot: usize) -> usize {
        let slot = &self.air.slots[slot];
        let weighted = if slot.is_weighted { WEIGHTED } else { 0 };
        3 + slot.lists.ratios.len() + slot.lists.forms.len() + weighted
    }

    /// Kind, number, count of the claim on a slot's total.
    pub(super) fn claim(&self, slot: usize) -> usize {
        let before = (0..slot).map(|s| self.slot_width(s)).sum::<usize>();
        self.own_form(self.air.own.forms.len())[0] + before
    }

    pub(super) fn ratios(&self, slot: usize) -> Range<usize> {
        let start = self.claim(slot) + 3;
        start..start + self.air.slots[slot].lists.ratios.len()
    }

    pub(super) fn form(&self, slot: usize, i: usize) -> usize {
        self.ratios(slot).end + i
    }

    pub(super) fn weighted(&self, slot: usize) -> WeightedColumns {
        let takes = self.form(slot, self.air.slots[slot].lists.forms.len());
        WeightedColumns {
            takes,
            term: takes + 1,
            index: takes + 2,
            hold: takes + 3,
            one: takes + 4,
        }
    }

    pub(super) fn limb_bits(&self) -> usize {
        self.claim(self.air.slots.len())
    }

    /// Number, index, count of what is sent as a gate.
    pub(super) fn gate(&self) -> Option<usize> {
        let start = self.limb_bits() + self.air.num_limbs();
        self.air.has_gates().then_some(start)
    }

    pub(super) fn claimed(&self, i: usize) -> usize {
        self.limb_bits() + self.air.num_limbs() + 3 * usize::from(self.air.has_gates()) + i
    }

    pub(super) fn width(&self) -> usize {
        self.claimed(self.air.boundary.len())
    }
}

/// The fixed rows, without the engine's columns.
pub(super) fn generate<F: Field>(air: &ActivationAir) -> Vec<F> {
    let width = Columns::new(air).width() - engine::WIDTH;
    let mut values = F::zero_vec(air.rows() * width);
    let mut rows: Vec<FixedRow<'_, F>> = (values.chunks_exact_mut(width))
        .map(|cells| FixedRow { cells })
        .collect();
    for block in &air.blocks {
        let own = &mut rows[block.start..block.end()];
        fill_values(air, block, own);
        fill_own_chain(air, block, own);
        for reader in &block.readers {
            fill_slot(air, block, reader, own);
        }
        fill_claims(air, block, &mut rows[block.end()]);
    }
    values
}

/// One row, addressed with the engine's columns counted.
struct FixedRow<'a, F> {
    cells: &'a mut [F],
}

impl<F> FixedRow<'_, F> {
    fn set(&mut self, column: usize, value: F) {
        self.cells[column - engine::WIDTH] = value;
    }
}

fn fill_values<F: Field>(air: &ActivationAir, block: &TensorBlock, rows: &mut [FixedRow<'_, F>]) {
    let columns = Columns::new(air);
    let per_channel = block.grid.rows().len();
    for (r, row) in rows.iter_mut().enumerate() {
        row.set(Columns::REAL, F::ONE);
        row.set(Columns::LO, signed(i64::from(block.lo)));
        if !block.is_ranged() {
            row.set(Columns::LOOKED, F::ONE);
            row.set(Columns::FUNCTION, small(block.function));
        }
        if let Some(comparison) = columns.comparison() {
            row.set(comparison, small(block.comparison));
        }
        for i in 0..air.limbs.rem {
            let bits = air.limbs.width(block.shift, i);
            row.set(columns.limb_bits() + i, F::from_u8(bits));
        }
        for i in 0..air.limbs.excess {
            let bits = air.limbs.width(block.excess_bits, i);
            row.set(columns.limb_bits() + air.limbs.rem + i, F::from_u8(bits));
        }
        // A gate has one position, hence one row a channel.
        if let (Some(gate), Some(&count)) = (columns.gate(), block.gates.get(r / per_channel)) {
            row.set(gate, small(air.first_gate + block.tensor));
            row.set(gate + 1, small(r / per_channel));
            row.set(gate + 2, F::from_u32(count));
        }
    }
}

fn fill_own_chain<F: Field>(
    air: &ActivationAir,
    block: &TensorBlock,
    rows: &mut [FixedRow<'_, F>],
) {
    let columns = Columns::new(air);
    let steps = air.own.steps(&block.own_reader(), 0, block.tenant(0));
    // A ranged input is its quotient.
    let (quot, rest) = match block.is_ranged() {
        true => (F::ONE, F::ZERO),
        false => (F::TWO.exp_u64(u64::from(block.shift)), F::ONE),
    };
    for (row, step) in rows.iter_mut().zip(steps) {
        if let Some(ratio) = step.ratio {
            row.set(columns.own_ratios().start + ratio, F::ONE);
        }
        if let Some((form, _)) = step.form {
            let [at_quot, at_rest] = columns.own_form(form);
            row.set(at_quot, quot);
            row.set(at_rest, rest);
        }
    }
}

fn fill_slot<F: Field>(
    air: &ActivationAir,
    block: &TensorBlock,
    SlotReader {
        slot,
        member,
        reader,
    }: &SlotReader,
    rows: &mut [FixedRow<'_, F>],
) {
    let columns = Columns::new(air);
    let slot = *slot;
    let steps = air.slots[slot]
        .lists
        .steps(reader, *member, block.tenant(*member));
    // The weight that the rows below need next.
    let mut needed = alloc::vec![None; steps.len()];
    for r in (1..steps.len()).rev() {
        needed[r - 1] = steps[r].weight.or(needed[r]);
    }
    let mut held = None;
    for (r, row) in rows.iter_mut().enumerate() {
        let Step {
            ratio,
            form,
            weight,
        } = steps[r];
        if let Some(ratio) = ratio {
            row.set(columns.ratios(slot).start + ratio, F::ONE);
        }
        if let Some((form, factor)) = form {
            row.set(columns.form(slot, form), signed(factor));
        }
        if !air.slots[slot].is_weighted {
            continue;
        }
        let at = columns.weighted(slot);
        if let Some(index) = weight.filter(|_| weight != held) {
            row.set(at.takes, F::ONE);
            row.set(at.term, small(product_id(air, reader)));
            row.set(at.index, small(index));
        } else if weight.is_none() {
            row.set(at.one, F::from_bool(form.is_some()));
        }
        held = weight.or(held);
        row.set(at.hold, F::from_bool(held.is_some() && held == needed[r]));
    }
}

/// The number under which a weighted reader receives its factors.
fn product_id(air: &ActivationAir, reader: &Reader) -> usize {
    match reader {
        Reader::Term { id, map, .. } => match map.kernel {
            Kernel::Gate(gate) => air.first_gate + gate.index(),
            Kernel::Weights | Kernel::Taps(_) => *id,
        },
        Reader::Places | Reader::Input | Reader::Output => 0,
    }
}

/// Totals of a tensor are read on the first row below it.
fn fill_claims<F: Field>(air: &ActivationAir, block: &TensorBlock, below: &mut FixedRow<'_, F>) {
    let columns = Columns::new(air);
    let mut claim = |first: usize, kind: ClaimKind, number: usize, count: F| {
        below.set(first, F::from_u8(kind as u8));
        below.set(first + 1, small(number));
        below.set(first + 2, count);
    };
    match block.source {
        Source::Input(_) => claim(Columns::ACC_CLAIM, ClaimKind::Input, block.tensor, F::ZERO),
        Source::Layer(_) => {
            let kind = ClaimKind::Accumulator;
            claim(Columns::ACC_CLAIM, kind, block.tensor, F::ONE);
        }
    }
    for reader in &block.readers {
        let first = columns.claim(reader.slot);
        let tensor = block.members[reader.member].member.tensor;
        match &reader.reader {
            Reader::Term { id, .. } => claim(first, ClaimKind::Term, *id, F::ONE),
            Reader::Output => claim(first, ClaimKind::Output, tensor, F::ZERO),
            Reader::Places => claim(first, ClaimKind::Accumulator, tensor, F::ONE),
            Reader::Input => {}
        }
    }
    let is_member = |tensor: usize| block.members.iter().any(|m| m.member.tensor == tensor);
    for (i, boundary) in air.boundary.iter().enumerate() {
        if is_member(boundary.tensor) {
            below.set(columns.claimed(i), F::ONE);
        }
    }
}
