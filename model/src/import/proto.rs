//! The file as protobuf: size caps, names, order of nodes, bound shapes. Nothing here knows what an
//! operator means.

use std::collections::HashMap;

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::ImportOptions;
use super::constant;
use super::error::ImportError;

/// Oldest operator set with today's broadcasting rules.
const MIN_OPSET: i64 = 7;
/// Newest operator set whose changes to the supported operators have been read.
const MAX_OPSET: i64 = 24;
/// Largest number of nodes of one file.
const MAX_NODES: usize = 1 << 14;
/// Largest number of elements of one input.
const MAX_INPUT_ELEMENTS: usize = 1 << 26;

/// Decodes a model and checks everything that does not depend on operators.
pub(super) fn decode(bytes: &[u8]) -> Result<ModelProto, ImportError> {
    let malformed = |reason: &str| ImportError::Malformed {
        reason: reason.to_owned(),
    };
    let model: ModelProto =
        prost::Message::decode(bytes).map_err(|error| malformed(&error.to_string()))?;
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| malformed("the file holds no graph"))?;
    if graph.node.len() > MAX_NODES {
        return Err(ImportError::TooLarge {
            what: "number of nodes".to_owned(),
            got: graph.node.len() as u64,
            max: MAX_NODES as u64,
        });
    }
    if graph.output.is_empty() {
        return Err(malformed("the graph has no output"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(malformed("sparse initializers are not supported"));
    }
    opset(&model)?;
    graph.initializer.iter().try_for_each(constant::check)?;
    Ok(model)
}

/// The version of the standard operator set the file uses.
pub(super) fn opset(model: &ModelProto) -> Result<i64, ImportError> {
    let version = model
        .opset_import
        .iter()
        .find(|import| is_standard_domain(&import.domain))
        .map_or(0, |import| import.version);
    if (MIN_OPSET..=MAX_OPSET).contains(&version) || is_foreign_only(model) {
        Ok(version)
    } else {
        Err(ImportError::Opset {
            version,
            min: MIN_OPSET,
            max: MAX_OPSET,
        })
    }
}

/// A file without any standard operator need not import their set; its nodes are refused by name.
fn is_foreign_only(model: &ModelProto) -> bool {
    model.graph.as_ref().is_some_and(|graph| {
        !graph.node.is_empty() && graph.node.iter().all(|n| !is_standard_domain(&n.domain))
    })
}

/// Whether a domain is ONNX's own.
pub(super) fn is_standard_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A name for a node that may have none.
pub(super) fn node_name(node: &NodeProto) -> String {
    match node.output.first() {
        _ if !node.name.is_empty() => node.name.clone(),
        Some(output) => output.clone(),
        None => "(unnamed)".to_owned(),
    }
}

/// An operator with its domain, unless that is ONNX's own.
pub(super) fn op_name(node: &NodeProto) -> String {
    if is_standard_domain(&node.domain) {
        node.op_type.clone()
    } else {
        format!("{}.{}", node.domain, node.op_type)
    }
}

/// Indices of the nodes the outputs depend on, each after the nodes it reads.
pub(super) fn live_nodes(graph: &GraphProto) -> Result<Vec<usize>, ImportError> {
    let producers = producers(graph)?;
    let stored: std::collections::HashSet<&str> = graph
        .initializer
        .iter()
        .map(|t| t.name.as_str())
        .chain(graph.input.iter().map(|i| i.name.as_str()))
        .collect();
    let mut order = Vec::new();
    // 0: unseen, 1: on the path from an output, 2: done.
    let mut state = vec![0u8; graph.node.len()];
    for output in &graph.output {
        let mut stack: Vec<(usize, usize)> = Vec::new();
        visit(
            &output.name,
            None,
            graph,
            &producers,
            &stored,
            &mut state,
            &mut stack,
        )?;
        while let Some((index, next)) = stack.pop() {
            let node = &graph.node[index];
            if let Some(input) = node.input.get(next) {
                stack.push((index, next + 1));
                let reader = Some(index);
                visit(
                    input, reader, graph, &producers, &stored, &mut state, &mut stack,
                )?;
            } else {
                state[index] = 2;
                order.push(index);
            }
        }
    }
    Ok(order)
}

fn visit<'a>(
    name: &str,
    reader: Option<usize>,
    graph: &GraphProto,
    producers: &HashMap<&'a str, usize>,
    stored: &std::collections::HashSet<&'a str>,
    state: &mut [u8],
    stack: &mut Vec<(usize, usize)>,
) -> Result<(), ImportError> {
    if name.is_empty() || stored.contains(name) {
        return Ok(());
    }
    let who = reader.map_or("the list of outputs".to_owned(), |r| {
        format!("node `{}`", node_name(&graph.node[r]))
    });
    let Some(&index) = producers.get(name) else {
        return Err(ImportError::Malformed {
            reason: format!("{who} names the tensor `{name}`, which nothing produces"),
        });
    };
    match state[index] {
        0 => {
            state[index] = 1;
            stack.push((index, 0));
            Ok(())
        }
        1 => Err(ImportError::Malformed {
            reason: format!("{who} is part of a cycle through the tensor `{name}`"),
        }),
        _ => Ok(()),
    }
}

/// Which node writes each tensor; every name is written once.
fn producers(graph: &GraphProto) -> Result<HashMap<&str, usize>, ImportError> {
    let duplicate = |name: &str| ImportError::Malformed {
        reason: format!("the tensor `{name}` is defined twice"),
    };
    let mut stored = HashMap::new();
    for tensor in &graph.initializer {
        if stored.insert(tensor.name.as_str(), 0).is_some() {
            return Err(duplicate(&tensor.name));
        }
    }
    let mut inputs = HashMap::new();
    for input in &graph.input {
        if inputs.insert(input.name.as_str(), 0).is_some() {
            return Err(duplicate(&input.name));
        }
    }
    let mut producers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producers.insert(name.as_str(), index).is_some()
                || stored.contains_key(name.as_str())
                || inputs.contains_key(name.as_str())
            {
                return Err(duplicate(name));
            }
        }
    }
    Ok(producers)
}

/// Gives every input a concrete shape, and reduces the model to its live nodes. Shapes the file
/// states for other tensors are dropped: they may contradict the bound ones.
pub(super) fn bind(
    model: &mut ModelProto,
    options: &ImportOptions,
) -> Result<Vec<(String, Vec<usize>)>, ImportError> {
    let Some(graph) = model.graph.as_mut() else {
        return Ok(Vec::new());
    };
    let order = live_nodes(graph)?;
    let mut nodes: Vec<Option<NodeProto>> = graph.node.drain(..).map(Some).collect();
    graph.node = order.iter().filter_map(|&i| nodes[i].take()).collect();
    graph.value_info.clear();
    graph.quantization_annotation.clear();
    graph.output.iter_mut().for_each(|o| o.r#type = None);
    let stored: std::collections::HashSet<&str> =
        graph.initializer.iter().map(|t| t.name.as_str()).collect();
    // Old files list their initializers among the inputs.
    graph
        .input
        .retain(|input| !stored.contains(input.name.as_str()));
    for (name, _) in &options.shapes {
        if !graph.input.iter().any(|input| &input.name == name) {
            return Err(ImportError::Input {
                name: name.clone(),
                reason: "a shape was given, but the model has no such input".to_owned(),
            });
        }
    }
    graph
        .input
        .iter_mut()
        .map(|input| Ok((input.name.clone(), bind_input(input, options)?)))
        .collect()
}

fn bind_input(
    input: &mut ValueInfoProto,
    options: &ImportOptions,
) -> Result<Vec<usize>, ImportError> {
    let name = input.name.clone();
    let fail = |reason: String| ImportError::Input {
        name: name.clone(),
        reason,
    };
    let Some(TypeValue::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut())
    else {
        return Err(fail("it is not a tensor".to_owned()));
    };
    let dtype = constant::dtype_name(tensor.elem_type);
    if !matches!(dtype.as_str(), "Float" | "Double") {
        return Err(fail(format!(
            "its element type is {dtype}; only Float and Double are supported"
        )));
    }
    let asked = options.shapes.iter().find(|(n, _)| *n == name);
    let declared = tensor.shape.as_ref().map(|s| s.dim.as_slice());
    let shape = bind_shape(declared, asked.map(|(_, s)| s.as_slice())).map_err(&fail)?;
    let dims: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    match constant::checked_elements(&dims) {
        Some(n) if (1..=MAX_INPUT_ELEMENTS).contains(&n) => {}
        _ => return Err(fail(format!("the shape {shape:?} is not usable"))),
    }
    tensor.shape = Some(tract_onnx::pb::TensorShapeProto {
        dim: dims
            .iter()
            .map(|&d| Dimension {
                denotation: String::new(),
                value: Some(dimension::Value::DimValue(d)),
            })
            .collect(),
    });
    Ok(shape)
}

/// Joins the file's shape with the user's. The first dimension, the batch, may be left open or
/// overridden; any other must agree.
fn bind_shape(
    declared: Option<&[Dimension]>,
    asked: Option<&[usize]>,
) -> Result<Vec<usize>, String> {
    let Some(declared) = declared else {
        return asked
            .map(<[usize]>::to_vec)
            .ok_or_else(|| "the file states no shape; give one".to_owned());
    };
    if let Some(asked) = asked
        && asked.len() != declared.len()
    {
        return Err(format!(
            "the file declares {} dimensions, the given shape {asked:?} has {}",
            declared.len(),
            asked.len()
        ));
    }
    let bind = |(i, dim): (usize, &Dimension)| {
        let (fixed, label) = match &dim.value {
            Some(dimension::Value::DimValue(v)) if *v > 0 => (Some(*v as usize), String::new()),
            Some(dimension::Value::DimParam(p)) => (None, format!(" (`{p}`)")),
            _ => (None, String::new()),
        };
        match (asked.map(|a| a[i]), fixed) {
            (Some(asked), Some(fixed)) if asked != fixed && i > 0 => Err(format!(
                "the file fixes dimension {i} to {fixed}, the given shape says {asked}"
            )),
            (Some(asked), _) => Ok(asked),
            (None, Some(fixed)) => Ok(fixed),
            (None, None) if i == 0 => Ok(1),
            (None, None) => Err(format!("dimension {i}{label} is open; give a shape")),
        }
    };
    declared.iter().enumerate().map(bind).collect()
}
