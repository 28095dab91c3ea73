//! `provenn hash`: the digest a proof would state, and data made ready to be hashed.

use std::path::Path;

use air::chips::sha256;
use air::graph::{Graph, TensorId};
use air::statement::{Hash, Salt, TensorDigest, tensor_digest};
use model::data::{DataFile, InputSpec};
use serde_json::{Value, json};
use verifier::Protocol;

use super::{P, verify};
use crate::args::{HashArgs, HashName, Side};
use crate::error::{Code, Failure};
use crate::report::{Report, hex};
use crate::salts::Salts;
use crate::{disclosure, files, progress};

/// Said wherever a digest is made without a salt.
pub const UNSALTED: &str = "warning: a digest without a salt: whoever can guess the data can confirm \
                            the guess";

pub fn run(args: &HashArgs) -> Result<Report, Failure> {
    let key = verify::read_key(&args.vk)?;
    let graph = &key.key.graph;
    let (ids, hash) = (side(graph, args.side), hash(args.hash));
    let tensors = integers(&args.data, graph, args.side)?;
    let salts = match &args.salt {
        Some(path) => Some(salts(path, graph, ids, hash)?),
        None => {
            progress::note(UNSALTED);
            None
        }
    };
    let digests = digests(graph, ids, &tensors, hash, salts.as_deref())?;
    if let Some(path) = &args.bytes {
        write_bytes(path, graph, ids, &tensors, hash, salts.as_deref())?;
    }

    let mut report = Report::new("hash");
    let mut list: Vec<Value> = Vec::new();
    for (id, digest) in ids.iter().zip(&digests) {
        let name = &graph.tensors[id.index()].name;
        let text = format!("{name} = {}", disclosure::digest_words(digest));
        report.item("digest", text);
        list.push(json!({
            "tensor": name, "hash": hash.name(), "salted": digest.salted, "hex": hex(&digest.bytes),
        }));
    }
    report.json("digests", list);
    Ok(report)
}

/// The tensors of a side.
pub fn side(graph: &Graph, side: Side) -> &[TensorId] {
    match side {
        Side::Input => &graph.inputs,
        Side::Output => &graph.outputs,
    }
}

/// The hash function of that name.
pub const fn hash(name: HashName) -> Hash {
    match name {
        HashName::Sha256 => Hash::Sha256,
        HashName::Poseidon2 => Hash::Poseidon2,
    }
}

/// Data as the integers of a side's tensors.
pub fn integers(path: &Path, graph: &Graph, of: Side) -> Result<Vec<Vec<i32>>, Failure> {
    let ids = side(graph, of);
    let spec = |id: &TensorId| {
        let tensor = &graph.tensors[id.index()];
        InputSpec {
            name: tensor.name.clone(),
            shape: tensor.shape.iter().map(|&d| d as usize).collect(),
        }
    };
    let specs: Vec<InputSpec> = ids.iter().map(spec).collect();
    let sample = DataFile::read(path)?.sample(&specs)?;
    model::accuracy::quantise_tensors(graph, ids, &sample)
        .map_err(|e| Failure::new(Code::Usage, e.to_string()).in_file(path))
}

/// The salts in a file for some tensors. A file that is not there is made, with fresh ones.
pub fn salts(
    path: &Path,
    graph: &Graph,
    ids: &[TensorId],
    hash: Hash,
) -> Result<Vec<Salt>, Failure> {
    if !path.exists() {
        Salts::fresh(graph, ids, hash)?.write(path)?;
        progress::note(&format!("note: wrote salts to {}", path.display()));
    }
    Salts::read(path)?.of(graph, ids, hash, path)
}

/// The digest of each tensor.
pub fn digests(
    graph: &Graph,
    ids: &[TensorId],
    tensors: &[Vec<i32>],
    hash: Hash,
    salts: Option<&[Salt]>,
) -> Result<Vec<TensorDigest>, Failure> {
    let one = |(i, (id, values)): (usize, (&TensorId, &Vec<i32>))| {
        let tensor = &graph.tensors[id.index()];
        let salt = salts.and_then(|list| list.get(i));
        tensor_digest::<<P as Protocol>::Val>(hash, values, tensor.range, salt)
            .map_err(|e| Failure::new(Code::Usage, format!("tensor `{}`: {e}", tensor.name)))
    };
    ids.iter().zip(tensors).enumerate().map(one).collect()
}

fn write_bytes(
    path: &Path,
    graph: &Graph,
    ids: &[TensorId],
    tensors: &[Vec<i32>],
    hash: Hash,
    salts: Option<&[Salt]>,
) -> Result<(), Failure> {
    let usage = |what: &str| Err(Failure::new(Code::Usage, format!("--bytes: {what}")));
    let ([id], [values]) = (ids, tensors) else {
        return usage("the model has several tensors on that side");
    };
    let width = sha256::Width::of(graph.tensors[id.index()].range);
    let (Hash::Sha256, Some(width)) = (hash, width) else {
        return usage("only SHA-256 hashes bytes");
    };
    let salt = salts.and_then(|list| list.first());
    files::write_secret(path, &sha256::message(values, width, salt))
}
