//! Random networks of every kind of map.

use air::graph::{
    Activation, Axis, AxisMap, Combine, Dim, Encoding, Function, Graph, Kernel, Layer,
    LayerWeights, Map, Model, Param, Range, Requant, Tensor, TensorId, Term,
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

    /// A run of channels, times a constant.
    pub fn channels(&self, id: TensorId, first: u32, count: u32, factor: i32) -> Term {
        let mut term = self.scale(id, factor);
        (term.map.first_input, term.map.groups) = (first, count);
        term
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
        let activation = Activation {
            function,
            in_frac_bits: 4,
            out_frac_bits: 4,
            domain,
            image,
        };
        self.push(features, extent, terms, weights, activation, shift)
    }

    /// Adds a layer without shift or biases, all weights of which are `weight`.
    pub fn exact(
        &mut self,
        features: u32,
        terms: Vec<(Term, i16)>,
        activation: Activation,
    ) -> TensorId {
        let extent = self.tensor(terms[0].0.input).extent;
        self.exact_at(features, extent, terms, activation)
    }

    /// The same, of this extent.
    pub fn exact_at(
        &mut self,
        features: u32,
        extent: [u32; 3],
        terms: Vec<(Term, i16)>,
        activation: Activation,
    ) -> TensorId {
        let weights = LayerWeights {
            terms: (terms.iter())
                .map(|(t, weight)| vec![*weight; t.map.weights() as usize])
                .collect(),
            bias: vec![0; features as usize],
        };
        let terms = terms.into_iter().map(|(term, _)| term).collect();
        self.push(features, extent, terms, weights, activation, 0)
    }

    /// Adds a layer, a maximum if it has no biases. Its excess is as large as its accumulators ask for.
    fn push(
        &mut self,
        features: u32,
        extent: [u32; 3],
        terms: Vec<Term>,
        weights: LayerWeights,
        activation: Activation,
        shift: u8,
    ) -> TensorId {
        let output = TensorId(self.tensors.len() as u32);
        let name = format!("layer{}", self.layers.len());
        let mut tensor = tensor(name.clone(), features, extent, activation.image);
        tensor.encoding = Encoding::Uniform {
            frac_bits: activation.out_frac_bits,
        };
        self.tensors.push(tensor);
        let combine = match weights.bias.is_empty() {
            true => Combine::Max,
            false => Combine::Sum,
        };
        let mut layer = Layer {
            name,
            terms,
            combine,
            output,
            requant: Requant {
                shift,
                excess_bits: 0,
                activation,
            },
        };
        let graph = Graph {
            tensors: self.tensors.clone(),
            layers: vec![],
            inputs: vec![],
            outputs: vec![],
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
                outputs,
            },
            weights: self.weights,
        };
        model.validate(MODULUS).expect("the test model is sound");
        model
    }
}

/// An axis with a kernel, on which as many positions are written as are read, or every `stride`-th.
fn kernel(size: u32, taps: u32, stride: u32) -> AxisMap {
    AxisMap {
        taps,
        stride,
        pad: (taps / 2) as i32,
        ..AxisMap::identity(size)
    }
}

impl Net {
    /// A 3 × 3 convolution with a border of one pixel.
    pub fn conv3x3(
        &self,
        id: TensorId,
        groups: u32,
        outputs: u32,
        stride: u32,
    ) -> (Term, [u32; 3]) {
        let [depth, height, width] = self.tensor(id).extent;
        let axes = [
            AxisMap::identity(depth),
            kernel(height, 3, stride),
            kernel(width, 3, stride),
        ];
        let extent = [depth, height.div_ceil(stride), width.div_ceil(stride)];
        (self.conv(id, groups, outputs / groups, axes), extent)
    }

    /// Every second position of an axis, the first of them at `offset`, times a constant.
    pub fn every_second(&self, id: TensorId, axis: usize, offset: i32, factor: i32) -> Term {
        let mut term = self.scale(id, factor);
        term.map.axes[axis].stride = 2;
        term.map.axes[axis].pad = -offset;
        term
    }

    /// The larger of each pair of neighbours on an axis: `max(a, b) = b + relu(a − b)`.
    pub fn pool_pairs(&mut self, id: TensorId, axis: usize) -> TensorId {
        let (features, mut extent) = (self.tensor(id).features, self.tensor(id).extent);
        extent[axis] /= 2;
        let pair = [(0, 1), (1, -1)].map(|(o, f)| self.every_second(id, axis, o, f));
        let above = self.plain(features, extent, pair.to_vec(), Function::Relu, 0);
        let terms = vec![self.scale(above, 1), self.every_second(id, axis, 1, 1)];
        self.plain(features, extent, terms, Function::Relu, 0)
    }

    /// The largest element that whole windows of the terms have.
    pub fn maximum(&mut self, extent: [u32; 3], terms: Vec<Term>) -> TensorId {
        let x = self.tensor(terms[0].input).clone();
        let weights = LayerWeights {
            terms: vec![vec![]; terms.len()],
            bias: vec![],
        };
        let activation = Activation::identity(x.range, x.encoding.frac_bits(0));
        self.push(x.features, extent, terms, weights, activation, 0)
    }

    /// Windows of so many lines and columns, as far apart.
    pub fn windows(&self, id: TensorId, sizes: [u32; 2]) -> (Term, [u32; 3]) {
        let mut term = self.scale(id, 1);
        let mut extent = self.tensor(id).extent;
        for (axis, size) in [(1, sizes[0]), (2, sizes[1])] {
            (term.map.axes[axis].taps, term.map.axes[axis].stride) = (size, size);
            extent[axis] /= size;
        }
        term.map.kernel = Kernel::Taps(vec![1; term.map.taps()]);
        (term, extent)
    }

    /// A maximum over windows that do not overlap.
    pub fn pool(&mut self, id: TensorId, sizes: [u32; 2]) -> TensorId {
        let (term, extent) = self.windows(id, sizes);
        self.maximum(extent, vec![term])
    }

    /// Elements 2q − 1, 2q and 2q + 1 of an axis, the first of them copied: a maximum of three with stride 2.
    pub fn pool_three(&mut self, id: TensorId, axis: usize) -> TensorId {
        let mut sizes = [1, 1];
        sizes[axis - 1] = 2;
        let (pair, extent) = self.windows(id, sizes);
        let x = self.tensor(id).clone();
        let before = self.every_second(id, axis, -1, 1);
        let identity = Activation::identity(x.range, x.encoding.frac_bits(0));
        let copy = self.exact_at(x.features, extent, vec![(before, 0)], identity);
        self.maximum(extent, vec![pair, self.scale(copy, 1)])
    }

    /// A layer without biases.
    pub fn plain(
        &mut self,
        features: u32,
        extent: [u32; 3],
        terms: Vec<Term>,
        function: Function,
        shift: u8,
    ) -> TensorId {
        let id = self.layer(features, extent, terms, function, shift);
        if let Some(weights) = self.weights.last_mut() {
            weights.bias.fill(0);
        }
        id
    }
}

/// A network of one convolution with a border, strided or not, depthwise or not.
pub fn convolution(stride: u32, groups: u32) -> Model {
    let mut net = Net::new(5, 2, [1, 6, 5]);
    let (term, extent) = net.conv3x3(net.input(), groups, 2, stride);
    let _ = net.layer(2, extent, vec![term], Function::Identity, 5);
    net.finish()
}

/// A maximum over windows of 2 × 2, on two channels.
pub fn max_pool() -> Model {
    let mut net = Net::new(6, 2, [1, 4, 6]);
    let x = net.input();
    let shape = net.tensor(x).clone();
    let positive = net.plain(2, shape.extent, vec![net.scale(x, 1)], Function::Relu, 0);
    let rows = net.pool_pairs(positive, 1);
    let _ = net.pool_pairs(rows, 2);
    net.finish()
}

/// Maxima of windows within rows: of 2 × 2, and of 3 × 3 with stride 2, of tensors that others read too. Lines are
/// of odd length, and a maximum is read as an image, flattened, and shown.
pub fn windows() -> Model {
    let mut net = Net::new(12, 2, [1, 5, 7]);
    let x = net.input();
    let (term, extent) = net.conv3x3(x, 1, 2, 1);
    let y = net.layer(2, extent, vec![term], Function::Relu, 5);
    let halves = net.pool(y, [2, 2]);
    let (term, extent) = net.conv3x3(halves, 1, 2, 1);
    let _ = net.layer(2, extent, vec![term], Function::Identity, 5);
    let (term, _) = net.conv3x3(y, 2, 2, 1);
    let even = Term {
        map: Map {
            axes: [AxisMap::identity(1), kernel(5, 2, 1), kernel(7, 2, 1)],
            ..term.map
        },
        ..term
    };
    let z = net.layer(2, [1, 4, 6], vec![even], Function::Relu, 5);
    let lines = net.pool_three(z, 2);
    let thirds = net.pool_three(lines, 1);
    let _ = net.layer(3, [1; 3], vec![net.flat(thirds, 3)], Function::Identity, 6);
    let sum = vec![net.scale(z, 1), net.scale(z, 2)];
    let _ = net.layer(2, [1, 4, 6], sum, Function::Identity, 3);
    // Of the input itself, which is ranged.
    let _ = net.pool(x, [1, 3]);
    let mut model = net.finish();
    model.graph.outputs.push(halves);
    model
        .validate(MODULUS)
        .expect("a maximum may be read and shown");
    model
}

/// A mean over all positions, and one over windows of 2 × 2.
pub fn averages() -> Model {
    let mut net = Net::new(7, 3, [1, 4, 4]);
    let x = net.input();
    let mut all = net.scale(x, 1);
    for axis in &mut all.map.axes {
        axis.expand = 0;
    }
    let _ = net.plain(3, [1; 3], vec![all], Function::Identity, 4);
    let mut windows = net.scale(x, 1);
    for axis in &mut windows.map.axes[1..] {
        // j = 2q + δ.
        (axis.taps, axis.stride) = (2, 2);
    }
    windows.map.kernel = Kernel::Taps(vec![1; 4]);
    let _ = net.plain(3, [1, 2, 2], vec![windows], Function::Identity, 2);
    net.finish()
}

/// `relu(conv(x) + 3·x)`.
pub fn residual() -> Model {
    let mut net = Net::new(8, 2, [1, 4, 5]);
    let x = net.input();
    let (term, extent) = net.conv3x3(x, 1, 2, 1);
    let branch = net.layer(2, extent, vec![term], Function::Relu, 5);
    let terms = vec![net.scale(branch, 1), net.scale(x, 3)];
    let _ = net.plain(2, extent, terms, Function::Relu, 1);
    net.finish()
}

/// Channels times their own sums.
pub fn gate() -> Model {
    let mut net = Net::new(9, 3, [1, 3, 4]);
    let x = net.input();
    let mut sum = net.scale(x, 1);
    for axis in &mut sum.map.axes {
        axis.expand = 0;
    }
    let sums = net.plain(3, [1; 3], vec![sum], Function::Identity, 2);
    let _ = net.plain(3, [1, 3, 4], vec![net.gate(x, sums)], Function::Identity, 4);
    net.finish()
}

/// The largest of some channels, halves compared with each other.
fn max_of_channels(net: &mut Net, id: TensorId) -> TensorId {
    let features = net.tensor(id).features;
    let frac = net.tensor(id).encoding.frac_bits(0);
    if features == 1 {
        return id;
    }
    let half = features / 2;
    let low = |net: &Net, factor| net.channels(id, 0, half, factor);
    let range = Range::signed(7);
    let relu = Activation {
        function: Function::Relu,
        ..Activation::identity(Range::unsigned(7), frac)
    };
    let rise = vec![(net.channels(id, half, half, 1), 0), (low(net, -1), 0)];
    let rise = net.exact(half, rise, relu);
    let sum = vec![(low(net, 1), 0), (net.scale(rise, 1), 0)];
    let max = net.exact(half, sum, Activation::identity(range, frac));
    max_of_channels(net, max)
}

/// Softmax and ArgMax of four scores at three positions, as an importer makes them of tables and sums.
pub fn softmax() -> Model {
    let table = |function, in_frac_bits, out_frac_bits, domain: (i32, i32), hi| Activation {
        function,
        in_frac_bits,
        out_frac_bits,
        domain: Range {
            lo: domain.0,
            hi: domain.1,
        },
        image: Range { lo: 0, hi },
    };
    let mut net = Net::new(11, 4, [1, 1, 3]);
    let x = net.input();
    let max = max_of_channels(&mut net, x);
    let everywhere = |net: &Net, id: TensorId| Term {
        input: id,
        map: Map::dense(1, 4, net.tensor(id).extent),
    };
    let below = vec![(net.scale(x, 1), 0), (everywhere(&net, max), -1)];
    let exp = table(Function::Exp, 4, 5, (-64, 0), 32);
    let exps = net.exact(4, below.clone(), exp);
    let all = Map::dense(4, 1, net.tensor(exps).extent);
    let all = Term {
        input: exps,
        map: all,
    };
    let one = Param::new(1.0);
    let log = table(Function::Log { lo: one }, 5, 4, (32, 128), 23);
    let log = net.exact(1, vec![(all, 1)], log);
    let mut rest = below.clone();
    rest.push((everywhere(&net, log), -1));
    let _ = net.exact(4, rest, exp);
    let step = net.exact(4, below, table(Function::Step, 4, 0, (-1, 0), 1));
    let mut keys = net.scale(step, 1);
    keys.map.kernel = Kernel::Weights;
    let counts = Activation::identity(Range::unsigned(7), 0);
    let keys = net.exact(4, vec![(keys, 1)], counts);
    if let Some(weights) = net.weights.last_mut() {
        weights.terms[0] = vec![4, 3, 2, 1];
    }
    let max = max_of_channels(&mut net, keys);
    let index = vec![(net.scale(max, -1), 0)];
    let _ = net.exact(1, index, counts);
    if let Some(weights) = net.weights.last_mut() {
        weights.bias.fill(4);
    }
    net.finish()
}

/// A little of everything: two strides, a gate, a residual sum, and a tensor that is read by a layer
/// and is an output as well.
pub fn small() -> Model {
    let mut net = Net::new(10, 2, [1, 4, 5]);
    let x = net.input();
    let (term, extent) = net.conv3x3(x, 1, 2, 1);
    let y = net.layer(2, extent, vec![term, net.scale(x, 7)], Function::Relu, 5);
    let (term, extent) = net.conv3x3(y, 2, 2, 2);
    let strided = net.layer(2, extent, vec![term], Function::Identity, 5);
    let squeezed = net.layer(2, [1; 3], vec![net.flat(strided, 2)], Function::Relu, 6);
    let shape = net.tensor(y).extent;
    let gated = net.layer(2, shape, vec![net.gate(y, squeezed)], Function::Identity, 5);
    let _ = net.layer(3, [1; 3], vec![net.flat(gated, 3)], Function::Identity, 6);
    let mut model = net.finish();
    model.graph.outputs.push(strided);
    model
        .validate(MODULUS)
        .expect("a tensor may be read and shown");
    model
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
    random_windows(&mut net, sum);
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

/// Maxima in the rows of a tensor that has other readers: windows of any size, perhaps an overlap, perhaps one
/// maximum of another.
fn random_windows(net: &mut Net, id: TensorId) {
    let sizes = [1, 2].map(|a| {
        let most = net.tensor(id).extent[a].min(3) as i32;
        net.rng.within(1, most) as u32
    });
    let overlaps = (1..3).find(|&a| net.tensor(id).extent[a] >= 2);
    let max = match overlaps {
        Some(axis) if net.rng.within(0, 2) == 0 => net.pool_three(id, axis),
        _ => net.pool(id, sizes),
    };
    let has_room = sizes[0] * sizes[1] <= 8 && net.tensor(max).extent[2] >= 2;
    let more = net.rng.within(0, 2) == 0 && has_room;
    let last = if more { net.pool(max, [1, 2]) } else { max };
    let shape = net.tensor(last).clone();
    let term = match net.rng.within(0, 2) {
        0 => net.flat(last, 2),
        1 => net.conv3x3(last, 1, 2, 1).0,
        _ => net.scale(last, 2),
    };
    let (features, extent) = match term.map.merged[0] {
        true => (2, [1; 3]),
        false if term.map.taps() > 1 => (2, shape.extent),
        false => (shape.features, shape.extent),
    };
    let _ = net.layer(features, extent, vec![term], Function::Identity, 5);
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
