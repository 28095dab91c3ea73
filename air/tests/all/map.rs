//! # Maps against the relation that defines them
//!
//! A map says which input indices, taps and output indices belong together: `stride·q = expand·j −
//! dilation·δ + pad` on every axis. Here every triple is tried, with no thought of speed. If this failed,
//! convolutions and all else that is lowered to maps would mean something else than documented.

use crate::common::{MODULUS, Witness, identity, layout_with_lanes, tensor};
use air::bus::Bus;
use air::debug::Failure;
use air::graph::{
    AXES, Axis, AxisMap, Combine, Dim, Graph, Kernel, Layer, LayerWeights, Map, Model, Range,
    Tensor, TensorId, Term, evaluate,
};
use proptest::prelude::*;

/// A tensor with any extent.
fn volume(features: u32, extent: [u32; AXES], range: Range) -> Tensor {
    let axes = Axis::POSITION.into_iter().zip(extent);
    let dims = axes.map(|(axis, size)| Dim { axis, size });
    let feature = Dim {
        axis: Axis::Feature,
        size: features,
    };
    let dims: Vec<Dim> = core::iter::once(feature).chain(dims).collect();
    Tensor {
        shape: dims.iter().map(|d| d.size).collect(),
        dims,
        extent,
        ..tensor(features, 1, range)
    }
}

/// Index of an element.
fn at(tensor: &Tensor, feature: u32, [z, y, x]: [u32; AXES]) -> usize {
    let [depth, height, width] = tensor.extent;
    (((feature * depth + z) * height + y) * width + x) as usize
}

/// All indices below an extent.
fn indices([d, h, w]: [u32; AXES]) -> impl Iterator<Item = [u32; AXES]> {
    (0..d).flat_map(move |z| (0..h).flat_map(move |y| (0..w).map(move |x| [z, y, x])))
}

/// Whether an input index, a tap and an output index belong together.
fn related(map: &Map, j: [u32; AXES], tap: [u32; AXES], q: [u32; AXES]) -> bool {
    (0..AXES).all(|a| {
        let axis = &map.axes[a];
        let [j, tap, q] = [j[a], tap[a], q[a]].map(i64::from);
        let read = i64::from(axis.from)..i64::from(axis.to);
        let left = i64::from(axis.stride) * q;
        let right = i64::from(axis.expand) * j - i64::from(axis.dilation) * tap;
        read.contains(&j) && left == right + i64::from(axis.pad)
    })
}

/// The channels of a tensor as a map counts them: a feature and an index on each merged axis.
fn channels(map: &Map, x: &Tensor) -> Vec<(u32, [u32; AXES])> {
    let merged = core::array::from_fn(|a| if map.merged[a] { x.extent[a] } else { 1 });
    let features = 0..x.features;
    let channels = features.flat_map(|f| indices(merged).map(move |index| (f, index)));
    channels.collect()
}

/// What a term adds to one accumulator.
fn naive(
    graph: &Graph,
    tensors: &[Vec<i32>],
    term: &Term,
    weights: &[i16],
    (feature, q): (u32, [u32; AXES]),
) -> i64 {
    let (map, x) = (&term.map, &graph.tensors[term.input.index()]);
    let Some(o) = feature.checked_sub(map.first_output) else {
        return 0;
    };
    let (group, o) = (o / map.outputs, o % map.outputs);
    if group >= map.groups {
        return 0;
    }
    let channels = channels(map, x);
    let open = core::array::from_fn(|a| if map.merged[a] { 1 } else { x.extent[a] });
    let taps: Vec<_> = indices(map.axes.map(|a| a.taps)).collect();
    let mut sum = 0;
    for c in 0..map.inputs {
        let local = group * map.inputs + c;
        let (f, merged) = channels[(map.first_input + local) as usize];
        for (t, &tap) in taps.iter().enumerate() {
            let factor = match &map.kernel {
                Kernel::Weights => i64::from(
                    weights[(local as usize * taps.len() + t) * map.outputs as usize + o as usize],
                ),
                Kernel::Taps(factors) => i64::from(factors[t]),
                Kernel::Gate(id) => i64::from(tensors[id.index()][group as usize]),
            };
            for j in indices(open).filter(|&j| related(map, j, tap, q)) {
                let index = core::array::from_fn(|a| j[a] + merged[a]);
                sum += factor * i64::from(tensors[term.input.index()][at(x, f, index)]);
            }
        }
    }
    sum
}

prop_compose! {
    fn axes()(
        taps in 1u32..4,
        kind in 0u32..5,
        step in 2u32..4,
        dilation in 1u32..3,
        pad in -2i32..5,
        window in any::<bool>(),
        outputs in 1u32..6,
        merged in 0u32..5,
    ) -> (AxisMap, bool, u32) {
        let axis = AxisMap {
            taps,
            stride: if kind == 0 { step } else { 1 },
            expand: match kind { 1 => step, 2 => 0, _ => 1 },
            dilation,
            pad,
            from: u32::from(window),
            // The end is set when the size is known.
            to: u32::from(window),
        };
        (axis, merged == 0, outputs)
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Weights,
    Taps,
    Gate,
}

/// The sizes of a term: groups, inputs and outputs of a group, features left over on either side.
type Sizes = (u32, u32, u32, u32, u32);

/// A layer of two terms that read one tensor, and the gate of one of them.
fn build(
    extent: [u32; AXES],
    axes: [(AxisMap, bool, u32); 2 * AXES],
    sizes: [Sizes; 2],
    kinds: [Kind; 2],
    numbers: &[i16],
) -> Model {
    let range = Range { lo: -3, hi: 4 };
    let mut x = volume(1, extent, range);
    let mut terms = Vec::new();
    let mut features = [1, 1, 1];
    for t in 0..2 {
        let (groups, mut inputs, mut outputs, before, after) = sizes[t];
        let mut map = Map::dense(1, 1, [1; AXES]);
        let mut taps = 1;
        for a in 0..AXES {
            let (mut axis, merged, _) = axes[t * AXES + a];
            map.merged[a] = merged;
            let size = if merged { 1 } else { extent[a] };
            axis.to = size - axis.to.min((size - 1) / 2);
            axis.from = axis.from.min((size - 1) / 2);
            if matches!(kinds[t], Kind::Gate) {
                axis.taps = 1;
            }
            if matches!(kinds[t], Kind::Taps) && axis.stride > 1 {
                // Two taps on one phase have no factor of their own.
                axis.taps = axis.taps.min(axis.stride);
                axis.dilation = 1;
            }
            taps *= axis.taps;
            map.axes[a] = axis;
        }
        let factors = || {
            numbers
                .iter()
                .cycle()
                .map(|&n| i32::from(n))
                .take(taps as usize)
        };
        map.kernel = match kinds[t] {
            Kind::Weights => Kernel::Weights,
            Kind::Taps => Kernel::Taps(factors().collect()),
            Kind::Gate => Kernel::Gate(TensorId(1)),
        };
        if !matches!(kinds[t], Kind::Weights) {
            (inputs, outputs) = (1, 1);
        }
        (map.groups, map.inputs, map.outputs) = (groups, inputs, outputs);
        (map.first_input, map.first_output) = (before, after);
        let merged: u32 = (0..AXES)
            .filter(|&a| map.merged[a])
            .map(|a| extent[a])
            .product();
        let channels = before + groups * inputs + after;
        features[0] = features[0].max(channels.div_ceil(merged));
        features[1] = features[1].max(groups);
        features[2] = features[2].max(after + groups * outputs + before);
        terms.push(Term {
            input: TensorId(0),
            map,
        });
    }
    x = volume(features[0], extent, x.range);
    let gate = volume(features[1], [1; AXES], range);
    let out = core::array::from_fn(|a| axes[a].2);
    let requant = identity(1, 18, Range::signed(8));
    let y = volume(features[2], out, requant.activation.image);
    // A reader for the gate whatever the terms are.
    let mut also = Map::scale(&gate, 1);
    also.axes = [AxisMap::identity(1); AXES];
    also.groups = also.groups.min(features[2]);
    terms.push(Term {
        input: TensorId(1),
        map: also,
    });
    let weights = |term: &Term| {
        let numbers = numbers.iter().cycle().skip(3).copied();
        numbers.take(term.map.weights() as usize).collect()
    };
    Model {
        weights: vec![LayerWeights {
            terms: terms.iter().map(weights).collect(),
            bias: (0..features[2] as i32).map(|f| 7 * f - 20).collect(),
        }],
        graph: Graph {
            tensors: vec![x, gate, y],
            layers: vec![Layer {
                name: String::new(),
                terms,
                combine: Combine::Sum,
                output: TensorId(2),
                requant,
            }],
            inputs: vec![TensorId(0), TensorId(1)],
            outputs: vec![TensorId(2)],
        },
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Weights), Just(Kind::Taps), Just(Kind::Gate)]
}

prop_compose! {
    fn models()(
        extent in prop::array::uniform3(1u32..6),
        axes in prop::array::uniform6(axes()),
        sizes in prop::array::uniform2((1u32..4, 1u32..3, 1u32..3, 0u32..2, 0u32..2)),
        kinds in prop::array::uniform2(kinds()),
        numbers in prop::collection::vec(-9i16..=9, 31),
    ) -> Model {
        build(extent, axes, sizes, kinds, &numbers)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn matches_the_relation_tried_on_every_triple(
        model in models(),
        seed in any::<u32>(),
        lanes in (1usize..30, 1usize..6, 1usize..9),
    ) {
        prop_assert_eq!(model.validate(MODULUS), Ok(()));
        let graph = &model.graph;
        let inputs: Vec<Vec<i32>> = (0..2)
            .map(|t| {
                let value = |i: u32| seed.wrapping_mul(2 * i + 3 + t).rotate_left(i + 5) % 8;
                let len = graph.tensors[t as usize].len() as u32;
                (0..len).map(|i| value(i) as i32 - 3).collect()
            })
            .collect();
        let evaluation = evaluate(&model, &inputs).expect("it evaluates");
        let (layer, weights, y) = (&graph.layers[0], &model.weights[0], &graph.tensors[2]);
        for feature in 0..y.features {
            for q in indices(y.extent) {
                let terms = layer.terms.iter().zip(&weights.terms);
                let sum: i64 = terms
                    .map(|(term, w)| naive(graph, &evaluation.tensors, term, w, (feature, q)))
                    .sum();
                let acc = sum + i64::from(weights.bias[feature as usize]);
                let found = evaluation.layers[0][at(y, feature, q)];
                prop_assert_eq!(Some(found), layer.requant.apply(acc), "[{}]{:?}", feature, q);
            }
        }
        // And what the tables prove of it is the same, however wide they are.
        let layout = layout_with_lanes(graph, lanes.into());
        let mut witness = Witness::laid_out(layout, &model, &evaluation);
        prop_assert_eq!(witness.check(), []);
        // What lanes without an element hold enters nothing: only lookups count it.
        witness.fill_idle_lanes();
        let noticed = witness.check().into_iter().find(|failure| {
            !matches!(failure, Failure::Bus { bus: Bus::Range | Bus::Activation, .. })
        });
        prop_assert_eq!(noticed, None);
    }
}
