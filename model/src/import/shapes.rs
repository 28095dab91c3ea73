//! Operators that leave every element where it is, and only call the shape something else.

use tract_onnx::pb::NodeProto;

use super::constant;
use super::error::ImportError;
use super::lower::{Lowering, unsupported};
use super::ops::{attribute, axis, input, int, optional_input};
use super::variable::Variable;

/// `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze`, and `Transpose` of extents of 1.
pub(super) fn reshape(
    lowering: &mut Lowering<'_>,
    node: &NodeProto,
) -> Result<Variable, ImportError> {
    let name = input(node, 0)?;
    let argument = match optional_input(node, 1) {
        Some(name) => Some(constant_integers(lowering, node, name)?),
        None => attribute(node, "axes").map(|a| a.ints.clone()),
    };
    let mut variable = lowering.take(node, name)?;
    let old = &variable.shape;
    let new = match (node.op_type.as_str(), argument) {
        ("Flatten", _) => flatten(node, old)?,
        ("Reshape", Some(target)) => reshaped(node, old, &target)?,
        ("Squeeze", axes) => squeezed(node, old, axes)?,
        ("Unsqueeze", Some(axes)) => unsqueezed(node, old, &axes)?,
        ("Transpose", _) => transposed(node, old)?,
        _ => return Err(unsupported(node, "its second input is missing")),
    };
    if new.iter().product::<usize>() != old.iter().product::<usize>() {
        let reason = format!("{old:?} cannot become {new:?}");
        return Err(unsupported(node, reason));
    }
    variable.shape = new;
    Ok(variable)
}

fn constant_integers(
    lowering: &Lowering<'_>,
    node: &NodeProto,
    name: &str,
) -> Result<Vec<i64>, ImportError> {
    let tensor = lowering.constant(node, name)?;
    constant::integers(&tensor)
        .ok_or_else(|| unsupported(node, format!("`{name}` must hold integers")))
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
    Ok((0..rank)
        .map(|i| {
            if added.contains(&i) {
                1
            } else {
                rest.next().unwrap_or(1)
            }
        })
        .collect())
}

fn transposed(node: &NodeProto, old: &[usize]) -> Result<Vec<usize>, ImportError> {
    let rank = old.len();
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
    let moving: Vec<usize> = permutation
        .iter()
        .copied()
        .filter(|&i| old[i] != 1)
        .collect();
    if !moving.is_sorted() {
        return Err(unsupported(node, "it changes the order of elements"));
    }
    Ok(permutation.into_iter().map(|i| old[i]).collect())
}
