//! Pooling: windows, and averages, which are linear.

use air::graph::{Axis, AxisMap, Function};
use tract_onnx::pb::NodeProto;

use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, unsupported};
use super::super::term::{self, Linear};
use super::combined;
use super::conv::{Window, image, list, resized, sizes_after, spatial_axes, windows};
use super::{input, int, reduced_dims};

/// An average of more elements is taken in two steps: its factor, with the sum it multiplies, has to fit an
/// accumulator.
const MAX_AVERAGED: u32 = 1 << 12;

pub(super) fn pool_windows(
    node: &NodeProto,
    x: &Expr,
) -> Result<(Vec<Window>, Vec<usize>), ImportError> {
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
