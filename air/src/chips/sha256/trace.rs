//! Traces of the SHA-256 chip, from the words of the reference's own rounds.

use alloc::vec;
use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::columns::{CHAIN_GROUPS, GROUPS_PER_BLOCK, fixed, main, position, projection};
use super::hash::{
    INITIAL_STATE, ROUND_CONSTANTS, Rounds, SALT_BYTES, blocks, choose, message, num_blocks,
};
use super::link::{BIG_0, BIG_1, Rotations, SMALL_0, SMALL_1, contribution, element};
use super::{Sha256Air, fold_step};
use crate::builder::{Challenges, Row, engine};
use crate::chips::hashed::run_fold;
use crate::chips::signed;

impl Rotations {
    fn pair_of(self, x: u32) -> u32 {
        x.rotate_right(self.pair[0] as u32) ^ x.rotate_right(self.pair[1] as u32)
    }

    fn of(self, x: u32) -> u32 {
        let third = self.third as u32;
        let third = if self.shifts {
            x >> third
        } else {
            x.rotate_right(third)
        };
        self.pair_of(x) ^ third
    }
}

/// The words of one group.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    w: u32,
    e: u32,
    a: u32,
}

/// What is filled into a row.
#[derive(Clone, Copy, Debug, Default)]
struct Cells {
    x: u32,
    y: u32,
    z: u32,
    /// Bits of `z` that are −1 instead of 1.
    z_negative: u32,
    carries: [u32; 2],
}

impl Sha256Air {
    /// Number of 64-byte blocks.
    pub const fn num_blocks(&self) -> usize {
        num_blocks(self.message_bytes())
    }

    /// Bytes of the message: salt and elements.
    pub(super) const fn message_bytes(&self) -> usize {
        self.tensor.salted as usize * SALT_BYTES + self.tensor.len() * self.width.bytes
    }

    /// Groups of all blocks, and the four that hold the digest.
    const fn num_groups(&self) -> usize {
        self.num_blocks() * GROUPS_PER_BLOCK + CHAIN_GROUPS
    }

    pub(super) const fn num_rows(&self) -> usize {
        self.num_groups() * position::COUNT
    }

    /// Row of element `i`.
    const fn element_row(&self, i: usize) -> usize {
        let byte = self.message_bytes() - (self.tensor.len() - i) * self.width.bytes;
        let (word, slot) = (byte / 4, byte % 4 / self.width.bytes);
        let group = word / 16 * GROUPS_PER_BLOCK + CHAIN_GROUPS + word % 16;
        group * position::COUNT + slot
    }

    /// The chip's own fixed columns.
    pub(super) fn fixed_columns<F: Field>(&self) -> Vec<F> {
        let width = fixed::WIDTH - engine::WIDTH;
        let mut values = F::zero_vec(self.num_rows() * width);
        let mut set = |row: usize, column: usize, value: F| {
            values[row * width + column - engine::WIDTH] = value;
        };
        let bytes = self.message_bytes();
        let padding = blocks(&vec![0; bytes]);
        let groups = self.num_groups();
        let end = self.num_blocks() * GROUPS_PER_BLOCK;
        for group in 0..groups {
            let row = group * position::COUNT;
            let (w, e, a, m) = (
                row + position::W,
                row + position::E,
                row + position::A,
                row + position::M,
            );
            set(w, fixed::IS_W, F::ONE);
            set(e, fixed::IS_E, F::ONE);
            set(a, fixed::IS_A, F::ONE);
            set(m, fixed::IS_M, F::ONE);
            let history = F::from_bool(group + 2 < groups);
            set(e, fixed::E_HISTORY, history);
            set(a, fixed::A_HISTORY, history);
            if group >= end {
                set(e, fixed::DIGEST, F::ONE);
                set(a, fixed::DIGEST, F::ONE);
                continue;
            }
            let block = group / GROUPS_PER_BLOCK;
            // The round, counted from −4.
            let t = (group % GROUPS_PER_BLOCK) as isize - CHAIN_GROUPS as isize;
            let mut flag = |row: usize, column: usize, rounds: core::ops::RangeInclusive<isize>| {
                set(row, column, F::from_bool(rounds.contains(&t)));
            };
            flag(w, fixed::W_SECOND, 14..=61);
            flag(w, fixed::W_SEVENTH, 9..=56);
            flag(w, fixed::W_FIFTEENTH, 1..=48);
            flag(w, fixed::W_SIXTEENTH, 0..=47);
            flag(e, fixed::E_NOW, 0..=63);
            flag(e, fixed::E_FIRST, -1..=62);
            flag(e, fixed::E_THIRD, -3..=60);
            flag(e, fixed::E_FOURTH, -4..=63);
            flag(a, fixed::A_FIRST, -1..=62);
            flag(a, fixed::A_FOURTH, -4..=59);
            flag(a, fixed::A_FEED, 60..=63);
            flag(m, fixed::M_FIRST, -1..=62);
            flag(e, fixed::CHAIN, -4..=-1);
            flag(a, fixed::CHAIN, -4..=-1);
            let mut constant = |row: usize, word: u32| {
                set(row, fixed::K_LO, F::from_u32(word & 0xffff));
                set(row, fixed::K_HI, F::from_u32(word >> 16));
            };
            match usize::try_from(t) {
                Err(_) if block == 0 => {
                    constant(e, INITIAL_STATE[7 - group]);
                    constant(a, INITIAL_STATE[3 - group]);
                }
                Err(_) => {}
                Ok(t) => {
                    constant(e, ROUND_CONSTANTS[t]);
                    let first_byte = 64 * block + 4 * t;
                    if t < 16 && first_byte >= bytes {
                        constant(w, padding[block][t]);
                    } else if t < 16 {
                        set(w, fixed::FREE, F::ONE);
                        set(w, fixed::TAIL, F::from_bool(bytes < first_byte + 4));
                    }
                }
            }
        }
        for i in 0..self.tensor.len() {
            let column = if self.tensor.continues(i) {
                fixed::SAME
            } else {
                fixed::NEXT
            };
            set(self.element_row(i), column, F::ONE);
        }
        set(end * position::COUNT - 1, fixed::FINISH, F::ONE);
        set(end * position::COUNT, fixed::TAKEN, F::ONE);
        values
    }

    /// The main trace, padded to `height` rows. Values outside the tensor's range are cut to its
    /// width; a trace with such a value has no proof.
    pub fn generate_main<F: Field>(
        &self,
        values: &[i32],
        salt: Option<&[u8; SALT_BYTES]>,
        height: usize,
    ) -> RowMajorMatrix<F> {
        self.generate_main_of(&blocks(&message(values, self.width, salt)), height)
    }

    /// The main trace of any blocks, whether or not they are the padded message of a tensor.
    pub fn generate_main_of<F: Field>(
        &self,
        blocks: &[[u32; 16]],
        height: usize,
    ) -> RowMajorMatrix<F> {
        let groups = groups_of(blocks);
        let mut values = F::zero_vec(height * main::WIDTH);
        let stride = position::COUNT * main::WIDTH;
        values
            .par_chunks_exact_mut(stride)
            .zip(0..groups.len())
            .for_each(|(rows, i)| {
                for (row, cells) in rows
                    .chunks_exact_mut(main::WIDTH)
                    .zip(group_cells(&groups, i))
                {
                    fill(row, &cells);
                }
                let (word, rest) = rows.split_at_mut(main::WIDTH);
                let x = &word[main::X..main::X + 32];
                let slots: [F; 4] = core::array::from_fn(|slot| {
                    if slot < self.width.per_word() {
                        element(x, self.width, slot)
                    } else {
                        F::ZERO
                    }
                });
                word[main::ELEMENT] = slots[0];
                for (row, slot) in rest.chunks_exact_mut(main::WIDTH).zip(&slots[1..]) {
                    row[main::ELEMENT] = *slot;
                }
            });
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
                let link = contribution(&row, self.width, challenges);
                (link, fold_step(&row, &factors, challenges))
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

/// The words of every group, the digest's included.
fn groups_of(blocks: &[[u32; 16]]) -> Vec<Group> {
    let mut groups = Vec::with_capacity(blocks.len() * GROUPS_PER_BLOCK + CHAIN_GROUPS);
    let mut state = INITIAL_STATE;
    for block in blocks {
        let rounds = Rounds::new(state, block);
        groups.extend((0..GROUPS_PER_BLOCK).map(|i| Group {
            w: i.checked_sub(CHAIN_GROUPS).map_or(0, |t| rounds.w[t]),
            e: rounds.e[i],
            a: rounds.a[i],
        }));
        state = rounds.next_state();
    }
    groups.extend((0..CHAIN_GROUPS).map(|i| Group {
        w: 0,
        e: state[7 - i],
        a: state[3 - i],
    }));
    groups
}

/// The four rows of group `i`.
fn group_cells(groups: &[Group], i: usize) -> [Cells; position::COUNT] {
    let none = Group::default();
    let before = |n: usize| i.checked_sub(n).map_or(none, |j| groups[j]);
    // The last groups but two hand their bits on.
    let history = |n: usize| {
        if i + 2 < groups.len() + n {
            before(n)
        } else {
            none
        }
    };
    let group = groups[i];
    let (one, two) = (history(1), history(2));
    // The round, counted from −4; the digest's groups count as a block's first.
    let t = (i % GROUPS_PER_BLOCK) as isize - CHAIN_GROUPS as isize;
    let block = i / GROUPS_PER_BLOCK;
    let zero_minus = |v: u32| -> [i64; 2] { halves(v).map(|h| -h) };

    let (mut w, mut e, mut a) = ([[0; 2]; 4], [[0; 2]; 6], [[0; 2]; 4]);
    if t >= 16 {
        w = [
            halves(SMALL_1.of(before(2).w)),
            halves(before(7).w),
            halves(SMALL_0.of(before(15).w)),
            halves(before(16).w),
        ];
    }
    if t >= 0 {
        let [f1, f2, f3, f4] = [1, 2, 3, 4].map(before);
        e = [
            halves(f4.a),
            halves(f4.e),
            halves(BIG_1.of(f1.e)),
            halves(choose(f1.e, f2.e, f3.e)),
            halves(ROUND_CONSTANTS[t as usize]),
            halves(group.w),
        ];
        a = [
            halves(group.e),
            zero_minus(f4.a),
            halves(BIG_0.of(f1.a)),
            halves((f1.a & f2.a) ^ (f1.a & f3.a) ^ (f2.a & f3.a)),
        ];
    } else if block > 0 {
        let [last, first] = [4, GROUPS_PER_BLOCK].map(before);
        (e[0], e[1]) = (halves(last.e), halves(first.e));
        (a[0], a[1]) = (halves(last.a), halves(first.a));
    }
    [
        Cells {
            x: group.w,
            y: SMALL_0.pair_of(group.w),
            z: SMALL_1.pair_of(group.w),
            carries: carries(&w, 0),
            ..Cells::default()
        },
        Cells {
            x: group.e,
            y: BIG_1.pair_of(group.e),
            z: one.e ^ two.e,
            z_negative: !one.e & two.e,
            carries: carries(&e, 0),
        },
        Cells {
            x: group.a,
            y: BIG_0.pair_of(group.a),
            carries: carries(&a, 1),
            ..Cells::default()
        },
        Cells {
            x: (group.a & one.a) | (group.a & two.a) | (one.a & two.a),
            y: group.a ^ one.a ^ two.a,
            ..Cells::default()
        },
    ]
}

fn halves(v: u32) -> [i64; 2] {
    [i64::from(v & 0xffff), i64::from(v >> 16)]
}

/// The carries out of both halves of a sum, plus `offset`.
fn carries(addends: &[[i64; 2]], offset: i64) -> [u32; 2] {
    let sum = |half: usize| addends.iter().map(|a| a[half]).sum::<i64>();
    let lo = sum(0) >> 16;
    let hi = (sum(1) + lo) >> 16;
    [lo, hi].map(|c| (c + offset) as u32)
}

fn fill<F: Field>(row: &mut [F], cells: &Cells) {
    let bit = |v: u32, i: usize| F::from_bool(v >> i & 1 == 1);
    for i in 0..32 {
        row[main::X + i] = bit(cells.x, i);
        row[main::Y + i] = bit(cells.y, i);
        let negative = cells.z_negative >> i & 1 == 1;
        row[main::Z + i] = signed(i64::from(cells.z >> i & 1) * if negative { -1 } else { 1 });
    }
    for i in 0..main::CARRY_BITS {
        row[main::CARRY_LO + i] = bit(cells.carries[0], i);
        row[main::CARRY_HI + i] = bit(cells.carries[1], i);
    }
}

/// The fixed columns have as many rows as the chip says.
const _: () = assert!(GROUPS_PER_BLOCK == CHAIN_GROUPS + 64);
