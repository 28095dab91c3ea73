//! Last touches to a lowered graph: layers nobody reads are dropped, and tensors that are read with
//! their positions as features have no other readers.

use std::collections::BTreeMap;

use air::graph::{AXES, Function};

use super::error::ImportError;
use crate::float::{FloatGraph, FloatLayer, FloatTensor, FloatTerm};

/// Which axes of positions count as features.
type Merged = [bool; AXES];

/// A graph in the making, each tensor under its new index.
struct Rebuilt {
    tensors: Vec<FloatTensor>,
    layers: Vec<FloatLayer>,
    /// For each old tensor and way of reading it, the new tensor.
    views: BTreeMap<(usize, Merged), usize>,
}

/// Drops dead layers, and gives each way of reading a tensor a tensor of its own.
pub(super) fn finish(graph: FloatGraph) -> Result<FloatGraph, ImportError> {
    let is_live = live(&graph);
    let ways = ways_of_reading(&graph, &is_live);
    let mut rebuilt = Rebuilt {
        tensors: graph.tensors[..graph.inputs].to_vec(),
        layers: Vec::with_capacity(graph.layers.len()),
        views: BTreeMap::new(),
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
        *output = rebuilt.views[&(*output, [false; AXES])];
    }
    Ok(FloatGraph {
        tensors: rebuilt.tensors,
        layers: rebuilt.layers,
        outputs,
        ..graph
    })
}

impl Rebuilt {
    fn push(&mut self, layer: FloatLayer, tensor: FloatTensor) -> usize {
        let output = self.tensors.len();
        self.layers.push(FloatLayer { output, ..layer });
        self.tensors.push(tensor);
        output
    }

    /// The first way of reading gets the tensor itself, every other one a copy.
    fn add_views(&mut self, old: usize, new: usize, ways: &[Merged]) {
        // An output, or a tensor nobody reads, is looked up unmerged.
        self.views.insert((old, [false; AXES]), new);
        for (i, way) in ways.iter().enumerate() {
            let tensor = if i == 0 { new } else { self.copy(new) };
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
            activation: Function::Identity,
            is_exact: true,
        };
        self.push(layer, tensor)
    }

    fn terms(&self, terms: Vec<FloatTerm>, old: &[FloatTensor]) -> Vec<FloatTerm> {
        let renamed = |mut term: FloatTerm| {
            if let Some(gate) = term.gate() {
                let id = self.views[&(gate, [false; AXES])] as u32;
                term.map.kernel = air::graph::Kernel::Gate(air::graph::TensorId(id));
            }
            term.map.merged = way(&term, old);
            term.input = self.views[&(term.input, term.map.merged)];
            term
        };
        terms.into_iter().map(renamed).collect()
    }
}

/// Axes of size 1 are the same merged or not.
fn way(term: &FloatTerm, tensors: &[FloatTensor]) -> Merged {
    let extent = tensors[term.input].extent;
    core::array::from_fn(|a| term.map.merged[a] && extent[a] > 1)
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
fn ways_of_reading(graph: &FloatGraph, is_live: &[bool]) -> Vec<Vec<Merged>> {
    let mut ways = vec![Vec::new(); graph.tensors.len()];
    let mut add = |tensor: usize, way: Merged| {
        let known: &mut Vec<Merged> = &mut ways[tensor];
        if !known.contains(&way) {
            known.push(way);
            known.sort_unstable();
        }
    };
    for layer in graph.layers.iter().filter(|l| is_live[l.output]) {
        for term in &layer.terms {
            add(term.input, way(term, &graph.tensors));
            if let Some(gate) = term.gate() {
                add(gate, [false; AXES]);
            }
        }
    }
    ways
}
