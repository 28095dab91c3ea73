//! Proving and verifying real models, warm. `cargo bench -p provenn-benches --bench models`.
//!
//! Large models do not ship: set `PROVENN_MODELS` to a folder that holds `NAME/{model.onnx,refs.npz}` to
//! measure them as well. `resnet18` is written by `testdata/resnet18.py`; its weights are random.

use std::time::Instant;

use air::statement::{Hash, Policy, Visibility};
use criterion::{Criterion, criterion_group, criterion_main};
use provenn_benches::{Case, P, case};
use verifier::{Privacy, Profile, ProofFile, verify};

fn models(criterion: &mut Criterion) {
    let cases = [
        ("logreg_cancer", Profile::LATENCY),
        ("adult-income-mlp", Profile::LATENCY),
        ("mlp2_mnist", Profile::LATENCY),
        ("dense4m_mnist", Profile::LATENCY),
        ("dense4m_mnist", Profile::THROUGHPUT),
        ("lenet5_mnist", Profile::LATENCY),
        ("mnist-zoo-cntk", Profile::LATENCY),
        ("cnn264k_mnist32", Profile::LATENCY),
        ("cifar-resnet-4b", Profile::LATENCY),
        ("face_detection_short_range", Profile::THROUGHPUT),
        ("minifasnet-live-spoof", Profile::THROUGHPUT),
        ("resnet18", Profile::THROUGHPUT),
        ("mobilenetv2-nsfwjs", Profile::THROUGHPUT),
    ];
    for (name, profile) in cases {
        for privacy in [Privacy::None, Privacy::Data] {
            measure(criterion, name, &profile, privacy);
        }
    }
}

/// One model, one profile, hiding nothing or everything but the output.
fn measure(criterion: &mut Criterion, name: &str, profile: &Profile, privacy: Privacy) {
    let Some(case) = case(name, profile, privacy, 12) else {
        eprintln!("{name}: not found, skipped");
        return;
    };
    let (policy, zk) = match privacy {
        Privacy::None => (Policy::PUBLIC, "zk off"),
        _ => (Policy::default(), "zk on"),
    };
    prove_and_verify(criterion, name, &case, &policy, zk);
}

/// What a digest of a hidden image costs: 784 elements of one byte.
fn hashed(criterion: &mut Criterion) {
    let Some(case) = case("mlp2_mnist", &Profile::LATENCY, Privacy::Data, 8) else {
        return;
    };
    prove_and_verify(
        criterion,
        "mlp2_mnist-8bit",
        &case,
        &Policy::default(),
        "private",
    );
    for hash in [Hash::Sha256, Hash::Poseidon2] {
        let salts = Some(vec![[7; 32]]);
        let policy = Policy::new(Visibility::Hashed { hash, salts }, Visibility::Public);
        prove_and_verify(criterion, "mlp2_mnist-8bit", &case, &policy, hash.name());
    }
}

fn prove_and_verify(
    criterion: &mut Criterion,
    name: &str,
    case: &Case,
    policy: &Policy,
    label: &str,
) {
    let prover = &case.prover;
    let key = prover.verifying_key();
    let evaluation = prover.evaluate(&case.input).expect("the model evaluates");
    let bytes = prover
        .prove(&evaluation, policy)
        .expect("the prover finishes")
        .to_bytes(key);
    let profile = key.profile.name;
    let statement = prover.statement(&evaluation, policy).expect("it is true");
    let (layout, _) = key.proof_layout(&statement).expect("it has a layout");
    eprintln!(
        "{name} ({profile}, {label}): {} cells, {} proof bytes",
        layout.committed_cells(5),
        bytes.len()
    );
    let seconds = median_of_three(|| {
        prover
            .prove(&evaluation, policy)
            .expect("the prover finishes");
    });
    let unit = prover::commit_unit::<P>(&key.profile);
    let predicted = prover::predict(&layout, &key.profile, unit).total.seconds;
    eprintln!(
        "{name} ({profile}, {label}): {seconds:.3} s, {:.2} of the prediction",
        seconds / predicted
    );
    let mut group = criterion.benchmark_group(format!("{name}/{profile}/{label}"));
    group.sample_size(10);
    group.bench_function("prove", |b| {
        b.iter(|| {
            let evaluation = prover.evaluate(&case.input).expect("the model evaluates");
            prover
                .prove(&evaluation, policy)
                .expect("the prover finishes")
        });
    });
    group.bench_function("verify", |b| {
        b.iter(|| {
            let file = ProofFile::<P>::from_bytes(&bytes, key).expect("the proof decodes");
            verify(key, &file.statement, &file.proof).expect("the proof verifies")
        });
    });
    group.finish();
}

/// Seconds that `run` takes.
fn median_of_three(mut run: impl FnMut()) -> f64 {
    let mut seconds = [0.0; 3].map(|_: f64| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    seconds.sort_by(f64::total_cmp);
    seconds[1]
}

criterion_group!(benches, models, hashed);
criterion_main!(benches);
