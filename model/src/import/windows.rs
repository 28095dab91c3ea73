//! Tensors in whose rows maxima lie hold several elements of a line in one lane, and a row receives one weight. A
//! reader with a stride meets other weights in each of these elements: it becomes a sum of readers, one for each
//! of its phases; or it reads a copy that lies apart.

use std::collections::HashMap;

use air::graph::groups::MAX_PARTS;
use air::graph::{AXES, Combine, Kernel};

use crate::float::{FloatGraph, FloatTerm};

/// Which maxima lie in the rows of what is compared, while a graph is made.
#[derive(Default)]
pub(super) struct Windows {
    /// Whether any may.
    pub(super) are_allowed: bool,
    /// Of tensors that have maxima in their rows, how far apart the windows are.
    strides: HashMap<usize, [u32; AXES]>,
    /// Of maxima, for how many indices of the host they have one.
    pitches: HashMap<usize, [u32; AXES]>,
}

impl Windows {
    /// A maximum of windows of a tensor.
    pub(super) fn add(&mut self, of: usize, strides: [u32; AXES], output: usize) {
        self.pitches.insert(output, self.pitch(of, strides));
        self.strides.insert(of, strides);
    }

    /// Whether maxima of windows that are `strides` apart can lie in the rows of a tensor: all maxima of it have the
    /// same, and a row's units have not too many parts.
    pub(super) fn have_room(&self, tensor: usize, strides: [u32; AXES]) -> bool {
        let parts = self.pitch(tensor, strides).iter().product::<u32>();
        let known = self.strides.get(&tensor);
        self.are_allowed && parts <= MAX_PARTS && known.is_none_or(|known| *known == strides)
    }

    /// The pitch of a maximum of a tensor.
    fn pitch(&self, of: usize, strides: [u32; AXES]) -> [u32; AXES] {
        let own = self.pitches.get(&of).copied().unwrap_or([1; AXES]);
        core::array::from_fn(|a| own[a].saturating_mul(strides[a]).min(MAX_PARTS + 1))
    }
}

/// For each tensor the indices of a unit on each axis: what the maxima it is compared in are apart.
pub(super) struct Units(Vec<[u32; AXES]>);

impl Units {
    pub(super) fn of(graph: &FloatGraph) -> Self {
        let mut units = vec![[1; AXES]; graph.tensors.len()];
        let maxima = graph.layers.iter().filter(|l| l.combine == Combine::Max);
        for layer in maxima.rev() {
            let own = units[layer.output];
            for term in &layer.terms {
                let unit = &mut units[term.input];
                for a in 0..AXES {
                    // All maxima of a tensor have the same strides.
                    unit[a] = unit[a].max(own[a] * term.map.axes[a].stride);
                }
            }
        }
        Self(units)
    }

    /// Whether a term must read a copy: its phases are no phases of the units.
    pub(super) fn reads_apart(&self, term: &FloatTerm) -> bool {
        let unit = self.0[term.input];
        let fits = |a: usize| unit[a] == 1 || unit[a].is_multiple_of(term.map.axes[a].stride);
        term.map.kernel == Kernel::Weights && !(0..AXES).all(fits)
    }

    /// Whether a tensor has no rows of its own, or shares them.
    pub(super) fn is_shared(&self, graph: &FloatGraph, tensor: usize) -> bool {
        let is_maximum = tensor
            .checked_sub(graph.inputs)
            .is_some_and(|layer| graph.layers[layer].combine == Combine::Max);
        is_maximum || self.0[tensor] != [1; AXES]
    }
}

/// Takes readers with a stride apart, where their phases lie in one row.
pub(super) fn split_by_phase(graph: &mut FloatGraph) {
    let units = Units::of(graph);
    for layer in &mut graph.layers {
        if layer.combine == Combine::Sum {
            let terms = core::mem::take(&mut layer.terms);
            layer.terms = terms
                .into_iter()
                .flat_map(|term| split(&units, term))
                .collect();
        }
    }
}

fn split(units: &Units, term: FloatTerm) -> Vec<FloatTerm> {
    let unit = units.0[term.input];
    let is_weighted = term.map.kernel == Kernel::Weights && !units.reads_apart(&term);
    let mut parts = vec![term];
    for a in (0..AXES).filter(|&a| is_weighted && unit[a] > 1) {
        parts = parts.into_iter().flat_map(|term| phases(term, a)).collect();
    }
    parts
}

/// A term as the sum of those that read one phase of an axis each: taps that lie a multiple of the stride apart.
fn phases(term: FloatTerm, a: usize) -> Vec<FloatTerm> {
    let axis = term.map.axes[a];
    let apart = axis.stride / gcd(axis.stride, axis.dilation);
    let phase = |first: u32| {
        let kept: Vec<u32> = (first..axis.taps).step_by(apart as usize).collect();
        let mut part = term.clone();
        let own = &mut part.map.axes[a];
        own.taps = kept.len() as u32;
        own.dilation *= apart;
        own.pad -= (axis.dilation * first) as i32;
        part.values = select(&term, a, &kept);
        part
    };
    (0..apart.min(axis.taps)).map(phase).collect()
}

/// The weights of some taps of an axis, in the order of a map with these taps alone.
fn select(term: &FloatTerm, a: usize, kept: &[u32]) -> Vec<f32> {
    let taps = term.map.axes.map(|axis| axis.taps as usize);
    let outputs = term.map.outputs as usize;
    let inner: usize = taps[a + 1..].iter().product::<usize>() * outputs;
    let lines = term.values.chunks_exact(taps[a] * inner);
    lines
        .flat_map(|line| {
            kept.iter()
                .map(move |&tap| &line[tap as usize * inner..][..inner])
        })
        .flatten()
        .copied()
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
