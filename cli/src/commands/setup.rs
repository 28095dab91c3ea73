//! `provenn setup`

use std::path::Path;
use std::time::Instant;

use air::chips::Air;
use air::graph::Encoding;
use model::QuantReport;
use prover::{Budget, Prover};
use verifier::Privacy;
use verifier::key::MAX_PROOFS;

use super::{P, attest, millis, peak_rss, privacy, quantise, set_up};
use crate::args::{SetupArgs, Weights};
use crate::error::{Code, Failure};
use crate::report::{Report, hex, size};
use crate::{disclosure, files, progress};

/// Proofs a key with private weights is good for, where `--proofs` does not say.
const DEFAULT_PROOFS: u32 = 100;

pub fn run(args: &SetupArgs) -> Result<Report, Failure> {
    let start = Instant::now();
    let privacy = key_privacy(args)?;
    let quantised = quantise(&args.model, &args.options.quantise, None)?;
    let prover = set_up(&args.model, quantised.model, &args.options, privacy)?;
    let key = prover.verifying_key();
    // First: where it cannot be made there are no files, and the proving key's has counted it.
    let attestation = match args.attest {
        true => Some(attest::make(&prover, args)?),
        false => None,
    };

    files::create_dir(&args.output)?;
    let (pk_path, vk_path) = (args.output.join("model.pk"), args.output.join("model.vk"));
    let (pk, vk) = (prover.to_bytes(), key.key.to_bytes());
    files::write_secret(&pk_path, &pk)?;
    files::write(&vk_path, &vk)?;
    let attestation_path = args.output.join("model.attest");
    if let Some((bytes, _)) = &attestation {
        files::write(&attestation_path, bytes)?;
    }

    let mut report = Report::new("setup");
    calibration(&mut report, &quantised.report);
    report.line("");
    report.item("model", hex(&key.model_digest()));
    report.item("key", hex(&key.digest));
    report.item(
        "profile",
        format!("{} ({})", key.profile.name, key.profile.summary),
    );
    report.item("security", key.security.summary());
    report.item("privacy", disclosure::of_key(privacy));
    budget(&mut report, &prover, &pk_path);
    report.item(
        "cells",
        format!("{} committed per proof", prover.committed_cells()),
    );
    report.item(
        "proving key",
        format!("{} ({})", pk_path.display(), size(pk.len() as u64)),
    );
    report.item(
        "verifying",
        format!("{} ({})", vk_path.display(), size(vk.len() as u64)),
    );
    if let Some((bytes, time)) = &attestation {
        attest::made(&mut report, &attestation_path, bytes, *time);
    }
    report.item("time", format!("{:.0} ms", millis(start)));

    report.json("pk", pk_path.display().to_string());
    report.json("vk", vk_path.display().to_string());
    report.json("pk_bytes", pk.len());
    report.json("vk_bytes", vk.len());
    report.json("model_digest", hex(&key.model_digest()));
    report.json("vk_digest", hex(&key.digest));
    report.json("profile", key.profile.name);
    report.json("security_bits", key.security.bits() as u32);
    report.json("privacy", disclosure::of_key(privacy));
    report.json("committed_cells", prover.committed_cells());
    report.json("setup_ms", millis(start));
    report.json("peak_rss_bytes", peak_rss());
    Ok(report)
}

/// What the proofs of the new key hide.
fn key_privacy(args: &SetupArgs) -> Result<Privacy, Failure> {
    match args.weights {
        Weights::Private if args.options.no_zk => {
            let message = "--no-zk hides nothing: the weights cannot be private";
            Err(Failure::new(Code::Usage, message))
        }
        // An attestation opens the weights as a proof does.
        Weights::Private => match args.proofs.unwrap_or(DEFAULT_PROOFS) + u32::from(args.attest) {
            proofs if proofs > MAX_PROOFS => {
                let message = "--attest counts as a proof: with it, --proofs is 65535 at most";
                Err(Failure::new(Code::Usage, message))
            }
            proofs => Ok(Privacy::DataAndWeights { proofs }),
        },
        Weights::Public if args.proofs.is_some() => {
            let message =
                "with public weights proofs are not counted: --proofs is for --weights private";
            Err(Failure::new(Code::Usage, message))
        }
        Weights::Public => Ok(privacy(&args.options)),
    }
}

/// What the budget of private weights costs, and what it asks of whoever keeps the key.
fn budget(report: &mut Report, prover: &Prover<P>, pk: &Path) {
    let budget = prover.budget();
    report.json("proofs", budget.map(|b| b.proofs));
    report.json("proofs_left", budget.map(Budget::left));
    let Some(Budget { proofs, spent, .. }) = budget else {
        return;
    };
    let attested = match spent {
        0 => "",
        _ => ", one of them the attestation",
    };
    let tables = &prover.verifying_key().layout.tables;
    if let Some(weights) = tables.iter().find(|t| t.widths.weight > 0) {
        let masks = weights.bands.unwrap_or_default().uniform;
        let (rows, height) = (weights.chip.rows(), weights.height());
        report.item(
            "budget",
            format!(
                "{proofs} proofs{attested}: {masks} mask rows below {rows} rows of weights, {height} in all"
            ),
        );
    }
    progress::note(&format!(
        "note: {} is secret and counts its proofs; keep one copy, and do not put it back from a \
         backup",
        pk.display()
    ));
}

/// The calibration choices, as a table with reasons.
pub fn calibration(report: &mut Report, quant: &QuantReport) {
    let span = |(lo, hi): (f64, f64)| format!("{lo:.4} … {hi:.4}");
    let mut rows = Vec::new();
    for input in &quant.inputs {
        let scale = match &input.encoding {
            Encoding::Uniform { frac_bits } => frac_bits.to_string(),
            Encoding::PerFeature { .. } => "per feature".into(),
        };
        rows.push(vec![
            input.tensor.clone(),
            "input".into(),
            span(input.calibrated),
            scale,
            format!("{} … {}", input.range.lo, input.range.hi),
            String::new(),
            String::new(),
            String::new(),
            input.reason.clone(),
        ]);
    }
    for layer in &quant.layers {
        rows.push(vec![
            layer.tensor.clone(),
            layer.op.clone(),
            span(layer.calibrated),
            layer.frac_bits.to_string(),
            format!("{} … {}", layer.range.lo, layer.range.hi),
            layer.weight_bits.to_string(),
            layer.shift.to_string(),
            layer.acc_bits.to_string(),
            layer.reason.clone(),
        ]);
    }
    let header = [
        "tensor",
        "op",
        "calibrated",
        "frac bits",
        "integers",
        "weight bits",
        "shift",
        "acc bits",
        "reason",
    ];
    report.table(&header, rows);
    report.json(
        "calibration",
        serde_json::to_value(quant).unwrap_or_default(),
    );
}
