//! What each operator means for a value that depends on the inputs.

use air::graph::Function;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::error::ImportError;
use super::lower::{Lowering, note, unsupported};
use super::variable::Variable;
use super::{constant, elementwise, shapes};
use crate::float::Linear;

/// Lowers a node that reads exactly one variable.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Variable, ImportError> {
    if node.output.iter().skip(1).any(|name| !name.is_empty())
        && !matches!(node.op_type.as_str(), "Dropout" | "BatchNormalization")
    {
        return Err(unsupported(node, "it has more than one output"));
    }
    match node.op_type.as_str() {
        "Gemm" => gemm(lowering, node),
        "MatMul" => matmul(lowering, node),
        "Add" | "Sub" | "Mul" | "Div" => elementwise::arithmetic(lowering, node),
        "BatchNormalization" => elementwise::batch_normalization(lowering, node),
        "Relu" => activation(lowering, node, Function::Relu),
        "Sigmoid" => activation(lowering, node, Function::Sigmoid),
        "Tanh" => activation(lowering, node, Function::Tanh),
        "Softmax" => softmax(lowering, node),
        "Identity" => lowering.take(node, input(node, 0)?),
        "Dropout" => dropout(lowering, node),
        "Cast" => cast(lowering, node),
        _ => shapes::reshape(lowering, node),
    }
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

/// The constant value of a `Shape` node. It looks at a variable without reading it.
pub(super) fn shape_of(
    lowering: &Lowering<'_>,
    node: &NodeProto,
) -> Result<TensorProto, ImportError> {
    let name = input(node, 0)?;
    let shape = lowering.shape(name).ok_or_else(|| {
        let reason = format!("`{name}` was already used; its shape is no longer known");
        unsupported(node, reason)
    })?;
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

/// `alpha·A·B + beta·C`, with `B` transposed on request.
fn gemm(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Variable, ImportError> {
    if lowering.is_constant(input(node, 0)?) {
        return Err(unsupported(node, "A is constant; only B and C may be"));
    }
    if int(node, "transA", 0) != 0 {
        return Err(unsupported(node, "transA = 1 is not supported"));
    }
    let b = lowering.constant(node, input(node, 1)?)?;
    let &[rows, columns] = constant::shape_of(&b).as_slice() else {
        return Err(unsupported(node, "B must have two dimensions"));
    };
    let transposed = int(node, "transB", 0) != 0;
    let (alpha, beta) = (float(node, "alpha", 1.0)?, float(node, "beta", 1.0)?);
    let mut weights = constant::weights(&b)?;
    if transposed {
        weights = transpose(&weights, rows, columns);
    }
    let (inputs, outputs) = if transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    weights
        .iter_mut()
        .for_each(|w| *w = (f64::from(*w) * alpha) as f32);
    let mut variable = lowering.take(node, input(node, 0)?)?;
    if variable.shape.len() != 2 {
        return Err(unsupported(node, "A must have two dimensions"));
    }
    let bias = match optional_input(node, 2) {
        Some(name) => gemm_bias(lowering, node, name, variable.shape[0], outputs, beta)?,
        None => vec![0.0; outputs],
    };
    let linear = Linear {
        inputs,
        outputs,
        weights,
        bias,
    };
    multiply(lowering, node, &mut variable, linear)?;
    variable.shape = vec![variable.shape[0], outputs];
    Ok(variable)
}

fn gemm_bias(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    name: &str,
    rows: usize,
    outputs: usize,
    beta: f64,
) -> Result<Vec<f32>, ImportError> {
    let c = lowering.constant(node, name)?;
    let values = constant::weights(&c)?;
    let shape = constant::shape_of(&c);
    let fits = match shape.as_slice() {
        [] => true,
        [n] => *n == 1 || *n == outputs,
        [m, n] => (*m == 1 || *m == rows) && (*n == 1 || *n == outputs),
        _ => false,
    };
    if !fits {
        let reason = format!("C has the shape {shape:?}, which does not fit {outputs} outputs");
        return Err(unsupported(node, reason));
    }
    let width = shape.last().copied().unwrap_or(1).max(1);
    let first = &values[..width.min(values.len())];
    if values.chunks(width).any(|row| row != first) {
        return Err(unsupported(node, "C differs between the rows of a batch"));
    }
    let at = |j: usize| first.get(j).or(first.first()).copied().unwrap_or(0.0);
    Ok((0..outputs)
        .map(|j| (f64::from(at(j)) * beta) as f32)
        .collect())
}

/// `x·W`, or `W·x` for a column `x`.
fn matmul(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Variable, ImportError> {
    let (a, b) = (input(node, 0)?, input(node, 1)?);
    let weights_left = lowering.is_constant(a);
    let (x, w) = if weights_left { (b, a) } else { (a, b) };
    let w = lowering.constant(node, w)?;
    let mut variable = lowering.take(node, x)?;
    let weights = constant::weights(&w)?;
    let mut shape = constant::shape_of(&w);
    while shape.len() > 2 && shape[0] == 1 && shape.len() <= variable.shape.len() {
        shape.remove(0);
    }
    let linear = |inputs, outputs, weights| Linear {
        inputs,
        outputs,
        weights,
        bias: vec![0.0; outputs],
    };
    if weights_left {
        let &[outputs, inputs] = shape.as_slice() else {
            return Err(unsupported(node, "the weights must have two dimensions"));
        };
        let rank = variable.shape.len();
        if rank < 2 || variable.shape[rank - 1] != 1 || variable.shape[rank - 2] != inputs {
            let reason = "weights on the left need a column vector on the right";
            return Err(unsupported(node, reason));
        }
        let weights = transpose(&weights, outputs, inputs);
        // A column is laid out like a row.
        variable.shape.pop();
        multiply(
            lowering,
            node,
            &mut variable,
            linear(inputs, outputs, weights),
        )?;
        variable.shape.pop();
        variable.shape.extend([outputs, 1]);
        return Ok(variable);
    }
    let (inputs, outputs) = match *shape.as_slice() {
        [inputs] => (inputs, None),
        [inputs, outputs] => (inputs, Some(outputs)),
        _ => return Err(unsupported(node, "the weights must have two dimensions")),
    };
    let matrix = linear(inputs, outputs.unwrap_or(1), weights);
    multiply(lowering, node, &mut variable, matrix)?;
    variable.shape.pop();
    variable.shape.extend(outputs);
    Ok(variable)
}

/// Multiplies the rows (the last dimension) of a variable by a matrix.
fn multiply(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    variable: &mut Variable,
    linear: Linear,
) -> Result<(), ImportError> {
    let row = variable.shape.last().copied().unwrap_or(0);
    if row != linear.inputs || linear.inputs == 0 || linear.outputs == 0 {
        let reason = format!(
            "its input has the shape {:?}, its weights expect rows of {}",
            variable.shape, linear.inputs
        );
        return Err(unsupported(node, reason));
    }
    if row != variable.features && !lowering.split_rows(variable, row) {
        let reason = format!(
            "it multiplies rows of {row}, but a batch item has {} features",
            variable.features
        );
        return Err(unsupported(node, reason));
    }
    lowering.push_linear(node, variable, linear)
}

fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|c| (0..rows).map(move |r| values[r * columns + c]))
        .collect()
}

fn activation(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    function: Function,
) -> Result<Variable, ImportError> {
    let mut variable = lowering.take(node, input(node, 0)?)?;
    lowering.materialise(node, &mut variable, function)?;
    Ok(variable)
}

/// Recorded, not proved: it must run over all features of a position, and nothing may follow.
fn softmax(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Variable, ImportError> {
    let mut variable = lowering.take(node, input(node, 0)?)?;
    let rank = variable.shape.len();
    let coerces = lowering.opset < 13;
    let axis = axis(node, int(node, "axis", if coerces { 1 } else { -1 }), rank)?;
    let inner: usize = variable.shape[axis + 1..].iter().product();
    let width = if coerces {
        variable.shape[axis] * inner
    } else {
        variable.shape[axis]
    };
    if width != variable.features || (!coerces && inner != 1) {
        let reason = format!(
            "it normalises {width} of the {} features of a batch item",
            variable.features
        );
        return Err(unsupported(node, reason));
    }
    if !matches!(variable.pending, super::variable::Pending::Nothing) {
        lowering.materialise(node, &mut variable, Function::Identity)?;
    }
    variable.is_softmax = true;
    Ok(variable)
}

fn dropout(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Variable, ImportError> {
    if let Some(name) = optional_input(node, 2) {
        let mode = lowering.constant(node, name)?;
        if constant::to_f64(&mode).iter().any(|&m| m != 0.0) {
            return Err(unsupported(node, "it is in training mode"));
        }
    }
    lowering.take(node, input(node, 0)?)
}

fn cast(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Variable, ImportError> {
    let to = constant::dtype_name(int(node, "to", 0) as i32);
    if !matches!(to.as_str(), "Float" | "Double") {
        let reason = format!("it casts to {to}, which would round");
        return Err(unsupported(node, reason));
    }
    let mut variable = lowering.take(node, input(node, 0)?)?;
    if !variable.nodes.is_empty() {
        note(node, &mut variable);
    }
    Ok(variable)
}
