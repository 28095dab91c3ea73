//! # Activation: requantise, apply a function, compare, pass the sums on
//!
//! A row holds elements of one channel of one tensor, side by side in `lanes` as the tensor's [`Grid`]
//! lays them out. Where maxima are taken of the tensor, a lane holds a *unit* of elements and what is compared in it
//! ([`groups`](crate::graph::groups), [`Window`]). For a layer's output the row takes each accumulator apart and looks
//! its activation up:
//!
//! ```text
//!   acc + half = (q + side·excess)·2^s + rem        0 ≤ rem < 2^s,   (side, q, out) ∈ table
//! ```
//!
//! `side` is 0 where the quotient lies in the table's domain and ±1 where it saturates: the table
//! has entries with `side = ±1` at the two ends of the domain only. The accumulator itself is no
//! cell: it is the linear form above, and it leaves the row only inside a sum over the tensor.
//!
//! A graph input with `2^k` values is *ranged*: it is `lo + rem` with `0 ≤ rem < 2^k`, and needs no
//! table. An input with another number of values has `s = 0` and an identity table.
//!
//! An element of a maximum is no cell but a sum of cells: what it is compared with, and how much larger each element
//! of its window is than the largest before. A *copy*, an exact sum that a maximum reads beside its host, is one cell.
//!
//! Every tensor is added up by several chains ([`readers`]): a host once for the accumulators it is made of (or
//! for the claim on an input), and any member of a group once in a *slot* for each term that reads it, for the claim
//! on an output, and for the accumulators of a copy. A weighted slot multiplies each row with a value `g` it receives,
//! from the weights table or from a gate; the others add rows up as they are. A form has one weight: a reader that
//! would meet different weights in the parts of a unit is refused with the graph.
//!
//! ## Columns (per element `b` of a lane's unit: `[b]`; per slot `k`: `_k`; lists of [`ChainLists`]: `[i]`)
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `q[b]`, `out[b]` | clamped quotient, activation |
//! | main | `side[b]` | −1, 0, 1; absent if no tensor of the table can saturate |
//! | main | `rem[b][i]`, `excess[b][i]` | limbs of `limb_bits` bits, lowest first |
//! | main | `copy[j]`, `larger[j]` | behind the elements of a lane: copies, results of comparisons |
//! | fixed | `real` | 1 on rows of a tensor |
//! | fixed | `looked` | 1 on those among them that are looked up: not of a ranged input |
//! | fixed | `lo` | the smallest value of a ranged input |
//! | fixed | `function` | table identifier; 0 on rows of a ranged input |
//! | fixed | `acc_kind`, `acc_id`, `acc_count` | the claim on `h`, on the row below a tensor |
//! | fixed | `comparison` | the table that compares; absent if nothing is compared |
//! | fixed | `acc_ratio[i]` | 1 if `h` is carried on by ratio `i` |
//! | fixed | `quot[i]`, `rest[i]` | `2^s` and 1 if the row has accumulator form `i` |
//! | fixed | `ratio_k[i]`, `form_k[i]` | the same for slot `k`; a form's factor in place of 1 |
//! | fixed | `kind_k`, `id_k`, `count_k` | the claim on `t_k`, on the row below a tensor |
//! | fixed | `takes_k`, `term_k`, `index_k` | which `g_k` this row receives, if any |
//! | fixed | `hold_k`, `one_k` | 1 if the next row has the same `g_k`; 1 if `g_k = 1` |
//! | fixed | `rem_bits[i]`, `excess_bits[i]` | width of each limb; 0 for an absent limb |
//! | fixed | `gate_id`, `gate_index`, `gate_count` | how often lane 0 is sent as a gate |
//! | fixed | `claimed[i]` | 1 on the row below input or output `i`, where it is claimed |
//! | projection | `h` | the accumulators of the rows above, of this tensor |
//! | projection | `g_k` | weighted slots: the received factor |
//! | projection | `t_k` | what slot `k` has added up over the rows above, of this tensor |
//!
//! ## Constraints
//!
//! With constants `c_i[b]` of a form and `r_i` of a ratio, `v[b]` an element of the member that a slot reads (`out`, a
//! copy, or for a maximum `out[x_0] + Σ larger` over its comparisons):
//! `A = Σ_i Σ_b c_i[b]·(quot[i]·(q + side·excess) + rest[i]·rem)`, `U_k = Σ_i form_k[i]·Σ_b c_i[b]·v[b]`:
//!
//!   1. `project`   `step·h' − Σ_i r_i·acc_ratio[i]·h − A = 0`                            deg 3
//!   2. `ranged`    `(real − looked)·Σ_b (σ^b·(q + side·excess − lo − rem) + σ^(n+b)·(out − lo − rem)) = 0` over the `n`
//!      elements of a row, if the table has a ranged input                              deg 3
//!   3. `consume_k` `step·t_k' − Σ_i r_i·ratio_k[i]·t_k − g_k·U_k = 0`, `g_k = 1` unweighted  deg 3
//!   4. `hold_k`    `hold_k·(g_k' − g_k) = 0`                                             deg 2
//!   5. `one_k`     `one_k·(g_k − 1) = 0`                                                 deg 2
//!
//! No ratio is selected on a tensor's first row, which discards what the tensor above left; totals
//! are readable exactly there, on the row below the tensor they belong to. The last live row belongs to
//! no tensor: it is where the last totals are read.
//!
//! ## Buses
//!
//! `RANGE`: receives `(rem_bits[i], rem[i])`, `(excess_bits[i], excess[i])`, `real` times.
//! `ACTIVATION`: receives `(function, side, q, out)`, `looked` times, and `(comparison, 0, d, larger)`, `real` times,
//! for each comparison: `d = x − m` is the difference of two sums of the lane's cells.
//! `PRODUCT`: receives `(term_k, index_k, g_k)`, `takes_k` times; sends `(gate_id, gate_index, out[0])`
//! `gate_count` times.
//! `CLAIM`: sends `(acc_kind, acc_id, h)` `acc_count` times and `(kind_k, id_k, t_k)` `count_k` times. The claim
//! on a graph input (`h`) or output (`t_k`) is sent `claimed[i]` times the number of its receivers: the
//! verifier if the statement shows the tensor, and every table that proves something of it.
//!
//! ## Padding
//!
//! All fixed columns but the engine's are 0: no main cell enters anything. Lanes that no form of a row
//! covers enter no sum; their lookups are made with values of the prover's choice, which harms nobody. So are the parts
//! of a unit that a tensor of odd length does not have: a maximum has its element only where its whole window is.
//!
//! ## Soundness
//!
//! - `rem`: each limb is in `[0, 2^rem_bits[i])` by `RANGE`, hence `0 ≤ rem < 2^s`. The width is
//!   part of the message, so a wide limb cannot pass as a narrow one.
//! - `side`, `q`, `out`: an entry of the table `function`. `side = 1` forces `q` to the upper end
//!   of the domain, `−1` to the lower end.
//! - `excess`: in `[0, 2^excess_bits)`. With `side = 0` it does not matter: it is multiplied by 0.
//! - Uniqueness. Let `V = (q + side·excess)·2^s + rem`, an integer. `V` fixes `out`: inside the
//!   domain `q = ⌊V/2^s⌋`, and where two decompositions of one `V` exist (`side·excess = 0`) they
//!   name the same `q`. `V` is known modulo p and takes fewer than p values: `span ≤ p`, where
//!   `span = (domain + 2·(2^m − 1))·2^s`, is checked on the graph by the verifier
//!   ([`crate::graph::Graph::validate`]). So is the meaning bound, by whoever holds the weights.
//!   Example: s = 10, m = 18, 12-bit domain: `(2^12 + 2^19 − 2)·2^10 = 541 063 168 < p = 2 013 265 921`.
//! - A ranged input: 2 is a polynomial in σ with cells of M for coefficients, so that with probability
//!   `2·n/q` all of them are 0: `out = q + side·excess = lo + rem`, an integer in `[lo, lo + 2^k)`,
//!   `2^k ≤ 2^16 < p`. The value that is claimed is the value the next layer reads.
//! - `larger`: with `m` the largest of the elements before and `d = x − m`, an entry `(comparison, 0, d, larger)` makes
//!   `larger = max(d, 0)`, so that `m + larger = max(m, x)`, by induction the maximum over the window. No wrap: elements
//!   lie in the group's range of at most `2^16` values, its table has every difference of two of them and nothing
//!   else is `≡ d`: `|d| < 2^16 < p/2`. Nothing of another unit can enter: sources are columns of the lane itself, the
//!   same in every lane and row, and [`Groups`](crate::graph::Groups) has checked on the graph that windows are whole, of
//!   the element's own channel, and within its unit. `side` is the constant 0: entries where something saturates do not
//!   match.
//! - `copy`: its chain of places claims its accumulators, as `h` does for a host: by the layer's sum it is the
//!   accumulator modulo p. No lookup keeps it in its range: that accumulators lie in the declared range whatever the
//!   input is checked on the graph but for biases, and with them is a part of the meaning bound. Where a comparison
//!   reads a copy beyond all bounds no table has the difference, and there is no proof.
//! - `h`, `t_k`: fixed by 1 and 3 from row to row. They are *not* fixed on row 0, and need not be: row 0 has
//!   no ratio and no claim.
//! - `g_k`: received, `takes_k` being fixed; held by 4 from the row that received it; or 1 by 5. A row whose
//!   `g_k` is none of these has no form, so that it is multiplied by 0.
//! - Exponents: within a chain the map from elements to monomials is one-to-one, because a grid gives
//!   every element one lane of one row and a lane in use its own index on every axis (the gather of
//!   several elements by a map with `expand = 0` is meant). Lanes beyond the end of a line or of the last
//!   stack are in no form: they cannot pass for pixels of the next line.
//! - A tensor of which the statement says nothing is not claimed, hence as free as the statement
//!   says: some values in its range. What is said is absorbed before all else.
//!
//! ## References
//!
//! Rounding and saturation: `crate::graph::Requant`. Projection: `docs/protocol.md`.

mod block;
mod constants;
mod eval;
mod fixed;
pub mod grid;
pub mod readers;
mod shape;
mod trace;
mod window;

use alloc::vec::Vec;

pub use self::block::{
    Lodger, MemberReader, SlotReader, Source, TensorBlock, readers_of, slots_for,
};
pub use self::shape::{Limbs, RowShape};
pub use self::trace::Factors;
pub use self::window::{Comparison, Window};

use p3_field::Field;

use self::block::{assign, gate_counts};
use self::fixed::Columns;
use self::grid::{Demand, Grid};
use self::readers::{ChainLists, Reader};
use super::{Air, Widths};
use crate::builder::{AirBuilder, Challenges};
use crate::graph::Graph;
use crate::graph::groups::{Group, Member, Role};
use crate::layout::TermIds;

/// An input or output of the graph in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boundary {
    tensor: usize,
    /// The slot that claims it; `None` for an input, which `h` claims.
    slot: Option<usize>,
}

/// A slot: the chains of all tensors in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    is_weighted: bool,
    lists: ChainLists,
}

/// Names activation tables, from 1.
pub trait Functions {
    /// The table of a host; 0 for a ranged input.
    fn of_tensor(&self, tensor: usize) -> usize;
    /// The table that compares elements of a group; 0 if nothing is compared.
    fn of_comparisons(&self, group: &Group) -> usize;
}

/// The chip of one activation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAir {
    /// Lanes of a row.
    pub lanes: usize,
    /// Limb structure of its rows.
    pub limbs: Limbs,
    /// What lies in a lane.
    pub window: Window,
    /// Its groups, in order, without gaps.
    pub blocks: Vec<TensorBlock>,
    own: ChainLists,
    slots: Vec<Slot>,
    boundary: Vec<Boundary>,
    /// Messages about tensors used as gates have numbers from here on.
    first_gate: usize,
}

/// Where the cells of an activation lie.
#[derive(Clone, Copy, Debug)]
struct ElementCols {
    q: usize,
    out: usize,
    side: usize,
    rem: usize,
    excess: usize,
}

impl ActivationAir {
    /// The table of the groups of some hosts, which have one window, in rows of `lanes` lanes. `functions` names
    /// activation tables.
    pub fn new(
        graph: &Graph,
        ids: &TermIds,
        hosts: &[usize],
        lanes: usize,
        limbs: Limbs,
        functions: &impl Functions,
    ) -> Self {
        let groups = || hosts.iter().map(|&host| ids.groups().of(host).0);
        let readers: Vec<_> = groups().map(|g| readers_of(graph, ids, g)).collect();
        let (weighted, all) = readers.iter().fold((0, 0), |(weighted, all), readers| {
            let own = slots_for(readers);
            (weighted.max(own.0), all.max(own.1))
        });
        let slot = |slot: usize| Slot {
            is_weighted: slot < weighted,
            lists: ChainLists::default(),
        };
        let mut air = Self {
            lanes,
            limbs,
            window: groups().next().map(Window::new).unwrap_or_default(),
            blocks: Vec::new(),
            own: ChainLists::default(),
            slots: (0..all).map(slot).collect(),
            boundary: Vec::new(),
            first_gate: ids.count(),
        };
        for (group, readers) in groups().zip(readers) {
            air.push(graph, ids, group, assign(readers, weighted, all), functions);
        }
        air
    }

    fn push(
        &mut self,
        graph: &Graph,
        ids: &TermIds,
        group: &Group,
        readers: Vec<SlotReader>,
        functions: &impl Functions,
    ) {
        let index = group.host();
        let (source, requant) = match index.checked_sub(graph.inputs.len()) {
            None => (Source::Input(index), None),
            Some(layer) => (Source::Layer(layer), Some(&graph.layers[layer].requant)),
        };
        let ranged = graph.ranged_bits(index);
        let lodger = |member: &Member| Lodger {
            member: member.clone(),
            extent: graph.tensors[member.tensor].extent,
        };
        let block = TensorBlock {
            tensor: index,
            members: group.members.iter().map(lodger).collect(),
            start: self.blocks.last().map_or(0, TensorBlock::end),
            grid: Grid::new(&Demand::of(graph, ids, group), self.lanes as u32),
            source,
            readers,
            gates: gate_counts(graph, ids, index),
            shift: requant.map_or(ranged.unwrap_or(0), |r| r.shift),
            excess_bits: requant.map_or(0, |r| r.excess_bits),
            function: functions.of_tensor(index),
            lo: ranged.map_or(0, |_| graph.tensors[index].range.lo),
            comparison: functions.of_comparisons(group),
        };
        self.own.add(&block.own_reader(), 0, block.tenant(0));
        if matches!(source, Source::Input(_)) {
            self.boundary.push(Boundary {
                tensor: index,
                slot: None,
            });
        }
        for SlotReader {
            slot,
            member,
            reader,
        } in &block.readers
        {
            let lists = &mut self.slots[*slot].lists;
            lists.add(reader, *member, block.tenant(*member));
            if *reader == Reader::Output {
                self.boundary.push(Boundary {
                    tensor: block.members[*member].member.tensor,
                    slot: Some(*slot),
                });
            }
        }
        self.blocks.push(block);
    }

    fn shape(&self) -> RowShape {
        RowShape {
            lanes: self.lanes,
            hosts: self.window.hosts,
            copies: self.window.copies,
            comparisons: self.window.comparisons.len(),
            limbs: self.limbs,
            weighted: self.slots.iter().filter(|s| s.is_weighted).count(),
            slots: self.slots.len(),
            gates: self.has_gates(),
        }
    }

    /// Main columns of one lane.
    pub fn lane_width(&self) -> usize {
        self.window.hosts * self.limbs.element_width() + self.window.others()
    }

    /// The first main column of an activation; with the number of activations for `part`, that of the other values.
    pub fn element(&self, part: usize, lane: usize) -> usize {
        lane * self.lane_width() + part * self.limbs.element_width()
    }

    fn cells(&self, part: usize, lane: usize) -> ElementCols {
        let q = self.element(part, lane);
        let has_side = (self.limbs.excess > 0) as usize;
        ElementCols {
            q,
            out: q + 1,
            side: q + 2,
            rem: q + 2 + has_side,
            excess: q + 2 + has_side + self.limbs.rem,
        }
    }

    /// The main column of a value of a lane.
    pub fn value(&self, value: usize, lane: usize) -> usize {
        match value.checked_sub(self.window.hosts) {
            None => self.cells(value, lane).out,
            Some(other) => self.element(self.window.hosts, lane) + other,
        }
    }

    /// How the cells of a block's rows are shared among its tensors: what their elements, and the slots that read
    /// them, add to a row.
    pub fn shares(&self, block: &TensorBlock, degree: usize) -> Vec<(usize, usize)> {
        // In halves of a cell: a LogUp column has two messages.
        let lookup = degree;
        let members = block.members.iter().enumerate();
        members
            .map(|(i, lodger)| {
                let of_lane = match &lodger.member.role {
                    Role::Host => {
                        let lookups = 1 + self.num_limbs();
                        self.window.hosts * (2 * self.limbs.element_width() + lookups * lookup)
                    }
                    Role::Copy => 2 * lodger.member.parts(),
                    Role::Max(parts) => {
                        let own = parts.iter().map(|sources| sources.len() - 1).sum::<usize>();
                        own * (2 + lookup)
                    }
                };
                let slots = block.readers.iter().filter(|r| r.member == i).map(|r| {
                    let columns = 1 + usize::from(r.reader.is_weighted());
                    columns * (2 * degree + lookup)
                });
                (
                    lodger.member.tensor,
                    self.lanes * of_lane + slots.sum::<usize>(),
                )
            })
            .collect()
    }

    /// Limb columns an activation has.
    const fn num_limbs(&self) -> usize {
        self.limbs.rem + self.limbs.excess
    }

    fn has_ranged(&self) -> bool {
        self.blocks.iter().any(TensorBlock::is_ranged)
    }

    fn has_gates(&self) -> bool {
        self.blocks.iter().any(|b| !b.gates.is_empty())
    }

    /// The projection column of `t_k`; the one before it is `g_k` in a weighted slot.
    fn total_column(&self, slot: usize) -> usize {
        let before = self.slots[..=slot].iter();
        before.map(|s| 1 + usize::from(s.is_weighted)).sum()
    }
}

impl Air for ActivationAir {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn widths(&self) -> Widths {
        let shape = self.shape();
        Widths {
            fixed: Columns::new(self).width(),
            weight: 0,
            main: shape.main(),
            projection: shape.projection(),
            messages: shape.messages(),
            constraints: self.constraint_names().len(),
        }
    }

    /// All tensors, and the row below the last one.
    fn rows(&self) -> usize {
        self.blocks.last().map_or(0, TensorBlock::end) + 1
    }

    fn constants<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        constants::compute(self, challenges)
    }

    /// Beyond its claims: constraint 2.
    fn projection_degree(&self) -> usize {
        match self.has_ranged() {
            true => 2 * self.lanes * self.window.hosts,
            false => 0,
        }
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        if builder.wants_constraints() {
            self.eval_chains(builder);
        }
        for lane in 0..self.lanes {
            for part in 0..self.window.hosts {
                self.eval_lookups(builder, part, lane);
            }
            for comparison in &self.window.comparisons {
                self.eval_comparison(builder, comparison, lane);
            }
        }
        self.eval_claims(builder);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        fixed::generate(self)
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        let mut names = alloc::vec!["project"];
        if self.has_ranged() {
            names.push("ranged");
        }
        for slot in &self.slots {
            names.push("consume");
            if slot.is_weighted {
                names.extend(["hold", "one"]);
            }
        }
        names
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        match constraint {
            "project" => "h, q, side, rem, excess",
            "ranged" => "q, side, excess, out, rem",
            "consume" => "t, out, g",
            _ => "g",
        }
    }
}
