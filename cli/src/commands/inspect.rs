//! `provenn inspect`

use std::path::Path;
use std::time::Instant;

use air::graph::{Combine, Encoding, Graph, Tensor};
use air::layout::Layout;
use air::statement::Policy;
use prover::{Prediction, Prover, commit_unit};
use serde_json::{Value, json};
use verifier::codec::{self, Kind};
use verifier::security::Security;
use verifier::{Attestation, Prepared, Profile, ProofFile, RekeyProof};

use super::{
    DEGREE, MAX_FILE, P, budget, eval_bug, load_prover, peak_rss, privacy, quantise, set_up, setup,
    verify,
};
use crate::args::InspectArgs;
use crate::error::{Code, Failure};
use crate::report::{Report, hex, size};
use crate::{disclosure, files};

pub fn run(args: &InspectArgs) -> Result<Report, Failure> {
    let bytes = files::read(&args.file, MAX_FILE)?;
    let in_file = |f: Failure| f.in_file(&args.file);
    let mut report = Report::new("inspect");
    report.item(
        "file",
        format!("{} ({})", args.file.display(), size(bytes.len() as u64)),
    );
    report.json("bytes", bytes.len());
    match codec::sniff(&bytes) {
        Err(codec::CodecError::NotOurs) => onnx(&mut report, args)?,
        Err(e) => return Err(in_file(e.into())),
        Ok((Kind::VerifyingKey, _)) => {
            report.json("kind", "verifying key");
            prepared(&mut report, &verify::read_key(&args.file)?);
        }
        Ok((Kind::ProvingKey, _)) => {
            report.json("kind", "proving key");
            let key = prover::key::read_key::<P>(&bytes).map_err(|e| in_file(e.into()))?;
            let weights: usize = key
                .model
                .weights
                .iter()
                .map(|w| w.terms.iter().map(Vec::len).sum::<usize>())
                .sum();
            report.item("weights", weights.to_string());
            report.json("weights", weights);
            budget(&mut report, key.budget());
            let key = key.verifying_key.prepare().map_err(|e| in_file(e.into()))?;
            prepared(&mut report, &key);
            if args.measure {
                measure(&mut report, &load_prover(&args.file, &args.options)?.0)?;
            }
        }
        Ok((Kind::Proof, profile)) => proof(&mut report, &bytes, profile, &args.file)?,
        Ok((Kind::RekeyProof, profile)) => rekey(&mut report, &bytes, profile, &args.file)?,
        Ok((Kind::Attestation, profile)) => attestation(&mut report, &bytes, profile, &args.file)?,
    }
    Ok(report)
}

fn onnx(report: &mut Report, args: &InspectArgs) -> Result<(), Failure> {
    report.json("kind", "onnx");
    let quantised = quantise(&args.file, &args.options.quantise, None)?;
    setup::calibration(report, &quantised.report);
    report.line("");
    let prover = set_up(
        &args.file,
        quantised.model,
        &args.options,
        privacy(&args.options),
    )?;
    prepared(report, prover.verifying_key());
    if args.measure {
        measure(report, &prover)?;
    }
    Ok(())
}

fn prepared(report: &mut Report, key: &Prepared<P>) {
    report.item("model", hex(&key.model_digest()));
    report.item("key", hex(&key.digest));
    report.json("model_digest", hex(&key.model_digest()));
    report.json("vk_digest", hex(&key.digest));
    profile(report, &key.profile);
    let privacy = disclosure::of_key(key.key.privacy);
    report.item("privacy", &privacy);
    report.json("privacy", privacy);
    let prediction = predict(key);
    report.item(
        "predicted",
        format!(
            "{} and {} to prove, warm",
            duration(prediction.total.seconds),
            size(prediction.total.bytes)
        ),
    );
    report.json("predicted_seconds", prediction.total.seconds);
    report.json("memory_estimate_bytes", prediction.total.bytes);
    layers(report, &key.key.graph, &key.layout);
    tables(report, &key.layout, &prediction);
    security(report, &key.security);
}

fn profile(report: &mut Report, profile: &Profile) {
    report.item("profile", format!("{} ({})", profile.name, profile.summary));
    report.json("profile", profile.name);
}

fn layers(report: &mut Report, graph: &Graph, layout: &Layout) {
    let cells = layout.cells_by_tensor(graph, DEGREE);
    let mut rows = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    for (i, tensor) in graph.tensors.iter().enumerate() {
        let layer = i.checked_sub(graph.inputs.len()).map(|l| &graph.layers[l]);
        let frac = match &tensor.encoding {
            Encoding::Uniform { frac_bits } => frac_bits.to_string(),
            Encoding::PerFeature { .. } => "per feature".into(),
        };
        let function = layer.map_or("input".into(), |l| match l.combine {
            Combine::Sum => l.requant.activation.function.to_string(),
            Combine::Max => "Max".into(),
        });
        let shift = layer.map_or(String::new(), |l| l.requant.shift.to_string());
        rows.push(vec![
            tensor.name.clone(),
            function.clone(),
            extents(tensor),
            frac,
            format!("{} … {}", tensor.range.lo, tensor.range.hi),
            shift,
            cells[i].to_string(),
        ]);
        list.push(json!({
            "tensor": tensor.name, "function": function, "features": tensor.features,
            "extent": tensor.extent, "range": [tensor.range.lo, tensor.range.hi],
            "shift": layer.map(|l| l.requant.shift),
            "excess_bits": layer.map(|l| l.requant.excess_bits), "committed_cells": cells[i],
        }));
    }
    report.line("");
    report.table(
        &[
            "tensor",
            "function",
            "features × positions",
            "frac bits",
            "integers",
            "shift",
            "cells",
        ],
        rows,
    );
    report.json("layers", list);
}

/// Features, and the axes of a position that are not 1.
fn extents(tensor: &Tensor) -> String {
    let axes = tensor.extent.iter().filter(|&&n| n > 1);
    axes.fold(tensor.features.to_string(), |text, n| format!("{text}×{n}"))
}

fn predict(key: &Prepared<P>) -> Prediction {
    prover::predict(&key.layout, &key.profile, commit_unit::<P>(&key.profile))
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// Proofs that are measured, after one that warms up, and as long as they take no more than this together.
const MEASURED: usize = 5;
const MEASURED_SECONDS: f64 = 2.0;

/// Proves some input several times and compares the fastest warm proof with the prediction.
fn measure(report: &mut Report, prover: &Prover<P>) -> Result<(), Failure> {
    let key = prover.verifying_key();
    if prover.budget().is_some() {
        let why = "--measure would spend proofs of a key with private weights";
        return Err(Failure::new(Code::Usage, why.to_owned()));
    }
    let graph = &key.key.graph;
    let inputs: Vec<Vec<i32>> = (graph.inputs.iter())
        .map(|id| &graph.tensors[id.index()])
        .map(|t| vec![t.range.clamp(0); t.len()])
        .collect();
    let evaluation = prover.evaluate(&inputs).map_err(|e| eval_bug(&e))?;
    let policy = match key.layout.is_hiding() {
        true => Policy::default(),
        false => Policy::PUBLIC,
    };
    let once = || -> Result<f64, Failure> {
        let start = Instant::now();
        prover.prove(&evaluation, &policy)?;
        Ok(start.elapsed().as_secs_f64())
    };
    once()?;
    let (mut seconds, mut spent) = (f64::INFINITY, 0.0);
    for _ in 0..MEASURED {
        let proof = once()?;
        seconds = seconds.min(proof);
        spent += proof;
        if spent > MEASURED_SECONDS {
            break;
        }
    }
    let predicted = predict(key).total;
    let peak = peak_rss().unwrap_or(0);
    report.line("");
    report.item(
        "measured",
        format!(
            "{} ({:.2} of the prediction), peak memory {} ({:.2})",
            duration(seconds),
            seconds / predicted.seconds,
            size(peak),
            peak as f64 / predicted.bytes as f64
        ),
    );
    report.json("measured_seconds", seconds);
    report.json("measured_peak_bytes", peak);
    Ok(())
}

fn tables(report: &mut Report, layout: &Layout, prediction: &Prediction) {
    let mut rows = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    let whole: f64 = prediction.tables.iter().map(|t| t.seconds).sum();
    for (table, predicted) in layout.tables.iter().zip(&prediction.tables) {
        use air::chips::Air;
        let w = table.widths;
        let time = predicted.seconds / whole;
        let memory = predicted.bytes as f64 / prediction.total.bytes as f64;
        let cells = table.committed_cells(DEGREE);
        rows.push(vec![
            table.chip.name().to_owned(),
            format!("2^{}", table.log_height),
            table.chip.rows().to_string(),
            w.fixed.to_string(),
            w.weight.to_string(),
            w.main.to_string(),
            format!("{}×{DEGREE}", w.projection),
            format!("{}×{DEGREE}", w.lookup()),
            cells.to_string(),
            format!("{:.1} %", 100.0 * time),
            format!("{:.1} %", 100.0 * memory),
        ]);
        list.push(json!({
            "chip": table.chip.name(), "height": table.height(), "rows": table.chip.rows(),
            "fixed": w.fixed, "weight": w.weight, "main": w.main, "projection": w.projection,
            "lookup": w.lookup(), "messages": w.messages, "committed_cells": cells,
            "time_share": time, "memory_share": memory,
        }));
    }
    report.line("");
    let header = [
        "table",
        "height",
        "rows",
        "fixed",
        "weight",
        "main",
        "projection",
        "lookup",
        "cells",
        "time",
        "memory",
    ];
    report.table(&header, rows);
    report.item(
        "total",
        format!(
            "{} cells committed per proof",
            layout.committed_cells(DEGREE)
        ),
    );
    report.json("tables", list);
    report.json("committed_cells", layout.committed_cells(DEGREE));
}

fn security(report: &mut Report, security: &Security) {
    let rows = security
        .rounds
        .iter()
        .map(|r| vec![r.name.to_owned(), format!("{:.1}", r.bits)])
        .collect();
    report.line("");
    report.table(&["round", "bits (proven)"], rows);
    report.item("security", security.summary());
    let rounds: Vec<Value> = security
        .rounds
        .iter()
        .map(|r| json!({"round": r.name, "bits": r.bits}))
        .collect();
    report.json("security_rounds", rounds);
    report.json("security_bits", security.bits() as u32);
}

fn rekey(report: &mut Report, bytes: &[u8], id: u8, path: &Path) -> Result<(), Failure> {
    report.json("kind", "rekey proof");
    let (_, proof) = codec::decode::<RekeyProof<P>>(Kind::RekeyProof, bytes, bytes.len())
        .map_err(|e| Failure::from(e).in_file(path))?;
    for (name, json, digest) in [
        ("old key", "old_vk_digest", &proof.old),
        ("new key", "new_vk_digest", &proof.new),
    ] {
        report.item(name, hex(digest));
        report.json(json, hex(digest));
    }
    if let Some(known) = Profile::by_id(id) {
        profile(report, &known);
    }
    Ok(())
}

fn attestation(report: &mut Report, bytes: &[u8], id: u8, path: &Path) -> Result<(), Failure> {
    report.json("kind", "attestation");
    let (_, file) = codec::decode::<Attestation<P>>(Kind::Attestation, bytes, bytes.len())
        .map_err(|e| Failure::from(e).in_file(path))?;
    report.item("key", hex(&file.key));
    report.json("vk_digest", hex(&file.key));
    if let Some(known) = Profile::by_id(id) {
        profile(report, &known);
    }
    Ok(())
}

fn proof(report: &mut Report, bytes: &[u8], id: u8, path: &Path) -> Result<(), Failure> {
    report.json("kind", "proof");
    // Without its key a proof can be read but not bounded by it; the file's own size is the bound.
    let (_, file) = codec::decode::<ProofFile<P>>(Kind::Proof, bytes, bytes.len())
        .map_err(|e| Failure::from(e).in_file(path))?;
    report.item("key", hex(&file.key));
    report.json("vk_digest", hex(&file.key));
    if let Some(known) = Profile::by_id(id) {
        profile(report, &known);
    }
    for (name, tensors) in [
        ("inputs", &file.statement.inputs),
        ("outputs", &file.statement.outputs),
    ] {
        let said: Vec<String> = tensors.iter().map(disclosure::said).collect();
        report.item(name, said.join("; "));
        let values = tensors.iter().map(|d| json!(d.values));
        report.json(name, values.collect::<Vec<Value>>());
    }
    report.json(
        "input_facts",
        disclosure::facts_json(&file.statement.inputs),
    );
    report.json(
        "output_facts",
        disclosure::facts_json(&file.statement.outputs),
    );
    report.item("tables", file.proof.opened.len().to_string());
    let digest = hex(&verifier::proof::statement_digest(&file.statement));
    report.item("statement", digest.as_str());
    report.line("not verified: `provenn verify --vk KEY PROOF` does that");
    report.json("statement_digest", digest);
    Ok(())
}
