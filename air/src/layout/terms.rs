//! # Terms: numbers for everything a layer adds up, who reads a tensor, and where it lies
//!
//! Of a layer with `n` terms, messages speak of the terms `0 … n−1`, of the biases, and of the overhang,
//! in this order. Numbers run on from layer to layer.

use alloc::vec::Vec;

use crate::graph::{Graph, Groups, Kernel};

/// A layer, and one of its terms.
pub type Place = (usize, usize);

/// The numbers of all terms of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermIds {
    first: Vec<usize>,
    count: usize,
    /// For each tensor the terms that read it, in order.
    readers: Vec<Vec<Place>>,
    /// For each tensor the terms of which it is the gate, in order.
    gated: Vec<Vec<Place>>,
    groups: Groups,
}

impl TermIds {
    /// Numbers the terms of a validated graph.
    pub fn new(graph: &Graph) -> Self {
        let mut next = 0;
        let first = (graph.layers.iter())
            .map(|layer| {
                next += layer.terms.len() + 2;
                next - layer.terms.len() - 2
            })
            .collect();
        let mut readers = alloc::vec![Vec::new(); graph.tensors.len()];
        let mut gated = readers.clone();
        // A maximum reads what lies in its own rows.
        for (l, layer) in graph.sums() {
            for (t, term) in layer.terms.iter().enumerate() {
                readers[term.input.index()].push((l, t));
                if let Kernel::Gate(gate) = &term.map.kernel {
                    gated[gate.index()].push((l, t));
                }
            }
        }
        Self {
            first,
            count: next,
            readers,
            gated,
            groups: Groups::new(graph).unwrap_or_else(|_| Groups::apart(graph)),
        }
    }

    /// Which tensors lie in the same rows.
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The terms of sums that read a tensor, in order.
    pub fn readers(&self, tensor: usize) -> &[Place] {
        &self.readers[tensor]
    }

    /// The terms of which a tensor is the gate, in order.
    pub fn gated(&self, tensor: usize) -> &[Place] {
        &self.gated[tensor]
    }

    /// How many numbers there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The number of a term.
    pub fn term(&self, layer: usize, term: usize) -> usize {
        self.first[layer] + term
    }

    /// The number of a layer's biases.
    pub fn bias(&self, graph: &Graph, layer: usize) -> usize {
        self.first[layer] + graph.layers[layer].terms.len()
    }

    /// The number of a layer's overhang.
    pub fn overhang(&self, graph: &Graph, layer: usize) -> usize {
        self.bias(graph, layer) + 1
    }
}
