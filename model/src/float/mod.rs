//! The float graph: what is left of an ONNX file once everything linear has been folded.
//!
//! It mirrors the quantised graph: layers that add up linear maps of tensors and apply an activation,
//! with tensors stored `[feature][depth][height][width]`. It is evaluated in `f32` to calibrate, and
//! compared with an independent run of the file ([`crate::FloatRunner`]) so that an error of the
//! importer shows.

mod eval;

use air::graph::{
    AXES, Axis, AxisMap, Combine, Dim, Encoding, Function, Kernel, Map, Range, Tensor,
};

pub use self::eval::{ShapeError, Trace};

/// A tensor of the float graph: an input or a layer's output.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTensor {
    /// Name in the ONNX file.
    pub name: String,
    /// Shape in the ONNX file, every dimension bound.
    pub shape: Vec<usize>,
    /// How the elements in row-major order of `shape` lie in the tensor.
    pub dims: Vec<Dim>,
    /// Channels, or hidden units: what one position holds.
    pub features: usize,
    /// Depth, height and width of a feature.
    pub extent: [u32; AXES],
}

impl FloatTensor {
    /// Rows of features, as dense layers have them.
    pub fn dense(name: &str, features: usize, positions: usize) -> Self {
        let dim = |axis, size: usize| Dim {
            axis,
            size: size as u32,
        };
        Self {
            name: name.to_owned(),
            shape: vec![positions, features],
            dims: vec![dim(Axis::Width, positions), dim(Axis::Feature, features)],
            features,
            extent: [1, 1, positions as u32],
        }
    }

    /// Positions of a feature.
    pub fn positions(&self) -> usize {
        self.extent.iter().map(|&n| n as usize).product()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.features * self.positions()
    }

    /// Whether there are no elements (never, in an imported graph).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensor of the quantised graph that holds the same elements.
    pub fn quantised(&self, range: Range, encoding: Encoding) -> Tensor {
        Tensor {
            name: self.name.clone(),
            shape: self.shape.iter().map(|&d| d as u32).collect(),
            dims: self.dims.clone(),
            features: self.features as u32,
            extent: self.extent,
            range,
            encoding,
        }
    }

    /// Shapes alone, for what only asks for those.
    pub(crate) fn geometry(&self) -> Tensor {
        self.quantised(Range::unsigned(1), Encoding::Uniform { frac_bits: 0 })
    }

    /// For each element in row-major order, its index in the tensor.
    pub fn row_major(&self) -> Vec<usize> {
        self.geometry().row_major()
    }
}

/// `y_f = scale_f · x_f + offset_f`, for every feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// One factor per feature.
    pub scale: Vec<f64>,
    /// One summand per feature.
    pub offset: Vec<f64>,
}

impl Affine {
    /// Whether every feature is treated alike (an image scaled by one constant, say).
    pub fn is_uniform(&self) -> bool {
        let same = |v: &[f64]| v.windows(2).all(|w| w[0] == w[1]);
        same(&self.scale) && same(&self.offset)
    }

    /// Whether it does nothing.
    pub fn is_identity(&self) -> bool {
        self.scale.iter().all(|&s| s == 1.0) && self.offset.iter().all(|&o| o == 0.0)
    }
}

/// A tensor and the linear map that is applied to it.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTerm {
    /// Index of the tensor read.
    pub input: usize,
    /// The map's geometry. The integers of [`Kernel::Taps`] are not known yet, and left empty.
    pub map: Map,
    /// Learned weights `[group][input channel][tap][output]`, or one factor for each tap; a gate's
    /// factor is 1, and not stored.
    pub values: Vec<f32>,
}

impl FloatTerm {
    /// Every element of a tensor, times 1.
    pub fn identity(input: usize, features: usize, extent: [u32; AXES]) -> Self {
        Self {
            input,
            map: Map {
                groups: features as u32,
                inputs: 1,
                kernel: Kernel::Taps(Vec::new()),
                ..Map::dense(1, 1, extent)
            },
            values: vec![1.0],
        }
    }

    /// A dense layer: `W[k][j]` at `k * outputs + j`.
    pub fn dense(
        input: usize,
        inputs: usize,
        outputs: usize,
        extent: [u32; AXES],
        values: Vec<f32>,
    ) -> Self {
        Self {
            input,
            map: Map::dense(inputs as u32, outputs as u32, extent),
            values,
        }
    }

    /// Whether every output reads one element of one channel, and multiplies it with a constant.
    pub fn is_simple(&self) -> bool {
        let map = &self.map;
        map.inputs == 1
            && map.outputs == 1
            && map.taps() == 1
            && !map.merged.contains(&true)
            && !matches!(map.kernel, Kernel::Gate(_))
    }

    /// Whether it copies a whole tensor of these extents.
    pub fn is_identity(&self, features: usize, extent: [u32; AXES]) -> bool {
        self.is_simple()
            && matches!(self.map.kernel, Kernel::Taps(_))
            && self.values == [1.0]
            && self.map.first_input == 0
            && self.map.first_output == 0
            && self.map.groups as usize == features
            && self.map.axes == extent.map(AxisMap::identity)
    }

    /// Features it writes.
    pub fn outputs(&self) -> std::ops::Range<usize> {
        let first = self.map.first_output as usize;
        first..first + (self.map.groups * self.map.outputs) as usize
    }

    /// The tensor whose channels it multiplies with, if there is one.
    pub fn gate(&self) -> Option<usize> {
        match self.map.kernel {
            Kernel::Gate(id) => Some(id.index()),
            Kernel::Weights | Kernel::Taps(_) => None,
        }
    }
}

/// One layer: `activation(Σ map(scaler(x)) + bias)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// Name of the first ONNX node folded into the layer.
    pub name: String,
    /// The operators folded into it, such as `Gemm+Relu`.
    pub ops: String,
    /// What is added up.
    pub terms: Vec<FloatTerm>,
    /// One for each output feature.
    pub bias: Vec<f32>,
    /// Index of the tensor written.
    pub output: usize,
    /// Feature scaling of a graph input that one dense term reads, kept apart because it tells how
    /// large raw features are.
    pub scaler: Option<Affine>,
    /// Whether terms are added up, or the largest element they read is taken.
    pub combine: Combine,
    /// Applied to every element of the result.
    pub activation: Function,
    /// Whether integers must come out as they went in: the layer compares elements of a maximum.
    pub is_exact: bool,
}

impl FloatLayer {
    /// A dense layer of one term.
    pub fn dense(
        name: &str,
        term: FloatTerm,
        bias: Vec<f32>,
        output: usize,
        activation: Function,
    ) -> Self {
        Self {
            name: name.to_owned(),
            ops: "Gemm".to_owned(),
            terms: vec![term],
            bias,
            output,
            scaler: None,
            combine: Combine::Sum,
            activation,
            is_exact: false,
        }
    }

    /// All tensors it reads, gates among them.
    pub fn reads(&self) -> impl Iterator<Item = usize> + '_ {
        let term = |t: &FloatTerm| [Some(t.input), t.gate()];
        self.terms.iter().flat_map(term).flatten()
    }
}

/// A node of the ONNX file, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedNode {
    /// The node's name, or that of its first output.
    pub name: String,
    /// Its operator.
    pub op: String,
}

/// A model as layers of linear maps with activations.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatGraph {
    /// Inputs first, then every layer's output.
    pub tensors: Vec<FloatTensor>,
    /// How many of the tensors are inputs.
    pub inputs: usize,
    /// Layers in order; layer `i` writes tensor `inputs + i`.
    pub layers: Vec<FloatLayer>,
    /// The tensors that are outputs, in the file's order.
    pub outputs: Vec<usize>,
    /// The nodes the graph was made of, in the order they were read.
    pub nodes: Vec<ImportedNode>,
    /// The same model, its maxima differences of their own and not in the rows of what is compared. Which costs
    /// less is known when it is laid out.
    pub apart: Option<Box<FloatGraph>>,
}

impl FloatGraph {
    /// The graph's inputs.
    pub fn input_tensors(&self) -> &[FloatTensor] {
        &self.tensors[..self.inputs]
    }

    /// The scaling of an input's features, if a layer keeps one.
    pub fn scaler(&self, input: usize) -> Option<&Affine> {
        let reads = |layer: &&FloatLayer| layer.terms.iter().any(|t| t.input == input);
        self.layers
            .iter()
            .filter(reads)
            .find_map(|layer| layer.scaler.as_ref())
    }
}
