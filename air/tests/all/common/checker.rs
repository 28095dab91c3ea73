//! A second checker of witnesses, independent of `air::debug`, that can be told to overlook one
//! constraint or one kind of message.

use std::collections::{BTreeSet, HashMap};

use air::builder::{AirBuilder, Challenges, Element, Row};
use air::bus::{Bus, ClaimKind};
use air::chips::weights::linear_form;
use air::chips::{Air, Chip};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Matrix;

use super::{EF, F, Witness};

/// Something a checker can overlook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlook {
    Nothing,
    Constraint(&'static str),
    /// Activation rows look nothing up in the functions.
    Activation,
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
    failed: Vec<&'static str>,
    constraints: usize,
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
        self.constraints += 1;
        if self.overlook != Overlook::Constraint(name) && x != EF::ZERO {
            self.failed.push(name);
        }
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
            (Bus::Product, Overlook::Product) => true,
            (Bus::Claim, Overlook::Claim(kind)) => entries[0] == EF::from_u8(kind as u8),
            _ => false,
        };
        if !overlooked {
            self.messages.push((bus, count, entries));
        }
    }
}

/// Everything that fails, one thing overlooked.
pub fn failures(witness: &Witness, overlook: Overlook) -> Failures {
    let mut failures = Failures::new();
    let mut ledger: HashMap<(Bus, Vec<EF>), F> = HashMap::new();
    for (i, table) in witness.layout.tables.iter().enumerate() {
        let chip = &table.chip;
        let forms = chip
            .weight_form(&witness.challenges)
            .zip(witness.setup.weight[i].as_ref())
            .map(|(c, w)| linear_form::<F, EF>(w, &c));
        let limbs = match chip {
            Chip::Activation(air) => air.limbs.rem + air.limbs.excess,
            _ => 0,
        };
        for r in 0..table.height() {
            let next = (r + 1) % table.height();
            let fixed = witness.setup.fixed[i].row_slice(r).expect("in range");
            let weight = witness.setup.weight[i]
                .as_ref()
                .map(|m| m.row_slice(r).expect("in range"));
            let main = witness.main[i]
                .as_ref()
                .map(|m| m.row_slice(r).expect("in range"));
            let width = table.widths.projection;
            let projection = witness.projection[i].as_deref().unwrap_or(&[]);
            let mut checker = Checker {
                row: Row {
                    fixed: &fixed,
                    weight: weight.as_deref().unwrap_or(&[]),
                    main: main.as_deref().unwrap_or(&[]),
                    form: forms.as_ref().map(|f| f[r]),
                    projection: &projection[r * width..(r + 1) * width],
                    projection_next: &projection[next * width..(next + 1) * width],
                },
                challenges: &witness.challenges,
                overlook,
                failed: Vec::new(),
                constraints: 0,
                limbs_seen: 0,
                limbs,
                is_activation: matches!(chip, Chip::Activation(_)),
                messages: Vec::new(),
            };
            chip.eval(&mut checker);
            assert_eq!(checker.constraints, chip.constraint_names().len());
            failures.extend(checker.failed.iter().map(|&name| name.to_owned()));
            if r < chip.rows() {
                for (bus, count, entries) in checker.messages {
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
