//! Arithmetic of terms: scaling, shifting, and one linear map after another.

use air::graph::{AXES, AxisMap, Kernel, Map};

use crate::float::FloatTerm;

/// A linear map that has not been given anything to read yet.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub map: Map,
    pub values: Vec<f32>,
}

impl Linear {
    /// One factor for every channel, on each of which the same axes are walked.
    pub(super) fn per_channel(channels: usize, axes: [AxisMap; AXES], taps: Vec<f32>) -> Self {
        let map = Map {
            groups: channels as u32,
            inputs: 1,
            axes,
            kernel: Kernel::Taps(Vec::new()),
            ..Map::dense(1, 1, [1; AXES])
        };
        // Several taps of one phase have no factor in common.
        if axes.iter().any(overlaps) {
            let values = std::iter::repeat_n(taps, channels).flatten().collect();
            let kernel = Kernel::Weights;
            return Self {
                map: Map { kernel, ..map },
                values,
            };
        }
        Self { map, values: taps }
    }

    /// The same map, reading a tensor.
    pub(super) fn read(self, input: usize) -> FloatTerm {
        FloatTerm {
            input,
            map: self.map,
            values: self.values,
        }
    }

    /// Whether every output reads every tap within the input.
    pub(super) fn is_inside(&self, inputs: [u32; AXES], outputs: [u32; AXES]) -> bool {
        (0..AXES).all(|a| {
            let (axis, n) = (
                &self.map.axes[a],
                if self.map.merged[a] { 1 } else { inputs[a] },
            );
            let last = i64::from(axis.stride) * i64::from(outputs[a].saturating_sub(1));
            let reach = i64::from(axis.dilation) * i64::from(axis.taps - 1);
            match axis.expand {
                0 => outputs[a] == 1,
                1 => {
                    -i64::from(axis.pad) >= i64::from(axis.from)
                        && last + reach - i64::from(axis.pad) < i64::from(axis.to.min(n))
                }
                _ => false,
            }
        })
    }

    /// What it makes of a constant input, one value for each channel of the merged view. Correct
    /// where it [`is_inside`](Self::is_inside).
    pub(super) fn of_constant(&self, constant: &[f64], outputs: usize) -> Vec<f64> {
        let map = &self.map;
        let (ci, co, taps) = (map.inputs as usize, map.outputs as usize, map.taps());
        let summed = map.axes.iter().filter(|a| a.expand == 0);
        let repeats: f64 = summed.map(|a| f64::from(a.to - a.from)).product();
        let mut out = vec![0.0; outputs];
        for g in 0..map.groups as usize {
            for c in 0..ci {
                let channel = g * ci + c;
                let x = constant[map.first_input as usize + channel] * repeats;
                for (t, o) in (0..taps).flat_map(|t| (0..co).map(move |o| (t, o))) {
                    let w = match map.kernel {
                        Kernel::Weights => self.values[(channel * taps + t) * co + o],
                        _ => self.values[t],
                    };
                    out[map.first_output as usize + g * co + o] += f64::from(w) * x;
                }
            }
        }
        out
    }
}

/// Whether several taps of an axis meet the same phase of a stride.
fn overlaps(axis: &AxisMap) -> bool {
    let period = axis.stride / gcd(axis.stride, axis.dilation);
    axis.stride > 1 && period > 1 && axis.taps > period
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Multiplies each output feature with a factor. `false`, and nothing done, where a gate is in the way.
pub(super) fn scale(term: &mut FloatTerm, factors: &[f64]) -> bool {
    let factors = &factors[term.outputs()];
    let is_uniform = factors.windows(2).all(|w| w[0] == w[1]);
    let times = |w: &mut f32, f: f64| *w = (f64::from(*w) * f) as f32;
    let map = &mut term.map;
    match map.kernel {
        Kernel::Gate(_) => factors.iter().all(|&f| f == 1.0),
        Kernel::Taps(_) if is_uniform => {
            let factor = factors.first().copied().unwrap_or(1.0);
            term.values.iter_mut().for_each(|w| times(w, factor));
            true
        }
        Kernel::Taps(_) => {
            let row = |&f: &f64| {
                let scaled = |&w: &f32| (f64::from(w) * f) as f32;
                term.values.iter().map(scaled).collect::<Vec<_>>()
            };
            term.values = factors.iter().flat_map(row).collect();
            map.kernel = Kernel::Weights;
            true
        }
        Kernel::Weights => {
            let co = map.outputs as usize;
            let per_group = map.inputs as usize * map.taps() * co;
            for (i, w) in term.values.iter_mut().enumerate() {
                times(w, factors[i / per_group * co + i % co]);
            }
            true
        }
    }
}

/// The factor of channel `i` of a simple term.
fn factor(term: &FloatTerm, i: usize) -> f64 {
    let at = if matches!(term.map.kernel, Kernel::Weights) {
        i
    } else {
        0
    };
    f64::from(term.values[at])
}

/// `second` after `first`, both along one axis; `middle` is the size of what lies between. `None` where
/// no axis map is the same.
///
/// ```text
///   s₁·i = e₁·j + p₁,  s₂·q = e₂·i − d·δ + p₂   ⟹   s₁s₂·q = e₁e₂·j − s₁d·δ + e₂p₁ + s₁p₂
/// ```
fn compose_axis(first: &AxisMap, middle: u32, second: &AxisMap) -> Option<AxisMap> {
    let (s1, e1, p1) = (
        i64::from(first.stride),
        i64::from(first.expand),
        i64::from(first.pad),
    );
    let (e2, p2) = (i64::from(second.expand), i64::from(second.pad));
    if e2 != 1 && s1 != 1 {
        return None;
    }
    let (lo, hi) = (i64::from(second.from), i64::from(second.to.min(middle)) - 1);
    if hi < lo {
        return None;
    }
    let (mut from, mut to) = (i64::from(first.from), i64::from(first.to));
    if e1 == 0 {
        // Everything is summed into i = 0.
        if p1 != 0 || lo > 0 {
            return None;
        }
    } else {
        let ceil = |a: i64| a.div_euclid(e1) + i64::from(a.rem_euclid(e1) != 0);
        from = from.max(ceil(s1 * lo - p1));
        to = to.min((s1 * hi - p1).div_euclid(e1) + 1);
    }
    if from >= to {
        return None;
    }
    let axis = AxisMap {
        taps: second.taps,
        stride: u32::try_from(s1 * i64::from(second.stride)).ok()?,
        expand: u32::try_from(e1 * e2).ok()?,
        dilation: u32::try_from(s1 * i64::from(second.dilation)).ok()?,
        pad: i32::try_from(e2 * p1 + s1 * p2).ok()?,
        from: from as u32,
        to: to as u32,
    };
    let small = |n: u32| n <= air::graph::map::MAX_STEP;
    (small(axis.stride)
        && small(axis.expand)
        && small(axis.dilation)
        && (axis.stride == 1 || axis.expand == 1))
        .then_some(axis)
}

/// `second` of what a simple term makes of its tensor, `middle` being the extents between. `None` if
/// that is no term; an empty list if the two do not meet.
pub(super) fn compose(
    first: &FloatTerm,
    middle: [u32; AXES],
    second: &Linear,
) -> Option<Vec<FloatTerm>> {
    if !first.is_simple() {
        return None;
    }
    let mut merged = 1;
    let mut axes = second.map.axes;
    for a in 0..AXES {
        let inner = &first.map.axes[a];
        if second.map.merged[a] {
            if *inner != AxisMap::identity(middle[a]) {
                return None;
            }
            merged *= middle[a];
        } else {
            match compose_axis(inner, middle[a], &second.map.axes[a]) {
                Some(axis) => axes[a] = axis,
                // An empty window is no contribution, unless the map could not be expressed at all.
                None if is_empty(inner, middle[a], &second.map.axes[a]) => return Some(vec![]),
                None => return None,
            }
        }
    }
    let map = &second.map;
    let (ci, co, taps) = (map.inputs, map.outputs, map.taps());
    let written =
        first.map.first_output * merged..(first.map.first_output + first.map.groups) * merged;
    let read = map.first_input..map.first_input + map.groups * ci;
    let (lo, hi) = (written.start.max(read.start), written.end.min(read.end));
    if lo >= hi {
        return Some(vec![]);
    }
    let (skipped, used) = (lo - read.start, hi - lo);
    let (groups, inputs, first_output) = if map.groups == 1 {
        (1, used, map.first_output)
    } else if skipped.is_multiple_of(ci) && used.is_multiple_of(ci) {
        (used / ci, ci, map.first_output + skipped / ci * co)
    } else {
        return None;
    };
    let of = |channel: u32| {
        factor(
            first,
            ((lo + channel) / merged - first.map.first_output) as usize,
        )
    };
    let factors: Vec<f64> = (0..used).map(of).collect();
    let (kernel, values) = values(second, skipped as usize, &factors, taps * co as usize);
    let composed = Map {
        merged: map.merged,
        first_input: first.map.first_input * merged + (lo - written.start),
        groups,
        inputs,
        first_output,
        outputs: co,
        axes,
        kernel,
    };
    Some(vec![FloatTerm {
        input: first.input,
        map: composed,
        values,
    }])
}

/// The kernel of a composed term: the values of the channels from `skipped` on, each times a factor.
fn values(second: &Linear, skipped: usize, factors: &[f64], row: usize) -> (Kernel, Vec<f32>) {
    let times = |w: f32, f: f64| (f64::from(w) * f) as f32;
    let is_uniform = factors.windows(2).all(|w| w[0] == w[1]);
    match second.map.kernel {
        Kernel::Weights => {
            let rows = second.values[skipped * row..]
                .chunks_exact(row)
                .zip(factors);
            let scaled = rows.flat_map(|(r, &f)| r.iter().map(move |&w| times(w, f)));
            (Kernel::Weights, scaled.collect())
        }
        _ if is_uniform => {
            let scaled = second.values.iter().map(|&w| times(w, factors[0]));
            (Kernel::Taps(Vec::new()), scaled.collect())
        }
        _ => {
            let all = &second.values;
            let scaled = factors
                .iter()
                .flat_map(|&f| all.iter().map(move |&w| times(w, f)));
            (Kernel::Weights, scaled.collect())
        }
    }
}

fn is_empty(first: &AxisMap, middle: u32, second: &AxisMap) -> bool {
    let within = |n: i64| (i64::from(second.from)..i64::from(second.to.min(middle))).contains(&n);
    (first.from..first.to).all(|j| {
        let at = first.shifted(j, 0);
        let stride = i64::from(first.stride);
        at.rem_euclid(stride) != 0 || !within(at.div_euclid(stride))
    })
}

/// Lets a simple term write only the outputs of one axis within a window. `None` if none are left.
pub(super) fn restrict(
    term: &FloatTerm,
    axis: usize,
    outputs: std::ops::Range<u32>,
) -> Option<FloatTerm> {
    let mut term = term.clone();
    let map = &mut term.map.axes[axis];
    let inside = |j: &u32| {
        map.output_of(*j, 0, outputs.end)
            .is_some_and(|q| q >= outputs.start)
    };
    let mut met = (map.from..map.to).filter(inside);
    let first = met.next()?;
    let last = met.next_back().unwrap_or(first);
    (map.from, map.to) = (first, last + 1);
    Some(term)
}

/// Joins terms that read one tensor at two offsets along one axis into kernels of two taps: each is read once
/// where it was read twice.
pub(super) fn join_offsets(terms: Vec<FloatTerm>, outputs: [u32; AXES]) -> Vec<FloatTerm> {
    let mut joined: Vec<FloatTerm> = Vec::with_capacity(terms.len());
    for term in terms {
        let pair = joined
            .iter()
            .enumerate()
            .find_map(|(i, first)| Some((i, join(first, &term, outputs)?)));
        match pair {
            Some((i, both)) => joined[i] = both,
            None => joined.push(term),
        }
    }
    joined
}

/// Two simple terms as one, if they differ in the offset along one axis alone.
fn join(a: &FloatTerm, b: &FloatTerm, outputs: [u32; AXES]) -> Option<FloatTerm> {
    let is_constant = |t: &FloatTerm| t.is_simple() && matches!(t.map.kernel, Kernel::Taps(_));
    if a.input != b.input || !is_constant(a) || !is_constant(b) {
        return None;
    }
    let mut differ = (0..AXES).filter(|&i| a.map.axes[i] != b.map.axes[i]);
    let (axis, None) = (differ.next()?, differ.next()) else {
        return None;
    };
    let (first, second) = if a.map.axes[axis].pad > b.map.axes[axis].pad {
        (a, b)
    } else {
        (b, a)
    };
    let [front, back] = [first, second].map(|t| t.map.axes[axis]);
    let mut map = first.map.clone();
    map.axes[axis] = AxisMap {
        taps: 2,
        dilation: u32::try_from(front.pad - back.pad).ok()?,
        from: front.from.min(back.from),
        to: front.to.max(back.to),
        ..front
    };
    let both = map.axes[axis];
    let is_alike = |tap: u32, one: &AxisMap| {
        let (stride, expand) = (one.stride, one.expand);
        // What is read beyond the window of one must not meet an output, nor a place beside the outputs.
        (stride, expand) == (both.stride, both.expand)
            && (both.from..both.to)
                .filter(|j| !(one.from..one.to).contains(j))
                .all(|j| both.shifted(j, tap).rem_euclid(i64::from(stride)) != 0)
            && (one.from..one.to).all(|j| {
                both.output_of(j, tap, outputs[axis]) == one.output_of(j, 0, outputs[axis])
            })
    };
    let mut other = second.map.clone();
    other.axes[axis] = both;
    let fits = both.dilation >= 1
        && both.dilation <= air::graph::map::MAX_STEP
        && !overlaps(&both)
        && other == map
        && is_alike(0, &front)
        && is_alike(1, &back);
    fits.then(|| FloatTerm {
        input: a.input,
        map,
        values: vec![first.values[0], second.values[0]],
    })
}

/// A matrix along one axis, as few axis maps as its regularity allows: the kernel that most entries
/// share, and a map of one entry for each that differs.
///
/// `rows[q]` lists the inputs of output `q` with their factors; `q` and `j` advance in the ratio of
/// `stride` to `expand`.
pub(super) fn axis_terms(
    rows: &[Vec<(u32, f64)>],
    inputs: u32,
    stride: u32,
    expand: u32,
) -> Vec<(AxisMap, Vec<f32>)> {
    use std::collections::BTreeMap;
    if let [row] = rows
        && let Some(gathered) = gather(row, inputs)
    {
        return vec![gathered];
    }
    let offset = |q: usize, j: u32| i64::from(expand) * i64::from(j) - i64::from(stride) * q as i64;
    let mut entries: BTreeMap<(usize, u32), f64> = BTreeMap::new();
    for (q, row) in rows.iter().enumerate() {
        for &(j, w) in row {
            *entries.entry((q, j)).or_default() += w;
        }
    }
    // For each offset the factor that occurs most often.
    let mut votes: BTreeMap<i64, BTreeMap<u64, usize>> = BTreeMap::new();
    for (&(q, j), w) in &entries {
        *votes
            .entry(offset(q, j))
            .or_default()
            .entry(w.to_bits())
            .or_default() += 1;
    }
    let winner = |v: &BTreeMap<u64, usize>| {
        v.iter()
            .max_by_key(|(_, n)| **n)
            .map_or(0.0, |(&w, _)| f64::from_bits(w))
    };
    let kernel: BTreeMap<i64, f64> = votes.iter().map(|(&o, v)| (o, winner(v))).collect();
    let (Some((&lo, _)), Some((&hi, _))) = (kernel.first_key_value(), kernel.last_key_value())
    else {
        return Vec::new();
    };
    // Offset = dilation·δ − pad with dilation 1: the kernel's taps are the offsets from the lowest on.
    let taps = (hi - lo + 1) as u32;
    let main = AxisMap {
        taps,
        stride,
        expand,
        dilation: 1,
        pad: -lo as i32,
        from: 0,
        to: inputs,
    };
    let factors: Vec<f32> = (lo..=hi)
        .map(|o| kernel.get(&o).copied().unwrap_or(0.0) as f32)
        .collect();
    let mut terms = vec![(main, factors)];
    for q in 0..rows.len() {
        for j in 0..inputs {
            let Some(&model) = kernel.get(&offset(q, j)) else {
                continue;
            };
            let difference = entries.get(&(q, j)).copied().unwrap_or(0.0) - model;
            if difference != 0.0 {
                terms.push((single(j, q as u32), vec![difference as f32]));
            }
        }
    }
    terms
}

/// The only output of an axis, if it reads a run of inputs once each with one factor: they are gathered, which
/// asks nothing of the input's layout, where a kernel as long as the run would ask for as many phases as its
/// stride.
fn gather(row: &[(u32, f64)], inputs: u32) -> Option<(AxisMap, Vec<f32>)> {
    let &(from, factor) = row.first()?;
    let is_run = (from..).zip(row).all(|(j, &entry)| entry == (j, factor));
    is_run.then(|| {
        let map = AxisMap {
            expand: 0,
            from,
            to: from + row.len() as u32,
            ..AxisMap::identity(inputs)
        };
        (map, vec![factor as f32])
    })
}

/// The map of input `j` to output `q`, and nothing else.
pub(super) fn single(j: u32, q: u32) -> AxisMap {
    AxisMap {
        pad: q as i32 - j as i32,
        from: j,
        to: j + 1,
        ..AxisMap::identity(j + 1)
    }
}

/// Most combinations of maps of the three axes.
const MAX_COMBINATIONS: usize = 2048;

/// All combinations of maps of the three axes, as per-channel linear maps. `None` if those are too many.
pub(super) fn combine(
    channels: usize,
    axes: &[Vec<(AxisMap, Vec<f32>)>; AXES],
) -> Option<Vec<Linear>> {
    let combinations = axes
        .iter()
        .try_fold(1usize, |n, a| n.checked_mul(a.len()))?;
    if combinations > MAX_COMBINATIONS {
        return None;
    }
    let mut out = Vec::with_capacity(combinations);
    for (z, wz) in &axes[0] {
        for (y, wy) in &axes[1] {
            for (x, wx) in &axes[2] {
                let mut taps = Vec::with_capacity(wz.len() * wy.len() * wx.len());
                for a in wz {
                    for b in wy {
                        taps.extend(wx.iter().map(|c| a * b * c));
                    }
                }
                out.push(Linear::per_channel(channels, [*z, *y, *x], taps));
            }
        }
    }
    Some(out)
}
