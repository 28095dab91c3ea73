//! Witnesses that fit the same statement, proofs of them, and what a verifier sees of a proof.

use air::builder::Drawn as Projection;
use air::graph::{Evaluation, Model};
use air::statement::{Policy, Visibility};
use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField};
use p3_util::reverse_bits_len;
use prover::{Adversary, Mask, Prover, Seed};
use verifier::{Prepared, Privacy, ProofFile, TableOpenings, verify};

use super::algebra::D;
use super::toy::{Drawn, EF, F, TOY, Toy, drawn};
use crate::common::{Spec, input, mlp};

/// A perceptron on numbers of some bits: of four, all tables are of the smallest height; of eight,
/// the table of functions is much taller than the others.
pub fn model(bits: u32) -> Model {
    mlp(&Spec {
        widths: &[8, 4, 1],
        bits,
        shift: 5,
        weight_max: 4,
        ..Spec::default()
    })
}

/// A model that is set up, and an evaluation of it.
pub struct Bench {
    pub prover: Prover<Toy>,
    pub evaluation: Evaluation,
}

impl Bench {
    /// A model on a random input.
    pub fn new(model: Model, seed: u64, privacy: Privacy) -> Self {
        let x = input(&model, seed);
        let prover = Prover::new(model, &TOY, privacy).expect("the model sets up");
        let evaluation = prover.evaluate(&x).expect("the model evaluates");
        Self { prover, evaluation }
    }

    pub fn key(&self) -> &Prepared<Toy> {
        self.prover.verifying_key()
    }

    /// A proof with masks from a seed of this number, as its verifier sees it.
    pub fn prove(&self, policy: &Policy, leaves_out: Option<Mask>, number: usize) -> Seen {
        let mut seed = Seed::default();
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut masks = Masks { seed, leaves_out };
        let file = self
            .prover
            .prove_as(&self.evaluation, policy, &mut masks)
            .expect("the prover proves");
        Seen::new(self.key(), file)
    }
}

/// A prover that is honest but for a mask it leaves out. Seeds are fixed, so that every run of the
/// tests looks at the same proofs.
struct Masks {
    seed: Seed,
    leaves_out: Option<Mask>,
}

impl Adversary<Toy> for Masks {
    fn seed(&self) -> Option<Seed> {
        Some(self.seed)
    }

    fn leaves_out(&self) -> Option<Mask> {
        self.leaves_out
    }
}

/// Two inputs of one model, under one key. They have the same output exactly if that is shown.
pub fn two_inputs(bits: u32, policy: &Policy) -> [Bench; 2] {
    let a = Bench::new(model(bits), 0, Privacy::Data);
    let [hidden, output] = [1, 2].map(|t: usize| a.evaluation.tensors[t].clone());
    let shown = policy.outputs == Visibility::Public;
    let other = (1..).find(|&seed| {
        let x = input(a.prover.model(), seed);
        let b = a.prover.evaluate(&x).expect("the model evaluates");
        b.tensors[1] != hidden && (b.tensors[2] == output) == shown
    });
    let b = Bench::new(model(bits), other.expect("there is one"), Privacy::Data);
    assert_eq!(a.key().digest, b.key().digest);
    [a, b]
}

/// The commitments, in the order in which they are opened. Nobody looks at F, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Weights = 1,
    Main,
    Projection,
    Lookup,
    Quotient,
}

/// The commitments of a proof; the other two are the key's.
pub const OF_PROOF: [Of; 4] = [Of::Main, Of::Projection, Of::Lookup, Of::Quotient];

/// A proof and what was drawn while it was verified.
pub struct Seen {
    pub file: ProofFile<Toy>,
    pub projection: Projection<EF>,
    pub alpha: EF,
    pub beta: EF,
    pub lambda: EF,
    pub zeta: EF,
    /// The challenge that batches openings.
    pub batch: EF,
    /// Query positions in the tallest low-degree extension.
    pub positions: Vec<usize>,
    log_size: usize,
}

impl Seen {
    fn new(key: &Prepared<Toy>, file: ProofFile<Toy>) -> Self {
        verify(key, &file.statement, &file.proof).expect("it verifies");
        let Drawn { elements, bits } = drawn();
        let layout = key.proof_layout(&file.statement);
        let (layout, _) = layout.expect("it verifies");
        let mut challenges = elements.chunks_exact(D).map(|limbs| {
            EF::from_basis_coefficients_slice(limbs).expect("there are as many as needed")
        });
        let mut next = || challenges.next().expect("a proof has more challenges");
        let [width, rho, height, depth, alpha, beta, lambda, zeta, batch] =
            core::array::from_fn(|_| next());
        Self {
            file,
            projection: Projection {
                rho,
                sigma: [depth, height, width],
            },
            alpha,
            beta,
            lambda,
            zeta,
            batch,
            positions: bits,
            log_size: layout.max_log_height() + TOY.log_blowup,
        }
    }

    /// A position as the power of the generator that it holds: rows are stored bit-reversed.
    pub fn exponent(&self, log_height: usize, position: usize) -> usize {
        let log_size = log_height + TOY.log_blowup;
        reverse_bits_len(position >> (self.log_size - log_size), log_size)
    }

    /// The point at a position of the extension of a table with this height.
    pub fn point(&self, log_height: usize, position: usize) -> F {
        let generator = F::two_adic_generator(log_height + TOY.log_blowup);
        F::GENERATOR * generator.exp_u64(self.exponent(log_height, position) as u64)
    }

    /// The points a table of this height is queried at.
    pub fn queries(&self, log_height: usize) -> Vec<F> {
        let positions = self.positions.iter();
        positions.map(|&p| self.point(log_height, p)).collect()
    }

    /// A table's opened values.
    pub fn opened(&self, table: usize) -> &TableOpenings<EF> {
        &self.file.proof.opened[table]
    }

    /// The queried rows of a matrix of a commitment.
    pub fn rows(&self, of: Of, matrix: usize) -> impl Iterator<Item = &[F]> {
        let opening = &self.file.proof.pcs.input_openings[of as usize];
        let queries = opening.opened_values.iter();
        queries.map(move |matrices| matrices[matrix].as_slice())
    }
}

/// Runs `f` on every number below `n`, on two threads; the results are in order.
///
/// Not on a thread pool: a worker that waits for one proof would begin another, and what their
/// transcripts drew would be mixed up.
pub fn repeat<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let half = n.div_ceil(2);
    std::thread::scope(|scope| {
        let threads = [0..half, half..n].map(|numbers| {
            let f = &f;
            scope.spawn(move || numbers.map(f).collect::<Vec<T>>())
        });
        let results = threads.map(|t| t.join().expect("no panic"));
        results.into_iter().flatten().collect()
    })
}
