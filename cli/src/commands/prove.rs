//! `provenn prove`

use std::path::{Path, PathBuf};
use std::time::Instant;

use air::graph::Graph;
use air::statement::{Policy, Salt, Visibility};
use prover::{Budget, Ledger, Prover};
use tracing::info_span;
use verifier::codec::{self, CodecError};
use verifier::{ProofFile, verify_file};

use super::{
    DEGREE, P, budget, check_memory, eval_bug, hash, load_prover, millis, peak_rss, read_input,
    tensors_json,
};
use crate::args::{ProveArgs, Reveal, Side, Visible};
use crate::error::{Code, Failure};
use crate::report::{Report, hex, preview, size};
use crate::salts::Salts;
use crate::{bounds, disclosure, files, progress};

pub fn run(args: &ProveArgs) -> Result<Report, Failure> {
    let output = output_visibility(args)?;
    let (prover, setup_ms) = load_prover(&args.model, &args.options)?;
    let wanted = Wanted::new(args, output, &prover.model().graph)?;
    let policy = &wanted.policy;
    // Before the work: a file that cannot be written to is found out at once.
    let mut ledger = open_ledger(&args.model, &prover)?;
    let (_, inputs) = read_input(&args.input, prover.model())?;

    let start = Instant::now();
    let evaluation = prover.evaluate(&inputs).map_err(|e| eval_bug(&e))?;
    let key = prover.verifying_key();
    let (layout, security) = prover
        .statement(&evaluation, policy)
        .map_err(prover::ProveError::from)
        .and_then(|statement| Ok(key.proof_layout(&statement)?))
        .map_err(|e| Failure::from(e).in_file(&args.model))?;
    check_memory(&layout, &key.profile, &args.options).map_err(|e| {
        e.in_file(&args.model)
            .hint("digests and bounds of large tensors take large tables")
    })?;
    let file = prover
        .prove(&evaluation, policy)
        .map_err(|e| Failure::from(e).in_file(&args.model))?;
    let prove_ms = millis(start);

    let bytes = file.to_bytes(key);
    let start = Instant::now();
    // What is verified is what is written: the bytes, read back.
    let verified = info_span!("verify")
        .in_scope(|| {
            let file = ProofFile::<P>::from_bytes(&bytes, key).map_err(|e| e.to_string())?;
            verify_file(key, &file).map_err(|e| e.to_string())
        })
        .map_err(|e| Failure::new(Code::Bug, format!("the proof does not verify: {e}")))?;
    let verify_ms = millis(start);

    let proof_path = proof_path(args);
    // The proof is counted before a byte of it is let out: whatever fails from here on costs a unit of
    // the budget, and nothing that fails gives a proof away.
    let left = ledger.as_mut().map(Ledger::spend).transpose();
    let left: Option<Budget> = left.map_err(|e| Failure::from(e).in_file(&args.model))?;
    // Before the proof: without the salts nobody could ever show what was hashed.
    wanted.write_salts()?;
    files::write(&proof_path, &bytes)?;
    let vk_path = write_vk(args, &proof_path, &key.key.to_bytes())?;

    let graph = &prover.model().graph;
    // Whoever proves sees the output, shown or not.
    let outputs: Vec<_> = (graph.outputs.iter())
        .map(|id| evaluation.tensors[id.index()].clone())
        .collect();
    let outputs = model::accuracy::dequantise_outputs(graph, &outputs);

    let mut report = Report::new("prove");
    for (id, values) in graph.outputs.iter().zip(&outputs) {
        report.item(
            "output",
            format!("{} = {}", graph.tensors[id.index()].name, preview(values)),
        );
    }
    report.item("model", hex(&verified.model));
    report.item("statement", hex(&verified.statement));
    report.item("security", security.summary());
    disclosure::of_proof(&mut report, &file.statement, key.key.privacy);
    disclosure::hidden_facts(&mut report, graph, &file.statement);
    if let Some((path, _)) = &wanted.fresh_salts {
        report.item("salts", format!("{} (keep them)", path.display()));
    }
    report.item(
        "proof",
        format!("{} ({})", proof_path.display(), size(bytes.len() as u64)),
    );
    budget(&mut report, left);
    report.item(
        "time",
        format!("setup {setup_ms:.0} ms, prove {prove_ms:.0} ms, verify {verify_ms:.1} ms"),
    );
    if let Some(vk) = &vk_path {
        report.line("");
        report.line(format!(
            "check with: provenn verify --vk {} {}",
            vk.display(),
            proof_path.display()
        ));
    }

    report.json("output", tensors_json(&outputs));
    report.json("proof", proof_path.display().to_string());
    report.json("vk", vk_path.map(|p| p.display().to_string()));
    report.json("model_digest", hex(&verified.model));
    report.json("vk_digest", hex(&verified.key));
    report.json("statement_digest", hex(&verified.statement));
    report.json("profile", key.profile.name);
    report.json("security_bits", verified.security_bits);
    report.json("setup_ms", setup_ms);
    report.json("prove_ms", prove_ms);
    report.json("verify_ms", verify_ms);
    report.json("proof_bytes", bytes.len());
    report.json("committed_cells", layout.committed_cells(DEGREE));
    report.json("peak_rss_bytes", peak_rss());
    Ok(report)
}

/// The count of proofs in the file of a key with private weights. (A model set up on the fly has
/// public ones.)
fn open_ledger(path: &Path, prover: &Prover<P>) -> Result<Option<Ledger>, Failure> {
    if prover.budget().is_none() {
        return Ok(None);
    }
    let ledger = Ledger::open(path, prover).map_err(|e| Failure::from(e).in_file(path))?;
    Ok(Some(ledger))
}

/// A model set up on the fly has its verifying key written beside the proof.
fn write_vk(args: &ProveArgs, proof: &Path, vk: &[u8]) -> Result<Option<PathBuf>, Failure> {
    let head = files::read(&args.model, u64::MAX)?;
    if codec::sniff(&head) != Err(CodecError::NotOurs) {
        return Ok(None);
    }
    let path = proof.with_extension("vk");
    files::write(&path, vk)?;
    progress::note(&format!("note: wrote the verifying key {}", path.display()));
    Ok(Some(path))
}

fn proof_path(args: &ProveArgs) -> PathBuf {
    match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(args.model.file_stem().unwrap_or("model".as_ref()))
            .with_extension("proof"),
    }
}

/// What `--output-visibility` and `--reveal` say together.
fn output_visibility(args: &ProveArgs) -> Result<Visible, Failure> {
    match (args.output_visibility, args.reveal) {
        (Some(Visible::Public), Some(Reveal::None | Reveal::Largest(_)))
        | (Some(Visible::Private | Visible::Hashed), Some(Reveal::All)) => {
            let message = "--reveal and --output-visibility contradict each other";
            Err(Failure::new(Code::Usage, message))
        }
        (Some(visible), _) => Ok(visible),
        (None, None | Some(Reveal::All)) => Ok(Visible::Public),
        (None, Some(Reveal::None | Reveal::Largest(_))) => Ok(Visible::Private),
    }
}

/// What the proof is to say, and salts that were drawn for it.
struct Wanted {
    policy: Policy,
    /// Where they go.
    fresh_salts: Option<(PathBuf, Salts)>,
}

impl Wanted {
    fn new(args: &ProveArgs, output: Visible, graph: &Graph) -> Result<Self, Failure> {
        let input = args.input_visibility;
        let bounds = bounds::parse(graph, &args.bounds)?;
        if input == Visible::Public && !args.bounds.is_empty() {
            let message =
                "--bounds is for hidden inputs: whoever sees the input sees whether they hold";
            return Err(Failure::new(Code::Usage, message));
        }
        let sides = [(input, Side::Input), (output, Side::Output)];
        let hashed: Vec<Side> = (sides.iter())
            .filter(|(visible, _)| *visible == Visible::Hashed)
            .map(|&(_, side)| side)
            .collect();
        let hash = hash::hash(args.hash);
        let ids: Vec<_> = (hashed.iter())
            .flat_map(|&side| hash::side(graph, side).to_vec())
            .collect();
        if hashed.is_empty() && (args.salt.is_some() || args.unsalted) {
            let message =
                "--salt and --unsalted are for --input-visibility or --output-visibility hashed";
            return Err(Failure::new(Code::Usage, message));
        }
        let mut fresh_salts = None;
        let salts: Option<Vec<Salt>> = match (&args.salt, args.unsalted || ids.is_empty()) {
            (Some(path), _) => Some(hash::salts(path, graph, &ids, hash)?),
            (None, true) => None,
            (None, false) => {
                let path = proof_path(args).with_extension("salt");
                let drawn = Salts::fresh(graph, &ids, hash)?;
                let salts = drawn.of(graph, &ids, hash, &path)?;
                fresh_salts = Some((path, drawn));
                Some(salts)
            }
        };
        if args.unsalted {
            progress::note(hash::UNSALTED);
        }
        // Salts are in the order of `ids`: inputs, then outputs.
        let mut left = salts;
        let mut visibility = |visible, side| match visible {
            Visible::Public => Visibility::Public,
            Visible::Private => Visibility::Private,
            Visible::Hashed => {
                let count = hash::side(graph, side).len();
                let salts = left.as_mut().map(|list| list.drain(..count).collect());
                Visibility::Hashed { hash, salts }
            }
        };
        let inputs = visibility(input, Side::Input);
        let outputs = visibility(output, Side::Output);
        let leading = match args.reveal {
            Some(Reveal::Largest(count)) => Some(count),
            _ => None,
        };
        let policy = Policy {
            inputs,
            outputs,
            bounds,
            leading,
        };
        Ok(Self {
            policy,
            fresh_salts,
        })
    }

    fn write_salts(&self) -> Result<(), Failure> {
        match &self.fresh_salts {
            Some((path, salts)) => salts.write(path),
            None => Ok(()),
        }
    }
}
