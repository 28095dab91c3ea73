//! # The quantised graph
//!
//! A [`Graph`] is a list of integer tensors and of layers between them. It carries everything that
//! is public about a model except its weights: shapes, scales, shifts, activation tables. Its
//! meaning is the integer arithmetic of [`evaluate`]; floating point appears only where a user's
//! numbers enter ([`Encoding::quantise`]) or leave ([`Encoding::dequantise`]).
//!
//! A tensor is stored as `[feature][depth][height][width]`. A feature is a hidden unit or a channel; a
//! position is a pixel, a token or a batch item.
//!
//! ```text
//!   acc = bias + Σ_terms map(x) ──▶ q = ⌊(acc + 2^(s−1)) / 2^s⌋ ──▶ clamp ──▶ out = f(q)
//!   exact integers                  round half up                  saturate    table
//! ```
//!
//! A layer adds up [terms](Term), each a linear [map](Map) of one tensor: a dense layer or a convolution has
//! one, a residual sum two. A tensor may be read by any number of layers.
//!
//! A layer may also take the [maximum](Combine::Max) of what its terms read: a pooling window. Such a layer
//! has no weights, no biases and nothing to requantise, and its windows lie wholly within [`Groups`].

mod activation;
mod eval;
pub mod groups;
pub mod map;
mod requant;
mod tensor;
mod weights;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use self::activation::{Activation, Function, LOG_REACH, Param};
pub use self::eval::{EvalError, Evaluation, accumulate, accumulate_box, evaluate, maxima};
pub use self::groups::Groups;
pub use self::map::{AxisMap, Frame, Kernel, Map, Term};
pub use self::requant::{Requant, Requantised};
pub use self::tensor::{AXES, Axis, Dim, Encoding, Range, Tensor, TensorId};
pub use self::weights::{LayerWeights, Model, ModelError};

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
/// Largest number of terms of all layers together.
pub const MAX_TERMS: usize = 4 * MAX_LAYERS;
/// Largest number of values of one tensor's range.
pub const MAX_RANGE: i64 = 1 << 16;
/// Largest number of entries of one activation table.
pub const MAX_TABLE_ENTRIES: i64 = 1 << 20;
/// Largest number of lines outside the outputs that maps of a graph reach, all features counted.
pub const MAX_OVERHANG_LINES: u64 = 1 << 22;
/// Largest number of taps of a graph, each counted on every phase of its map.
const MAX_PHASED_TAPS: u64 = 1 << 26;
/// Largest number of runs of weights of a graph: a phase of an input channel each.
const MAX_RUNS: u64 = 1 << 22;
/// Largest number of elements that the terms of a graph read, each counted for every tap.
const MAX_READ: u64 = 1 << 32;
/// Scales outside `2^±MAX_FRAC_BITS` are refused: they would not survive a conversion to `f64`.
pub const MAX_FRAC_BITS: i16 = 64;

/// What a layer makes of its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combine {
    /// Their sum, with biases.
    Sum,
    /// The largest element that any tap of any term reads.
    Max,
}

/// One layer: biases and a sum of linear maps, requantised; or a maximum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the ONNX node the layer comes from.
    pub name: String,
    /// What is read.
    pub terms: Vec<Term>,
    /// What is made of it.
    pub combine: Combine,
    /// The tensor written.
    pub output: TensorId,
    /// What happens to the accumulators.
    pub requant: Requant,
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
    /// A layer or an input or output list names a tensor out of evaluation order, or nobody reads it.
    #[error("tensor {tensor}: every tensor must be written once and read afterwards")]
    Wiring {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A term does not fit the tensors it reads and writes.
    #[error("layer {layer}: its map does not fit its tensors")]
    Map {
        /// Index of the layer.
        layer: usize,
    },
    /// A layer's shift, excess, table or ranges are out of bounds.
    #[error("layer {layer}: requantisation parameters out of bounds")]
    Requant {
        /// Index of the layer.
        layer: usize,
    },
    /// A maximum is not one of whole windows of equal scale, or its windows do not lie in one row.
    #[error("layer {layer}: its windows are not whole windows of a single group of tensors")]
    Maximum {
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
        self.validate_sizes()?;
        self.validate_wiring()?;
        self.validate_maps()?;
        for (i, layer) in self.layers.iter().enumerate() {
            self.validate_layer(i, layer, modulus)?;
        }
        Groups::new(self)?;
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
        Ok(())
    }

    /// Inputs come first, every layer reads tensors before the one it writes, and every tensor is
    /// read: by a layer, or as an output.
    fn validate_wiring(&self) -> Result<(), GraphError> {
        let n = self.tensors.len();
        let mut read = alloc::vec![false; n];
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
            let y = layer.output.index();
            if y != self.inputs.len() + i || layer.terms.is_empty() {
                return Err(wiring(y));
            }
            for term in &layer.terms {
                let gate = match term.map.kernel {
                    Kernel::Gate(id) => Some(id),
                    Kernel::Weights | Kernel::Taps(_) => None,
                };
                for x in [Some(term.input), gate].into_iter().flatten() {
                    if x.index() >= y {
                        return Err(wiring(y));
                    }
                    read[x.index()] = true;
                }
                let (x, y) = (&self.tensors[term.input.index()], &self.tensors[y]);
                let gates = gate.is_none_or(|id| {
                    let gate = &self.tensors[id.index()];
                    gate.positions() == 1 && gate.features >= term.map.groups
                });
                if !gates || !term.map.is_sound(x, y) {
                    return Err(GraphError::Map { layer: i });
                }
            }
        }
        let mut outputs = alloc::collections::BTreeSet::new();
        for id in &self.outputs {
            // An input passed straight through has no proof of its own, and is refused.
            let is_computed = id.index() >= self.inputs.len() && id.index() < n;
            if !is_computed || !outputs.insert(id.index()) {
                return Err(wiring(id.index()));
            }
            read[id.index()] = true;
        }
        match read.iter().position(|&is_read| !is_read) {
            Some(tensor) => Err(wiring(tensor)),
            None => Ok(()),
        }
    }

    /// Bounds that keep every later count of rows and cells far from overflow.
    fn validate_sizes(&self) -> Result<(), GraphError> {
        let weights = self.terms().try_fold(0u64, |sum, (_, term)| {
            let biases = u64::from(term.map.groups) * u64::from(term.map.outputs);
            sum.checked_add(term.map.weights())?.checked_add(biases)
        });
        let elements = self.tensors.iter().try_fold(0u64, |sum, t| {
            let mut positions = t.extent.iter().map(|&n| u64::from(n));
            let len = positions.try_fold(u64::from(t.features), u64::checked_mul);
            sum.checked_add(len?)
        });
        let within = |what, got: Option<u64>, max: u64| match got {
            Some(n) if n <= max => Ok(()),
            _ => Err(GraphError::TooLarge { what, max }),
        };
        within("terms", Some(self.terms().count() as u64), MAX_TERMS as u64)?;
        within("weights", weights, MAX_WEIGHTS)?;
        within("tensor elements", elements, MAX_ELEMENTS)
    }

    /// Bounds on what maps ask for beyond their weights: a few bytes of a key name any stride.
    fn validate_maps(&self) -> Result<(), GraphError> {
        let (mut phased, mut runs, mut read) = (0u64, 0u64, 0u64);
        for (_, term) in self.terms() {
            let map = &term.map;
            let phases: u64 = map.axes.iter().map(|a| u64::from(a.stride)).product();
            let channels = u64::from(map.groups) * u64::from(map.inputs);
            let taps = map.taps() as u64;
            let elements = self.tensors[term.input.index()].len() as u64;
            phased = phased.saturating_add(phases * taps);
            runs = runs.saturating_add(channels.saturating_mul(phases));
            read = read.saturating_add(elements.saturating_mul(taps));
        }
        let (mut lines, mut elements) = (0u64, 0u64);
        for (_, layer) in self.sums() {
            let features = u64::from(self.tensors[layer.output.index()].features);
            let (own_lines, own_elements) = Frame::new(self, layer).overhang();
            lines = lines.saturating_add(features.saturating_mul(own_lines));
            elements = elements.saturating_add(features.saturating_mul(own_elements));
        }
        let too_large = |what, max| Err(GraphError::TooLarge { what, max });
        if phased > MAX_PHASED_TAPS {
            return too_large("taps on all phases", MAX_PHASED_TAPS);
        }
        if runs > MAX_RUNS {
            return too_large("runs of weights", MAX_RUNS);
        }
        if read > MAX_READ {
            return too_large("elements read through taps", MAX_READ);
        }
        if lines > MAX_OVERHANG_LINES {
            return too_large("lines outside of outputs", MAX_OVERHANG_LINES);
        }
        if elements > MAX_ELEMENTS {
            return too_large("elements outside of outputs", MAX_ELEMENTS);
        }
        Ok(())
    }

    /// All terms in order, with the index of their layer.
    pub fn terms(&self) -> impl Iterator<Item = (usize, &Term)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(i, layer)| layer.terms.iter().map(move |term| (i, term)))
    }

    /// The layers that add up, with their index.
    pub fn sums(&self) -> impl Iterator<Item = (usize, &Layer)> {
        let layers = self.layers.iter().enumerate();
        layers.filter(|(_, layer)| layer.combine == Combine::Sum)
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

/// The product of some sizes, if it fits.
fn product(sizes: impl IntoIterator<Item = u32>) -> Option<u64> {
    let mut sizes = sizes.into_iter().map(u64::from);
    sizes.try_fold(1u64, u64::checked_mul)
}

fn tensor_is_sound(tensor: &Tensor) -> bool {
    let extents = 1..=MAX_EXTENT;
    let positions = product(tensor.extent);
    let elements = positions.and_then(|p| p.checked_mul(u64::from(tensor.features)));
    let on_axis = |axis: Axis, size: u32| {
        let sizes = tensor
            .dims
            .iter()
            .filter(|d| d.axis == axis)
            .map(|d| d.size);
        product(sizes) == Some(u64::from(size))
    };
    let dims_ok = on_axis(Axis::Feature, tensor.features)
        && Axis::POSITION
            .into_iter()
            .zip(tensor.extent)
            .all(|(axis, size)| on_axis(axis, size));
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
        && tensor.extent.iter().all(|n| extents.contains(n))
        && elements.is_some_and(|n| n <= MAX_ELEMENTS)
        && product(tensor.shape.iter().copied()) == elements
        && dims_ok
        && !tensor.range.is_empty()
        && tensor.range.len() <= MAX_RANGE
        && tensor.range.max_abs() <= 1 << 24
        && encoding_ok
}
