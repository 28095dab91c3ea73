//! # What proofs reveal
//!
//! Experiments to go with the argument of `docs/zero-knowledge.md`, at toy size: a perceptron of two
//! layers, two witnesses, five queries. The distinguisher knows both witnesses and all that a
//! verifier sees, and says whose proof it is.
//!
//! - [`numbers`]: statistics of every number of thousands of proofs, and of its difference from
//!   what one of the witnesses predicts.
//! - [`equations`]: which witnesses are possible at all, by linear algebra, for all that a proof
//!   shows of one table together. No statistics: every answer is certain.
//! - [`weights`]: the same for private weights over several proofs.
//! - Proofs of one witness share nothing.
//!
//! Each must find nothing in proofs with all masks. A test that finds nothing may be blind, so the
//! first two are repeated on proofs that leave out one [`Mask`], for every mask, and must tell the
//! witnesses apart exactly where [`seen_by`] says so. Seeds of proofs are fixed, so that every run
//! sees the same ones.

mod algebra;
mod bench;
mod equations;
mod guess;
mod numbers;
mod toy;
mod weights;

use std::collections::HashSet;

use air::statement::{Policy, Visibility};
use algebra::D;
use bench::{OF_PROOF, Seen, repeat, two_inputs};
use equations::Equations;
use guess::Guess;
use numbers::Sample;
use p3_field::PrimeField32;
use prover::Mask;
use toy::F;

/// Only the output is shown: it is the same for both witnesses.
const OUTPUT: Policy = Policy::new(Visibility::Private, Visibility::Public);
/// Nothing is shown: not even outputs are the same.
const NOTHING: Policy = Policy::new(Visibility::Private, Visibility::Private);

/// Nothing is shown but that inputs are in their range, which adds tables of the statement.
fn bounds() -> Policy {
    let input = &bench::model(4).graph.tensors[0];
    Policy {
        bounds: vec![Some(vec![input.range; input.features as usize])],
        ..NOTHING
    }
}

/// Proofs of each witness whose numbers are counted.
const PROOFS: usize = 2000;
/// The same for proofs without a mask.
const MASKLESS_PROOFS: usize = 150;
/// Proofs of each witness whose equations are solved.
const SOLVED: usize = 4;
/// The same for proofs without a mask.
const MASKLESS_SOLVED: usize = 2;
/// Proofs that must share nothing.
const REPEATED: usize = 1000;

/// Which experiments tell two witnesses apart without a mask.
struct SeenBy {
    numbers: bool,
    equations: bool,
}

/// Bits of a model whose table of functions is so tall that the first folding layer is about nothing
/// else.
const TALL: u32 = 12;
/// Bits of a model whose table has one message a row, hence no fractions: the masks of M, P and L leave
/// less open than the quotient's chunks show.
const NARROW: u32 = 5;

/// By experiment, what a mask is needed for.
const fn seen_by(mask: Mask) -> SeenBy {
    let (numbers, equations) = match mask {
        Mask::Main | Mask::Projection | Mask::Terminals => (true, true),
        Mask::Fractions | Mask::Sums => (true, true),
        // A chunk, or a folding layer, depends on so much randomness that it looks random by
        // itself. Taken together such numbers are too many: the chunks of a narrow table, the layer of
        // a tall one.
        Mask::Quotient | Mask::Batch => (false, true),
    };
    SeenBy { numbers, equations }
}

/// All masks. One that is added does not compile until it has its place here.
fn masks() -> impl Iterator<Item = Mask> {
    let next = |mask: &Mask| match mask {
        Mask::Main => Some(Mask::Projection),
        Mask::Projection => Some(Mask::Terminals),
        Mask::Terminals => Some(Mask::Fractions),
        Mask::Fractions => Some(Mask::Sums),
        Mask::Sums => Some(Mask::Quotient),
        Mask::Quotient => Some(Mask::Batch),
        Mask::Batch => None,
    };
    std::iter::successors(Some(Mask::Main), next)
}

/// Proofs of each witness, looked at by somebody who guesses the first.
fn samples(policy: &Policy, left_out: Option<Mask>, proofs: usize) -> [Sample; 2] {
    let benches = two_inputs(4, policy);
    let guess = Guess::new(&benches[0], policy);
    [0, 1].map(|witness| {
        let threads = 2;
        let samples = repeat(threads, |thread| {
            let numbers = (thread..proofs).step_by(threads);
            let seeds = numbers.map(|i| witness * proofs + i);
            Sample::new(
                seeds.map(|seed| benches[witness].prove(policy, left_out, seed)),
                &guess,
            )
        });
        let joined = samples.into_iter().reduce(Sample::and);
        joined.expect("there are threads")
    })
}

fn numbers_are_uniform(policy: &Policy) {
    let [a, b] = samples(policy, None, PROOFS);
    // Times δ = 1e-14: for two statements, false alarms have probability below 2e-9.
    assert!(a.tests() + b.tests() + a.comparisons() <= 60_000);
    assert_eq!(a.not_uniform(), []);
    assert_eq!(b.not_uniform(), []);
    assert_eq!(a.differs(&b), []);
}

#[test]
fn numbers_are_uniform_whatever_the_input() {
    numbers_are_uniform(&OUTPUT);
}

#[test]
fn numbers_are_uniform_whatever_input_and_output() {
    numbers_are_uniform(&bounds());
}

#[test]
fn numbers_betray_the_input_without_a_mask() {
    for mask in masks() {
        let [a, b] = samples(&OUTPUT, Some(mask), MASKLESS_PROOFS);
        let expected = seen_by(mask).numbers;
        assert!(!expected || !a.not_uniform().is_empty(), "{mask:?}");
        assert_eq!(!a.differs(&b).is_empty(), expected, "{mask:?}");
        // Not only on average: from each single proof.
        assert_eq!(!a.decides(&b).is_empty(), expected, "{mask:?}");
    }
}

/// For proofs of each witness: which witnesses they may be of, and how many of the numbers shown
/// follow from the others.
fn possible(bits: u32, left_out: Option<Mask>, proofs: usize) -> [Vec<(Vec<bool>, usize)>; 2] {
    let benches = two_inputs(bits, &OUTPUT);
    let guesses = benches.each_ref().map(|b| Guess::new(b, &OUTPUT));
    [0, 1].map(|witness| {
        repeat(proofs, |i| {
            // The next seed that gives queries far enough from each other.
            let seeds = (0..).map(|attempt| attempt * proofs + i);
            let mut proofs = seeds.map(|seed| benches[witness].prove(&OUTPUT, left_out, seed));
            let spread = proofs.find(|seen| Equations::new(seen, &guesses[0]).is_spread());
            let seen = spread.expect("most are");
            let equations = Equations::new(&seen, &guesses[0]);
            let solved = equations.solve(&guesses, left_out);
            (solved.solvable, equations.count() - solved.rank)
        })
    })
}

#[test]
fn equations_leave_every_input_possible() {
    for proofs in [TALL, NARROW].map(|bits| possible(bits, None, SOLVED)) {
        for (possible, dependent) in proofs.concat() {
            assert_eq!(possible, [true, true]);
            // One equation in the extension field must hold whatever the witness: the constraints
            // at ζ. It holds at the conjugates of ζ as well, where base columns opened at ζ are
            // known. All other numbers are uniform, jointly.
            assert_eq!(dependent, D * D);
        }
    }
}

#[test]
fn equations_betray_the_input_without_a_mask() {
    for mask in masks() {
        let told = seen_by(mask).equations;
        let bits = if mask == Mask::Quotient { NARROW } else { TALL };
        let [a, b] = possible(bits, Some(mask), MASKLESS_SOLVED);
        assert!(a.iter().all(|(p, _)| *p == [true, !told]), "{mask:?} {a:?}");
        assert!(b.iter().all(|(p, _)| *p == [!told, true]), "{mask:?} {b:?}");
    }
}

/// Everything a proof shows, except what its key, the statement and the query positions determine:
/// columns F and W, at ζ and in queried rows, and digests of their trees. Rows and extension
/// elements are taken whole: single base elements coincide by chance.
fn shown(seen: &Seen) -> HashSet<Vec<u64>> {
    let proof = &seen.file.proof;
    let opened = proof.opened.iter().flat_map(|t| {
        let here = [&t.main, &t.projection, &t.lookup, &t.quotient];
        let next = [&t.projection_next, &t.lookup_next];
        here.into_iter().chain(next).flatten()
    });
    let layers = &proof.pcs.commit_phase_openings;
    let siblings = layers
        .iter()
        .flat_map(|layer| layer.sibling_values.iter().flatten());
    let elements = proof.terminals.iter().chain(opened).chain(&proof.mask);
    let elements = elements.chain(siblings).chain(&proof.pcs.final_poly);

    let inputs = OF_PROOF.map(|of| &proof.pcs.input_openings[of as usize]);
    let rows = inputs
        .iter()
        .flat_map(|input| input.opened_values.iter().flatten());
    let paths = inputs
        .iter()
        .map(|input| &input.opening_proof.sibling_hashes);
    let paths = paths.chain(
        layers
            .iter()
            .map(|layer| &layer.opening_proof.sibling_hashes),
    );

    let numbers = |values: &[F]| values.iter().map(|v| v.as_canonical_u32().into()).collect();
    let elements = elements.map(|&value| numbers(&algebra::limbs(&[value])));
    let rows = rows.map(|row| numbers(row));
    let digests = paths.flatten().map(|digest| digest.to_vec());
    elements.chain(rows).chain(digests).collect()
}

/// How much of what some proofs show has been shown by one before.
fn shared(proofs: &[HashSet<Vec<u64>>]) -> usize {
    let all: HashSet<&Vec<u64>> = proofs.iter().flatten().collect();
    proofs.iter().map(HashSet::len).sum::<usize>() - all.len()
}

#[test]
fn proofs_of_one_witness_share_nothing() {
    let bench = &two_inputs(4, &NOTHING)[0];
    let prove = |seed| shown(&bench.prove(&NOTHING, None, seed));
    let proofs = repeat(REPEATED, prove);
    assert_eq!(shared(&proofs), 0);
    // Proofs with one seed share all.
    let [a, b] = [prove(0), prove(0)];
    assert_eq!(shared(&[a.clone(), b]), a.len());
    // Without its mask M is the same in every proof. No other mask can be missed like this: all
    // that follows M depends on challenges.
    let plain = repeat(20, |seed| {
        shown(&bench.prove(&NOTHING, Some(Mask::Main), seed))
    });
    assert!(shared(&plain) > 0);
}
