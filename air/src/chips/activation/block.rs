//! The rows of one group: its tensors, and who reads them.

use alloc::vec::Vec;

use super::grid::Grid;
use super::readers::{Reader, Takes, Tenant};
use crate::graph::groups::{Group, Member, Role};
use crate::graph::{AXES, Graph};
use crate::layout::TermIds;

/// Where a tensor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the graph's input of this index.
    Input(usize),
    /// It is the output of this layer.
    Layer(usize),
}

/// A chain of a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReader {
    /// The member.
    pub member: usize,
    /// What is added up.
    pub reader: Reader,
}

/// A chain, and the slot that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotReader {
    /// Index of the slot.
    pub slot: usize,
    /// The member that is read.
    pub member: usize,
    /// What is added up.
    pub reader: Reader,
}

/// A tensor of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lodger {
    /// Its place in the group.
    pub member: Member,
    /// Its extent.
    pub extent: [u32; AXES],
}

/// The rows of one group: of a tensor, and of the maxima taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorBlock {
    /// Index of the tensor that is looked up.
    pub tensor: usize,
    /// All tensors, that one first.
    pub members: Vec<Lodger>,
    /// First row.
    pub start: usize,
    /// How its elements lie in rows.
    pub grid: Grid,
    /// Where it comes from.
    pub source: Source,
    /// What reads it, each in a slot of its own.
    pub readers: Vec<SlotReader>,
    /// How many rows receive its elements as gates, by channel.
    pub gates: Vec<u32>,
    /// Right shift `s`; the bits `k` of a ranged input.
    pub shift: u8,
    /// Width of the excess, `m`.
    pub excess_bits: u8,
    /// Identifier of the activation table, from 1; 0 for a ranged input.
    pub function: usize,
    /// The smallest value of a ranged input.
    pub lo: i32,
    /// Identifier of the table that compares; 0 if nothing is compared.
    pub comparison: usize,
}

impl TensorBlock {
    /// A member in the block's rows.
    pub fn tenant(&self, member: usize) -> Tenant<'_> {
        let Lodger { member, extent } = &self.members[member];
        Tenant {
            grid: &self.grid,
            member,
            extent: *extent,
        }
    }

    /// The elements of the first tensor in row `r` of a channel: part, lane, flat index.
    pub fn elements(
        &self,
        channel: usize,
        r: usize,
    ) -> impl Iterator<Item = (usize, usize, usize)> {
        let views = self.tenant(0).views().enumerate();
        views.flat_map(move |(part, view)| {
            let elements = view.elements(channel, r);
            elements.map(move |(lane, element)| (part, lane, element))
        })
    }

    /// Whether it is an input that limbs alone keep in its range.
    pub const fn is_ranged(&self) -> bool {
        self.function == 0
    }

    /// The first row below the block.
    pub fn end(&self) -> usize {
        self.start + self.grid.height()
    }

    /// The chain of the accumulators, or of the claim on an input.
    pub const fn own_reader(&self) -> Reader {
        match self.source {
            Source::Input(_) => Reader::Input,
            Source::Layer(_) => Reader::Places,
        }
    }
}

/// The readers of a group: for each member its terms in order, then the claim on an output, then that on a
/// copy's own sums.
pub fn readers_of(graph: &Graph, ids: &TermIds, group: &Group) -> Vec<MemberReader> {
    let mut readers = Vec::new();
    for (i, member) in group.members.iter().enumerate() {
        let mut push = |reader| readers.push(MemberReader { member: i, reader });
        for &(layer, term) in ids.readers(member.tensor) {
            push(Reader::term(graph, ids, layer, term));
        }
        if graph.outputs.iter().any(|id| id.index() == member.tensor) {
            push(Reader::Output);
        }
        if member.role == Role::Copy {
            push(Reader::Places);
        }
    }
    readers
}

/// Weighted slots and all slots that a group's readers need.
pub fn slots_for(readers: &[MemberReader]) -> (usize, usize) {
    let weighted = readers.iter().filter(|r| r.reader.is_weighted()).count();
    (weighted, readers.len())
}

/// Readers in slots: weighted ones from the front, others behind the weighted slots as long as there is
/// room.
pub(super) fn assign(readers: Vec<MemberReader>, weighted: usize, all: usize) -> Vec<SlotReader> {
    let (heavy, light): (Vec<_>, Vec<_>) =
        (readers.into_iter()).partition(|r| r.reader.is_weighted());
    let used = heavy.len();
    let free = (weighted..all).chain(used..weighted);
    let heavy = heavy.into_iter().enumerate();
    let light = free.zip(light);
    heavy
        .chain(light)
        .map(|(slot, MemberReader { member, reader })| SlotReader {
            slot,
            member,
            reader,
        })
        .collect()
}

/// How many rows receive each channel of a tensor as a gate; empty if none do.
pub(super) fn gate_counts(graph: &Graph, ids: &TermIds, tensor: usize) -> Vec<u32> {
    let mut counts = Vec::new();
    for &(layer, term) in ids.gated(tensor) {
        counts.resize(graph.tensors[tensor].features as usize, 0);
        let takes = Takes::new(graph, ids, layer, term);
        let groups = graph.layers[layer].terms[term].map.groups as usize;
        for (group, count) in counts[..groups].iter_mut().enumerate() {
            *count += takes.of(group);
        }
    }
    counts
}
