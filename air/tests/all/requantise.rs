//! # The requantisation gadget has one output per accumulator
//!
//! First over toy fields, where *all* witnesses can be enumerated; then the same statement on the
//! real chip. If this failed, a prover could choose between two activations of one accumulator.

use crate::common::{MODULUS, Witness, identity, scalar};
use air::graph::{Evaluation, GraphError, Range, Requantised, evaluate};
use proptest::prelude::*;

/// A gadget over the integers modulo `p`: `acc = (q + side·e)·2^s + rem`.
#[derive(Clone, Copy, Debug)]
struct Toy {
    p: i64,
    /// Domain `[lo, hi]`, excess bits, shift.
    lo: i64,
    hi: i64,
    m: u32,
    s: u32,
}

impl Toy {
    /// For every residue, the set of `q` (as a bit mask over the domain) some witness gives it.
    fn outputs(self) -> Vec<u64> {
        let mut outputs = vec![0u64; self.p as usize];
        for q in self.lo..=self.hi {
            for side in [-1, 0, 1] {
                // The table's rule: sides belong to the ends.
                let allowed = match side {
                    0 => true,
                    1 => q == self.hi,
                    _ => q == self.lo,
                };
                if !allowed {
                    continue;
                }
                for e in 0..1 << self.m {
                    for rem in 0..1 << self.s {
                        let acc = (q + side * e) * (1 << self.s) + rem;
                        outputs[acc.rem_euclid(self.p) as usize] |= 1 << (q - self.lo);
                    }
                }
            }
        }
        outputs
    }

    fn span(self) -> i64 {
        (self.hi - self.lo + 1 + 2 * ((1 << self.m) - 1)) << self.s
    }

    /// What the reference gives for an integer accumulator.
    fn reference(self, acc: i64) -> i64 {
        (acc >> self.s).clamp(self.lo, self.hi)
    }
}

/// Every gadget with these extents.
fn toys() -> impl Iterator<Item = Toy> {
    let extents = |p| {
        (1..=12).flat_map(move |len| {
            [-7i64, -1, 0, 3].into_iter().flat_map(move |lo| {
                (0..5).flat_map(move |m| {
                    (0..6).map(move |s| Toy {
                        p,
                        lo,
                        hi: lo + len - 1,
                        m,
                        s,
                    })
                })
            })
        })
    };
    [97, 193].into_iter().flat_map(extents)
}

#[test]
fn accepts_exactly_one_output_within_the_bound() {
    let mut at_the_limit = 0;
    for toy in toys().filter(|t| t.span() <= t.p) {
        at_the_limit += usize::from(toy.span() + (1 << toy.s) > toy.p);
        let outputs = toy.outputs();
        assert!(outputs.iter().all(|o| o.count_ones() <= 1), "{toy:?}");
        // And it is the reference's, for every representable accumulator.
        let excess = (1 << toy.m) - 1;
        let first = (toy.lo - excess) << toy.s;
        for acc in first..first + toy.span() {
            let mask = outputs[acc.rem_euclid(toy.p) as usize];
            assert_eq!(mask, 1 << (toy.reference(acc) - toy.lo), "{toy:?} {acc}");
        }
        let reached = outputs.iter().filter(|&&o| o != 0).count();
        assert_eq!(reached as i64, toy.span(), "{toy:?}");
    }
    assert!(at_the_limit > 5, "some gadgets must sit at the limit");
}

#[test]
fn rejects_nothing_less_than_the_bound() {
    // The bound is tight: past it, two outputs fit one residue, for every gadget that has two.
    let mut just_past = 0;
    for toy in toys().filter(|t| t.span() > t.p && t.hi > t.lo) {
        just_past += usize::from(toy.span() - (1 << toy.s) <= toy.p);
        let ambiguous = toy.outputs().iter().any(|o| o.count_ones() > 1);
        assert!(ambiguous, "{toy:?}");
    }
    assert!(just_past > 5, "some gadgets must sit just past the limit");
}

#[test]
fn rejects_remainders_scaled_into_one_range() {
    // Why the width of a remainder is part of its message: with `rem·2^(S−s)` in a shared range
    // instead, fractions modulo p pass, and residues get a second output.
    let (p, s, shared) = (97i64, 2u32, 4u32);
    let mut outputs = vec![0u64; p as usize];
    for q in 0..8 {
        for rem in 0..p {
            if (rem << (shared - s)).rem_euclid(p) < 1 << shared {
                outputs[((q << s) + rem).rem_euclid(p) as usize] |= 1 << q;
            }
        }
    }
    assert!(outputs.iter().any(|o| o.count_ones() > 1));
}

/// Proves (in the debugger) that `acc` may be decomposed like this.
fn accepted(model: &air::graph::Model, x: i32, cell: Requantised) -> bool {
    let evaluation = Evaluation {
        tensors: vec![vec![x], vec![cell.out]],
        layers: vec![vec![cell]],
    };
    Witness::new(model, &evaluation).check().is_empty()
}

#[test]
fn rejects_a_graph_whose_table_is_too_wide_for_its_shift() {
    // Two outputs at a shift of 30 span 2^31 > p. The real chip then accepts two decompositions of
    // one accumulator — which is why such a graph is no graph.
    let model = scalar(
        Range::signed(4),
        1,
        0,
        &identity(30, 0, Range { lo: 0, hi: 1 }),
    );
    let x = 5;
    let v = (1i64 << 29) + 5;
    let decomposition = |v: i64| Requantised {
        q: (v >> 30) as i32,
        excess: 0,
        rem: (v & ((1 << 30) - 1)) as u32,
        out: (v >> 30) as i32,
    };
    let honest = decomposition(v);
    let alias = decomposition(v + MODULUS as i64);
    // v + p needs q = 2: beyond this table; take the accumulator that wraps inside it.
    assert_eq!((honest.q, alias.q), (0, 2));
    let model_low = scalar(
        Range::signed(4),
        1,
        -(1 << 29),
        &identity(30, 0, Range { lo: 0, hi: 1 }),
    );
    let (honest, alias) = (decomposition(5), decomposition(5 + MODULUS as i64));
    assert_eq!((honest.q, alias.q), (0, 1));
    assert!(accepted(&model_low, x, honest));
    assert!(accepted(&model_low, x, alias), "the counterexample is real");
    for model in [model, model_low] {
        let error = model.graph.validate(MODULUS).expect_err("two outputs");
        assert_eq!(
            error,
            GraphError::NotUnique {
                layer: 0,
                span: 1 << 31,
                modulus: MODULUS
            }
        );
    }
}

#[test]
fn rejects_spans_above_the_modulus_and_no_others() {
    // p = 15·2^27 + 1: at a shift of 27 a domain of 15 values spans p − 1.
    let graph = |shift, excess, len: i32| {
        let domain = Range {
            lo: -3,
            hi: len - 4,
        };
        scalar(Range::signed(4), 1, 0, &identity(shift, excess, domain)).graph
    };
    let span = |g: &air::graph::Graph| g.layers[0].requant.span();
    let (at, past) = (graph(27, 0, 15), graph(27, 0, 16));
    assert_eq!((span(&at), span(&past)), (15 << 27, 16 << 27));
    assert_eq!(at.validate(MODULUS), Ok(()));
    assert!(matches!(
        past.validate(MODULUS),
        Err(GraphError::NotUnique { span, .. }) if span == 16 << 27
    ));
    // With an excess of one bit on each side, 13 + 2 fit, 14 + 2 do not.
    assert_eq!(graph(27, 1, 13).validate(MODULUS), Ok(()));
    assert!(matches!(
        graph(27, 1, 14).validate(MODULUS),
        Err(GraphError::NotUnique { .. })
    ));
    // The bound is on the span itself: a field that is one element smaller is too small.
    assert_eq!(at.validate(15 << 27), Ok(()));
    assert!(matches!(
        at.validate((15 << 27) - 1),
        Err(GraphError::NotUnique { .. })
    ));
    // The largest parameters that parse do not overflow on the way to being refused.
    assert!(matches!(
        graph(30, 30, 1 << 16).validate(MODULUS),
        Err(GraphError::NotUnique { .. })
    ));
    for (shift, excess) in [(31, 0), (0, 31), (255, 255)] {
        assert_eq!(
            graph(shift, excess, 4).validate(MODULUS),
            Err(GraphError::Requant { layer: 0 })
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The reference's decomposition satisfies the real chip, for any parameters and accumulator;
    /// and its neighbours do not.
    #[test]
    fn matches_reference_decompositions(
        shift in 0u8..16,
        excess_bits in 0u8..12,
        lo in -300i32..300,
        len in 2i32..300,
        x in -128i32..=127,
        w in -100i16..=100,
        bias in -20_000i32..20_000,
    ) {
        let requant = identity(shift, excess_bits, Range { lo, hi: lo + len - 1 });
        let model = scalar(Range::signed(8), w, bias, &requant);
        prop_assume!(model.graph.validate(MODULUS).is_ok());
        let acc = i64::from(w) * i64::from(x) + i64::from(bias);
        match requant.apply(acc) {
            None => {
                let (first, last) = requant.representable();
                prop_assert!(acc < first || acc > last);
                prop_assert!(evaluate(&model, &[vec![x]]).is_err());
            }
            Some(cell) => {
                let value = ((i64::from(cell.q) + i64::from(cell.excess)) << shift)
                    + i64::from(cell.rem) - requant.half();
                prop_assert_eq!(value, acc);
                let evaluation = evaluate(&model, &[vec![x]]).expect("it is representable");
                prop_assert_eq!(evaluation.layers[0][0], cell);
                prop_assert!(accepted(&model, x, cell));
                // A neighbouring output with everything else as it was.
                let q = if cell.q == requant.activation.domain.hi { cell.q - 1 } else { cell.q + 1 };
                let other = Requantised { q, excess: 0, out: q, ..cell };
                prop_assert!(!accepted(&model, x, other));
            }
        }
    }
}
