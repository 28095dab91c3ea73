//! What reads a tensor, row by row.
//!
//! A *chain* adds the rows of a tensor up to one value: for the accumulators the tensor is made of, for
//! each term that reads it, for a claim on a graph input or output. A chain gives every row a
//! [`Reading`], or none if the row has no part in it, and from the readings follow the fixed columns: which
//! ratio of [`projection`](crate::projection) applies, which pattern, which weight is received.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::grid::{Demand, Grid};
use crate::graph::{AXES, Axis, Graph, Kernel, Map};
use crate::layout::TermIds;
use crate::projection::{Interner, Monomial, Pattern, Polynomial};

/// What a chain adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The elements at their own places `ρ^(N−1−f)·σ^q`: accumulators.
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

/// The part of a row in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The monomial of lane 0.
    pub base: Monomial,
    /// An integer factor.
    pub factor: i64,
    /// Which lanes enter; its own base is that of the chain.
    pub pattern: Pattern,
    /// The index of the weight the row is multiplied with, if with any.
    pub weight: Option<usize>,
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
    pub fn read(&self, grid: &Grid, channel: usize, r: usize) -> Option<Reading> {
        match self {
            Self::Places => Some(place(grid, channel, r, |a| Monomial::sigma(a, 1), false)),
            Self::Input => Some(place(grid, channel, r, |a| flat(grid, a), false)),
            Self::Output => Some(place(grid, channel, r, |a| flat(grid, a), true)),
            Self::Term { map, features, .. } => read_term(map, *features, grid, channel, r),
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
fn flat(grid: &Grid, axis: usize) -> Monomial {
    let stride = crate::graph::map::strides(grid.extent)[axis];
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
    grid: &Grid,
    channel: usize,
    r: usize,
    unit: impl Fn(usize) -> Monomial,
    ascending: bool,
) -> Reading {
    let (feature, index) = grid.base(channel, r);
    let row = &grid.rows()[r];
    let rho = if ascending {
        feature
    } else {
        grid.features - 1 - feature
    };
    let base = (0..AXES).fold(Monomial::rho(rho as i32), |base, a| {
        base.times(power(unit(a), index[a] as i32))
    });
    let step = |a: usize| match grid.merged[a] {
        true => Monomial::ONE,
        false => power(unit(a), grid.period[a] as i32),
    };
    Reading {
        base,
        factor: 1,
        pattern: Pattern {
            width: grid.segment,
            lines: [0, row.lines],
            columns: [0, row.columns],
            line: step(1),
            column: step(2),
            base: Polynomial::new(),
        },
        weight: None,
    }
}

fn read_term(map: &Map, features: u32, grid: &Grid, channel: usize, r: usize) -> Option<Reading> {
    let (feature, index) = grid.base(channel, r);
    // The channel as the map counts them.
    let mut seen = feature;
    for ((&merged, &size), i) in map.merged.iter().zip(&grid.extent).zip(index) {
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
        .map(|a| read_axis(map, grid, a, index[a], r))
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
    Some(Reading {
        base,
        factor,
        pattern: Pattern {
            width: grid.segment,
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

/// How a map reads an axis at row `r`, whose first lane has this index.
fn read_axis(map: &Map, grid: &Grid, a: usize, index: u32, r: usize) -> Option<AxisReading> {
    let axis = &map.axes[a];
    if map.merged[a] {
        // The map sees an axis of one index.
        let taps = axis_taps(map, a, 0);
        return (!taps.is_empty()).then_some(AxisReading {
            exponent: 0,
            step: 0,
            residue: 0,
            places: [0, 1],
            taps,
        });
    }
    let (stride, expand) = (axis.stride, axis.expand);
    let (residue, exponent) = if stride > 1 {
        (index % stride, (index / stride) as i32)
    } else {
        (0, (expand * index) as i32)
    };
    let on_lanes = !grid.merged[a] && a > 0;
    let (period, used) = match (on_lanes, a) {
        (true, 1) => (grid.period[1], grid.rows()[r].lines),
        (true, _) => (grid.period[2], grid.rows()[r].columns),
        (false, _) => (1, 1),
    };
    let step = if stride > 1 {
        period / stride
    } else {
        expand * period
    };
    // Places of the row within the window.
    let place = |bound: u32| bound.saturating_sub(index).div_ceil(period).min(used);
    let places = [place(axis.from), place(axis.to)];
    let taps: Vec<(u32, i32)> = axis_taps(map, a, residue);
    (places[0] < places[1] && !taps.is_empty()).then_some(AxisReading {
        exponent,
        step: step as i32,
        residue,
        places,
        taps,
    })
}

/// The taps of an axis that fall on a residue, with the exponents they add.
pub(crate) fn axis_taps(map: &Map, a: usize, residue: u32) -> Vec<(u32, i32)> {
    let axis = &map.axes[a];
    let stride = i64::from(axis.stride);
    (0..axis.taps)
        .filter_map(|tap| {
            let shifted = i64::from(residue) - i64::from(axis.dilation) * i64::from(tap)
                + i64::from(axis.pad);
            (shifted % stride == 0).then_some((tap, (shifted / stride) as i32))
        })
        .collect()
}

/// One row of a chain, as its fixed columns have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Which ratio carries the sum of the rows above on, if anything is.
    pub ratio: Option<usize>,
    /// Which pattern the row has, and its factor.
    pub pattern: Option<(usize, i64)>,
    /// The weight the row is multiplied with.
    pub weight: Option<usize>,
}

/// Walks the rows of a chain in order.
struct Walk<'a> {
    reader: &'a Reader,
    grid: &'a Grid,
    /// The monomial of the last row that is read.
    last: Monomial,
    previous: Option<Monomial>,
}

impl<'a> Walk<'a> {
    fn new(reader: &'a Reader, grid: &'a Grid) -> Self {
        let mut last = Monomial::ONE;
        // The last row that is read: on the last channel that is.
        let mut found = false;
        for channel in (0..grid.channels()).rev() {
            for r in (0..grid.rows().len()).rev() {
                if let Some(reading) = reader.read(grid, channel, r) {
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
            grid,
            last,
            previous: None,
        }
    }

    /// The ratio and the reading of the next row, the pattern with the chain's base.
    fn next(&mut self, channel: usize, r: usize) -> (Option<Monomial>, Option<Reading>) {
        let Some(mut reading) = self.reader.read(self.grid, channel, r) else {
            return (self.previous.map(|_| Monomial::ONE), None);
        };
        let ratio = self.previous.map(|previous| previous.over(reading.base));
        self.previous = Some(reading.base);
        let base = &mut reading.pattern.base;
        if base.is_empty() {
            base.push((1, Monomial::ONE));
        }
        for (_, monomial) in base {
            *monomial = monomial.times(self.last);
        }
        (ratio, Some(reading))
    }
}

/// The ratios and patterns of chains that share columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainLists {
    /// Ratios.
    pub ratios: Interner<Monomial>,
    /// Patterns.
    pub patterns: Interner<Pattern>,
}

impl ChainLists {
    /// Adds those of one more chain.
    pub fn add(&mut self, reader: &Reader, grid: &Grid) {
        for sample in reader.samples(grid) {
            let mut walk = Walk::new(reader, grid);
            for channel in sample {
                for r in 0..grid.rows().len() {
                    let (ratio, reading) = walk.next(channel, r);
                    if let Some(ratio) = ratio {
                        self.ratios.index(ratio);
                    }
                    if let Some(reading) = reading {
                        self.patterns.index(reading.pattern);
                    }
                }
            }
        }
    }

    /// The steps of a chain, row by row.
    pub fn steps(&self, reader: &Reader, grid: &Grid) -> Vec<Step> {
        let mut walk = Walk::new(reader, grid);
        let mut steps = Vec::with_capacity(grid.height());
        for channel in 0..grid.channels() {
            for r in 0..grid.rows().len() {
                let (ratio, reading) = walk.next(channel, r);
                steps.push(Step {
                    ratio: ratio.and_then(|ratio| self.ratios.find(&ratio)),
                    weight: reading.as_ref().and_then(|reading| reading.weight),
                    pattern: reading.and_then(|reading| {
                        let index = self.patterns.find(&reading.pattern)?;
                        Some((index, reading.factor))
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
        let demand = Demand::of(graph, ids, input);
        let grid = Grid::new(&graph.tensors[input], &demand, u32::MAX);
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
                let weight = reader.read(&grid, channel, r).and_then(|r| r.weight);
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
