//! What can be wrong with an ONNX file, or with what this crate can make of it.

use std::path::PathBuf;

/// Why a file could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A size is beyond what this importer accepts.
    #[error("{what}: {got} is more than the supported {max}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        got: u64,
        /// The largest supported size.
        max: u64,
    },
    /// The bytes are not an ONNX model, or contradict themselves.
    #[error("not a well-formed ONNX model: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A node this version cannot prove.
    #[error("node `{node}` ({op}) is not supported: {reason}")]
    Unsupported {
        /// Name of the node, or of its first output.
        node: String,
        /// Its operator, with its domain unless that is ONNX's own.
        op: String,
        /// Why, and where possible what to do.
        reason: String,
    },
    /// The file is written for an operator set this version does not know.
    #[error(
        "operator set {version} is outside the supported {min} to {max}; export the model again"
    )]
    Opset {
        /// The file's version.
        version: i64,
        /// Oldest supported version.
        min: i64,
        /// Newest supported version.
        max: i64,
    },
    /// An input's type or shape is not usable, or was not bound.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The input.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An output that no proof could speak about.
    #[error("output `{name}`: {reason}")]
    Output {
        /// The output.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A stored tensor is unusable.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{name}`: element {index} is {value}, and weights must be finite")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Flat index of the element.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The ONNX library could not run the model, or part of it.
    #[error("{what} could not be evaluated: {reason}")]
    Runtime {
        /// The model, or the node.
        what: String,
        /// What the library said.
        reason: String,
    },
    /// The imported graph and the ONNX library disagree: a bug, and no proof should be made.
    #[error(
        "the imported model computes {got} where the ONNX file computes {expected} \
         (output {output}, element {index}); please report this model"
    )]
    Disagreement {
        /// Index of the output.
        output: usize,
        /// Flat index of the element.
        index: usize,
        /// What the file computes.
        expected: f32,
        /// What the imported graph computes.
        got: f32,
    },
}
