//! One file a command, and what they share.

pub mod accuracy;
pub mod attest;
pub mod check;
pub mod hash;
pub mod inspect;
pub mod operators;
pub mod prove;
pub mod rekey;
pub mod run;
pub mod setup;
pub mod shell;
pub mod verify;

use std::path::Path;
use std::time::Instant;

use air::graph::Model;
use air::layout::Layout;
use air::statement::Disclosed;
use model::data::{DataFile, InputSpec};
use model::{FloatGraph, ImportOptions, QuantOptions, QuantReport, Sample};
use prover::{Budget, Prover};
use serde_json::{Value, json};
use tracing::info_span;
use verifier::{BabyBearKeccak, Privacy, Profile, codec};

use crate::args::{ModelOptions, QuantiseOptions};
use crate::error::{Code, Failure};
use crate::report::Report;
use crate::{files, progress};

/// The protocol of every profile.
pub type P = BabyBearKeccak<5>;
/// Its extension degree.
pub const DEGREE: usize = 5;

/// Largest file a command reads.
pub const MAX_FILE: u64 = 1 << 32;
/// Models whose weight and fixed cells are fewer than this are set up for latency by default.
const SMALL_MODEL_CELLS: usize = 1 << 22;

/// A quantised model, and how it came about.
pub struct Quantised {
    /// The model.
    pub model: Model,
    /// The choices made, if it was quantised just now.
    pub report: QuantReport,
}

/// Imports and quantises an ONNX file. `fallback` is calibrated on where no data is given.
pub fn quantise(
    path: &Path,
    options: &QuantiseOptions,
    fallback: Option<&[Sample]>,
) -> Result<Quantised, Failure> {
    let bytes = files::read(path, MAX_FILE)?;
    let graph = import(path, &bytes, options)?;
    let samples = match &options.calibrate {
        Some(data) => {
            let inputs = model::data::float_inputs(&graph);
            Some(DataFile::read(data)?.samples(&inputs)?)
        }
        None => fallback.map(<[Sample]>::to_vec),
    };
    let bits = options.bits.unwrap_or(QuantOptions::default().bits);
    let quant = QuantOptions {
        bits,
        target_error: options.target_error,
        ..QuantOptions::default()
    };
    let (model, report) = info_span!("quantise")
        .in_scope(|| model::quantise(&graph, samples.as_deref(), &quant))
        .map_err(|e| Failure::from(e).in_file(path))?;
    for warning in &report.warnings {
        progress::note(&format!("warning: {warning}"));
    }
    Ok(Quantised { model, report })
}

/// Imports an ONNX file.
pub fn import(path: &Path, bytes: &[u8], options: &QuantiseOptions) -> Result<FloatGraph, Failure> {
    info_span!("import")
        .in_scope(|| model::import_bytes(bytes, &import_options(options)))
        .map_err(|e| Failure::from(e).in_file(path))
}

/// The importer's options.
pub fn import_options(options: &QuantiseOptions) -> ImportOptions {
    ImportOptions {
        shapes: options.shape.clone(),
    }
}

/// A prover for a proving key or an ONNX file, and the milliseconds it took to get ready.
pub fn load_prover(path: &Path, options: &ModelOptions) -> Result<(Prover<P>, f64), Failure> {
    let start = Instant::now();
    let bytes = files::read(path, MAX_FILE)?;
    let prover = if codec::sniff(&bytes) != Err(codec::CodecError::NotOurs) {
        refuse_model_options(options)?;
        Prover::from_bytes(&bytes).map_err(|e| Failure::from(e).in_file(path))?
    } else {
        drop(bytes);
        let model = quantise(path, &options.quantise, None)?.model;
        set_up(path, model, options, privacy(options))?
    };
    Ok((prover, millis(start)))
}

/// A key was quantised when it was made; options that would do it again must not be ignored.
pub fn refuse_model_options(options: &ModelOptions) -> Result<(), Failure> {
    if !options.quantise.is_given() && options.profile.is_none() && !options.no_zk {
        return Ok(());
    }
    let message = "--calibrate, --bits, --target-error, --shape, --profile and --no-zk are for ONNX models; a key is \
                   set up already";
    Err(Failure::new(Code::Usage, message))
}

/// What proofs hide of a model with public weights.
pub const fn privacy(options: &ModelOptions) -> Privacy {
    match options.no_zk {
        true => Privacy::None,
        false => Privacy::Data,
    }
}

/// Sets a model up with the profile the options name, within the memory limit.
pub fn set_up(
    path: &Path,
    model: Model,
    options: &ModelOptions,
    privacy: Privacy,
) -> Result<Prover<P>, Failure> {
    let layout = |profile: &Profile| {
        verifier::key::layout_of::<P>(&model.graph, profile, privacy)
            .map_err(|e| Failure::from(prover::SetupError::from(e)).in_file(path))
    };
    let profile = match options.profile.as_deref().and_then(Profile::by_name) {
        Some(named) => named,
        None => choose_profile(&layout(&Profile::LATENCY)?),
    };
    let layout = layout(&profile)?;
    check_memory(&layout, &profile, options).map_err(|failure| {
        let failure = failure
            .in_file(path)
            .hint("--profile throughput halves the memory; --max-memory raises the limit");
        match privacy {
            Privacy::DataAndWeights { .. } => failure.hint("fewer --proofs need smaller tables"),
            Privacy::None | Privacy::Data => failure,
        }
    })?;
    Prover::new(model, &profile, privacy).map_err(|e| Failure::from(e).in_file(path))
}

/// Refuses to prove with tables that take more memory than is allowed.
pub fn check_memory(
    layout: &Layout,
    profile: &Profile,
    options: &ModelOptions,
) -> Result<(), Failure> {
    let needed = prover::memory_estimate(layout, profile);
    let limit = options.max_memory.or_else(total_memory).unwrap_or(u64::MAX);
    if needed > limit {
        let message = format!("proving needs about {needed} bytes of memory, the limit is {limit}");
        return Err(Failure::new(Code::Limit, message));
    }
    Ok(())
}

fn choose_profile(layout: &Layout) -> Profile {
    let setup_cells: usize = layout
        .tables
        .iter()
        .map(|t| (t.widths.fixed + t.widths.weight) << t.log_height)
        .sum();
    if setup_cells < SMALL_MODEL_CELLS {
        Profile::LATENCY
    } else {
        Profile::THROUGHPUT
    }
}

/// Reads one sample for a quantised graph and quantises it.
pub fn read_input(path: &Path, model: &Model) -> Result<(Sample, Vec<Vec<i32>>), Failure> {
    let sample = read_sample(path, &model::data::graph_inputs(&model.graph))?;
    let integers = model::accuracy::quantise_inputs(&model.graph, &sample)
        .map_err(|e| Failure::new(Code::Usage, e.to_string()).in_file(path))?;
    Ok((sample, integers))
}

/// Reads one sample.
pub fn read_sample(path: &Path, inputs: &[InputSpec]) -> Result<Sample, Failure> {
    Ok(DataFile::read(path)?.sample(inputs)?)
}

/// An evaluation error is a bug by now: inputs were saturated and the model validated.
pub fn eval_bug(e: &air::graph::EvalError) -> Failure {
    Failure::new(Code::Bug, format!("evaluation failed: {e}"))
}

/// Tensors as JSON lists.
pub fn tensors_json(tensors: &[Vec<f64>]) -> Value {
    json!(tensors)
}

/// Milliseconds since `start`.
pub fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Peak resident memory of this process, where the system tells.
pub fn peak_rss() -> Option<u64> {
    proc_kilobytes("/proc/self/status", "VmHWM:")
}

fn total_memory() -> Option<u64> {
    proc_kilobytes("/proc/meminfo", "MemTotal:")
}

fn proc_kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The values of tensors that are shown; none of the others.
pub fn shown_values(tensors: &[Disclosed]) -> Vec<Vec<i32>> {
    let values = |d: &Disclosed| d.values.clone().unwrap_or_default();
    tensors.iter().map(values).collect()
}

/// The proofs a key has left, for people and in JSON.
pub fn budget(report: &mut Report, budget: Option<Budget>) {
    if let Some(budget) = budget {
        report.item(
            "proofs left",
            format!("{} of {}", budget.left(), budget.proofs),
        );
    }
    report.json("proofs_left", budget.map(Budget::left));
}
