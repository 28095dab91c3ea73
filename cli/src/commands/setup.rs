//! `provenn setup`

use std::time::Instant;

use air::graph::Encoding;
use model::QuantReport;

use super::{millis, peak_rss, quantise, set_up};
use crate::args::SetupArgs;
use crate::error::Failure;
use crate::files;
use crate::report::{Report, hex, size};

pub fn run(args: &SetupArgs) -> Result<Report, Failure> {
    let start = Instant::now();
    let quantised = quantise(&args.model, &args.options, None)?;
    let prover = set_up(&args.model, quantised.model, &args.options)?;
    let key = prover.verifying_key();

    files::create_dir(&args.output)?;
    let (pk_path, vk_path) = (args.output.join("model.pk"), args.output.join("model.vk"));
    let (pk, vk) = (prover.to_bytes(), key.key.to_bytes());
    files::write(&pk_path, &pk)?;
    files::write(&vk_path, &vk)?;

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
    report.item("time", format!("{:.0} ms", millis(start)));

    report.json("pk", pk_path.display().to_string());
    report.json("vk", vk_path.display().to_string());
    report.json("pk_bytes", pk.len());
    report.json("vk_bytes", vk.len());
    report.json("model_digest", hex(&key.model_digest()));
    report.json("vk_digest", hex(&key.digest));
    report.json("profile", key.profile.name);
    report.json("security_bits", key.security.bits() as u32);
    report.json("committed_cells", prover.committed_cells());
    report.json("setup_ms", millis(start));
    report.json("peak_rss_bytes", peak_rss());
    Ok(report)
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
