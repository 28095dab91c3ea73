//! # Maxima within rows
//!
//! A maximum is proven in the rows of what it is taken of. A graph with one that does not lie there, or with a
//! reader that would meet two weights in one row, is refused; if it were not, the circuit would mean something
//! else than the evaluator. And the lookup of a comparison is all that holds its result.

use crate::common::checker::{Overlook, failures};
use crate::common::{F, MODULUS, Witness, identity, shown, tensor};
use air::chips::{Air, Chip};
use air::graph::{
    Combine, Encoding, Evaluation, Graph, GraphError, Kernel, Layer, LayerWeights, Map, Model,
    ModelError, Range, Requantised, TensorId, Term, evaluate,
};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Matrix;

/// Tensors of the model, and the layers that write them.
const X: usize = 1;
const COPY: usize = 2;
const MAX: usize = 3;
const READ: usize = 5;

const VALUES: Range = Range { lo: -8, hi: 8 };

fn layer(terms: Vec<Term>, output: u32, range: Range) -> Layer {
    Layer {
        name: String::new(),
        terms,
        combine: Combine::Sum,
        output: TensorId(output),
        requant: identity(0, 0, range),
    }
}

/// On a line of six, `X` is the input, `C_q = X_(2q−1)`, `M_q = max(X_2q, X_(2q+1), C_q)`; `M` and a copy of
/// it are shown, and `X` is convolved with stride 1.
fn model() -> Model {
    let wide = tensor(2, 6, VALUES);
    let narrow = tensor(2, 3, VALUES);
    let read = |of: usize, shape, taps, stride, pad| {
        let mut map = Map::scale(shape, 1);
        (map.axes[2].taps, map.axes[2].stride, map.axes[2].pad) = (taps, stride, pad);
        map.kernel = Kernel::Taps(vec![1; taps as usize]);
        Term {
            input: TensorId(of as u32),
            map,
        }
    };
    let mut max = layer(
        vec![read(X, &wide, 2, 2, 0), read(COPY, &narrow, 1, 1, 0)],
        MAX as u32,
        VALUES,
    );
    max.combine = Combine::Max;
    let mut conv = read(X, &wide, 2, 1, 0);
    conv.map.kernel = Kernel::Weights;
    let sums = Range { lo: -64, hi: 64 };
    let layers = vec![
        layer(vec![read(0, &wide, 1, 1, 0)], X as u32, VALUES),
        layer(vec![read(X, &wide, 1, 2, 1)], COPY as u32, VALUES),
        max,
        layer(vec![read(MAX, &narrow, 1, 1, 0)], 4, VALUES),
        layer(vec![conv], READ as u32, sums),
    ];
    let tensors = vec![
        wide.clone(),
        wide,
        narrow.clone(),
        narrow.clone(),
        narrow,
        tensor(2, 6, sums),
    ];
    let none = || LayerWeights::dense(vec![], vec![0; 2]);
    let weights = vec![
        none(),
        none(),
        LayerWeights {
            terms: vec![vec![], vec![]],
            bias: vec![],
        },
        none(),
        LayerWeights::dense(vec![1, 2, 3, -1], vec![0; 2]),
    ];
    Model {
        graph: Graph {
            tensors,
            layers,
            inputs: vec![TensorId(0)],
            outputs: vec![TensorId(MAX as u32), TensorId(4), TensorId(READ as u32)],
        },
        weights,
    }
}

/// The layer that writes a tensor.
fn writes(graph: &mut Graph, tensor: usize) -> &mut Layer {
    &mut graph.layers[tensor - 1]
}

fn refuses(what: &str, change: impl Fn(&mut Graph)) {
    let mut graph = model().graph;
    change(&mut graph);
    let found = graph.validate(MODULUS);
    assert!(
        matches!(
            found,
            Err(GraphError::Maximum { .. } | GraphError::Map { .. })
        ),
        "{what}: {found:?}"
    );
}

fn pixels() -> Vec<i32> {
    vec![3, -2, 5, 8, -8, 1, 0, -1, -7, -3, 2, 2]
}

#[test]
fn accepts_windows_in_rows() {
    let model = model();
    assert_eq!(model.validate(MODULUS), Ok(()));
    let evaluation = evaluate(&model, &[pixels()]).expect("it evaluates");
    assert_eq!(evaluation.tensors[MAX], [3, 8, 8, 0, -1, 2]);
    let witness = Witness::new(&model, &evaluation);
    assert_eq!(witness.check(), []);
}

#[test]
fn refuses_windows_that_are_not_whole() {
    refuses("a border", |g| writes(g, MAX).terms[0].map.axes[2].pad = 1);
    refuses("beyond the unit", |g| {
        let map = &mut writes(g, MAX).terms[0].map;
        (map.axes[2].taps, map.kernel) = (3, Kernel::Taps(vec![1; 3]));
    });
    refuses("in the next unit", |g| {
        writes(g, MAX).terms[0].map.axes[2].pad = -1
    });
    refuses("a part of the input", |g| {
        writes(g, MAX).terms[0].map.axes[2].from = 1
    });
    refuses("other channels", |g| {
        let map = &mut writes(g, MAX).terms[0].map;
        (map.first_input, map.groups) = (1, 1);
    });
    refuses("two channels", |g| {
        let map = &mut writes(g, MAX).terms[0].map;
        (map.groups, map.inputs, map.outputs) = (1, 2, 2);
        map.kernel = Kernel::Weights;
    });
    refuses("a factor", |g| {
        writes(g, MAX).terms[0].map.kernel = Kernel::Taps(vec![1, 2]);
    });
    refuses("units of too many parts", |g| {
        for (tensor, extent) in [(0, 34), (X, 34), (COPY, 2), (MAX, 2), (4, 2), (READ, 34)] {
            g.tensors[tensor].extent[2] = extent;
            g.tensors[tensor].shape = vec![extent, 2];
            for dim in &mut g.tensors[tensor].dims {
                if dim.axis == air::graph::Axis::Width {
                    dim.size = extent;
                }
            }
        }
        for layer in &mut g.layers {
            for term in &mut layer.terms {
                let axis = &mut term.map.axes[2];
                axis.to = g.tensors[term.input.index()].extent[2];
                if axis.stride == 2 {
                    axis.stride = 17;
                }
            }
        }
    });
}

#[test]
fn refuses_maxima_of_other_tensors() {
    let narrow = Range { lo: -8, hi: 7 };
    refuses("of a narrower range", |g| {
        writes(g, MAX).requant = identity(0, 0, narrow);
        g.tensors[MAX].range = narrow;
    });
    refuses("with a shift", |g| writes(g, MAX).requant.shift = 1);
    refuses("with an excess", |g| writes(g, MAX).requant.excess_bits = 1);
    refuses("on another scale", |g| {
        for tensor in [MAX, COPY] {
            g.tensors[tensor].encoding = Encoding::Uniform { frac_bits: 3 };
            let requant = &mut writes(g, tensor).requant.activation;
            (requant.in_frac_bits, requant.out_frac_bits) = (3, 3);
        }
    });
    // The copy may be no more than the sum that it is.
    refuses("a copy that saturates", |g| {
        writes(g, COPY).requant = identity(0, 0, narrow);
        g.tensors[COPY].range = narrow;
    });
    refuses("a copy with a shift", |g| writes(g, COPY).requant.shift = 1);
    refuses("a copy with an excess", |g| {
        writes(g, COPY).requant.excess_bits = 1
    });
    refuses("a copy with a function", |g| {
        writes(g, COPY).requant.activation.function = air::graph::Function::Relu;
    });
    refuses("a copy with weights", |g| {
        writes(g, COPY).terms[0].map.kernel = Kernel::Weights;
    });
    refuses("a host that is another group's", |g| {
        // The copy has a maximum of its own.
        let mut layer = writes(g, 4).clone();
        layer.combine = Combine::Max;
        layer.terms[0].input = TensorId(COPY as u32);
        *writes(g, MAX) = Layer {
            output: TensorId(MAX as u32),
            ..layer.clone()
        };
        let mut both = model().graph.layers[MAX - 1].clone();
        both.output = TensorId(4);
        *writes(g, 4) = both;
    });
}

#[test]
fn refuses_readers_that_meet_two_weights_in_a_row() {
    refuses("a stride", |g| {
        let map = &mut writes(g, READ).terms[0].map;
        map.axes[2].stride = 2;
    });
    refuses("flattened", |g| {
        let map = &mut writes(g, READ).terms[0].map;
        map.merged[2] = true;
        map.axes[2] = air::graph::AxisMap::identity(1);
        (map.groups, map.inputs) = (1, 12);
    });
    refuses("flattened, with constants", |g| {
        let map = &mut writes(g, READ).terms[0].map;
        map.merged[2] = true;
        map.axes[2] = air::graph::AxisMap::identity(1);
        map.groups = 2;
        map.kernel = Kernel::Taps(vec![1]);
    });
}

#[test]
fn refuses_groups_that_are_too_large() {
    // Maxima of maxima, each of the one before, in four terms.
    let chain = |length: usize| {
        let mut graph = model().graph;
        for i in 0..length {
            let last = graph.tensors.len() - 1;
            let of = if i == 0 { MAX } else { last };
            let mut layer = writes(&mut graph, MAX).clone();
            layer.terms = vec![layer.terms[1].clone(); 4];
            layer
                .terms
                .iter_mut()
                .for_each(|t| t.input = TensorId(of as u32));
            layer.output = TensorId(last as u32 + 1);
            graph.layers.push(layer);
            graph.tensors.push(graph.tensors[MAX].clone());
        }
        graph.outputs.push(TensorId(graph.tensors.len() as u32 - 1));
        graph.validate(MODULUS)
    };
    // Three are members already.
    assert_eq!(chain(61), Ok(()));
    assert!(matches!(chain(62), Err(GraphError::Maximum { .. })));
}

#[test]
fn a_maximum_has_no_biases() {
    let mut model = model();
    model.weights[MAX - 1].bias = vec![0; 2];
    let found = model.validate(MODULUS);
    assert_eq!(found, Err(ModelError::Shape { layer: MAX - 1 }));
}

/// The evaluation with another first maximum, and what follows from it.
fn forged(model: &Model, by: i32) -> Evaluation {
    let mut evaluation = evaluate(model, &[pixels()]).expect("it evaluates");
    for tensor in [MAX, 4] {
        evaluation.tensors[tensor][0] += by;
        let value = evaluation.tensors[tensor][0];
        evaluation.layers[tensor - 1][0] = Requantised {
            q: value,
            excess: 0,
            rem: 0,
            out: value,
        };
    }
    evaluation
}

/// A result of a comparison that is false, all else made to fit, is refused for its lookup alone.
#[test]
fn only_the_lookup_holds_a_result() {
    let model = model();
    for by in [-2, -1, 1, 2] {
        let evaluation = forged(&model, by);
        let mut witness = Witness::new(&model, &evaluation);
        let layout = witness.layout.clone();
        let mut tables = layout.tables.iter().enumerate();
        let found = tables.find_map(|(i, t)| match &t.chip {
            Chip::Activation(air) if !air.window.comparisons.is_empty() => Some((i, air)),
            _ => None,
        });
        let (table, air) = found.expect("a table compares");
        let block = &air.blocks[0];
        assert_eq!((block.tensor, block.members.len()), (X, 3));
        // The last value of the first lane of the first row.
        let member = block.members.iter().position(|m| m.member.tensor == MAX);
        let values = &air.window.elements[member.expect("it is a member")][0];
        let column = air.value(*values.last().expect("it has values"), 0);
        let main = witness.main[table].as_mut().expect("it has main columns");
        let at = block.start * main.width() + column;
        main.values[at] += F::from_i32(by);
        witness.project();
        for (disclosed, tensor) in witness.statement.outputs.iter_mut().zip([MAX, 4, READ]) {
            shown(disclosed).clone_from(&evaluation.tensors[tensor]);
        }
        let found = failures(&witness, Overlook::Nothing);
        assert_eq!(found.len(), 1, "{found:?}");
        // What is not looked up is not counted.
        let comparison = block.comparison;
        let functions = layout
            .tables
            .iter()
            .position(|t| t.chip.name() == "functions");
        let functions = functions.expect("there are functions");
        let Chip::Lookup(lookup) = &layout.tables[functions].chip else {
            unreachable!("found by name");
        };
        let counts = witness.main[functions].as_mut().expect("it has counts");
        let entries = lookup.content.entries();
        for (entry, count) in entries.iter().zip(&mut counts.values) {
            if entry[0] == comparison as i32 {
                *count = F::ZERO;
            }
        }
        assert!(failures(&witness, Overlook::Function(comparison)).is_empty());
    }
}
