//! Maxima over whole axes, and what is made of them: Softmax and ArgMax.
//!
//! ```text
//!   m = max x      e = exp(x − m)      softmax = exp(x − m − ln Σ e)
//!   f_k = [x_k − m ≥ 0]      argmax = n − max (n − k)·f_k
//! ```
//!
//! All of it is comparisons, sums and tables of one variable, so no chip of its own is needed: a difference
//! of logarithms stands where others divide. A sum of exponentials is at least 1, one of its terms being e^0; its
//! logarithm is a sum of [`Function::Log`]s, a decimal place to base 16 each.

use air::graph::{AXES, Axis, AxisMap, Function, Kernel, LOG_REACH, Map, Param};
use tract_onnx::pb::NodeProto;

use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::layout::Layout;
use super::super::lower::{Lowering, note, unsupported};
use super::super::term::{self, Linear};
use super::max_pool::comparable;
use super::{axis, input, int, reduced_dims};

/// A maximum at a single position has rows of one lane, in which every reader of a tensor costs as much as
/// an element: there each step becomes a tensor.
const MAX_TERMS_OF_ONE: usize = 1;

/// `GlobalMaxPool`, `ReduceMax`.
pub(super) fn maximum(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let x = lowering.read(node, input(node, 0)?)?;
    let (reduced, keeps) = reduced_dims(lowering, node, x.layout.rank())?;
    let lines = whole_axes(node, &x.layout, &reduced)?;
    let layout = without(&x.layout, &reduced, keeps);
    let mut max = max_over(lowering, node, x, &lines)?;
    max.layout = layout;
    note(node, &mut max);
    Ok(max)
}

/// `Softmax`, `LogSoftmax`.
pub(super) fn softmax(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let mut x = lowering.read(node, input(node, 0)?)?;
    let rank = x.layout.rank();
    // Before version 13 all dimensions from the axis on were one.
    let coerces = lowering.opset < 13;
    let first = axis(node, int(node, "axis", if coerces { 1 } else { -1 }), rank)?;
    let reduced: Vec<usize> = (first..if coerces { rank } else { first + 1 }).collect();
    let lines = whole_axes(node, &x.layout, &reduced)?;
    lowering.materialise(node, &mut x, Function::Identity)?;
    let max = max_over(lowering, node, x.clone(), &lines)?;
    let mut rest = difference(lowering, node, x, &max, &lines)?;
    let mut exps = rest.clone();
    lowering.materialise_exactly(node, &mut exps, Function::Exp)?;
    let terms: usize = lines.iter().map(|&a| rest.layout.on(a)).product();
    let sum = sum_over(lowering, node, exps, &lines)?;
    let mut lo = 1.0;
    while lo < terms as f64 {
        let mut log = sum.clone();
        let lo_param = Param::new(lo as f32);
        lowering.materialise_exactly(node, &mut log, Function::Log { lo: lo_param })?;
        rest = difference(lowering, node, rest, &log, &lines)?;
        lo *= LOG_REACH;
    }
    if node.op_type == "Softmax" {
        lowering.materialise_exactly(node, &mut rest, Function::Exp)?;
    } else {
        lowering.materialise(node, &mut rest, Function::Identity)?;
    }
    Ok(rest)
}

/// `ArgMax` over features. The first of equals has the largest key `(n − k)·f_k`, the last has `(k + 1)·f_k`.
pub(super) fn arg_max(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let mut x = lowering.read(node, input(node, 0)?)?;
    let reduced = [axis(node, int(node, "axis", 0), x.layout.rank())?];
    let lines = whole_axes(node, &x.layout, &reduced)?;
    if lines.iter().any(|&a| a != Axis::Feature) {
        return Err(unsupported(node, "it runs over positions, not channels"));
    }
    let layout = without(&x.layout, &reduced, int(node, "keepdims", 1) != 0);
    let takes_last = int(node, "select_last_index", 0) != 0;
    lowering.materialise(node, &mut x, Function::Identity)?;
    let max = max_over(lowering, node, x.clone(), &lines)?;
    let mut keys = difference(lowering, node, x, &max, &lines)?;
    lowering.materialise_exactly(node, &mut keys, Function::Step)?;
    let n = keys.features();
    let key = |k: usize| if takes_last { k + 1 } else { n - k } as f64;
    let scale: Vec<f64> = (0..n).map(key).collect();
    lowering.affine(node, &mut keys, &scale, &vec![0.0; n])?;
    lowering.materialise_exactly(node, &mut keys, Function::Identity)?;
    let mut index = max_over(lowering, node, keys, &lines)?;
    let (sign, first) = if takes_last {
        (1.0, -1.0)
    } else {
        (-1.0, n as f64)
    };
    lowering.affine(node, &mut index, &[sign], &[first])?;
    lowering.materialise_exactly(node, &mut index, Function::Identity)?;
    index.layout = layout;
    Ok(index)
}

/// The axes that some dimensions fill, each of which they must fill alone.
fn whole_axes(
    node: &NodeProto,
    layout: &Layout,
    reduced: &[usize],
) -> Result<Vec<Axis>, ImportError> {
    let all = [Axis::Feature, Axis::Depth, Axis::Height, Axis::Width];
    let digits = || reduced.iter().flat_map(|&i| &layout.dims()[i]);
    let size = |axis: Axis| -> usize {
        let own = digits().filter(|d| d.axis == axis);
        own.map(|d| d.size as usize).product()
    };
    let lines: Vec<Axis> = (all.into_iter()).filter(|&axis| size(axis) > 1).collect();
    match lines.iter().find(|&&axis| size(axis) != layout.on(axis)) {
        None => Ok(lines),
        Some(_) => Err(unsupported(
            node,
            "it runs over a part of the channels, or of an axis, only",
        )),
    }
}

fn without(layout: &Layout, reduced: &[usize], keeps: bool) -> Layout {
    let dims = layout.dims().iter().enumerate();
    let dims = dims.filter_map(|(i, dim)| match (reduced.contains(&i), keeps) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(Vec::new()),
        (true, false) => None,
    });
    Layout::of(dims.collect())
}

/// A layout of these sizes, whatever the ONNX shape: what lies between layers has none.
fn plain(features: usize, extent: [u32; AXES]) -> Layout {
    let positions = Axis::POSITION.into_iter().zip(extent.map(|n| n as usize));
    Layout::new(std::iter::once((Axis::Feature, features)).chain(positions))
}

/// The sizes that are left when some axes are reduced to 1.
fn reduced_to_one(x: &Layout, lines: &[Axis]) -> (usize, [u32; AXES]) {
    let size = |axis: Axis| if lines.contains(&axis) { 1 } else { x.on(axis) };
    (size(Axis::Feature), Axis::POSITION.map(|a| size(a) as u32))
}

/// The maximum along some axes, halves compared with each other.
fn max_over(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    lines: &[Axis],
) -> Result<Expr, ImportError> {
    let mut x = comparable(lowering, node, x)?;
    for &axis in lines {
        while x.layout.on(axis) > 1 {
            x = comparable(lowering, node, x)?;
            let n = x.layout.on(axis);
            // With an odd number the middle is in both halves.
            let half = n.div_ceil(2);
            let mut max = part(lowering, node, &x, axis, 0, half)?;
            let mut rise = part(lowering, node, &x, axis, n - half, half)?;
            let mut lower = max.clone();
            let features = lower.features();
            lower.affine(&vec![-1.0; features], &vec![0.0; features]);
            rise.terms.extend(lower.terms);
            lowering.materialise_exactly(node, &mut rise, Function::Relu)?;
            max.terms.extend(rise.terms);
            if max.extent() == [1; AXES] && max.terms.len() > MAX_TERMS_OF_ONE {
                note(node, &mut max);
                lowering.materialise_exactly(node, &mut max, Function::Identity)?;
            }
            x = max;
        }
    }
    Ok(x)
}

/// A run of channels, or of positions along an axis.
fn part(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: &Expr,
    axis: Axis,
    from: usize,
    count: usize,
) -> Result<Expr, ImportError> {
    let mut axes = x.extent().map(AxisMap::identity);
    let (mut first_input, mut features, mut extent) = (0, x.features(), x.extent());
    match axis.position() {
        None => (first_input, features) = (from as u32, count),
        Some(a) => {
            extent[a] = count as u32;
            axes[a].pad = -(from as i32);
            (axes[a].from, axes[a].to) = (from as u32, (from + count) as u32);
        }
    }
    let mut map = Linear::per_channel(features, axes, vec![1.0]);
    map.map.first_input = first_input;
    let bias = vec![0.0; features];
    let mut out = lowering.apply(node, x.clone(), &[map], bias, plain(features, extent))?;
    out.nodes.clear();
    out.is_nonnegative = x.is_nonnegative;
    Ok(out)
}

/// The sum along some axes.
fn sum_over(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    lines: &[Axis],
) -> Result<Expr, ImportError> {
    let mut axes = x.extent().map(AxisMap::identity);
    for a in lines.iter().filter_map(|axis| axis.position()) {
        axes[a].expand = 0;
    }
    let map = if lines.contains(&Axis::Feature) {
        Linear {
            map: Map {
                axes,
                ..Map::dense(x.features() as u32, 1, [1; AXES])
            },
            values: vec![1.0; x.features()],
        }
    } else {
        Linear::per_channel(x.features(), axes, vec![1.0])
    };
    let (features, extent) = reduced_to_one(&x.layout, lines);
    lowering.apply(
        node,
        x,
        &[map],
        vec![0.0; features],
        plain(features, extent),
    )
}

/// `x − y`, `y` having size 1 along some axes.
fn difference(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut x: Expr,
    y: &Expr,
    lines: &[Axis],
) -> Result<Expr, ImportError> {
    let extent = x.extent();
    let repeated = |a: usize| lines.contains(&Axis::POSITION[a]);
    let axes: [Vec<(AxisMap, Vec<f32>)>; AXES] = core::array::from_fn(|a| {
        if repeated(a) {
            let rows: Vec<_> = (0..extent[a]).map(|_| vec![(0, 1.0)]).collect();
            term::axis_terms(&rows, 1, 1, 1)
        } else {
            vec![(AxisMap::identity(extent[a]), vec![1.0])]
        }
    });
    let channels = y.features();
    let mut maps = term::combine(channels, &axes)
        .ok_or_else(|| unsupported(node, "its axes are too many terms"))?;
    if lines.contains(&Axis::Feature) {
        for map in &mut maps {
            let taps = map.map.taps();
            map.map = Map {
                axes: map.map.axes,
                ..Map::dense(1, x.features() as u32, [1; AXES])
            };
            map.map.kernel = Kernel::Weights;
            map.values = vec![1.0; taps * x.features()];
        }
    }
    let features = x.features();
    let layout = plain(features, extent);
    let mut y = lowering.apply(node, y.clone(), &maps, vec![0.0; features], layout)?;
    y.affine(&vec![-1.0; features], &vec![0.0; features]);
    x.terms.extend(y.terms);
    x.is_nonnegative = false;
    note(node, &mut x);
    Ok(x)
}
