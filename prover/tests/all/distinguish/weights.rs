//! Private weights: their columns are masked once, and opened in every proof under the key.
//!
//! A band of `(n + 2)(s + D) + 1` rows hides `n` proofs, keeps two openings for rekeying, and a row for
//! the leaves. What several proofs show of a column is linear in its mask cells, so that what they
//! tell together is a question of linear algebra.

use core::ops::Range;
use std::collections::HashSet;

use p3_field::{ExtensionField, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use verifier::Privacy;

use super::NOTHING;
use super::algebra::{D, evaluate, lagrange, solve};
use super::bench::{Bench, Of, Seen, model};
use super::guess::Guess;
use super::toy::{F, TOY};

/// Proofs the key is made for.
const ALLOWED: usize = 2;
/// Openings kept for the rekey proofs a key is born and dies by.
const SPARE: usize = 2;

/// Equations for the mask cells of a column, from the values of all columns at one point. The
/// cells' coefficients do not depend on the column: each, of each guess, is one right-hand side.
fn equations<K: ExtensionField<F>>(
    guesses: &[RowMajorMatrix<F>],
    band: Range<usize>,
    lagrange: &[K],
    shown: &[K],
) -> Vec<Vec<F>> {
    let rests = guesses.iter().flat_map(|guess| {
        let pairs = shown.iter().zip(evaluate(guess, lagrange));
        pairs
            .map(|(&shown, plain)| shown - plain)
            .collect::<Vec<K>>()
    });
    let row: Vec<K> = lagrange[band].iter().copied().chain(rests).collect();
    let limb = |l: usize| {
        let limbs = row.iter().map(|v| v.as_basis_coefficients_slice()[l]);
        limbs.collect()
    };
    (0..K::DIMENSION).map(limb).collect()
}

#[test]
fn weights_are_hidden_for_as_many_proofs_as_the_key_says() {
    let privacy = Privacy::DataAndWeights {
        proofs: ALLOWED as u32,
    };
    let bench = Bench::new(model(4), 0, privacy);
    let guess = Guess::new(&bench, &NOTHING);
    let mut tables = guess.layout.tables.iter().enumerate();
    let (t, table) = tables
        .find(|(_, table)| table.widths.weight > 0)
        .expect("every layout has one");
    let (live, h) = (table.live_rows(), table.log_height);
    let band = live..live + table.bands.expect("the table hides").uniform;

    let right = guess.setup.weight[t].clone();
    let right = right.expect("the table has weights");
    let mut wrong = right.clone();
    wrong.values[0] += F::ONE;
    let guesses = [right, wrong];

    let mut points = HashSet::new();
    // Points that were queried before would tell less.
    let mut is_new = |seen: &Seen| {
        let queries = seen.queries(h);
        let own: HashSet<F> = queries.iter().copied().collect();
        let is_new = own.len() == queries.len() && own.is_disjoint(&points);
        if is_new {
            points.extend(own);
        }
        is_new
    };
    let proofs = (0..).map(|seed| bench.prove(&NOTHING, None, seed));
    let proofs = proofs.filter(|seen| is_new(seen)).take(ALLOWED + SPARE + 1);
    let mut system = Vec::new();
    for (n, seen) in (1..).zip(proofs) {
        for (x, row) in seen.queries(h).into_iter().zip(seen.rows(Of::Weights, 0)) {
            system.extend(equations(&guesses, band.clone(), &lagrange(h, x), row));
        }
        let opened = &seen.opened(t).weight;
        system.extend(equations(
            &guesses,
            band.clone(),
            &lagrange(h, seen.zeta),
            opened,
        ));

        let solved = solve(system.clone(), band.len());
        let sides = solved.solvable.chunks_exact(table.widths.weight);
        let possible: Vec<bool> = sides.map(|columns| columns.iter().all(|&c| c)).collect();
        if n <= ALLOWED + SPARE {
            // Every number is uniform, whatever the weights.
            assert_eq!(solved.rank, n * (TOY.num_queries + D));
            assert_eq!(possible, [true, true], "{n} proofs");
        } else {
            assert_eq!(possible, [true, false], "{n} proofs");
        }
    }
}
