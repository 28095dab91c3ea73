//! `provenn verify`

use std::path::Path;
use std::time::Instant;

use air::graph::Graph;
use air::statement::{Disclosed, Statement};
use model::data::{DataFile, InputSpec};
use prover::Prover;
use verifier::codec::{self, Kind};
use verifier::key::MAX_KEY_BYTES;
use verifier::proof::max_proof_bytes;
use verifier::{Prepared, Privacy, ProofFile, VerifyingKey, verify_file};

use super::{P, attest, hash, millis, quantise, rekey, tensors_json};
use crate::args::{Side, VerifyArgs};
use crate::error::{Code, Failure};
use crate::report::{Report, hex, preview};
use crate::salts::Salts;
use crate::{disclosure, files};

/// Bytes of a file that say what it is.
const HEAD: u64 = 64;

pub fn run(args: &VerifyArgs) -> Result<Report, Failure> {
    let key = read_key(&args.vk)?;
    if let Some(successor) = &args.successor {
        return rekey::verify(&key, successor, &args.proof);
    }
    require_model(args, &key)?;
    if let Ok((Kind::Attestation, _)) = codec::sniff(&files::head(&args.proof, HEAD)?) {
        return attest::verify(&key, args);
    }
    let bytes = files::read(&args.proof, max_proof_bytes(&key) as u64)?;
    let start = Instant::now();
    let file = ProofFile::<P>::from_bytes(&bytes, &key)
        .map_err(|e| Failure::from(e).in_file(&args.proof))?;
    if file.key != key.digest {
        let message = format!(
            "made for the key {}, not for {}",
            hex(&file.key),
            hex(&key.digest)
        );
        return Err(Failure::new(Code::Rejected, message).in_file(&args.proof));
    }
    let verified = verify_file(&key, &file).map_err(|e| Failure::from(e).in_file(&args.proof))?;
    let verify_ms = millis(start);

    let graph = &key.key.graph;
    if let Some(path) = &args.input {
        require_input(path, args.salt.as_deref(), graph, &file.statement)?;
    }
    if let Some(path) = &args.output {
        require_output(path, args.salt.as_deref(), graph, &file.statement)?;
    }

    let inputs = real_inputs(graph, &file.statement);
    let outputs =
        model::accuracy::dequantise_outputs(graph, &super::shown_values(&file.statement.outputs));
    let mut report = Report::new("verify");
    let (input, output) = (says(&file.statement.inputs), says(&file.statement.outputs));
    report.line(format!(
        "accepted: the quantised model gives {output} output for {input} input"
    ));
    report.item("model", hex(&verified.model));
    if let Some(model) = &args.model {
        report.item(
            "key",
            format!("the one `setup` makes of {}", model.display()),
        );
    }
    for (id, values) in graph.inputs.iter().zip(&inputs) {
        if values.is_empty() {
            continue;
        }
        let name = &graph.tensors[id.index()].name;
        report.item("input", format!("{name} = {}", preview(values)));
    }
    for (id, values) in graph.outputs.iter().zip(&outputs) {
        if values.is_empty() {
            continue;
        }
        let name = &graph.tensors[id.index()].name;
        report.item("output", format!("{name} = {}", preview(values)));
    }
    report.item("statement", hex(&verified.statement));
    let (_, security) = key
        .proof_layout(&file.statement)
        .map_err(|e| Failure::from(e).in_file(&args.proof))?;
    report.item("security", security.summary());
    disclosure::of_proof(&mut report, &file.statement, key.key.privacy);
    disclosure::hidden_facts(&mut report, graph, &file.statement);
    report.item("time", format!("{verify_ms:.1} ms"));

    report.json("accepted", true);
    report.json("key_recomputed", args.model.is_some());
    report.json("model_digest", hex(&verified.model));
    report.json("vk_digest", hex(&verified.key));
    report.json("statement_digest", hex(&verified.statement));
    report.json("input", tensors_json(&inputs));
    report.json("output", tensors_json(&outputs));
    report.json("profile", key.profile.name);
    report.json("security_bits", verified.security_bits);
    report.json("proof_bytes", bytes.len());
    report.json("verify_ms", verify_ms);
    Ok(report)
}

/// Reads and checks a verifying key, its fixed columns included.
pub fn read_key(path: &Path) -> Result<Prepared<P>, Failure> {
    let bytes = files::read(path, MAX_KEY_BYTES as u64)?;
    let key = VerifyingKey::<P>::from_bytes(&bytes).map_err(|e| Failure::from(e).in_file(path))?;
    tracing::info_span!("audit key")
        .in_scope(|| key.audit())
        .map_err(|e| Failure::from(e).in_file(path))?;
    Ok(key)
}

/// Requires that the key is what `setup` makes of the ONNX file, byte for byte. Profile and privacy
/// are the key's: they are not the model's, and everyone can see them.
fn require_model(args: &VerifyArgs, key: &Prepared<P>) -> Result<(), Failure> {
    let Some(path) = &args.model else {
        if args.quantise.is_given() {
            let message =
                "--calibrate, --bits and --shape say how --model was quantised; give it too";
            return Err(Failure::new(Code::Usage, message));
        }
        return Ok(());
    };
    let model = quantise(path, &args.quantise, None)?.model;
    let rejected = |why: String| Failure::new(Code::Rejected, why).in_file(&args.vk);
    let name = path.display();
    if model.graph != key.key.graph {
        let why = format!("not the key of {name}: its layers or scales are others");
        let hint = "give --calibrate, --bits and --shape as they were given to `setup`";
        return Err(rejected(why).hint(hint));
    }
    if let Privacy::DataAndWeights { .. } = key.key.privacy {
        let why = format!(
            "its layers and scales are those of {name}, but its weights are private and cannot be \
             compared"
        );
        let hint = "leave --model out; which weights the key holds is its maker's word";
        return Err(rejected(why).hint(hint));
    }
    let prover = Prover::<P>::new(model, &key.profile, key.key.privacy)
        .map_err(|e| Failure::from(e).in_file(path))?;
    if prover.verifying_key().key.to_bytes() == key.key.to_bytes() {
        return Ok(());
    }
    let why = format!("not the key of {name}: its weights are others");
    Err(rejected(why))
}

/// The statement's inputs as real numbers, row-major.
pub fn real_inputs(graph: &Graph, statement: &Statement) -> Vec<Vec<f64>> {
    graph
        .inputs
        .iter()
        .zip(super::shown_values(&statement.inputs))
        .map(|(id, values)| {
            if values.is_empty() {
                return Vec::new();
            }
            let tensor = &graph.tensors[id.index()];
            let positions = tensor.positions();
            let order = tensor.row_major().into_iter();
            order
                .map(|i| tensor.encoding.dequantise(i / positions, values[i]))
                .collect()
        })
        .collect()
}

/// How the verdict speaks of a side of the statement.
fn says(tensors: &[Disclosed]) -> &'static str {
    match tensors.iter().all(|d| d.values.is_some()) {
        true => "this",
        false => "a hidden",
    }
}

/// Compares data with what the proof says of a hidden side: its digests, or nothing at all, and then
/// the proof does not speak of these data. Returns whether the side is hidden.
fn require_hidden(
    path: &Path,
    salt: Option<&Path>,
    graph: &Graph,
    side: Side,
    said: &[Disclosed],
) -> Result<bool, Failure> {
    let name = match side {
        Side::Input => "input",
        Side::Output => "output",
    };
    let rejected = |what: String| Err(Failure::new(Code::Rejected, what).in_file(path));
    if said.iter().all(|d| d.values.is_some()) {
        return Ok(false);
    }
    let digests: Option<Vec<_>> = said.iter().map(|d| d.digest).collect();
    let Some(digests) = digests else {
        return rejected(format!(
            "the proof hides its {name}: it does not say that it is this one"
        ));
    };
    let Some(first) = digests.first() else {
        return Ok(true);
    };
    let ids = hash::side(graph, side);
    let salts = match (first.salted, salt) {
        (true, Some(path)) => Some(Salts::read(path)?.of(graph, ids, first.hash, path)?),
        (true, None) => {
            let message =
                format!("the proof states a salted digest of its {name}: --salt is needed");
            return Err(Failure::new(Code::Usage, message));
        }
        (false, _) => None,
    };
    let tensors = hash::integers(path, graph, side)?;
    let own = hash::digests(graph, ids, &tensors, first.hash, salts.as_deref())?;
    match own == digests {
        true => Ok(true),
        false => rejected(format!(
            "the proof is about another {name}, or another salt"
        )),
    }
}

fn require_input(
    path: &Path,
    salt: Option<&Path>,
    graph: &Graph,
    statement: &Statement,
) -> Result<(), Failure> {
    if require_hidden(path, salt, graph, Side::Input, &statement.inputs)? {
        return Ok(());
    }
    if hash::integers(path, graph, Side::Input)? == super::shown_values(&statement.inputs) {
        return Ok(());
    }
    let message = "the proof is about another input";
    Err(Failure::new(Code::Rejected, message).in_file(path))
}

/// The given output must be the proved one to within half a unit of its scale.
fn require_output(
    path: &Path,
    salt: Option<&Path>,
    graph: &Graph,
    statement: &Statement,
) -> Result<(), Failure> {
    if require_hidden(path, salt, graph, Side::Output, &statement.outputs)? {
        return Ok(());
    }
    let specs: Vec<InputSpec> = graph
        .outputs
        .iter()
        .map(|id| {
            let tensor = &graph.tensors[id.index()];
            InputSpec {
                name: tensor.name.clone(),
                shape: tensor.shape.iter().map(|&d| d as usize).collect(),
            }
        })
        .collect();
    let given = DataFile::read(path)?.sample(&specs)?;
    let proved =
        model::accuracy::dequantise_outputs(graph, &super::shown_values(&statement.outputs));
    let unit = |i: usize| {
        let id = graph.outputs[i];
        (-f64::from(graph.tensors[id.index()].encoding.frac_bits(0))).exp2()
    };
    let is_close = proved.iter().zip(&given).enumerate().all(|(i, (a, b))| {
        let within = |(x, y): (&f64, &f32)| (x - f64::from(*y)).abs() < 0.5 * unit(i);
        a.iter().zip(b).all(within)
    });
    if is_close {
        return Ok(());
    }
    let message = "the proof is about another output";
    Err(Failure::new(Code::Rejected, message).in_file(path))
}
