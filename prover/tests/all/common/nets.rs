//! Random networks of every kind of map.

use air::graph::{
    Activation, Axis, AxisMap, Dim, Encoding, Function, Graph, Kernel, Layer, LayerWeights, Map,
    Model, Range, Requant, Tensor, TensorId, Term,
};

use super::{MODULUS, Rng};

/// Builds a model layer by layer.
pub struct Net {
    pub rng: Rng,
    tensors: Vec<Tensor>,
    layers: Vec<Layer>,
    weights: Vec<LayerWeights>,
    inputs: usize,
}

fn tensor(name: String, features: u32, extent: [u32; 3], range: Range) -> Tensor {
    let [depth, height, width] = extent;
    let dim = |axis, size| Dim { axis, size };
    Tensor {
        name,
        shape: vec![depth, features, height, width],
        dims: vec![
            dim(Axis::Depth, depth),
            dim(Axis::Feature, features),
            dim(Axis::Height, height),
            dim(Axis::Width, width),
        ],
        features,
        extent,
        range,
        encoding: Encoding::Uniform { frac_bits: 4 },
    }
}

impl Net {
    /// A network with one input.
    pub fn new(seed: u64, features: u32, extent: [u32; 3]) -> Self {
        let input = tensor("x".into(), features, extent, Range::signed(6));
        Self {
            rng: Rng(seed),
            tensors: vec![input],
            layers: Vec::new(),
            weights: Vec::new(),
            inputs: 1,
        }
    }

    /// The input.
    pub const fn input(&self) -> TensorId {
        TensorId(0)
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// A map that leaves everything where it is, times a constant.
    pub fn scale(&self, id: TensorId, factor: i32) -> Term {
        Term {
            input: id,
            map: Map::scale(self.tensor(id), factor),
        }
    }

    /// A convolution with these axes.
    pub fn conv(&self, id: TensorId, groups: u32, outputs: u32, axes: [AxisMap; 3]) -> Term {
        Term {
            input: id,
            map: Map {
                groups,
                inputs: self.tensor(id).features / groups,
                axes,
                ..Map::dense(1, outputs, [1; 3])
            },
        }
    }

    /// A dense layer over all elements.
    pub fn flat(&self, id: TensorId, outputs: u32) -> Term {
        let x = self.tensor(id);
        let mut map = Map::dense(x.len() as u32, outputs, [1; 3]);
        map.merged = [true; 3];
        Term { input: id, map }
    }

    /// Every channel times one of a gate.
    pub fn gate(&self, id: TensorId, gate: TensorId) -> Term {
        let mut map = Map::scale(self.tensor(id), 1);
        map.kernel = Kernel::Gate(gate);
        Term { input: id, map }
    }

    /// An axis of the input of a term.
    pub fn axis(&self, id: TensorId, axis: usize) -> AxisMap {
        AxisMap::identity(self.tensor(id).extent[axis])
    }

    /// Adds a layer; weights are random.
    pub fn layer(
        &mut self,
        features: u32,
        extent: [u32; 3],
        terms: Vec<Term>,
        function: Function,
        shift: u8,
    ) -> TensorId {
        let output = TensorId(self.tensors.len() as u32);
        let (domain, image) = match function {
            Function::Relu => (Range::unsigned(7), Range::unsigned(7)),
            _ => (Range::signed(7), Range::signed(7)),
        };
        let rng = &mut self.rng;
        let weights = LayerWeights {
            terms: terms
                .iter()
                .map(|t| {
                    (0..t.map.weights())
                        .map(|_| rng.within(-30, 30) as i16)
                        .collect()
                })
                .collect(),
            bias: (0..features).map(|_| rng.within(-300, 300)).collect(),
        };
        let name = format!("layer{}", self.layers.len());
        self.tensors
            .push(tensor(name.clone(), features, extent, image));
        let mut layer = Layer {
            name,
            terms,
            output,
            requant: Requant {
                shift,
                excess_bits: 0,
                activation: Activation {
                    function,
                    in_frac_bits: 4,
                    out_frac_bits: 4,
                    domain,
                    image,
                },
            },
        };
        let graph = Graph {
            tensors: self.tensors.clone(),
            layers: vec![],
            inputs: vec![],
            outputs: vec![],
            post: vec![],
        };
        let (lo, hi) = weights.accumulator_bounds(&graph, &layer);
        while layer.requant.representable().0 > lo || layer.requant.representable().1 < hi {
            layer.requant.excess_bits += 1;
        }
        self.layers.push(layer);
        self.weights.push(weights);
        output
    }

    /// The model; tensors nobody reads are its outputs.
    pub fn finish(self) -> Model {
        let is_read = |id: usize| {
            self.layers
                .iter()
                .flat_map(|l| &l.terms)
                .any(|t| t.input.index() == id || t.map.kernel == Kernel::Gate(TensorId(id as u32)))
        };
        let outputs: Vec<TensorId> = (self.inputs..self.tensors.len())
            .filter(|&id| !is_read(id))
            .map(|id| TensorId(id as u32))
            .collect();
        let model = Model {
            graph: Graph {
                tensors: self.tensors,
                layers: self.layers,
                inputs: (0..self.inputs as u32).map(TensorId).collect(),
                post: vec![vec![]; outputs.len()],
                outputs,
            },
            weights: self.weights,
        };
        model.validate(MODULUS).expect("the test model is sound");
        model
    }
}

/// The size of an output axis that holds every product, cropped by `crop` on either side.
pub fn out_size(axis: &AxisMap, inputs: u32) -> u32 {
    (0..4096)
        .rev()
        .find(|&q| {
            (0..inputs).any(|j| (0..axis.taps).any(|t| axis.output_of(j, t, q + 1) == Some(q)))
        })
        .map_or(1, |q| q + 1)
}

/// A random axis for an input of this size.
pub fn random_axis(rng: &mut Rng, size: u32) -> AxisMap {
    let mut axis = AxisMap::identity(size);
    axis.taps = rng.within(1, 4) as u32;
    match rng.within(0, 4) {
        0 => axis.stride = rng.within(2, 3) as u32,
        1 => axis.expand = rng.within(2, 3) as u32,
        2 => axis.dilation = 2,
        _ => {}
    }
    axis.pad = rng.within(-1, 4);
    if size > 3 && rng.within(0, 3) == 0 {
        axis.from = 1;
        axis.to = size - 1;
    }
    axis
}

/// A random network: branches, strides, gates, flattening.
pub fn random(seed: u64) -> Model {
    let mut rng = Rng(seed);
    let features = rng.within(1, 4) as u32;
    let extent = [
        rng.within(1, 2) as u32,
        rng.within(1, 7) as u32,
        rng.within(1, 9) as u32,
    ];
    let mut net = Net::new(seed, features, extent);
    let x = net.input();
    let y = random_conv(&mut net, x, Function::Relu);
    let z = random_conv(&mut net, y, Function::Identity);
    // A sum of two readers of one tensor, one of them a window.
    let shape = net.tensor(y).clone();
    let mut shifted = net.scale(y, -2);
    shifted.map.axes[2].pad = 1;
    let sum = net.layer(
        shape.features,
        shape.extent,
        vec![net.scale(y, 3), shifted],
        Function::Relu,
        2,
    );
    // Squeeze, excite.
    let mut mean = net.scale(sum, 1);
    for axis in &mut mean.map.axes {
        axis.expand = 0;
    }
    let squeezed = net.layer(shape.features, [1; 3], vec![mean], Function::Identity, 3);
    let gated = net.layer(
        shape.features,
        shape.extent,
        vec![net.gate(sum, squeezed)],
        Function::Identity,
        4,
    );
    let last = net.layer(3, [1; 3], vec![net.flat(gated, 3)], Function::Identity, 5);
    let shape = net.tensor(z).clone();
    let copy = net.layer(
        shape.features,
        shape.extent,
        vec![net.scale(z, 1)],
        Function::Relu,
        0,
    );
    let _ = net.layer(
        2,
        [1; 3],
        vec![net.flat(copy, 2), net.flat(last, 2)],
        Function::Relu,
        6,
    );
    net.finish()
}

fn random_conv(net: &mut Net, id: TensorId, function: Function) -> TensorId {
    let x = net.tensor(id).clone();
    let depthwise = net.rng.within(0, 2) == 0;
    let groups = if depthwise { x.features } else { 1 };
    let outputs = net.rng.within(1, 3) as u32;
    let axes: [AxisMap; 3] = core::array::from_fn(|a| random_axis(&mut net.rng, x.extent[a]));
    let extent = core::array::from_fn(|a| {
        let full = out_size(&axes[a], x.extent[a]);
        full.saturating_sub(net.rng.within(0, 2) as u32).max(1)
    });
    let term = net.conv(id, groups, outputs, axes);
    net.layer(groups * outputs, extent, vec![term], function, 5)
}
