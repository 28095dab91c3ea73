//! Small models, witnesses and a checker that can overlook one thing.
#![allow(dead_code, reason = "each test binary uses some of these")]

pub mod checker;

use air::builder::{Challenges, Drawn};
use air::chips::Chip;
use air::chips::activation::ActivationAir;
use air::chips::overhang::OverhangAir;
use air::chips::weights::WeightsAir;
use air::debug::{self, Failure, TableTraces};
use air::graph::{
    Activation, Axis, Combine, Dim, Encoding, Evaluation, Graph, Kernel, Layer, LayerWeights, Map,
    Model, Range, Requant, Tensor, TensorId, Term,
};
use air::layout::{FunctionList, Layout, Table, TermIds};
use air::statement::{Disclosed, Policy, Statement};
use air::witness::{SetupTraces, generate_main, generate_projection};
use p3_baby_bear::BabyBear;
use p3_field::PrimeCharacteristicRing;
use p3_field::extension::BinomialExtensionField;
use p3_matrix::dense::RowMajorMatrix;

pub type F = BabyBear;
pub type EF = BinomialExtensionField<BabyBear, 5>;

/// The order of BabyBear.
pub const MODULUS: u64 = 2_013_265_921;

/// A batch of vectors: its positions lie along the width.
pub fn tensor(features: u32, positions: u32, range: Range) -> Tensor {
    let dim = |axis, size| Dim { axis, size };
    Tensor {
        name: String::new(),
        shape: vec![positions, features],
        dims: vec![dim(Axis::Width, positions), dim(Axis::Feature, features)],
        features,
        extent: [1, 1, positions],
        range,
        encoding: Encoding::Uniform { frac_bits: 0 },
    }
}

/// A chain of layers; nothing is validated.
pub fn chain(
    positions: u32,
    input: Range,
    widths: &[u32],
    requants: &[Requant],
    weights: Vec<LayerWeights>,
) -> Model {
    let mut tensors = vec![tensor(widths[0], positions, input)];
    let mut layers = Vec::new();
    for (i, requant) in requants.iter().enumerate() {
        let mut output = tensor(widths[i + 1], positions, requant.activation.image);
        output.encoding = Encoding::Uniform {
            frac_bits: requant.activation.out_frac_bits,
        };
        tensors.push(output);
        layers.push(Layer {
            name: String::new(),
            terms: vec![Term {
                input: TensorId(i as u32),
                map: Map::dense(widths[i], widths[i + 1], [1, 1, positions]),
            }],
            combine: Combine::Sum,
            output: TensorId(i as u32 + 1),
            requant: requant.clone(),
        });
    }
    Model {
        graph: Graph {
            tensors,
            outputs: vec![TensorId(layers.len() as u32)],
            layers,
            inputs: vec![TensorId(0)],
        },
        weights,
    }
}

/// `y = clamp(⌈x·2^0 + bias⌋ / 2^shift)`: one input, one output, weight `w`.
pub fn scalar(input: Range, w: i16, bias: i32, requant: &Requant) -> Model {
    let weights = LayerWeights::dense(vec![w], vec![bias]);
    chain(
        1,
        input,
        &[1, 1],
        core::slice::from_ref(requant),
        vec![weights],
    )
}

pub fn identity(shift: u8, excess_bits: u8, domain: Range) -> Requant {
    Requant {
        shift,
        excess_bits,
        activation: Activation::identity(domain, 0),
    }
}

/// Traces of a witness, before or after somebody bent them.
#[derive(Clone)]
pub struct Witness {
    pub layout: Layout,
    pub setup: SetupTraces<F>,
    pub challenges: Challenges<EF>,
    pub main: Vec<Option<RowMajorMatrix<F>>>,
    pub projection: Vec<Option<Vec<EF>>>,
    pub statement: Statement,
    pub graph: Graph,
}

pub fn sigma() -> EF {
    EF::from_u32(1_234_567_891)
}

pub fn rho() -> EF {
    // Not in the base field.
    sigma() + <EF as p3_field::BasedVectorSpace<F>>::ith_basis_element(1).expect("degree 5")
}

/// The projection challenges of all witnesses here.
pub fn drawn() -> Drawn<EF> {
    let height = rho() * sigma() + EF::ONE;
    Drawn {
        rho: rho(),
        sigma: [height * rho() + EF::TWO, height, sigma()],
    }
}

impl Witness {
    /// The witness of an evaluation, true or not. The graph is not validated.
    pub fn new(model: &Model, evaluation: &Evaluation) -> Self {
        let layout = Layout::new(&model.graph, None, MODULUS).expect("a layout");
        Self::laid_out(layout, model, evaluation)
    }

    /// The same in a layout that the cost model need not have chosen.
    pub fn laid_out(layout: Layout, model: &Model, evaluation: &Evaluation) -> Self {
        let setup = SetupTraces::generate(&layout, model);
        let alpha = rho() * rho() + EF::TWO;
        let statement =
            Statement::of::<F>(&model.graph, evaluation, &Policy::PUBLIC).expect("it can be shown");
        let receivers = statement.receivers(&model.graph);
        let challenges = Challenges::projection(drawn(), layout.power_counts(), receivers)
            .with_lookup(alpha, alpha * sigma());
        let main = generate_main(&layout, model, evaluation, &[]);
        let projection = generate_projection(&layout, &setup.weight, &main, &challenges);
        Self {
            statement,
            graph: model.graph.clone(),
            layout,
            setup,
            challenges,
            main,
            projection,
        }
    }

    /// Writes other values of the range into lanes that have no element, wherever rows are a tensor's.
    pub fn fill_idle_lanes(&mut self) {
        for (table, main) in self.layout.tables.iter().zip(&mut self.main) {
            let (Chip::Activation(air), Some(main)) = (&table.chip, main) else {
                continue;
            };
            for block in &air.blocks {
                let per_channel = block.grid.rows().len();
                for r in 0..block.grid.height() {
                    let elements = block.elements(r / per_channel, r % per_channel);
                    let used: Vec<usize> = elements.map(|(_, lane, _)| lane).collect();
                    let row = &mut main.values[(block.start + r) * main.width..][..main.width];
                    let lanes = row.chunks_exact_mut(air.lane_width()).enumerate();
                    for (_, cells) in lanes.filter(|(lane, _)| !used.contains(lane)) {
                        // `q` and `out` are `lo + rem` in a ranged input, and anything in other rows.
                        cells[0] += F::ONE;
                        cells[1] += F::ONE;
                        cells[air.lane_width() - air.limbs.rem - air.limbs.excess] += F::ONE;
                    }
                }
            }
        }
        self.project();
    }

    /// Recomputes the projection columns from the main columns.
    pub fn project(&mut self) {
        self.projection = generate_projection(
            &self.layout,
            &self.setup.weight,
            &self.main,
            &self.challenges,
        );
    }

    pub fn claims(&self) -> Vec<air::statement::VerifierClaim<EF>> {
        self.statement
            .claims::<F, EF>(&self.graph, self.challenges.sigma(), self.challenges.rho())
    }

    /// What the product's own checker says.
    pub fn check(&self) -> Vec<Failure> {
        let traces: Vec<_> = (0..self.layout.tables.len())
            .map(|i| TableTraces {
                fixed: &self.setup.fixed[i],
                weight: self.setup.weight[i].as_ref(),
                main: self.main[i].as_ref(),
                projection: self.projection[i].as_deref(),
            })
            .collect();
        debug::check(&self.layout, &traces, &self.challenges, &self.claims(), 8)
    }
}

/// A model's tables with other numbers of lanes for tensors, weights and overhangs.
pub fn layout_with_lanes(graph: &Graph, lanes: [usize; 3]) -> Layout {
    let mut layout = Layout::new(graph, None, MODULUS).expect("a layout");
    let ids = TermIds::new(graph);
    let functions = FunctionList::new(graph, ids.groups());
    for table in &mut layout.tables {
        let chip = match &table.chip {
            Chip::Activation(air) => {
                let tensors: Vec<usize> = air.blocks.iter().map(|b| b.tensor).collect();
                let [lanes, ..] = lanes;
                let air = ActivationAir::new(graph, &ids, &tensors, lanes, air.limbs, &functions);
                Chip::Activation(air)
            }
            Chip::Weights(_) => Chip::Weights(WeightsAir::new(graph, &ids, lanes[1])),
            Chip::Overhang(_) => {
                let air = OverhangAir::new(graph, &ids, lanes[2]);
                Chip::Overhang(air.expect("there is one with other lanes"))
            }
            other => other.clone(),
        };
        *table = Table::new(chip, None);
    }
    layout
}

/// The values of a tensor that is shown.
pub fn shown(disclosed: &mut Disclosed) -> &mut Vec<i32> {
    disclosed.values.as_mut().expect("the statement shows it")
}

/// Two layers on two batch items, with remainders and saturation.
pub fn two_layers() -> Model {
    let weights = |inputs: u32, outputs: u32| {
        let values = (0..inputs * outputs).map(|i| (i * 7 % 19) as i16 - 9);
        let bias = (0..outputs).map(|j| 40 * j as i32 - 100);
        LayerWeights::dense(values.collect(), bias.collect())
    };
    let layers = vec![weights(5, 6), weights(6, 4)];
    let requants = [
        identity(4, 6, Range::signed(7)),
        identity(5, 7, Range::signed(7)),
    ];
    chain(2, Range::signed(6), &[5, 6, 4], &requants, layers)
}

/// A model of these tensors, inputs and layers; the last tensor is the output. Nothing is validated.
fn model(tensors: Vec<Tensor>, layers: Vec<Layer>, weights: Vec<LayerWeights>) -> Model {
    let outputs = vec![TensorId(tensors.len() as u32 - 1)];
    Model {
        graph: Graph {
            tensors,
            inputs: vec![TensorId(0)],
            outputs,
            layers,
        },
        weights,
    }
}

/// A convolution along a line: two channels of five pixels in, two out, three taps, a border of one.
pub fn line(input: Range, requant: Requant) -> Model {
    let mut map = Map::dense(2, 2, [1, 1, 5]);
    map.axes[2].taps = 3;
    map.axes[2].pad = 1;
    let tensors = vec![tensor(2, 5, input), tensor(2, 5, requant.activation.image)];
    let layer = Layer {
        name: String::new(),
        terms: vec![Term {
            input: TensorId(0),
            map,
        }],
        combine: Combine::Sum,
        output: TensorId(1),
        requant,
    };
    let weights = LayerWeights::dense(
        vec![3, -1, 4, 1, -5, 9, 2, -6, 5, 3, -5, 8],
        vec![100, -200],
    );
    model(tensors, vec![layer], vec![weights])
}

/// Three channels of four pixels, each times its sum, which is a tensor of its own.
pub fn gated() -> Model {
    let (pixels, sums) = (Range::signed(4), Range::signed(6));
    let tensors = vec![
        tensor(3, 4, pixels),
        tensor(3, 1, sums),
        tensor(3, 4, Range::signed(7)),
    ];
    let mut sum = Map::scale(&tensors[0], 1);
    sum.axes[2].expand = 0;
    let mut gate = Map::scale(&tensors[0], 1);
    gate.kernel = Kernel::Gate(TensorId(1));
    let layer = |map, output, requant| Layer {
        name: String::new(),
        terms: vec![Term {
            input: TensorId(0),
            map,
        }],
        combine: Combine::Sum,
        output: TensorId(output),
        requant,
    };
    let layers = vec![
        layer(sum, 1, identity(0, 0, sums)),
        layer(gate, 2, identity(2, 0, Range::signed(7))),
    ];
    let none = || LayerWeights::dense(vec![], vec![0; 3]);
    model(tensors, layers, vec![none(), none()])
}
