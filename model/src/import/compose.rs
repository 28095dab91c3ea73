//! Whole values after one another: which linear work joins the work before it, and which has to wait for
//! a tensor.

use air::graph::{AxisMap, Kernel, Map};

use super::expr::Expr;
use super::term::{self, Linear};
use crate::float::FloatTerm;

/// A committed element is worth about so many weights that are not repeated for each of its terms.
const WEIGHTS_FOR_AN_ELEMENT: usize = 10;
/// More terms than this are summed up before they are read.
const MAX_TERMS_READ: usize = 64;

/// A matrix that every position is multiplied with.
pub(super) fn is_dense(map: &Linear) -> bool {
    let m = &map.map;
    let stays = |a: &AxisMap| *a == AxisMap::identity(a.to) && a.from == 0;
    matches!(m.kernel, Kernel::Weights)
        && m.groups == 1
        && m.first_input == 0
        && m.first_output == 0
        && !m.merged.contains(&true)
        && m.axes.iter().all(stays)
}

/// All maps after all terms, if each is a term again and that repeats no more weights than it is worth.
pub(super) fn compose_all(expr: &Expr, maps: &[Linear]) -> Option<Vec<FloatTerm>> {
    if expr.terms.len() > 1 && expr.terms.len() * maps.len() > MAX_TERMS_READ {
        return None;
    }
    // A mean is worth a tensor: its readers would multiply every position it sums over.
    let sums = |t: &FloatTerm| {
        t.map
            .axes
            .iter()
            .any(|a| a.expand == 0 && a.to - a.from > 1)
    };
    let learns = |m: &Linear| matches!(m.map.kernel, Kernel::Weights);
    if expr.terms.iter().any(sums) && maps.iter().any(learns) {
        return None;
    }
    let mut terms = Vec::new();
    for first in &expr.terms {
        for map in maps {
            terms.extend(term::compose(first, expr.extent(), map)?);
        }
    }
    let weights = |map: &Map| map.weights() as usize;
    let repeated: usize = terms.iter().map(|t| weights(&t.map)).sum();
    let alone: usize = maps.iter().map(|m| weights(&m.map)).sum();
    let is_cheap = repeated.saturating_sub(alone) <= WEIGHTS_FOR_AN_ELEMENT * expr.elements();
    (expr.terms.len() == 1 || is_cheap).then_some(terms)
}

/// One matrix after another, where one is no larger than the two it replaces, and cheap to compute.
pub(super) fn compose_dense(expr: &mut Expr, maps: &[Linear]) -> Option<Vec<FloatTerm>> {
    let ([map], [first]) = (maps, expr.terms.as_slice()) else {
        return None;
    };
    let outer = first.map.first_output == 0 && first.map.outputs == map.map.inputs;
    let inner = Linear {
        map: Map {
            merged: [false; 3],
            first_input: 0,
            ..first.map.clone()
        },
        values: Vec::new(),
    };
    if !is_dense(map) || !is_dense(&inner) || !outer {
        return None;
    }
    let (k, m, n) = (
        first.map.inputs as usize,
        map.map.inputs as usize,
        map.map.outputs as usize,
    );
    if k * n > k * m + m * n || (k * m).saturating_mul(n) > 1 << 33 {
        return None;
    }
    let row = |x: &[f32]| -> Vec<f32> {
        let mut acc = vec![0f64; n];
        for (&x, row) in x.iter().zip(map.values.chunks_exact(n)) {
            for (a, &w) in acc.iter_mut().zip(row) {
                *a += f64::from(x) * f64::from(w);
            }
        }
        acc.into_iter().map(|a| a as f32).collect()
    };
    Some(vec![FloatTerm {
        input: first.input,
        map: Map {
            outputs: n as u32,
            ..first.map.clone()
        },
        values: first.values.chunks_exact(m).flat_map(row).collect(),
    }])
}

/// The bias of every channel as a map sees them.
pub(super) fn merged_bias(expr: &Expr, map: &Linear) -> Vec<f64> {
    let extent = expr.extent();
    let merged: usize = (0..3)
        .filter(|&a| map.map.merged[a])
        .map(|a| extent[a] as usize)
        .product();
    let each = |&b: &f64| std::iter::repeat_n(b, merged);
    expr.bias.iter().flat_map(each).collect()
}
