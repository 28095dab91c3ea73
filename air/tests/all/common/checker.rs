//! A second checker of witnesses, independent of `air::debug`, that can be told to overlook one
//! constraint or one kind of message.

use core::ops::Range;
use std::collections::{BTreeSet, HashMap};

use air::builder::{AirBuilder, Challenges, Element, Row};
use air::bus::{Bus, ClaimKind};
use air::chips::weights::linear_form;
use air::chips::{Air, Chip};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

use super::{EF, F, Witness};

/// Something a checker can overlook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlook {
    Nothing,
    /// A constraint of a chip.
    Constraint(&'static str, &'static str),
    /// Activation rows look nothing up in the functions.
    Activation,
    /// Activation rows look nothing up in the function with this number.
    Function(usize),
    /// This limb column of every lane is not looked up.
    Limb(usize),
    /// Nobody sends or receives folded weights.
    Product,
    /// Nobody sends or receives claims of this kind.
    Claim(ClaimKind),
}

/// A name for everything that fails.
pub type Failures = BTreeSet<String>;

struct Checker<'a> {
    row: Row<'a, F, EF>,
    challenges: &'a Challenges<EF>,
    overlook: Overlook,
    /// Every constraint with its value.
    constraints: Vec<(&'static str, EF)>,
    limbs_seen: usize,
    limbs: usize,
    is_activation: bool,
    messages: Vec<(Bus, F, Vec<EF>)>,
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
        self.assert_zero_ext(name, EF::from(x));
    }

    fn assert_zero_ext(&mut self, name: &'static str, x: EF) {
        self.constraints.push((name, x));
    }

    fn message(&mut self, bus: Bus, count: F, elements: &[Element<F, EF>]) {
        let entries: Vec<EF> = elements
            .iter()
            .map(|e| match *e {
                Element::Base(v) => EF::from(v),
                Element::Ext(v) => v,
            })
            .collect();
        let overlooked = match (bus, self.overlook) {
            (Bus::Range, o) if self.is_activation => {
                let limb = self.limbs_seen % self.limbs.max(1);
                self.limbs_seen += 1;
                o == Overlook::Limb(limb)
            }
            (Bus::Activation, Overlook::Activation) => self.is_activation,
            (Bus::Activation, Overlook::Function(number)) => {
                self.is_activation && entries[0] == EF::from_usize(number)
            }
            (Bus::Product, Overlook::Product) => true,
            (Bus::Claim, Overlook::Claim(kind)) => entries[0] == EF::from_u8(kind as u8),
            _ => false,
        };
        if !overlooked {
            self.messages.push((bus, count, entries));
        }
    }
}

/// Constraints and messages of a row.
struct Seen {
    constraints: Vec<(&'static str, EF)>,
    messages: Vec<(Bus, F, Vec<EF>)>,
}

/// Reads row `r` of table `i`.
fn read(witness: &Witness, i: usize, r: usize, form: Option<EF>, overlook: Overlook) -> Seen {
    let table = &witness.layout.tables[i];
    let chip = &table.chip;
    let next = (r + 1) % table.height();
    let fixed = witness.setup.fixed[i].row_slice(r).expect("in range");
    let row = |m: &Option<RowMajorMatrix<F>>| -> Vec<F> {
        let row = m.as_ref().map(|m| m.row_slice(r).expect("in range"));
        row.map_or(vec![], |row| row.to_vec())
    };
    let (weight, main) = (row(&witness.setup.weight[i]), row(&witness.main[i]));
    let width = table.widths.projection;
    let projection = witness.projection[i].as_deref().unwrap_or(&[]);
    let mut checker = Checker {
        row: Row {
            fixed: &fixed,
            weight: &weight,
            main: &main,
            form,
            projection: &projection[r * width..(r + 1) * width],
            projection_next: &projection[next * width..(next + 1) * width],
        },
        challenges: &witness.challenges.for_chip(chip),
        overlook,
        constraints: Vec::new(),
        limbs_seen: 0,
        limbs: match chip {
            Chip::Activation(air) => air.limbs.rem + air.limbs.excess,
            _ => 0,
        },
        is_activation: matches!(chip, Chip::Activation(_)),
        messages: Vec::new(),
    };
    chip.eval(&mut checker);
    Seen {
        constraints: checker.constraints,
        messages: checker.messages,
    }
}

/// The linear forms of a table's weights, by row.
fn forms(witness: &Witness, i: usize) -> Option<Vec<EF>> {
    let coefficients = witness.layout.tables[i]
        .chip
        .weight_form(&witness.challenges);
    coefficients
        .zip(witness.setup.weight[i].as_ref())
        .map(|(c, w)| linear_form::<F, EF>(w, &c))
}

impl Witness {
    /// Makes a constraint hold on some rows, one after the other, by what the next row has in a
    /// projection column. The constraint reads that cell as it is.
    pub fn settle(&mut self, table: usize, constraint: usize, column: usize, rows: Range<usize>) {
        let forms = forms(self, table);
        let width = self.layout.tables[table].widths.projection;
        for r in rows {
            let cell = (r + 1) * width + column;
            let columns = |w: &mut Self, value: EF| {
                w.projection[table].as_mut().expect("it has projections")[cell] = value;
            };
            columns(self, EF::ZERO);
            let form = forms.as_ref().map(|f| f[r]);
            let seen = read(self, table, r, form, Overlook::Nothing);
            columns(self, -seen.constraints[constraint].1);
        }
    }
}

/// Everything that fails, one thing overlooked.
pub fn failures(witness: &Witness, overlook: Overlook) -> Failures {
    let mut failures = Failures::new();
    let mut ledger: HashMap<(Bus, Vec<EF>), F> = HashMap::new();
    for (i, table) in witness.layout.tables.iter().enumerate() {
        let (chip, forms) = (&table.chip, forms(witness, i));
        for r in 0..table.height() {
            let seen = read(witness, i, r, forms.as_ref().map(|f| f[r]), overlook);
            let names: Vec<_> = seen.constraints.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, chip.constraint_names());
            for (name, x) in seen.constraints {
                if x != EF::ZERO && overlook != Overlook::Constraint(chip.name(), name) {
                    failures.insert(format!("{} {name}", chip.name()));
                }
            }
            if r < chip.rows() {
                for (bus, count, entries) in seen.messages {
                    *ledger.entry((bus, entries)).or_default() += count;
                }
            }
        }
    }
    for claim in witness.claims() {
        if overlook != Overlook::Claim(claim.kind) {
            let entries = vec![
                EF::from_u8(claim.kind as u8),
                EF::from_usize(claim.tensor),
                claim.value,
            ];
            *ledger.entry((Bus::Claim, entries)).or_default() -= F::ONE;
        }
    }
    for ((bus, _), count) in ledger {
        if count != F::ZERO {
            failures.insert(format!("{bus:?}"));
        }
    }
    failures
}
