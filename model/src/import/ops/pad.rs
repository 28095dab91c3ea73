//! `Pad`: zeros cost nothing, other constants a layer, mirrored borders a term for each line of them.

use air::graph::{AXES, Axis, AxisMap, Function};
use tract_onnx::pb::NodeProto;

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, unsupported};
use super::super::term::{self, Linear};
use super::{axis, constant_integers, float, input, integers, optional_input, text};

/// `Pad`.
pub(super) fn pad(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let mut x = lowering.read(node, input(node, 0)?)?;
    let rank = x.layout.rank();
    let pads = integers(lowering, node, 1, "pads")?
        .ok_or_else(|| unsupported(node, "`pads` is missing"))?;
    let named = match optional_input(node, 3) {
        Some(axes) => constant_integers(lowering, node, axes)?
            .iter()
            .map(|&a| axis(node, a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * named.len() || pads.iter().any(|p| p.unsigned_abs() > 1 << 16) {
        return Err(unsupported(node, format!("`pads` is {pads:?}")));
    }
    if pads.iter().any(|&p| p < 0) {
        return Err(unsupported(
            node,
            "negative pads are not supported; use Slice",
        ));
    }
    let value = match optional_input(node, 2) {
        Some(name) => {
            let tensor = lowering.constant(node, name)?;
            constant::to_f64(&tensor).first().copied().unwrap_or(0.0)
        }
        None => float(node, "value", 0.0)?,
    };
    let mode = text(node, "mode", "constant");
    for (k, &i) in named.iter().enumerate() {
        let around = (pads[k], pads[named.len() + k]);
        if around != (0, 0) {
            x = pad_dimension(lowering, node, x, i, around, &mode, value)?;
        }
    }
    Ok(x)
}

fn pad_dimension(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut x: Expr,
    i: usize,
    (before, after): (i64, i64),
    mode: &str,
    value: f64,
) -> Result<Expr, ImportError> {
    let n = x.shape()[i] as i64;
    let size = n + before + after;
    // Any axis that is still free may hold a dimension of size 1.
    let axis = match x.layout.axis_of(i) {
        Some(axis) => axis,
        None if n == 1 => free_axis(&x, i)
            .ok_or_else(|| unsupported(node, format!("there is no room to pad dimension {i}")))?,
        None => {
            return Err(unsupported(node, format!("dimension {i} is no whole axis")));
        }
    };
    let layout = x.layout.with(i, axis, size as usize);
    let Some(a) = axis.position() else {
        if mode != "constant" || value != 0.0 {
            return Err(unsupported(node, "channels can be padded with zeros only"));
        }
        for term in &mut x.terms {
            term.map.first_output += before as u32;
        }
        let zeros = |n: i64| std::iter::repeat_n(0.0, n as usize);
        x.bias = zeros(before).chain(x.bias).chain(zeros(after)).collect();
        x.layout = layout;
        if x.scaler.is_some() {
            return Err(unsupported(node, "it pads the channels of a scaled input"));
        }
        return Ok(x);
    };
    let mut lines = vec![(
        AxisMap {
            pad: before as i32,
            ..AxisMap::identity(n as u32)
        },
        vec![1.0],
    )];
    let border = (0..before).chain(before + n..size);
    match mode {
        "constant" => {}
        "edge" => lines.extend(border.map(|q| {
            let j = (q - before).clamp(0, n - 1);
            (term::single(j as u32, q as u32), vec![1.0])
        })),
        "reflect" if before < n && after < n => lines.extend(border.map(|q| {
            let j = q - before;
            let j = if j < 0 { -j } else { 2 * (n - 1) - j };
            (term::single(j as u32, q as u32), vec![1.0])
        })),
        _ => {
            return Err(unsupported(
                node,
                format!("the mode `{mode}` is not supported"),
            ));
        }
    }
    let is_constant = mode == "constant" && value != 0.0;
    if is_constant {
        let features = x.features();
        lowering.affine(node, &mut x, &vec![1.0; features], &vec![-value; features])?;
    }
    if !x.has_no_bias() {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    let mut axes: [Vec<_>; AXES] = x.extent().map(|n| vec![(AxisMap::identity(n), vec![1.0])]);
    axes[a] = lines;
    let maps: Vec<Linear> = term::combine(x.features(), [&axes[0], &axes[1], &axes[2]]);
    let bias = vec![if is_constant { value } else { 0.0 }; x.features()];
    lowering.apply(node, x, &maps, bias, layout)
}

/// The axis dimension `i` has in an image, or the last that is free.
fn free_axis(x: &Expr, i: usize) -> Option<Axis> {
    let rank = x.layout.rank();
    let usual = match (rank, i) {
        (3..=5, 1) => Some(Axis::Feature),
        (3, 2) | (4, 3) | (5, 4) => Some(Axis::Width),
        (4, 2) | (5, 3) => Some(Axis::Height),
        (5, 2) => Some(Axis::Depth),
        _ => None,
    };
    let free = |axis: &Axis| x.layout.on(*axis) == 1;
    usual
        .filter(free)
        .or_else(|| Axis::POSITION.into_iter().rev().find(free))
}
