//! # Security levels
//!
//! The soundness error of a proof is at most the sum of its rounds' errors; the level reported is
//! the smallest of the rounds' bits. All rounds are *proven*, in the unique-decoding regime: the
//! list size is 1 and nothing is conjectured about Reed–Solomon codes.
//!
//! With q = p^D, h the logarithm of the tallest table, k = 2^h, n = k·2^b, and k₀, n₀ the same for
//! the shortest table, where a far word is hardest to catch:
//!
//! | round | bits |
//! |---|---|
//! | projection | log q − log Σ (degrees of the projected identities) |
//! | lookup | log q − log N − log(W + 2) + grinding, N messages in all, W entries each |
//! | constraints | log q − log C, C constraints in all |
//! | out of domain | log q − log max(d(k+1) + k − 1, (c+1)k + 1) + grinding, d = 3, c chunks |
//! | batching | log q − log(n + 1) − log(B − 1) + grinding, B opened columns × points |
//! | folding | log q − log(n + 1) − log A + grinding, A the largest arity, inputs joining counted |
//! | queries | −s·log((1 + (k₀ + 2)/n₀)/2) + grinding |
//! | hash | 128 |
//!
//! A rekey proof ([`crate::rekey`]) has the last four and two of its own, over the tables that have
//! weight columns:
//!
//! | round | bits |
//! |---|---|
//! | same weights | log q − log(w − 1), w weight columns of the widest table |
//! | out of domain | log q − log(2k + 1) + grinding |
//!
//! References: BCIKS20 (eprint 2020/654) for proximity gaps within unique decoding; eprint
//! 2022/1530 for LogUp; eprint 2023/1071 for the FRI batching and folding rounds.

use alloc::string::String;
use alloc::vec::Vec;

use air::chips::{Air, Chip, MAX_DEGREE};
use air::graph::{Frame, Graph, Layer, Tensor};
use air::layout::{Layout, Table};
use air::logup::lookup_constraints;
use p3_field::{BasedVectorSpace, PrimeField32};

use crate::config::Protocol;
use crate::profile::Profile;

/// The level of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Which round.
    pub name: &'static str,
    /// Its soundness error, as bits.
    pub bits: f64,
}

/// The levels of all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Security {
    /// One entry per round.
    pub rounds: Vec<Round>,
}

/// Numbers the formulas need, all from the layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Logarithm of the tallest table.
    pub log_height: usize,
    /// Logarithm of the shortest table.
    pub min_log_height: usize,
    /// Constraints of all tables.
    pub constraints: usize,
    /// Messages × height, all tables, and the verifier's own.
    pub messages: usize,
    /// Entries of the longest message, bus included.
    pub message_len: usize,
    /// Summed degrees of the projected identities.
    pub projection_degree: usize,
    /// Opened (column, point) pairs.
    pub openings: usize,
    /// Most quotient chunks of a table.
    pub quotient_chunks: usize,
}

impl Shape {
    /// The shape of a graph's layout.
    pub fn new(graph: &Graph, layout: &Layout, extension_degree: usize) -> Self {
        let mut shape = Self::of_tables(layout, extension_degree);
        shape.messages += graph.inputs.len() + graph.outputs.len();
        // The claim on an input or output is a polynomial in ρ and σ_2 of degree (features − 1) +
        // (positions − 1). The verifier receives it, or a statement's tables do.
        let degree = |t: &Tensor| t.features as usize + t.positions();
        let boundary = || graph.inputs.iter().chain(&graph.outputs);
        let degrees = || boundary().map(|id| degree(&graph.tensors[id.index()]));
        let of_statement = layout.tables.iter().filter(|t| t.is_outside_key());
        shape.projection_degree += degrees().sum::<usize>();
        shape.projection_degree += degrees().max().unwrap_or(0) * of_statement.count();
        shape.projection_degree += layer_degrees(graph, layout);
        shape
    }

    /// The shape of tables about no tensor: those of an attestation.
    pub fn of_tables(layout: &Layout, extension_degree: usize) -> Self {
        let mut shape = Self {
            log_height: 0,
            min_log_height: usize::MAX,
            constraints: 0,
            messages: 0,
            message_len: air::bus::MAX_MESSAGE_LEN + 1,
            projection_degree: 0,
            openings: 0,
            quotient_chunks: 0,
        };
        for table in &layout.tables {
            let w = table.widths;
            debug_assert_eq!(w.constraints, table.chip.constraint_names().len());
            shape.log_height = shape.log_height.max(table.log_height);
            shape.min_log_height = shape.min_log_height.min(table.log_height);
            shape.constraints += w.constraints + lookup_constraints(w.messages);
            shape.messages += w.messages << table.log_height;
            shape.projection_degree += table.chip.projection_degree();
            let c = table.committed;
            shape.quotient_chunks = shape.quotient_chunks.max(c.quotient);
            shape.openings += c.fixed
                + w.weight
                + c.main
                + extension_degree * (2 * c.projection + 2 * c.lookup + c.quotient);
        }
        if layout.is_hiding() {
            // The mask of the batch.
            shape.openings += extension_degree;
        }
        shape
    }
}

/// Summed degrees of the layers' identities, Laurent polynomials in ρ, σ_0, σ_1, σ_2: for each variable the
/// exponents that occur, from the least to the largest, and 1 because a variable may be 0.
fn layer_degrees(graph: &Graph, layout: &Layout) -> usize {
    // Empty lanes of weights have exponents beyond the outputs', those of overhangs beyond the frame.
    let (mut beyond, mut outside) = (0, 0);
    for table in &layout.tables {
        match &table.chip {
            Chip::Weights(air) => beyond = air.lanes,
            Chip::Overhang(air) => outside = 2 * air.lanes,
            _ => {}
        }
    }
    let degree = |layer: &Layer| {
        let frame = Frame::new(graph, layer);
        let spans = frame.lo.iter().zip(frame.hi);
        let positions: usize = spans.map(|(&lo, hi)| hi.abs_diff(lo) as usize + 1).sum();
        let features = graph.tensors[layer.output.index()].features as usize;
        features + beyond + positions + outside + 1
    };
    graph.sums().map(|(_, layer)| degree(layer)).sum()
}

/// What the level of a rekey proof depends on, of the tables that have weight columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyShape {
    /// Logarithm of the tallest height.
    pub log_height: usize,
    /// Logarithm of the shortest height.
    pub min_log_height: usize,
    /// Weight columns of the widest.
    pub columns: usize,
    /// Opened columns.
    pub openings: usize,
}

impl RekeyShape {
    /// The shape of a layout.
    pub fn new(layout: &Layout, extension_degree: usize) -> Self {
        let tables = || layout.weight_tables();
        let width = |t: &Table| t.widths.weight;
        Self {
            log_height: tables().map(|t| t.log_height).max().unwrap_or(0),
            min_log_height: tables().map(|t| t.log_height).min().unwrap_or(0),
            columns: tables().map(width).max().unwrap_or(0),
            // Old and new weights and a quotient for each table; the mask of the batch.
            openings: tables()
                .map(|t| 2 * width(t) + extension_degree)
                .sum::<usize>()
                + extension_degree,
        }
    }
}

impl Security {
    /// The level of a profile at a given shape.
    pub fn new<P: Protocol>(profile: &Profile, shape: &Shape) -> Self {
        let log_q = log_q::<P>();
        let k = libm::exp2(shape.log_height as f64);
        let (d, c) = (MAX_DEGREE as f64, shape.quotient_chunks as f64);
        let ood = (d * (k + 1.0) + k - 1.0).max((c + 1.0) * k + 1.0);
        let mut rounds = alloc::vec![
            round("projection", log_q - count(shape.projection_degree)),
            round(
                "lookup",
                log_q - count(shape.messages) - count(shape.message_len + 2)
                    + profile.lookup_pow_bits as f64,
            ),
            round("constraints", log_q - count(shape.constraints)),
            round(
                "out of domain",
                log_q - log(ood) + profile.ood_pow_bits as f64
            ),
        ];
        let heights = [shape.min_log_height, shape.log_height];
        rounds.extend(opening::<P>(profile, heights, shape.openings));
        Self { rounds }
    }

    /// The level of a profile's rekey proofs at a given shape.
    pub fn rekey<P: Protocol>(profile: &Profile, shape: &RekeyShape) -> Self {
        let log_q = log_q::<P>();
        let k = libm::exp2(shape.log_height as f64);
        let mut rounds = alloc::vec![
            round(
                "same weights",
                log_q - count(shape.columns.saturating_sub(1))
            ),
            round(
                "out of domain",
                log_q - log(2.0 * k + 1.0) + profile.ood_pow_bits as f64
            ),
        ];
        let heights = [shape.min_log_height, shape.log_height];
        rounds.extend(opening::<P>(profile, heights, shape.openings));
        Self { rounds }
    }

    /// The level: the smallest of all rounds.
    pub fn bits(&self) -> f64 {
        self.rounds
            .iter()
            .map(|r| r.bits)
            .fold(f64::INFINITY, f64::min)
    }

    /// The round with the smallest level.
    pub fn binding(&self) -> &'static str {
        self.rounds
            .iter()
            .min_by(|a, b| a.bits.total_cmp(&b.bits))
            .map_or("", |r| r.name)
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        alloc::format!(
            "{} bits proven (unique decoding; weakest round: {})",
            self.bits() as u32,
            self.binding()
        )
    }
}

fn round(name: &'static str, bits: f64) -> Round {
    Round { name, bits }
}

fn log(x: f64) -> f64 {
    libm::log2(x.max(1.0))
}

fn count(x: usize) -> f64 {
    log(x as f64)
}

fn log_q<P: Protocol>() -> f64 {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    degree as f64 * libm::log2(f64::from(P::Val::ORDER_U32))
}

/// The rounds of an opening proof: shortest and tallest height, opened columns × points.
fn opening<P: Protocol>(
    profile: &Profile,
    [shortest, tallest]: [usize; 2],
    openings: usize,
) -> [Round; 4] {
    let log_q = log_q::<P>();
    let n = libm::exp2((tallest + profile.log_blowup) as f64);
    let arity = libm::exp2(profile.max_log_arity as f64);
    let shortest = libm::exp2(shortest as f64);
    let rate = (shortest + 2.0) / (shortest * libm::exp2(profile.log_blowup as f64));
    let per_query = -libm::log2((1.0 + rate) / 2.0);
    [
        round(
            "batching",
            log_q - log(n + 1.0) - count(openings.saturating_sub(1))
                + profile.batch_pow_bits as f64,
        ),
        round(
            "folding",
            log_q - log(n + 1.0) - log(arity) + profile.fold_pow_bits as f64,
        ),
        round(
            "queries",
            profile.num_queries as f64 * per_query + profile.query_pow_bits as f64,
        ),
        round("hash", 128.0),
    ]
}
