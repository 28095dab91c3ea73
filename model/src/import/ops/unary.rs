//! Functions of one variable, and operators that do nothing.

use air::graph::{Function, Param};
use tract_onnx::pb::NodeProto;

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, note, unsupported};
use super::{attribute, float, input, int, optional_input, text};

/// Operators that apply a function to every element.
pub(super) fn activation(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
    let param = |name: &str, default: f32| Ok(Param::new(float(node, name, default)? as f32));
    let function = match node.op_type.as_str() {
        "Relu" => Function::Relu,
        "Sigmoid" => Function::Sigmoid,
        "Tanh" => Function::Tanh,
        "HardSwish" => Function::HardSwish,
        "Softplus" => Function::Softplus,
        "LeakyRelu" => Function::LeakyRelu {
            alpha: param("alpha", 0.01)?,
        },
        "Elu" => Function::Elu {
            alpha: param("alpha", 1.0)?,
        },
        "HardSigmoid" => Function::HardSigmoid {
            alpha: param("alpha", 0.2)?,
            beta: param("beta", 0.5)?,
        },
        "Swish" if float(node, "alpha", 1.0)? == 1.0 => Function::Silu,
        "Swish" => return Err(unsupported(node, "alpha must be 1")),
        "Gelu" if text(node, "approximate", "none") == "none" => Function::Gelu,
        "Gelu" => return Err(unsupported(node, "only the exact form is supported")),
        "Clip" => clip(lowering, node)?,
        _ => return Err(unsupported(node, "it is not a function of one variable")),
    };
    let mut x = lowering.read(node, input(node, 0)?)?;
    lowering.materialise(node, &mut x, function)?;
    Ok(x)
}

/// Bounds that reach beyond all numbers are none.
fn clip(lowering: &Lowering<'_>, node: &NodeProto) -> Result<Function, ImportError> {
    let bound = |i: usize, name: &str, default: f32| -> Result<f32, ImportError> {
        let value = match optional_input(node, i) {
            Some(input) => {
                let tensor = lowering.constant(node, input)?;
                constant::to_f64(&tensor).first().map(|&v| v as f32)
            }
            None => attribute(node, name).map(|a| a.f),
        };
        let value = value.unwrap_or(default);
        if value.is_nan() {
            return Err(unsupported(node, format!("`{name}` is {value}")));
        }
        Ok(value.clamp(f32::MIN, f32::MAX))
    };
    let (lo, hi) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    match (lo, hi) {
        (f32::MIN, f32::MAX) => Ok(Function::Identity),
        (0.0, f32::MAX) => Ok(Function::Relu),
        (lo, hi) if lo <= hi => Ok(Function::Clip {
            lo: Param::new(lo),
            hi: Param::new(hi),
        }),
        _ => Err(unsupported(node, "its bounds are out of order")),
    }
}

/// Nothing is dropped at inference.
pub(super) fn dropout(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    if let Some(name) = optional_input(node, 2) {
        let mode = lowering.constant(node, name)?;
        if constant::to_f64(&mode).iter().any(|&m| m != 0.0) {
            return Err(unsupported(node, "it is in training mode"));
        }
    }
    lowering.read(node, input(node, 0)?)
}

/// From one float type to another.
pub(super) fn cast(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let to = constant::dtype_name(int(node, "to", 0) as i32);
    if !matches!(to.as_str(), "Float" | "Double") {
        let reason = format!("it casts to {to}, which would round");
        return Err(unsupported(node, reason));
    }
    let mut x = lowering.read(node, input(node, 0)?)?;
    if !x.nodes.is_empty() {
        note(node, &mut x);
    }
    Ok(x)
}
