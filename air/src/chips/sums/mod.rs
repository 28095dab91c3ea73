//! # Sums: a layer's accumulators are the sum of its terms
//!
//! A layer has a row for each term, for its biases and for its overhang if there is one, and a last row for
//! its accumulators. Each row receives one value; on the last it must be the sum of those above.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | fixed | `keep` | 1 on rows of a layer except its first |
//! | fixed | `whole` | 1 on a layer's last row |
//! | fixed | `kind`, `number`, `claims` | the claim received: a term's or an accumulator's |
//! | fixed | `products` | 1 where the biases are received |
//! | projection | `v` | the value received |
//! | projection | `s` | the values of the rows above, of this layer, added up |
//!
//! ## Constraints
//!
//!   1. `add`     `step·s' − (live − whole)·(keep·s + v) = 0`                              deg 3
//!   2. `whole`   `whole·(s − v) = 0`                                                      deg 2
//!
//! ## Buses
//!
//! `CLAIM`: receives `(kind, number, v)` `claims` times. `PRODUCT`: receives `(number, 0, v)` `products` times.
//!
//! ## Padding
//!
//! All fixed columns are 0.
//!
//! ## Soundness
//!
//! Exactly one message is received on every live row, both counts being fixed. `s` is fixed by 1 on all rows but
//! the first, where `keep = 0`; a layer's last row has at least one row above. The signs of overhangs are
//! turned where they are sent.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field, PrimeCharacteristicRing};

use super::{Air, Widths, small};
use crate::builder::{AirBuilder, Element, engine};
use crate::bus::{Bus, ClaimKind};
use crate::graph::{Frame, Graph};
use crate::layout::TermIds;

/// What a row receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The term with this number.
    Term(usize),
    /// The biases with this number.
    Bias(usize),
    /// The accumulators of this tensor.
    Whole(usize),
}

/// The chip of all sums of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumsAir {
    /// The parts of all layers, each layer ended by its whole.
    pub parts: Vec<Part>,
}

mod fixed {
    use super::engine;
    pub const KEEP: usize = engine::WIDTH;
    pub const WHOLE: usize = engine::WIDTH + 1;
    pub const KIND: usize = engine::WIDTH + 2;
    pub const NUMBER: usize = engine::WIDTH + 3;
    pub const CLAIMS: usize = engine::WIDTH + 4;
    pub const PRODUCTS: usize = engine::WIDTH + 5;
    pub const WIDTH: usize = engine::WIDTH + 6;
}

impl SumsAir {
    /// The sums of a graph's layers.
    pub fn new(graph: &Graph, ids: &TermIds) -> Self {
        let mut parts = Vec::new();
        for (l, layer) in graph.sums() {
            parts.extend((0..layer.terms.len()).map(|t| Part::Term(ids.term(l, t))));
            parts.push(Part::Bias(ids.bias(graph, l)));
            if !Frame::new(graph, layer).is_tight() {
                parts.push(Part::Term(ids.overhang(graph, l)));
            }
            parts.push(Part::Whole(layer.output.index()));
        }
        Self { parts }
    }

    /// The tensor whose sum a row belongs to.
    pub fn tensor_of(&self, row: usize) -> Option<usize> {
        let mut below = self.parts.get(row..)?.iter();
        below.find_map(|part| match *part {
            Part::Whole(tensor) => Some(tensor),
            Part::Term(_) | Part::Bias(_) => None,
        })
    }

    /// The projection columns `v`, `s` from the values of all terms, biases and overhangs by number.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        values: &[EF],
        height: usize,
    ) -> Vec<EF> {
        let mut cells = EF::zero_vec(2 * height);
        let mut sum = EF::ZERO;
        for (part, row) in self.parts.iter().zip(cells.chunks_exact_mut(2)) {
            row[1] = sum;
            match *part {
                Part::Term(number) | Part::Bias(number) => {
                    row[0] = values.get(number).copied().unwrap_or(EF::ZERO);
                    sum += row[0];
                }
                Part::Whole(_) => {
                    row[0] = sum;
                    sum = EF::ZERO;
                }
            }
        }
        cells
    }
}

impl Air for SumsAir {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::WIDTH,
            weight: 0,
            main: 0,
            projection: 2,
            messages: 2,
            constraints: self.constraint_names().len(),
        }
    }

    fn rows(&self) -> usize {
        self.parts.len()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        let row = builder.row();
        let (v, s, s_next) = (row.projection[0], row.projection[1], row.projection_next[1]);
        let f = |column: usize| row.fixed[column];
        let (keep, whole, live) = (f(fixed::KEEP), f(fixed::WHOLE), row.live());
        let [kind, number] = [fixed::KIND, fixed::NUMBER].map(f);
        let (claims, products) = (f(fixed::CLAIMS), f(fixed::PRODUCTS));
        let add = s_next * row.step() - (s * keep + v) * (live - whole);
        builder.assert_zero_ext("add", add);
        builder.assert_zero_ext("whole", (s - v) * whole);
        let claim = [Element::Base(kind), Element::Base(number), Element::Ext(v)];
        builder.message(Bus::Claim, -claims, &claim);
        let product = [
            Element::Base(number),
            Element::Base(B::Expr::ZERO),
            Element::Ext(v),
        ];
        builder.message(Bus::Product, -products, &product);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let mut values = Vec::with_capacity(self.rows() * (fixed::WIDTH - engine::WIDTH));
        let mut is_first = true;
        for part in &self.parts {
            let (kind, number) = match *part {
                Part::Term(number) => (Some(ClaimKind::Term), number),
                Part::Bias(number) => (None, number),
                Part::Whole(tensor) => (Some(ClaimKind::Accumulator), tensor),
            };
            let is_whole = matches!(part, Part::Whole(_));
            values.extend([
                F::from_bool(!is_first),
                F::from_bool(is_whole),
                kind.map_or(F::ZERO, |kind| F::from_u8(kind as u8)),
                small(number),
                F::from_bool(kind.is_some()),
                F::from_bool(kind.is_none()),
            ]);
            is_first = is_whole;
        }
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        alloc::vec!["add", "whole"]
    }

    fn columns_of(&self, _constraint: &str) -> &'static str {
        "s, v"
    }
}
