//! Poseidon2 itself, the sponge over a tensor, and the claim on a digest.

use alloc::vec::Vec;

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use super::columns::position;
use super::constants::{DIAGONAL, EXTERNAL, INTERNAL};
use super::{INTERNAL_ROUNDS, RATE, WIDTH};
use crate::chips::hashed::HashError;
use crate::chips::{signed, small};
use crate::graph::Range;

/// The tag in the initial state: the ASCII letters `prvn`.
pub const DOMAIN: u32 = u32::from_be_bytes(*b"prvn");

/// The digest of a tensor.
pub fn digest<F: Field>(
    values: &[i32],
    range: Range,
    salt: Option<&[F; RATE]>,
) -> Result<[F; RATE], HashError> {
    let outside = |&v: &i32| !range.contains(i64::from(v));
    if let Some(element) = values.iter().position(outside) {
        return Err(HashError::Range { element });
    }
    let initial = initial_state(values.len(), salt.is_some());
    Ok(hash_blocks(initial, &blocks(values, salt)))
}

/// The state before the first block: zeros in the rate; domain tag, number of elements and whether
/// there is a salt in the capacity.
pub fn initial_state<F: Field>(elements: usize, salted: bool) -> [F; WIDTH] {
    let mut state = [F::ZERO; WIDTH];
    state[RATE] = F::from_u32(DOMAIN);
    state[RATE + 1] = small(elements);
    state[RATE + 2] = F::from_bool(salted);
    state
}

/// What is absorbed: the salt, then the elements, eight at a time, the last block filled up with
/// zeros; one block of zeros if there is nothing at all.
pub fn blocks<F: Field>(values: &[i32], salt: Option<&[F; RATE]>) -> Vec<[F; RATE]> {
    let mut blocks: Vec<[F; RATE]> = salt.into_iter().copied().collect();
    blocks.extend(values.chunks(RATE).map(|chunk| {
        core::array::from_fn(|i| chunk.get(i).map_or(F::ZERO, |&v| signed(i64::from(v))))
    }));
    if blocks.is_empty() {
        blocks.push([F::ZERO; RATE]);
    }
    blocks
}

/// Number of blocks of a tensor.
pub(super) const fn num_blocks(elements: usize, salted: bool) -> usize {
    let blocks = elements.div_ceil(RATE) + salted as usize;
    if blocks == 0 { 1 } else { blocks }
}

/// Adds each block to the rate and permutes; the digest is the rate in the end.
pub fn hash_blocks<F: Field>(mut state: [F; WIDTH], blocks: &[[F; RATE]]) -> [F; RATE] {
    for block in blocks {
        absorb(&mut state, block);
        state = Rounds::new(state).output;
    }
    core::array::from_fn(|i| state[i])
}

pub(super) fn absorb<F: Field>(state: &mut [F; WIDTH], block: &[F; RATE]) {
    for (lane, &m) in state.iter_mut().zip(block) {
        *lane += m;
    }
}

/// One permutation, all S-box inputs kept.
#[derive(Clone, Debug)]
pub(super) struct Rounds<F> {
    /// For each row of a permutation what enters its S-boxes; unused lanes are 0.
    pub inputs: [[F; WIDTH]; position::COUNT],
    /// The permutation's result.
    pub output: [F; WIDTH],
}

impl<F: Field> Rounds<F> {
    pub fn new(mut state: [F; WIDTH]) -> Self {
        let mut inputs = [[F::ZERO; WIDTH]; position::COUNT];
        external(&mut state);
        for (row, slot) in inputs.iter_mut().enumerate() {
            if row == position::INTERNAL {
                for (x, &constant) in slot.iter_mut().zip(&INTERNAL) {
                    *x = state[0] + F::from_u32(constant);
                    state[0] = x.exp_const_u64::<7>();
                    internal::<F, F>(&mut state);
                }
                continue;
            }
            let constants = &EXTERNAL[row - usize::from(row > position::INTERNAL)];
            for ((lane, x), &constant) in state.iter_mut().zip(slot).zip(constants) {
                *x = *lane + F::from_u32(constant);
                *lane = x.exp_const_u64::<7>();
            }
            external(&mut state);
        }
        Self {
            inputs,
            output: state,
        }
    }
}

/// The permutation.
pub fn permute<F: Field>(state: [F; WIDTH]) -> [F; WIDTH] {
    Rounds::new(state).output
}

/// Multiplies by the external matrix `M`, with `M_4 = circ(2, 3, 1, 1)` inside.
pub(super) fn external<R: PrimeCharacteristicRing + Copy>(state: &mut [R; WIDTH]) {
    outer(state, |[a, b, c, d], sum| {
        [
            sum + a + b.double(),
            sum + b + c.double(),
            sum + c + d.double(),
            sum + d + a.double(),
        ]
    });
}

/// Multiplies by the transpose of the external matrix.
pub(super) fn external_transposed<R: PrimeCharacteristicRing + Copy>(state: &mut [R; WIDTH]) {
    outer(state, |[a, b, c, d], sum| {
        [
            sum + a + d.double(),
            sum + b + a.double(),
            sum + c + b.double(),
            sum + d + c.double(),
        ]
    });
}

/// `circ(2·m, m, m, m)` on four chunks of four; `m` is also told the sum of its chunk.
fn outer<R: PrimeCharacteristicRing + Copy>(
    state: &mut [R; WIDTH],
    m: impl Fn([R; 4], R) -> [R; 4],
) {
    let (chunks, _) = state.as_chunks_mut::<4>();
    let mut sums = [R::ZERO; 4];
    for chunk in chunks.iter_mut() {
        let sum = chunk[0] + chunk[1] + chunk[2] + chunk[3];
        *chunk = m(*chunk, sum);
        for (total, &v) in sums.iter_mut().zip(chunk.iter()) {
            *total += v;
        }
    }
    for chunk in chunks {
        for (v, &total) in chunk.iter_mut().zip(&sums) {
            *v += total;
        }
    }
}

/// Multiplies by the internal matrix, all ones plus a diagonal. It is its own transpose.
pub(super) fn internal<F: Field, R: Algebra<F> + Copy>(state: &mut [R; WIDTH]) {
    let sum: R = state.iter().copied().sum();
    for (lane, &factor) in state.iter_mut().zip(&DIAGONAL) {
        *lane = sum + *lane * F::from_u32(factor);
    }
}

/// What the claim on a digest carries: `Σ_i σ^i·d_i`.
pub fn digest_value<F: Field, EF: Algebra<F> + Copy>(digest: &[F; RATE], sigma: EF) -> EF {
    let horner = |value: EF, &d: &F| value * sigma + d;
    digest.iter().rev().fold(EF::ZERO, horner)
}

const _: () = assert!(INTERNAL_ROUNDS <= WIDTH);
