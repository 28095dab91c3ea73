//! Checking a witness without a proof: all constraints, all buses, readable failures.

use air::builder::Challenges;
use air::debug::{self, Failure, TableTraces};
use air::graph::{Evaluation, TensorId};
use air::statement::{Disclosed, Statement};
use air::witness::{generate_main, generate_projection};
use p3_field::PrimeCharacteristicRing;
use verifier::Protocol;
use verifier::proof::statement_digest;
use verifier::transcript::Transcript;

use crate::setup::Prover;

impl<P: Protocol> Prover<P> {
    /// Checks every constraint and every bus on the witness of an evaluation, with challenges
    /// drawn from the statement. Returns up to `limit` failures; none means a proof would verify.
    pub fn check(&self, evaluation: &Evaluation, limit: usize) -> Vec<Failure> {
        let layout = &self.prepared.layout;
        let graph = &self.model.graph;
        let statement = Statement {
            inputs: pick(&graph.inputs, evaluation),
            outputs: pick(&graph.outputs, evaluation),
        };
        let digest = statement_digest(&statement);
        let mut transcript =
            Transcript::<P>::new(&self.prepared.profile, &self.prepared.digest, &digest);
        let drawn = transcript.main(&self.prepared.key.weights);
        let alpha = drawn.sigma[0];
        let receivers = statement.receivers(graph);
        let challenges = Challenges::projection(drawn, layout.power_counts(), receivers)
            .with_lookup(alpha, alpha + P::Challenge::ONE);
        let main = generate_main::<P::Val>(layout, &self.model, evaluation, &[]);
        let projection = generate_projection(layout, &self.weight, &main, &challenges);
        let traces: Vec<_> = (0..layout.tables.len())
            .map(|i| TableTraces {
                fixed: &self.fixed[i],
                weight: self.weight[i].as_ref(),
                main: main[i].as_ref(),
                projection: projection[i].as_deref(),
            })
            .collect();
        let claims = statement.claims::<P::Val, P::Challenge>(graph, challenges.sigma(), drawn.rho);
        debug::check(layout, &traces, &challenges, &claims, limit)
    }
}

/// The values of some tensors, shown.
fn pick(ids: &[TensorId], evaluation: &Evaluation) -> Vec<Disclosed> {
    let value = |id: &TensorId| Disclosed::public(evaluation.tensors[id.index()].clone());
    ids.iter().map(value).collect()
}
