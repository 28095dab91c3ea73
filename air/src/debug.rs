//! # Checking a witness without a proof
//!
//! [`check`] evaluates every constraint on every row and replays every bus, and reports the first
//! failures with names: chip, row, constraint or message. It is what `provenn check` runs.
//! [`degree`] measures constraint degrees.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use p3_field::{ExtensionField, Field};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

use crate::builder::{AirBuilder, Challenges, ConstraintFolder, Element, Over, Row};
use crate::bus::{Bus, MAX_MESSAGE_LEN};
use crate::chips::weights::linear_form;
use crate::chips::{Air, Chip};
use crate::layout::{Layout, Table};
use crate::logup::LookupRow;
use crate::statement::VerifierClaim;

/// The traces of one table.
#[derive(Clone, Copy, Debug)]
pub struct TableTraces<'a, F, EF> {
    /// Fixed matrix.
    pub fixed: &'a RowMajorMatrix<F>,
    /// Weight matrix, if the table has one.
    pub weight: Option<&'a RowMajorMatrix<F>>,
    /// Main matrix, if the table has one.
    pub main: Option<&'a RowMajorMatrix<F>>,
    /// Projection columns, row-major.
    pub projection: Option<&'a [EF]>,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A constraint is not zero.
    Constraint {
        /// Index of the table.
        table: usize,
        /// The chip.
        chip: &'static str,
        /// Row of the table.
        row: usize,
        /// Name of the constraint.
        constraint: &'static str,
        /// The columns it reads.
        columns: &'static str,
    },
    /// A message was not sent as often as it was received.
    Bus {
        /// The bus.
        bus: Bus,
        /// The message's entries.
        message: String,
        /// Where the message occurs, up to a few places.
        places: Vec<Place>,
    },
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chip, or `verifier`.
    pub chip: &'static str,
    /// Row of the table.
    pub row: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint {
                table,
                chip,
                row,
                constraint,
                columns,
            } => write!(
                f,
                "table {table} ({chip}), row {row}: constraint `{constraint}` fails \
                 (columns {columns})"
            ),
            Self::Bus {
                bus,
                message,
                places,
            } => {
                write!(
                    f,
                    "bus {bus:?}: message {message} does not balance; seen in"
                )?;
                for place in places {
                    write!(f, " {} row {}", place.chip, place.row)?;
                }
                Ok(())
            }
        }
    }
}

/// Total count and the first places of every message seen, by bus and printed entries.
type Ledger<F> = BTreeMap<(Bus, String), (F, Vec<Place>)>;

/// Places remembered per message.
const MAX_PLACES: usize = 4;

/// Reads one row, notes failing constraints, and collects messages.
struct RowChecker<'a, F, EF> {
    row: Row<'a, F, EF>,
    challenges: &'a Challenges<EF>,
    failed: Vec<&'static str>,
    messages: Vec<(Bus, F, Vec<EF>)>,
}

impl<F: Field, EF: ExtensionField<F>> AirBuilder for RowChecker<'_, F, EF> {
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
        if !x.is_zero() {
            self.failed.push(name);
        }
    }

    fn assert_zero_ext(&mut self, name: &'static str, x: EF) {
        if !x.is_zero() {
            self.failed.push(name);
        }
    }

    fn message(&mut self, bus: Bus, count: F, elements: &[Element<F, EF>]) {
        if count.is_zero() {
            return;
        }
        let entries = elements
            .iter()
            .map(|e| match *e {
                Element::Base(v) => EF::from(v),
                Element::Ext(v) => v,
            })
            .collect();
        self.messages.push((bus, count, entries));
    }
}

/// Checks all constraints on all rows and all buses. Returns up to `limit` failures.
///
/// `claims` are the verifier's own messages, which it receives.
pub fn check<F: Field, EF: ExtensionField<F>>(
    layout: &Layout,
    traces: &[TableTraces<'_, F, EF>],
    challenges: &Challenges<EF>,
    claims: &[VerifierClaim<EF>],
    limit: usize,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut ledger: Ledger<F> = BTreeMap::new();
    for (index, (table, traces)) in layout.tables.iter().zip(traces).enumerate() {
        check_table(index, table, traces, challenges, &mut ledger, &mut failures);
    }
    for claim in claims {
        let entries = [
            EF::from_u8(claim.kind as u8),
            EF::from_u64(claim.tensor as u64),
            claim.value,
        ];
        let place = Place {
            chip: "verifier",
            row: 0,
        };
        note(&mut ledger, Bus::Claim, -F::ONE, &entries, place);
    }
    for ((bus, message), (count, places)) in ledger {
        if !count.is_zero() {
            failures.push(Failure::Bus {
                bus,
                message: alloc::format!("{message} × {count}"),
                places,
            });
        }
    }
    failures.truncate(limit);
    failures
}

fn note<F: Field, EF: ExtensionField<F>>(
    ledger: &mut Ledger<F>,
    bus: Bus,
    count: F,
    entries: &[EF],
    place: Place,
) {
    let key = (bus, alloc::format!("{entries:?}"));
    let slot = ledger.entry(key).or_insert((F::ZERO, Vec::new()));
    slot.0 += count;
    if slot.1.len() < MAX_PLACES {
        slot.1.push(place);
    }
}

fn check_table<F: Field, EF: ExtensionField<F>>(
    index: usize,
    table: &Table,
    traces: &TableTraces<'_, F, EF>,
    challenges: &Challenges<EF>,
    ledger: &mut Ledger<F>,
    failures: &mut Vec<Failure>,
) {
    let height = table.height();
    let chip: &Chip = &table.chip;
    let challenges = &challenges.for_chip(chip);
    let forms = match (chip.weight_form(challenges), traces.weight) {
        (Some(coefficients), Some(w)) => Some(linear_form::<F, EF>(w, &coefficients)),
        _ => None,
    };
    let base = |matrix: Option<&RowMajorMatrix<F>>, r: usize| -> Vec<F> {
        matrix.map_or(Vec::new(), |m| {
            m.values[r * m.width()..(r + 1) * m.width()].to_vec()
        })
    };
    let width = table.widths.projection;
    for r in 0..height {
        let next = (r + 1) % height;
        let (fixed, weight, main) = (
            base(Some(traces.fixed), r),
            base(traces.weight, r),
            base(traces.main, r),
        );
        let projection = traces.projection.unwrap_or(&[]);
        let mut checker = RowChecker {
            row: Row {
                fixed: &fixed,
                weight: &weight,
                main: &main,
                form: forms.as_ref().map(|f| f[r]),
                projection: &projection[r * width..(r + 1) * width],
                projection_next: &projection[next * width..(next + 1) * width],
            },
            challenges,
            failed: Vec::new(),
            messages: Vec::new(),
        };
        chip.eval(&mut checker);
        let (failed, messages) = (checker.failed, checker.messages);
        failures.extend(failed.into_iter().map(|constraint| Failure::Constraint {
            table: index,
            chip: chip.name(),
            row: r,
            constraint,
            columns: chip.columns_of(constraint),
        }));
        // Messages count on live rows only.
        if fixed[crate::builder::engine::LIVE].is_zero() {
            continue;
        }
        for (bus, count, entries) in messages {
            let place = Place {
                chip: chip.name(),
                row: r,
            };
            note(ledger, bus, count, &entries, place);
        }
    }
}

/// Measures the degree of a table's folded constraint, LogUp's included: all columns are replaced
/// by lines in one variable, and the degree of the resulting polynomial is read off its finite
/// differences at `MAX + 2` points. Exact except with negligible probability over `seed`.
pub fn degree<EF: ExtensionField<EF>>(
    table: &Table,
    challenges: &Challenges<EF>,
    seed: EF,
) -> usize {
    const POINTS: usize = 8;
    let widths = table.widths;
    let challenges = &challenges.for_chip(&table.chip);
    let mut state = seed;
    let mut random = || {
        state = state * state + seed;
        state
    };
    let mut line = |n: usize| -> Vec<(EF, EF)> { (0..n).map(|_| (random(), random())).collect() };
    let columns: Vec<Vec<(EF, EF)>> = [
        widths.fixed,
        widths.weight,
        widths.main,
        widths.projection,
        widths.projection,
        widths.lookup(),
        widths.lookup(),
        1,
    ]
    .into_iter()
    .map(&mut line)
    .collect();
    let lambda = line(1)[0].0;
    let terminal = line(1)[0].0;
    let mut values: Vec<EF> = (0..POINTS)
        .map(|t| {
            let t = EF::from_u64(t as u64 + 1);
            let at: Vec<Vec<EF>> = columns
                .iter()
                .map(|c| c.iter().map(|&(a, b)| a + b * t).collect())
                .collect();
            let row = Row {
                fixed: &at[0],
                weight: &at[1],
                main: &at[2],
                form: Some(at[7][0]),
                projection: &at[3],
                projection_next: &at[4],
            };
            let lookup = LookupRow {
                local: &at[5],
                next: &at[6],
                terminal,
            };
            let mut folder =
                Over::<_, EF>::new(ConstraintFolder::new(row, lookup, challenges, lambda));
            table.chip.eval(&mut folder);
            folder.into_inner().finish()
        })
        .collect();
    // The k-th differences of a polynomial of degree d vanish from k = d + 1 on.
    for degree in 0..POINTS {
        if values.iter().all(EF::is_zero) {
            return degree.saturating_sub(1);
        }
        values = values.windows(2).map(|w| w[1] - w[0]).collect();
    }
    POINTS
}

/// Longest message, a compile-time reminder that fingerprints have room for it.
const _: () = assert!(MAX_MESSAGE_LEN >= 4);
