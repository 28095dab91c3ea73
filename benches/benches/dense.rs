//! Proving and verifying dense models, warm. `cargo bench -p provenn-benches`.
//!
//! The 4 M-parameter model is too large to ship: set `PROVENN_MODELS` to a folder that holds
//! `dense4m_mnist/{model.onnx,refs.npz}` to measure it as well.

use criterion::{Criterion, criterion_group, criterion_main};
use provenn_benches::{P, case};
use verifier::{Profile, ProofFile, verify};

fn dense(criterion: &mut Criterion) {
    let cases = [
        ("logreg_cancer", Profile::LATENCY),
        ("adult-income-mlp", Profile::LATENCY),
        ("mlp2_mnist", Profile::LATENCY),
        ("dense4m_mnist", Profile::LATENCY),
        ("dense4m_mnist", Profile::THROUGHPUT),
    ];
    for (name, profile) in cases {
        let Some(case) = case(name, &profile) else {
            eprintln!("{name}: not found, skipped");
            continue;
        };
        let prover = &case.prover;
        let key = prover.verifying_key();
        let evaluation = prover.evaluate(&case.input).expect("the model evaluates");
        let bytes = prover
            .prove(&evaluation)
            .expect("the prover finishes")
            .to_bytes(key);
        eprintln!(
            "{name} ({}): {} cells, {} proof bytes",
            profile.name,
            prover.committed_cells(),
            bytes.len()
        );
        let mut group = criterion.benchmark_group(format!("{name}/{}", profile.name));
        group.sample_size(10);
        group.bench_function("prove", |b| {
            b.iter(|| {
                let evaluation = prover.evaluate(&case.input).expect("the model evaluates");
                prover.prove(&evaluation).expect("the prover finishes")
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
}

criterion_group!(benches, dense);
criterion_main!(benches);
