//! Traces of the activation chip, from the integers of the reference evaluator.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::constants::{self, Constants};
use super::readers::{Form, Reader, Step};
use super::{ActivationAir, SlotReader, Source, TensorBlock};
use crate::builder::Challenges;
use crate::chips::{Air, signed};
use crate::graph::groups::Role;
use crate::graph::{Activation, Evaluation, Kernel, Requantised};

/// Where weighted readers find their factors.
#[derive(Clone, Debug, Default)]
pub struct Factors<EF> {
    /// For each term, by number, the folded weights by index.
    pub weights: Vec<Vec<EF>>,
    /// For each tensor that gates, its channels.
    pub gates: Vec<Vec<EF>>,
}

impl<EF: Field> Factors<EF> {
    fn of(&self, reader: &Reader, index: usize) -> EF {
        let Reader::Term { id, map, .. } = reader else {
            return EF::ONE;
        };
        let list = match map.kernel {
            Kernel::Gate(gate) => self.gates.get(gate.index()),
            Kernel::Weights | Kernel::Taps(_) => self.weights.get(*id),
        };
        let value = list.and_then(|list| list.get(index));
        value.copied().unwrap_or(EF::ZERO)
    }
}

impl ActivationAir {
    /// The main trace, padded to `height` rows. `functions` lists the activation tables, the first of
    /// which has the identifier 1.
    pub fn generate_main<F: Field>(
        &self,
        evaluation: &Evaluation,
        functions: &[Activation],
        height: usize,
    ) -> RowMajorMatrix<F> {
        let width = self.lanes * self.lane_width();
        let mut values = F::zero_vec(height * width);
        for block in &self.blocks {
            let rows = &mut values[block.start * width..block.end() * width];
            let idle = idle(block, functions);
            rows.par_chunks_exact_mut(width)
                .enumerate()
                .for_each(|(r, row)| {
                    let contents = self.contents(evaluation, block, &idle, r);
                    self.fill_row(row, block, &contents);
                });
        }
        RowMajorMatrix::new(values, width)
    }

    /// What row `r` of a block holds, lanes beyond its elements included.
    fn contents(
        &self,
        evaluation: &Evaluation,
        block: &TensorBlock,
        idle: &Requantised,
        r: usize,
    ) -> Contents {
        let per_channel = block.grid.rows().len();
        let (channel, r) = (r / per_channel, r % per_channel);
        let hosts = self.window.hosts;
        let mut cells = alloc::vec![*idle; self.lanes * hosts];
        for (part, lane, element) in block.elements(channel, r) {
            cells[lane * hosts + part] = cell(evaluation, block, element);
        }
        let mut others = alloc::vec![idle.out; self.lanes * self.window.others()];
        let copies =
            (0..block.members.len()).filter(|&m| block.members[m].member.role == Role::Copy);
        for member in copies {
            let values = &evaluation.tensors[block.members[member].member.tensor];
            for (part, view) in block.tenant(member).views().enumerate() {
                // A copy is one value.
                let value = self.window.elements[member][part][0] - hosts;
                for (lane, element) in view.elements(channel, r) {
                    others[lane * self.window.others() + value] = values[element];
                }
            }
        }
        let mut differences = Vec::with_capacity(self.lanes * self.window.comparisons.len());
        for lane in 0..self.lanes {
            let others = &mut others[lane * self.window.others()..];
            for comparison in &self.window.comparisons {
                let value = |&i: &usize| match i.checked_sub(hosts) {
                    None => cells[lane * hosts + i].out,
                    Some(other) => others[other],
                };
                let sum = |values: &[usize]| values.iter().map(value).sum::<i32>();
                let difference = sum(&comparison.plus) - sum(&comparison.minus);
                others[comparison.result - hosts] = difference.max(0);
                differences.push(difference);
            }
        }
        Contents {
            cells,
            others,
            differences,
        }
    }

    fn fill_row<F: Field>(&self, row: &mut [F], block: &TensorBlock, contents: &Contents) {
        let hosts = self.window.hosts;
        for (i, cell) in contents.cells.iter().enumerate() {
            self.fill_cell(row, i % hosts, i / hosts, block, cell);
        }
        let others = self.window.others().max(1);
        for (lane, values) in contents.others.chunks_exact(others).enumerate() {
            let first = self.element(hosts, lane);
            for (cell, &value) in row[first..].iter_mut().zip(values) {
                *cell = signed(i64::from(value));
            }
        }
    }

    fn fill_cell<F: Field>(
        &self,
        row: &mut [F],
        part: usize,
        lane: usize,
        block: &TensorBlock,
        cell: &Requantised,
    ) {
        let cols = self.cells(part, lane);
        row[cols.q] = signed(i64::from(cell.q));
        row[cols.out] = signed(i64::from(cell.out));
        for (i, limb) in self.rem_limbs(block, cell).enumerate() {
            row[cols.rem + i] = F::from_u32(limb);
        }
        if self.limbs.excess > 0 {
            row[cols.side] = signed(i64::from(cell.excess.signum()));
            for (i, limb) in self.excess_limbs(block, cell).enumerate() {
                row[cols.excess + i] = F::from_u32(limb);
            }
        }
    }

    /// Limbs of the remainder, lowest first.
    fn rem_limbs(&self, block: &TensorBlock, cell: &Requantised) -> impl Iterator<Item = u32> {
        self.split(cell.rem, block.shift, self.limbs.rem)
    }

    /// Limbs of the excess's magnitude, lowest first.
    fn excess_limbs(&self, block: &TensorBlock, cell: &Requantised) -> impl Iterator<Item = u32> {
        self.split(
            cell.excess.unsigned_abs(),
            block.excess_bits,
            self.limbs.excess,
        )
    }

    fn split(&self, value: u32, bits: u8, count: usize) -> impl Iterator<Item = u32> + use<> {
        let limbs = self.limbs;
        (0..count).map(move |i| {
            let width = limbs.width(bits, i);
            let below = (i as u32) * u32::from(limbs.bits);
            // Shifts of 32 or more bits have nothing left to take.
            value.checked_shr(below).unwrap_or(0) & ((1u32 << width) - 1)
        })
    }

    /// Calls `activation(function, side, q)` and `range(bits, value)` for every lookup of the
    /// trace, so that the tables can count them.
    pub fn for_each_lookup(
        &self,
        evaluation: &Evaluation,
        functions: &[Activation],
        mut activation: impl FnMut(usize, i32, i32),
        mut range: impl FnMut(u8, u32),
    ) {
        for block in &self.blocks {
            let idle = idle(block, functions);
            for r in 0..block.grid.height() {
                let contents = self.contents(evaluation, block, &idle, r);
                for difference in contents.differences {
                    activation(block.comparison, 0, difference);
                }
                for cell in &contents.cells {
                    if !block.is_ranged() {
                        activation(block.function, cell.excess.signum(), cell.q);
                    }
                    for (i, limb) in self.rem_limbs(block, cell).enumerate() {
                        range(self.limbs.width(block.shift, i), limb);
                    }
                    for (i, limb) in self.excess_limbs(block, cell).enumerate() {
                        range(self.limbs.width(block.excess_bits, i), limb);
                    }
                }
            }
        }
    }

    /// The channels of the tensors of the table that are used as gates, by tensor.
    pub fn gates<F: Field>(&self, main: &RowMajorMatrix<F>) -> Vec<(usize, Vec<F>)> {
        let gates = self.blocks.iter().filter(|b| !b.gates.is_empty());
        let out = self.cells(0, 0).out;
        gates
            .map(|block| {
                let rows = block.start..block.end();
                let values = rows.map(|r| main.values[r * main.width + out]);
                (block.tensor, values.collect())
            })
            .collect()
    }

    /// What each term that reads a tensor of the table adds to its layer, by number, from the projection
    /// columns.
    pub fn term_claims<EF: Field>(&self, columns: &[EF]) -> Vec<(usize, EF)> {
        let width = self.widths().projection;
        let mut claims = Vec::new();
        for block in &self.blocks {
            for SlotReader { slot, reader, .. } in &block.readers {
                if let Reader::Term { id, .. } = reader {
                    claims.push((*id, columns[block.end() * width + self.total_column(*slot)]));
                }
            }
        }
        claims
    }

    /// The projection columns, row-major, padded to `height` rows.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        factors: &Factors<EF>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let values = constants::compute(self, challenges);
        let constants = Constants::new(self, &values);
        let width = self.widths().projection;
        let mut columns = EF::zero_vec(height * width);
        for block in &self.blocks {
            // Row r + 1 holds the totals up to row r, across the border of the block.
            let cells = &mut columns[block.start * width..(block.end() + 1) * width];
            let rows = &main.values[block.start * main.width..block.end() * main.width];
            let steps = self.own.steps(&block.own_reader(), 0, block.tenant(0));
            let pow_shift = match block.is_ranged() {
                true => F::ONE,
                false => F::TWO.exp_u64(u64::from(block.shift)),
            };
            let forms = forms(rows, main.width, &steps, |row, form| {
                let value = |part, lane| {
                    let (quot, rem) = self.parts(row, part, lane);
                    match block.is_ranged() {
                        true => quot,
                        false => quot * pow_shift + rem,
                    }
                };
                let parts = &self.own.forms.items()[form].1;
                project(constants.own_form(form), parts, value)
            });
            accumulate(cells, width, 0, &steps, constants.own_ratios(), &forms);
            for reader in &block.readers {
                let slot = &self.slots[reader.slot];
                let tenant = block.tenant(reader.member);
                let steps = slot.lists.steps(&reader.reader, reader.member, tenant);
                let mut forms =
                    forms_of_slot(self, reader.slot, rows, main.width, &steps, constants);
                let total = self.total_column(reader.slot);
                let mut factor = EF::ZERO;
                for ((r, step), form) in steps.iter().enumerate().zip(&mut forms) {
                    if !slot.is_weighted {
                        break;
                    }
                    // Rows without a weight hold the one before, in case that rows below need it.
                    factor = match step.weight {
                        Some(index) => factors.of(&reader.reader, index),
                        None if reader.reader.is_weighted() => factor,
                        None => EF::ONE,
                    };
                    cells[r * width + total - 1] = factor;
                    *form *= factor;
                }
                accumulate(
                    cells,
                    width,
                    total,
                    &steps,
                    constants.ratios(reader.slot),
                    &forms,
                );
            }
        }
        columns
    }
}

/// Horner's scheme down the rows of a chain.
fn accumulate<EF: Field>(
    cells: &mut [EF],
    width: usize,
    column: usize,
    steps: &[Step],
    ratios: &[EF],
    forms: &[EF],
) {
    let mut total = EF::ZERO;
    for (r, (step, &form)) in steps.iter().zip(forms).enumerate() {
        let ratio = step.ratio.map_or(EF::ZERO, |i| ratios[i]);
        total = total * ratio + form;
        cells[(r + 1) * width + column] = total;
    }
}

/// The sum of each row that has a form, 0 for others.
fn forms<F: Field, EF: ExtensionField<F>>(
    rows: &[F],
    width: usize,
    steps: &[Step],
    form: impl Fn(&[F], usize) -> EF + Sync,
) -> Vec<EF> {
    rows.par_chunks_exact(width)
        .zip(steps)
        .map(|(row, step)| match step.form {
            Some((index, factor)) => form(row, index) * signed::<F>(factor),
            None => EF::ZERO,
        })
        .collect()
}

/// `Σ c·value(part, lane)` over the lanes of a form.
fn project<'a, F: Field, EF: ExtensionField<F>>(
    coefficients: impl Iterator<Item = &'a [EF]>,
    form: &Form,
    value: impl Fn(usize, usize) -> F,
) -> EF {
    let parts = coefficients.zip(form);
    parts
        .flat_map(|(c, (part, pattern))| pattern.used_lanes().map(move |b| (c[b], *part, b)))
        .map(|(c, part, lane)| c * value(part, lane))
        .sum()
}

fn forms_of_slot<F: Field, EF: ExtensionField<F>>(
    air: &ActivationAir,
    slot: usize,
    rows: &[F],
    width: usize,
    steps: &[Step],
    constants: Constants<'_, EF>,
) -> Vec<EF> {
    let lists = &air.slots[slot].lists;
    forms(rows, width, steps, |row, index| {
        let (member, form) = &lists.forms.items()[index];
        let elements = &air.window.elements[*member];
        let value = |part: usize, lane| air.sum_of(row, &elements[part], lane);
        project(constants.form(slot, index), form, value)
    })
}

/// What the lanes of a row hold.
struct Contents {
    /// Activations, by lane and part.
    cells: Vec<Requantised>,
    /// Copies and results, by lane.
    others: Vec<i32>,
    /// What is looked up for each result, by lane.
    differences: Vec<i32>,
}

/// What a lane without an element holds: something its lookups allow.
fn idle(block: &TensorBlock, functions: &[Activation]) -> Requantised {
    let Some(function) = block.function.checked_sub(1).and_then(|i| functions.get(i)) else {
        return Requantised {
            q: block.lo,
            excess: 0,
            rem: 0,
            out: block.lo,
        };
    };
    let q = function.domain.clamp(0);
    Requantised {
        q,
        excess: 0,
        rem: 0,
        out: function.apply(q),
    }
}

/// The requantised value behind an element of a tensor; an input is its own.
fn cell(evaluation: &Evaluation, block: &TensorBlock, index: usize) -> Requantised {
    match block.source {
        Source::Layer(layer) => evaluation.layers[layer][index],
        Source::Input(_) => {
            let value = evaluation.tensors[block.tensor][index];
            Requantised {
                q: value,
                excess: 0,
                rem: match block.is_ranged() {
                    true => value.wrapping_sub(block.lo) as u32,
                    false => 0,
                },
                out: value,
            }
        }
    }
}
