//! Tensors: shapes, ranges, and what the integers stand for.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Number of axes a position has.
pub const AXES: usize = 3;

/// Index of a tensor in [`Graph::tensors`](super::Graph::tensors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A closed interval of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// Smallest value.
    pub lo: i32,
    /// Largest value.
    pub hi: i32,
}

impl Range {
    /// `[-2^(bits-1), 2^(bits-1) - 1]`.
    pub const fn signed(bits: u32) -> Self {
        Self {
            lo: -(1 << (bits - 1)),
            hi: (1 << (bits - 1)) - 1,
        }
    }

    /// `[0, 2^bits - 1]`.
    pub const fn unsigned(bits: u32) -> Self {
        Self {
            lo: 0,
            hi: (1 << bits) - 1,
        }
    }

    /// Number of integers in the interval.
    pub const fn len(self) -> i64 {
        self.hi as i64 - self.lo as i64 + 1
    }

    /// Whether the interval is empty.
    pub const fn is_empty(self) -> bool {
        self.hi < self.lo
    }

    /// Whether `v` lies in the interval.
    pub const fn contains(self, v: i64) -> bool {
        self.lo as i64 <= v && v <= self.hi as i64
    }

    /// The nearest value inside the interval.
    pub fn clamp(self, v: i64) -> i32 {
        v.clamp(i64::from(self.lo), i64::from(self.hi)) as i32
    }

    /// The largest absolute value in the interval.
    pub const fn max_abs(self) -> i64 {
        let (lo, hi) = ((self.lo as i64).abs(), (self.hi as i64).abs());
        if lo > hi { lo } else { hi }
    }
}

/// How integers stand for real numbers: `real = (q + zero_point) · 2^(−frac_bits)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// One power-of-two scale for the whole tensor, zero point 0.
    Uniform {
        /// Fractional bits; may be negative.
        frac_bits: i16,
    },
    /// A scale and a zero point of its own for each feature. Only inputs use it: it is how raw
    /// tabular data (ages beside incomes) keeps its precision in a few bits.
    PerFeature {
        /// Fractional bits of each feature.
        frac_bits: Vec<i16>,
        /// Added to `q` before scaling, one per feature.
        zero_point: Vec<i32>,
    },
}

impl Encoding {
    /// Fractional bits of feature `f`.
    pub fn frac_bits(&self, f: usize) -> i16 {
        match self {
            Self::Uniform { frac_bits } => *frac_bits,
            Self::PerFeature { frac_bits, .. } => frac_bits[f],
        }
    }

    /// Zero point of feature `f`.
    pub fn zero_point(&self, f: usize) -> i32 {
        match self {
            Self::Uniform { .. } => 0,
            Self::PerFeature { zero_point, .. } => zero_point[f],
        }
    }

    /// The integer for a real number of feature `f`: round half up, then saturate to `range`.
    /// Returns `None` for NaN and infinities.
    pub fn quantise(&self, f: usize, x: f64, range: Range) -> Option<i32> {
        if !x.is_finite() {
            return None;
        }
        let scaled = x * libm::exp2(f64::from(self.frac_bits(f))) - f64::from(self.zero_point(f));
        let rounded = libm::floor(scaled + 0.5);
        // Saturate in floating point first: a cast of 1e300 to an integer would do it as well, but
        // the two comparisons say what is meant.
        let clamped = rounded.clamp(f64::from(range.lo), f64::from(range.hi));
        Some(clamped as i32)
    }

    /// The real number an integer of feature `f` stands for.
    pub fn dequantise(&self, f: usize, q: i32) -> f64 {
        (f64::from(q) + f64::from(self.zero_point(f))) * libm::exp2(-f64::from(self.frac_bits(f)))
    }
}

/// Where a dimension of an ONNX shape lies in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Axis {
    /// Channels, hidden units.
    Feature,
    /// The first axis of a position: batch items of images, frames of a volume.
    Depth,
    /// The second axis of a position: image rows.
    Height,
    /// The third axis of a position: pixels of a row, batch items or tokens.
    Width,
}

impl Axis {
    /// The axes of a position, in order.
    pub const POSITION: [Self; AXES] = [Self::Depth, Self::Height, Self::Width];

    /// Which axis of a position it is.
    pub const fn position(self) -> Option<usize> {
        match self {
            Self::Feature => None,
            Self::Depth => Some(0),
            Self::Height => Some(1),
            Self::Width => Some(2),
        }
    }
}

/// A dimension of an ONNX shape, or a factor of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dim {
    /// Where it lies. Several dimensions on one axis are digits of its index, the first the highest.
    pub axis: Axis,
    /// Its size.
    pub size: u32,
}

/// A tensor of the graph, stored `[feature][depth][height][width]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name in the ONNX file.
    pub name: String,
    /// Shape in the ONNX file, with every dimension bound.
    pub shape: Vec<u32>,
    /// How the elements in row-major order of `shape` lie in the tensor. The sizes multiply to the
    /// number of elements.
    pub dims: Vec<Dim>,
    /// Channels, or hidden units.
    pub features: u32,
    /// Depth, height and width of a feature.
    pub extent: [u32; AXES],
    /// Every value lies in this interval.
    pub range: Range,
    /// What the integers stand for.
    pub encoding: Encoding,
}

impl Tensor {
    /// Positions of a feature.
    pub const fn positions(&self) -> usize {
        self.extent[0] as usize * self.extent[1] as usize * self.extent[2] as usize
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.features as usize * self.positions()
    }

    /// Whether the tensor has no elements (a valid graph has no such tensor).
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of an axis.
    pub const fn size(&self, axis: Axis) -> usize {
        match axis.position() {
            None => self.features as usize,
            Some(i) => self.extent[i] as usize,
        }
    }

    /// For each element in the row-major order of `shape`, its index in the tensor.
    pub fn row_major(&self) -> Vec<usize> {
        let [_, h, w] = self.extent.map(|n| n as usize);
        let unit = |axis| match axis {
            Axis::Feature => self.positions(),
            Axis::Depth => h * w,
            Axis::Height => w,
            Axis::Width => 1,
        };
        let mut indices = alloc::vec![0];
        for (i, dim) in self.dims.iter().enumerate() {
            let later = self.dims[i + 1..].iter().filter(|d| d.axis == dim.axis);
            let stride = unit(dim.axis) * later.map(|d| d.size as usize).product::<usize>();
            indices = (indices.iter())
                .flat_map(|&base| (0..dim.size as usize).map(move |i| base + i * stride))
                .collect();
        }
        indices
    }
}
