//! # Terms: numbers for everything a layer adds up
//!
//! Of a layer with `n` terms, messages speak of the terms `0 … n−1`, of the biases, and of the overhang,
//! in this order. Numbers run on from layer to layer.

use alloc::vec::Vec;

use crate::graph::Graph;

/// The numbers of all terms of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermIds {
    first: Vec<usize>,
    count: usize,
}

impl TermIds {
    /// Numbers the terms of a graph.
    pub fn new(graph: &Graph) -> Self {
        let mut next = 0;
        let first = (graph.layers.iter())
            .map(|layer| {
                next += layer.terms.len() + 2;
                next - layer.terms.len() - 2
            })
            .collect();
        Self { first, count: next }
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
