//! Operators that move elements, or only call their shape something else.

use air::graph::{Axis, AxisMap, Function};
use tract_onnx::pb::NodeProto;

use super::super::error::ImportError;
use super::super::expr::Expr;
use super::super::layout::Layout;
use super::super::lower::{Lowering, note, unsupported};
use super::super::term::{self, Linear};
use super::{attribute, axis, input, int, integers};

/// `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze`, `Transpose`: bookkeeping.
pub(super) fn reshape(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let name = input(node, 0)?;
    let argument = match node.op_type.as_str() {
        "Flatten" | "Transpose" => None,
        _ => integers(
            lowering,
            node,
            1,
            if node.op_type == "Reshape" {
                "shape"
            } else {
                "axes"
            },
        )?,
    };
    let mut x = lowering.read(node, name)?;
    if node.op_type == "Transpose" {
        x.layout = transposed(node, &x.layout)?;
        return Ok(x);
    }
    let old = x.shape();
    let new = match (node.op_type.as_str(), argument) {
        ("Flatten", _) => flatten(node, &old)?,
        ("Reshape", Some(target)) => reshaped(node, &old, &target)?,
        ("Squeeze", axes) => squeezed(node, &old, axes)?,
        ("Unsqueeze", Some(axes)) => unsqueezed(node, &old, &axes)?,
        _ => return Err(unsupported(node, "its second input is missing")),
    };
    x.layout = x.layout.reshaped(&new).ok_or_else(|| {
        unsupported(
            node,
            format!("{old:?} cannot become {new:?} without moving elements"),
        )
    })?;
    Ok(x)
}

fn flatten(node: &NodeProto, old: &[usize]) -> Result<Vec<usize>, ImportError> {
    let value = int(node, "axis", 1);
    let at = if value == old.len() as i64 {
        old.len()
    } else {
        axis(node, value, old.len())?
    };
    Ok(vec![old[..at].iter().product(), old[at..].iter().product()])
}

fn reshaped(node: &NodeProto, old: &[usize], target: &[i64]) -> Result<Vec<usize>, ImportError> {
    let bad = || unsupported(node, format!("{old:?} cannot become {target:?}"));
    let keeps_zero = int(node, "allowzero", 0) != 0;
    let mut new = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, &d) in target.iter().enumerate() {
        match d {
            -1 if open.is_none() => {
                open = Some(i);
                new.push(1);
            }
            0 if !keeps_zero => new.push(*old.get(i).ok_or_else(bad)?),
            d => new.push(usize::try_from(d).ok().filter(|&d| d > 0).ok_or_else(bad)?),
        }
    }
    let total: usize = old.iter().product();
    let known = new
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or_else(bad)?;
    if let Some(i) = open {
        new[i] = total / known;
    }
    let product = new.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if product != Some(total) {
        return Err(bad());
    }
    Ok(new)
}

fn squeezed(
    node: &NodeProto,
    old: &[usize],
    axes: Option<Vec<i64>>,
) -> Result<Vec<usize>, ImportError> {
    let removed = match axes {
        None => (0..old.len()).filter(|&i| old[i] == 1).collect(),
        Some(axes) => axes
            .iter()
            .map(|&a| axis(node, a, old.len()))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if let Some(&i) = removed.iter().find(|&&i| old[i] != 1) {
        return Err(unsupported(node, format!("dimension {i} is not 1")));
    }
    let kept = (0..old.len()).filter(|i| !removed.contains(i));
    Ok(kept.map(|i| old[i]).collect())
}

fn unsqueezed(node: &NodeProto, old: &[usize], axes: &[i64]) -> Result<Vec<usize>, ImportError> {
    let rank = old.len() + axes.len();
    let mut added = axes
        .iter()
        .map(|&a| axis(node, a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    added.sort_unstable();
    if added.windows(2).any(|w| w[0] == w[1]) {
        return Err(unsupported(node, "an axis is named twice"));
    }
    let mut rest = old.iter().copied();
    let one = |i: usize| {
        if added.contains(&i) {
            1
        } else {
            rest.next().unwrap_or(1)
        }
    };
    Ok((0..rank).map(one).collect())
}

fn transposed(node: &NodeProto, old: &Layout) -> Result<Layout, ImportError> {
    let rank = old.rank();
    let permutation = match attribute(node, "perm") {
        None => (0..rank).rev().collect(),
        Some(a) => a
            .ints
            .iter()
            .map(|&a| axis(node, a, rank))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let mut seen = permutation.clone();
    seen.sort_unstable();
    if seen != (0..rank).collect::<Vec<_>>() {
        return Err(unsupported(node, "perm is not a permutation"));
    }
    old.transposed(&permutation)
        .ok_or_else(|| unsupported(node, "it changes the order of elements on one axis"))
}

/// Part of a dimension: `len` elements from `start` on, each `step` after the one before.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    step: usize,
    len: usize,
}

fn take(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    x: Expr,
    i: usize,
    part: Part,
) -> Result<Expr, ImportError> {
    if part.start == 0 && part.step == 1 && part.len == x.shape()[i] {
        return Ok(x);
    }
    let axis = x
        .layout
        .axis_of(i)
        .ok_or_else(|| unsupported(node, format!("dimension {i} is no whole axis")))?;
    let mut axes = x.extent().map(AxisMap::identity);
    let layout = x.layout.with(i, axis, part.len);
    let mut map;
    match axis.position() {
        Some(a) => {
            axes[a].stride = part.step as u32;
            axes[a].pad = -(part.start as i32);
            map = Linear::per_channel(x.features(), axes, vec![1.0]);
        }
        None if part.step == 1 => {
            map = Linear::per_channel(part.len, axes, vec![1.0]);
            map.map.first_input = part.start as u32;
        }
        None => return Err(unsupported(node, "channels can be sliced with step 1 only")),
    }
    let bias = vec![0.0; layout.features()];
    let mut out = lowering.apply(node, x, &[map], bias, layout)?;
    out.nodes.pop();
    Ok(out)
}

/// `Slice` with positive steps.
pub(super) fn slice(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let missing = |what: &str| unsupported(node, format!("`{what}` is missing"));
    let starts = integers(lowering, node, 1, "starts")?.ok_or_else(|| missing("starts"))?;
    let ends = integers(lowering, node, 2, "ends")?.ok_or_else(|| missing("ends"))?;
    let mut x = lowering.read(node, input(node, 0)?)?;
    let axes =
        integers(lowering, node, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = integers(lowering, node, 4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(unsupported(
            node,
            "starts, ends, axes and steps differ in length",
        ));
    }
    for k in 0..starts.len() {
        let i = axis(node, axes[k], x.layout.rank())?;
        let n = x.shape()[i] as i64;
        let clamp = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(0, n);
        let (start, end) = (clamp(starts[k]), clamp(ends[k]));
        if !(1..=4096).contains(&steps[k]) || end <= start {
            return Err(unsupported(
                node,
                "only non-empty slices with positive steps are supported",
            ));
        }
        let len = ((end - start) as usize).div_ceil(steps[k] as usize);
        let part = Part {
            start: start as usize,
            step: steps[k] as usize,
            len,
        };
        x = take(lowering, node, x, i, part)?;
    }
    Ok(x)
}

/// `Split` into parts along one dimension.
pub(super) fn split(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Vec<Expr>, ImportError> {
    let sizes = integers(lowering, node, 1, "split")?;
    let mut x = lowering.read(node, input(node, 0)?)?;
    let i = axis(node, int(node, "axis", 0), x.layout.rank())?;
    let (n, parts) = (x.shape()[i], node.output.len());
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes
            .iter()
            .map(|&s| usize::try_from(s).unwrap_or(0))
            .collect(),
        None => {
            let each = n.div_ceil(parts);
            (0..parts)
                .map(|k| each.min(n.saturating_sub(k * each)))
                .collect()
        }
    };
    if sizes.len() != parts || sizes.contains(&0) || sizes.iter().sum::<usize>() != n {
        return Err(unsupported(
            node,
            format!("{n} cannot be split into {sizes:?}"),
        ));
    }
    if x.is_heavy() {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    let mut start = 0;
    let mut out = Vec::with_capacity(parts);
    for len in sizes {
        let part = Part {
            start,
            step: 1,
            len,
        };
        out.push(take(lowering, node, x.clone(), i, part)?);
        start += len;
    }
    Ok(out)
}

/// `Concat`: terms that write different parts of one value.
pub(super) fn concat(lowering: &mut Lowering<'_>, node: &NodeProto) -> Result<Expr, ImportError> {
    let mut parts = Vec::with_capacity(node.input.len());
    for k in 0..node.input.len() {
        let mut x = lowering.read(node, input(node, k)?)?;
        if x.scaler.is_some() {
            lowering.materialise(node, &mut x, Function::Identity)?;
        }
        parts.push(x);
    }
    let rank = parts[0].layout.rank();
    let i = axis(node, int(node, "axis", 0), rank)?;
    let total: usize = parts
        .iter()
        .map(|x| x.shape().get(i).copied().unwrap_or(0))
        .sum();
    let filled = parts.iter().find_map(|x| x.layout.axis_of(i));
    let axis = filled.unwrap_or(if i == 1 { Axis::Feature } else { Axis::Width });
    let layout = parts[0].layout.with(i, axis, total);
    let fits = |x: &Expr| {
        let own = x.layout.with(i, axis, total);
        let is_free = x.layout.dims()[i].is_empty() && x.layout.on(axis) == 1;
        x.layout.rank() == rank && own == layout && (is_free || x.layout.axis_of(i) == Some(axis))
    };
    if !parts.iter().all(fits) {
        return super::super::relayout::concat(lowering, node, parts, i);
    }
    let mut out = Expr {
        layout,
        terms: Vec::new(),
        bias: Vec::new(),
        nodes: Vec::new(),
        is_nonnegative: true,
        ..parts[0].clone()
    };
    let mut start = 0;
    for x in parts {
        let len = x.shape()[i];
        append(lowering, node, &mut out, x, axis, start)?;
        start += len;
    }
    note(node, &mut out);
    Ok(out)
}

/// Adds a part that begins at index `start` of an axis.
fn append(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    out: &mut Expr,
    mut x: Expr,
    axis: Axis,
    start: usize,
) -> Result<(), ImportError> {
    out.is_nonnegative &= x.is_nonnegative;
    let Some(a) = axis.position() else {
        for term in &mut x.terms {
            term.map.first_output += start as u32;
        }
        out.terms.extend(x.terms);
        out.bias.extend(x.bias);
        out.nodes.extend(x.nodes);
        return Ok(());
    };
    if !x.has_no_bias() || !x.terms.iter().all(crate::float::FloatTerm::is_simple) {
        lowering.materialise(node, &mut x, Function::Identity)?;
    }
    let window = 0..x.extent()[a];
    for t in &x.terms {
        // Only its own part: beyond its end the axis now goes on.
        if let Some(mut t) = term::restrict(t, a, window.clone()) {
            let map = &mut t.map.axes[a];
            map.pad += (map.stride as usize * start) as i32;
            out.terms.push(t);
        }
    }
    out.bias = x.bias;
    Ok(())
}
