//! What each operator means for a value that depends on the inputs.

mod conv;
mod dense;
mod elementwise;
mod max_pool;
mod pad;
mod pool;
mod reduce;
mod resize;
mod shape;
mod unary;

use air::graph::{AXES, AxisMap};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::constant;
use super::error::ImportError;
use super::expr::Expr;
use super::lower::{Lowering, unsupported};
use super::term::{self, Linear};

/// Whether an operator tells spatial dimensions from channels.
pub(super) fn is_spatial(op: &str) -> bool {
    matches!(
        op,
        "Conv"
            | "ConvTranspose"
            | "MaxPool"
            | "AveragePool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "Resize"
            | "Upsample"
            | "Pad"
            | "ReduceMax"
            | "ReduceMean"
            | "ArgMax"
            | "Softmax"
            | "LogSoftmax"
            | "BatchNormalization"
    )
}

/// Lowers a node that reads at least one variable: one value for each output.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Vec<Expr>, ImportError> {
    let op = node.op_type.as_str();
    if node.output.iter().skip(1).any(|name| !name.is_empty())
        && !matches!(op, "Dropout" | "BatchNormalization" | "Split")
    {
        return Err(unsupported(node, "it has more than one output"));
    }
    if op == "Split" {
        return shape::split(lowering, node);
    }
    let value = match op {
        "Gemm" => dense::gemm(lowering, node),
        "MatMul" => dense::matmul(lowering, node),
        "Conv" => conv::conv(lowering, node),
        "ConvTranspose" => conv::conv_transpose(lowering, node),
        "Add" | "Sub" | "Mul" | "Div" | "Sum" => elementwise::arithmetic(lowering, node),
        "BatchNormalization" => elementwise::batch_normalization(lowering, node),
        "PRelu" => elementwise::prelu(lowering, node),
        "MaxPool" => max_pool::max_pool(lowering, node),
        "AveragePool" => pool::average_pool(lowering, node),
        "GlobalAveragePool" | "ReduceMean" => pool::global_average(lowering, node),
        "GlobalMaxPool" | "ReduceMax" => reduce::maximum(lowering, node),
        "ArgMax" => reduce::arg_max(lowering, node),
        "Pad" => pad::pad(lowering, node),
        "Resize" | "Upsample" => resize::resize(lowering, node),
        "Concat" => shape::concat(lowering, node),
        "Slice" => shape::slice(lowering, node),
        "Softmax" | "LogSoftmax" => reduce::softmax(lowering, node),
        "Identity" => lowering.read(node, input(node, 0)?),
        "Dropout" => unary::dropout(lowering, node),
        "Cast" => unary::cast(lowering, node),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => {
            shape::reshape(lowering, node)
        }
        _ => unary::activation(lowering, node),
    };
    Ok(vec![value?])
}

/// Name of the node's input `i`.
pub(super) fn input(node: &NodeProto, i: usize) -> Result<&str, ImportError> {
    match node.input.get(i) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(unsupported(node, format!("its input {i} is missing"))),
    }
}

/// Name of the node's input `i`, if it is present.
pub(super) fn optional_input(node: &NodeProto, i: usize) -> Option<&str> {
    node.input
        .get(i)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// The attribute of this name.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// An integer attribute, or its default.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

/// A float attribute, or its default. NaN and infinities are refused.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> Result<f64, ImportError> {
    let value = attribute(node, name).map_or(default, |a| a.f);
    if !value.is_finite() {
        return Err(unsupported(node, format!("`{name}` is {value}")));
    }
    Ok(f64::from(value))
}

/// A text attribute, or its default.
pub(super) fn text(node: &NodeProto, name: &str, default: &str) -> String {
    attribute(node, name).map_or_else(
        || default.to_owned(),
        |a| String::from_utf8_lossy(&a.s).into_owned(),
    )
}

/// A possibly negative axis as an index below `rank`.
pub(super) fn axis(node: &NodeProto, value: i64, rank: usize) -> Result<usize, ImportError> {
    let shifted = if value < 0 {
        value.saturating_add(rank as i64)
    } else {
        value
    };
    usize::try_from(shifted)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| unsupported(node, format!("axis {value} of {rank} dimensions")))
}

/// The integers of a constant input.
pub(super) fn constant_integers(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    name: &str,
) -> Result<Vec<i64>, ImportError> {
    let tensor = lowering.constant(node, name)?;
    constant::integers(&tensor)
        .ok_or_else(|| unsupported(node, format!("`{name}` must hold integers")))
}

/// Integers that are an input in newer operator sets, an attribute in older ones.
pub(super) fn integers(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    i: usize,
    name: &str,
) -> Result<Option<Vec<i64>>, ImportError> {
    match optional_input(node, i) {
        Some(input) => constant_integers(lowering, node, input).map(Some),
        None => Ok(attribute(node, name).map(|a| a.ints.clone())),
    }
}

/// The dimensions that a node reduces, and whether they stay, with size 1: those of `Reduce…` it names, all spatial
/// ones of `Global…`.
fn reduced_dims(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    rank: usize,
) -> Result<(Vec<usize>, bool), ImportError> {
    if node.op_type.starts_with("Global") {
        return Ok(((2..rank).collect(), true));
    }
    let axes = integers(lowering, node, 1, "axes")?
        .ok_or_else(|| unsupported(node, "without axes it is not supported"))?;
    let axes: Result<Vec<usize>, _> = axes.iter().map(|&a| axis(node, a, rank)).collect();
    Ok((axes?, int(node, "keepdims", 1) != 0))
}

/// Per-channel maps along the three axes, all together.
fn combined(
    node: &NodeProto,
    x: &Expr,
    axes: &[Vec<(AxisMap, Vec<f32>)>; AXES],
) -> Result<Vec<Linear>, ImportError> {
    term::combine(x.features(), axes)
        .ok_or_else(|| unsupported(node, "its borders are too many terms"))
}

/// The constant value of a `Shape` node. It looks at a variable without reading it.
pub(super) fn shape_of(
    lowering: &Lowering<'_>,
    node: &NodeProto,
) -> Result<TensorProto, ImportError> {
    let name = input(node, 0)?;
    let shape = lowering
        .shape(name)
        .ok_or_else(|| unsupported(node, format!("the shape of `{name}` is not known")))?;
    let rank = shape.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (clamp(int(node, "start", 0)), clamp(int(node, "end", rank)));
    let dims: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    let name = node.output.first().cloned().unwrap_or_default();
    Ok(constant::from_integers(
        &name,
        dims.get(start..end).unwrap_or_default(),
    ))
}
