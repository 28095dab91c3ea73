//! # Every constraint and every message is needed
//!
//! For each constraint of a chip and each kind of message there is a false witness that everything
//! else accepts. The checker refuses it for exactly that reason, and accepts it when told to
//! overlook it. If this failed, a constraint would be redundant, or nothing would test it.

use crate::common::checker::{Overlook, failures};
use crate::common::{EF, F, Witness, chain, identity, shown};
use air::bus::ClaimKind;
use air::chips::activation::{ActivationAir, Source};
use air::chips::{Air, Chip};
use air::graph::{LinearWeights, Model, Range, Requant, Requantised, evaluate};
use air::statement::VerifierClaim;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;

const H: usize = 0;
const V: usize = 1;
const S: usize = 2;

/// Three inputs, four outputs, no saturation used, two limbs of remainder and two of excess.
fn model() -> Model {
    let weights = LinearWeights {
        inputs: 3,
        outputs: 4,
        values: vec![3, -1, 4, 1, -5, 9, 2, -6, 5, 3, -5, 8],
        bias: vec![100, -200, 300, -400],
    };
    // Excess bits that nothing needs: they are there to be attacked.
    let requant: Requant = identity(4, 8, Range::signed(7));
    // An input of 63 values, which is looked up like everything else.
    let input = Range { lo: -31, hi: 31 };
    chain(1, input, &[3, 4], &[requant], vec![weights])
}

fn honest() -> (Model, Witness, Requantised) {
    let model = model();
    let evaluation = evaluate(&model, &[vec![17, -9, 30]]).expect("it evaluates");
    let witness = Witness::new(&model, &evaluation);
    assert_eq!(witness.check(), []);
    assert!(failures(&witness, Overlook::Nothing).is_empty());
    let first = evaluation.layers[0][0];
    assert!(first.excess == 0 && first.q < 63);
    (model, witness, first)
}

fn activation(witness: &Witness) -> (usize, ActivationAir) {
    let found = witness
        .layout
        .tables
        .iter()
        .position(|t| t.chip.name() == "activation");
    let table = found.expect("there is an activation table");
    match &witness.layout.tables[table].chip {
        Chip::Activation(air) => (table, air.clone()),
        _ => unreachable!("just found by name"),
    }
}

fn table(witness: &Witness, name: &str) -> usize {
    let found = witness
        .layout
        .tables
        .iter()
        .position(|t| t.chip.name() == name);
    found.expect("the layout has this table")
}

fn int(v: i64) -> F {
    let magnitude = F::from_u64(v.unsigned_abs());
    if v < 0 { -magnitude } else { magnitude }
}

/// Row of the first output.
fn output_row(air: &ActivationAir) -> usize {
    let block = air.blocks.iter().find(|b| b.source == Source::Layer(0));
    block.expect("the layer has rows").first_feature()
}

impl Witness {
    fn main_cell(&mut self, column: usize) -> &mut F {
        let (table, air) = activation(self);
        let matrix = self.main[table].as_mut().expect("it has main columns");
        let width = matrix.width();
        &mut matrix.values[output_row(&air) * width + column]
    }

    fn projected(&mut self, row: usize, column: usize) -> &mut EF {
        let (table, _) = activation(self);
        let columns = self.projection[table].as_mut().expect("it has projections");
        &mut columns[row * 3 + column]
    }

    /// Moves one use of a lookup table from one entry to another.
    fn move_count(&mut self, name: &str, from: Option<[i32; 4]>, to: Option<[i32; 4]>) {
        let table = table(self, name);
        let Chip::Lookup(air) = self.layout.tables[table].chip.clone() else {
            unreachable!("lookup tables are found by name");
        };
        let entries = air.content.entries();
        let counts = self.main[table].as_mut().expect("it has counts");
        for (entry, change) in [(from, -F::ONE), (to, F::ONE)] {
            let Some(entry) = entry else { continue };
            let at = entries.iter().position(|e| *e == entry).expect("an entry");
            counts.values[at] += change;
        }
    }

    /// The first output becomes its neighbour, in its row, its table counts and the statement:
    /// the accumulator is then wrong by `2^s`.
    fn raise_output(&mut self, q: i32) {
        *self.main_cell(0) += F::ONE;
        *self.main_cell(1) += F::ONE;
        shown(&mut self.statement.outputs[0])[0] += 1;
        let function = self.function();
        let entry = |q| Some([function, 0, q, q]);
        self.move_count("functions", entry(q), entry(q + 1));
    }

    fn function(&self) -> i32 {
        let (_, air) = activation(self);
        air.blocks[1].function as i32
    }

    fn claim(&self, kind: ClaimKind) -> EF {
        let claims: Vec<VerifierClaim<EF>> = self.claims();
        let found = claims.iter().find(|c| c.kind == kind);
        found.expect("the verifier makes this claim").value
    }
}

/// The false witness that only `overlook` stands against.
fn forge(overlook: Overlook) -> Witness {
    let (_, mut w, first) = honest();
    let (_, air) = activation(&w);
    let outputs = output_row(&air);
    let closing = air.rows() - 1;
    match overlook {
        Overlook::Nothing => {}
        Overlook::Constraint("project") => {
            // A wrong accumulator; the fold of the right one.
            let right = w.projection.clone();
            w.raise_output(first.q);
            w.project();
            let (table, _) = activation(&w);
            for r in 0..air.rows() {
                let h = right[table].as_ref().expect("it has projections")[r * 3 + H];
                *w.projected(r, H) = h;
            }
        }
        Overlook::Constraint("consume") => {
            // A wrong accumulator; the consumed total is set to match it.
            w.raise_output(first.q);
            w.project();
            let wrong = *w.projected(closing, H);
            *w.projected(outputs, S) = wrong;
        }
        Overlook::Constraint(name @ ("pow_first" | "pow_step")) => {
            // True cells, a false statement: other powers of ρ make up for it.
            shown(&mut w.statement.outputs[0])[0] += 1;
            let claimed = w.claim(ClaimKind::Output);
            let truth = *w.projected(closing, S);
            let out = *w.main_cell(1);
            // All powers scaled, or all but the first.
            let (from, factor) = if name == "pow_first" {
                (0, claimed / truth)
            } else {
                (1, (claimed - EF::from(out)) / (truth - EF::from(out)))
            };
            for r in outputs + from..closing {
                *w.projected(r, V) *= factor;
            }
            resum(&mut w, outputs, closing);
        }
        Overlook::Constraint("fold") | Overlook::Product => {
            // A wrong accumulator; v_1 is what would give it.
            w.raise_output(first.q);
            w.project();
            let change = shift_product(&mut w, 1, outputs, closing);
            if overlook != Overlook::Product {
                shift_weights(&mut w, 1, change, false);
            }
        }
        Overlook::Constraint("start") => {
            w.raise_output(first.q);
            w.project();
            let change = shift_product(&mut w, 0, outputs, closing);
            shift_weights(&mut w, 0, change, true);
        }
        Overlook::Constraint(name) => panic!("no forgery for constraint {name}"),
        Overlook::Activation => {
            // An output no table has.
            *w.main_cell(1) += F::ONE;
            shown(&mut w.statement.outputs[0])[0] += 1;
            w.project();
            // The forger's rows look nothing up, so the table counts nothing.
        }
        Overlook::Limb(limb) if limb < air.limbs.rem => {
            // q + 1 and rem − 2^s, the difference in one limb.
            w.raise_output(first.q);
            let weight = 4 - i64::from(air.limbs.bits) * limb as i64;
            *w.main_cell(3 + limb) -= int(1 << weight);
            w.project();
        }
        Overlook::Limb(limb) => {
            // Saturated from above, by an excess that is a fraction modulo p or negative.
            let hi = 63;
            let wanted = int(i64::from(first.q) - hi);
            let index = limb - air.limbs.rem;
            let weight = F::TWO.exp_u64(u64::from(air.limbs.bits) * index as u64);
            *w.main_cell(0) = int(hi);
            *w.main_cell(1) = int(hi);
            *w.main_cell(2) = F::ONE;
            *w.main_cell(3 + limb) = wanted * weight.inverse();
            shown(&mut w.statement.outputs[0])[0] = hi as i32;
            let function = w.function();
            w.move_count(
                "functions",
                Some([function, 0, first.q, first.q]),
                Some([function, 1, hi as i32, hi as i32]),
            );
            w.project();
        }
        Overlook::Claim(ClaimKind::Accumulator) => {
            w.raise_output(first.q);
            w.project();
        }
        Overlook::Claim(ClaimKind::Input) => shown(&mut w.statement.inputs[0])[1] += 1,
        Overlook::Claim(ClaimKind::Output) => shown(&mut w.statement.outputs[0])[1] += 1,
        Overlook::Claim(ClaimKind::Digest) => unreachable!("nothing is hashed here"),
        Overlook::Claim(ClaimKind::Sums) => unreachable!("nothing is attested here"),
    }
    uncount(&mut w, overlook);
    w
}

/// Removes from the tables what rows no longer look up when a lookup is overlooked.
fn uncount(w: &mut Witness, overlook: Overlook) {
    match overlook {
        Overlook::Activation => {
            let functions = self::table(w, "functions");
            let counts = w.main[functions].as_mut().expect("it has counts");
            counts.values.fill(F::ZERO);
        }
        Overlook::Limb(limb) => {
            let (_, honest, _) = honest();
            uncount_limb(w, &honest, limb);
        }
        _ => {}
    }
}

/// Removes from the range table what an honest witness looks up in one limb's column: everything there
/// was counted.
fn uncount_limb(w: &mut Witness, honest: &Witness, limb: usize) {
    let (table, air) = activation(w);
    let matrix = honest.main[table].as_ref().expect("it has main columns");
    for block in &air.blocks {
        for r in block.first_feature()..block.end() {
            let bits = match limb.checked_sub(air.limbs.rem) {
                None => air.limbs.width(block.shift, limb),
                Some(i) => air.limbs.width(block.excess_bits, i),
            };
            let value = matrix.values[r * matrix.width() + 3 + limb];
            let value = p3_field::PrimeField32::as_canonical_u32(&value);
            w.move_count("range", Some([i32::from(bits), value as i32, 0, 0]), None);
        }
    }
}

/// Recomputes `s` of the outputs from their `v`.
fn resum(w: &mut Witness, outputs: usize, closing: usize) {
    let (table, air) = activation(w);
    let matrix = w.main[table].clone().expect("it has main columns");
    let mut sum = EF::ZERO;
    for r in outputs..closing {
        let v = *w.projected(r, V);
        sum += v * matrix.values[r * matrix.width() + 1];
        *w.projected(r + 1, S) = sum;
    }
    assert_eq!(air.lanes, 1);
}

/// Changes `v_k` so that the consumed total equals the (wrong) accumulators. Returns the change.
fn shift_product(w: &mut Witness, k: usize, outputs: usize, closing: usize) -> EF {
    let wrong = *w.projected(closing, H);
    let missing = wrong - *w.projected(outputs, S);
    let (table, _) = activation(w);
    let matrix = w.main[table].as_ref().expect("it has main columns");
    // Below the unit row.
    let row = 1 + k;
    let x = matrix.values[row * matrix.width() + 1];
    let change = missing * EF::from(x).inverse();
    *w.projected(row, V) += change;
    for r in row + 1..=outputs {
        *w.projected(r, S) += missing;
    }
    change
}

/// Makes the weight table send the changed `v_k`: on the row that sends it, or from the first row
/// of the block on, so that only that row is wrong.
fn shift_weights(w: &mut Witness, k: usize, change: EF, from_first: bool) {
    let weights = table(w, "weights");
    let Chip::Weights(air) = w.layout.tables[weights].chip.clone() else {
        unreachable!("found by name");
    };
    let per_input = air.blocks[0].outputs.div_ceil(air.lanes);
    let lift = w.challenges.rho_powers[air.lanes];
    let columns = w.projection[weights].as_mut().expect("it has a projection");
    let last = (k + 1) * per_input - 1;
    let mut change = change;
    columns[last] += change;
    if from_first {
        for r in (k * per_input..last).rev() {
            change *= lift.inverse();
            columns[r] += change;
        }
    }
}

/// Everything there is to overlook.
fn everything() -> Vec<(Overlook, &'static str)> {
    let (_, witness, _) = honest();
    let (_, air) = activation(&witness);
    assert_eq!(
        (air.limbs.rem, air.limbs.excess),
        (1, 2),
        "the cost model's choice"
    );
    let mut all: Vec<(Overlook, &'static str)> = vec![
        (Overlook::Activation, "Activation"),
        (Overlook::Product, "Product"),
        (Overlook::Claim(ClaimKind::Accumulator), "Claim"),
        (Overlook::Claim(ClaimKind::Input), "Claim"),
        (Overlook::Claim(ClaimKind::Output), "Claim"),
    ];
    all.extend((0..air.limbs.rem + air.limbs.excess).map(|i| (Overlook::Limb(i), "Range")));
    // Every constraint of every chip, by name.
    for table in &witness.layout.tables {
        let names = table.chip.constraint_names();
        all.extend(names.iter().map(|&n| (Overlook::Constraint(n), n)));
    }
    all
}

#[test]
fn rejects_for_exactly_one_reason_and_only_while_it_is_there() {
    for (overlook, reason) in everything() {
        let forged = forge(overlook);
        let found: Vec<String> = failures(&forged, Overlook::Nothing).into_iter().collect();
        assert_eq!(found, [reason], "{overlook:?}");
        let found = failures(&forged, overlook);
        assert!(found.is_empty(), "{overlook:?} still fails {found:?}");
        // The product's checker sees it too.
        assert!(!forged.check().is_empty(), "{overlook:?}");
    }
}

#[test]
fn rejects_a_ranged_input_out_of_its_range_by_its_limbs_alone() {
    let mut model = model();
    model.graph.tensors[0].range = Range::signed(6);
    // Nothing depends on the first input, so it may become anything.
    model.weights[0].values[..4].fill(0);
    let evaluation = evaluate(&model, &[vec![17, -9, 30]]).expect("it evaluates");
    let [honest, mut forged] = [(); 2].map(|()| Witness::new(&model, &evaluation));
    assert!(failures(&honest, Overlook::Nothing).is_empty());

    let (table, air) = activation(&forged);
    let block = air.blocks[0];
    assert!(block.is_ranged());
    let limbs = 0..air.limbs.rem;
    let top = limbs.rev().find(|&i| air.limbs.width(block.shift, i) > 0);
    let top = top.expect("it has limbs");
    // 2^6 more: the top limb is as much too large, and everything follows from it.
    let matrix = forged.main[table].as_mut().expect("it has main columns");
    let at = block.first_feature() * matrix.width() + 3 + top;
    matrix.values[at] += int(1 << air.limbs.width(block.shift, top));
    shown(&mut forged.statement.inputs[0])[0] += 1 << block.shift;
    forged.project();
    uncount_limb(&mut forged, &honest, top);
    let found: Vec<String> = failures(&forged, Overlook::Nothing).into_iter().collect();
    assert_eq!(found, ["Range"]);
    let found = failures(&forged, Overlook::Limb(top));
    assert!(found.is_empty(), "it still fails {found:?}");
    assert!(!forged.check().is_empty());
}

#[test]
fn matches_the_number_of_messages_and_constraints_stated() {
    use air::builder::{Challenges, MessageCollector, Over, Row};
    let (_, witness, _) = honest();
    for table in &witness.layout.tables {
        let widths = table.widths;
        assert_eq!(widths.constraints, table.chip.constraint_names().len());
        let fixed = vec![F::ONE; widths.fixed];
        let weight = vec![F::ONE; widths.weight];
        let main = vec![F::ONE; widths.main];
        let projection = vec![EF::ONE; widths.projection];
        let row = Row {
            fixed: &fixed,
            weight: &weight,
            main: &main,
            form: Some(EF::ONE),
            projection: &projection,
            projection_next: &projection,
        };
        let challenges: &Challenges<EF> = &witness.challenges;
        let mut messages: Vec<(EF, F)> = Vec::new();
        let collector = MessageCollector::new(row, challenges, &mut messages);
        table.chip.eval(&mut Over::<_, F>::new(collector));
        assert_eq!(messages.len(), widths.messages, "{}", table.chip.name());
        let fixed = table.generate_fixed::<F>();
        assert_eq!(
            (fixed.width(), fixed.height()),
            (widths.fixed, table.height())
        );
    }
}

#[test]
fn matches_the_degree_declared() {
    let (_, witness, _) = honest();
    let declared = [
        ("activation", 3),
        ("weights", 3),
        ("range", 3),
        ("functions", 3),
    ];
    assert_eq!(witness.layout.tables.len(), declared.len());
    let challenges = witness.challenges.clone();
    for (table, (name, degree)) in witness.layout.tables.iter().zip(declared) {
        assert_eq!(table.chip.name(), name);
        let measured = air::debug::degree::<EF>(table, &challenges, crate::common::rho());
        assert_eq!(measured, degree, "{name}");
        assert!(measured <= air::chips::MAX_DEGREE);
    }
}
