//! Traces of the activation chip, from the integers of the reference evaluator.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;

use super::{ActivationAir, Sink, Source, TensorBlock, projection};
use crate::builder::Challenges;
use crate::chips::signed;
use crate::graph::{Evaluation, Requantised};

impl ActivationAir {
    /// The main trace, padded to `height` rows.
    pub fn generate_main<F: Field>(
        &self,
        evaluation: &Evaluation,
        height: usize,
    ) -> RowMajorMatrix<F> {
        let width = self.lanes * self.lane_width();
        let mut values = F::zero_vec(height * width);
        for block in &self.blocks {
            for feature in 0..block.features {
                let start = (block.first_feature() + feature) * width;
                let row = &mut values[start..start + width];
                for lane in 0..self.lanes {
                    let cell = cell(evaluation, block, feature * self.lanes + lane);
                    self.fill_lane(row, lane, block, &cell);
                }
            }
        }
        RowMajorMatrix::new(values, width)
    }

    fn fill_lane<F: Field>(
        &self,
        row: &mut [F],
        lane: usize,
        block: &TensorBlock,
        cell: &Requantised,
    ) {
        let cols = self.lane(lane);
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
        mut activation: impl FnMut(usize, i32, i32),
        mut range: impl FnMut(u8, u32),
    ) {
        for block in &self.blocks {
            for index in 0..block.features * self.lanes {
                let cell = cell(evaluation, block, index);
                if !block.is_ranged() {
                    activation(block.function, cell.excess.signum(), cell.q);
                }
                for (i, limb) in self.rem_limbs(block, &cell).enumerate() {
                    range(self.limbs.width(block.shift, i), limb);
                }
                for (i, limb) in self.excess_limbs(block, &cell).enumerate() {
                    range(self.limbs.width(block.excess_bits, i), limb);
                }
            }
        }
    }

    /// The projection columns, row-major, padded to `height` rows. `folded` holds every layer's
    /// `v_k`, the biases' last.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        folded: &[Vec<EF>],
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let width = projection::WIDTH;
        let mut columns = EF::zero_vec(height * width);
        let rho = challenges.rho();
        let stride = main.width;
        for block in &self.blocks {
            let zero = EF::ZERO;
            let mut below = Totals::default();
            let first = block.first_feature();
            // On an output's rows v runs through the powers of ρ.
            let powers: Vec<EF>;
            let values = match block.sink {
                Sink::Layer { layer, .. } => {
                    let (&biases, values) = folded[layer].split_last().unwrap_or((&zero, &[]));
                    let positions: EF = challenges.sigma_powers[..self.lanes].iter().copied().sum();
                    below.s = biases * positions;
                    columns[block.start * width + projection::V] = biases;
                    below.write(&mut columns[first * width..]);
                    values
                }
                Sink::Output => {
                    powers = rho.powers().take(block.features).collect();
                    &powers
                }
            };
            for (r, &v) in (first..).zip(values) {
                columns[r * width + projection::V] = v;
                let row = &main.values[r * stride..(r + 1) * stride];
                let (acc, out) = self.project_row(block, row, challenges);
                below.h = below.h * rho + acc;
                below.s += v * out;
                // Row r + 1 holds the totals up to row r, across the border of the block.
                below.write(&mut columns[(r + 1) * width..]);
            }
        }
        columns
    }

    /// `(A, u)` of one row of a block.
    fn project_row<F: Field, EF: ExtensionField<F>>(
        &self,
        block: &TensorBlock,
        main: &[F],
        challenges: &Challenges<EF>,
    ) -> (EF, EF) {
        let pow_shift = F::TWO.exp_u64(u64::from(block.shift));
        let lo = signed::<F>(i64::from(block.lo));
        let (mut acc, mut out) = (EF::ZERO, EF::ZERO);
        for (lane, &sigma) in (0..self.lanes).zip(&challenges.sigma_powers) {
            let cols = self.lane(lane);
            let rem = self.recompose(&main[cols.rem..cols.rem + self.limbs.rem]);
            if block.is_ranged() {
                acc += sigma * (lo + rem);
                out += sigma * (lo + rem);
                continue;
            }
            let mut quot = main[cols.q];
            if self.limbs.excess > 0 {
                let excess = &main[cols.excess..cols.excess + self.limbs.excess];
                quot += main[cols.side] * self.recompose(excess);
            }
            acc += sigma * (quot * pow_shift + rem);
            out += sigma * main[cols.out];
        }
        (acc, out)
    }
}

/// What the rows above have added up.
#[derive(Clone, Copy, Debug, Default)]
struct Totals<EF> {
    h: EF,
    s: EF,
}

impl<EF: Copy> Totals<EF> {
    const fn write(&self, row: &mut [EF]) {
        row[projection::H] = self.h;
        row[projection::S] = self.s;
    }
}

/// The requantised value behind element `index` of a tensor; an input is its own.
fn cell(evaluation: &Evaluation, block: &TensorBlock, index: usize) -> Requantised {
    match block.source {
        Source::Layer(layer) => evaluation.layers[layer][index],
        Source::Input(_) => {
            let value = evaluation.tensors[block.tensor][index];
            let (looked, rem) = match block.is_ranged() {
                true => (0, value.wrapping_sub(block.lo) as u32),
                false => (value, 0),
            };
            Requantised {
                q: looked,
                excess: 0,
                rem,
                out: looked,
            }
        }
    }
}
