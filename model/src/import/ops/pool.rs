//! Pooling. Averages are linear; a maximum is a chain of comparisons, `max(a, b) = a + relu(b − a)`,
//! of which only the differences become layers: the sum is read as it stands.

use air::graph::{AXES, Axis, AxisMap, Function};
use tract_onnx::pb::NodeProto;

use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, note, unsupported};
use super::super::term::{self, Linear};
use super::combined;
use super::conv::{Window, image, list, resized, sizes_after, spatial_axes, windows};
use super::{input, int, reduced_dims};

/// An average of more elements is taken in two steps: its factor, with the sum it multiplies, has to fit an
/// accumulator.
const MAX_AVERAGED: u32 = 1 << 12;
/// A maximum of more terms than this becomes a tensor before it is compared again.
const MAX_TERMS_COMPARED: usize = 4;

fn pool_windows(node: &NodeProto, x: &Expr) -> Result<(Vec<Window>, Vec<usize>), ImportError> {
    let shape = x.shape();
    let sizes = &shape[2..];
    if super::attribute(node, "kernel_shape").is_none() {
        return Err(unsupported(node, "`kernel_shape` is missing"));
    }
    let kernel = list(node, "kernel_shape", sizes.len(), 1)?;
    let windows = windows(node, &kernel, sizes)?;
    if windows
        .iter()
        .any(|w| w.before >= w.reach() || w.after >= w.reach())
    {
        return Err(unsupported(node, "its padding is as large as its kernel"));
    }
    let after = sizes_after(node, &windows, sizes, int(node, "ceil_mode", 0) != 0)?;
    Ok((windows, after))
}

/// `AveragePool`.
pub(super) fn average_pool(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
    let x = image(lowering, node, input(node, 0)?)?;
    let (windows, after) = pool_windows(node, &x)?;
    let counts_pads = int(node, "count_include_pad", 0) != 0;
    let extent = x.extent();
    let mut axes = extent.map(|n| vec![(AxisMap::identity(n), vec![1.0])]);
    for ((&a, w), &outputs) in spatial_axes(x.layout.rank())
        .iter()
        .zip(&windows)
        .zip(&after)
    {
        let rows: Vec<Vec<(u32, f64)>> = (0..outputs)
            .map(|q| average(w, q, extent[a], counts_pads))
            .collect();
        axes[a] = term::axis_terms(&rows, extent[a], w.stride as u32, 1);
    }
    let maps = combined(node, &x, &axes)?;
    let (layout, bias) = (
        resized(&x.layout, x.features(), &after),
        vec![0.0; x.features()],
    );
    apply_unbiased(lowering, node, x, &maps, bias, layout)
}

/// A bias is the same before an average and after it, whatever the padding; other padding needs it gone.
fn apply_unbiased(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut x: Expr,
    maps: &[Linear],
    bias: Vec<f64>,
    layout: super::super::layout::Layout,
) -> Result<Expr, ImportError> {
    if maps.len() > 1 && !x.has_no_bias() {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    lowering.apply(node, x, maps, bias, layout)
}

/// The inputs of output `q`, each with its share.
fn average(w: &Window, q: usize, inputs: u32, counts_pads: bool) -> Vec<(u32, f64)> {
    let n = i64::from(inputs);
    let first = (q * w.stride) as i64 - w.before as i64;
    let taps = (0..w.kernel).map(|t| first + (w.dilation * t) as i64);
    let end = n + w.after as i64;
    let counted = taps.clone().filter(|&j| {
        if counts_pads {
            j < end
        } else {
            (0..n).contains(&j)
        }
    });
    let share = 1.0 / counted.count().max(1) as f64;
    taps.filter(|j| (0..n).contains(j))
        .map(|j| (j as u32, share))
        .collect()
}

/// `GlobalAveragePool`, and `ReduceMean` over positions.
pub(super) fn global_average(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Expr, ImportError> {
    let x = lowering.read(node, input(node, 0)?)?;
    let (reduced, keeps) = reduced_dims(lowering, node, x.layout.rank())?;
    let mut out = x;
    let mut count = 1;
    for &i in &reduced {
        if out.layout.dims()[i].is_empty() {
            continue;
        }
        let position = out.layout.axis_of(i).and_then(Axis::position);
        let Some(a) = position else {
            return Err(unsupported(
                node,
                format!("dimension {i} is no whole axis of positions"),
            ));
        };
        let size = out.extent()[a];
        count *= size;
        if count > MAX_AVERAGED && count > size {
            lowering.materialise(node, &mut out, Function::Identity)?;
            count = size;
        }
        let mut axes = out.extent().map(AxisMap::identity);
        axes[a].expand = 0;
        let layout = out.layout.with(i, Axis::POSITION[a], 1);
        let share = (1.0 / f64::from(size)) as f32;
        let map = Linear::per_channel(out.features(), axes, vec![share]);
        let bias = vec![0.0; out.features()];
        out = lowering.apply(node, out, &[map], bias, layout)?;
    }
    if !keeps {
        let dims = out.layout.dims().iter().enumerate();
        let kept = dims.filter(|(i, _)| !reduced.contains(i));
        out.layout = super::super::layout::Layout::of(kept.map(|(_, d)| d.clone()).collect());
    }
    Ok(out)
}

/// `MaxPool`, one dimension after the other.
pub(super) fn max_pool(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    if int(node, "storage_order", 0) != 0 {
        return Err(unsupported(node, "storage_order = 1 is not supported"));
    }
    let x = image(lowering, node, input(node, 0)?)?;
    let (windows, after) = pool_windows(node, &x)?;
    let mut x = comparable(lowering, node, x)?;
    for (i, (w, &outputs)) in windows.iter().zip(&after).enumerate() {
        x = max_along(lowering, node, x, i, w, outputs)?;
    }
    note(node, &mut x);
    Ok(x)
}

/// A value whose terms are parts of tensors as they are.
pub(super) fn comparable(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut x: Expr,
) -> Result<Expr, ImportError> {
    let plain = |t: &crate::float::FloatTerm| t.is_simple() && t.values.iter().all(|&w| w == 1.0);
    let is_plain = x.terms.iter().all(plain) && x.has_no_bias() && x.scaler.is_none();
    if !is_plain {
        lowering.materialise(node, &mut x, Function::Identity)?;
    } else if x.terms.len() > MAX_TERMS_COMPARED {
        lowering.materialise_exactly(node, &mut x, Function::Identity)?;
    }
    Ok(x)
}

/// The maximum over windows along spatial dimension `i`.
fn max_along(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    i: usize,
    w: &Window,
    outputs: usize,
) -> Result<Expr, ImportError> {
    let x = comparable(lowering, node, x)?;
    let a = spatial_axes(x.layout.rank())[i];
    let n = x.extent()[a] as usize;
    if w.kernel == 1 && w.stride == 1 && outputs == n {
        return Ok(x);
    }
    let present = |t: usize| {
        let inside =
            |q: &usize| (w.before..w.before + n).contains(&(q * w.stride + w.dilation * t));
        let mut at = (0..outputs).filter(inside);
        let first = at.next().unwrap_or(outputs);
        first as u32..at.next_back().map_or(first + 1, |q| q + 1).min(outputs) as u32
    };
    let mut taps: Vec<usize> = (0..w.kernel).filter(|&t| !present(t).is_empty()).collect();
    taps.sort_by_key(|&t| std::cmp::Reverse(present(t).len()));
    let all = 0..outputs as u32;
    let has_common = taps.first().is_some_and(|&t| present(t) == all);
    if !has_common && !x.is_nonnegative {
        return Err(unsupported(
            node,
            "no element of its window is always inside, and the input may be negative",
        ));
    }
    let mut max: Option<Expr> = None;
    for t in taps {
        let at = slide(
            lowering,
            node,
            &x,
            i,
            (w.stride, w.before as i32 - (w.dilation * t) as i32),
            outputs,
        )?;
        max = Some(match max {
            None => at,
            Some(max) => {
                let window = if x.is_nonnegative {
                    all.clone()
                } else {
                    present(t)
                };
                larger(lowering, node, max, &at, a, window)?
            }
        });
    }
    max.ok_or_else(|| unsupported(node, "its window is empty"))
}

/// Every `stride`-th element along spatial dimension `i`, shifted.
fn slide(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: &Expr,
    i: usize,
    (stride, pad): (usize, i32),
    outputs: usize,
) -> Result<Expr, ImportError> {
    let a = spatial_axes(x.layout.rank())[i];
    let mut axes: [AxisMap; AXES] = x.extent().map(AxisMap::identity);
    axes[a].stride = stride as u32;
    axes[a].pad = pad;
    let layout = x.layout.with(2 + i, Axis::POSITION[a], outputs);
    let map = Linear::per_channel(x.features(), axes, vec![1.0]);
    let bias = vec![0.0; x.features()];
    let mut out = lowering.apply(node, x.clone(), &[map], bias, layout)?;
    out.nodes.clone_from(&x.nodes);
    out.is_nonnegative = x.is_nonnegative;
    Ok(out)
}

/// `max + relu(x − max)`, the difference only at outputs of a window along axis `a`.
fn larger(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    mut max: Expr,
    x: &Expr,
    a: usize,
    window: std::ops::Range<u32>,
) -> Result<Expr, ImportError> {
    let mut difference = Expr {
        terms: max
            .terms
            .iter()
            .filter_map(|t| term::restrict(t, a, window.clone()))
            .collect(),
        nodes: Vec::new(),
        ..max.clone()
    };
    let features = difference.features();
    difference.affine(&vec![-1.0; features], &vec![0.0; features]);
    difference.terms.extend(
        x.terms
            .iter()
            .filter_map(|t| term::restrict(t, a, window.clone())),
    );
    lowering.materialise_exactly(node, &mut difference, Function::Relu)?;
    max.terms.extend(difference.terms);
    Ok(max)
}
