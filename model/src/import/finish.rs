//! Last touches to a lowered graph: layers nobody reads are dropped, and tensors that are read with
//! their positions as features have no other readers.

use std::collections::BTreeMap;

use air::graph::{AXES, AxisMap, Combine, Function, Kernel};

use super::error::ImportError;
use super::windows::{self, Units};
use crate::float::{FloatGraph, FloatLayer, FloatTensor, FloatTerm};

/// Which axes of positions count as features.
type Merged = [bool; AXES];
/// How a tensor is read, and whether apart from the maxima in its rows.
type Way = (Merged, bool);
/// As it is.
const PLAIN: Way = ([false; AXES], false);

/// A graph in the making, each tensor under its new index.
struct Rebuilt {
    tensors: Vec<FloatTensor>,
    layers: Vec<FloatLayer>,
    /// For each old tensor and way of reading it, the new tensor.
    views: BTreeMap<(usize, Way), usize>,
    /// Of the old graph.
    units: Units,
    /// Whether an old tensor shares its rows.
    is_shared: Vec<bool>,
}

/// Drops dead layers, and gives each way of reading a tensor a tensor of its own.
pub(super) fn finish(mut graph: FloatGraph) -> Result<FloatGraph, ImportError> {
    read_images_as_images(&mut graph);
    windows::split_by_phase(&mut graph);
    let is_live = live(&graph);
    let units = Units::of(&graph);
    let is_shared: Vec<bool> = (0..graph.tensors.len())
        .map(|tensor| units.is_shared(&graph, tensor))
        .collect();
    let ways = ways_of_reading(&graph, &is_live, &units, &is_shared);
    let mut rebuilt = Rebuilt {
        tensors: graph.tensors[..graph.inputs].to_vec(),
        layers: Vec::with_capacity(graph.layers.len()),
        views: BTreeMap::new(),
        units,
        is_shared,
    };
    for (i, ways) in ways.iter().enumerate().take(graph.inputs) {
        rebuilt.add_views(i, i, ways);
    }
    for layer in graph.layers {
        let old = layer.output;
        if !is_live[old] {
            continue;
        }
        let new = rebuilt.push(
            FloatLayer {
                terms: rebuilt.terms(layer.terms, &graph.tensors),
                ..layer
            },
            graph.tensors[old].clone(),
        );
        rebuilt.add_views(old, new, &ways[old]);
    }
    let mut outputs = graph.outputs;
    for output in &mut outputs {
        *output = rebuilt.views[&(*output, PLAIN)];
    }
    Ok(FloatGraph {
        tensors: rebuilt.tensors,
        layers: rebuilt.layers,
        outputs,
        ..graph
    })
}

/// Cells that an element costs more where it has a row of its own than side by side with others.
const ROW_OF_ITS_OWN: usize = 33;
/// Cells of an element of an overhang, with its share of a row.
const OVERHANG: usize = 2;

/// A dense layer on a flattened image is a convolution with a kernel as large as the image, of the very same
/// weights in the same order. Flattened, every pixel has a row of its own; as a convolution the product of both
/// has an overhang. The cheaper one is taken.
fn read_images_as_images(graph: &mut FloatGraph) {
    for layer in &mut graph.layers {
        if graph.tensors[layer.output].positions() > 1 || layer.scaler.is_some() {
            continue;
        }
        for term in &mut layer.terms {
            let tensor = &graph.tensors[term.input];
            let merged = way(term, tensor);
            let axes = (0..AXES).filter(|&a| merged[a]);
            let sizes = axes.map(|a| tensor.extent[a] as usize);
            let (taps, reached) = sizes.fold((1, 1), |(t, r), n| (t * n, r * (2 * n - 1)));
            let map = &mut term.map;
            let is_whole = map.kernel == Kernel::Weights
                && map.groups == 1
                && map.inputs as usize == tensor.features * taps;
            let is_tall = taps > air::graph::map::MAX_TAPS as usize;
            let overhang = OVERHANG * map.outputs as usize * (reached - 1);
            if taps == 1 || !is_whole || is_tall || overhang > ROW_OF_ITS_OWN * map.inputs as usize
            {
                continue;
            }
            for a in (0..AXES).filter(|&a| merged[a]) {
                let taps = tensor.extent[a];
                map.axes[a] = AxisMap {
                    taps,
                    ..AxisMap::identity(taps)
                };
            }
            map.merged = [false; AXES];
            map.inputs = tensor.features as u32;
        }
    }
}

impl Rebuilt {
    fn push(&mut self, layer: FloatLayer, tensor: FloatTensor) -> usize {
        let output = self.tensors.len();
        self.layers.push(FloatLayer { output, ..layer });
        self.tensors.push(tensor);
        output
    }

    /// The first way of reading gets the tensor itself, every other one a copy, and so does what reads apart.
    fn add_views(&mut self, old: usize, new: usize, ways: &[Way]) {
        // An output, or a tensor nobody reads, is looked up unmerged.
        self.views.insert((old, PLAIN), new);
        for (i, way) in ways.iter().enumerate() {
            let is_own = i == 0 && !way.1;
            let tensor = if is_own { new } else { self.copy(new) };
            self.views.insert((old, *way), tensor);
        }
    }

    fn copy(&mut self, of: usize) -> usize {
        let tensor = self.tensors[of].clone();
        let layer = FloatLayer {
            name: format!("{} (copy)", tensor.name),
            ops: "Identity".to_owned(),
            terms: vec![FloatTerm::identity(of, tensor.features, tensor.extent)],
            bias: vec![0.0; tensor.features],
            output: 0,
            scaler: None,
            combine: Combine::Sum,
            activation: Function::Identity,
            is_exact: true,
        };
        self.push(layer, tensor)
    }

    fn terms(&self, terms: Vec<FloatTerm>, old: &[FloatTensor]) -> Vec<FloatTerm> {
        let renamed = |mut term: FloatTerm| {
            if let Some(gate) = term.gate() {
                let id = self.views[&(gate, ([false; AXES], self.is_shared[gate]))] as u32;
                term.map.kernel = air::graph::Kernel::Gate(air::graph::TensorId(id));
            }
            term.map.merged = way(&term, &old[term.input]);
            let apart = self.units.reads_apart(&term);
            term.input = self.views[&(term.input, (term.map.merged, apart))];
            term
        };
        terms.into_iter().map(renamed).collect()
    }
}

/// Axes of size 1 are the same merged or not.
fn way(term: &FloatTerm, input: &FloatTensor) -> Merged {
    core::array::from_fn(|a| term.map.merged[a] && input.extent[a] > 1)
}

fn live(graph: &FloatGraph) -> Vec<bool> {
    let mut is_live = vec![false; graph.tensors.len()];
    graph.outputs.iter().for_each(|&o| is_live[o] = true);
    for layer in graph.layers.iter().rev() {
        if is_live[layer.output] {
            layer.reads().for_each(|t| is_live[t] = true);
        }
    }
    is_live
}

/// For each tensor, the different ways in which it is read, the unmerged one first.
fn ways_of_reading(
    graph: &FloatGraph,
    is_live: &[bool],
    units: &Units,
    is_shared: &[bool],
) -> Vec<Vec<Way>> {
    let mut ways = vec![Vec::new(); graph.tensors.len()];
    let mut add = |tensor: usize, way: Way| {
        let known: &mut Vec<Way> = &mut ways[tensor];
        if !known.contains(&way) {
            known.push(way);
            known.sort_unstable();
        }
    };
    for layer in graph.layers.iter().filter(|l| is_live[l.output]) {
        for term in &layer.terms {
            let merged = way(term, &graph.tensors[term.input]);
            add(term.input, (merged, units.reads_apart(term)));
            if let Some(gate) = term.gate() {
                add(gate, ([false; AXES], is_shared[gate]));
            }
        }
    }
    ways
}
