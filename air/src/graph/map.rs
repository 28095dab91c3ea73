//! Linear maps between tensors, and the terms of a layer.
//!
//! Every linear operator of a model is a [`Map`]: a dense layer, a convolution with any stride, dilation
//! or padding, its transpose, an average, a slice, a residual branch. Along each axis of a position a
//! map relates an output index `q`, an input index `j` and a tap `δ` of its kernel by
//!
//! ```text
//!   stride·q = expand·j − dilation·δ + pad
//! ```
//!
//! and an output is the sum of `K[g][c][δ][o]·X[g·inputs + c][j]` over all `(c, δ, j)` so related. What
//! lies outside the input counts as 0.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::tensor::{AXES, Tensor, TensorId};
use super::{Graph, Layer};

/// How a map treats one axis of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AxisMap {
    /// Kernel size.
    pub taps: u32,
    /// Input steps for one output step.
    pub stride: u32,
    /// Output steps for one input step: above 1 in transposed convolutions and in upsampling, 0 to
    /// sum over the axis.
    pub expand: u32,
    /// Input steps for one step of the kernel.
    pub dilation: u32,
    /// Padding in front.
    pub pad: i32,
    /// First input index that is read.
    pub from: u32,
    /// The first input index that is not read any more.
    pub to: u32,
}

impl AxisMap {
    /// Every index stays where it is.
    pub const fn identity(size: u32) -> Self {
        Self {
            taps: 1,
            stride: 1,
            expand: 1,
            dilation: 1,
            pad: 0,
            from: 0,
            to: size,
        }
    }

    /// The output index of input `j` at tap `δ`, if there is one among `outputs`.
    pub fn output_of(&self, j: u32, tap: u32, outputs: u32) -> Option<u32> {
        let shifted = self.shifted(j, tap);
        let stride = i64::from(self.stride);
        let q = u32::try_from(shifted / stride).ok()?;
        (shifted >= 0 && shifted % stride == 0 && q < outputs).then_some(q)
    }

    /// `stride·q` for input `j` at tap `δ`.
    pub fn shifted(&self, j: u32, tap: u32) -> i64 {
        i64::from(self.expand) * i64::from(j) - i64::from(self.dilation) * i64::from(tap)
            + i64::from(self.pad)
    }

    /// `stride·q` at tap `δ`, for the input `residue` if there were one and no expansion.
    fn shifted_from(&self, residue: u32, tap: u32) -> i64 {
        i64::from(residue) - i64::from(self.dilation) * i64::from(tap) + i64::from(self.pad)
    }

    fn is_sound(&self, inputs: u32) -> bool {
        let small = |n: u32| (1..=MAX_STEP).contains(&n);
        (1..=MAX_TAPS).contains(&self.taps)
            && small(self.stride)
            && small(self.dilation)
            && self.expand <= MAX_STEP
            && (self.stride == 1 || self.expand == 1)
            && self.pad.unsigned_abs() <= 1 << 22
            && self.from < self.to
            && self.to <= inputs
            && [(self.from, self.taps - 1), (self.to - 1, 0)]
                .iter()
                .all(|&(j, tap)| self.shifted(j, tap).abs() <= MAX_REACH)
    }
}

/// Largest kernel along one axis.
pub const MAX_TAPS: u32 = 4096;
/// Largest stride, dilation and expansion.
pub const MAX_STEP: u32 = 4096;

/// Most phases of a map: products of strides.
const MAX_PHASES: u64 = 1 << 12;
/// Farthest that a map reaches from the first output, in steps of the finer of both grids.
const MAX_REACH: i64 = 1 << 23;

/// What a map multiplies with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kernel {
    /// Learned weights, committed by the key: `[g][c][δ][o]`.
    Weights,
    /// The same integers for every channel, a part of the graph: one for each tap. A group is one
    /// channel.
    Taps(Vec<i32>),
    /// Channel `g` of another tensor, which has one position: a gate. A group is one channel.
    Gate(TensorId),
}

/// A linear map from one tensor to the accumulators of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Map {
    /// Axes of a position that are read as a part of the feature: channels are `(feature, merged axes)`
    /// then, and the axis has size 1.
    pub merged: [bool; AXES],
    /// The first channel that is read.
    pub first_input: u32,
    /// Groups, each with inputs and outputs of its own.
    pub groups: u32,
    /// Input channels of a group.
    pub inputs: u32,
    /// The first feature that is written.
    pub first_output: u32,
    /// Output features of a group.
    pub outputs: u32,
    /// Depth, height, width.
    pub axes: [AxisMap; AXES],
    /// What is multiplied with.
    pub kernel: Kernel,
}

impl Map {
    /// Every output reads every channel of its position: a dense layer.
    pub const fn dense(inputs: u32, outputs: u32, extent: [u32; AXES]) -> Self {
        Self {
            merged: [false; AXES],
            first_input: 0,
            groups: 1,
            inputs,
            first_output: 0,
            outputs,
            axes: [
                AxisMap::identity(extent[0]),
                AxisMap::identity(extent[1]),
                AxisMap::identity(extent[2]),
            ],
            kernel: Kernel::Weights,
        }
    }

    /// Every element times a constant.
    pub fn scale(tensor: &Tensor, factor: i32) -> Self {
        Self {
            groups: tensor.features,
            inputs: 1,
            kernel: Kernel::Taps(alloc::vec![factor]),
            ..Self::dense(1, 1, tensor.extent)
        }
    }

    /// Taps of the whole kernel.
    pub fn taps(&self) -> usize {
        let taps = self.axes.iter().map(|a| a.taps as usize);
        taps.fold(1, usize::saturating_mul)
    }

    /// The taps of the kernel in order, depth first.
    pub fn tap_indices(&self) -> impl Iterator<Item = [u32; AXES]> + use<> {
        let [d, h, w] = self.axes.map(|a| a.taps);
        (0..d).flat_map(move |z| (0..h).flat_map(move |y| (0..w).map(move |x| [z, y, x])))
    }

    /// The taps of an axis that fall on inputs of a residue, with the exponents they add.
    pub(crate) fn taps_on(&self, a: usize, residue: u32) -> Vec<(u32, i32)> {
        let axis = &self.axes[a];
        let stride = i64::from(axis.stride);
        let reached = (0..axis.taps).map(|tap| (tap, axis.shifted_from(residue, tap)));
        reached
            .filter(|(_, shifted)| shifted % stride == 0)
            .map(|(tap, shifted)| (tap, (shifted / stride) as i32))
            .collect()
    }

    /// Committed weights.
    pub fn weights(&self) -> u64 {
        match self.kernel {
            Kernel::Weights => {
                let channels = u64::from(self.groups) * u64::from(self.inputs);
                channels
                    .saturating_mul(u64::from(self.outputs))
                    .saturating_mul(self.taps() as u64)
            }
            Kernel::Taps(_) | Kernel::Gate(_) => 0,
        }
    }

    /// Channels and extents of a tensor as the map sees it.
    pub fn view(&self, tensor: &Tensor) -> (u32, [u32; AXES]) {
        let mut channels = tensor.features;
        let mut extent = tensor.extent;
        for (size, merged) in extent.iter_mut().zip(self.merged) {
            if merged {
                channels = channels.saturating_mul(*size);
                *size = 1;
            }
        }
        (channels, extent)
    }

    /// For each channel of the view the index of its first element in the tensor, and the strides of
    /// the axes that are not merged.
    pub fn channel_offset(&self, tensor: &Tensor, channel: usize) -> usize {
        let extent = tensor.extent.map(|n| n as usize);
        let strides = strides(tensor.extent);
        let mut rest = channel;
        let mut offset = 0;
        for axis in (0..AXES).rev() {
            if self.merged[axis] {
                offset += rest % extent[axis] * strides[axis];
                rest /= extent[axis];
            }
        }
        offset + rest * tensor.positions()
    }

    pub(super) fn is_sound(&self, input: &Tensor, output: &Tensor) -> bool {
        let (channels, extent) = self.view(input);
        let fits = |first: u32, size: u32, all: u32| {
            let used = u64::from(self.groups) * u64::from(size);
            used > 0 && u64::from(first) + used <= u64::from(all)
        };
        let axes = self.axes.iter().zip(extent);
        let product = |size: fn(&AxisMap) -> u32| -> u64 {
            let sizes = self.axes.iter().map(|a| u64::from(size(a)));
            sizes.fold(1, u64::saturating_mul)
        };
        let (taps, phases) = (product(|a| a.taps), product(|a| a.stride));
        let kernel = match &self.kernel {
            Kernel::Weights => taps <= u64::from(MAX_TAPS),
            Kernel::Taps(factors) => {
                self.inputs == 1
                    && self.outputs == 1
                    && taps <= u64::from(MAX_TAPS)
                    && factors.len() as u64 == taps
                    && factors.iter().all(|f| f.unsigned_abs() <= 1 << 24)
                    && self.axes.iter().all(|a| !a.overlaps())
            }
            Kernel::Gate(_) => self.inputs == 1 && self.outputs == 1 && taps == 1,
        };
        kernel
            && phases <= MAX_PHASES
            && axes.into_iter().all(|(axis, size)| axis.is_sound(size))
            && fits(self.first_input, self.inputs, channels)
            && fits(self.first_output, self.outputs, output.features)
    }
}

impl AxisMap {
    /// Whether several taps fall on one phase of several: then no single factor belongs to a phase.
    const fn overlaps(&self) -> bool {
        let period = self.stride / gcd(self.stride, self.dilation);
        self.stride > 1 && period > 1 && self.taps > period
    }
}

/// The greatest common divisor.
pub(crate) const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Elements from one index of an axis to the next.
pub(crate) const fn strides(extent: [u32; AXES]) -> [usize; AXES] {
    let (h, w) = (extent[1] as usize, extent[2] as usize);
    [h * w, w, 1]
}

/// A tensor and what a layer does to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The tensor read.
    pub input: TensorId,
    /// The map.
    pub map: Map,
}

/// The smallest box that holds every position the products of a layer's terms reach, and all positions
/// of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Smallest index on each axis, at most 0.
    pub lo: [i32; AXES],
    /// The first index beyond, at least the output's extent.
    pub hi: [i32; AXES],
    /// The output's extent.
    pub extent: [u32; AXES],
}

impl Frame {
    /// The frame of a layer.
    pub fn new(graph: &Graph, layer: &Layer) -> Self {
        let extent = graph.tensors[layer.output.index()].extent;
        let mut frame = Self {
            lo: [0; AXES],
            hi: extent.map(|n| n as i32),
            extent,
        };
        for term in &layer.terms {
            let (_, inputs) = term.map.view(&graph.tensors[term.input.index()]);
            for (axis, size) in inputs.into_iter().enumerate() {
                let (lo, hi) = reached(&term.map, axis, size);
                frame.lo[axis] = frame.lo[axis].min(lo);
                frame.hi[axis] = frame.hi[axis].max(hi);
            }
        }
        frame
    }

    /// Lines and elements of a feature outside the output.
    pub fn overhang(&self) -> (u64, u64) {
        let size: [u64; AXES] = core::array::from_fn(|a| (self.hi[a] - self.lo[a]) as u64);
        let [depth, height, width] = self.extent.map(u64::from);
        let across = size[0] * size[1] - depth * height;
        let down = depth * (size[2] - width);
        (across + down, across * size[2] + down * height)
    }

    /// Whether nothing lies outside the output.
    pub fn is_tight(&self) -> bool {
        self.lo == [0; AXES] && self.hi == self.extent.map(|n| n as i32)
    }
}

/// The interval of output indices, bounded or not, that the taps of an axis reach.
fn reached(map: &Map, axis: usize, size: u32) -> (i32, i32) {
    let map = map.axes[axis];
    let ends = [
        (map.from, map.taps - 1),
        (map.to.min(size).saturating_sub(1), 0),
    ];
    let [lo, hi] = ends.map(|(j, tap)| map.shifted(j, tap));
    let stride = i64::from(map.stride);
    // From the first to the last multiple of the stride within.
    let first = lo.div_euclid(stride) + i64::from(lo.rem_euclid(stride) != 0);
    let last = hi.div_euclid(stride);
    (first as i32, last as i32 + 1)
}
