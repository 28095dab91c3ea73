//! Traces of the Poseidon2 chip, from the S-box inputs of the reference's own rounds.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::columns::{fixed, main, position, projection};
use super::hash::{Rounds, absorb, blocks, initial_state, num_blocks};
use super::link::Weights;
use super::{Poseidon2Air, RATE, WIDTH, fold_step};
use crate::builder::{Challenges, Row, engine};
use crate::chips::hashed::run_fold;

impl Poseidon2Air {
    /// Number of permutations.
    pub const fn num_blocks(&self) -> usize {
        num_blocks(self.tensor.len(), self.tensor.salted)
    }

    /// A group for the first block's elements, one for each permutation, and the last row.
    pub(super) const fn num_rows(&self) -> usize {
        (self.num_blocks() + 1) * position::COUNT + 1
    }

    /// The chip's own fixed columns.
    pub(super) fn fixed_columns<F: Field>(&self) -> Vec<F> {
        let width = fixed::WIDTH - engine::WIDTH;
        let mut values = F::zero_vec(self.num_rows() * width);
        let mut set = |row: usize, column: usize| {
            values[row * width + column - engine::WIDTH] = F::ONE;
        };
        let groups = self.num_blocks() + 1;
        for row in 0..groups * position::COUNT {
            set(row, fixed::POSITION + row % position::COUNT);
        }
        set(position::COUNT, fixed::START);
        for group in 1..groups {
            let last = group * position::COUNT + position::LAST;
            let column = if group + 1 < groups {
                fixed::CHAIN
            } else {
                fixed::DIGEST
            };
            set(last, column);
        }
        let row_of = |slot: usize| slot / RATE * position::COUNT + slot % RATE;
        let salt = if self.tensor.salted { RATE } else { 0 };
        for slot in 0..salt + self.tensor.len() {
            set(row_of(slot), fixed::SLOT);
            if let Some(i) = slot.checked_sub(salt) {
                let column = if self.tensor.continues(i) {
                    fixed::SAME
                } else {
                    fixed::NEXT
                };
                set(row_of(slot), column);
            }
        }
        let last_group = (groups - 1) * position::COUNT;
        set(last_group, fixed::FINISH);
        set(last_group + 1, fixed::TAKEN);
        values
    }

    /// The main trace, padded to `height` rows.
    pub fn generate_main<F: Field>(
        &self,
        values: &[i32],
        salt: Option<&[F; RATE]>,
        height: usize,
    ) -> RowMajorMatrix<F> {
        self.generate_main_of(&blocks(values, salt), height)
    }

    /// The main trace of any blocks, whether or not they are those of a tensor.
    pub fn generate_main_of<F: Field>(
        &self,
        blocks: &[[F; RATE]],
        height: usize,
    ) -> RowMajorMatrix<F> {
        let mut values = F::zero_vec(height * main::WIDTH);
        let mut state = [F::ZERO; WIDTH];
        for group in 0..=blocks.len() {
            // Group 0 only carries the first block; its permutation, of zeros, is not read.
            if group == 1 {
                state = initial_state(self.tensor.len(), self.tensor.salted);
            }
            if let Some(block) = group.checked_sub(1) {
                absorb(&mut state, &blocks[block]);
            }
            let rounds = Rounds::new(state);
            state = rounds.output;
            let rows =
                values[group * position::COUNT * main::WIDTH..].chunks_exact_mut(main::WIDTH);
            for (j, (row, inputs)) in rows.zip(&rounds.inputs).enumerate() {
                for (i, &x) in inputs.iter().enumerate() {
                    let cube = x.cube();
                    row[main::X + i] = x;
                    row[main::SQUARE + i] = x.square();
                    row[main::CUBE + i] = cube;
                    row[main::SIXTH + i] = cube.square();
                }
                let next = blocks.get(group).and_then(|b| b.get(j));
                row[main::ELEMENT] = next.copied().unwrap_or(F::ZERO);
            }
        }
        RowMajorMatrix::new(values, main::WIDTH)
    }

    /// The projection columns, row-major, padded to `height` rows.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let fixed = self.fixed_columns::<F>();
        let chip_width = fixed::WIDTH - engine::WIDTH;
        let rows = self.num_rows();
        let factors = self.tensor.fold_factors(challenges);
        let weights = Weights::new::<F>(self, challenges);
        let steps: Vec<_> = (0..rows)
            .into_par_iter()
            .map(|r| {
                let mut fixed_row = [F::ZERO; fixed::WIDTH];
                fixed_row[engine::LIVE] = F::ONE;
                fixed_row[engine::STEP] = F::from_bool(r + 1 < rows);
                fixed_row[engine::WIDTH..]
                    .copy_from_slice(&fixed[r * chip_width..(r + 1) * chip_width]);
                let row: Row<'_, F, EF> = Row {
                    fixed: &fixed_row,
                    weight: &[],
                    main: &main.values[r * main::WIDTH..(r + 1) * main::WIDTH],
                    form: None,
                    projection: &[],
                    projection_next: &[],
                };
                (
                    weights.contribution(&row),
                    fold_step(&row, &factors, &weights),
                )
            })
            .collect();
        let mut columns = EF::zero_vec(height * projection::WIDTH);
        let mut link = EF::ZERO;
        let folds = run_fold(steps.iter().map(|s| s.1));
        for ((row, fold), (own, _)) in columns
            .chunks_exact_mut(projection::WIDTH)
            .zip(folds)
            .zip(&steps)
        {
            row[projection::LINK] = link;
            row[projection::FOLD] = fold;
            link = link * challenges.rho() + *own;
        }
        columns
    }
}
