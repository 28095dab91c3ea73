//! Elementwise arithmetic: affine maps of the features, sums of values, and gates.

use air::graph::{AXES, Axis, Function, Kernel, Param, TensorId};
use tract_onnx::pb::{NodeProto, TensorProto};

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::layout::Layout;
use super::super::lower::{Lowering, note, unsupported};
use super::super::term;
use super::{combined, float, input, int};

/// `Add`, `Sub`, `Mul`, `Div`, `Sum`.
pub(super) fn arithmetic(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
    if node.op_type == "Sum" && node.input.len() != 2 {
        return Err(unsupported(node, "only sums of two are supported"));
    }
    let (a, b) = (input(node, 0)?, input(node, 1)?);
    let (constant_left, constant_right) = (lowering.is_constant(a), lowering.is_constant(b));
    if constant_left || constant_right {
        let (x, c) = if constant_left { (b, a) } else { (a, b) };
        return with_constant(lowering, node, x, c, constant_left);
    }
    match node.op_type.as_str() {
        "Add" | "Sum" => sum(lowering, node, a, b, 1.0),
        "Sub" => sum(lowering, node, a, b, -1.0),
        "Mul" => gated(lowering, node, a, b),
        _ => Err(unsupported(
            node,
            "only the divisor may be constant, and it must be",
        )),
    }
}

fn with_constant(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: &str,
    c: &str,
    is_left: bool,
) -> Result<Expr, ImportError> {
    let c = lowering.constant(node, c)?;
    let mut x = lowering.read(node, x)?;
    let values = per_feature(node, &mut x, &c)?;
    if node.op_type == "Div" {
        if is_left {
            return Err(unsupported(node, "only the divisor may be constant"));
        }
        if values.contains(&0.0) {
            return Err(unsupported(node, "it divides by zero"));
        }
    }
    let map = |&c: &f64| match (node.op_type.as_str(), is_left) {
        ("Add" | "Sum", _) => (1.0, c),
        ("Sub", false) => (1.0, -c),
        ("Sub", true) => (-1.0, c),
        ("Mul", _) => (c, 0.0),
        _ => (1.0 / c, 0.0),
    };
    let (scale, offset): (Vec<f64>, Vec<f64>) = values.iter().map(map).unzip();
    lowering.affine(node, &mut x, &scale, &offset)?;
    Ok(x)
}

/// `a + sign·b`.
fn sum(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    a: &str,
    b: &str,
    sign: f64,
) -> Result<Expr, ImportError> {
    let mut a = lowering.read(node, a)?;
    let mut b = lowering.read(node, b)?;
    for x in [&mut a, &mut b] {
        if x.scaler.is_some() {
            lowering.materialise(node, x, Function::Identity)?;
        }
    }
    if sign != 1.0 {
        let (scale, zero) = (vec![sign; b.features()], vec![0.0; b.features()]);
        if !b.affine(&scale, &zero) {
            lowering.materialise(node, &mut b, Function::Identity)?;
            b.affine(&scale, &zero);
        }
    }
    let layout = broadcast(node, &mut a, &mut b)?;
    let a = spread(lowering, node, a, &layout)?;
    let b = spread(lowering, node, b, &layout)?;
    let mut nodes = a.nodes;
    nodes.extend(b.nodes);
    let mut out = Expr {
        name: a.name,
        layout,
        terms: a.terms.into_iter().chain(b.terms).collect(),
        bias: a.bias.iter().zip(&b.bias).map(|(a, b)| a + b).collect(),
        scaler: None,
        nodes,
        is_nonnegative: a.is_nonnegative && b.is_nonnegative,
    };
    note(node, &mut out);
    Ok(out)
}

/// The layout both values are to have. Ranks are made equal first.
fn broadcast(node: &NodeProto, a: &mut Expr, b: &mut Expr) -> Result<Layout, ImportError> {
    let rank = a.layout.rank().max(b.layout.rank());
    for x in [&mut *a, &mut *b] {
        let mut dims = vec![Vec::new(); rank - x.layout.rank()];
        dims.extend_from_slice(x.layout.dims());
        x.layout = Layout::of(dims);
    }
    let mut dims = Vec::with_capacity(rank);
    for (da, db) in a.layout.dims().iter().zip(b.layout.dims()) {
        if da != db && !da.is_empty() && !db.is_empty() {
            let reason = format!(
                "values of the shapes {:?} and {:?} do not lie alike",
                a.shape(),
                b.shape()
            );
            return Err(unsupported(node, reason));
        }
        dims.push(if da.is_empty() {
            db.clone()
        } else {
            da.clone()
        });
    }
    Ok(Layout::of(dims))
}

/// A value with one position, repeated at all positions of a layout.
fn spread(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    layout: &Layout,
) -> Result<Expr, ImportError> {
    let (from, to) = (x.extent(), layout.extent());
    if x.layout == *layout {
        return Ok(x);
    }
    if x.features() != layout.features() {
        return Err(unsupported(node, "a value is repeated along its channels"));
    }
    let axes: [_; AXES] = core::array::from_fn(|a| {
        let rows: Vec<Vec<(u32, f64)>> = (0..to[a])
            .map(|q| vec![(if from[a] == to[a] { q } else { 0 }, 1.0)])
            .collect();
        term::axis_terms(&rows, from[a], 1, 1)
    });
    let maps = combined(node, &x, &axes)?;
    let bias = vec![0.0; x.features()];
    // A constant spreads like everything else.
    let mut x = x;
    if !x.has_no_bias() {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    lowering.apply(node, x, &maps, bias, layout.clone())
}

/// A value times the channels of another one that has a single position.
fn gated(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    a: &str,
    b: &str,
) -> Result<Expr, ImportError> {
    let mut a = lowering.read(node, a)?;
    let mut b = lowering.read(node, b)?;
    let layout = broadcast(node, &mut a, &mut b)?;
    let is_gate = |x: &Expr| x.extent() == [1; AXES] && x.features() == layout.features();
    let (mut x, mut gate) = match (is_gate(&a), is_gate(&b)) {
        (_, true) if a.layout == layout => (a, b),
        (true, _) if b.layout == layout => (b, a),
        _ => {
            let reason = format!(
                "values of the shapes {:?} and {:?} are multiplied; one must be constant, or have \
                 one position for each channel",
                a.shape(),
                b.shape()
            );
            return Err(unsupported(node, reason));
        }
    };
    if gate.as_tensor().is_none() {
        lowering.materialise(node, &mut gate, Function::Identity)?;
    }
    let Some(tensor) = gate.as_tensor() else {
        return Err(unsupported(node, "its gate could not become a tensor"));
    };
    let all = |t: &crate::float::FloatTerm| {
        t.is_simple() && t.values == [1.0] && t.outputs() == (0..layout.features())
    };
    if !x.terms.iter().all(all) || !x.has_no_bias() || x.scaler.is_some() {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    for term in &mut x.terms {
        term.map.kernel = Kernel::Gate(TensorId(tensor as u32));
        term.values.clear();
    }
    x.is_nonnegative &= gate.is_nonnegative;
    note(node, &mut x);
    Ok(x)
}

/// `scale·(x − mean)/√(var + ε) + b` of every channel, the second dimension.
pub(super) fn batch_normalization(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
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
    let mut x = lowering.read(node, input(node, 0)?)?;
    let shape = x.shape();
    let channels = shape.get(1).copied().unwrap_or(1);
    if shape.len() < 2 || parameters.iter().any(|p| p.len() != channels) {
        let reason = format!("its parameters do not fit the shape {shape:?}");
        return Err(unsupported(node, reason));
    }
    if (0..channels).any(|c| f64::from(parameters[3][c]) + epsilon <= 0.0) {
        return Err(unsupported(node, "a variance is negative or zero"));
    }
    let dims: Vec<i64> = [vec![channels as i64], vec![1; shape.len() - 2]].concat();
    let at = |i: usize, c: usize| f64::from(parameters[i][c]);
    let scale = |c: usize| at(0, c) / (at(3, c) + epsilon).sqrt();
    let spread = |x: &mut Expr, values: Vec<f64>| values_per_feature(node, x, &dims, &values);
    let scales: Vec<f64> = (0..channels).map(scale).collect();
    let offsets = (0..channels)
        .map(|c| at(1, c) - at(2, c) * scales[c])
        .collect();
    let scales = spread(&mut x, scales)?;
    let offsets = spread(&mut x, offsets)?;
    lowering.affine(node, &mut x, &scales, &offsets)?;
    Ok(x)
}

/// `x` where that is positive, else `slope·x`. With a slope for each channel that is
/// `slope·x + (1 − slope)·relu(x)`.
pub(super) fn prelu(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let slope = lowering.constant(node, input(node, 1)?)?;
    let mut x = lowering.read(node, input(node, 0)?)?;
    let slopes = per_feature(node, &mut x, &slope)?;
    if slopes.windows(2).all(|w| w[0] == w[1]) {
        let alpha = Param::new(slopes.first().copied().unwrap_or(0.0) as f32);
        lowering.materialise(node, &mut x, Function::LeakyRelu { alpha })?;
        return Ok(x);
    }
    lowering.materialise(node, &mut x, Function::Identity)?;
    let mut positive = x.clone();
    lowering.materialise_exactly(node, &mut positive, Function::Relu)?;
    let zero = vec![0.0; slopes.len()];
    let rest: Vec<f64> = slopes.iter().map(|s| 1.0 - s).collect();
    x.affine(&slopes, &zero);
    positive.affine(&rest, &zero);
    x.terms.extend(positive.terms);
    x.is_nonnegative = false;
    Ok(x)
}

/// The constant's value for each feature, under ONNX's broadcasting. It may not enlarge the value it
/// meets, nor differ between positions.
fn per_feature(node: &NodeProto, x: &mut Expr, c: &TensorProto) -> Result<Vec<f64>, ImportError> {
    let values: Vec<f64> = constant::weights(c)?.into_iter().map(f64::from).collect();
    values_per_feature(node, x, &c.dims, &values)
}

fn values_per_feature(
    node: &NodeProto,
    x: &mut Expr,
    dims: &[i64],
    values: &[f64],
) -> Result<Vec<f64>, ImportError> {
    let mut shape: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
    if shape.len() > x.layout.rank() {
        let mut padded = vec![Vec::new(); shape.len() - x.layout.rank()];
        padded.extend_from_slice(x.layout.dims());
        x.layout = Layout::of(padded);
    }
    while shape.len() < x.layout.rank() {
        shape.insert(0, 1);
    }
    let full = x.shape();
    if shape.iter().zip(&full).any(|(&c, &x)| c != 1 && c != x) {
        let reason = format!("a constant of shape {dims:?} does not fit into the shape {full:?}");
        return Err(unsupported(node, reason));
    }
    let at = |mut element: usize| {
        let (mut index, mut stride) = (0, 1);
        for (&c, &n) in shape.iter().zip(&full).rev() {
            if c != 1 {
                index += element % n * stride;
                stride *= c;
            }
            element /= n;
        }
        values[index]
    };
    let is_position = |(i, &c): (usize, &usize)| {
        c != 1 && x.layout.dims()[i].iter().any(|d| d.axis != Axis::Feature)
    };
    let first: Vec<f64> = x.layout.first_elements().into_iter().map(at).collect();
    if shape.iter().enumerate().any(is_position) {
        let features = element_features(&x.layout);
        if features.iter().enumerate().any(|(e, &f)| at(e) != first[f]) {
            return Err(unsupported(
                node,
                "its constant differs between positions or batch items",
            ));
        }
    }
    Ok(first)
}

/// The feature of each element in row-major order.
fn element_features(layout: &Layout) -> Vec<usize> {
    let digits = layout.digits();
    let mut features = vec![0];
    for d in &digits {
        let size = d.size as usize;
        let is_feature = d.axis == Axis::Feature;
        features = (features.iter())
            .flat_map(|&f| (0..size).map(move |k| if is_feature { f * size + k } else { f }))
            .collect();
    }
    features
}
