//! `Gemm` and `MatMul`: rows times a matrix.

use air::graph::{AXES, Axis, AxisMap, Map};
use tract_onnx::pb::NodeProto;

use super::super::constant;
use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::layout::{Layout, digit};
use super::super::lower::{Lowering, unsupported};
use super::super::term::Linear;
use super::{float, input, int, optional_input};

/// A matrix, `W[k][j]` at `k * outputs + j`.
struct Matrix {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
}

/// `alpha·A·B + beta·C`, with `B` transposed on request.
pub(super) fn gemm(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
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
    let (alpha, beta) = (float(node, "alpha", 1.0)?, float(node, "beta", 1.0)?);
    let weights = constant::weights(&b)?;
    let mut matrix = if int(node, "transB", 0) != 0 {
        transposed(&weights, rows, columns)
    } else {
        Matrix {
            inputs: rows,
            outputs: columns,
            weights,
        }
    };
    let scaled = |w: &mut f32| *w = (f64::from(*w) * alpha) as f32;
    matrix.weights.iter_mut().for_each(scaled);
    let x = lowering.read(node, input(node, 0)?)?;
    let shape = x.shape();
    if shape.len() != 2 {
        return Err(unsupported(node, "A must have two dimensions"));
    }
    let bias = match optional_input(node, 2) {
        Some(name) => gemm_bias(lowering, node, name, shape[0], matrix.outputs, beta)?,
        None => vec![0.0; matrix.outputs],
    };
    multiply(lowering, node, x, &matrix, bias)
}

fn gemm_bias(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    name: &str,
    rows: usize,
    outputs: usize,
    beta: f64,
) -> Result<Vec<f64>, ImportError> {
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
    Ok((0..outputs).map(|j| f64::from(at(j)) * beta).collect())
}

/// `x·W`, or `W·x` for a column `x`.
pub(super) fn matmul(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let (a, b) = (input(node, 0)?, input(node, 1)?);
    let weights_left = lowering.is_constant(a);
    let (x, w) = if weights_left { (b, a) } else { (a, b) };
    let w = lowering.constant(node, w)?;
    let mut x = lowering.read(node, x)?;
    let weights = constant::weights(&w)?;
    let mut shape = constant::shape_of(&w);
    while shape.len() > 2 && shape[0] == 1 && shape.len() <= x.layout.rank() {
        shape.remove(0);
    }
    if weights_left {
        return columns(lowering, node, x, &weights, &shape);
    }
    let (inputs, outputs) = match *shape.as_slice() {
        [inputs] => (inputs, None),
        [inputs, outputs] => (inputs, Some(outputs)),
        _ => return Err(unsupported(node, "the weights must have two dimensions")),
    };
    let matrix = Matrix {
        inputs,
        outputs: outputs.unwrap_or(1),
        weights,
    };
    let bias = vec![0.0; matrix.outputs];
    x = multiply(lowering, node, x, &matrix, bias)?;
    if outputs.is_none() {
        let mut dims = x.layout.dims().to_vec();
        dims.pop();
        x.layout = Layout::of(dims);
    }
    Ok(x)
}

/// `W·x`: a column is laid out like a row.
fn columns(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut x: Expr,
    weights: &[f32],
    shape: &[usize],
) -> Result<Expr, ImportError> {
    let &[outputs, inputs] = shape else {
        return Err(unsupported(node, "the weights must have two dimensions"));
    };
    let mut dims = x.layout.dims().to_vec();
    let column = x.shape();
    if column.len() < 2 || column[column.len() - 1] != 1 || column[column.len() - 2] != inputs {
        let reason = "weights on the left need a column vector on the right";
        return Err(unsupported(node, reason));
    }
    dims.pop();
    x.layout = Layout::of(dims);
    let matrix = transposed(weights, outputs, inputs);
    x = multiply(lowering, node, x, &matrix, vec![0.0; outputs])?;
    let mut dims = x.layout.dims().to_vec();
    dims.push(Vec::new());
    x.layout = Layout::of(dims);
    Ok(x)
}

/// Multiplies the rows (the last dimension) of a value by a matrix. Positions that are part of a row
/// are merged into the features.
fn multiply(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    matrix: &Matrix,
    bias: Vec<f64>,
) -> Result<Expr, ImportError> {
    let shape = x.shape();
    let row = shape.last().copied().unwrap_or(0);
    if row != matrix.inputs || matrix.inputs == 0 || matrix.outputs == 0 {
        let reason = format!(
            "its input has the shape {shape:?}, its weights expect rows of {}",
            matrix.inputs
        );
        return Err(unsupported(node, reason));
    }
    let rank = shape.len();
    let digits = &x.layout.dims()[rank - 1];
    let in_row = |axis: Axis| -> usize {
        let on = digits.iter().filter(|d| d.axis == axis);
        on.map(|d| d.size as usize).product()
    };
    let merged = Axis::POSITION.map(|axis| in_row(axis) > 1);
    let is_whole = |axis: Axis| in_row(axis) == x.layout.on(axis);
    let positions = Axis::POSITION.into_iter().zip(merged);
    if !is_whole(Axis::Feature) || !positions.into_iter().all(|(a, m)| !m || is_whole(a)) {
        let reason = format!("it multiplies rows of {row} that are parts of a batch item");
        return Err(unsupported(node, reason));
    }
    let extent = x.extent();
    let axes = core::array::from_fn(|a| AxisMap::identity(if merged[a] { 1 } else { extent[a] }));
    let linear = Linear {
        map: Map {
            merged,
            axes,
            ..Map::dense(row as u32, matrix.outputs as u32, [1; AXES])
        },
        values: in_channel_order(digits, matrix),
    };
    let mut dims = x.layout.dims().to_vec();
    dims[rank - 1] = vec![digit(Axis::Feature, matrix.outputs)];
    lowering.apply(node, x, &[linear], bias, Layout::of(dims))
}

/// The rows of a matrix in the order of channels `(feature, depth, height, width)`, whatever the order
/// of the digits in a row.
fn in_channel_order(digits: &[air::graph::Dim], matrix: &Matrix) -> Vec<f32> {
    let axes = [Axis::Feature, Axis::Depth, Axis::Height, Axis::Width];
    let mut order = vec![0usize];
    for axis in axes {
        for (i, d) in digits.iter().enumerate().filter(|(_, d)| d.axis == axis) {
            let stride: usize = digits[i + 1..].iter().map(|d| d.size as usize).product();
            order = (order.iter())
                .flat_map(|&base| (0..d.size as usize).map(move |k| base + k * stride))
                .collect();
        }
    }
    if order.is_sorted() {
        return matrix.weights.clone();
    }
    let n = matrix.outputs;
    let row = |k: &usize| matrix.weights[k * n..][..n].iter().copied();
    order.iter().flat_map(row).collect()
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Matrix {
    let column = |c: usize| (0..rows).map(move |r| values[r * columns + c]);
    Matrix {
        inputs: columns,
        outputs: rows,
        weights: (0..columns).flat_map(column).collect(),
    }
}
