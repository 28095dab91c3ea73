//! A bench for attacks: an honest run that verifies, and ways to bend it before it is proved.

use std::collections::HashMap;

use air::builder::{Challenges, Drawn, Element};
use air::bus::Bus;
use air::chips::activation::{ActivationAir, Factors, Source, TensorBlock};
use air::chips::lookup::{LookupAir, LookupContent};
use air::chips::{Air, Chip};
use air::graph::{Evaluation, Model, Requant, Requantised};
use air::layout::Layout;
use air::statement::{Disclosed, Policy, Statement};
use air::witness::SetupTraces;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use prover::Adversary;
use verifier::proof::statement_digest;
use verifier::transcript::{Digest, Pow, Transcript};
use verifier::{Privacy, Profile, ProofFile, Protocol, Verified, VerifyError, verify};

use super::{P, Prover, Spec, input, mlp};

/// Base field.
pub type F = <P as Protocol>::Val;
/// Extension field.
pub type EF = <P as Protocol>::Challenge;
/// The main matrices as an adversary sees them.
pub type Main = [Option<RowMajorMatrix<F>>];

type OnStatement<'a> = Box<dyn FnMut(&mut Statement) + 'a>;
type OnMain<'a> = Box<dyn FnMut(&mut Main, &mut Statement) + 'a>;
type OnAttest<'a> = Box<dyn FnMut(&mut Main) + 'a>;
type OnProjection<'a> = Box<dyn FnMut(&mut [Option<Vec<EF>>], Drawn<EF>) + 'a>;
type OnLookup<'a> = Box<dyn FnMut(&mut [Vec<EF>], &mut [EF]) + 'a>;

/// An adversary made of closures.
#[derive(Default)]
pub struct Attack<'a> {
    forget: Option<usize>,
    key: Option<Digest>,
    statement: Option<OnStatement<'a>>,
    main: Option<OnMain<'a>>,
    attest: Option<OnAttest<'a>>,
    projection: Option<OnProjection<'a>>,
    lookup: Option<OnLookup<'a>>,
}

impl<'a> Attack<'a> {
    /// Leaves out one absorb of the transcript.
    pub fn forgetting(absorb: usize) -> Self {
        Self {
            forget: Some(absorb),
            ..Self::default()
        }
    }

    /// Claims, towards the transcript, to use another key.
    pub fn impersonating(key: Digest) -> Self {
        Self {
            key: Some(key),
            ..Self::default()
        }
    }

    /// Claims something else before the tables for the statement are laid out.
    pub fn on_statement(f: impl FnMut(&mut Statement) + 'a) -> Self {
        Self {
            statement: Some(Box::new(f)),
            ..Self::default()
        }
    }

    /// Also changes main traces.
    #[must_use]
    pub fn and_main(mut self, f: impl FnMut(&mut Main, &mut Statement) + 'a) -> Self {
        self.main = Some(Box::new(f));
        self
    }

    /// Changes main traces or the statement.
    pub fn on_main(f: impl FnMut(&mut Main, &mut Statement) + 'a) -> Self {
        Self {
            main: Some(Box::new(f)),
            ..Self::default()
        }
    }

    /// Changes the main traces of an attestation.
    pub fn on_attest(f: impl FnMut(&mut Main) + 'a) -> Self {
        Self {
            attest: Some(Box::new(f)),
            ..Self::default()
        }
    }

    /// Changes projection columns, knowing ρ and σ.
    pub fn on_projection(f: impl FnMut(&mut [Option<Vec<EF>>], Drawn<EF>) + 'a) -> Self {
        Self::default().and_projection(f)
    }

    /// Changes LogUp columns and terminals.
    pub fn on_lookup(f: impl FnMut(&mut [Vec<EF>], &mut [EF]) + 'a) -> Self {
        Self::default().and_lookup(f)
    }

    /// Also changes projection columns.
    #[must_use]
    pub fn and_projection(mut self, f: impl FnMut(&mut [Option<Vec<EF>>], Drawn<EF>) + 'a) -> Self {
        self.projection = Some(Box::new(f));
        self
    }

    /// Also changes LogUp columns.
    #[must_use]
    pub fn and_lookup(mut self, f: impl FnMut(&mut [Vec<EF>], &mut [EF]) + 'a) -> Self {
        self.lookup = Some(Box::new(f));
        self
    }
}

impl Adversary<P> for Attack<'_> {
    fn transcript(&mut self, profile: &Profile, key: &Digest, statement: &Digest) -> Transcript<P> {
        let key = self.key.as_ref().unwrap_or(key);
        match self.forget {
            Some(n) => Transcript::forgetful(profile, key, statement, n),
            None => Transcript::new(profile, key, statement),
        }
    }

    fn attest_transcript(&mut self, profile: &Profile, key: &Digest) -> Transcript<P> {
        let key = self.key.as_ref().unwrap_or(key);
        match self.forget {
            Some(n) => Transcript::forgetful_attestation(profile, key, n),
            None => Transcript::attestation(profile, key),
        }
    }

    fn attest(&mut self, main: &mut Main) {
        if let Some(f) = &mut self.attest {
            f(main);
        }
    }

    fn seed(&self) -> Option<prover::Seed> {
        // Always the same masks, so that an attack can be run twice.
        Some([7; 32])
    }

    fn statement(&mut self, statement: &mut Statement) {
        if let Some(f) = &mut self.statement {
            f(statement);
        }
    }

    fn main(&mut self, main: &mut Main, statement: &mut Statement) {
        if let Some(f) = &mut self.main {
            f(main, statement);
        }
    }

    fn projection(&mut self, columns: &mut [Option<Vec<EF>>], drawn: Drawn<EF>) {
        if let Some(f) = &mut self.projection {
            f(columns, drawn);
        }
    }

    fn lookup(&mut self, columns: &mut [Vec<EF>], terminals: &mut [EF]) {
        if let Some(f) = &mut self.lookup {
            f(columns, terminals);
        }
    }
}

/// A model with an input whose honest proof verifies.
pub struct Lab {
    pub prover: Prover,
    pub evaluation: Evaluation,
    pub policy: Policy,
}

/// The values of a tensor that is shown.
pub fn shown(disclosed: &mut Disclosed) -> &mut Vec<i32> {
    disclosed.values.as_mut().expect("the statement shows it")
}

impl Lab {
    /// A lab for a random MLP.
    pub fn new(spec: &Spec<'_>) -> Self {
        let model = mlp(spec);
        let x = input(&model, spec.seed + 100);
        Self::with(model, &x, spec.privacy, Policy::PUBLIC)
    }

    /// A lab for a model on an input. Fails unless the unmodified run verifies, so that no
    /// rejection below is vacuous.
    pub fn of(model: Model, x: &[Vec<i32>]) -> Self {
        Self::with(model, x, Privacy::None, Policy::PUBLIC)
    }

    /// The same, hiding something.
    pub fn with(model: Model, x: &[Vec<i32>], privacy: Privacy, policy: Policy) -> Self {
        let prover = Prover::new(model, &Profile::LATENCY, privacy).expect("the model sets up");
        let evaluation = prover.evaluate(x).expect("the model evaluates");
        let lab = Self {
            prover,
            evaluation,
            policy,
        };
        lab.attempt(&mut Attack::default())
            .expect("the unmodified run verifies");
        lab
    }

    pub fn layout(&self) -> &Layout {
        &self.prover.verifying_key().layout
    }

    /// Proves as the adversary wishes.
    pub fn forge(&self, attack: &mut Attack<'_>) -> ProofFile<P> {
        self.prover
            .prove_as(&self.evaluation, &self.policy, attack)
            .expect("the prover does not look at what it proves")
    }

    /// Proves as the adversary wishes, and verifies.
    pub fn attempt(&self, attack: &mut Attack<'_>) -> Result<Verified, VerifyError> {
        let file = self.forge(attack);
        verify(self.prover.verifying_key(), &file.statement, &file.proof)
    }

    /// Why `verify` refuses; fails if it does not.
    pub fn refusal(&self, mut attack: Attack<'_>) -> VerifyError {
        self.attempt(&mut attack)
            .expect_err("a forgery must not verify")
    }

    /// The challenges of a finished proof.
    pub fn challenges(&self, file: &ProofFile<P>) -> Challenges<EF> {
        let key = self.prover.verifying_key();
        let statement = statement_digest(&file.statement);
        let mut transcript = Transcript::<P>::new(&key.profile, &key.digest, &statement);
        let drawn = transcript.main(&file.proof.main);
        let pow = Pow::Check(file.proof.lookup_pow);
        let (_, [alpha, beta]) = transcript
            .projection(&file.proof.projection, &key.profile, pow)
            .expect("the prover ground the witness itself");
        let receivers = file.statement.receivers(&self.prover.model().graph);
        let (layout, _) = key.proof_layout(&file.statement).expect("it has a layout");
        Challenges::projection(drawn, layout.power_counts(), receivers).with_lookup(alpha, beta)
    }

    /// Runs the attack twice: once to learn the challenges, once with `table`'s terminal set so
    /// that the sum the verifier checks is zero. LogUp columns stay as the prover makes them.
    pub fn balanced_refusal(&self, mut attack: Attack<'_>, table: usize) -> VerifyError {
        self.balance(&mut attack, table)
            .expect_err("a forgery must not verify")
    }

    /// See [`Self::balanced_refusal`].
    pub fn balance(&self, attack: &mut Attack<'_>, table: usize) -> Result<Verified, VerifyError> {
        let file = self.forge(attack);
        let challenges = self.challenges(&file);
        let graph = &self.prover.model().graph;
        let rho = challenges.rho();
        let claims = file
            .statement
            .claims::<F, EF>(graph, challenges.sigma(), rho);
        let mut excess: EF = file.proof.terminals.iter().copied().sum();
        for claim in claims {
            let entries = [
                Element::Base(EF::from_u8(claim.kind as u8)),
                Element::Base(EF::from_usize(claim.tensor)),
                Element::Ext(claim.value),
            ];
            let d: EF = challenges.denominator(EF::ONE, Bus::Claim, &entries);
            excess -= d.inverse();
        }
        attack.lookup = Some(Box::new(move |_, terminals| terminals[table] -= excess));
        self.attempt(attack)
    }

    /// The challenges of a proof whose projections are not committed yet.
    pub fn projection_challenges(&self, drawn: Drawn<EF>) -> Challenges<EF> {
        let graph = &self.prover.model().graph;
        let receivers = vec![1; graph.tensors.len()];
        Challenges::projection(drawn, self.layout().power_counts(), receivers)
    }

    /// What the rows of the model's weights fold to.
    pub fn folded_weights(&self, challenges: &Challenges<EF>) -> Factors<EF> {
        let setup = SetupTraces::<F>::generate(self.layout(), self.prover.model());
        let mut factors = Factors::default();
        for (table, weight) in self.layout().tables.iter().zip(&setup.weight) {
            if let (Chip::Weights(air), Some(weight)) = (&table.chip, weight) {
                for (term, runs) in air.generate_projection(weight, challenges).1 {
                    factors.weights.resize(term + 1, vec![]);
                    factors.weights[term] = runs;
                }
            }
        }
        factors
    }

    /// The activation table's index and chip. Test models have one.
    pub fn activation(&self) -> (usize, &ActivationAir) {
        let found = self.layout().tables.iter().enumerate();
        found
            .filter_map(|(i, t)| match &t.chip {
                Chip::Activation(air) => Some((i, air)),
                _ => None,
            })
            .next()
            .expect("every layout has an activation table")
    }

    /// The index of the table called `name`.
    pub fn table(&self, name: &str) -> usize {
        let tables = &self.layout().tables;
        tables
            .iter()
            .position(|t| t.chip.name() == name)
            .expect("the layout has this table")
    }
}

/// One requantised accumulator of the honest run, and where its cells are.
#[derive(Clone, Debug)]
pub struct Spot {
    pub table: usize,
    pub row: usize,
    pub cols: Lane,
    pub layer: usize,
    /// Index in the output tensor.
    pub element: usize,
    pub honest: Requantised,
    pub requant: Requant,
}

impl Lab {
    /// Every accumulator of a layer.
    pub fn spots(&self, layer: usize) -> Vec<Spot> {
        let (table, air) = self.activation();
        let requant = &self.prover.model().graph.layers[layer].requant;
        let block = air
            .blocks
            .iter()
            .find(|b| b.source == Source::Layer(layer))
            .expect("every layer has a block");
        let mut spots: Vec<Spot> = places(block)
            .into_iter()
            .map(|(row, lane, element)| Spot {
                table,
                row,
                cols: self::lane(air, lane),
                layer,
                element,
                honest: self.evaluation.layers[layer][element],
                requant: requant.clone(),
            })
            .collect();
        spots.sort_by_key(|spot| spot.element);
        spots
    }

    /// The first accumulator of the last layer that satisfies `wanted`.
    pub fn output_spot(&self, wanted: impl Fn(&Requantised) -> bool) -> Spot {
        let last = self.evaluation.layers.len() - 1;
        self.spots(last)
            .into_iter()
            .find(|s| wanted(&s.honest))
            .expect("the model has such an accumulator")
    }
}

impl Spot {
    /// Writes a decomposition with whatever limbs the caller likes; the top limb takes what does
    /// not fit. The activation is looked up where it exists.
    pub fn write(&self, main: &mut Main, q: i64, side: i64, excess: i64, rem: i64, bits: u8) {
        let mut set = |column: usize, v: i64| *cell(main, self.table, self.row, column) = int(v);
        set(self.cols.q, q);
        if let Some(column) = self.cols.side {
            set(column, side);
        }
        for (columns, value) in [(&self.cols.rem, rem), (&self.cols.excess, excess)] {
            let mut left = value;
            for (i, &column) in columns.iter().enumerate() {
                let limb = if i + 1 == columns.len() {
                    left
                } else {
                    left.rem_euclid(1 << bits)
                };
                set(column, limb);
                left = (left - limb) >> bits;
            }
        }
        let domain = self.requant.activation.domain;
        let nearest = self.requant.activation.apply(domain.clamp(q));
        set(self.cols.out, i64::from(nearest));
    }

    /// What [`Self::write`] makes the output.
    pub fn out(&self, q: i64) -> i32 {
        let activation = &self.requant.activation;
        activation.apply(activation.domain.clamp(q))
    }
}

/// The refusal of a table's constraints.
pub const fn constraints(chip: &'static str) -> VerifyError {
    VerifyError::Constraints { chip }
}

/// The columns of one activation of a table, as its documentation orders them.
#[derive(Clone, Debug)]
pub struct Lane {
    pub q: usize,
    pub out: usize,
    pub side: Option<usize>,
    pub rem: Vec<usize>,
    pub excess: Vec<usize>,
}

/// The columns of activation `i` of a row: those of a lane lie side by side.
pub fn lane(air: &ActivationAir, i: usize) -> Lane {
    let q = air.element(i % air.window.hosts, i / air.window.hosts);
    let saturates = air.limbs.excess > 0;
    let rem = q + 2 + usize::from(saturates);
    let excess = rem + air.limbs.rem;
    Lane {
        q,
        out: q + 1,
        side: saturates.then_some(q + 2),
        rem: (rem..excess).collect(),
        excess: (excess..excess + air.limbs.excess).collect(),
    }
}

/// Row, activation of the row and index of every element of a tensor that is looked up.
pub fn places(block: &TensorBlock) -> Vec<(usize, usize, usize)> {
    let per_channel = block.grid.rows().len();
    let rows = (0..block.grid.height()).flat_map(|r| {
        let elements = block.elements(r / per_channel, r % per_channel);
        let hosts = block.tenant(0).member.parts();
        elements.map(move |(part, lane, element)| (block.start + r, lane * hosts + part, element))
    });
    rows.collect()
}

/// One cell of a matrix.
pub fn cell(main: &mut Main, table: usize, row: usize, column: usize) -> &mut F {
    let matrix = main[table].as_mut().expect("the table has main columns");
    let width = matrix.width();
    &mut matrix.values[row * width + column]
}

/// A signed integer in the field.
pub fn int(v: i64) -> F {
    let magnitude = F::from_u64(v.unsigned_abs());
    if v < 0 { -magnitude } else { magnitude }
}

/// Makes every lookup table's counts what the activation rows use, as far as the tables have the
/// entries: the most coherent counts a forger can give. Returns how many messages have no entry.
pub fn recount(layout: &Layout, main: &mut Main) -> usize {
    let mut uses: HashMap<(bool, [F; 4]), u32> = HashMap::new();
    for (i, table) in layout.tables.iter().enumerate() {
        if let (Chip::Activation(air), Some(matrix)) = (&table.chip, &main[i]) {
            for message in messages(air, matrix) {
                *uses.entry(message).or_default() += 1;
            }
        }
    }
    for (i, table) in layout.tables.iter().enumerate() {
        if let Chip::Lookup(air) = &table.chip {
            // Cell by cell: columns beside and rows below may hold masks.
            for (entry, n) in take_counts(air, &mut uses).into_iter().enumerate() {
                *cell(main, i, entry / air.lanes, entry % air.lanes) = F::from_u32(n);
            }
        }
    }
    uses.values().map(|&n| n as usize).sum()
}

fn take_counts(air: &LookupAir, uses: &mut HashMap<(bool, [F; 4]), u32>) -> Vec<u32> {
    let is_range = matches!(air.content, LookupContent::Range(_));
    let entries = air.content.entries();
    let key = |e: &[i32; 4]| (is_range, e.map(|v| int(i64::from(v))));
    entries
        .iter()
        .map(|e| uses.remove(&key(e)).unwrap_or(0))
        .collect()
}

/// What the rows of an activation table look up: `(is a range, message)`.
fn messages(air: &ActivationAir, matrix: &RowMajorMatrix<F>) -> Vec<(bool, [F; 4])> {
    let mut found = Vec::new();
    for block in &air.blocks {
        for r in block.start..block.end() {
            let row = &matrix.values[r * matrix.width()..(r + 1) * matrix.width()];
            for b in 0..air.lanes {
                for comparison in &air.window.comparisons {
                    let table = F::from_usize(block.comparison);
                    let sum = |values: &[usize]| -> F {
                        values.iter().map(|&v| row[air.value(v, b)]).sum()
                    };
                    let difference = sum(&comparison.plus) - sum(&comparison.minus);
                    let result = row[air.value(comparison.result, b)];
                    found.push((false, [table, F::ZERO, difference, result]));
                }
            }
            for i in 0..air.lanes * air.window.hosts {
                let cols = lane(air, i);
                let side = cols.side.map_or(F::ZERO, |c| row[c]);
                let function = F::from_usize(block.function);
                if !block.is_ranged() {
                    found.push((false, [function, side, row[cols.q], row[cols.out]]));
                }
                let limbs = [(&cols.rem, block.shift), (&cols.excess, block.excess_bits)];
                for (columns, bits) in limbs {
                    for (i, &c) in columns.iter().enumerate() {
                        let width = F::from_u8(air.limbs.width(bits, i));
                        found.push((true, [width, row[c], F::ZERO, F::ZERO]));
                    }
                }
            }
        }
    }
    found
}
