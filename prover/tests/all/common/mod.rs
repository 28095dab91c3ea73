//! Small random models, and one place that names the protocol under test.
#![allow(dead_code, reason = "each test binary uses some of these")]

pub mod attack;
pub mod attest;
pub mod nets;
pub mod rekey;

use air::graph::{
    Activation, Axis, Combine, Dim, Encoding, Function, Graph, Layer, LayerWeights, Map, Model,
    Range, Requant, Tensor, TensorId, Term,
};
use verifier::BabyBearKeccak;
use verifier::Privacy;

/// The protocol under test.
pub type P = BabyBearKeccak<5>;
/// Its prover.
pub type Prover = prover::Prover<P>;

/// The order of BabyBear.
pub const MODULUS: u64 = 2_013_265_921;

/// A small generator, so that tests are the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 32 bits (splitmix64).
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }

    /// Uniform in the interval, to within the generator's bias.
    pub fn within(&mut self, lo: i32, hi: i32) -> i32 {
        lo + (self.next() % (hi - lo + 1) as u32) as i32
    }
}

/// What a random MLP looks like.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    pub widths: &'a [u32],
    pub positions: u32,
    /// Of every tensor's range.
    pub bits: u32,
    pub shift: u8,
    pub functions: &'a [Function],
    pub weight_max: i32,
    /// Whether the input's range is one value short of a power of two, and takes a table.
    pub table_input: bool,
    pub seed: u64,
    pub privacy: Privacy,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            widths: &[12, 9, 4],
            positions: 1,
            bits: 8,
            shift: 6,
            functions: &[Function::Relu, Function::Identity],
            weight_max: 40,
            table_input: false,
            seed: 1,
            privacy: Privacy::None,
        }
    }
}

fn tensor(name: &str, features: u32, positions: u32, range: Range, frac_bits: i16) -> Tensor {
    let dim = |axis, size| Dim { axis, size };
    Tensor {
        name: name.into(),
        shape: vec![positions, features],
        dims: vec![dim(Axis::Width, positions), dim(Axis::Feature, features)],
        features,
        extent: [1, 1, positions],
        range,
        encoding: Encoding::Uniform { frac_bits },
    }
}

/// A dense layer's term.
pub fn dense(input: u32, inputs: u32, outputs: u32, positions: u32) -> Term {
    Term {
        input: TensorId(input),
        map: Map::dense(inputs, outputs, [1, 1, positions]),
    }
}

/// A random multi-layer perceptron whose worst case fits.
pub fn mlp(spec: &Spec<'_>) -> Model {
    let mut rng = Rng(spec.seed);
    let bits = spec.bits;
    let mut range = Range::signed(bits);
    range.lo += i32::from(spec.table_input);
    let mut tensors = vec![tensor("x", spec.widths[0], spec.positions, range, 6)];
    let (mut layers, mut weights) = (Vec::new(), Vec::new());
    for (i, pair) in spec.widths.windows(2).enumerate() {
        let [inputs, outputs] = [pair[0], pair[1]];
        let function = spec.functions[i % spec.functions.len()];
        let (domain, image) = match function {
            Function::Relu => (Range::unsigned(bits), Range::unsigned(bits)),
            Function::Sigmoid => (Range::signed(bits), Range::unsigned(bits)),
            _ => (Range::signed(bits), Range::signed(bits)),
        };
        let values = (0..inputs * outputs)
            .map(|_| rng.within(-spec.weight_max, spec.weight_max) as i16)
            .collect();
        let bias = (0..outputs).map(|_| rng.within(-500, 500)).collect();
        let frac = if function == Function::Sigmoid { 8 } else { 5 };
        layers.push(Layer {
            name: format!("layer{i}"),
            terms: vec![dense(i as u32, inputs, outputs, spec.positions)],
            combine: Combine::Sum,
            output: TensorId(i as u32 + 1),
            requant: Requant {
                shift: spec.shift,
                excess_bits: 0,
                activation: Activation {
                    function,
                    in_frac_bits: 5,
                    out_frac_bits: frac,
                    domain,
                    image,
                },
            },
        });
        weights.push(LayerWeights::dense(values, bias));
        tensors.push(tensor(
            &format!("h{i}"),
            outputs,
            spec.positions,
            image,
            frac,
        ));
    }
    let outputs = vec![TensorId(layers.len() as u32)];
    let mut model = Model {
        graph: Graph {
            tensors,
            layers,
            inputs: vec![TensorId(0)],
            outputs,
        },
        weights,
    };
    make_room(&mut model);
    model.validate(MODULUS).expect("the test model is sound");
    model
}

/// Gives every layer as many bits of excess as its worst case takes.
pub fn make_room(model: &mut Model) {
    for (layer, weights) in model.weights.iter().enumerate() {
        let graph = &model.graph;
        let (lo, hi) = weights.accumulator_bounds(graph, &graph.layers[layer]);
        let requant = &mut model.graph.layers[layer].requant;
        requant.excess_bits = 0;
        while requant.representable().0 > lo || requant.representable().1 < hi {
            requant.excess_bits += 1;
        }
    }
}

/// Random inputs of a model.
pub fn input(model: &Model, seed: u64) -> Vec<Vec<i32>> {
    let mut rng = Rng(seed);
    let mut random = |tensor: &Tensor| {
        let range = tensor.range;
        (0..tensor.len())
            .map(|_| rng.within(range.lo, range.hi))
            .collect()
    };
    let graph = &model.graph;
    let tensors = graph.inputs.iter().map(|id| &graph.tensors[id.index()]);
    tensors.map(&mut random).collect()
}

/// One layer of one output on inputs of four bits, with every number chosen by the caller:
/// `acc = bias + values·x`, nothing checked beyond [`Model::validate`].
pub fn affine(values: &[i16], bias: i32, requant: Requant) -> Model {
    let inputs = values.len() as u32;
    let image = requant.activation.image;
    let frac = requant.activation.out_frac_bits;
    let model = Model {
        graph: Graph {
            tensors: vec![
                tensor("x", inputs, 1, Range::signed(4), 0),
                tensor("y", 1, 1, image, frac),
            ],
            layers: vec![Layer {
                name: "affine".into(),
                terms: vec![dense(0, inputs, 1, 1)],
                combine: Combine::Sum,
                output: TensorId(1),
                requant,
            }],
            inputs: vec![TensorId(0)],
            outputs: vec![TensorId(1)],
        },
        weights: vec![LayerWeights::dense(values.to_vec(), vec![bias])],
    };
    model.validate(MODULUS).expect("the test model is sound");
    model
}
