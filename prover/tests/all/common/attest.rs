//! A bench for attestations: a key, and ways to bend its attestation before it is proved.

use air::chips::weights::{Content, WeightsAir};
use air::chips::{Air, Chip};
use air::graph::Model;
use air::layout::Layout;
use p3_field::{PrimeCharacteristicRing, PrimeField32};
use prover::Adversary;
use verifier::{
    AttestError, Attestation, Attested, Privacy, Profile, VerifyError, verify_attestation,
};

use super::attack::{Attack, EF, F, Main, cell};
use super::{P, Prover};

/// Index of the table of the weights.
pub const WEIGHTS: usize = 0;
/// Index of the table of the sums.
pub const SUMS: usize = 1;
/// Index of the range table.
pub const RANGE: usize = 2;

/// Columns of the sums table, as its documentation orders them; four limbs each, the carries two.
pub mod sums {
    pub const H: usize = 0;
    pub const UPPER_SLACK: usize = 4;
    pub const LOWER_SLACK: usize = 8;
    pub const U0: usize = 12;
    pub const U1: usize = 16;
    pub const V0: usize = 20;
    pub const UPPER_CARRY: usize = 28;
    pub const LOWER_CARRY: usize = 30;
    pub const WIDTH: usize = 32;
    /// Fixed columns with the widths of the limbs of gaps, low sums, high sums.
    pub const BITS: usize = 12;
}

/// A key whose attestation is attacked.
pub struct Lab {
    pub prover: Prover,
}

impl Lab {
    /// A lab for a model that may break its bound. Nothing is known to verify.
    pub fn unchecked(model: &Model, privacy: Privacy) -> Self {
        let prover = Prover::unchecked(model.clone(), &Profile::LATENCY, privacy);
        Self {
            prover: prover.expect("the model sets up"),
        }
    }

    /// A lab whose unmodified attestation verifies, so that no rejection is vacuous.
    pub fn new(model: &Model, privacy: Privacy) -> Self {
        let lab = Self::unchecked(model, privacy);
        lab.attempt(&mut Attack::default())
            .expect("the unmodified run verifies");
        lab
    }

    /// The same model under a commitment with other weights.
    pub fn with_weight(self, change: impl FnOnce(&mut [F])) -> Self {
        let prover = self.prover.with_weights_as(|weights| {
            let matrix = weights.iter_mut().flatten().next();
            change(&mut matrix.expect("there is a weights table").values);
        });
        Self {
            prover: prover.expect("it commits"),
        }
    }

    pub fn layout(&self) -> Layout {
        let key = self.prover.verifying_key();
        key.attest_layout().expect("it has a layout").0
    }

    pub fn weights_air(&self) -> WeightsAir {
        match &self.layout().tables[WEIGHTS].chip {
            Chip::AttestWeights(air) => air.weights.clone(),
            _ => panic!("the weights come first"),
        }
    }

    /// Row and lane of weight `W[k][j]` of a layer; `k = K` for biases, negative `j` for padding lanes.
    pub fn place(&self, layer: usize, k: usize, j: isize) -> (usize, usize) {
        let air = self.weights_air();
        let of_layer = |content| {
            let mut blocks = air.blocks.iter().filter(|b| b.layer == layer);
            let found = blocks.find(|b| b.content == content);
            found.expect("every layer has weights and biases")
        };
        let weights = of_layer(Content::Term(0));
        let (block, k) = match k == weights.channels {
            true => (of_layer(Content::Bias), 0),
            false => (weights, k),
        };
        let per_input = block.outputs.div_ceil(air.lanes);
        let empty = per_input * air.lanes - block.outputs;
        let slot = empty.checked_add_signed(j).expect("a lane of the group");
        let row = block.start + k * per_input + slot / air.lanes;
        (row, slot % air.lanes)
    }

    /// The index of a weight's cell in its matrix.
    pub fn index(&self, layer: usize, k: usize, j: isize) -> usize {
        let (row, lane) = self.place(layer, k, j);
        row * self.weights_air().lanes + lane
    }

    pub fn forge(&self, attack: &mut dyn Adversary<P>) -> Attestation<P> {
        let forged = self.prover.attest_as(attack);
        forged.expect("the prover does not look at what it proves")
    }

    pub fn attempt(&self, attack: &mut dyn Adversary<P>) -> Result<Attested, AttestError> {
        verify_attestation(self.prover.verifying_key(), &self.forge(attack))
    }

    /// Why the attestation is refused; fails if it is not.
    pub fn refusal(&self, mut attack: Attack<'_>) -> VerifyError {
        match self.attempt(&mut attack) {
            Err(AttestError::Proof(error)) => error,
            other => panic!("a forgery must not verify: {other:?}"),
        }
    }

    /// Runs the attack twice: once to learn the terminals, once with one of them changed so that their sum
    /// is zero.
    pub fn balanced_refusal(&self, mut attack: Attack<'_>, table: usize) -> VerifyError {
        let excess: EF = self.forge(&mut attack).proof.terminals.into_iter().sum();
        self.refusal(attack.and_lookup(move |_, terminals| terminals[table] -= excess))
    }

    /// Applies a change to the honest traces and makes the counts of the range table what is looked up
    /// then, as far as it has the entries.
    pub fn coherent<'a>(&self, mut change: impl FnMut(&mut Main) + 'a) -> Attack<'a> {
        let layout = self.layout();
        Attack::on_attest(move |main| {
            change(main);
            recount(&layout, main);
        })
    }
}

/// Writes a number's limbs from a column on; the top one takes what is left.
pub fn write(main: &mut Main, row: usize, (first, limbs): (usize, usize), value: u64) {
    for i in 0..limbs {
        let shifted = value >> (8 * i);
        let limb = if i + 1 == limbs {
            shifted
        } else {
            shifted & 255
        };
        *cell(main, SUMS, row, first + i) = F::from_u64(limb);
    }
}

/// The number in some limbs of a row of sums.
pub fn read(main: &mut Main, row: usize, (first, limbs): (usize, usize)) -> u64 {
    let limb = |i: usize| {
        u64::from(
            main[SUMS].as_ref().expect("it has cells").values[row * sums::WIDTH + first + i]
                .as_canonical_u32(),
        )
    };
    (0..limbs).map(|i| limb(i) << (8 * i)).sum()
}

/// Makes the range table's counts what the other tables look up, as far as it has the entries.
pub fn recount(layout: &Layout, main: &mut Main) {
    let Chip::Lookup(range) = &layout.tables[RANGE].chip else {
        panic!("the range table is the last");
    };
    let entries = range.content.entries();
    let mut counts = vec![0u32; entries.len()];
    let mut count = |bits: F, value: F| {
        let wanted = [bits, value].map(|x| x.as_canonical_u32());
        let found = entries
            .iter()
            .position(|e| [e[0] as u32, e[1] as u32] == wanted);
        if let Some(i) = found {
            counts[i] += 1;
        }
    };
    for table in [WEIGHTS, SUMS] {
        let chip = &layout.tables[table].chip;
        let fixed = layout.tables[table].generate_fixed::<F>();
        let matrix = main[table].as_ref().expect("it has cells");
        for r in 0..chip.rows() {
            let fixed = &fixed.values[r * fixed.width..(r + 1) * fixed.width];
            // No bytes on the rows of biases.
            if table == WEIGHTS && fixed[4] == F::ZERO {
                continue;
            }
            for c in 0..chip.widths().main {
                let bits = match c / 4 {
                    _ if table == WEIGHTS => F::from_u8(8),
                    7.. => F::from_u8(8),
                    number => fixed[sums::BITS + [0, 0, 0, 1, 2, 1, 2][number] * 4 + c % 4],
                };
                count(bits, matrix.values[r * matrix.width + c]);
            }
        }
    }
    // Cell by cell: the rows below may hold masks.
    for (i, &n) in counts.iter().enumerate() {
        *cell(main, RANGE, i / range.lanes, i % range.lanes) = F::from_u32(n);
    }
}
