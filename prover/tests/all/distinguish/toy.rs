//! A protocol small enough for thousands of proofs: the default one with few queries, and a
//! transcript that tells what it drew.

use std::cell::RefCell;

use p3_challenger::{CanObserve, CanSample, CanSampleBits, FieldChallenger, GrindingChallenger};
use p3_matrix::dense::RowMajorMatrixCow;
use verifier::config::{Commitment, PcsProof, ProverData};
use verifier::{BabyBearKeccak, Profile, Protocol};

/// The protocol under test, in all but its parameters.
type Default = BabyBearKeccak<5>;
/// Base field.
pub type F = <Default as Protocol>::Val;
/// Extension field.
pub type EF = <Default as Protocol>::Challenge;

/// Few queries, blow-up 2. A query shows 15 values of the first folding layer, which is more than
/// the mask rows of the tables that are folded leave random.
pub const TOY: Profile = Profile {
    id: 200,
    name: "toy",
    summary: "for tests",
    log_blowup: 1,
    num_queries: 5,
    max_log_arity: 4,
    log_final_poly_len: 2,
    target_bits: 0,
    ..Profile::LATENCY
};

/// The default protocol at toy parameters.
#[derive(Clone, Debug)]
pub struct Toy;

impl Protocol for Toy {
    type Val = F;
    type Challenge = EF;
    type Pcs = <Default as Protocol>::Pcs;
    type Challenger = Recorder;

    const NAME: &'static str = "toy";
    const PROFILES: &'static [Profile] = &[TOY];

    fn pcs(profile: &Profile) -> Self::Pcs {
        Default::pcs(profile)
    }

    fn challenger() -> Recorder {
        DRAWN.with_borrow_mut(|drawn| *drawn = Drawn::default());
        Recorder(Default::challenger())
    }

    fn is_single_root(commitment: &Commitment<Self>) -> bool {
        Default::is_single_root(commitment)
    }

    fn has_single_roots(proof: &PcsProof<Self>) -> bool {
        Default::has_single_roots(proof)
    }

    fn evaluations<'a>(
        pcs: &'a Self::Pcs,
        data: &'a ProverData<Self>,
        index: usize,
        log_size: usize,
    ) -> RowMajorMatrixCow<'a, F> {
        Default::evaluations(pcs, data, index, log_size)
    }
}

/// Everything a transcript drew, in order.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// Base field elements.
    pub elements: Vec<F>,
    /// Numbers of some bits: the query positions.
    pub bits: Vec<usize>,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = RefCell::default();
}

/// What the last transcript begun on this thread has drawn.
pub fn drawn() -> Drawn {
    DRAWN.with_borrow(Clone::clone)
}

/// The default challenger; what it draws is written down.
#[derive(Clone)]
pub struct Recorder(<Default as Protocol>::Challenger);

impl<T> CanObserve<T> for Recorder
where
    <Default as Protocol>::Challenger: CanObserve<T>,
{
    fn observe(&mut self, value: T) {
        self.0.observe(value);
    }
}

impl CanSample<F> for Recorder {
    fn sample(&mut self) -> F {
        let value = self.0.sample();
        DRAWN.with_borrow_mut(|drawn| drawn.elements.push(value));
        value
    }
}

impl CanSampleBits<usize> for Recorder {
    fn sample_bits(&mut self, bits: usize) -> usize {
        let value = self.0.sample_bits(bits);
        DRAWN.with_borrow_mut(|drawn| drawn.bits.push(value));
        value
    }
}

impl FieldChallenger<F> for Recorder {}

impl GrindingChallenger for Recorder {
    type Witness = F;

    fn grind(&mut self, bits: usize) -> F {
        self.0.grind(bits)
    }
}
