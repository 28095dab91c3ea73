//! How the elements of a group of tensors lie in rows and lanes.
//!
//! Positions are counted in units ([`groups`](crate::graph::groups)), for a tensor alone of one element; a lane
//! holds a unit. Rows belong to a *channel*: a feature, or a feature and an index on each merged axis. The positions of a
//! channel are first split by *phase*: index `i` of an axis with period `m` has phase `i mod m` and
//! place `⌊i/m⌋`. A reader with stride `m` meets one phase with each tap, and within a phase its exponents
//! run in steps of one. A row then holds a *segment* of a line along the width, or several whole lines
//! stacked.

use alloc::vec::Vec;

use crate::graph::groups::{Group, Member};
use crate::graph::map::{gcd, strides};
use crate::graph::{AXES, Graph, Map};
use crate::layout::TermIds;

/// The layout of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Features of its tensors.
    pub features: usize,
    /// Units on each axis.
    pub extent: [u32; AXES],
    /// Axes that are part of the channel.
    pub merged: [bool; AXES],
    /// Period of the phases of each axis.
    pub period: [u32; AXES],
    /// Lanes of a line.
    pub segment: u32,
    /// Lines of a row.
    pub stack: u32,
    /// The rows of a channel.
    rows: Vec<GridRow>,
}

/// One row of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridRow {
    /// The index of its first lane on each axis; on a merged axis 0.
    pub index: [u32; AXES],
    /// Lines in use.
    pub lines: u32,
    /// Columns in use.
    pub columns: u32,
}

/// What a graph asks of a group's layout, whatever the number of lanes.
pub struct Demand {
    features: usize,
    extent: [u32; AXES],
    merged: [bool; AXES],
    period: [u32; AXES],
}

impl Demand {
    /// What the readers of a group ask for.
    pub fn of(graph: &Graph, ids: &TermIds, group: &Group) -> Self {
        let mut demand = Self {
            features: graph.tensors[group.host()].features as usize,
            extent: group.extent,
            merged: [false; AXES],
            period: [1; AXES],
        };
        for member in &group.members {
            for &(layer, term) in ids.readers(member.tensor) {
                let extent = graph.tensors[member.tensor].extent;
                demand.add(&graph.layers[layer].terms[term].map, member, extent);
            }
        }
        for axis in 0..AXES {
            if demand.merged[axis] {
                demand.period[axis] = 1;
            }
        }
        demand
    }

    /// What one more map asks for.
    fn add(&mut self, map: &Map, member: &Member, extent: [u32; AXES]) {
        for (axis, on) in map.axes.iter().enumerate() {
            self.merged[axis] |= map.merged[axis] && extent[axis] > 1;
            let phases = on.stride / gcd(on.stride, on.expand.max(1));
            let period = phases / gcd(phases, member.unit[axis]);
            let known = self.period[axis];
            let common = u64::from(known / gcd(known, period)) * u64::from(period);
            // With as many phases as units each is alone, whatever the strides.
            let all = u64::from(self.extent[axis]);
            self.period[axis] = common.min(all) as u32;
        }
    }

    /// The extent without merged axes.
    fn open(&self) -> [u32; AXES] {
        core::array::from_fn(|a| if self.merged[a] { 1 } else { self.extent[a] })
    }

    fn channels(&self) -> usize {
        let merged = (0..AXES).filter(|&a| self.merged[a]);
        self.features * merged.map(|a| self.extent[a] as usize).product::<usize>()
    }

    /// Units of a channel's longest phase.
    pub fn phase(&self) -> usize {
        let axes = self.open().into_iter().zip(self.period);
        axes.map(|(n, period)| n.div_ceil(period) as usize)
            .product()
    }

    /// Units of a channel.
    pub fn units(&self) -> usize {
        self.open().iter().map(|&n| n as usize).product()
    }
}

/// Lanes of a line and lines of a row, for at most `lanes` lanes.
fn shape(extent: [u32; AXES], period: [u32; AXES], lanes: u32) -> [u32; 2] {
    // Phase 0 is the longest.
    let [_, height, width]: [u32; AXES] = core::array::from_fn(|a| extent[a].div_ceil(period[a]));
    let segment = width.div_ceil(width.div_ceil(lanes));
    let stack = if segment < width {
        1
    } else {
        let most = (lanes / width).min(height);
        height.div_ceil(height.div_ceil(most))
    };
    [segment, stack]
}

impl Grid {
    /// Rows of a group in a layout of at most `lanes` lanes.
    pub fn rows_for(demand: &Demand, lanes: u32) -> usize {
        let extent = demand.open();
        let [segment, stack] = shape(extent, demand.period, lanes);
        let over_phases = |a: usize, unit: u32| -> usize {
            // The first phases are longer by one than the others.
            let (places, longer) = (extent[a] / demand.period[a], extent[a] % demand.period[a]);
            let rows = |phases: u32, places: u32| phases as usize * places.div_ceil(unit) as usize;
            rows(longer, places + 1) + rows(demand.period[a] - longer, places)
        };
        demand.channels() * over_phases(0, 1) * over_phases(1, stack) * over_phases(2, segment)
    }

    /// Lays a group out in rows of at most `lanes` lanes.
    pub fn new(demand: &Demand, lanes: u32) -> Self {
        let extent = demand.open();
        let [segment, stack] = shape(extent, demand.period, lanes);
        let mut grid = Self {
            features: demand.features,
            extent: demand.extent,
            merged: demand.merged,
            period: demand.period,
            segment,
            stack,
            rows: Vec::new(),
        };
        grid.rows = grid.channel_rows(extent);
        grid
    }

    fn channel_rows(&self, extent: [u32; AXES]) -> Vec<GridRow> {
        let mut rows = Vec::new();
        let [pz, py, px] = self.period;
        let phases =
            (0..pz).flat_map(|z| (0..py).flat_map(move |y| (0..px).map(move |x| [z, y, x])));
        for phase in phases {
            let places: [u32; AXES] = core::array::from_fn(|a| {
                extent[a].saturating_sub(phase[a]).div_ceil(self.period[a])
            });
            for z in 0..places[0] {
                for y in (0..places[1]).step_by(self.stack as usize) {
                    for x in (0..places[2]).step_by(self.segment as usize) {
                        let place = [z, y, x];
                        rows.push(GridRow {
                            index: core::array::from_fn(|a| self.period[a] * place[a] + phase[a]),
                            lines: self.stack.min(places[1] - y),
                            columns: self.segment.min(places[2] - x),
                        });
                    }
                }
            }
        }
        rows
    }

    /// Lanes of a row.
    pub const fn lanes(&self) -> usize {
        self.segment as usize * self.stack as usize
    }

    /// The rows of a channel.
    pub fn rows(&self) -> &[GridRow] {
        &self.rows
    }

    /// Channels: rows of rows.
    pub fn channels(&self) -> usize {
        let merged = self.extent.iter().zip(self.merged).filter(|(_, m)| *m);
        self.features * merged.map(|(&n, _)| n as usize).product::<usize>()
    }

    /// Rows of the tensor.
    pub fn height(&self) -> usize {
        self.channels() * self.rows.len()
    }

    /// The feature of a channel, and its index on the merged axes.
    pub fn channel(&self, channel: usize) -> (usize, [u32; AXES]) {
        let mut rest = channel;
        let mut index = [0; AXES];
        for axis in (0..AXES).rev() {
            if self.merged[axis] {
                let size = self.extent[axis] as usize;
                index[axis] = (rest % size) as u32;
                rest /= size;
            }
        }
        (rest, index)
    }

    /// One part of one member in these rows.
    pub fn view(&self, member: &Member, extent: [u32; AXES], part: usize) -> View<'_> {
        View {
            grid: self,
            extent,
            unit: member.unit,
            sub: member.sub(part),
        }
    }
}

/// One part of one tensor in the rows of a grid.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The rows.
    pub grid: &'a Grid,
    /// Extent of the tensor.
    pub extent: [u32; AXES],
    /// Its indices in a unit.
    unit: [u32; AXES],
    /// The part's index within a unit.
    sub: [u32; AXES],
}

impl View<'_> {
    /// The feature and the index on every axis of the first lane of row `r` of a channel, which may lie outside.
    pub fn base(&self, channel: usize, r: usize) -> (usize, [u32; AXES]) {
        let (feature, merged) = self.grid.channel(channel);
        let row = &self.grid.rows[r];
        let index = core::array::from_fn(|a| {
            let unit = if self.grid.merged[a] {
                merged[a]
            } else {
                row.index[a]
            };
            self.unit[a] * unit + self.sub[a]
        });
        (feature, index)
    }

    /// Indices from one lane to the next, on an axis of lanes.
    pub const fn pitch(&self, axis: usize) -> u32 {
        self.unit[axis] * self.grid.period[axis]
    }

    /// Lines and columns of a row in use, if it holds any element.
    pub fn used(&self, r: usize, index: [u32; AXES]) -> Option<[u32; 2]> {
        let row = &self.grid.rows[r];
        let inside = |a: usize, most: u32| {
            let left = self.extent[a].saturating_sub(index[a]);
            let lanes = if self.grid.merged[a] { 1 } else { most };
            left.div_ceil(self.pitch(a)).min(lanes)
        };
        let used = [inside(1, row.lines), inside(2, row.columns)];
        (index[0] < self.extent[0] && used[0] > 0 && used[1] > 0).then_some(used)
    }

    /// For row `r` of a channel, the lanes in use with the flat index of their elements.
    pub fn elements(
        &self,
        channel: usize,
        r: usize,
    ) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (feature, index) = self.base(channel, r);
        let strides = strides(self.extent);
        let positions: usize = self.extent.iter().map(|&n| n as usize).product();
        let places = index.iter().zip(strides);
        let at: usize = places.map(|(&i, s)| i as usize * s).sum();
        let first = feature * positions + at;
        let line = self.pitch(1) as usize * strides[1];
        let column = self.pitch(2) as usize * strides[2];
        let [lines, columns] = self.used(r, index).unwrap_or([0, 0]);
        let segment = self.grid.segment as usize;
        (0..lines as usize).flat_map(move |i| {
            (0..columns as usize).map(move |j| (i * segment + j, first + i * line + j * column))
        })
    }
}
