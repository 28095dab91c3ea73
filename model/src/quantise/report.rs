//! What was decided, and why, for people to read.

use air::graph::{Encoding, Range};
use serde::Serialize;

/// One row for every input and layer, and what to be wary of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QuantReport {
    /// How many samples the ranges come from.
    pub calibration_samples: usize,
    /// Bits of activations, which a target error may have changed.
    pub bits: u32,
    /// The inputs.
    pub inputs: Vec<InputReport>,
    /// The layers, in order.
    pub layers: Vec<LayerReport>,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

impl QuantReport {
    /// What does not depend on the choices made.
    pub(super) fn without_rows(&self) -> Self {
        Self {
            calibration_samples: self.calibration_samples,
            warnings: self.warnings.clone(),
            ..Self::default()
        }
    }
}

/// How an input is encoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputReport {
    /// Name of the tensor.
    pub tensor: String,
    /// Smallest and largest calibrated value.
    pub calibrated: (f64, f64),
    /// What the integers stand for.
    pub encoding: Encoding,
    /// Integers an input may have; real numbers beyond saturate.
    pub range: Range,
    /// Why.
    pub reason: String,
}

/// How a layer is quantised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Name of the output tensor.
    pub tensor: String,
    /// The operators folded into the layer.
    pub op: String,
    /// Smallest and largest calibrated value of the output.
    pub calibrated: (f64, f64),
    /// Fractional bits of the output.
    pub frac_bits: i16,
    /// Integers the output may have.
    pub range: Range,
    /// Bits of the largest weight, its sign included.
    pub weight_bits: u32,
    /// Right shift of the requantisation.
    pub shift: u8,
    /// Bits by which an accumulator may overshoot the activation's domain.
    pub excess_bits: u8,
    /// Bits of the largest accumulator any input can cause, its sign included.
    pub acc_bits: u32,
    /// Why.
    pub reason: String,
}
