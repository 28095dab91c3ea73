//! `Resize` and `Upsample` by whole factors: transposed convolutions whose borders are terms of their own.

use air::graph::{AXES, Axis, AxisMap};
use tract_onnx::pb::NodeProto;

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, unsupported};
use super::super::term;
use super::conv::{image, spatial_axes};
use super::{attribute, constant_integers, input, int, optional_input, text};

/// `Resize`, and `Upsample` of older operator sets.
pub(super) fn resize(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let mut x = image(lowering, node, input(node, 0)?)?;
    let shape = x.shape();
    let sizes = target(lowering, node, &shape)?;
    if sizes[..2] != shape[..2] {
        return Err(unsupported(node, "only spatial dimensions can be resized"));
    }
    if int(node, "antialias", 0) != 0 || int(node, "exclude_outside", 0) != 0 {
        return Err(unsupported(
            node,
            "antialias and exclude_outside are not supported",
        ));
    }
    // Before operator set 11 there was one way to place the samples.
    let is_old = node.op_type == "Upsample" || lowering.opset < 11;
    let extent = x.extent();
    let mut axes: [Vec<_>; AXES] = extent.map(|n| vec![(AxisMap::identity(n), vec![1.0])]);
    let mut layout = x.layout.clone();
    for (i, &a) in spatial_axes(shape.len()).iter().enumerate() {
        let (from, to) = (shape[2 + i], sizes[2 + i]);
        if from == to {
            continue;
        }
        let (stride, expand) = ratio(node, from, to)?;
        let rows = rows(node, is_old, from, to)?;
        axes[a] = term::axis_terms(&rows, from as u32, stride, expand);
        layout = layout.with(2 + i, Axis::POSITION[a], to);
    }
    let maps = term::combine(x.features(), [&axes[0], &axes[1], &axes[2]]);
    // Every row of a resizing adds up to 1: a constant stays what it is.
    let bias = core::mem::replace(&mut x.bias, vec![0.0; 0]);
    x.bias = vec![0.0; bias.len()];
    lowering.apply(node, x, &maps, bias, layout)
}

/// Sizes from scales, or as they are given.
fn target(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    shape: &[usize],
) -> Result<Vec<usize>, ImportError> {
    let wrong =
        |what: &str| unsupported(node, format!("its {what} do not fit the shape {shape:?}"));
    if let Some(name) = optional_input(node, 3) {
        let sizes = constant_integers(lowering, node, name)?;
        if sizes.len() == shape.len() && sizes.iter().all(|&s| (1..1 << 20).contains(&s)) {
            return Ok(sizes.iter().map(|&s| s as usize).collect());
        }
        return Err(wrong("sizes"));
    }
    let at = if node.op_type == "Resize" && lowering.opset > 10 {
        2
    } else {
        1
    };
    let scales: Vec<f64> = match optional_input(node, at) {
        Some(name) => constant::to_f64(&*lowering.constant(node, name)?),
        None => attribute(node, "scales")
            .map(|a| a.floats.iter().map(|&s| f64::from(s)).collect())
            .unwrap_or_default(),
    };
    let sizes: Vec<f64> = shape
        .iter()
        .zip(&scales)
        .map(|(&n, s)| (n as f64 * s).floor())
        .collect();
    if scales.len() != shape.len() || sizes.iter().any(|s| !(1.0..1e6).contains(s)) {
        return Err(wrong("scales"));
    }
    Ok(sizes.into_iter().map(|s| s as usize).collect())
}

/// Input steps for an output step, and the other way round.
fn ratio(node: &NodeProto, from: usize, to: usize) -> Result<(u32, u32), ImportError> {
    if to.is_multiple_of(from) {
        Ok((1, (to / from) as u32))
    } else if from.is_multiple_of(to) {
        Ok(((from / to) as u32, 1))
    } else {
        Err(unsupported(
            node,
            format!("{from} to {to} is no whole factor"),
        ))
    }
}

/// For each output the inputs it is made of.
fn rows(
    node: &NodeProto,
    is_old: bool,
    from: usize,
    to: usize,
) -> Result<Vec<Vec<(u32, f64)>>, ImportError> {
    let default = if is_old { "asymmetric" } else { "half_pixel" };
    let coordinates = text(node, "coordinate_transformation_mode", default);
    let mode = text(node, "mode", "nearest");
    let rounding = if is_old {
        "floor"
    } else {
        "round_prefer_floor"
    };
    let nearest = text(node, "nearest_mode", rounding);
    let scale = to as f64 / from as f64;
    let last = from as f64 - 1.0;
    let position = |q: usize| -> Option<f64> {
        let q = q as f64;
        match coordinates.as_str() {
            "half_pixel" => Some((q + 0.5) / scale - 0.5),
            "pytorch_half_pixel" if to == 1 => Some(0.0),
            "pytorch_half_pixel" => Some((q + 0.5) / scale - 0.5),
            "align_corners" if to == 1 => Some(0.0),
            "align_corners" => Some(q * last / (to as f64 - 1.0)),
            "asymmetric" => Some(q / scale),
            _ => None,
        }
    };
    let row = |q: usize| -> Option<Vec<(u32, f64)>> {
        let x = position(q)?;
        match mode.as_str() {
            "nearest" => {
                let rounded = match nearest.as_str() {
                    "floor" => x.floor(),
                    "ceil" => x.ceil(),
                    "round_prefer_floor" => (x - 0.5).ceil(),
                    "round_prefer_ceil" => (x + 0.5).floor(),
                    _ => return None,
                };
                Some(vec![(rounded.clamp(0.0, last) as u32, 1.0)])
            }
            "linear" | "bilinear" => {
                let x = x.clamp(0.0, last);
                let (low, share) = (x.floor(), x - x.floor());
                let high = (low + 1.0).min(last);
                let both = [(low as u32, 1.0 - share), (high as u32, share)];
                Some(both.into_iter().filter(|&(_, w)| w != 0.0).collect())
            }
            _ => None,
        }
    };
    let rows: Option<Vec<_>> = (0..to).map(row).collect();
    rows.ok_or_else(|| {
        let reason = format!(
            "mode `{mode}` with `{coordinates}` coordinates (`{nearest}`) is not supported"
        );
        unsupported(node, reason)
    })
}
