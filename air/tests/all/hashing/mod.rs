//! A hash table on its own: its traces, what fails in them, and what they say on the claims bus.
#![allow(dead_code, reason = "each test binary uses some of these")]

use air::builder::{
    AirBuilder, Challenges, ConstraintFolder, Drawn, Element, MessageCollector, Over, PowerCounts,
    Row,
};
use air::bus::{Bus, ClaimKind};
use air::chips::hashed::HashedTensor;
use air::chips::{Air, Chip};
use air::graph::Range;
use air::hiding::{Hiding, MaskBands};
use air::layout::Table;
use air::logup::{LookupRow, fill_columns};
use p3_baby_bear::BabyBear;
use p3_field::extension::BinomialExtensionField;
use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

pub type F = BabyBear;
pub type EF = BinomialExtensionField<BabyBear, 5>;

/// Room for masks at the end of every table of these tests.
pub const BANDS: MaskBands = MaskBands {
    uniform: 20,
    blank: 12,
};

/// Makes tables tall enough for them.
const HIDING: Hiding = Hiding {
    queries: 150,
    degree: 5,
    weight_openings: 0,
};

/// A small generator (splitmix64); the tests need variety, not secrecy.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn base(&mut self) -> F {
        F::from_u64(self.next() >> 20)
    }

    pub fn ext(&mut self) -> EF {
        EF::from_basis_coefficients_fn(|_| self.base())
    }

    pub fn values(&mut self, n: usize, range: Range) -> Vec<i32> {
        let len = range.len() as u64;
        let mut values: Vec<i32> = (0..n)
            .map(|_| range.lo + (self.next() % len) as i32)
            .collect();
        // The ends of the range occur: bytes 0x00, 0xff, 0x80 and the sign bit.
        for (slot, end) in values.iter_mut().zip([range.lo, range.hi]) {
            *slot = end;
        }
        values
    }
}

/// Main and projection columns.
#[derive(Clone)]
pub struct Trace {
    pub main: RowMajorMatrix<F>,
    pub projection: Vec<EF>,
}

/// What is said on the claims bus: count, and kind, tensor and value.
pub type Said = (F, Vec<EF>);

/// A table and its challenges.
pub struct Lab {
    pub table: Table,
    pub fixed: RowMajorMatrix<F>,
    pub challenges: Challenges<EF>,
    pub tensor: HashedTensor,
}

struct Checker<'a> {
    row: Row<'a, F, EF>,
    challenges: &'a Challenges<EF>,
    values: Vec<(&'static str, EF)>,
    messages: Vec<Said>,
}

impl AirBuilder for Checker<'_> {
    type F = F;
    type EF = EF;
    type Expr = F;
    type ExprEF = EF;

    fn row(&self) -> Row<'_, F, EF> {
        self.row
    }

    fn challenges(&self) -> &Challenges<EF> {
        self.challenges
    }

    fn assert_zero(&mut self, name: &'static str, x: F) {
        self.values.push((name, EF::from(x)));
    }

    fn assert_zero_ext(&mut self, name: &'static str, x: EF) {
        self.values.push((name, x));
    }

    fn message(&mut self, bus: Bus, count: F, elements: &[Element<F, EF>]) {
        assert_eq!(bus, Bus::Claim);
        let entries = elements
            .iter()
            .map(|e| match *e {
                Element::Base(v) => EF::from(v),
                Element::Ext(v) => v,
            })
            .collect();
        self.messages.push((count, entries));
    }
}

impl Lab {
    pub fn new(chip: Chip, tensor: HashedTensor, powers: PowerCounts) -> Self {
        // As tall as with masks; the bands filled in these tests are the shorter ones above.
        let table = Table::new(chip, Some(&HIDING));
        let mut random = Random(99);
        let [rho, depth, height, width, alpha, beta] = core::array::from_fn(|_| random.ext());
        let drawn = Drawn {
            rho,
            sigma: [depth, height, width],
        };
        let fixed = table.generate_fixed();
        Self {
            challenges: Challenges::projection(drawn, powers, vec![])
                .with_lookup(alpha, beta)
                .for_chip(&table.chip),
            table,
            fixed,
            tensor,
        }
    }

    pub fn sigma(&self) -> EF {
        self.challenges.sigma()
    }

    pub fn live(&self) -> usize {
        self.table.chip.rows()
    }

    pub fn height(&self) -> usize {
        self.table.height()
    }

    fn with_row<T>(&self, trace: &Trace, r: usize, f: impl FnOnce(Row<'_, F, EF>) -> T) -> T {
        let width = self.table.widths.projection;
        let next = (r + 1) % self.height();
        f(Row {
            fixed: &self.fixed.row_slice(r).expect("in range"),
            weight: &[],
            main: &trace.main.row_slice(r).expect("in range"),
            form: None,
            projection: &trace.projection[r * width..(r + 1) * width],
            projection_next: &trace.projection[next * width..(next + 1) * width],
        })
    }

    /// The value of every constraint of a row, and what the row says.
    pub fn eval(&self, trace: &Trace, r: usize) -> (Vec<(&'static str, EF)>, Vec<Said>) {
        self.with_row(trace, r, |row| {
            let mut checker = Checker {
                row,
                challenges: &self.challenges,
                values: Vec::new(),
                messages: Vec::new(),
            };
            self.table.chip.eval(&mut checker);
            let names: Vec<_> = checker.values.iter().map(|v| v.0).collect();
            assert_eq!(names, self.table.chip.constraint_names());
            assert_eq!(checker.messages.len(), self.table.widths.messages);
            (checker.values, checker.messages)
        })
    }

    /// Row and index of every constraint that fails.
    pub fn failures(&self, trace: &Trace) -> Vec<(usize, usize)> {
        (0..self.height())
            .flat_map(|r| self.failures_at(trace, r))
            .collect()
    }

    pub fn failures_at(&self, trace: &Trace, r: usize) -> Vec<(usize, usize)> {
        let (values, _) = self.eval(trace, r);
        let failing = values.iter().enumerate().filter(|(_, v)| v.1 != EF::ZERO);
        failing.map(|(i, _)| (r, i)).collect()
    }

    /// Indices of failing constraints, each once.
    pub fn failing(&self, trace: &Trace) -> Vec<usize> {
        let mut failing: Vec<usize> = self.failures(trace).into_iter().map(|f| f.1).collect();
        failing.sort_unstable();
        failing.dedup();
        failing
    }

    /// Everything said on live rows with a count other than 0.
    pub fn said(&self, trace: &Trace) -> Vec<Said> {
        (0..self.live())
            .flat_map(|r| self.eval(trace, r).1)
            .filter(|(count, _)| *count != F::ZERO)
            .collect()
    }

    /// What the table has to say: the tensor's value received, the digest's sent.
    pub fn claims(&self, values: &[i64], digest_value: EF) -> Vec<Said> {
        let tensor = EF::from_usize(self.tensor.tensor);
        let said =
            |count, kind: ClaimKind, value| (count, vec![EF::from_u8(kind as u8), tensor, value]);
        vec![
            said(-F::ONE, self.tensor.kind, self.tensor_value(values)),
            said(F::ONE, ClaimKind::Digest, digest_value),
        ]
    }

    /// `Σ_f ρ^(F−1−f) Σ_p σ^p x`, or `ρ^f` for an output, straight from the definition.
    pub fn tensor_value(&self, values: &[i64]) -> EF {
        let (sigma, rho) = (self.sigma(), self.challenges.rho());
        let (features, positions) = (self.tensor.features, self.tensor.positions);
        assert_eq!(values.len(), features * positions);
        let mut sum = EF::ZERO;
        for (i, &v) in values.iter().enumerate() {
            let (f, p) = (i / positions, i % positions);
            let exponent = match self.tensor.kind {
                ClaimKind::Output => f,
                _ => features - 1 - f,
            };
            sum += rho.exp_u64(exponent as u64) * sigma.exp_u64(p as u64) * int(v);
        }
        sum
    }

    /// Whether a proof with these traces would convince a verifier of these claims.
    pub fn accepts(&self, trace: &Trace, claims: &[Said]) -> bool {
        self.failures(trace).is_empty() && self.said(trace) == claims
    }

    /// The fold that leads to `target` on row `to`, running backwards from there to row 0:
    /// constraint `index` is affine in the column `column`.
    pub fn run_back(&self, trace: &mut Trace, column: usize, index: usize, to: usize, target: EF) {
        let width = self.table.widths.projection;
        trace.projection[to * width + column] = target;
        for r in (0..to).rev() {
            let mut at = |v: EF| {
                trace.projection[r * width + column] = v;
                self.eval(trace, r).0[index].1
            };
            let (zero, one) = (at(EF::ZERO), at(EF::ONE));
            let slope = one - zero;
            trace.projection[r * width + column] = -zero * slope.inverse();
        }
    }

    /// Number of rows on which something does not vanish, LogUp included, when dead rows hold
    /// masks: uniform cells in one band, free fractions in the other.
    pub fn violations_with_masks(&self, trace: &Trace, first_masked: usize, seed: u64) -> usize {
        let mut random = Random(seed);
        let mut trace = trace.clone();
        let (live, height) = (self.live(), self.height());
        let blank = height - BANDS.blank;
        let (main, projection) = (trace.main.width(), self.table.widths.projection);
        for r in first_masked..blank {
            for cell in &mut trace.main.values[r * main..(r + 1) * main] {
                *cell = random.base();
            }
            for cell in &mut trace.projection[r * projection..(r + 1) * projection] {
                *cell = random.ext();
            }
        }
        let mut messages = Vec::new();
        for r in 0..live {
            self.with_row(&trace, r, |row| {
                let collector = MessageCollector::new(row, &self.challenges, &mut messages);
                self.table.chip.eval(&mut Over::<_, F>::new(collector));
            });
        }
        let (mut lookup, terminal) = fill_columns(&messages, self.table.widths.messages, height);
        let width = self.table.widths.lookup();
        for r in live..height {
            for c in 0..width {
                if c + 1 == width || r >= blank {
                    lookup[r * width + c] = random.ext();
                }
            }
        }
        let lambda = random.ext();
        (0..height)
            .filter(|&r| {
                let next = (r + 1) % height;
                let columns = LookupRow {
                    local: &lookup[r * width..(r + 1) * width],
                    next: &lookup[next * width..(next + 1) * width],
                    terminal,
                };
                self.with_row(&trace, r, |row| {
                    let folder = ConstraintFolder::new(row, columns, &self.challenges, lambda);
                    let mut folder = Over::<_, F>::new(folder);
                    self.table.chip.eval(&mut folder);
                    folder.into_inner().finish() != EF::ZERO
                })
            })
            .count()
    }
}

pub fn int(v: i64) -> F {
    let magnitude = F::from_u64(v.unsigned_abs());
    if v < 0 { -magnitude } else { magnitude }
}

pub fn wide(values: &[i32]) -> Vec<i64> {
    values.iter().map(|&v| i64::from(v)).collect()
}

pub fn cell(trace: &mut Trace, row: usize, column: usize) -> &mut F {
    let width = trace.main.width();
    &mut trace.main.values[row * width + column]
}
