//! # provenn-model: from an ONNX file to integers
//!
//! A proof speaks about integers. This crate takes the user's floating-point model there in three
//! steps, each of which can be looked at on its own:
//!
//! ```text
//!   model.onnx ──import──▶ FloatGraph ──calibrate──▶ ranges ──quantise──▶ air::graph::Model
//!       │                      │                                               │
//!       └──── FloatRunner ─────┴────────────── accuracy ───────────────────────┘
//! ```
//!
//! - [`import`] reads the file, refuses what it cannot give an exact meaning to (naming node and
//!   operator), and folds everything that is linear into few layers;
//! - [`mod@quantise`] chooses scales from calibration data and proves to itself, by the bounds of
//!   [`air::graph::Model::validate`], that no input can overflow;
//! - [`accuracy`] measures what the integers cost against the original file, run by `tract`;
//! - [`data`] reads users' samples.
//!
//! Three types to know: [`FloatGraph`], [`QuantOptions`] and [`QuantReport`].
//!
//! ```
//! use model::data::{DataFile, float_inputs};
//! use model::{ImportOptions, QuantOptions, accuracy, import_with_reference, quantise};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/models/adult-income-mlp");
//! let bytes = std::fs::read(format!("{folder}/model.onnx"))?;
//! let (graph, reference) = import_with_reference(&bytes, &ImportOptions::default())?;
//!
//! let samples = DataFile::read(format!("{folder}/refs.npz"))?.samples(&float_inputs(&graph))?;
//! let (model, report) = quantise(&graph, Some(&samples), &QuantOptions::default())?;
//! assert!(report.warnings.is_empty());
//!
//! let accuracy = accuracy::measure(&model, &reference, &samples, None)?;
//! assert!(accuracy.max_relative_error < 0.003);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod data;
mod float;
pub mod import;
pub mod quantise;

pub use self::float::{
    Affine, FloatGraph, FloatLayer, FloatTensor, FloatTerm, ImportedNode, ShapeError, Trace,
};
pub use self::import::{
    FloatRunner, ImportError, ImportOptions, import_bytes, import_path, import_with_reference,
};
pub use self::quantise::{QuantError, QuantOptions, QuantReport, quantise};

/// Order of the field the proofs live in (BabyBear): the modulus of every no-wrap bound.
pub const FIELD_MODULUS: u64 = 2_013_265_921;

/// One sample: a flat row-major tensor for every input of the model.
pub type Sample = Vec<Vec<f32>>;
