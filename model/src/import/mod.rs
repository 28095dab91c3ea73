//! # Import: ONNX to the float graph
//!
//! ```text
//!   bytes ──decode──▶ protobuf ──bind──▶ live nodes, concrete shapes ──lower──▶ FloatGraph
//!                                                  │                               │
//!                                                  └────────── FloatRunner ──compare
//! ```
//!
//! - `proto` checks the file as a file: sizes, names, order, shapes;
//! - [`operators`] lists what a node may be, and which attributes it may carry;
//! - `fuse` finds functions that exporters take apart, such as hard-swish;
//! - `lower` walks the nodes in order. A value is an *expression*: a sum of linear maps of tensors, and
//!   a constant for each channel. Linear operators compose expressions (`compose`, `term`), moving
//!   dimensions is bookkeeping (`layout`), and a layer comes to be only where something else is asked for;
//! - `finish` drops what nobody reads;
//! - at last the result is compared with an independent run of the file on synthetic data, so that
//!   an importer's mistake is an error and never a proof of something else.

mod compose;
mod constant;
mod error;
mod expr;
mod finish;
mod fold;
mod fuse;
mod guard;
mod layout;
mod lower;
mod ops;
mod proto;
mod registry;
mod relayout;
mod runner;
mod term;
mod windows;

use std::path::Path;

pub use self::error::ImportError;
pub use self::registry::{OperatorInfo, Status, operators};
pub use self::runner::FloatRunner;
use crate::FloatGraph;
use crate::quantise::synthetic_samples;

/// Protobuf itself ends here.
const MAX_FILE_BYTES: u64 = 1 << 31;

pub(crate) use self::constant::{check as check_tensor, to_f64 as tensor_to_f64};

/// How to read a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Shapes of inputs by name. Needed where the file leaves a dimension open; an open first
    /// dimension, the batch, defaults to 1.
    pub shapes: Vec<(String, Vec<usize>)>,
}

/// Imports a model from a file.
pub fn import_path(
    path: impl AsRef<Path>,
    options: &ImportOptions,
) -> Result<FloatGraph, ImportError> {
    import_bytes(&read(path.as_ref())?, options)
}

/// Imports a model from the bytes of an ONNX file.
pub fn import_bytes(bytes: &[u8], options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    Ok(import_with_reference(bytes, options)?.0)
}

/// Imports a model, and keeps the prepared ONNX file to run as its reference.
pub fn import_with_reference(
    bytes: &[u8],
    options: &ImportOptions,
) -> Result<(FloatGraph, FloatRunner), ImportError> {
    let (graph, runner) = load(bytes, options)?;
    compare(&graph, &runner)?;
    if let Some(apart) = &graph.apart {
        compare(apart, &runner)?;
    }
    Ok((graph, runner))
}

impl FloatRunner {
    /// Prepares the ONNX file itself for running. Only models that can be imported are accepted.
    pub fn from_bytes(bytes: &[u8], options: &ImportOptions) -> Result<Self, ImportError> {
        Ok(load(bytes, options)?.1)
    }

    /// [`FloatRunner::from_bytes`] of a file.
    pub fn from_path(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Self, ImportError> {
        Self::from_bytes(&read(path.as_ref())?, options)
    }
}

fn load(bytes: &[u8], options: &ImportOptions) -> Result<(FloatGraph, FloatRunner), ImportError> {
    check_size(bytes.len() as u64)?;
    let mut model = proto::decode(bytes)?;
    let shapes = proto::bind(&mut model, options)?;
    let graph = lower::lower(&model, &shapes)?;
    tracing::debug!(
        nodes = graph.nodes.len(),
        layers = graph.layers.len(),
        "imported"
    );
    let runner = FloatRunner::new(&model)?;
    Ok((graph, runner))
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Io {
        path: path.to_owned(),
        source,
    };
    check_size(std::fs::metadata(path).map_err(failed)?.len())?;
    std::fs::read(path).map_err(failed)
}

fn check_size(bytes: u64) -> Result<(), ImportError> {
    if bytes < MAX_FILE_BYTES {
        return Ok(());
    }
    Err(ImportError::TooLarge {
        what: "file size in bytes".to_owned(),
        got: bytes,
        max: MAX_FILE_BYTES - 1,
    })
}

/// Compares the imported graph with the library's run of the file. The tolerance is loose: this
/// finds misread operators, not rounding.
fn compare(graph: &FloatGraph, runner: &FloatRunner) -> Result<(), ImportError> {
    for sample in synthetic_samples(graph, 2, 1) {
        let expected = runner.run(&sample)?;
        let got = graph
            .evaluate(&sample)
            .map_err(|error| ImportError::Runtime {
                what: "the imported graph".to_owned(),
                reason: error.to_string(),
            })?;
        for (output, (expected, got)) in expected.iter().zip(&got).enumerate() {
            let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            if expected.len() == got.len() && !scale.is_finite() {
                continue;
            }
            let differs = |(e, g): (&f32, &f32)| (e - g).abs() > 1e-2 * scale + 1e-4;
            let at = expected.iter().zip(got).position(differs);
            if let Some(index) = at.or((expected.len() != got.len()).then_some(0)) {
                return Err(ImportError::Disagreement {
                    output,
                    index,
                    expected: expected.get(index).copied().unwrap_or(f32::NAN),
                    got: got.get(index).copied().unwrap_or(f32::NAN),
                });
            }
        }
    }
    Ok(())
}
