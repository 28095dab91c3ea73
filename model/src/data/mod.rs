//! # Data files: users' samples, however they were saved
//!
//! | content | arrays |
//! |---|---|
//! | JSON `{"input_data": [[…], …]}` | one (nested) list for each input, unnamed |
//! | `.npy` | one, unnamed |
//! | `.npz` | by name: `NAME` or `in_NAME` of an input, else `x`; labels in `y` |
//! | ONNX `TensorProto` | one, by its name |
//!
//! The content decides, not the file's name. [`DataFile::samples`] then matches arrays with a
//! model's inputs: an array as large as the input is one sample, a larger one holds a sample in
//! each entry of its first axis.

mod json;
mod npy;

use std::path::{Path, PathBuf};

use air::graph::Graph;

use crate::{FloatGraph, Sample};

/// Largest data file, and largest unpacked archive.
const MAX_BYTES: u64 = 1 << 31;

/// One array of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name; empty where the format has none.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub values: Vec<f64>,
}

/// The arrays of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Where it came from, for messages.
    pub path: PathBuf,
    /// What was in it.
    pub arrays: Vec<Array>,
}

/// An input to be fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// Its shape, with batch dimension.
    pub shape: Vec<usize>,
}

impl InputSpec {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What a float graph wants to be fed.
pub fn float_inputs(graph: &FloatGraph) -> Vec<InputSpec> {
    let spec = |t: &crate::FloatTensor| InputSpec {
        name: t.name.clone(),
        shape: t.shape.clone(),
    };
    graph.input_tensors().iter().map(spec).collect()
}

/// What a quantised graph wants to be fed.
pub fn graph_inputs(graph: &Graph) -> Vec<InputSpec> {
    let spec = |id: &air::graph::TensorId| {
        let tensor = &graph.tensors[id.index()];
        InputSpec {
            name: tensor.name.clone(),
            shape: tensor.shape.iter().map(|&d| d as usize).collect(),
        }
    };
    graph.inputs.iter().map(spec).collect()
}

/// Why a data file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file, or what it unpacks to, is too large.
    #[error("{path}: more than {max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest supported size.
        max: u64,
    },
    /// The file is none of the known formats, or damaged.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An array is damaged or of an unknown type.
    #[error("{path}, array `{array}`: {reason}")]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// What is wrong.
        reason: String,
    },
    /// The file has nothing for an input of the model.
    #[error("{path}: nothing for the input `{input}`; the file holds {found}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The input.
        input: String,
        /// The names of the arrays there are.
        found: String,
    },
    /// More samples, or fewer, than were asked for.
    #[error("{path}: {got} samples, expected one")]
    NotOne {
        /// The file.
        path: PathBuf,
        /// Samples in the file.
        got: usize,
    },
}

impl DataFile {
    /// Reads a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let io = |source| DataError::Io {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(io)?.len() > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: path.to_owned(),
                max: MAX_BYTES,
            });
        }
        Self::parse(path, &std::fs::read(path).map_err(io)?)
    }

    /// Reads the content of a file; `path` only serves messages.
    pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self, DataError> {
        let path = path.as_ref();
        let format = |reason| DataError::Format {
            path: path.to_owned(),
            reason,
        };
        let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
        let arrays = if bytes.starts_with(npy::MAGIC) {
            let array = npy::parse("", bytes).map_err(format)?;
            vec![array]
        } else if bytes.starts_with(b"PK") {
            npy::parse_archive(path, bytes, MAX_BYTES)?
        } else if matches!(first, Some(b'{' | b'[')) {
            json::parse(bytes).map_err(format)?
        } else {
            vec![tensor_proto(bytes).map_err(format)?]
        };
        Ok(Self {
            path: path.to_owned(),
            arrays,
        })
    }

    /// The samples for these inputs.
    pub fn samples(&self, inputs: &[InputSpec]) -> Result<Vec<Sample>, DataError> {
        if let Some(rows) = self.rows_of_single_input(inputs) {
            return Ok(rows);
        }
        let mut count = None;
        let mut columns = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let array = self.find(inputs, i)?;
            let got = self.count(array, input)?;
            if *count.get_or_insert(got) != got {
                return Err(self.array_error(
                    array,
                    format!("{got} samples, but {} of another input", count.unwrap_or(0)),
                ));
            }
            columns.push(array.values.chunks_exact(input.elements()));
        }
        let next = |chunk: &mut std::slice::ChunksExact<'_, f64>| -> Vec<f32> {
            chunk
                .next()
                .unwrap_or_default()
                .iter()
                .map(|&x| x as f32)
                .collect()
        };
        Ok((0..count.unwrap_or(0))
            .map(|_| columns.iter_mut().map(next).collect())
            .collect())
    }

    /// The one sample this file holds.
    pub fn sample(&self, inputs: &[InputSpec]) -> Result<Sample, DataError> {
        let mut samples = self.samples(inputs)?;
        match (samples.pop(), samples.len()) {
            (Some(sample), 0) => Ok(sample),
            (last, rest) => Err(DataError::NotOne {
                path: self.path.clone(),
                got: rest + usize::from(last.is_some()),
            }),
        }
    }

    /// The labels `y`, if the file has them.
    pub fn labels(&self) -> Option<Vec<i64>> {
        let y = self.arrays.iter().find(|a| a.name == "y")?;
        Some(y.values.iter().map(|&v| v as i64).collect())
    }

    /// A list of rows for a model with one input: each row is a sample.
    fn rows_of_single_input(&self, inputs: &[InputSpec]) -> Option<Vec<Sample>> {
        let [input] = inputs else { return None };
        let is_row = |a: &Array| a.name.is_empty() && a.values.len() == input.elements();
        (self.arrays.len() > 1 && self.arrays.iter().all(is_row)).then(|| {
            let row = |a: &Array| vec![a.values.iter().map(|&x| x as f32).collect()];
            self.arrays.iter().map(row).collect()
        })
    }

    fn find(&self, inputs: &[InputSpec], index: usize) -> Result<&Array, DataError> {
        let name = &inputs[index].name;
        let named = |wanted: &str| self.arrays.iter().find(|a| a.name == wanted);
        let by_name = named(name).or_else(|| named(&format!("in_{name}")));
        let alone = || (inputs.len() == 1).then(|| named("x")).flatten();
        let only = || (inputs.len() == 1 && self.arrays.len() == 1).then(|| &self.arrays[0]);
        let unnamed =
            self.arrays.len() == inputs.len() && self.arrays.iter().all(|a| a.name.is_empty());
        let by_order = || unnamed.then(|| &self.arrays[index]);
        by_name
            .or_else(alone)
            .or_else(only)
            .or_else(by_order)
            .ok_or_else(|| {
                let names: Vec<String> = self
                    .arrays
                    .iter()
                    .map(|a| format!("`{}` {:?}", a.name, a.shape))
                    .collect();
                DataError::Missing {
                    path: self.path.clone(),
                    input: name.clone(),
                    found: names.join(", "),
                }
            })
    }

    /// How many samples an array holds for an input.
    fn count(&self, array: &Array, input: &InputSpec) -> Result<usize, DataError> {
        let (elements, got) = (input.elements(), array.values.len());
        let samples = if elements > 0 && got % elements == 0 {
            got / elements
        } else {
            0
        };
        if samples == 1 || (samples > 1 && array.shape.first() == Some(&samples)) {
            return Ok(samples);
        }
        let reason = format!(
            "its shape {:?} is neither one nor several inputs `{}` of shape {:?}",
            array.shape, input.name, input.shape
        );
        Err(self.array_error(array, reason))
    }

    fn array_error(&self, array: &Array, reason: String) -> DataError {
        DataError::Array {
            path: self.path.clone(),
            array: array.name.clone(),
            reason,
        }
    }
}

/// A serialised ONNX tensor.
fn tensor_proto(bytes: &[u8]) -> Result<Array, String> {
    let unknown = "not JSON, NumPy (.npy, .npz) or an ONNX tensor";
    let tensor: tract_onnx::pb::TensorProto =
        prost::Message::decode(bytes).map_err(|_| unknown.to_owned())?;
    if tensor.data_type == 0 {
        return Err(unknown.to_owned());
    }
    crate::import::check_tensor(&tensor).map_err(|error| error.to_string())?;
    Ok(Array {
        values: crate::import::tensor_to_f64(&tensor),
        shape: tensor.dims.iter().map(|&d| d as usize).collect(),
        name: tensor.name,
    })
}
