//! # Proving, phase by phase
//!
//! The order of phases is the verifier's transcript ([`verifier::transcript`]); everything here
//! fills in what is committed between two draws.

use air::builder::Challenges;
use air::graph::Evaluation;
use air::layout::{Layout, Table};
use air::statement::{Policy, Statement, StatementError};
use air::witness::{generate_main, generate_projection};
use p3_commit::{OpenedValues, OpeningRequest, Pcs, UnivariateStarkPcs};
use p3_dft::TwoAdicSubgroupDft;
use p3_field::{BasedVectorSpace, Field, PrimeField32, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::bitrev::BitReversibleMatrix;
use p3_matrix::dense::{RowMajorMatrix, RowMajorMatrixCow};
use p3_maybe_rayon::prelude::*;
use tracing::info_span;
use verifier::config::{PcsProof, ProverData};
use verifier::proof::statement_digest;
use verifier::transcript::{Pow, Transcript};
use verifier::{KeyError, Opened, Proof, ProofFile, Protocol, TableOpenings};

use crate::adversary::{Adversary, Honest};
use crate::lookup::{self, Traces};
use crate::masks::{Masks, NoRandomness, fresh_seed};
use crate::quotient::{self, Columns, Folding};
use crate::setup::{Prover, SetupError, commit};

/// Why no proof could be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The key's proofs hide nothing, so everything must be shown.
    #[error("this key is not zero-knowledge: input and output must be public")]
    NotHiding,
    /// The statement that is asked for is false, or nothing that can be said of these tensors.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// What is to be said of a hidden tensor takes more than this implementation goes.
    #[error(transparent)]
    Tables(#[from] KeyError),
    /// The bound that an attestation proves is wider than the model needs, and its weights break it.
    #[error(
        "layer `{layer}` cannot be attested: its inputs have different ranges, and the widest of them \
         would overflow"
    )]
    NotAttestable {
        /// The layer.
        layer: String,
    },
    /// As many proofs were made as the mask of private weights covers.
    #[error("all {proofs} proofs this key is good for have been made")]
    BudgetSpent {
        /// How many that is.
        proofs: u32,
    },
    /// There is no randomness for masks.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The key was replaced by another, which proves in its place.
    #[error("this key was replaced by another")]
    Replaced,
    /// There is no mask to renew: the key's weights are public.
    #[error("the weights of this key are public: it needs no successor")]
    PublicWeights,
    /// Committing to traces failed, or setting up a new key.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The commitment scheme failed.
    #[error("committing failed: {0}")]
    Commit(String),
    /// The opening proof failed.
    #[error("opening failed: {0}")]
    Open(String),
}

/// Opened values of all tables, the mask's value, and the opening proof.
type Openings<P> = (Opened<P>, Vec<<P as Protocol>::Challenge>, PcsProof<P>);
/// The main matrices, by table.
pub(crate) type Main<P> = Vec<Option<RowMajorMatrix<<P as Protocol>::Val>>>;

impl<P: Protocol> Prover<P> {
    /// Proves the statement an evaluation makes true, showing what the policy says.
    ///
    /// With private weights, refuses when the budget is spent. The count is this prover's own: a key
    /// that is kept in a file needs a [`Ledger`](crate::Ledger) as well.
    pub fn prove(
        &self,
        evaluation: &Evaluation,
        policy: &Policy,
    ) -> Result<ProofFile<P>, ProveError> {
        if policy.hides() && !self.prepared.layout.is_hiding() {
            return Err(ProveError::NotHiding);
        }
        if self.replaced {
            return Err(ProveError::Replaced);
        }
        // Nothing is counted for a statement that cannot be proved.
        let statement = self.statement(evaluation, policy)?;
        self.prepared.proof_layout(&statement)?;
        if !self.count_proof() {
            let proofs = self.budget().map_or(0, |b| b.proofs);
            return Err(ProveError::BudgetSpent { proofs });
        }
        self.prove_as(evaluation, policy, &mut Honest)
    }

    /// The statement [`Self::prove`] would prove, if it can be made at all.
    pub fn statement(
        &self,
        evaluation: &Evaluation,
        policy: &Policy,
    ) -> Result<Statement, StatementError> {
        let graph = &self.model.graph;
        let statement = Statement::of::<P::Val>(graph, evaluation, policy)?;
        statement.check(graph, u64::from(P::Val::ORDER_U32))?;
        Ok(statement)
    }

    /// Proves as an adversary would: the traces pass through its hands, nothing checks or counts
    /// them.
    pub fn prove_as(
        &self,
        evaluation: &Evaluation,
        policy: &Policy,
        adversary: &mut dyn Adversary<P>,
    ) -> Result<ProofFile<P>, ProveError> {
        let _span = info_span!("prove").entered();
        let graph = &self.model.graph;
        let mut statement = self.statement(evaluation, policy)?;
        adversary.statement(&mut statement);
        let (layout, _) = self.prepared.proof_layout(&statement)?;
        let mut masks = match layout.is_hiding() {
            true => {
                let seed = adversary.seed().map_or_else(fresh_seed, Ok)?;
                Some(Masks::new(seed, adversary.leaves_out()))
            }
            false => None,
        };
        let mut main: Main<P> = info_span!("main traces")
            .in_scope(|| generate_main(&layout, &self.model, evaluation, &policy.salts(graph)));
        if let Some(masks) = &mut masks {
            masks.main(&layout, &mut main);
        }
        adversary.main(&mut main, &mut statement);
        let (profile, key) = (&self.prepared.profile, &self.prepared.digest);
        let transcript = adversary.transcript(profile, key, &statement_digest(&statement));
        let run = Run::new(self, layout, &self.fixed, &self.weight);
        let receivers = statement.receivers(graph);
        let proof = run.prove(transcript, receivers, main, masks, adversary)?;
        Ok(ProofFile {
            key: self.prepared.digest,
            statement,
            proof,
        })
    }
}

/// One proof in the making: the prover, and the tables of this statement or attestation.
pub(crate) struct Run<'a, P: Protocol> {
    prover: &'a Prover<P>,
    layout: Layout,
    /// The fixed traces of the tables of the key, which come first.
    key_fixed: &'a [RowMajorMatrix<P::Val>],
    /// The fixed traces of the other tables.
    fixed: Vec<RowMajorMatrix<P::Val>>,
    /// The weight matrices, by table; there are none behind the last entry.
    weight: &'a [Option<RowMajorMatrix<P::Val>>],
}

impl<'a, P: Protocol> Run<'a, P> {
    /// A run over the tables of the key that `key_fixed` has the fixed traces of, and others.
    pub(crate) fn new(
        prover: &'a Prover<P>,
        layout: Layout,
        key_fixed: &'a [RowMajorMatrix<P::Val>],
        weight: &'a [Option<RowMajorMatrix<P::Val>>],
    ) -> Self {
        let added = layout.tables.iter().filter(|t| t.is_outside_key());
        let fixed: Vec<_> = added.map(Table::generate_fixed).collect();
        Self {
            prover,
            layout,
            key_fixed,
            fixed,
            weight,
        }
    }

    /// The fixed trace of table `i`.
    fn fixed(&self, i: usize) -> &RowMajorMatrix<P::Val> {
        (self.key_fixed.get(i)).unwrap_or_else(|| &self.fixed[i - self.key_fixed.len()])
    }

    /// The weight matrix of table `i`.
    fn weight(&self, i: usize) -> Option<&RowMajorMatrix<P::Val>> {
        self.weight.get(i)?.as_ref()
    }

    /// Proves, with a transcript that has begun.
    pub(crate) fn prove(
        &self,
        mut transcript: Transcript<P>,
        receivers: Vec<u32>,
        main: Main<P>,
        mut masks: Option<Masks>,
        adversary: &mut dyn Adversary<P>,
    ) -> Result<Proof<P>, ProveError> {
        let (prover, layout) = (self.prover, &self.layout);
        let profile = &prover.prepared.profile;
        let wrong_pow = |_| ProveError::Open("grinding failed".into());

        // M → σ, ρ, τ
        let (main_commit, main_data) = info_span!("commit main")
            .in_scope(|| commit::<P>(&prover.pcs, main.iter().flatten().cloned()))?;
        let drawn = transcript.main(&main_commit);

        // P → α, β
        let challenges = Challenges::projection(drawn, layout.power_counts(), receivers);
        let mut projection = info_span!("projection columns")
            .in_scope(|| generate_projection(layout, self.weight, &main, &challenges));
        if let Some(masks) = &mut masks {
            masks.projection(layout, &mut projection);
        }
        adversary.projection(&mut projection, drawn);
        let batch_mask =
            (masks.as_mut()).map(|m| info_span!("batch mask").in_scope(|| self.batch_mask(m)));
        let (projection_commit, projection_data) =
            info_span!("commit projection").in_scope(|| {
                let columns = projection.iter().flatten();
                let matrices = self.base_columns(columns, |t| t.committed.projection);
                commit::<P>(&prover.pcs, matrices.chain(batch_mask))
            })?;
        let (lookup_pow, [alpha, beta]) = transcript
            .projection(&projection_commit, profile, Pow::Find)
            .map_err(wrong_pow)?;

        // L, terminals → λ
        let challenges = challenges.with_lookup(alpha, beta);
        let (mut lookup, mut terminals) = info_span!("lookup columns")
            .in_scope(|| self.lookup_columns(&main, &projection, &challenges));
        if let Some(masks) = &mut masks {
            masks.lookup(layout, &projection, &mut lookup, &mut terminals);
        }
        adversary.lookup(&mut lookup, &mut terminals);
        let (lookup_commit, lookup_data) = info_span!("commit lookup").in_scope(|| {
            let matrices = self.base_columns(lookup.iter(), |t| t.committed.lookup);
            commit::<P>(&prover.pcs, matrices)
        })?;
        let lambda = transcript.lookup(&lookup_commit, &terminals);

        // Q → ζ
        let data = [
            &prover.fixed_data,
            &prover.weight_data,
            &main_data,
            &projection_data,
            &lookup_data,
        ];
        let quotients = info_span!("quotient")
            .in_scope(|| self.quotients(data, &challenges, &terminals, lambda, masks.as_mut()));
        let (quotient_commit, quotient_data) = info_span!("commit quotient").in_scope(|| {
            <P::Pcs as UnivariateStarkPcs<P::Challenge, P::Challenger>>::commit_ldes(
                &prover.pcs,
                quotients,
            )
            .map_err(|e| ProveError::Commit(format!("{e:?}")))
        })?;
        let (ood_pow, zeta) = transcript
            .quotient(&quotient_commit, profile, Pow::Find)
            .map_err(wrong_pow)?;

        // FRI
        let [fixed, weight, main_d, projection_d, lookup_d] = data;
        let rounds = [
            fixed,
            weight,
            main_d,
            projection_d,
            lookup_d,
            &quotient_data,
        ];
        let (opened, mask, pcs) =
            info_span!("open").in_scope(|| self.open(rounds, zeta, &mut transcript.challenger))?;
        Ok(Proof {
            main: main_commit,
            projection: projection_commit,
            lookup: lookup_commit,
            quotient: quotient_commit,
            terminals,
            lookup_pow,
            ood_pow,
            opened,
            mask,
            pcs,
        })
    }

    /// Extension columns as base columns, a matrix for each table that has any.
    fn base_columns<'c>(
        &'c self,
        columns: impl Iterator<Item = &'c Vec<P::Challenge>>,
        width: impl Fn(&Table) -> usize + Copy + 'c,
    ) -> impl Iterator<Item = RowMajorMatrix<P::Val>> {
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        let tables = self.layout.tables.iter().filter(move |t| width(t) > 0);
        columns.zip(tables).map(move |(column, table)| {
            let base = P::Challenge::flatten_to_base(column.clone());
            RowMajorMatrix::new(base, width(table) * degree)
        })
    }

    fn lookup_columns(
        &self,
        main: &Main<P>,
        projection: &[Option<Vec<P::Challenge>>],
        challenges: &Challenges<P::Challenge>,
    ) -> (Vec<Vec<P::Challenge>>, Vec<P::Challenge>) {
        let tables = &self.layout.tables;
        (0..tables.len())
            .into_par_iter()
            .map(|i| {
                let traces = Traces {
                    fixed: self.fixed(i),
                    weight: self.weight(i),
                    main: main[i].as_ref(),
                    projection: projection[i].as_deref(),
                };
                lookup::generate(&tables[i], &traces, challenges)
            })
            .collect::<Vec<_>>()
            .into_iter()
            .unzip()
    }

    fn quotients(
        &self,
        [fixed, weight, main, projection, lookup]: [&ProverData<P>; 5],
        challenges: &Challenges<P::Challenge>,
        terminals: &[P::Challenge],
        lambda: P::Challenge,
        mut masks: Option<&mut Masks>,
    ) -> Vec<RowMajorMatrix<P::Val>> {
        let prover = self.prover;
        let log_blowup = prover.prepared.profile.log_blowup;
        // Matrices of a commitment are numbered among the tables that have one.
        let (mut w, mut m, mut p) = (0, 0, 0);
        let index = |has: bool, counter: &mut usize| {
            has.then(|| {
                *counter += 1;
                *counter - 1
            })
        };
        let mut chunks = Vec::new();
        for (i, (table, &terminal)) in self.layout.tables.iter().zip(terminals).enumerate() {
            let log_size = table.log_height + quotient::EXTENSION.ilog2() as usize;
            let view = |data, index| P::evaluations(&prover.pcs, data, index, log_size);
            let columns = Columns {
                fixed: match table.is_outside_key() {
                    true => self.extend_fixed(i, log_size),
                    false => view(fixed, i),
                },
                weight: index(table.widths.weight > 0, &mut w).map(|j| view(weight, j)),
                main: index(table.committed.main > 0, &mut m).map(|j| view(main, j)),
                projection: index(table.committed.projection > 0, &mut p)
                    .map(|j| view(projection, j)),
                lookup: view(lookup, i),
            };
            let folding = Folding {
                challenges,
                terminal,
                lambda,
            };
            let masks = masks.as_mut().map_or(Vec::new(), |m| m.quotient(table));
            chunks.push(quotient::chunks::<P>(
                &prover.dft,
                table,
                &columns,
                &folding,
                &masks,
                log_blowup,
            ));
        }
        chunks
    }

    /// Fixed columns that nobody commits to on the coset of size `2^log_size`, bit-reversed.
    fn extend_fixed(&self, i: usize, log_size: usize) -> RowMajorMatrixCow<'static, P::Val> {
        let fixed = self.fixed(i).clone();
        let added_bits = log_size - self.layout.tables[i].log_height;
        let dft = &self.prover.dft;
        let extended = dft
            .coset_lde_batch(fixed, added_bits, P::Val::GENERATOR)
            .bit_reverse_rows()
            .to_row_major_matrix();
        RowMajorMatrixCow::new(extended.values.into(), extended.width)
    }

    /// The mask of the batched opening, as tall as the tallest table.
    fn batch_mask(&self, masks: &mut Masks) -> RowMajorMatrix<P::Val> {
        let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
        masks.batch(1 << self.layout.max_log_height(), degree)
    }

    /// Opens all commitments: F, W, M, Q at ζ, P and L at ζ and ω·ζ. With P goes the mask of the
    /// batch at ζ, whose values come second. A commitment that no table has columns in, F of an
    /// attestation, is left out.
    fn open(
        &self,
        rounds: [&ProverData<P>; 6],
        zeta: P::Challenge,
        challenger: &mut P::Challenger,
    ) -> Result<Openings<P>, ProveError> {
        let layout = &self.layout;
        let tables = &layout.tables;
        let mut requests: Vec<_> = rounds
            .into_iter()
            .zip(ROUNDS)
            .map(|(prover_data, (width, next))| OpeningRequest {
                prover_data,
                points: tables
                    .iter()
                    .filter(|t| width(t) > 0)
                    .map(|t| {
                        let step = zeta * P::Val::two_adic_generator(t.log_height);
                        if next { vec![zeta, step] } else { vec![zeta] }
                    })
                    .collect(),
            })
            .collect();
        if layout.is_hiding() {
            requests[PROJECTION].points.push(vec![zeta]);
        }
        requests.retain(|request| !request.points.is_empty());
        let (mut opened, proof) = <P::Pcs as Pcs<P::Challenge, P::Challenger>>::open(
            &self.prover.pcs,
            requests,
            challenger,
        )
        .map_err(|e| ProveError::Open(format!("{e:?}")))?;
        let before = ROUNDS[..PROJECTION].iter();
        let before = before.filter(|(width, _)| tables.iter().any(|t| width(t) > 0));
        let mask = match (layout.is_hiding(), opened.get_mut(before.count())) {
            (true, Some(projection)) => projection.pop().unwrap_or_default().concat(),
            _ => Vec::new(),
        };
        Ok((arrange(tables, opened), mask, proof))
    }
}

/// How many columns a table has in a commitment.
type Width = fn(&Table) -> usize;

/// For each commitment: which tables have a matrix in it, and whether it is opened at ω·ζ too.
const ROUNDS: [(Width, bool); 6] = [
    (|t| t.committed.fixed, false),
    (|t| t.widths.weight, false),
    (|t| t.committed.main, false),
    (|t| t.committed.projection, true),
    (|t| t.committed.lookup, true),
    (|_| 1, false),
];

/// Which of them is P.
const PROJECTION: usize = 3;

/// From the commitment scheme's order (commitment, matrix, point) to one record per table.
fn arrange<EF: Clone>(tables: &[Table], opened: OpenedValues<EF>) -> Vec<TableOpenings<EF>> {
    let mut opened = opened.into_iter();
    let mut rounds = ROUNDS.map(|(width, _)| {
        let round = match tables.iter().any(|t| width(t) > 0) {
            true => opened.next().unwrap_or_default(),
            false => Vec::new(),
        };
        round.into_iter()
    });
    tables
        .iter()
        .map(|table| {
            let mut take = |round: usize| -> [Vec<EF>; 2] {
                let (width, _) = ROUNDS[round];
                let mut points = if width(table) > 0 {
                    rounds[round].next().unwrap_or_default().into_iter()
                } else {
                    Vec::new().into_iter()
                };
                [
                    points.next().unwrap_or_default(),
                    points.next().unwrap_or_default(),
                ]
            };
            let [[fixed, _], [weight, _], [main, _]] = [take(0), take(1), take(2)];
            let [projection, projection_next] = take(3);
            let [lookup, lookup_next] = take(4);
            let [quotient, _] = take(5);
            TableOpenings {
                fixed,
                weight,
                main,
                projection,
                projection_next,
                lookup,
                lookup_next,
                quotient,
            }
        })
        .collect()
}
