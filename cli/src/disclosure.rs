//! What a proof shows and hides, in words.

use air::graph::Graph;
use air::statement::{Disclosed, Statement, TensorDigest};
use serde_json::{Value, json};
use verifier::Privacy;

use crate::report::{Report, hex, preview};

/// Says in one line what whoever has proofs made with a key learns, and what not.
pub fn of_key(privacy: Privacy) -> String {
    match privacy {
        Privacy::None => NOT_ZERO_KNOWLEDGE.into(),
        Privacy::Data => "zero-knowledge; weights public; input and output as `prove` says".into(),
        Privacy::DataAndWeights { proofs } => format!(
            "zero-knowledge; weights hidden for {proofs} proofs, their shapes, scales and bounds \
             public; input and output as `prove` says"
        ),
    }
}

const NOT_ZERO_KNOWLEDGE: &str =
    "none: succinct, not zero-knowledge; input, output and weights are public";

/// Says in one line, and in JSON, what whoever has the proof learns.
pub fn of_proof(report: &mut Report, statement: &Statement, privacy: Privacy) {
    let weights = match privacy {
        Privacy::DataAndWeights { .. } => Disclosed::PRIVATE,
        Privacy::None | Privacy::Data => Disclosed::public(Vec::new()),
    };
    let parts = [
        ("input", statement.inputs.as_slice()),
        ("output", statement.outputs.as_slice()),
        ("weights", std::slice::from_ref(&weights)),
    ];
    let (mut hidden, mut public) = (Vec::new(), Vec::new());
    for (name, tensors) in parts {
        match facts(tensors) {
            None => public.push(name.to_owned()),
            Some(facts) if facts.is_empty() => hidden.push(name.to_owned()),
            Some(facts) => hidden.push(format!("{name} (but for {})", facts.join(" and "))),
        }
    }
    let zero_knowledge = privacy != Privacy::None;
    let line = match (zero_knowledge, hidden.is_empty()) {
        (false, _) => NOT_ZERO_KNOWLEDGE.into(),
        (true, true) => format!("{} public; everything between hidden", public.join(", ")),
        (true, false) => {
            let hidden = hidden.join(", ");
            match public.is_empty() {
                true => format!("{hidden} hidden (zero-knowledge); nothing public"),
                false => format!(
                    "{hidden} hidden (zero-knowledge); {} public",
                    public.join(", ")
                ),
            }
        }
    };
    report.item("privacy", line);
    let word = |tensors: &[Disclosed]| match facts(tensors) {
        None => "public",
        Some(_) if tensors.iter().any(|d| d.digest.is_some()) => "hashed",
        Some(_) => "private",
    };
    let [input, output, weights] = parts.map(|(_, tensors)| word(tensors));
    report.json(
        "visibility",
        json!({"input": input, "output": output, "weights": weights}),
    );
    report.json("zero_knowledge", zero_knowledge);
}

/// What is said of tensors that are not shown; `None` if all are.
fn facts(tensors: &[Disclosed]) -> Option<Vec<String>> {
    if tensors.iter().all(|d| d.values.is_some()) {
        return None;
    }
    let mut facts: Vec<String> = Vec::new();
    for disclosed in tensors {
        for fact in [
            disclosed.digest.as_ref().map(|d| match d.salted {
                true => format!("its {} digest", name(d)),
                false => format!("its unsalted {} digest", name(d)),
            }),
            disclosed.bounds.as_ref().map(|_| "bounds".into()),
            disclosed.leading.as_ref().map(|l| leading_words(l)),
        ] {
            facts.extend(fact.filter(|f| !facts.contains(f)));
        }
    }
    Some(facts)
}

fn leading_words(leading: &[Vec<u32>]) -> String {
    match leading.first().map_or(0, Vec::len) {
        1 => "which is largest".into(),
        n => format!("which {n} are largest"),
    }
}

fn name(digest: &TensorDigest) -> &'static str {
    match digest.hash {
        air::statement::Hash::Sha256 => "SHA-256",
        air::statement::Hash::Poseidon2 => "Poseidon2",
    }
}

/// A digest with its kind.
pub fn digest_words(digest: &TensorDigest) -> String {
    let salted = if digest.salted { "salted" } else { "unsalted" };
    format!("{} ({salted} {})", hex(&digest.bytes), name(digest))
}

/// What a statement says of a tensor, for people.
pub fn said(disclosed: &Disclosed) -> String {
    let mut parts = Vec::new();
    if let Some(values) = &disclosed.values {
        let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        parts.push(format!("public, integers {}", preview(&values)));
    } else {
        parts.push("private".into());
    }
    if let Some(digest) = &disclosed.digest {
        parts.push(format!("digest {}", digest_words(digest)));
    }
    if let Some(bounds) = &disclosed.bounds {
        let intervals = bounds.iter().take(6).map(|r| format!("{}…{}", r.lo, r.hi));
        let list = intervals.collect::<Vec<_>>().join(", ");
        let more = if bounds.len() > 6 { ", …" } else { "" };
        parts.push(format!("features within, as integers, {list}{more}"));
    }
    if let Some(leading) = &disclosed.leading {
        parts.push(format!("largest {leading:?}"));
    }
    parts.join("; ")
}

/// Adds what is said of hidden tensors to a report: a line for each fact, with the tensor's name.
pub fn hidden_facts(report: &mut Report, graph: &Graph, statement: &Statement) {
    for (_, id, disclosed) in statement.tensors(graph) {
        let tensor = &graph.tensors[id.index()];
        if let Some(digest) = &disclosed.digest {
            let text = format!("{} = {}", tensor.name, digest_words(digest));
            report.item("digest", text);
        }
        if let Some(bounds) = &disclosed.bounds {
            let real = |(f, r): (usize, &air::graph::Range)| {
                let [lo, hi] = [r.lo, r.hi].map(|q| tensor.encoding.dequantise(f, q));
                format!("{lo}…{hi}")
            };
            let list: Vec<String> = bounds.iter().enumerate().take(6).map(real).collect();
            let more = if bounds.len() > 6 { ", …" } else { "" };
            report.item(
                "bounds",
                format!("{} in {}{more}", tensor.name, list.join(", ")),
            );
        }
        if let Some(leading) = &disclosed.leading {
            let list: Vec<String> = leading.iter().map(|l| format!("{l:?}")).collect();
            report.item("largest", format!("{}: {}", tensor.name, list.join(", ")));
        }
    }
    report.json("input_facts", facts_json(&statement.inputs));
    report.json("output_facts", facts_json(&statement.outputs));
}

/// What is said of hidden tensors, one object for each.
pub fn facts_json(tensors: &[Disclosed]) -> Value {
    let one = |d: &Disclosed| {
        let digest = d.digest.as_ref().map(|digest| {
            json!({
                "hash": digest.hash.name(),
                "salted": digest.salted,
                "hex": hex(&digest.bytes),
            })
        });
        let bounds = d.bounds.as_ref();
        let bounds = bounds.map(|b| b.iter().map(|r| [r.lo, r.hi]).collect::<Vec<_>>());
        json!({"digest": digest, "bounds": bounds, "largest": d.leading})
    };
    tensors.iter().map(one).collect()
}
