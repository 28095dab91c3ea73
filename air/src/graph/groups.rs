//! # Groups: tensors that lie in the same rows
//!
//! A maximum is proven where its window lies: in one row, together with the elements it is taken of. Tensors
//! so bound together are a *group*:
//!
//! ```text
//!   X    the host: a graph input, or what a layer adds up
//!   C    copies: exact sums that a maximum reads beside the host, a neighbour's element for example
//!   M    maxima of elements of X, of copies, and of other maxima of the group
//! ```
//!
//! Positions of a group are counted in *units*. A member has `unit[a]` indices in a unit of axis `a`: index `i` is
//! part `i mod unit[a]` of unit `⌊i/unit[a]⌋`. For a 2×2 pool with stride 2 the host has units of 2×2, the
//! maximum of 1×1. Every source of an element of a maximum lies in the element's own unit, at the same part
//! whatever the unit: the same few columns in each.
//!
//! A tensor that no maximum reads is a group of its own, with units of one position.

use alloc::vec::Vec;

use super::map::gcd;
use super::{AXES, Combine, Function, Graph, GraphError, Kernel, Layer, Range, Term};

/// Most parts a unit may have.
pub const MAX_PARTS: u32 = 16;
/// Most elements one maximum may be taken of.
const MAX_SOURCES: usize = 32;
/// Most tensors of a group.
const MAX_MEMBERS: usize = 64;
/// Most elements that the maxima of a unit are taken of, all together.
const MAX_COMPARED: usize = 256;

/// A part of a member: an element of each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Index of the member in its group.
    pub member: usize,
    /// The part, depth first.
    pub part: usize,
}

/// What a member's elements are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looked up, or ranged.
    Host,
    /// Sums as they stand.
    Copy,
    /// For each part, the elements it is the maximum of: of the same unit.
    Max(Vec<Vec<Part>>),
}

/// A tensor of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index of the tensor.
    pub tensor: usize,
    /// Its indices in a unit, on each axis.
    pub unit: [u32; AXES],
    /// What its elements are.
    pub role: Role,
}

impl Member {
    /// Its elements in a unit.
    pub fn parts(&self) -> usize {
        self.unit.iter().map(|&n| n as usize).product()
    }

    /// The index within a unit of a part.
    pub fn sub(&self, part: usize) -> [u32; AXES] {
        let [_, h, w] = self.unit;
        let part = part as u32;
        [part / (h * w), part / w % h, part % w]
    }

    fn part_at(&self, sub: [u32; AXES]) -> usize {
        ((sub[0] * self.unit[1] + sub[1]) * self.unit[2] + sub[2]) as usize
    }
}

/// Tensors that lie in the same rows, the host first, the others in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its tensors.
    pub members: Vec<Member>,
    /// Units on each axis.
    pub extent: [u32; AXES],
}

impl Group {
    /// Index of the host.
    pub fn host(&self) -> usize {
        self.members[0].tensor
    }

    /// Whether it has maxima.
    pub const fn has_maxima(&self) -> bool {
        self.members.len() > 1
    }

    /// Whether anything is compared in its rows: a window of a single element is not.
    pub fn compares(&self) -> bool {
        let is_compared = |m: &Member| match &m.role {
            Role::Host | Role::Copy => false,
            Role::Max(parts) => parts.iter().any(|sources| sources.len() > 1),
        };
        self.members.iter().any(is_compared)
    }

    /// Every value of any member.
    pub fn range(&self, graph: &Graph) -> Range {
        let ranges = self.members.iter().map(|m| graph.tensors[m.tensor].range);
        let hull = |a: Range, b: Range| Range {
            lo: a.lo.min(b.lo),
            hi: a.hi.max(b.hi),
        };
        ranges.fold(graph.tensors[self.host()].range, hull)
    }
}

/// Which tensors belong together, as far as is known.
struct Bound {
    /// The host of each tensor.
    host: Vec<usize>,
    /// Indices of the host for one of each tensor.
    pitches: Vec<Pitch>,
    /// Whether a tensor is in a group with others.
    is_bound: Vec<bool>,
}

/// How many indices of its host a tensor has one for, on each axis.
type Pitch = [u32; AXES];

/// The groups of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    groups: Vec<Group>,
    /// For each tensor its group, and its place among the members.
    place: Vec<(usize, usize)>,
}

impl Bound {
    /// Puts a maximum, and the copies it reads, into the group of its first term.
    fn join(&mut self, graph: &Graph, layer: &Layer) -> Option<()> {
        let first = layer.terms[0].input.index();
        let own = layer.output.index();
        let host = self.host[first];
        let pitch = times(self.pitches[first], strides(&layer.terms[0]))?;
        self.bind(own, host, pitch);
        for term in &layer.terms[1..] {
            let tensor = term.input.index();
            if self.host[tensor] != host {
                let source = graph.layers.get(tensor.checked_sub(graph.inputs.len())?)?;
                let strides = strides(term);
                let divides = (0..AXES).all(|a| pitch[a] % strides[a] == 0);
                if self.is_bound[tensor] || !divides || !is_copy(graph, source) {
                    return None;
                }
                self.bind(
                    tensor,
                    host,
                    core::array::from_fn(|a| pitch[a] / strides[a]),
                );
            }
            if times(self.pitches[tensor], strides(term))? != pitch {
                return None;
            }
        }
        Some(())
    }

    fn bind(&mut self, tensor: usize, host: usize, pitch: Pitch) {
        (self.host[tensor], self.pitches[tensor]) = (host, pitch);
        (self.is_bound[tensor], self.is_bound[host]) = (true, true);
    }
}

fn strides(term: &Term) -> Pitch {
    term.map.axes.map(|axis| axis.stride)
}

fn times(pitch: Pitch, strides: Pitch) -> Option<Pitch> {
    let mut product = [0; AXES];
    for a in 0..AXES {
        product[a] = pitch[a]
            .checked_mul(strides[a])
            .filter(|&n| n <= MAX_PARTS)?;
    }
    Some(product)
}

impl Groups {
    /// The groups of a graph whose maps fit their tensors.
    pub fn new(graph: &Graph) -> Result<Self, GraphError> {
        let mut bound = Bound {
            host: (0..graph.tensors.len()).collect(),
            pitches: alloc::vec![[1; AXES]; graph.tensors.len()],
            is_bound: alloc::vec![false; graph.tensors.len()],
        };
        for (index, layer) in graph.layers.iter().enumerate() {
            if layer.combine == Combine::Max {
                let fits = is_of_windows(graph, layer) && bound.join(graph, layer).is_some();
                if !fits {
                    return Err(GraphError::Maximum { layer: index });
                }
            }
        }
        let groups = Self::gather(graph, &bound)?;
        groups.check_readers(graph)?;
        Ok(groups)
    }

    /// Every tensor alone, as if there were no maxima.
    pub fn apart(graph: &Graph) -> Self {
        let groups = graph.tensors.iter().enumerate().map(|(tensor, t)| Group {
            members: alloc::vec![Member {
                tensor,
                unit: [1; AXES],
                role: Role::Host,
            }],
            extent: t.extent,
        });
        Self {
            groups: groups.collect(),
            place: (0..graph.tensors.len()).map(|t| (t, 0)).collect(),
        }
    }

    /// The groups in the order of their hosts.
    pub fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The group of a tensor, and its place among the members.
    pub fn of(&self, tensor: usize) -> (&Group, usize) {
        let (group, member) = self.place[tensor];
        (&self.groups[group], member)
    }

    fn gather(graph: &Graph, bound: &Bound) -> Result<Self, GraphError> {
        let Bound { host, pitches, .. } = bound;
        let mut groups = Self {
            groups: Vec::new(),
            place: alloc::vec![(0, 0); host.len()],
        };
        let mut of_host = alloc::vec![0; host.len()];
        for tensor in 0..host.len() {
            // A copy may come before its host.
            if host[tensor] == tensor {
                of_host[tensor] = groups.groups.len();
                groups.groups.push(Group {
                    members: Vec::new(),
                    extent: graph.tensors[tensor].extent,
                });
            }
        }
        let hosts = (0..host.len()).filter(|&t| host[t] == t);
        let others = (0..host.len()).filter(|&t| host[t] != t);
        for tensor in hosts.chain(others) {
            let group = &mut groups.groups[of_host[host[tensor]]];
            groups.place[tensor] = (of_host[host[tensor]], group.members.len());
            let role = if host[tensor] == tensor {
                Role::Host
            } else {
                Role::Copy
            };
            group.members.push(Member {
                tensor,
                unit: pitches[tensor],
                role,
            });
        }
        for i in 0..groups.groups.len() {
            let refused = |tensor: usize| GraphError::Maximum {
                layer: tensor.saturating_sub(graph.inputs.len()),
            };
            let group = &mut groups.groups[i];
            if group.has_maxima() {
                let last = group.members[group.members.len() - 1].tensor;
                if group.members.len() > MAX_MEMBERS {
                    return Err(refused(last));
                }
                size(graph, group).ok_or_else(|| refused(last))?;
                let mut compared = 0;
                for m in 1..groups.groups[i].members.len() {
                    let tensor = groups.groups[i].members[m].tensor;
                    let layer = &graph.layers[tensor - graph.inputs.len()];
                    if layer.combine == Combine::Max {
                        let sources = groups.sources(i, m, layer);
                        let sources = sources.ok_or_else(|| refused(tensor))?;
                        compared += sources.iter().map(Vec::len).sum::<usize>();
                        if compared > MAX_COMPARED {
                            return Err(refused(tensor));
                        }
                        groups.groups[i].members[m].role = Role::Max(sources);
                    }
                }
            }
        }
        Ok(groups)
    }

    /// For each part of a maximum, what it is taken of; `None` if something lies outside the unit.
    fn sources(&self, group: usize, member: usize, layer: &Layer) -> Option<Vec<Vec<Part>>> {
        let members = &self.groups[group].members;
        let own = &members[member];
        let of_part = |part: usize| {
            let sub = own.sub(part);
            let mut sources = Vec::new();
            for term in &layer.terms {
                let source = self.place[term.input.index()].1;
                for tap in term.map.tap_indices() {
                    let mut at = [0; AXES];
                    for a in 0..AXES {
                        let axis = &term.map.axes[a];
                        let index = i64::from(axis.stride) * i64::from(sub[a])
                            + i64::from(axis.dilation) * i64::from(tap[a])
                            - i64::from(axis.pad);
                        at[a] = u32::try_from(index).ok()?;
                        if at[a] >= members[source].unit[a] {
                            return None;
                        }
                    }
                    if sources.len() == MAX_SOURCES {
                        return None;
                    }
                    sources.push(Part {
                        member: source,
                        part: members[source].part_at(at),
                    });
                }
            }
            Some(sources)
        };
        (0..own.parts()).map(of_part).collect()
    }

    /// What reads a member of several parts must read the same weight in each part of a row, which are parts of one
    /// channel; a gate is no part of a group.
    fn check_readers(&self, graph: &Graph) -> Result<(), GraphError> {
        for (l, layer) in graph.layers.iter().enumerate() {
            for term in &layer.terms {
                let (group, member) = self.of(term.input.index());
                let gate = match term.map.kernel {
                    Kernel::Gate(id) => self.of(id.index()).0.has_maxima(),
                    Kernel::Weights | Kernel::Taps(_) => false,
                };
                let unit = group.members[member].unit;
                let splits_a_unit = (0..AXES).any(|a| term.map.merged[a] && unit[a] > 1);
                if gate || splits_a_unit || !reads_one_weight(term, unit) {
                    return Err(GraphError::Maximum { layer: l });
                }
            }
        }
        Ok(())
    }
}

/// Whether the parts of a unit that a term with learned weights reads have the same weights.
fn reads_one_weight(term: &Term, unit: [u32; AXES]) -> bool {
    if term.map.kernel != Kernel::Weights {
        return true;
    }
    (0..AXES).all(|a| {
        let stride = term.map.axes[a].stride;
        if unit[a] == 1 || stride == 1 {
            return true;
        }
        let mut read = (0..stride).filter(|&r| !term.map.taps_on(a, r).is_empty());
        unit[a].is_multiple_of(stride) && read.nth(1).is_none()
    })
}

/// Whether a maximum is one of whole windows of each channel, of tensors on its own scale.
fn is_of_windows(graph: &Graph, layer: &Layer) -> bool {
    let requant = &layer.requant;
    let activation = &requant.activation;
    let output = &graph.tensors[layer.output.index()];
    let is_exact = requant.shift == 0 && requant.excess_bits == 0 && is_identity(layer);
    let fits = |term: &Term| {
        let (input, map) = (&graph.tensors[term.input.index()], &term.map);
        let is_plain = matches!(&map.kernel, Kernel::Taps(factors) if factors.iter().all(|&f| f == 1))
            && (0..AXES).all(|a| !map.merged[a] || input.extent[a] == 1)
            && [map.inputs, map.outputs] == [1, 1]
            && [map.first_input, map.first_output] == [0, 0]
            && map.groups == input.features
            && map.groups == output.features;
        let is_whole = (0..AXES).all(|a| {
            let axis = &map.axes[a];
            let last = i64::from(axis.stride) * i64::from(output.extent[a] - 1)
                + i64::from(axis.dilation) * i64::from(axis.taps - 1)
                - i64::from(axis.pad);
            axis.expand == 1
                && axis.from == 0
                && axis.to == input.extent[a]
                && axis.pad <= 0
                && last < i64::from(input.extent[a])
        });
        let contains = |v: i32| activation.domain.contains(i64::from(v));
        is_plain
            && is_whole
            && input.encoding == output.encoding
            && contains(input.range.lo)
            && contains(input.range.hi)
    };
    is_exact && activation.domain == activation.image && layer.terms.iter().all(fits)
}

fn is_identity(layer: &Layer) -> bool {
    let activation = &layer.requant.activation;
    activation.function == Function::Identity && activation.in_frac_bits == activation.out_frac_bits
}

/// Whether a layer's sums are its outputs, whatever its inputs.
fn is_copy(graph: &Graph, layer: &Layer) -> bool {
    let requant = &layer.requant;
    let has_weights = |term: &Term| term.map.kernel == Kernel::Weights;
    let (lo, hi) = layer.fixed_bounds(graph);
    let Range {
        lo: first,
        hi: last,
    } = requant.activation.domain;
    layer.combine == Combine::Sum
        && requant.shift == 0
        && requant.excess_bits == 0
        && is_identity(layer)
        && requant.activation.image == requant.activation.domain
        && !layer.terms.iter().any(has_weights)
        && i64::from(first) <= lo
        && hi <= i64::from(last)
}

/// Units of a group, once pitches stand where the units of members will.
fn size(graph: &Graph, group: &mut Group) -> Option<()> {
    let mut unit = [1u32; AXES];
    for member in &group.members {
        for (unit, pitch) in unit.iter_mut().zip(member.unit) {
            *unit = (*unit / gcd(*unit, pitch)).checked_mul(pitch)?;
        }
    }
    let parts = unit.iter().try_fold(1u32, |n, &u| n.checked_mul(u))?;
    if parts > MAX_PARTS {
        return None;
    }
    for member in &mut group.members {
        for (own, unit) in member.unit.iter_mut().zip(unit) {
            *own = unit / *own;
        }
    }
    let units = |member: &Member| -> [u32; AXES] {
        let extent = graph.tensors[member.tensor].extent;
        core::array::from_fn(|a| extent[a].div_ceil(member.unit[a]))
    };
    group.extent = units(&group.members[0]);
    let within = |member: &Member| {
        units(member)
            .iter()
            .zip(group.extent)
            .all(|(&n, all)| n <= all)
    };
    group.members.iter().all(within).then_some(())
}
