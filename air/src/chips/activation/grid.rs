//! How the elements of a tensor lie in rows and lanes.
//!
//! Rows belong to a *channel*: a feature, or a feature and an index on each merged axis. The positions of a
//! channel are first split by *phase*: index `i` of an axis with period `m` has phase `i mod m` and
//! place `⌊i/m⌋`. A reader with stride `m` meets one phase with each tap, and within a phase its exponents
//! run in steps of one. A row then holds a *segment* of a line along the width, or several whole lines
//! stacked.

use alloc::vec::Vec;

use crate::graph::map::{gcd, strides};
use crate::graph::{AXES, Graph, Tensor};
use crate::layout::TermIds;

/// The layout of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Features of the tensor.
    pub features: usize,
    /// Extent of the tensor.
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

/// What a graph asks of a tensor's layout, whatever the number of lanes.
pub struct Demand {
    merged: [bool; AXES],
    period: [u32; AXES],
}

impl Demand {
    /// What the readers of a tensor ask for.
    pub fn of(graph: &Graph, ids: &TermIds, tensor: usize) -> Self {
        let mut demand = Self {
            merged: [false; AXES],
            period: [1; AXES],
        };
        let extent = graph.tensors[tensor].extent;
        for &(layer, term) in ids.readers(tensor) {
            let term = &graph.layers[layer].terms[term];
            for (axis, map) in term.map.axes.iter().enumerate() {
                demand.merged[axis] |= term.map.merged[axis] && extent[axis] > 1;
                let period = map.stride / gcd(map.stride, map.expand.max(1));
                let known = demand.period[axis];
                let common = u64::from(known / gcd(known, period)) * u64::from(period);
                // With as many phases as indices each is alone, whatever the strides.
                let all = u64::from(extent[axis]);
                demand.period[axis] = common.min(all) as u32;
            }
        }
        for axis in 0..AXES {
            if demand.merged[axis] {
                demand.period[axis] = 1;
            }
        }
        demand
    }

    /// Positions of a channel's longest phase.
    pub fn phase(&self, tensor: &Tensor) -> usize {
        let axes = tensor.extent.iter().zip(self.merged).zip(self.period);
        axes.map(|((&n, merged), period)| match merged {
            true => 1,
            false => n.div_ceil(period) as usize,
        })
        .product()
    }

    /// Positions of a channel.
    pub fn positions(&self, tensor: &Tensor) -> usize {
        let axes = tensor.extent.iter().zip(self.merged);
        axes.map(|(&n, merged)| if merged { 1 } else { n as usize })
            .product()
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
    /// Rows of a tensor in a layout of at most `lanes` lanes.
    pub fn rows_for(tensor: &Tensor, demand: &Demand, lanes: u32) -> usize {
        let merged = demand.positions(tensor);
        let extent: [u32; AXES] = core::array::from_fn(|a| match demand.merged[a] {
            true => 1,
            false => tensor.extent[a],
        });
        let [segment, stack] = shape(extent, demand.period, lanes);
        let over_phases = |a: usize, unit: u32| -> usize {
            // The first phases are longer by one than the others.
            let (places, longer) = (extent[a] / demand.period[a], extent[a] % demand.period[a]);
            let rows = |phases: u32, places: u32| phases as usize * places.div_ceil(unit) as usize;
            rows(longer, places + 1) + rows(demand.period[a] - longer, places)
        };
        let channels = tensor.len() / merged;
        channels * over_phases(0, 1) * over_phases(1, stack) * over_phases(2, segment)
    }

    /// Lays a tensor out in rows of at most `lanes` lanes.
    pub fn new(tensor: &Tensor, demand: &Demand, lanes: u32) -> Self {
        let Demand { merged, period } = *demand;
        let extent: [u32; AXES] =
            core::array::from_fn(|a| if merged[a] { 1 } else { tensor.extent[a] });
        let [segment, stack] = shape(extent, period, lanes);
        let mut grid = Self {
            features: tensor.features as usize,
            extent: tensor.extent,
            merged,
            period,
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

    /// The feature and the index on every axis of the first lane of row `r` of a channel.
    pub fn base(&self, channel: usize, r: usize) -> (usize, [u32; AXES]) {
        let (feature, merged) = self.channel(channel);
        let row = &self.rows[r];
        (
            feature,
            core::array::from_fn(|a| {
                if self.merged[a] {
                    merged[a]
                } else {
                    row.index[a]
                }
            }),
        )
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
        let at: usize = index
            .iter()
            .zip(strides)
            .map(|(&i, s)| i as usize * s)
            .sum();
        let first = feature * positions + at;
        let line = self.period[1] as usize * strides[1];
        let column = self.period[2] as usize * strides[2];
        let GridRow { lines, columns, .. } = self.rows[r];
        let segment = self.segment as usize;
        (0..lines as usize).flat_map(move |i| {
            (0..columns as usize).map(move |j| (i * segment + j, first + i * line + j * column))
        })
    }
}
