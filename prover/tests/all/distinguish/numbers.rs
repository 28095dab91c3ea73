//! Statistics of proofs: every number of a proof by itself, over thousands of proofs.
//!
//! A *number* is a base field element of a proof, or what is left of it when the value predicted
//! from a guessed witness without masks is subtracted. Challenges differ from proof to proof, so a
//! leak is seldom visible in a number as it is; but without a mask the difference is 0 in every
//! proof of the guessed witness. With all masks every number is uniform, whatever the witness.
//!
//! Three tests, each with a false alarm probability of at most δ = 10⁻¹⁴ on one number:
//!
//! - *zero*: a uniform number is 0 in three or more of n proofs with probability below n³/6p³,
//!   which is far below δ for n up to 7000;
//! - *uniform*: the empirical distribution of n uniform numbers is nowhere further than
//!   `ε = √(ln(2/δ)/2n)` from the uniform one, but with probability δ (Dvoretzky, Kiefer, Wolfowitz;
//!   the constant is Massart's, Ann. Probab. 18, 1990);
//! - *two samples*: two such distributions are nowhere further than `2·√(ln(4/δ)/2n)` from each
//!   other, for the same reason, whatever the law they share.
//!
//! Distributions are compared at sixteenths of the field, of the number and of the number divided by
//! 16, whose sixteenths are the residues mod 16 to within 16/p. A distinguisher that guesses the
//! witness from such a comparison of one number is right with probability ½ + half the distance.

use p3_field::{Field, PrimeCharacteristicRing, PrimeField32, TwoAdicField};
use p3_matrix::dense::RowMajorMatrix;

use super::algebra::{evaluate, lagrange, limbs};
use super::bench::{Of, Seen};
use super::guess::Guess;
use super::toy::{EF, F};

/// `ln(1/δ)`.
const LN_DELTA: f64 = 32.2362;
/// Equal parts of the field.
const BUCKETS: usize = 16;

/// Where in a proof a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Terminal,
    /// Values at ζ.
    AtZeta(Of),
    /// Values at ω·ζ.
    AtNext(Of),
    /// Queried rows.
    Queried(Of),
    /// The mask of the batch, at ζ and in queried rows.
    BatchMask,
    /// Siblings in a folding layer.
    Layer(usize),
    FinalPolynomial,
}

/// A number of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub part: Part,
    pub table: usize,
    pub index: usize,
    /// Whether the guess is subtracted.
    pub less_guess: bool,
}

/// All numbers of a proof, in the same order for every proof of a key. The columns of the key are
/// public, so their values are left out.
struct Numbers(Vec<(Name, F)>);

impl Numbers {
    fn new(seen: &Seen, guess: &Guess) -> Self {
        let mut numbers = Self(Vec::new());
        let (proof, columns) = (&seen.file.proof, guess.columns(seen));
        // Matrices of a commitment are numbered among the tables that have one.
        let mut with_main = 0;
        for (t, (table, columns)) in guess.layout.tables.iter().zip(&columns).enumerate() {
            let guessed = limbs(&[columns.terminal]);
            numbers.both(Part::Terminal, t, &limbs(&proof.terminals[t..=t]), &guessed);
            let (h, opened) = (table.log_height, seen.opened(t));
            if table.committed.main > 0 {
                let lists = [&opened.main, &Vec::new()];
                numbers.columns(seen, Of::Main, [t, with_main], h, lists, &columns.main);
                with_main += 1;
            }
            let lists = [&opened.projection, &opened.projection_next];
            numbers.columns(seen, Of::Projection, [t, t], h, lists, &columns.projection);
            let lists = [&opened.lookup, &opened.lookup_next];
            numbers.columns(seen, Of::Lookup, [t, t], h, lists, &columns.lookup);
            numbers.plain(Part::AtZeta(Of::Quotient), t, &limbs(&opened.quotient));
            let rows: Vec<&[F]> = seen.rows(Of::Quotient, t).collect();
            numbers.plain(Part::Queried(Of::Quotient), t, &rows.concat());
        }
        numbers.plain(Part::BatchMask, 0, &limbs(&proof.mask));
        let rows: Vec<&[F]> = seen.rows(Of::Projection, columns.len()).collect();
        numbers.plain(Part::BatchMask, 1, &rows.concat());
        for (l, layer) in proof.pcs.commit_phase_openings.iter().enumerate() {
            numbers.plain(Part::Layer(l), 0, &limbs(&layer.sibling_values.concat()));
        }
        numbers.plain(Part::FinalPolynomial, 0, &limbs(&proof.pcs.final_poly));
        numbers
    }

    /// The numbers shown of a table's columns: at ζ and ω·ζ, and in the queried rows.
    fn columns(
        &mut self,
        seen: &Seen,
        of: Of,
        [table, matrix]: [usize; 2],
        log_height: usize,
        opened: [&Vec<EF>; 2],
        guess: &RowMajorMatrix<F>,
    ) {
        let next = seen.zeta * F::two_adic_generator(log_height);
        let parts = [Part::AtZeta(of), Part::AtNext(of)];
        for ((part, z), values) in parts.into_iter().zip([seen.zeta, next]).zip(opened) {
            if !values.is_empty() {
                let guessed = evaluate(guess, &lagrange(log_height, z));
                self.both(part, table, &limbs(values), &limbs(&guessed));
            }
        }
        let points = seen.queries(log_height).into_iter();
        let guessed: Vec<Vec<F>> = points
            .map(|x| evaluate(guess, &lagrange(log_height, x)))
            .collect();
        let rows: Vec<&[F]> = seen.rows(of, matrix).collect();
        self.both(Part::Queried(of), table, &rows.concat(), &guessed.concat());
    }

    fn both(&mut self, part: Part, table: usize, values: &[F], guess: &[F]) {
        self.plain(part, table, values);
        let pairs = values.iter().zip(guess);
        let rest: Vec<F> = pairs.map(|(&value, &guess)| value - guess).collect();
        self.push(part, table, true, &rest);
    }

    fn plain(&mut self, part: Part, table: usize, values: &[F]) {
        self.push(part, table, false, values);
    }

    fn push(&mut self, part: Part, table: usize, less_guess: bool, values: &[F]) {
        let named = values.iter().enumerate().map(|(index, &value)| {
            let name = Name {
                part,
                table,
                index,
                less_guess,
            };
            (name, value)
        });
        self.0.extend(named);
    }
}

/// What is counted of one number.
#[derive(Clone, Copy, Debug)]
struct Count {
    name: Name,
    zeros: u32,
    /// By sixteenths of the number, and of a 16th of it.
    buckets: [[u32; BUCKETS]; 2],
}

/// The numbers of many proofs.
#[derive(Debug)]
pub struct Sample {
    proofs: u32,
    counts: Vec<Count>,
}

impl Sample {
    /// The numbers of some proofs, looked at by somebody who guesses a witness.
    pub fn new(proofs: impl Iterator<Item = Seen>, guess: &Guess) -> Self {
        let mut sample = Self {
            proofs: 0,
            counts: Vec::new(),
        };
        let sixteenth = F::from_usize(BUCKETS).inverse();
        for seen in proofs {
            let Numbers(numbers) = Numbers::new(&seen, guess);
            sample.counts.resize_with(numbers.len(), || Count {
                name: numbers[0].0,
                zeros: 0,
                buckets: [[0; BUCKETS]; 2],
            });
            for (count, (name, value)) in sample.counts.iter_mut().zip(numbers) {
                count.name = name;
                count.zeros += u32::from(value.is_zero());
                for (buckets, v) in count.buckets.iter_mut().zip([value, value * sixteenth]) {
                    buckets[bucket(v)] += 1;
                }
            }
            sample.proofs += 1;
        }
        sample
    }

    /// Both samples together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.proofs += other.proofs;
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            assert_eq!(count.name, other.name);
            count.zeros += other.zeros;
            let buckets = count.buckets.as_flattened_mut().iter_mut();
            for (slot, &more) in buckets.zip(other.buckets.as_flattened()) {
                *slot += more;
            }
        }
        self
    }

    /// How many tests [`Self::not_uniform`] makes: zeros and two distributions of every number.
    pub fn tests(&self) -> usize {
        3 * self.counts.len()
    }

    /// How many tests [`Self::differs`] makes.
    pub fn comparisons(&self) -> usize {
        2 * self.counts.len()
    }

    /// Numbers that are 0 too often or far from uniform.
    pub fn not_uniform(&self) -> Vec<Name> {
        assert!(self.proofs <= 7000);
        let n = f64::from(self.proofs);
        let bound = ((LN_DELTA + 2f64.ln()) / (2.0 * n)).sqrt();
        let is = |count: &&Count| {
            let distance = |buckets: &[u32; BUCKETS]| {
                let expected = |i: usize| (i + 1) as f64 / BUCKETS as f64;
                let distances = shares(buckets, n).enumerate();
                distances
                    .map(|(i, share)| (share - expected(i)).abs())
                    .fold(0.0, f64::max)
            };
            count.zeros >= 3 || count.buckets.iter().any(|b| distance(b) > bound)
        };
        self.counts.iter().filter(is).map(|c| c.name).collect()
    }

    /// Numbers that are distributed otherwise than in another sample of the same size.
    pub fn differs(&self, other: &Self) -> Vec<Name> {
        assert_eq!(self.proofs, other.proofs);
        let n = f64::from(self.proofs);
        let bound = 2.0 * ((LN_DELTA + 4f64.ln()) / (2.0 * n)).sqrt();
        assert!(bound < 0.9, "too few proofs for any difference to show");
        let is = |(a, b): &(&Count, &Count)| {
            let distance = |a: &[u32; BUCKETS], b: &[u32; BUCKETS]| {
                let pairs = shares(a, n).zip(shares(b, n));
                pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
            };
            let pairs = a.buckets.iter().zip(&b.buckets);
            pairs.into_iter().any(|(a, b)| distance(a, b) > bound)
        };
        let pairs = self.counts.iter().zip(&other.counts);
        pairs.filter(is).map(|(a, _)| a.name).collect()
    }

    /// Numbers that decide between two witnesses in every proof: 0 here, never 0 there.
    pub fn decides(&self, other: &Self) -> Vec<Name> {
        let pairs = self.counts.iter().zip(&other.counts);
        pairs
            .filter(|(a, b)| a.zeros == self.proofs && b.zeros == 0)
            .map(|(a, _)| a.name)
            .collect()
    }
}

/// Which part of the field a value is in.
fn bucket(value: F) -> usize {
    let scaled = u64::from(value.as_canonical_u32()) * BUCKETS as u64;
    (scaled / u64::from(F::ORDER_U32)) as usize
}

/// The share of values up to the end of each part.
fn shares(buckets: &[u32; BUCKETS], n: f64) -> impl Iterator<Item = f64> {
    buckets.iter().scan(0, move |sum, &count| {
        *sum += count;
        Some(f64::from(*sum) / n)
    })
}
