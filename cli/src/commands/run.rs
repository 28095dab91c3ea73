//! `provenn run`

use verifier::codec::{self, CodecError};

use super::{
    MAX_FILE, P, import_options, quantise, read_sample, refuse_model_options, tensors_json,
};
use crate::args::RunArgs;
use crate::error::{Code, Failure};
use crate::files;
use crate::report::{Report, preview};

pub fn run(args: &RunArgs) -> Result<Report, Failure> {
    let bytes = files::read(&args.model, MAX_FILE)?;
    let is_key = codec::sniff(&bytes) != Err(CodecError::NotOurs);
    if args.float && is_key {
        return Err(Failure::new(
            Code::Usage,
            "a proving key holds integers only; give the ONNX file for --float",
        )
        .in_file(&args.model));
    }
    let outputs: Vec<Vec<f64>> = if args.float {
        let (graph, runner) =
            model::import_with_reference(&bytes, &import_options(&args.options.quantise))
                .map_err(|e| Failure::from(e).in_file(&args.model))?;
        let sample = read_sample(&args.input, &model::data::float_inputs(&graph))?;
        let outputs = runner.run(&sample)?;
        outputs
            .into_iter()
            .map(|v| v.into_iter().map(f64::from).collect())
            .collect()
    } else {
        let model = if is_key {
            refuse_model_options(&args.options)?;
            prover::key::read_model::<P>(&bytes)
                .map_err(|e| Failure::from(e).in_file(&args.model))?
        } else {
            quantise(&args.model, &args.options.quantise, None)?.model
        };
        let sample = read_sample(&args.input, &model::data::graph_inputs(&model.graph))?;
        model::accuracy::run_quantised(&model, 0, &sample)
            .map_err(|e| Failure::new(Code::Usage, e.to_string()).in_file(&args.input))?
    };
    let mut report = Report::new("run");
    for values in &outputs {
        report.item("output", preview(values));
    }
    report.json("output", tensors_json(&outputs));
    report.json("float", args.float);
    Ok(report)
}
