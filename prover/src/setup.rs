//! Setup: from a model to a prover that is ready to prove.

use std::sync::atomic::AtomicU32;

use air::builder::{Challenges, Drawn};
use air::chips::{Air, MAX_DEGREE};
use air::graph::{EvalError, Evaluation, Model, ModelError, evaluate};
use air::layout::Layout;
use air::witness::SetupTraces;
use p3_challenger::FieldChallenger;
use p3_commit::Pcs;
use p3_dft::Radix2DitParallel;
use p3_field::{BasedVectorSpace, PrimeField32};
use p3_matrix::dense::RowMajorMatrix;
use tracing::info_span;
use verifier::config::{Commitment, ProverData};
use verifier::{KeyError, Prepared, Privacy, Profile, Protocol, VerifyingKey};

use crate::masks::{NoRandomness, Seed, fresh_seed, mask_weights};

/// A model with everything that does not depend on an input.
pub struct Prover<P: Protocol> {
    pub(crate) model: Model,
    pub(crate) prepared: Prepared<P>,
    pub(crate) pcs: P::Pcs,
    pub(crate) dft: Radix2DitParallel<P::Val>,
    pub(crate) weight: Vec<Option<RowMajorMatrix<P::Val>>>,
    pub(crate) fixed: Vec<RowMajorMatrix<P::Val>>,
    pub(crate) fixed_data: ProverData<P>,
    pub(crate) weight_data: ProverData<P>,
    /// The seed of the mask of private weights.
    pub(crate) seed: Option<Seed>,
    /// Proofs made with private weights, those before loading included.
    pub(crate) spent: AtomicU32,
    /// Whether the key was replaced by another.
    pub(crate) replaced: bool,
}

impl<P: Protocol> core::fmt::Debug for Prover<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prover").finish_non_exhaustive()
    }
}

/// Why a model cannot be set up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The model is unsound.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The verifying key made from it would be refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A chip's constraints are of too high a degree for the quotient: a bug.
    #[error("the {chip} chip has constraints of degree {degree}, more than {MAX_DEGREE}")]
    Degree {
        /// The chip.
        chip: &'static str,
        /// Its degree.
        degree: usize,
    },
    /// There is no randomness for the mask of private weights.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The commitment scheme failed.
    #[error("committing failed: {0}")]
    Commit(String),
}

impl<P: Protocol> Prover<P> {
    /// Lays out the tables of a model and commits to its fixed and weight columns. Private weights
    /// are committed to with a fresh mask.
    pub fn new(model: Model, profile: &Profile, privacy: Privacy) -> Result<Self, SetupError> {
        let seed = match privacy {
            Privacy::None | Privacy::Data => None,
            Privacy::DataAndWeights { .. } => Some(fresh_seed()?),
        };
        Self::with_seed(model, profile, privacy, seed)
    }

    /// The same with the mask of an earlier setup.
    pub(crate) fn with_seed(
        model: Model,
        profile: &Profile,
        privacy: Privacy,
        seed: Option<Seed>,
    ) -> Result<Self, SetupError> {
        model.validate(u64::from(P::Val::ORDER_U32))?;
        Self::of_sound(model, profile, privacy, seed)
    }

    /// The same for a model that is known to be sound.
    pub(crate) fn of_sound(
        model: Model,
        profile: &Profile,
        privacy: Privacy,
        seed: Option<Seed>,
    ) -> Result<Self, SetupError> {
        let _span = info_span!("setup").entered();
        // The checks a verifier makes come first: they also bound what is allocated below.
        let layout = verifier::key::layout_of::<P>(&model.graph, profile, privacy)?;
        check_degrees::<P>(&layout)?;
        let mut traces = info_span!("setup traces")
            .in_scope(|| SetupTraces::<P::Val>::generate(&layout, &model));
        if let Some(seed) = seed {
            mask_weights(&layout, &mut traces.weight, seed);
        }
        let pcs = P::pcs(profile);
        let (fixed, fixed_data) = info_span!("commit fixed columns")
            .in_scope(|| commit::<P>(&pcs, traces.fixed.iter().cloned()))?;
        let (weights, weight_data) = info_span!("commit weights")
            .in_scope(|| commit::<P>(&pcs, traces.weight.iter().flatten().cloned()))?;
        let key = VerifyingKey::<P> {
            profile: profile.id,
            privacy,
            graph: model.graph.clone(),
            fixed,
            weights,
        };
        let prepared = key.prepare()?;
        Ok(Self {
            model,
            prepared,
            pcs,
            dft: Radix2DitParallel::default(),
            weight: traces.weight,
            fixed: traces.fixed,
            fixed_data,
            weight_data,
            seed,
            spent: AtomicU32::new(0),
            replaced: false,
        })
    }

    /// The verifying key, checked.
    pub const fn verifying_key(&self) -> &Prepared<P> {
        &self.prepared
    }

    /// The model.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Runs the model: the first half of proving.
    pub fn evaluate(&self, inputs: &[Vec<i32>]) -> Result<Evaluation, EvalError> {
        info_span!("evaluate").in_scope(|| evaluate(&self.model, inputs))
    }

    /// Base cells committed by one proof, the quotient not counted.
    pub fn committed_cells(&self) -> usize {
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        self.prepared.layout.committed_cells(degree)
    }
}

/// Measures the degree of every table. A constraint of higher degree would have no quotient of the
/// committed size, and the commitment scheme would notice only by making wrong proofs.
fn check_degrees<P: Protocol>(layout: &Layout) -> Result<(), SetupError> {
    let mut challenger = P::challenger();
    let mut draw = || -> P::Challenge { challenger.sample_algebra_element() };
    // Degrees do not depend on what is shown, but more is more.
    let receivers = vec![1; layout.tensors()];
    let drawn = Drawn {
        rho: draw(),
        sigma: [draw(), draw(), draw()],
    };
    let challenges =
        Challenges::projection(drawn, layout.power_counts(), receivers).with_lookup(draw(), draw());
    for table in &layout.tables {
        let degree = air::debug::degree(table, &challenges, draw());
        if degree > MAX_DEGREE {
            let chip = table.chip.name();
            return Err(SetupError::Degree { chip, degree });
        }
    }
    Ok(())
}

/// Commits to matrices over their natural domains.
pub(crate) fn commit<P: Protocol>(
    pcs: &P::Pcs,
    matrices: impl IntoIterator<Item = RowMajorMatrix<P::Val>>,
) -> Result<(Commitment<P>, ProverData<P>), SetupError> {
    use p3_matrix::Matrix;
    let evaluations = matrices.into_iter().map(|m| {
        let domain = <P::Pcs as Pcs<P::Challenge, P::Challenger>>::natural_domain_for_degree(
            pcs,
            m.height(),
        );
        (domain, m)
    });
    <P::Pcs as Pcs<P::Challenge, P::Challenger>>::commit(pcs, evaluations)
        .map_err(|e| SetupError::Commit(format!("{e:?}")))
}
