//! # Overhang: what a product of polynomials has beyond the image
//!
//! A convolution is checked as a product of polynomials, input times kernel. The product has more
//! coefficients than the layer has outputs: kernels reach over the edge of the image. These coefficients,
//! the *overhang*, are nobody's outputs. They are committed here as plain field elements, one cell each,
//! and added to the outputs' side of the identity.
//!
//! Outside the output, each feature has *lines*: along the width where the depth or the height is outside,
//! along the height where only the width is.
//!
//! ## Columns
//!
//! | kind | column | meaning |
//! |---|---|---|
//! | main | `x[b]` | coefficients of a stretch of a line |
//! | fixed | `across`, `down` | 1 if the stretch runs along the width, along the height |
//! | fixed | `keep` | 1 on rows of a layer except its first |
//! | fixed | `ratio[i]` | 1 if the row's sum is passed on times constant `i` |
//! | fixed | `term`, `count` | the claim on `t`, on the row below a layer |
//! | projection | `t` | the layer above, finished; within a layer its rows above |
//!
//! ## Constraints
//!
//! With the constants `r_i`, `F = across·Σ_b σ_2^b·x[b] + down·Σ_b σ_1^b·x[b]`:
//!
//!   1. `fold`   `step·t' − Σ_i r_i·ratio[i]·(keep·t + F) = 0`                            deg 3
//!
//! A row whose first lane stands at `M` has `r = M/M_next`, a layer's last row `r = −M`.
//!
//! ## Buses
//!
//! `CLAIM`: sends `(Term, term, t)` `count` times.
//!
//! ## Padding
//!
//! All fixed columns are 0; cells unread.
//!
//! ## Soundness
//!
//! Cells are free, and may be. The identity of a layer says that outputs plus overhang are the product, as
//! polynomials. Every lane of a row stands at a position outside the output: a line across lies at a depth or
//! height outside, with whatever width; a line down at a width outside. So no lane shares a monomial with an
//! output, lanes beyond a line's end included, and whatever the cells are, the coefficients *at the outputs* must
//! be those of the product. Everything is committed before the challenges are drawn.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;

use super::{Air, Widths, small};
use crate::builder::{AirBuilder, Challenges, Element, engine};
use crate::bus::{Bus, ClaimKind};
use crate::graph::map::strides;
use crate::graph::{AXES, Frame, Graph};
use crate::layout::TermIds;
use crate::projection::{Interner, Monomial, select};

/// A stretch of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Position of its first lane.
    pub start: [i32; AXES],
    /// Whether it runs along the height, not the width.
    pub down: bool,
    /// Lanes within the frame.
    pub len: usize,
}

/// The overhang of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverhangBlock {
    /// Index of the layer.
    pub layer: usize,
    /// Number of the overhang among terms.
    pub term: usize,
    /// First row.
    pub start: usize,
    /// Features of the layer's output.
    pub features: usize,
    /// Where coefficients may lie.
    pub frame: Frame,
    /// The rows of a feature.
    pub stretches: Vec<Stretch>,
}

impl OverhangBlock {
    /// The first row below the block.
    pub fn end(&self) -> usize {
        self.start + self.features * self.stretches.len()
    }

    /// The monomial of the first lane of a row.
    fn monomial(&self, feature: usize, stretch: &Stretch) -> Monomial {
        Monomial {
            rho: (self.features - 1 - feature) as i32,
            sigma: stretch.start,
        }
    }
}

/// The chip of all overhangs of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverhangAir {
    /// Lanes of a row.
    pub lanes: usize,
    /// Layers in order, without gaps.
    pub blocks: Vec<OverhangBlock>,
    /// A monomial and whether it is negated.
    ratios: Interner<(Monomial, bool)>,
}

mod fixed {
    use super::engine;
    pub const ACROSS: usize = engine::WIDTH;
    pub const DOWN: usize = engine::WIDTH + 1;
    pub const KEEP: usize = engine::WIDTH + 2;
    pub const TERM: usize = engine::WIDTH + 3;
    pub const COUNT: usize = engine::WIDTH + 4;
    pub const RATIO: usize = engine::WIDTH + 5;
}

/// The lines of a frame outside the output: where each starts, whether it runs down, how long it is.
pub fn lines(frame: &Frame) -> Vec<([i32; AXES], bool, usize)> {
    let mut lines = Vec::new();
    let end = frame.extent.map(|n| n as i32);
    let inside = |axis: usize, i: i32| (0..end[axis]).contains(&i);
    for z in frame.lo[0]..frame.hi[0] {
        for y in frame.lo[1]..frame.hi[1] {
            if !inside(0, z) || !inside(1, y) {
                let [from, to] = [frame.lo[2], frame.hi[2]];
                lines.push(([z, y, from], false, (to - from) as usize));
            }
        }
        if inside(0, z) {
            for x in (frame.lo[2]..0).chain(end[2]..frame.hi[2]) {
                lines.push(([z, 0, x], true, end[1] as usize));
            }
        }
    }
    lines
}

/// The stretches that cover a frame outside the output.
fn stretches(frame: &Frame, lanes: usize) -> Vec<Stretch> {
    let cut = |(start, down, len): ([i32; AXES], bool, usize)| {
        let axis = if down { 1 } else { 2 };
        (0..len).step_by(lanes).map(move |from| {
            let mut at = start;
            at[axis] += from as i32;
            Stretch {
                start: at,
                down,
                len: lanes.min(len - from),
            }
        })
    };
    lines(frame).into_iter().flat_map(cut).collect()
}

/// The coefficients of a layer's product in a box, `[feature][position]`.
pub type Product<'a> = &'a dyn Fn(usize, [i32; AXES], [i32; AXES]) -> Vec<i64>;

/// Disjoint boxes that cover a frame outside the output, on either side of each axis.
fn boxes(frame: &Frame) -> Vec<[[i32; AXES]; 2]> {
    let mut boxes = Vec::new();
    let (mut lo, mut hi) = (frame.lo, frame.hi);
    for axis in 0..AXES {
        let end = frame.extent[axis] as i32;
        for (from, to) in [(frame.lo[axis], 0), (end, frame.hi[axis])] {
            (lo[axis], hi[axis]) = (from, to);
            if from < to {
                boxes.push([lo, hi]);
            }
        }
        (lo[axis], hi[axis]) = (0, end);
    }
    boxes
}

impl OverhangAir {
    /// The table of a graph's overhangs; `None` if nothing hangs over.
    pub fn new(graph: &Graph, ids: &TermIds, lanes: usize) -> Option<Self> {
        let mut air = Self {
            lanes,
            blocks: Vec::new(),
            ratios: Interner::default(),
        };
        for (l, layer) in graph.sums() {
            let frame = Frame::new(graph, layer);
            if frame.is_tight() {
                continue;
            }
            let block = OverhangBlock {
                layer: l,
                term: ids.overhang(graph, l),
                start: air.blocks.last().map_or(0, OverhangBlock::end),
                features: graph.tensors[layer.output.index()].features as usize,
                frame,
                stretches: stretches(&frame, lanes),
            };
            air.collect_ratios(&block);
            air.blocks.push(block);
        }
        (!air.blocks.is_empty()).then_some(air)
    }

    /// Steps between stretches are the same for every feature.
    fn collect_ratios(&mut self, block: &OverhangBlock) {
        let reach = block.features.min(2);
        for feature in block.features - reach..block.features {
            for i in 0..block.stretches.len() {
                self.ratios.index(Self::ratio(block, feature, i));
            }
        }
    }

    fn ratio(block: &OverhangBlock, feature: usize, i: usize) -> (Monomial, bool) {
        let own = block.monomial(feature, &block.stretches[i]);
        let next = match block.stretches.get(i + 1) {
            Some(next) => block.monomial(feature, next),
            None if feature + 1 < block.features => {
                block.monomial(feature + 1, &block.stretches[0])
            }
            None => return (own, true),
        };
        (own.over(next), false)
    }

    /// The main trace.
    pub fn generate_main<F: Field>(
        &self,
        product: Product<'_>,
        height: usize,
    ) -> RowMajorMatrix<F> {
        let mut values = F::zero_vec(height * self.lanes);
        for block in &self.blocks {
            for [lo, hi] in boxes(&block.frame) {
                let size: [u32; AXES] = core::array::from_fn(|a| (hi[a] - lo[a]) as u32);
                let strides = strides(size);
                let positions: usize = size.iter().map(|&n| n as usize).product();
                let coefficients = product(block.layer, lo, hi);
                let within = |s: &Stretch| (0..AXES).all(|a| (lo[a]..hi[a]).contains(&s.start[a]));
                for (i, stretch) in block
                    .stretches
                    .iter()
                    .enumerate()
                    .filter(|(_, s)| within(s))
                {
                    let at: usize = (0..AXES)
                        .map(|a| (stretch.start[a] - lo[a]) as usize * strides[a])
                        .sum();
                    let step = strides[if stretch.down { 1 } else { 2 }];
                    for feature in 0..block.features {
                        let row = block.start + feature * block.stretches.len() + i;
                        let cells = &mut values[row * self.lanes..][..stretch.len];
                        for (lane, cell) in cells.iter_mut().enumerate() {
                            let value = coefficients[feature * positions + at + lane * step];
                            *cell = super::signed(value);
                        }
                    }
                }
            }
        }
        RowMajorMatrix::new(values, self.lanes)
    }

    /// The projection column.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let constants = self.constants(challenges);
        let (forms, ratios) = constants.split_at(2 * self.lanes);
        let mut column = EF::zero_vec(height);
        for block in &self.blocks {
            let mut t = EF::ZERO;
            let rows =
                (0..block.features).flat_map(|f| (0..block.stretches.len()).map(move |i| (f, i)));
            for (r, (feature, i)) in (block.start..).zip(rows) {
                let from = self.lanes * usize::from(block.stretches[i].down);
                let cells = &main.values[r * main.width..(r + 1) * main.width];
                let terms = forms[from..].iter().zip(cells);
                t += terms.map(|(&c, &x)| c * x).sum::<EF>();
                let ratio = self.ratios.find(&Self::ratio(block, feature, i));
                t *= ratio.map_or(EF::ZERO, |i| ratios[i]);
                column[r + 1] = t;
            }
        }
        column
    }
}

impl Air for OverhangAir {
    fn name(&self) -> &'static str {
        "overhang"
    }

    fn widths(&self) -> Widths {
        Widths {
            fixed: fixed::RATIO + self.ratios.len(),
            weight: 0,
            main: self.lanes,
            projection: 1,
            messages: 1,
            constraints: self.constraint_names().len(),
        }
    }

    /// All layers, and the row below the last one.
    fn rows(&self) -> usize {
        self.blocks.last().map_or(0, OverhangBlock::end) + 1
    }

    /// Powers of σ_2, of σ_1, ratios.
    fn constants<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        let points = &challenges.points;
        let powers = |axis| {
            let base = points.at(Monomial::sigma(axis, 1));
            base.powers().take(self.lanes).collect()
        };
        let ratio = |&(monomial, negated): &(Monomial, bool)| match negated {
            true => -points.at(monomial),
            false => points.at(monomial),
        };
        let ratios = self.ratios.items().iter().map(ratio);
        [powers(2), powers(1)]
            .concat()
            .into_iter()
            .chain(ratios)
            .collect()
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        use p3_field::PrimeCharacteristicRing;
        let row = builder.row();
        let (forms, ratios) = builder.constants().split_at(2 * self.lanes);
        let form = |coefficients: &[B::EF]| {
            let terms = coefficients.iter().zip(row.main);
            terms.fold(B::ExprEF::ZERO, |sum, (&c, &x)| {
                sum + B::ExprEF::from(c) * x
            })
        };
        let (t, t_next) = (row.projection[0], row.projection_next[0]);
        let f = |column: usize| row.fixed[column];
        let value = t * f(fixed::KEEP)
            + form(&forms[..self.lanes]) * f(fixed::ACROSS)
            + form(&forms[self.lanes..]) * f(fixed::DOWN);
        let ratio: B::ExprEF = select(&row.fixed[fixed::RATIO..], ratios);
        let count = f(fixed::COUNT);
        let kind = count * B::Expr::from(small::<B::F>(ClaimKind::Term as usize));
        let entries = [
            Element::Base(kind),
            Element::Base(f(fixed::TERM)),
            Element::Ext(t),
        ];
        // step·t' = Σ_i r_i·ratio[i]·(keep·t + F)
        builder.assert_zero_ext("fold", t_next * row.step() - ratio * value);
        builder.message(Bus::Claim, count, &entries);
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        let width = self.widths().fixed - engine::WIDTH;
        let mut values = F::zero_vec(self.rows() * width);
        let mut set = |row: usize, column: usize, value: F| {
            values[row * width + column - engine::WIDTH] = value;
        };
        for block in &self.blocks {
            for feature in 0..block.features {
                for (i, stretch) in block.stretches.iter().enumerate() {
                    let row = block.start + feature * block.stretches.len() + i;
                    set(row, fixed::ACROSS, F::from_bool(!stretch.down));
                    set(row, fixed::DOWN, F::from_bool(stretch.down));
                    set(row, fixed::KEEP, F::from_bool(row > block.start));
                    if let Some(ratio) = self.ratios.find(&Self::ratio(block, feature, i)) {
                        set(row, fixed::RATIO + ratio, F::ONE);
                    }
                }
            }
            set(block.end(), fixed::TERM, small(block.term));
            set(block.end(), fixed::COUNT, F::ONE);
        }
        values
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        alloc::vec!["fold"]
    }

    fn columns_of(&self, _constraint: &str) -> &'static str {
        "t, x"
    }
}
