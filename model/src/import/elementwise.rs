//! Elementwise arithmetic with constants: affine maps of the features.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::constant;
use super::error::ImportError;
use super::lower::{Lowering, note, unsupported};
use super::ops::{float, input, int};
use super::variable::{Variable, affine};

/// `Add`, `Sub`, `Mul`, `Div` with one constant side.
pub(super) fn arithmetic(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Variable, ImportError> {
    let (a, b) = (input(node, 0)?, input(node, 1)?);
    let (constant_left, constant_right) = (lowering.is_constant(a), lowering.is_constant(b));
    if !constant_left && !constant_right {
        let reason = "both sides depend on the model's input; one must be constant";
        return Err(unsupported(node, reason));
    }
    let (x, c) = if constant_left { (b, a) } else { (a, b) };
    let c = lowering.constant(node, c)?;
    let mut variable = lowering.take(node, x)?;
    let values = per_feature(lowering, node, &mut variable, &c)?;
    let map = |f: usize| {
        let c = values[f];
        match (node.op_type.as_str(), constant_left) {
            ("Add", _) => (1.0, c),
            ("Sub", false) => (1.0, -c),
            ("Sub", true) => (-1.0, c),
            ("Mul", _) => (c, 0.0),
            _ => (1.0 / c, 0.0),
        }
    };
    if node.op_type == "Div" {
        if constant_left {
            return Err(unsupported(node, "only the divisor may be constant"));
        }
        if values.contains(&0.0) {
            return Err(unsupported(node, "it divides by zero"));
        }
    }
    variable.push_affine(affine(variable.features, map));
    note(node, &mut variable);
    Ok(variable)
}

/// `scale·(x − mean)/√(var + ε) + b` of every channel, the second dimension.
pub(super) fn batch_normalization(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Variable, ImportError> {
    if int(node, "training_mode", 0) != 0 {
        return Err(unsupported(node, "it is in training mode"));
    }
    if int(node, "spatial", 1) != 1 {
        return Err(unsupported(node, "spatial = 0 is not supported"));
    }
    let mut parameters = Vec::with_capacity(4);
    for i in 1..5 {
        let tensor = lowering.constant(node, input(node, i)?)?;
        parameters.push(constant::weights(&tensor)?);
    }
    let epsilon = float(node, "epsilon", 1e-5)?;
    let mut variable = lowering.take(node, input(node, 0)?)?;
    let shape = &variable.shape;
    let channels = shape.get(1).copied().unwrap_or(1);
    let inner: usize = shape.iter().skip(2).product();
    if shape.len() < 2
        || channels * inner != variable.features
        || parameters.iter().any(|p| p.len() != channels)
    {
        let reason = format!("its parameters do not fit the shape {shape:?}");
        return Err(unsupported(node, reason));
    }
    let at = |i: usize, f: usize| f64::from(parameters[i][f / inner]);
    if (0..channels).any(|c| f64::from(parameters[3][c]) + epsilon <= 0.0) {
        return Err(unsupported(node, "a variance is negative or zero"));
    }
    let map = |f: usize| {
        let scale = at(0, f) / (at(3, f) + epsilon).sqrt();
        (scale, at(1, f) - at(2, f) * scale)
    };
    variable.push_affine(affine(variable.features, map));
    note(node, &mut variable);
    Ok(variable)
}

/// The constant's value for each feature, under ONNX's broadcasting. It may not enlarge the
/// variable, nor differ between batch items.
fn per_feature(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    variable: &mut Variable,
    c: &TensorProto,
) -> Result<Vec<f64>, ImportError> {
    let mut shape = constant::shape_of(c);
    let refuse = |reason: String| Err(unsupported(node, reason));
    while variable.shape.len() < shape.len() {
        variable.shape.insert(0, 1);
    }
    while shape.len() < variable.shape.len() {
        shape.insert(0, 1);
    }
    if shape
        .iter()
        .zip(&variable.shape)
        .any(|(&c, &x)| c != 1 && c != x)
    {
        return refuse(format!(
            "a constant of shape {:?} does not fit into the shape {:?}",
            c.dims, variable.shape
        ));
    }
    let values: Vec<f64> = constant::weights(c)?.into_iter().map(f64::from).collect();
    let features = variable.features;
    let at = |mut element: usize| {
        let (mut index, mut stride) = (0, 1);
        for (&c, &x) in shape.iter().zip(&variable.shape).rev() {
            if c != 1 {
                index += element % x * stride;
                stride *= c;
            }
            element /= x;
        }
        values[index]
    };
    let first: Vec<f64> = (0..features).map(at).collect();
    let elements = features * lowering.positions(variable);
    if values.len() > 1 && (features..elements).any(|e| at(e) != first[e % features]) {
        return refuse("its constant differs between batch items".to_owned());
    }
    Ok(first)
}
