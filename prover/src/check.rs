//! Checking a witness without a proof: all constraints, all buses, readable failures.

use air::builder::Challenges;
use air::debug::{self, Failure, TableTraces};
use air::graph::Evaluation;
use air::statement::{Policy, Statement};
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
        let statement = Statement::of(&self.model.graph, evaluation, &Policy::PUBLIC);
        let digest = statement_digest(&statement);
        let mut transcript =
            Transcript::<P>::new(&self.prepared.profile, &self.prepared.digest, &digest);
        let [sigma, rho, alpha] = transcript.main(&self.prepared.key.weights);
        let shown = statement.shown(&self.model.graph);
        let challenges = Challenges::projection(sigma, rho, layout.power_counts(), shown)
            .with_lookup(alpha, alpha + P::Challenge::ONE);
        let main = generate_main::<P::Val>(layout, evaluation);
        let projection = generate_projection(layout, &self.weight, &main, &challenges);
        let traces: Vec<_> = (0..layout.tables.len())
            .map(|i| TableTraces {
                fixed: &self.fixed[i],
                weight: self.weight[i].as_ref(),
                main: main[i].as_ref(),
                projection: projection[i].as_deref(),
            })
            .collect();
        let claims = statement.claims::<P::Val, P::Challenge>(
            &self.model.graph,
            &challenges.sigma_powers,
            rho,
        );
        debug::check(layout, &traces, &challenges, &claims, limit)
    }
}
