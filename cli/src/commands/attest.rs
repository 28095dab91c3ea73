//! Attestations: `setup --attest` makes them, `verify` checks them.

use std::path::Path;
use std::time::Instant;

use prover::Prover;
use tracing::info_span;
use verifier::attest::max_attestation_bytes;
use verifier::{AttestError, Attestation, Attested, Prepared, verify_attestation};

use super::{P, check_memory, millis};
use crate::args::{SetupArgs, VerifyArgs};
use crate::error::{Code, Failure};
use crate::files;
use crate::report::{Report, hex, size};

/// The bytes of an attestation of the prover's key, and the time it took. With private weights a unit
/// of the budget is spent in memory: write the proving key, which says so, before these bytes.
pub fn make(prover: &Prover<P>, args: &SetupArgs) -> Result<(Vec<u8>, f64), Failure> {
    let start = Instant::now();
    let key = prover.verifying_key();
    let in_model = |failure: Failure| failure.in_file(&args.model);
    let (layout, _) = (key.attest_layout()).map_err(|e| in_model(AttestError::from(e).into()))?;
    check_memory(&layout, &key.profile, &args.options)
        .map_err(|e| in_model(e).hint("leave --attest out"))?;
    let bytes = prover
        .attest()
        .map_err(|e| in_model(e.into()))?
        .to_bytes(key);
    let time = millis(start);
    info_span!("verify")
        .in_scope(|| check(key, &bytes))
        .map_err(|e| Failure::new(Code::Bug, format!("the attestation does not verify: {e}")))?;
    Ok((bytes, time))
}

/// Says what was made and where it is.
pub fn made(report: &mut Report, path: &Path, bytes: &[u8], time: f64) {
    let size = size(bytes.len() as u64);
    report.item(
        "attestation",
        format!("{} ({size}), {time:.0} ms", path.display()),
    );
    report.json("attestation", path.display().to_string());
    report.json("attestation_bytes", bytes.len());
    report.json("attest_ms", time);
}

fn check(key: &Prepared<P>, bytes: &[u8]) -> Result<Attested, AttestError> {
    verify_attestation(key, &Attestation::<P>::from_bytes(bytes, key)?)
}

/// `provenn verify` of an attestation.
pub fn verify(key: &Prepared<P>, args: &VerifyArgs) -> Result<Report, Failure> {
    let path = &args.proof;
    let in_file = |failure: Failure| failure.in_file(path);
    if args.input.is_some() || args.output.is_some() || args.salt.is_some() {
        let message = "an attestation is about no input and no output";
        return Err(in_file(Failure::new(Code::Usage, message)));
    }
    let limit = max_attestation_bytes(key).map_err(|e| Failure::from(e).in_file(&args.vk))?;
    let bytes = files::read(path, limit as u64)?;
    let start = Instant::now();
    let attested = check(key, &bytes).map_err(|e| in_file(e.into()))?;
    let verify_ms = millis(start);

    let mut report = Report::new("verify");
    report.line(
        "accepted: the weights of the key are integers that overflow no layer, whatever the input",
    );
    report.item("key", hex(&attested.key));
    report.item("model", hex(&key.model_digest()));
    report.item(
        "security",
        format!("{} bits proven", attested.security_bits),
    );
    report.item("time", format!("{verify_ms:.1} ms"));
    report.json("accepted", true);
    report.json("kind", "attestation");
    report.json("vk_digest", hex(&attested.key));
    report.json("model_digest", hex(&key.model_digest()));
    report.json("security_bits", attested.security_bits);
    report.json("proof_bytes", bytes.len());
    report.json("verify_ms", verify_ms);
    Ok(report)
}
