//! What reads a tensor, row by row.
//!
//! A *chain* adds the rows of a tensor up to one value: for the accumulators the tensor is made of, for
//! each term that reads it, for a claim on a graph input or output. A chain gives every row a
//! [`Reading`], or none if the row has no part in it, and from the readings follow the fixed columns: which
//! ratio of [`projection`](crate::projection) applies, which pattern, which weight is received.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::grid::{Demand, Grid, View};
use crate::graph::groups::Member;
use crate::graph::{AXES, Axis, Graph, Kernel, Map};
use crate::layout::TermIds;
use crate::projection::{Interner, Monomial, Pattern, Polynomial};

/// What a chain adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The elements at their own places `ρ^(N−1−f)·σ^q`: accumulators, or copies.
    Places,
    /// The claim on a graph input: elements at `ρ^(N−1−f)·σ_2^p`, `p` the flat position.
    Input,
    /// The claim on a graph output: elements at `ρ^f·σ_2^p`.
    Output,
    /// A term of a layer whose output has so many features.
    Term {
        /// The term's number.
        id: usize,
        /// Its map.
        map: Map,
        /// Features of the layer's output.
        features: u32,
    },
}

/// A member of a group in the rows of its grid.
#[derive(Clone, Copy)]
pub struct Tenant<'a> {
    /// The rows.
    pub grid: &'a Grid,
    /// The member.
    pub member: &'a Member,
    /// Extent of the tensor.
    pub extent: [u32; AXES],
}

impl<'a> Tenant<'a> {
    /// The views of its parts.
    pub fn views(self) -> impl Iterator<Item = View<'a>> {
        let Self {
            grid,
            member,
            extent,
        } = self;
        (0..member.parts()).map(move |part| grid.view(member, extent, part))
    }
}

/// Which lanes of a row enter a sum: for each part that has any, its number and its lanes.
pub type Form = Vec<(usize, Pattern)>;

/// The part of a row in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The monomial of the first lane of the first part.
    pub base: Monomial,
    /// An integer factor.
    pub factor: i64,
    /// Which lanes enter.
    pub form: Form,
    /// The index of the weight the row is multiplied with, if with any.
    pub weight: Option<usize>,
}

/// What one part of a row adds to a chain.
struct PartReading {
    base: Monomial,
    factor: i64,
    /// Its own base is relative to `base`; 1 if empty.
    pattern: Pattern,
    weight: Option<usize>,
}

impl Reading {
    /// The reading of a row, from those of its parts. All have the same weight, if any.
    fn join(mut parts: Vec<(usize, PartReading)>) -> Option<Self> {
        let first = &parts.first()?.1;
        let (base, weight) = (first.base, first.weight);
        let mut factor = 1;
        if let [(_, only)] = &parts[..] {
            factor = only.factor;
        } else {
            for (_, part) in &mut parts {
                let relative = part.base.over(base);
                let polynomial = &mut part.pattern.base;
                if polynomial.is_empty() {
                    polynomial.push((1, Monomial::ONE));
                }
                for (coefficient, monomial) in polynomial {
                    *coefficient *= part.factor;
                    *monomial = monomial.times(relative);
                }
            }
        }
        Some(Self {
            base,
            factor,
            form: parts
                .into_iter()
                .map(|(i, part)| (i, part.pattern))
                .collect(),
            weight,
        })
    }
}

/// The readings of one axis for one row.
struct AxisReading {
    /// Exponent of the first lane, from the input index.
    exponent: i32,
    /// From one place to the next.
    step: i32,
    /// Phase among those of the map's stride.
    residue: u32,
    /// Places that enter.
    places: [u32; 2],
    /// Exponents of the taps that fall on the residue, with the tap.
    taps: Vec<(u32, i32)>,
}

impl Reader {
    /// A term of a layer.
    pub fn term(graph: &Graph, ids: &TermIds, layer: usize, term: usize) -> Self {
        let output = graph.layers[layer].output.index();
        Self::Term {
            id: ids.term(layer, term),
            map: graph.layers[layer].terms[term].map.clone(),
            features: graph.tensors[output].features,
        }
    }

    /// Whether rows are multiplied with something received.
    pub const fn is_weighted(&self) -> bool {
        match self {
            Self::Term { map, .. } => matches!(map.kernel, Kernel::Weights | Kernel::Gate(_)),
            Self::Places | Self::Input | Self::Output => false,
        }
    }

    /// The reading of row `r` of a channel.
    pub fn read(&self, tenant: Tenant<'_>, channel: usize, r: usize) -> Option<Reading> {
        let parts = tenant.views().enumerate().filter_map(|(part, view)| {
            let reading = self.read_part(&view, channel, r)?;
            Some((part, reading))
        });
        Reading::join(parts.collect())
    }

    fn read_part(&self, view: &View<'_>, channel: usize, r: usize) -> Option<PartReading> {
        match self {
            Self::Places => place(view, channel, r, |a| Monomial::sigma(a, 1), false),
            Self::Input => place(view, channel, r, |a| flat(view, a), false),
            Self::Output => place(view, channel, r, |a| flat(view, a), true),
            Self::Term { map, features, .. } => read_term(map, *features, view, channel, r),
        }
    }

    /// Stretches of channels in which every step occurs that rows of this chain make. Where axes are
    /// merged, a chain may step over channels that it does not read.
    fn samples(&self, grid: &Grid) -> Vec<Range<usize>> {
        let channels = grid.channels();
        if channels <= 16 || grid.merged != [false; AXES] {
            return core::iter::once(0..channels).collect();
        }
        let mut samples = vec![0, 1, channels - 1];
        if let Self::Term { map, .. } = self {
            let (first, size) = (map.first_input as usize, map.inputs as usize);
            let last = first + size * map.groups as usize;
            samples.extend([first, first + 1, first + size, last - 1, last]);
        }
        samples.retain(|&c| c < channels);
        samples.sort_unstable();
        samples.dedup();
        let pair = |c: usize| c.saturating_sub(1)..c + 1;
        samples.into_iter().map(pair).collect()
    }
}

/// The flat position of an index on an axis, as a power of σ_2.
fn flat(view: &View<'_>, axis: usize) -> Monomial {
    let stride = crate::graph::map::strides(view.extent)[axis];
    Monomial::sigma(Axis::POSITION.len() - 1, stride as i32)
}

fn power(monomial: Monomial, exponent: i32) -> Monomial {
    Monomial {
        rho: monomial.rho * exponent,
        sigma: monomial.sigma.map(|e| e * exponent),
    }
}

/// The reading of a chain that every element enters once.
fn place(
    view: &View<'_>,
    channel: usize,
    r: usize,
    unit: impl Fn(usize) -> Monomial,
    ascending: bool,
) -> Option<PartReading> {
    let (feature, index) = view.base(channel, r);
    let [lines, columns] = view.used(r, index)?;
    let rho = if ascending {
        feature
    } else {
        view.grid.features - 1 - feature
    };
    let base = (0..AXES).fold(Monomial::rho(rho as i32), |base, a| {
        base.times(power(unit(a), index[a] as i32))
    });
    let step = |a: usize| match view.grid.merged[a] {
        true => Monomial::ONE,
        false => power(unit(a), view.pitch(a) as i32),
    };
    Some(PartReading {
        base,
        factor: 1,
        pattern: Pattern {
            width: view.grid.segment,
            lines: [0, lines],
            columns: [0, columns],
            line: step(1),
            column: step(2),
            base: Polynomial::new(),
        },
        weight: None,
    })
}

fn read_term(
    map: &Map,
    features: u32,
    view: &View<'_>,
    channel: usize,
    r: usize,
) -> Option<PartReading> {
    let (feature, index) = view.base(channel, r);
    let used = view.used(r, index)?;
    // The channel as the map counts them.
    let mut seen = feature;
    for ((&merged, &size), i) in map.merged.iter().zip(&view.extent).zip(index) {
        if merged {
            seen = seen * size as usize + i as usize;
        }
    }
    let local = seen.checked_sub(map.first_input as usize)?;
    let group = local / map.inputs as usize;
    if group >= map.groups as usize {
        return None;
    }
    let axes: Vec<AxisReading> = (0..AXES)
        .map(|a| read_axis(map, view, a, index[a], used))
        .collect::<Option<_>>()?;
    let below = features - map.first_output - (group as u32 + 1) * map.outputs;
    let mut base = axes
        .iter()
        .enumerate()
        .fold(Monomial::rho(below as i32), |base, (a, axis)| {
            base.times(Monomial::sigma(a, axis.exponent))
        });
    let mut residue = 0;
    for (axis, reading) in map.axes.iter().zip(&axes) {
        residue = residue * axis.stride as usize + reading.residue as usize;
    }
    let mut factor = 1;
    let mut polynomial = Polynomial::new();
    let weight = match &map.kernel {
        Kernel::Weights => Some(local * residues(map) + residue),
        Kernel::Gate(_) => {
            base = base.times(tap_monomial(&axes, [0; AXES]));
            Some(local)
        }
        Kernel::Taps(factors) => {
            polynomial = tap_polynomial(map, &axes, factors);
            if let [(only, monomial)] = polynomial[..] {
                (factor, base) = (only, base.times(monomial));
                polynomial.clear();
            }
            None
        }
    };
    Some(PartReading {
        base,
        factor,
        pattern: Pattern {
            width: view.grid.segment,
            lines: axes[1].places,
            columns: axes[2].places,
            line: Monomial::sigma(1, axes[1].step),
            column: Monomial::sigma(2, axes[2].step),
            base: polynomial,
        },
        weight,
    })
}

/// Phases an input channel has for a map's strides; of learned weights each has one to receive.
pub(crate) fn residues(map: &Map) -> usize {
    match map.kernel {
        Kernel::Weights => map.axes.iter().map(|a| a.stride as usize).product(),
        Kernel::Taps(_) | Kernel::Gate(_) => 1,
    }
}

/// The monomial of one tap, by its place in the lists of the axes.
fn tap_monomial(axes: &[AxisReading], at: [usize; AXES]) -> Monomial {
    (0..AXES).fold(Monomial::ONE, |m, a| {
        m.times(Monomial::sigma(a, axes[a].taps[at[a]].1))
    })
}

/// The kernel's taps on a residue, as a polynomial.
fn tap_polynomial(map: &Map, axes: &[AxisReading], factors: &[i32]) -> Polynomial {
    let mut polynomial = Polynomial::new();
    for z in 0..axes[0].taps.len() {
        for y in 0..axes[1].taps.len() {
            for x in 0..axes[2].taps.len() {
                let tap = [axes[0].taps[z].0, axes[1].taps[y].0, axes[2].taps[x].0];
                let [_, h, w] = map.axes.map(|a| a.taps);
                let flat = (tap[0] * h + tap[1]) * w + tap[2];
                let factor = i64::from(factors[flat as usize]);
                polynomial.push((factor, tap_monomial(axes, [z, y, x])));
            }
        }
    }
    polynomial
}

/// How a map reads an axis of a row whose first lane has this index and which has so many lines and columns.
fn read_axis(
    map: &Map,
    view: &View<'_>,
    a: usize,
    index: u32,
    [lines, columns]: [u32; 2],
) -> Option<AxisReading> {
    let axis = &map.axes[a];
    if map.merged[a] {
        // The map sees an axis of one index.
        let taps = map.taps_on(a, 0);
        return (!taps.is_empty()).then_some(AxisReading {
            exponent: 0,
            step: 0,
            residue: 0,
            places: [0, 1],
            taps,
        });
    }
    let on_lanes = !view.grid.merged[a] && a > 0;
    let (pitch, used) = match (on_lanes, a) {
        (true, 1) => (view.pitch(1), lines),
        (true, _) => (view.pitch(2), columns),
        (false, _) => (1, 1),
    };
    // Places of the row within the window.
    let place = |bound: u32| bound.saturating_sub(index).div_ceil(pitch).min(used);
    let places = [place(axis.from), place(axis.to)];
    if places[0] >= places[1] {
        return None;
    }
    let (stride, expand) = (axis.stride, axis.expand);
    let (residue, exponent) = if stride > 1 {
        (index % stride, (index / stride) as i32)
    } else {
        (0, (expand * index) as i32)
    };
    let step = if stride > 1 {
        pitch / stride
    } else {
        // Beyond all bounds only where it is not used: with a single place.
        expand.wrapping_mul(pitch)
    };
    let taps: Vec<(u32, i32)> = map.taps_on(a, residue);
    (!taps.is_empty()).then_some(AxisReading {
        exponent,
        step: step as i32,
        residue,
        places,
        taps,
    })
}

/// One row of a chain, as its fixed columns have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Which ratio carries the sum of the rows above on, if anything is.
    pub ratio: Option<usize>,
    /// Which form the row has, and its factor.
    pub form: Option<(usize, i64)>,
    /// The weight the row is multiplied with.
    pub weight: Option<usize>,
}

/// Walks the rows of a chain in order.
struct Walk<'a> {
    reader: &'a Reader,
    tenant: Tenant<'a>,
    /// The monomial of the last row that is read.
    last: Monomial,
    previous: Option<Monomial>,
}

impl<'a> Walk<'a> {
    fn new(reader: &'a Reader, tenant: Tenant<'a>) -> Self {
        let grid = tenant.grid;
        let mut last = Monomial::ONE;
        // The last row that is read: on the last channel that is.
        let mut found = false;
        for channel in (0..grid.channels()).rev() {
            for r in (0..grid.rows().len()).rev() {
                if let Some(reading) = reader.read(tenant, channel, r) {
                    last = reading.base;
                    found = true;
                    break;
                }
            }
            if found {
                break;
            }
        }
        Self {
            reader,
            tenant,
            last,
            previous: None,
        }
    }

    /// The ratio and the reading of the next row, its form with the chain's base.
    fn next(&mut self, channel: usize, r: usize) -> (Option<Monomial>, Option<Reading>) {
        let Some(mut reading) = self.reader.read(self.tenant, channel, r) else {
            return (self.previous.map(|_| Monomial::ONE), None);
        };
        let ratio = self.previous.map(|previous| previous.over(reading.base));
        self.previous = Some(reading.base);
        for (_, pattern) in &mut reading.form {
            let base = &mut pattern.base;
            if base.is_empty() {
                base.push((1, Monomial::ONE));
            }
            for (_, monomial) in base {
                *monomial = monomial.times(self.last);
            }
        }
        (ratio, Some(reading))
    }
}

/// The ratios and forms of chains that share columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainLists {
    /// Ratios.
    pub ratios: Interner<Monomial>,
    /// Forms, each with the member of the group it reads.
    pub forms: Interner<(usize, Form)>,
}

impl ChainLists {
    /// Adds those of one more chain, of a member of this number.
    pub fn add(&mut self, reader: &Reader, member: usize, tenant: Tenant<'_>) {
        for sample in reader.samples(tenant.grid) {
            let mut walk = Walk::new(reader, tenant);
            for channel in sample {
                for r in 0..tenant.grid.rows().len() {
                    let (ratio, reading) = walk.next(channel, r);
                    if let Some(ratio) = ratio {
                        self.ratios.index(ratio);
                    }
                    if let Some(reading) = reading {
                        self.forms.index((member, reading.form));
                    }
                }
            }
        }
    }

    /// The steps of a chain, row by row.
    pub fn steps(&self, reader: &Reader, member: usize, tenant: Tenant<'_>) -> Vec<Step> {
        let grid = tenant.grid;
        let mut walk = Walk::new(reader, tenant);
        let mut steps = Vec::with_capacity(grid.height());
        for channel in 0..grid.channels() {
            for r in 0..grid.rows().len() {
                let (ratio, reading) = walk.next(channel, r);
                // One that is missing must not become none: rows would be left out of a sum.
                let ratio = ratio.map(|ratio| {
                    let known = self.ratios.find(&ratio);
                    known.expect("samples have every ratio")
                });
                steps.push(Step {
                    ratio,
                    weight: reading.as_ref().and_then(|reading| reading.weight),
                    form: reading.map(|reading| {
                        let known = self.forms.find(&(member, reading.form));
                        let index = known.expect("samples have every form");
                        (index, reading.factor)
                    }),
                });
            }
        }
        steps
    }
}

/// How many rows receive each weight of a term.
pub struct Takes {
    counts: Vec<u32>,
    /// Weights after which counts repeat.
    period: usize,
}

impl Takes {
    /// Counts for term `term` of a layer.
    pub fn new(graph: &Graph, ids: &TermIds, layer: usize, term: usize) -> Self {
        let reader = Reader::term(graph, ids, layer, term);
        let input = graph.layers[layer].terms[term].input.index();
        // The number of lanes does not matter: a row receives what the rows above have not.
        let (group, member) = ids.groups().of(input);
        let grid = Grid::new(&Demand::of(graph, ids, group), u32::MAX);
        let tenant = Tenant {
            grid: &grid,
            member: &group.members[member],
            extent: graph.tensors[input].extent,
        };
        let map = &graph.layers[layer].terms[term].map;
        let first = map.first_input as usize;
        // Without merged axes all channels are read alike.
        let channels = match grid.merged == [false; AXES] {
            true => first..first + 1,
            false => 0..grid.channels(),
        };
        let mut counts = Vec::new();
        let mut held = None;
        for channel in channels {
            for r in 0..grid.rows().len() {
                let weight = reader.read(tenant, channel, r).and_then(|r| r.weight);
                if let Some(index) = weight.filter(|_| weight != held) {
                    counts.resize(counts.len().max(index + 1), 0);
                    counts[index] += 1;
                }
                held = weight.or(held);
            }
        }
        let period = match grid.merged == [false; AXES] {
            true => residues(map),
            false => (map.groups * map.inputs) as usize * residues(map),
        };
        Self { counts, period }
    }

    /// How many rows receive each weight, by index; the list repeats.
    pub fn counts(mut self) -> Vec<u32> {
        self.counts.resize(self.period, 0);
        self.counts
    }

    /// How many rows receive the weight with this index.
    pub fn of(&self, index: usize) -> u32 {
        let count = self.counts.get(index % self.period);
        count.copied().unwrap_or(0)
    }
}
