//! # The quantised graph
//!
//! A [`Graph`] is a list of integer tensors and of layers between them. It carries everything that
//! is public about a model except its weights: shapes, scales, shifts, activation tables. Its
//! meaning is the integer arithmetic of [`evaluate`]; floating point appears only where a user's
//! numbers enter ([`Encoding::quantise`]) or leave ([`Encoding::dequantise`]).
//!
//! A tensor is stored as `[feature f][position p]`, flat index `f * positions + p`. A position is a
//! batch item; a feature is a hidden unit.
//!
//! ```text
//!   x ──▶ acc = bias + Σ_k W[k][j]·x[k] ──▶ q = ⌊(acc + 2^(s−1)) / 2^s⌋ ──▶ clamp ──▶ out = f(q)
//!         exact integers                    round half up                  saturate    table
//! ```

mod activation;
mod eval;
mod weights;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

pub use self::activation::{Activation, Function};
pub use self::eval::{EvalError, Evaluation, Requantised, evaluate};
pub use self::weights::{LinearWeights, Model, ModelError};

/// Largest number of features or positions one tensor may have.
pub const MAX_EXTENT: u32 = 1 << 22;
/// Largest number of weights in one graph; also keeps row counts within 32 bits.
pub const MAX_WEIGHTS: u64 = 1 << 30;
/// Largest number of tensor elements in one graph.
pub const MAX_ELEMENTS: u64 = 1 << 28;
/// Largest number of layers in one graph.
pub const MAX_LAYERS: usize = 4096;
/// Largest number of inputs, and of outputs, of one graph: each has a fixed column, so a small key
/// must not name thousands.
pub const MAX_BOUNDARY: usize = 64;
/// Largest number of entries of one activation table.
pub const MAX_TABLE_ENTRIES: i64 = 1 << 16;
/// Scales outside `2^±MAX_FRAC_BITS` are refused: they would not survive a conversion to `f64`.
pub const MAX_FRAC_BITS: i16 = 64;

/// Index of a tensor in [`Graph::tensors`].
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

/// A tensor of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name in the ONNX file.
    pub name: String,
    /// Shape in the ONNX file, with every dimension bound. Its elements in row-major order are
    /// position 0's features, then position 1's, and so on.
    pub shape: Vec<u32>,
    /// Hidden units.
    pub features: u32,
    /// Batch items.
    pub positions: u32,
    /// Every value lies in this interval.
    pub range: Range,
    /// What the integers stand for.
    pub encoding: Encoding,
}

impl Tensor {
    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.features as usize * self.positions as usize
    }

    /// Whether the tensor has no elements (a valid graph has no such tensor).
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Requantisation fused with an activation, applied to every accumulator of a layer.
///
/// `q' = ⌊(acc + 2^(shift−1)) / 2^shift⌋` (round half up; `q' = acc` when `shift = 0`), then
/// `q = clamp(q', domain)`, then `out = activation(q)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requant {
    /// Right shift, in bits.
    pub shift: u8,
    /// `|q' − q| < 2^excess_bits`: how far an accumulator may lie beyond the activation's domain.
    /// The planner chooses it so that *no* input can leave this span.
    pub excess_bits: u8,
    /// What happens to the clamped value.
    pub activation: Activation,
}

impl Requant {
    /// `2^(shift−1)`, or 0 without a shift: the constant that turns floor into round half up.
    pub const fn half(&self) -> i64 {
        if self.shift == 0 {
            0
        } else {
            1 << (self.shift - 1)
        }
    }

    /// Smallest and largest accumulator this requantisation can represent.
    pub const fn representable(&self) -> (i64, i64) {
        let excess = (1i64 << self.excess_bits) - 1;
        let unit = 1i64 << self.shift;
        let lo = (self.activation.domain.lo as i64 - excess) * unit - self.half();
        let hi = (self.activation.domain.hi as i64 + excess) * unit + unit - 1 - self.half();
        (lo, hi)
    }

    /// The accumulators a model may produce: those that are representable, and far enough from wrapping
    /// around. For `T` within, `|T| + max|V| < modulus`, `V` over all that is representable, so that
    /// equality modulo the field's order is equality. An empty interval if there are none.
    pub const fn limits(&self, modulus: u64) -> (i64, i64) {
        let (lo, hi) = self.representable();
        let (lo_abs, hi_abs) = (lo.abs(), hi.abs());
        let largest = if lo_abs > hi_abs { lo_abs } else { hi_abs };
        let most = modulus as i64 - 1 - largest;
        (
            if lo > -most { lo } else { -most },
            if hi < most { hi } else { most },
        )
    }

    /// Number of distinct integers `(q + g·e)·2^s + rem` can take. At most `p` of them, or two
    /// different outputs would fit one accumulator modulo `p`.
    pub const fn span(&self) -> i64 {
        let (lo, hi) = self.representable();
        hi - lo + 1
    }
}

/// One layer: a linear map with bias, requantised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the ONNX node the layer comes from.
    pub name: String,
    /// The tensor read.
    pub input: TensorId,
    /// The tensor written.
    pub output: TensorId,
    /// What happens to the accumulators.
    pub requant: Requant,
}

/// Something done to an output in floating point, outside the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostOp {
    /// Softmax over the features of each position.
    Softmax,
}

impl fmt::Display for PostOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Softmax => f.write_str("Softmax"),
        }
    }
}

/// A quantised model without its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// All tensors: inputs first, then each layer's output in order.
    pub tensors: Vec<Tensor>,
    /// Layers in the order in which they are evaluated.
    pub layers: Vec<Layer>,
    /// The graph's inputs.
    pub inputs: Vec<TensorId>,
    /// The graph's outputs.
    pub outputs: Vec<TensorId>,
    /// For each output, what the model does to it after the last proved layer: at most one thing.
    pub post: Vec<Vec<PostOp>>,
}

/// Why a graph is not one this crate can give a meaning to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A list is longer than this implementation accepts, or empty.
    #[error("the graph has {got} {what}, expected 1 to {max}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// All tensors, or all weights, are more than this implementation accepts.
    #[error("the graph has more than {max} {what}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// A tensor's extents are zero, too large, or at odds with its shape or encoding.
    #[error("tensor {tensor}: its shape, extents, range or scale is out of bounds")]
    Tensor {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A layer or an input or output list names a tensor in a way that is not a chain of
    /// single uses in evaluation order.
    #[error("tensor {tensor}: every tensor must be written once and read once, in order")]
    Wiring {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A layer's shift, excess, table or ranges are out of bounds.
    #[error("layer {layer}: requantisation parameters out of bounds")]
    Requant {
        /// Index of the layer.
        layer: usize,
    },
    /// Two different outputs could stand for one accumulator modulo the field's order.
    #[error("layer {layer}: {span} accumulator values do not fit a field of order {modulus}")]
    NotUnique {
        /// Index of the layer.
        layer: usize,
        /// Number of representable accumulators.
        span: i64,
        /// Order of the field.
        modulus: u64,
    },
}

impl Graph {
    /// The bits `k` of a graph input with exactly `2^k` values, `k ≥ 1`: limbs that add up to `k` bits
    /// keep it in its range, and it needs no activation table.
    pub fn ranged_bits(&self, tensor: usize) -> Option<u8> {
        let values = self.tensors[tensor].range.len() as u64;
        let is_ranged = tensor < self.inputs.len() && values > 1 && values.is_power_of_two();
        is_ranged.then_some(values.trailing_zeros() as u8)
    }

    /// Checks every property the rest of provenn relies on. A verifying key is refused unless its
    /// graph passes; `modulus` is the order of the base field.
    pub fn validate(&self, modulus: u64) -> Result<(), GraphError> {
        self.validate_counts()?;
        for (i, tensor) in self.tensors.iter().enumerate() {
            if !tensor_is_sound(tensor) {
                return Err(GraphError::Tensor { tensor: i });
            }
        }
        self.validate_wiring()?;
        for (i, layer) in self.layers.iter().enumerate() {
            self.validate_layer(i, layer, modulus)?;
        }
        Ok(())
    }

    fn validate_counts(&self) -> Result<(), GraphError> {
        let count = |what, got, max| {
            if got == 0 || got > max {
                Err(GraphError::Count { what, got, max })
            } else {
                Ok(())
            }
        };
        count("layers", self.layers.len(), MAX_LAYERS)?;
        count("inputs", self.inputs.len(), MAX_BOUNDARY)?;
        count("outputs", self.outputs.len(), MAX_BOUNDARY)?;
        count("tensors", self.tensors.len(), 2 * MAX_LAYERS)?;
        if self.post.iter().any(|ops| ops.len() > 1) {
            let got = self.post.iter().map(Vec::len).max().unwrap_or(0);
            return Err(GraphError::Count {
                what: "operations after an output",
                got,
                max: 1,
            });
        }
        if self.post.len() != self.outputs.len() {
            return Err(GraphError::Count {
                what: "post-operation lists",
                got: self.post.len(),
                max: self.outputs.len(),
            });
        }
        Ok(())
    }

    /// Inputs come first, every layer writes the next tensor, and every tensor is read exactly
    /// once: by one layer, or as an output.
    fn validate_wiring(&self) -> Result<(), GraphError> {
        let n = self.tensors.len();
        let mut read = alloc::vec![0usize; n];
        let wiring = |tensor: usize| GraphError::Wiring { tensor };
        if n != self.inputs.len() + self.layers.len() {
            return Err(wiring(n));
        }
        for (i, id) in self.inputs.iter().enumerate() {
            if id.index() != i {
                return Err(wiring(i));
            }
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let (x, y) = (layer.input.index(), layer.output.index());
            if y != self.inputs.len() + i || x >= y {
                return Err(wiring(y));
            }
            read[x] += 1;
            if self.tensors[x].positions != self.tensors[y].positions {
                return Err(wiring(y));
            }
        }
        for id in &self.outputs {
            // An input passed straight through has no proof of its own, and is refused.
            if id.index() < self.inputs.len() || id.index() >= n {
                return Err(wiring(id.index()));
            }
            read[id.index()] += 1;
        }
        self.validate_sizes()?;
        match read.iter().position(|&count| count != 1) {
            Some(tensor) => Err(wiring(tensor)),
            None => Ok(()),
        }
    }

    /// Bounds that keep every later count of rows and cells far from overflow.
    fn validate_sizes(&self) -> Result<(), GraphError> {
        let features = |id: TensorId| u64::from(self.tensors[id.index()].features);
        let weights = self.layers.iter().try_fold(0u64, |sum, layer| {
            sum.checked_add(features(layer.input) * features(layer.output))
        });
        let elements: u64 = (self.tensors.iter())
            .map(|t| u64::from(t.features) * u64::from(t.positions))
            .sum();
        let within = |what, got: Option<u64>, max: u64| match got {
            Some(n) if n <= max => Ok(()),
            _ => Err(GraphError::TooLarge { what, max }),
        };
        within("weights", weights, MAX_WEIGHTS)?;
        within("tensor elements", Some(elements), MAX_ELEMENTS)
    }

    fn validate_layer(&self, index: usize, layer: &Layer, modulus: u64) -> Result<(), GraphError> {
        let requant = &layer.requant;
        let output = &self.tensors[layer.output.index()];
        let sound = requant.shift <= 30
            && requant.excess_bits <= 30
            && requant.activation.is_sound()
            && requant.activation.image == output.range
            && output.encoding
                == (Encoding::Uniform {
                    frac_bits: requant.activation.out_frac_bits,
                });
        if !sound {
            return Err(GraphError::Requant { layer: index });
        }
        let span = requant.span();
        if span as u64 > modulus {
            return Err(GraphError::NotUnique {
                layer: index,
                span,
                modulus,
            });
        }
        Ok(())
    }
}

fn tensor_is_sound(tensor: &Tensor) -> bool {
    let extents = 1..=MAX_EXTENT;
    let elements = tensor
        .shape
        .iter()
        .try_fold(1u64, |n, &d| n.checked_mul(u64::from(d)));
    let frac_ok = |f: i16| (-MAX_FRAC_BITS..=MAX_FRAC_BITS).contains(&f);
    let encoding_ok = match &tensor.encoding {
        Encoding::Uniform { frac_bits } => frac_ok(*frac_bits),
        Encoding::PerFeature {
            frac_bits,
            zero_point,
        } => {
            frac_bits.len() == tensor.features as usize
                && zero_point.len() == tensor.features as usize
                && frac_bits.iter().all(|&f| frac_ok(f))
                && zero_point.iter().all(|z| z.unsigned_abs() <= 1 << 30)
        }
    };
    extents.contains(&tensor.features)
        && extents.contains(&tensor.positions)
        && elements == Some(u64::from(tensor.features) * u64::from(tensor.positions))
        && !tensor.range.is_empty()
        && tensor.range.len() <= MAX_TABLE_ENTRIES
        && tensor.range.max_abs() <= 1 << 24
        && encoding_ok
}
