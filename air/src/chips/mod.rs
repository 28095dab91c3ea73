//! # Chips
//!
//! A chip is an AIR with its columns, trace generator and bus traffic. Operators of a model lower
//! to chips; chips know nothing of ONNX. This file is the registry: adding a chip is a folder, a
//! variant and a line in `with_chip`.

pub mod activation;
pub mod attest;
pub mod compare;
pub mod hashed;
pub mod lookup;
pub mod overhang;
pub mod poseidon2;
pub mod sha256;
pub mod sums;
pub mod weights;

use alloc::vec::Vec;

use p3_field::Field;

use self::activation::ActivationAir;
use self::attest::{AttestSumsAir, AttestWeightsAir};
use self::compare::CompareAir;
use self::lookup::LookupAir;
use self::overhang::OverhangAir;
use self::poseidon2::Poseidon2Air;
use self::sha256::Sha256Air;
use self::sums::SumsAir;
use self::weights::WeightsAir;
use crate::builder::{AirBuilder, Challenges};

/// Largest degree of any constraint. With degree 3 the quotient has two chunks, three with masks,
/// and a blow-up of 2 is enough.
pub const MAX_DEGREE: usize = 3;

/// Number of columns of each kind, and of messages per row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// Fixed columns, the engine's included.
    pub fixed: usize,
    /// Weight columns.
    pub weight: usize,
    /// Main columns.
    pub main: usize,
    /// Projection columns, each an extension element.
    pub projection: usize,
    /// Messages per row.
    pub messages: usize,
    /// Constraints the chip asserts itself, LogUp's not counted.
    pub constraints: usize,
}

impl Widths {
    /// LogUp columns, each an extension element.
    pub const fn lookup(&self) -> usize {
        crate::logup::lookup_width(self.messages)
    }
}

/// A chip's constraints and bus traffic.
pub trait Air {
    /// The chip's name in messages and tables.
    fn name(&self) -> &'static str;

    /// How many columns, messages and constraints it has.
    fn widths(&self) -> Widths;

    /// Number of live rows.
    fn rows(&self) -> usize;

    /// Coefficients of the chip's linear form of weight columns, if it has one. The engine computes
    /// the form for all rows at once, so that wide rows cost one dot product and no constraint
    /// touches them.
    fn weight_form<EF: Field>(&self, _challenges: &Challenges<EF>) -> Option<Vec<EF>> {
        None
    }

    /// What the chip's constraints need of the challenges, computed once for all rows.
    fn constants<EF: Field>(&self, _challenges: &Challenges<EF>) -> Vec<EF> {
        Vec::new()
    }

    /// Whether a prover's cells enter the messages of a LogUp fraction column. Then the fraction can
    /// be masked only on rows where those cells are 0, see [`crate::hiding`].
    fn needs_blank_band(&self) -> bool {
        // A single message has no fraction column.
        self.widths().messages > 1
    }

    /// Summed degrees, in σ and ρ, of the identities the chip checks by itself. Those on the claims
    /// it sends or receives are not counted.
    fn projection_degree(&self) -> usize {
        0
    }

    /// States all constraints and messages of one row.
    fn eval<B: AirBuilder>(&self, builder: &mut B);

    /// The chip's own fixed columns, without the engine's, row-major over the live rows.
    fn fixed_rows<F: Field>(&self) -> Vec<F>;

    /// Names of the constraints, in the order in which `eval` asserts them.
    fn constraint_names(&self) -> Vec<&'static str>;

    /// The columns the prover fills in that a constraint reads, for messages.
    fn columns_of(&self, constraint: &str) -> &'static str;
}

/// Every chip there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chip {
    /// Requantisation, activation, and sums over tensors.
    Activation(ActivationAir),
    /// Weights folded with ρ and σ.
    Weights(WeightsAir),
    /// What products have beyond the image.
    Overhang(OverhangAir),
    /// The terms of each layer, added up.
    Sums(SumsAir),
    /// A fixed table others look values up in.
    Lookup(LookupAir),
    /// The SHA-256 digest of a hidden tensor.
    Sha256(Sha256Air),
    /// The Poseidon2 digest of a hidden tensor.
    Poseidon2(Poseidon2Air),
    /// Bounds or ranks of a hidden tensor.
    Compare(CompareAir),
    /// The weights of a key, in parts.
    AttestWeights(AttestWeightsAir),
    /// The sums of these parts, within the layers' limits.
    AttestSums(AttestSumsAir),
}

/// Runs the same expression for whichever chip it is.
macro_rules! with_chip {
    ($chip:expr, $air:ident => $body:expr) => {
        match $chip {
            Chip::Activation($air) => $body,
            Chip::Weights($air) => $body,
            Chip::Overhang($air) => $body,
            Chip::Sums($air) => $body,
            Chip::Lookup($air) => $body,
            Chip::Sha256($air) => $body,
            Chip::Poseidon2($air) => $body,
            Chip::Compare($air) => $body,
            Chip::AttestWeights($air) => $body,
            Chip::AttestSums($air) => $body,
        }
    };
}

impl Air for Chip {
    fn name(&self) -> &'static str {
        with_chip!(self, air => air.name())
    }

    fn widths(&self) -> Widths {
        with_chip!(self, air => air.widths())
    }

    fn rows(&self) -> usize {
        with_chip!(self, air => air.rows())
    }

    fn weight_form<EF: Field>(&self, challenges: &Challenges<EF>) -> Option<Vec<EF>> {
        with_chip!(self, air => air.weight_form(challenges))
    }

    fn constants<EF: Field>(&self, challenges: &Challenges<EF>) -> Vec<EF> {
        with_chip!(self, air => air.constants(challenges))
    }

    fn needs_blank_band(&self) -> bool {
        with_chip!(self, air => air.needs_blank_band())
    }

    fn eval<B: AirBuilder>(&self, builder: &mut B) {
        with_chip!(self, air => air.eval(builder));
    }

    fn projection_degree(&self) -> usize {
        with_chip!(self, air => air.projection_degree())
    }

    fn fixed_rows<F: Field>(&self) -> Vec<F> {
        with_chip!(self, air => air.fixed_rows())
    }

    fn constraint_names(&self) -> Vec<&'static str> {
        with_chip!(self, air => air.constraint_names())
    }

    fn columns_of(&self, constraint: &str) -> &'static str {
        with_chip!(self, air => air.columns_of(constraint))
    }
}

/// A small non-negative integer as a field element.
pub(crate) fn small<F: Field>(v: usize) -> F {
    F::from_u64(v as u64)
}

/// A signed integer as a field element.
pub(crate) fn signed<F: Field>(v: i64) -> F {
    let magnitude = F::from_u64(v.unsigned_abs());
    if v < 0 { -magnitude } else { magnitude }
}
