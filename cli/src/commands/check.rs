//! `provenn check`

use air::chips::Chip;
use air::debug::Failure as Violation;
use air::graph::Graph;
use air::layout::Layout;
use serde_json::json;

use super::{eval_bug, load_prover, read_input};
use crate::args::CheckArgs;
use crate::error::{Code, Failure};
use crate::report::Report;

/// Violations reported at most.
const LIMIT: usize = 10;

pub fn run(args: &CheckArgs) -> Result<Report, Failure> {
    let (prover, _) = load_prover(&args.model, &args.options)?;
    let (_, inputs) = read_input(&args.input, prover.model())?;
    let evaluation = prover.evaluate(&inputs).map_err(|e| eval_bug(&e))?;
    let violations = prover.check(&evaluation, LIMIT);
    let key = prover.verifying_key();
    if let Some(first) = violations.first() {
        let message = describe(first, &key.layout, &key.key.graph);
        let mut failure = Failure::new(Code::Rejected, message).in_file(&args.model);
        for violation in &violations[1..] {
            failure = failure.hint(format!("also: {violation}"));
        }
        return Err(failure);
    }
    let rows: usize = key.layout.tables.iter().map(|t| t.height()).sum();
    let mut report = Report::new("check");
    report.line(format!(
        "all constraints hold on {rows} rows of {} tables, all buses balance",
        key.layout.tables.len()
    ));
    report.json("rows", rows);
    report.json("tables", key.layout.tables.len());
    report.json("violations", json!([]));
    Ok(report)
}

/// Names the layer a violation belongs to, where a row has one.
fn describe(violation: &Violation, layout: &Layout, graph: &Graph) -> String {
    let Violation::Constraint { table, row, .. } = violation else {
        return violation.to_string();
    };
    let tensor = match &layout.tables[*table].chip {
        Chip::Activation(air) => air
            .blocks
            .iter()
            .find(|b| (b.start..b.end()).contains(row))
            .map(|b| graph.tensors[b.tensor].name.clone()),
        Chip::Weights(air) => air
            .blocks
            .iter()
            .rev()
            .find(|b| b.start <= *row)
            .map(|b| graph.layers[b.layer].name.clone()),
        Chip::Overhang(air) => air
            .blocks
            .iter()
            .rev()
            .find(|b| b.start <= *row)
            .map(|b| graph.layers[b.layer].name.clone()),
        Chip::Sums(air) => air
            .tensor_of(*row)
            .map(|t| graph.layers[t - graph.inputs.len()].name.clone()),
        // A lookup table is about no tensor, and a proof has no tables of an attestation.
        Chip::Lookup(_) | Chip::AttestWeights(_) | Chip::AttestSums(_) => None,
        Chip::Sha256(air) => Some(graph.tensors[air.tensor.tensor].name.clone()),
        Chip::Poseidon2(air) => Some(graph.tensors[air.tensor.tensor].name.clone()),
        Chip::Compare(air) => Some(graph.tensors[air.tensor].name.clone()),
    };
    match tensor {
        Some(name) => format!("layer `{name}`: {violation}"),
        None => violation.to_string(),
    }
}
