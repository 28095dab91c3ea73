//! Joining values whose elements do not lie alike, such as the boxes of feature maps of several sizes:
//! every line of each part is a term that writes its place on one long axis.

use air::graph::{AXES, Axis, AxisMap, Dim, Function, Kernel, Map};
use tract_onnx::pb::NodeProto;

use super::error::ImportError;
use super::expr::Expr;
use super::layout::{Layout, digit};
use super::lower::{Lowering, note, unsupported};
use crate::float::FloatTerm;

/// The axis everything is written to.
const TARGET: usize = AXES - 1;
/// Most lines of one value.
const MAX_LINES: usize = 1024;

/// Concatenates values along dimension `i`, which may lie on several axes of each. All other dimensions
/// are features.
pub(super) fn concat(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
    parts: Vec<Expr>,
    i: usize,
) -> Result<Expr, ImportError> {
    let total: usize = parts
        .iter()
        .map(|x| x.shape().get(i).copied().unwrap_or(0))
        .sum();
    let mut dims = parts[0].layout.dims().to_vec();
    let others = |x: &Expr| {
        let mut dims = x.layout.dims().to_vec();
        (i < dims.len()).then(|| dims.remove(i))?;
        let on_features = dims.iter().flatten().all(|d| d.axis == Axis::Feature);
        on_features.then_some(dims)
    };
    let first = others(&parts[0]);
    if first.is_none() || parts.iter().any(|x| others(x) != first) {
        return Err(unsupported(node, "its parts do not lie alike"));
    }
    dims[i] = vec![digit(Axis::POSITION[TARGET], total)];
    let layout = Layout::of(dims);
    let mut terms = Vec::new();
    let mut start = 0;
    let mut is_nonnegative = true;
    for mut x in parts {
        lowering.materialise(node, &mut x, Function::Identity)?;
        is_nonnegative &= x.is_nonnegative;
        let Some(tensor) = x.as_tensor() else {
            return Err(unsupported(node, "a part could not become a tensor"));
        };
        terms.extend(lines(node, &x, tensor, i, start, layout.features())?);
        start += x.shape()[i];
    }
    let mut out = Expr {
        name: String::new(),
        bias: vec![0.0; layout.features()],
        layout,
        terms,
        scaler: None,
        nodes: Vec::new(),
        is_nonnegative,
    };
    note(node, &mut out);
    Ok(out)
}

/// One term for each line of a tensor along the target axis.
fn lines(
    node: &NodeProto,
    x: &Expr,
    tensor: usize,
    i: usize,
    start: usize,
    features: usize,
) -> Result<Vec<FloatTerm>, ImportError> {
    let digits: Vec<Dim> = x.layout.dims()[i].clone();
    let target = Axis::POSITION[TARGET];
    let is_whole = |d: &Dim| d.axis == Axis::Feature || d.size as usize == x.layout.on(d.axis);
    // Features of other dimensions must be neighbours: those of this one come first.
    let later = &x.layout.dims()[..i];
    let lines: usize = digits
        .iter()
        .filter(|d| d.axis != target)
        .map(|d| d.size as usize)
        .product();
    if !digits.iter().all(is_whole) || later.iter().any(|d| !d.is_empty()) || lines > MAX_LINES {
        return Err(unsupported(
            node,
            "a part lies on too many axes to be joined",
        ));
    }
    let weight = |k: usize| -> usize { digits[k + 1..].iter().map(|d| d.size as usize).product() };
    let mut terms = Vec::with_capacity(lines);
    for line in 0..lines {
        let mut rest = line;
        let mut place = start;
        let (mut channel, mut channels) = (0, 1);
        let mut axes = x.extent().map(AxisMap::identity);
        axes[TARGET].pad = start as i32;
        for (k, d) in digits.iter().enumerate().rev() {
            if d.axis == target {
                axes[TARGET].expand = weight(k) as u32;
                continue;
            }
            let index = rest % d.size as usize;
            rest /= d.size as usize;
            place += index * weight(k);
            match d.axis.position() {
                None => {
                    channel += index * channels;
                    channels *= d.size as usize;
                }
                Some(a) => {
                    axes[a].pad = -(index as i32);
                    (axes[a].from, axes[a].to) = (index as u32, index as u32 + 1);
                }
            }
        }
        axes[TARGET].pad = place as i32;
        terms.push(FloatTerm {
            input: tensor,
            map: Map {
                first_input: (channel * features) as u32,
                groups: features as u32,
                inputs: 1,
                axes,
                kernel: Kernel::Taps(Vec::new()),
                ..Map::dense(1, 1, [1; AXES])
            },
            values: vec![1.0],
        });
    }
    Ok(terms)
}
