//! `MaxPool`. Two ways: a maximum over windows that lie in the rows of the tensor they are taken of
//! ([`air::graph::groups`]), where only the comparisons cost anything; and, for windows that cannot lie there, a chain
//! of comparisons `max(a, b) = a + relu(b − a)`, each difference a layer of its own.

use air::graph::{AXES, Axis, AxisMap, Function};
use tract_onnx::pb::NodeProto;

use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::lower::{Lowering, note, unsupported};
use super::super::term::{self, Linear};
use super::conv::{Window, image, spatial_axes};
use super::pool::pool_windows;
use super::{input, int};
use crate::float::FloatTerm;

/// A maximum of more terms than this becomes a tensor before it is compared again.
const MAX_TERMS_COMPARED: usize = 4;
/// Most elements of a window that are copied from a neighbour's unit, on one axis.
const MAX_COPIES: usize = 4;

/// `MaxPool`, one dimension after the other.
pub(super) fn max_pool(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    if int(node, "storage_order", 0) != 0 {
        return Err(unsupported(node, "storage_order = 1 is not supported"));
    }
    let x = image(lowering, node, input(node, 0)?)?;
    let (windows, after) = pool_windows(node, &x)?;
    let mut x = comparable(lowering, node, x)?;
    let in_rows = lie_in_rows(lowering, &x, &windows, &after);
    for (i, (w, &outputs)) in windows.iter().zip(&after).enumerate() {
        x = match &in_rows {
            Some(splits) => max_in_rows(lowering, node, x, i, w.stride, outputs, &splits[i])?,
            None => max_along(lowering, node, x, i, w, outputs)?,
        };
    }
    note(node, &mut x);
    Ok(x)
}

/// A window along one axis.
struct Split {
    /// The first element of its own unit, and how many more follow.
    own: std::ops::Range<usize>,
    /// Where the others lie, from the unit's first element.
    copied: Vec<i32>,
}

impl Split {
    /// `None` if elements of the window's own unit lie outside, or others do that could be the largest.
    fn new(w: &Window, inputs: usize, outputs: usize, is_nonnegative: bool) -> Option<Self> {
        if w.dilation != 1 {
            return None;
        }
        let taps = (0..w.kernel).map(|t| t as i32 - w.before as i32);
        let stride = w.stride as i32;
        let (own, copied): (Vec<i32>, Vec<i32>) = taps.partition(|t| (0..stride).contains(t));
        let first = *own.first()? as usize;
        let last_unit = (w.stride * (outputs - 1)) as i32;
        let is_inside = |t: &i32| *t >= 0 && last_unit + t < inputs as i32;
        let fits = own.iter().all(is_inside)
            && copied.len() <= MAX_COPIES
            && (is_nonnegative || copied.iter().all(is_inside));
        fits.then_some(Self {
            own: first..first + own.len(),
            copied,
        })
    }
}

/// How the windows lie in the rows of a tensor, if they do.
fn lie_in_rows(
    lowering: &Lowering<'_>,
    x: &Expr,
    windows: &[Window],
    after: &[usize],
) -> Option<Vec<Split>> {
    let tensor = x.as_tensor()?;
    let mut strides = [1; AXES];
    let axes = spatial_axes(x.layout.rank());
    for (w, &a) in windows.iter().zip(axes) {
        strides[a] = w.stride as u32;
    }
    if !lowering.windows.have_room(tensor, strides) {
        return None;
    }
    let along = windows.iter().zip(after).zip(axes);
    along
        .map(|((w, &outputs), &a)| Split::new(w, x.extent()[a] as usize, outputs, x.is_nonnegative))
        .collect()
}

/// The maximum over windows along spatial dimension `i`: of a unit's own elements, and of copies of others.
fn max_in_rows(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    i: usize,
    stride: usize,
    outputs: usize,
    split: &Split,
) -> Result<Expr, ImportError> {
    let a = spatial_axes(x.layout.rank())[i];
    let is_all = outputs == x.extent()[a] as usize;
    let Some(tensor) = x
        .as_tensor()
        .filter(|_| stride > 1 || split.own.len() > 1 || !is_all || !split.copied.is_empty())
    else {
        return Ok(x);
    };
    let mut own = FloatTerm::identity(tensor, x.features(), x.extent());
    own.map.axes[a] = AxisMap {
        taps: split.own.len() as u32,
        stride: stride as u32,
        pad: -(split.own.start as i32),
        ..AxisMap::identity(x.extent()[a])
    };
    own.values = vec![1.0; split.own.len()];
    let mut terms = vec![own];
    for offset in &split.copied {
        let mut copy = slide(lowering, node, &x, i, (stride, -offset), outputs)?;
        note(node, &mut copy);
        lowering.materialise_exactly(node, &mut copy, Function::Identity)?;
        terms.extend(copy.terms);
    }
    let layout = x.layout.with(2 + i, Axis::POSITION[a], outputs);
    lowering.maximum(node, x, terms, layout)
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
