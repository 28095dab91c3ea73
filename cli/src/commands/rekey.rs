//! `provenn rekey`: a key with private weights, replaced by one with a fresh budget.

use std::path::Path;
use std::time::Instant;

use prover::{Ledger, Prover};
use tracing::info_span;
use verifier::rekey::max_rekey_bytes;
use verifier::{Prepared, RekeyProof, verify_rekey};

use super::{MAX_FILE, P, budget, millis, peak_rss, verify as verify_command};
use crate::args::RekeyArgs;
use crate::error::{Code, Failure};
use crate::report::{Report, hex, size};
use crate::{disclosure, files, progress};

pub fn run(args: &RekeyArgs) -> Result<Report, Failure> {
    let start = Instant::now();
    let in_key = |failure: Failure| failure.in_file(&args.key);
    let bytes = files::read(&args.key, MAX_FILE)?;
    let old = Prover::<P>::from_bytes(&bytes).map_err(|e| in_key(e.into()))?;
    if old.budget().is_none() {
        return Err(in_key(prover::ProveError::PublicWeights.into()));
    }
    let mut ledger = Ledger::open(&args.key, &old).map_err(|e| in_key(e.into()))?;
    files::create_dir(&args.output)?;
    let path = |name: &str| args.output.join(name);
    let (pk_path, vk_path, proof_path) = (path("model.pk"), path("model.vk"), path("model.rekey"));
    refuse_to_overwrite(&pk_path)?;

    let old_key = old.verifying_key().clone();
    let (new, proof) = old.rekey().map_err(|e| in_key(e.into()))?;
    let new_key = new.verifying_key();
    let proof = proof.to_bytes(&old_key);
    let rekeyed = info_span!("verify")
        .in_scope(|| {
            let proof = RekeyProof::<P>::from_bytes(&proof, &old_key).map_err(|e| e.to_string())?;
            verify_rekey(&old_key, new_key, &proof).map_err(|e| e.to_string())
        })
        .map_err(|e| Failure::new(Code::Bug, format!("the rekey proof does not verify: {e}")))?;

    // The new keys disclose nothing; the proof uses up what is left of the old mask. So keys, mark,
    // proof: whatever fails on the way, there is never a proof that the old key does not know of.
    let (pk, vk) = (new.to_bytes(), new_key.key.to_bytes());
    files::write_secret(&pk_path, &pk)?;
    files::write(&vk_path, &vk)?;
    ledger.replace().map_err(|e| in_key(e.into()))?;
    files::write(&proof_path, &proof)?;
    progress::note(&format!(
        "note: {} is replaced and proves nothing more",
        args.key.display()
    ));

    let mut report = Report::new("rekey");
    report.item("old key", hex(&rekeyed.old));
    report.item("new key", hex(&rekeyed.new));
    report.item("privacy", disclosure::of_key(new_key.key.privacy));
    budget(&mut report, new.budget());
    for (label, path, bytes) in [
        ("proving key", &pk_path, &pk),
        ("verifying", &vk_path, &vk),
        ("rekey proof", &proof_path, &proof),
    ] {
        let size = size(bytes.len() as u64);
        report.item(label, format!("{} ({size})", path.display()));
    }
    report.item("time", format!("{:.0} ms", millis(start)));
    report.json("old_vk_digest", hex(&rekeyed.old));
    report.json("new_vk_digest", hex(&rekeyed.new));
    report.json("pk", pk_path.display().to_string());
    report.json("vk", vk_path.display().to_string());
    report.json("proof", proof_path.display().to_string());
    report.json("proof_bytes", proof.len());
    report.json("security_bits", rekeyed.security_bits);
    report.json("peak_rss_bytes", peak_rss());
    Ok(report)
}

/// A proving key counts its proofs, and the old one must remember that it is replaced: no key is
/// overwritten by another.
fn refuse_to_overwrite(new: &Path) -> Result<(), Failure> {
    if new.exists() {
        let message = "there is a proving key, which the new one would overwrite, and its count of \
                       proofs with it: name another directory";
        return Err(Failure::new(Code::Usage, message).in_file(new));
    }
    Ok(())
}

/// `provenn verify --successor`: that one key replaces another, with the same weights.
pub fn verify(old: &Prepared<P>, new_path: &Path, proof_path: &Path) -> Result<Report, Failure> {
    let new = verify_command::read_key(new_path)?;
    let in_proof = |failure: Failure| failure.in_file(proof_path);
    let bytes = files::read(proof_path, max_rekey_bytes(old) as u64)?;
    let start = Instant::now();
    let proof = RekeyProof::<P>::from_bytes(&bytes, old).map_err(|e| in_proof(e.into()))?;
    let rekeyed = verify_rekey(old, &new, &proof).map_err(|e| in_proof(e.into()))?;
    let verify_ms = millis(start);

    let mut report = Report::new("verify");
    report.line("accepted: the new key is for the same model, with the same weights");
    report.item("old key", hex(&rekeyed.old));
    report.item("new key", hex(&rekeyed.new));
    report.item("new model", hex(&new.model_digest()));
    report.item("security", format!("{} bits proven", rekeyed.security_bits));
    report.item("time", format!("{verify_ms:.1} ms"));
    report.json("accepted", true);
    report.json("old_vk_digest", hex(&rekeyed.old));
    report.json("new_vk_digest", hex(&rekeyed.new));
    report.json("security_bits", rekeyed.security_bits);
    report.json("proof_bytes", bytes.len());
    report.json("verify_ms", verify_ms);
    Ok(report)
}
