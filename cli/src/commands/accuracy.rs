//! `provenn accuracy`

use model::data::DataFile;
use verifier::codec;

use super::{MAX_FILE, import_options, quantise};
use crate::args::AccuracyArgs;
use crate::error::{Code, Failure};
use crate::report::Report;
use crate::{files, progress};

/// Samples of the data itself that scales are chosen from, where no other data is given.
const BORROWED_SAMPLES: usize = 64;

pub fn run(args: &AccuracyArgs) -> Result<Report, Failure> {
    let bytes = files::read(&args.model, MAX_FILE)?;
    if codec::sniff(&bytes) != Err(codec::CodecError::NotOurs) {
        let message = "there is no floating-point model in a key; give the ONNX file";
        return Err(Failure::new(Code::Usage, message).in_file(&args.model));
    }
    let (graph, runner) =
        model::import_with_reference(&bytes, &import_options(&args.options.quantise))
            .map_err(|e| Failure::from(e).in_file(&args.model))?;
    let mut data = DataFile::read(&args.data)?;
    // A file may hold other arrays beside the labelled ones, such as reference inputs.
    if data.arrays.iter().any(|a| a.name == "x") {
        data.arrays.retain(|a| a.name == "x" || a.name == "y");
    }
    let mut samples = data.samples(&model::data::float_inputs(&graph))?;
    let mut labels = data.labels();
    if let Some(limit) = args.limit {
        let per_sample = labels
            .as_ref()
            .map_or(0, |y| y.len() / samples.len().max(1));
        samples.truncate(limit);
        if let Some(y) = &mut labels {
            y.truncate(samples.len() * per_sample);
        }
    }
    // Spread over the data, in case it is sorted by class.
    let stride = samples.len().div_ceil(BORROWED_SAMPLES).max(1);
    let borrowed: Vec<_> = samples.iter().step_by(stride).cloned().collect();
    if args.options.quantise.calibrate.is_none() {
        progress::note(&format!(
            "note: scales were chosen from {} of the very samples measured; give --calibrate for \
             an independent figure",
            borrowed.len()
        ));
    }
    let quantised = quantise(&args.model, &args.options.quantise, Some(&borrowed))?;
    let accuracy = model::accuracy::measure(&quantised.model, &runner, &samples, labels.as_deref())
        .map_err(|e| Failure::new(Code::Usage, e.to_string()).in_file(&args.data))?;

    let percent = |x: f64| format!("{:.2} %", 100.0 * x);
    let mut report = Report::new("accuracy");
    report.item("samples", accuracy.samples.to_string());
    report.item(
        "agreement",
        format!("{} ({})", percent(accuracy.agreement), accuracy.decision),
    );
    report.item(
        "max error",
        format!(
            "{:.3e}, {} of the output range",
            accuracy.max_error,
            percent(accuracy.max_relative_error)
        ),
    );
    report.item("mean error", format!("{:.3e}", accuracy.mean_error));
    if let (Some(float), Some(quantised)) = (accuracy.float_accuracy, accuracy.quantised_accuracy) {
        report.item(
            "accuracy",
            format!("float {}, quantised {}", percent(float), percent(quantised)),
        );
    }
    report.json("samples", accuracy.samples);
    report.json("agreement", accuracy.agreement);
    report.json("decision", accuracy.decision);
    report.json("max_abs_error", accuracy.max_error);
    report.json("mean_abs_error", accuracy.mean_error);
    report.json("output_range", accuracy.output_range);
    report.json("max_relative_error", accuracy.max_relative_error);
    report.json("float_accuracy", accuracy.float_accuracy);
    report.json("quantised_accuracy", accuracy.quantised_accuracy);
    report.json("bits", quantised.report.bits);
    Ok(report)
}
