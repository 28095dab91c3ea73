//! # Attest: the weights under a commitment keep the bound
//!
//! What a verifier must believe of a key is that its weights are integers with which no accumulator
//! wraps modulo p ((H2) in `docs/soundness.md`). The chips of this folder prove it: one, on the rows
//! of the weight commitment, takes every weight apart into a positive and a negative part; the other
//! adds the parts up, output by output, and compares with the layer's [limits](crate::graph::Requant::limits).
//!
//! A tensor's values lie in `[−A, B]`, `A, B ≥ 0`. Let `w = u − v` with *any* integers `u, v ≥ 0`,
//! and `U = Σ_k u`, `V = Σ_k v` over the `K` weights of an output with bias `b`. Then for all inputs
//!
//! ```text
//!   b − A·U − B·V  ≤  b + Σ_k w_k·x_k  ≤  b + B·U + A·V
//! ```
//!
//! and with `u = max(w, 0)`, `v = max(−w, 0)` either side is an accumulator some input has. So what is
//! proved, *lo ≤ left side and right side ≤ hi*, is what [`Model::validate`](crate::graph::Model::validate)
//! checks, and every model that passes can be attested. `[lo, hi]` is the part of the representable
//! accumulators that is within `M = p − 1 − max|V_rep|` of 0: hence `max|T| + max|V_rep| < p`.
//!
//! ## No wrap
//!
//! `p = 2 013 265 921`. All numbers but the cells are public: `K ≤ 2^22`; `A + B < 2^16`, because a
//! range has at most `2^16` values; `G = hi − lo ≤ p − 1`; `m = max(A, B)`; `C = ⌊G/m⌋`, no honest `U`
//! or `V` exceeds it.
//!
//! 1. *Sums.* `u = u_0 + 2^8·u_1` in bytes. `Σ_k u_0 ≤ 255·2^22 = 1 069 547 520 < p`, likewise `u_1`,
//!    `v_0`, `v_1`. The projection shows that the integer `S` in the limbs of a sum is congruent to the
//!    true sum; the true sum is the least residue, so `S` is at least the true sum. A larger `S` makes
//!    the proof harder only: `A, B ≥ 0`.
//! 2. *Bias.* `h` is an integer in limbs and the cell of the bias is congruent to `hi + half − h`. So
//!    the bias *is* `b = hi − h`: a cell has no other meaning than its residue.
//! 3. *Comparison.* With `U' = S_u0 + 2^8·S_u1`, `V'` alike, the right side needs the integer
//!    `E = h − B·U' − A·V' − s` to be 0 for a slack `s ≥ 0`. It is shown to be 0 modulo p and modulo
//!    `2^8`. Limbs have exactly the bits of the largest honest value: `h, s < 2p`; `S_0 < 2C`,
//!    `2^8·S_1 < 2C` (or are 0), so `B·U' + A·V' ≤ (A + B)·4C ≤ 8·m·C ≤ 8p`. So `|E| < 12p < 2^8·p`,
//!    and a multiple of both p and `2^8` of this size is 0. Where `m = 0` the products are 0.
//! 4. *Modulo 2^8* only the lowest limbs count: `h_0 − B·U_0 − A·V_0 − s_0 + 2^8·k = 0`, `k < 2^16`.
//!    In absolute value the left side is below `2^25 < p`: the identity is one of integers.
//! 5. The left side of the bound is the same with `G − h` for `h`, `A` and `B` exchanged.
//!
//! An honest `k` fits: `2^8·k ≤ 255·(A + B + 2)`, so `k ≤ 65 280`.
//!
//! ## Padding lanes
//!
//! The weights' side of the projection is a polynomial in ρ with exponents up to the lanes of a
//! row group, the sums' side has only those of outputs. So for a padding lane beyond all outputs the sums
//! over `k` of `u_0, u_1, v_0, v_1` are 0 as integers (1), each part is 0, every weight is 0; and so is the cell in
//! the biases' row. A padding lane of a group stands at an output of the groups before, and counts there: the
//! bound holds of what the key computes, which is then a denser kernel than the graph's.
//!
//! ## What is not said
//!
//! That weights fit 16 bits: `|w| < 2^16` is what is proved of one weight, and the bound above of
//! all together, which is what the meaning of a proof rests on.

mod sums;
mod weights;

use alloc::vec::Vec;

pub use self::sums::AttestSumsAir;
pub use self::weights::AttestWeightsAir;
use crate::graph::{Graph, Kernel, LayerWeights};

/// Bits of a full limb.
const LIMB_BITS: u32 = 8;
/// Limbs of a number that is below `2^32`.
const LIMBS: usize = 4;
/// Parts of a weight that are summed: `u_0, u_1, v_0, v_1`. Also the power of σ that biases have.
const PARTS: usize = 4;
/// Largest byte.
const BYTE: u64 = 255;
/// Most weights of an output.
const MAX_INPUTS: u64 = 1 << 22;
/// Largest `A + B`.
const MAX_SPAN: u64 = 1 << 16;

/// Where the weights of a term lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TermShape {
    /// Index of the term.
    term: usize,
    /// The first output that is written.
    first: usize,
    groups: usize,
    /// Weights of a group for each output: input channels × taps.
    inputs: usize,
    /// Outputs of a group.
    outputs: usize,
}

/// What must be proved of one layer, all of it public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerBound {
    /// Index of the layer.
    pub layer: usize,
    /// Output features.
    pub outputs: usize,
    /// The terms with learned weights.
    terms: Vec<TermShape>,
    /// `A`: the largest `−x`.
    below: u64,
    /// `B`: the largest `x`.
    above: u64,
    /// `hi + half`, what a bias cell is measured from.
    top: i64,
    /// `G = hi − lo`.
    gap: u64,
    /// Bits of the limbs of `h` and of slacks.
    gap_bits: [u8; LIMBS],
    /// Bits of the limbs of `S_u0` and `S_v0`, and of `S_u1` and `S_v1`.
    sum_bits: [[u8; LIMBS]; 2],
}

impl LayerBound {
    /// The bound of a layer of a validated graph; `None` if an input never is 0, or if no weights
    /// would keep it. `A` and `B` are the largest of all tensors that learned weights read; what other
    /// terms may add is taken off the limits.
    pub fn new(graph: &Graph, layer: usize, modulus: u64) -> Option<Self> {
        let requant = &graph.layers[layer].requant;
        let output = &graph.tensors[graph.layers[layer].output.index()];
        let (mut below, mut above) = (0, 0);
        let mut terms = Vec::new();
        for (t, term) in graph.layers[layer].terms.iter().enumerate() {
            if term.map.kernel != Kernel::Weights {
                continue;
            }
            let range = graph.tensors[term.input.index()].range;
            let repeats = u64::try_from(term.map.repeats()).ok()?;
            below = below.max(u64::try_from(-i64::from(range.lo)).ok()? * repeats);
            above = above.max(u64::try_from(range.hi).ok()? * repeats);
            terms.push(TermShape {
                term: t,
                first: term.map.first_output as usize,
                groups: term.map.groups as usize,
                inputs: term.map.inputs as usize * term.map.taps(),
                outputs: term.map.outputs as usize,
            });
        }
        if below + above > MAX_SPAN {
            return None;
        }
        let (least, most) = graph.layers[layer].fixed_bounds(graph);
        let (lo, hi) = requant.limits(modulus);
        // What the other terms may add saturates: then there is no bound.
        let (lo, hi) = (lo.checked_sub(least)?, hi.checked_sub(most)?);
        let gap = u64::try_from(hi.checked_sub(lo)?).ok()?;
        let inputs: usize = terms.iter().map(|t| t.inputs).sum();
        let longest = BYTE * u64::try_from(inputs).ok().filter(|&n| n <= MAX_INPUTS)?;
        let sum = |unit: u64| match below.max(above) {
            0 => longest,
            m => longest.min(gap / m / unit),
        };
        Some(Self {
            layer,
            outputs: output.features as usize,
            terms,
            below,
            above,
            top: hi + requant.half(),
            gap,
            gap_bits: limb_bits(gap),
            sum_bits: [sum(1), sum(1 << LIMB_BITS)].map(limb_bits),
        })
    }

    /// Calls `f` with every weight of output `j`.
    fn for_each_weight(&self, weights: &LayerWeights, j: usize, mut f: impl FnMut(i16)) {
        for shape in &self.terms {
            let Some(o) = j.checked_sub(shape.first) else {
                continue;
            };
            let group = o / shape.outputs;
            if group >= shape.groups {
                continue;
            }
            let size = shape.inputs * shape.outputs;
            let values = &weights.terms[shape.term][group * size..(group + 1) * size];
            let own = values.iter().skip(o % shape.outputs).step_by(shape.outputs);
            own.for_each(|&w| f(w));
        }
    }
}

/// Bits of each limb, lowest first, of a number up to `largest`, which is below `2^32`.
fn limb_bits(largest: u64) -> [u8; LIMBS] {
    let bits = u64::BITS - largest.leading_zeros();
    core::array::from_fn(|i| bits.saturating_sub(LIMB_BITS * i as u32).min(LIMB_BITS) as u8)
}

/// The lowest `N` limbs of a number; the top one takes what is left.
fn limbs<const N: usize>(value: u64) -> [u64; N] {
    core::array::from_fn(|i| {
        let shifted = value >> (LIMB_BITS as usize * i);
        if i + 1 == N { shifted } else { shifted & BYTE }
    })
}

/// Every limb width the sums of a graph look up.
pub fn limb_widths(bounds: &[LayerBound]) -> Vec<u8> {
    let widths = bounds.iter().flat_map(|b| {
        let [low, high] = b.sum_bits;
        [b.gap_bits, low, high].concat()
    });
    widths.chain([LIMB_BITS as u8, 0]).collect()
}
