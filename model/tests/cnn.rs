//! Convolutional networks of the zoo: the float graph equals the file's reference outputs, and the
//! integers decide alike.

mod support;

use std::time::Instant;

use model::accuracy::measure;
use model::{FIELD_MODULUS, QuantOptions, quantise};

/// Share of labelled samples on which integers must decide as floats do.
const MIN_AGREEMENT: f64 = 0.995;
/// Largest error of an output without labels, relative to its range.
const MAX_RELATIVE_ERROR: f64 = 0.01;

const MODELS: [&str; 13] = [
    "lenet5_mnist",
    "cnn264k_mnist32",
    "mnist-zoo-cntk",
    "mnist-verivital-avgpool",
    "cifar-oval21-base",
    "cifar-resnet-2b",
    "cifar-resnet-4b",
    "mobilenetv2-nsfwjs",
    "face_detection_short_range",
    "minifasnet-live-spoof",
    "face_detection_full_range",
    "ppocr-v2-cls",
    // Written by testdata/resnet18.py, with random weights.
    "resnet18",
];

/// `PROVENN_ONLY` names one model to look at.
fn wanted(name: &str) -> bool {
    std::env::var("PROVENN_ONLY").map_or(true, |only| only == name)
}

/// `PROVENN_BITS` sets the bits of activations.
fn bits() -> Option<u32> {
    std::env::var("PROVENN_BITS").ok()?.parse().ok()
}

#[test]
fn convolutional_models_agree() {
    let Some(root) = support::zoo() else { return };
    let mut failures = Vec::new();
    let present = |name: &&str| wanted(name) && root.join(name).is_dir();
    for name in MODELS.into_iter().filter(present) {
        match check(&root.join(name)) {
            Ok(()) => {}
            Err(failure) => {
                println!("{name}: FAILED {failure}");
                failures.push(format!("{name}: {failure}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn check(folder: &std::path::Path) -> Result<(), String> {
    let started = Instant::now();
    let case = support::Case::try_load(folder)?;
    let name = &case.name;
    let loaded = started.elapsed();
    let references = case.reference_samples();
    let samples = case
        .evaluation_samples()
        .unwrap_or_else(|| references.clone());
    let started = Instant::now();
    case.graph
        .evaluate(&references[0])
        .map_err(|e| e.to_string())?;
    let float_time = started.elapsed();
    check_floats(&case, &references)?;
    let calibration = &samples[..samples.len().min(64)];
    let started = Instant::now();
    let options = QuantOptions {
        bits: bits().unwrap_or(QuantOptions::default().bits),
        target_error: case.data.labels().is_none().then_some(MAX_RELATIVE_ERROR),
        ..QuantOptions::default()
    };
    let (model, report) =
        quantise(&case.graph, Some(calibration), &options).map_err(|e| e.to_string())?;
    let quantised = started.elapsed();
    if std::env::var_os("PROVENN_ONLY").is_some() {
        report.inputs.iter().for_each(|row| println!("  {row:?}"));
        for (row, layer) in report.layers.iter().zip(&model.graph.layers) {
            println!(
                "  {} terms, {} | {row:?}",
                layer.terms.len(),
                layer.requant.activation.domain.len()
            );
        }
    }
    report.warnings.iter().for_each(|w| println!("{name}: {w}"));
    assert_eq!(model.validate(FIELD_MODULUS), Ok(()));
    summary(name, &model);
    let started = Instant::now();
    let labels = case.data.labels();
    let result =
        measure(&model, &case.runner, &samples, labels.as_deref()).map_err(|e| e.to_string())?;
    println!(
        "{name}: load {loaded:.1?}, float {float_time:.2?}, quantise {quantised:.1?}, {:.2?} a sample: \
         agreement {:.4}, error {:.5} of {:.3}",
        started.elapsed() / samples.len() as u32,
        result.agreement,
        result.max_relative_error,
        result.output_range
    );
    if labels.is_some() && result.agreement < MIN_AGREEMENT {
        return Err(format!("agreement {}", result.agreement));
    }
    if labels.is_none() && result.max_relative_error > MAX_RELATIVE_ERROR {
        return Err(format!("error {}", result.max_relative_error));
    }
    Ok(())
}

/// What the layout will have to pay for.
fn summary(name: &str, model: &air::graph::Model) {
    let graph = &model.graph;
    let elements = |with: &dyn Fn(&air::graph::Layer) -> bool| -> usize {
        let layers = graph.layers.iter().filter(|l| with(l));
        layers.map(|l| graph.tensors[l.output.index()].len()).sum()
    };
    let mut tables: Vec<_> = (graph.layers.iter())
        .map(|l| {
            let a = l.requant.activation;
            let scales = if a.function.is_homogeneous() {
                (0, a.out_frac_bits - a.in_frac_bits)
            } else {
                (a.in_frac_bits, a.out_frac_bits)
            };
            (a.function, a.domain, a.image, scales)
        })
        .collect();
    tables.sort_unstable_by_key(|t| format!("{t:?}"));
    tables.dedup();
    let entries: i64 = tables.iter().map(|t| t.1.len()).sum();
    let weights: u64 = graph.terms().map(|(_, t)| t.map.weights()).sum();
    println!(
        "{name}: {} layers, {} terms, {} elements ({} with excess), {weights} weights, {} tables of {entries} entries",
        graph.layers.len(),
        graph.terms().count(),
        elements(&|_| true),
        elements(&|l| l.requant.excess_bits > 0),
        tables.len(),
    );
}

fn check_floats(case: &support::Case, references: &[model::Sample]) -> Result<(), String> {
    for (o, expected) in case.all_reference_outputs().into_iter().enumerate() {
        // Without references, the comparison that import makes has to do.
        let Some(expected) = expected else { continue };
        let scale = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
        let mut got = Vec::new();
        for sample in references {
            got.extend(
                case.graph.evaluate(sample).map_err(|e| e.to_string())?[o]
                    .iter()
                    .copied(),
            );
        }
        if got.len() != expected.len() {
            return Err(format!(
                "output {o} has {} elements, not {}",
                got.len(),
                expected.len()
            ));
        }
        for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
            if (f64::from(*g) - e).abs() > 1e-3 * scale {
                return Err(format!("output {o}, element {i}: {g} {e}"));
            }
        }
    }
    Ok(())
}
