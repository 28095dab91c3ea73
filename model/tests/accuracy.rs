//! Import and quantisation of real models: the float graph equals the reference outputs, and the
//! integers stay within the promised error.

mod support;

use model::accuracy::measure;
use model::{QuantOptions, quantise};

/// Promised for the default number of bits.
const MAX_RELATIVE_ERROR: f64 = 0.003;
const MIN_AGREEMENT: f64 = 0.995;

#[test]
fn float_runs_match_references() {
    for case in support::dense_models() {
        let expected = case.reference_outputs();
        let samples = case.reference_samples();
        let ours: Vec<f32> = samples
            .iter()
            .flat_map(|s| case.graph.evaluate(s).unwrap().concat())
            .collect();
        let original: Vec<f32> = samples
            .iter()
            .flat_map(|s| case.runner.run(s).unwrap().concat())
            .collect();
        let scale = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
        for got in [ours, original] {
            assert_eq!(got.len(), expected.len(), "{}", case.name);
            for (got, expected) in got.iter().zip(&expected) {
                let error = (f64::from(*got) - expected).abs();
                assert!(error <= 2e-5 * scale, "{}: {got} {expected}", case.name);
            }
        }
    }
}

#[test]
fn quantised_models_meet_the_error_target() {
    let mut failures = Vec::new();
    for case in support::dense_models() {
        let references = case.reference_samples();
        let evaluation = case.evaluation_samples();
        let calibration = evaluation.as_ref().unwrap_or(&references);
        // Calibrate on few samples, as users do.
        let calibration = &calibration[..calibration.len().min(64)];
        let options = QuantOptions::default();
        let (model, report) = quantise(&case.graph, Some(calibration), &options).unwrap();
        for row in &report.inputs {
            println!(
                "  {} {:?} {:?} {}",
                row.tensor, row.calibrated, row.range, row.reason
            );
        }
        for row in &report.layers {
            println!("  {row:?}");
        }
        let close = measure(&model, &case.runner, &references, None).unwrap();
        println!("{} refs: {close:?}", case.name);
        if close.max_relative_error > MAX_RELATIVE_ERROR {
            failures.push(format!("{}: {close:?}", case.name));
        }
        if let Some(evaluation) = evaluation {
            let labels = case.data.labels();
            let wide = measure(&model, &case.runner, &evaluation, labels.as_deref()).unwrap();
            println!("{} eval: {wide:?}", case.name);
            if wide.agreement < MIN_AGREEMENT {
                failures.push(format!("{}: {wide:?}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Without data the ranges are guesses, and still no decision is lost on these models.
#[test]
fn synthetic_calibration_keeps_decisions() {
    for case in support::bundled() {
        let (model, report) = quantise(&case.graph, None, &QuantOptions::default()).unwrap();
        assert_eq!(report.warnings.len(), 1);
        let samples = case.evaluation_samples().unwrap();
        let result = measure(&model, &case.runner, &samples, None).unwrap();
        println!("{} synthetic: {result:?}", case.name);
        assert!(result.agreement >= 0.98, "{}: {result:?}", case.name);
    }
}

/// More bits never make a model unusable, and 8 are enough to decide.
#[test]
fn every_width_quantises() {
    for case in support::bundled() {
        let samples = case.evaluation_samples().unwrap();
        for bits in 8..=16 {
            let options = QuantOptions {
                bits,
                ..QuantOptions::default()
            };
            let (model, _) = quantise(&case.graph, Some(&samples[..64]), &options).unwrap();
            let result = measure(&model, &case.runner, &samples, None).unwrap();
            println!("{} {bits}: {:.6}", case.name, result.max_relative_error);
            assert!(result.agreement >= 0.98, "{} {bits}: {result:?}", case.name);
        }
    }
}
