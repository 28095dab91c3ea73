//! # Builders: one `eval`, several readers
//!
//! A chip states its constraints and messages once, against [`AirBuilder`]. The same code is then
//! run by the prover (on packed rows of the low-degree extension), by the verifier (on one point
//! in the extension field), by the LogUp trace generator (messages only) and by the debugger.
//!
//! The window a chip sees differs from a plain AIR's, which is why the trait is ours:
//!
//! | columns | field | rows readable | committed |
//! |---|---|---|---|
//! | fixed | base | current | by the verifying key |
//! | weight | base | current | by the verifying key |
//! | main | base | current | per proof, first |
//! | form | extension | current | never: a linear form of weight columns |
//! | projection | extension | current and next | per proof, after σ, ρ |
//!
//! Only projection columns can be read at the next row. That keeps fixed, weight and main columns
//! opened at one point only, and it is what a zero-knowledge mask is counted from.

use alloc::vec::Vec;

use p3_field::{Algebra, ExtensionField, Field};

use crate::bus::{Bus, MAX_MESSAGE_LEN};
use crate::graph::AXES;
use crate::projection::{Monomial, Points};

/// The first columns of every fixed matrix belong to the engine.
pub mod engine {
    /// 1 on rows in use, 0 on padding and on mask rows.
    pub const LIVE: usize = 0;
    /// 1 on row 0.
    pub const FIRST: usize = 1;
    /// 1 where this row and the next are both live.
    pub const STEP: usize = 2;
    /// 1 on the last live row.
    pub const LAST: usize = 3;
    /// Number of engine columns.
    pub const WIDTH: usize = 4;
}

/// The projection challenges as they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn<EF> {
    /// ρ, for features.
    pub rho: EF,
    /// σ_0, σ_1, σ_2, for depth, height and width.
    pub sigma: [EF; AXES],
}

/// Random challenges a chip may use.
#[derive(Clone, Debug)]
pub struct Challenges<EF> {
    /// Powers of σ = σ_2: `σ^0, σ^1, …`, as many as the chips of a statement use.
    pub sigma_powers: Vec<EF>,
    /// Powers of ρ (features), up to the number of weights in a row.
    pub rho_powers: Vec<EF>,
    /// Where monomials are evaluated: ρ, and σ for each axis of a position.
    pub points: Points<EF>,
    /// What one chip has made of the challenges, see [`crate::chips::Air::constants`].
    constants: Vec<EF>,
    /// How often the claim on each tensor is received, by index: by the verifier if the statement
    /// shows it, and by every table that proves something of it.
    pub receivers: Vec<u32>,
    /// `α − bus` for every bus, by discriminant.
    bus_offsets: [EF; Bus::ALL.len() + 1],
    /// `β^1, β^2, …`.
    beta_powers: [EF; MAX_MESSAGE_LEN],
}

/// How many powers of the projection challenges the chips of a layout use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCounts {
    /// Powers of σ.
    pub sigma: usize,
    /// Powers of ρ.
    pub rho: usize,
}

impl PowerCounts {
    /// Enough for both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            sigma: self.sigma.max(other.sigma),
            rho: self.rho.max(other.rho),
        }
    }
}

impl<EF: Field> Challenges<EF> {
    /// ρ itself.
    pub fn rho(&self) -> EF {
        self.rho_powers[1]
    }

    /// σ = σ_2 itself.
    pub fn sigma(&self) -> EF {
        self.points.at(Monomial::sigma(AXES - 1, 1))
    }

    /// The projection challenges, before the LogUp challenges exist.
    pub fn projection(drawn: Drawn<EF>, powers: PowerCounts, receivers: Vec<u32>) -> Self {
        let Drawn { rho, sigma } = drawn;
        let last = sigma[AXES - 1];
        Self {
            receivers,
            sigma_powers: last.powers().take(powers.sigma).collect(),
            rho_powers: rho.powers().take(powers.rho).collect(),
            points: Points::new(rho, sigma),
            constants: Vec::new(),
            bus_offsets: [EF::ZERO; Bus::ALL.len() + 1],
            beta_powers: [EF::ZERO; MAX_MESSAGE_LEN],
        }
    }

    /// Adds the LogUp challenges.
    #[must_use]
    pub fn with_lookup(mut self, alpha: EF, beta: EF) -> Self {
        for bus in Bus::ALL {
            self.bus_offsets[bus as usize] = alpha - EF::from_u8(bus as u8);
        }
        let mut power = beta;
        for slot in &mut self.beta_powers {
            *slot = power;
            power *= beta;
        }
        self
    }

    /// The challenges with a chip's constants, which its constraints need.
    #[must_use]
    pub fn for_chip(&self, chip: &impl crate::chips::Air) -> Self {
        let constants = chip.constants(self);
        Self {
            constants,
            ..self.clone()
        }
    }

    /// The denominator `live·(α − bus) − Σ_i β^(i+1)·m_i` of a message.
    ///
    /// The factor `live` is 1 on every row whose fractions are summed. On a row that is switched
    /// off all the way (every cell 0) the denominator is 0, which leaves the fraction column free:
    /// that is where its zero-knowledge mask lives, see [`crate::hiding`].
    pub fn denominator<E, X>(&self, live: E, bus: Bus, elements: &[Element<E, X>]) -> X
    where
        E: Copy,
        X: Algebra<E> + Algebra<EF> + Copy,
    {
        // A longer message would lose its tail: a hard check, on the chip and not on any proof.
        assert!(elements.len() <= MAX_MESSAGE_LEN);
        let mut d = X::from(self.bus_offsets[bus as usize]) * live;
        for (element, &beta) in elements.iter().zip(&self.beta_powers) {
            let beta = X::from(beta);
            d -= match *element {
                Element::Base(e) => beta * e,
                Element::Ext(x) => beta * x,
            };
        }
        d
    }
}

/// One entry of a message.
#[derive(Clone, Copy, Debug)]
pub enum Element<E, X> {
    /// A base-field entry.
    Base(E),
    /// An extension-field entry: a projected value.
    Ext(X),
}

/// What a chip's `eval` may read and assert.
pub trait AirBuilder {
    /// Base field.
    type F: Field;
    /// Extension field of the challenges.
    type EF: ExtensionField<Self::F>;
    /// Expressions over base columns.
    type Expr: Algebra<Self::F> + Copy;
    /// Expressions over extension columns.
    type ExprEF: Algebra<Self::Expr> + Algebra<Self::EF> + Copy;

    /// The columns at this row.
    fn row(&self) -> Row<'_, Self::Expr, Self::ExprEF>;
    /// The challenges.
    fn challenges(&self) -> &Challenges<Self::EF>;
    /// The chip's constants.
    fn constants(&self) -> &[Self::EF] {
        &self.challenges().constants
    }
    /// Whether assertions are read. Where they are not, a chip need not work them out.
    fn wants_constraints(&self) -> bool {
        true
    }
    /// Asserts that a base expression is zero on every row.
    fn assert_zero(&mut self, name: &'static str, x: Self::Expr);
    /// Asserts that an extension expression is zero on every row.
    fn assert_zero_ext(&mut self, name: &'static str, x: Self::ExprEF);
    /// Puts a message on a bus `count` times (negative: receives it).
    fn message(
        &mut self,
        bus: Bus,
        count: Self::Expr,
        elements: &[Element<Self::Expr, Self::ExprEF>],
    );
}

/// The values of all columns at one row (or one packed group of rows, or one point).
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, E, X> {
    /// Fixed columns, the engine's first.
    pub fixed: &'a [E],
    /// Weight columns.
    pub weight: &'a [E],
    /// Main columns.
    pub main: &'a [E],
    /// Linear forms of weight columns, see [`crate::chips::Air::weight_form`].
    pub form: Option<X>,
    /// Projection columns.
    pub projection: &'a [X],
    /// Projection columns of the next row.
    pub projection_next: &'a [X],
}

impl<E: Copy, X: Copy> Row<'_, E, X> {
    /// The live column.
    pub const fn live(&self) -> E {
        self.fixed[engine::LIVE]
    }

    /// The step column.
    pub const fn step(&self) -> E {
        self.fixed[engine::STEP]
    }
}

/// Collects the messages of a row as `(denominator, count)` and ignores constraints.
#[derive(Debug)]
pub struct MessageCollector<'a, EF, E, X> {
    row: Row<'a, E, X>,
    challenges: &'a Challenges<EF>,
    messages: &'a mut Vec<(X, E)>,
}

impl<'a, EF, E, X> MessageCollector<'a, EF, E, X> {
    /// A collector appending to `messages`.
    pub const fn new(
        row: Row<'a, E, X>,
        challenges: &'a Challenges<EF>,
        messages: &'a mut Vec<(X, E)>,
    ) -> Self {
        Self {
            row,
            challenges,
            messages,
        }
    }
}

/// `MessageCollector` fixes no base field by itself; this marker does.
#[derive(Debug)]
pub struct Over<B, F>(B, core::marker::PhantomData<F>);

impl<B, F> Over<B, F> {
    /// Wraps a builder.
    pub const fn new(inner: B) -> Self {
        Self(inner, core::marker::PhantomData)
    }

    /// The builder inside.
    pub fn into_inner(self) -> B {
        self.0
    }
}

impl<F, EF, E, X> AirBuilder for Over<MessageCollector<'_, EF, E, X>, F>
where
    F: Field,
    EF: ExtensionField<F>,
    E: Algebra<F> + Copy,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    type F = F;
    type EF = EF;
    type Expr = E;
    type ExprEF = X;

    fn row(&self) -> Row<'_, E, X> {
        self.0.row
    }

    fn challenges(&self) -> &Challenges<EF> {
        self.0.challenges
    }

    fn wants_constraints(&self) -> bool {
        false
    }

    fn assert_zero(&mut self, _name: &'static str, _x: E) {}

    fn assert_zero_ext(&mut self, _name: &'static str, _x: X) {}

    fn message(&mut self, bus: Bus, count: E, elements: &[Element<E, X>]) {
        let d = self
            .0
            .challenges
            .denominator(self.0.row.live(), bus, elements);
        self.0.messages.push((d, count));
    }
}

/// Folds all constraints of a row, LogUp's included, into one extension value with powers of λ.
#[derive(Debug)]
pub struct ConstraintFolder<'a, EF, E, X> {
    row: Row<'a, E, X>,
    challenges: &'a Challenges<EF>,
    logup: crate::logup::LogUpFolder<'a, E, X>,
    lambda: EF,
    folded: X,
}

impl<'a, EF: Field, E: Copy, X: Algebra<E> + Algebra<EF> + Copy> ConstraintFolder<'a, EF, E, X> {
    /// A folder for one row; `lookup` are the LogUp columns and the table's terminal.
    pub fn new(
        row: Row<'a, E, X>,
        lookup: crate::logup::LookupRow<'a, X>,
        challenges: &'a Challenges<EF>,
        lambda: EF,
    ) -> Self {
        Self {
            row,
            challenges,
            logup: crate::logup::LogUpFolder::new(lookup),
            lambda,
            folded: X::ZERO,
        }
    }

    /// Horner step: earlier constraints carry higher powers of λ.
    fn fold(&mut self, x: X) {
        self.folded = self.folded * X::from(self.lambda) + x;
    }

    /// Adds the remaining LogUp constraints and returns `Σ_i λ^(C−1−i)·c_i`.
    pub fn finish(mut self) -> X {
        let fixed = crate::logup::Selectors {
            first: self.row.fixed[engine::FIRST],
            step: self.row.fixed[engine::STEP],
            last: self.row.fixed[engine::LAST],
        };
        for constraint in self.logup.finish(fixed) {
            self.fold(constraint);
        }
        self.folded
    }
}

impl<F, EF, E, X> AirBuilder for Over<ConstraintFolder<'_, EF, E, X>, F>
where
    F: Field,
    EF: ExtensionField<F>,
    E: Algebra<F> + Copy,
    X: Algebra<E> + Algebra<EF> + Copy,
{
    type F = F;
    type EF = EF;
    type Expr = E;
    type ExprEF = X;

    fn row(&self) -> Row<'_, E, X> {
        self.0.row
    }

    fn challenges(&self) -> &Challenges<EF> {
        self.0.challenges
    }

    fn assert_zero(&mut self, _name: &'static str, x: E) {
        self.0.fold(X::from(x));
    }

    fn assert_zero_ext(&mut self, _name: &'static str, x: X) {
        self.0.fold(x);
    }

    fn message(&mut self, bus: Bus, count: E, elements: &[Element<E, X>]) {
        let d = self
            .0
            .challenges
            .denominator(self.0.row.live(), bus, elements);
        if let Some(constraint) = self.0.logup.message(d, count) {
            self.0.fold(constraint);
        }
    }
}
