//! # Every constraint and every message is needed
//!
//! For each constraint of a chip and each kind of message there is a false witness that everything
//! else accepts. The checker refuses it for exactly that reason, and accepts it when told to
//! overlook it. If this failed, a constraint would be redundant, or nothing would test it.

use crate::common::checker::{Overlook, failures};
use crate::common::{EF, F, Witness, gated, identity, line, shown};
use air::bus::ClaimKind;
use air::chips::activation::{ActivationAir, Source};
use air::chips::sums::Part;
use air::chips::{Air, Chip};
use air::graph::{Model, Range, Requantised, evaluate};
use air::layout::TermIds;
use air::statement::VerifierClaim;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;

/// Projection columns of an activation row; one weighted slot.
const H: usize = 0;
const G: usize = 1;
const T: usize = 2;
const WIDTH: usize = 3;
/// Constraints of an activation row, in order.
const CONSUME: usize = 1;

/// Input channels and pixels of the test model.
const CHANNELS: usize = 2;
const PIXELS: usize = 5;

/// A convolution along a line, no saturation used, one limb of remainder and two of excess.
fn model() -> Model {
    // Excess bits that nothing needs: they are there to be attacked. And an input of 63 values, which
    // is looked up like everything else.
    let input = Range { lo: -31, hi: 31 };
    line(input, identity(4, 8, Range::signed(7)))
}

fn honest() -> (Model, Witness, Requantised) {
    let model = model();
    let pixels = vec![17, -9, 30, 4, -22, 8, -31, 2, 11, 5];
    let evaluation = evaluate(&model, &[pixels]).expect("it evaluates");
    let witness = Witness::new(&model, &evaluation);
    assert_eq!(witness.check(), []);
    assert!(failures(&witness, Overlook::Nothing).is_empty());
    let first = evaluation.layers[0][0];
    assert!(first.excess == 0 && first.q < 63);
    (model, witness, first)
}

fn activation(witness: &Witness) -> (usize, ActivationAir) {
    let table = table(witness, "activation");
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

/// Rows of the output, one for each pixel of each channel. The row below them claims their totals.
fn outputs(air: &ActivationAir) -> core::ops::Range<usize> {
    let block = air.blocks.iter().find(|b| b.source == Source::Layer(0));
    let block = block.expect("the layer has rows");
    block.start..block.end()
}

impl Witness {
    fn main_cell(&mut self, column: usize) -> &mut F {
        let (table, air) = activation(self);
        let matrix = self.main[table].as_mut().expect("it has main columns");
        let width = matrix.width();
        &mut matrix.values[outputs(&air).start * width + column]
    }

    fn projected(&mut self, row: usize, column: usize) -> &mut EF {
        let (table, _) = activation(self);
        let columns = self.projection[table].as_mut().expect("it has projections");
        &mut columns[row * WIDTH + column]
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
    /// the accumulator is then wrong by `2^s`. Returns by how much their sum is.
    fn raise_output(&mut self, q: i32) -> EF {
        *self.main_cell(0) += F::ONE;
        *self.main_cell(1) += F::ONE;
        shown(&mut self.statement.outputs[0])[0] += 1;
        let function = self.function();
        let entry = |q| Some([function, 0, q, q]);
        self.move_count("functions", entry(q), entry(q + 1));
        let below = outputs(&activation(self).1).end;
        let before = *self.projected(below, H);
        self.project();
        *self.projected(below, H) - before
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

    /// Adds to the factors of some rows what changes the total of a block's chain by `change`. Returns
    /// what was added.
    fn shift_factors(&mut self, rows: &[usize], block: usize, change: EF) -> EF {
        let (table, air) = activation(self);
        let block = &air.blocks[block];
        let chain = block.start..block.end();
        let before = *self.projected(chain.end, T);
        let mut added = EF::ZERO;
        // Once to measure what 1 does, once to do what is wanted.
        for step in 0..2 {
            let reached = *self.projected(chain.end, T) - before;
            let by = match step {
                0 => EF::ONE,
                _ => change * reached.inverse() - added,
            };
            for &r in rows {
                *self.projected(r, G) += by;
            }
            added += by;
            self.settle(table, CONSUME, T, chain.clone());
        }
        assert_eq!(*self.projected(chain.end, T) - before, change);
        added
    }

    /// Adds to what the sums receive of a term, and to everything that follows from it.
    fn add_to_part(&mut self, part: Part, change: EF) {
        let table = table(self, "sums");
        let Chip::Sums(air) = self.layout.tables[table].chip.clone() else {
            unreachable!("found by name");
        };
        let cells = self.projection[table].as_mut().expect("it has projections");
        let at = air.parts.iter().position(|p| *p == part).expect("a part");
        cells[2 * at] += change;
        for (i, part) in air.parts.iter().enumerate().skip(at + 1) {
            cells[2 * i + 1] += change;
            if matches!(part, Part::Whole(_)) {
                cells[2 * i] += change;
                break;
            }
        }
    }

    /// The cells of the last row of the sums: what is received, what was added up.
    fn whole(&mut self) -> &mut [EF] {
        let table = table(self, "sums");
        let last = self.layout.tables[table].chip.rows() - 1;
        let cells = self.projection[table].as_mut().expect("it has projections");
        &mut cells[2 * last..2 * last + 2]
    }
}

/// The rows of an input channel.
fn channel(k: usize) -> Vec<usize> {
    (k * PIXELS..(k + 1) * PIXELS).collect()
}

/// The false witness that only `overlook` stands against.
fn forge(overlook: Overlook) -> Witness {
    let (model, mut w, first) = honest();
    let (_, air) = activation(&w);
    let outputs = outputs(&air);
    assert_eq!((air.lanes, outputs.start), (1, CHANNELS * PIXELS));
    let ids = TermIds::new(&model.graph);
    let term = Part::Term(ids.term(0, 0));
    match overlook {
        Overlook::Nothing => {}
        Overlook::Constraint("activation", "project") => {
            // A wrong accumulator; the fold of the right one.
            let right = w.clone();
            let _ = w.raise_output(first.q);
            let (table, _) = activation(&w);
            for r in 0..air.rows() {
                let h = right.projection[table]
                    .as_ref()
                    .expect("it has projections");
                *w.projected(r, H) = h[r * WIDTH + H];
            }
        }
        Overlook::Constraint("activation", "consume") => {
            // A wrong accumulator; the total of the term is set to match it.
            let change = w.raise_output(first.q);
            *w.projected(outputs.start, T) += change;
            w.add_to_part(term, change);
        }
        Overlook::Constraint("activation", "hold") => {
            // The first row of a channel has the right factor, the others one that helps.
            let change = w.raise_output(first.q);
            let _ = w.shift_factors(&channel(1)[1..], 0, change);
            w.add_to_part(term, change);
        }
        Overlook::Constraint("activation", "one") => {
            // True cells, a false statement: a factor that should be 1 makes up for it.
            let truth = w.claim(ClaimKind::Output);
            shown(&mut w.statement.outputs[0])[0] += 1;
            let change = w.claim(ClaimKind::Output) - truth;
            let _ = w.shift_factors(&[outputs.start + 1], 1, change);
        }
        Overlook::Constraint("weights", "fold") | Overlook::Product => {
            // A wrong accumulator; the factor of a channel is what would give it.
            let change = w.raise_output(first.q);
            let factor = w.shift_factors(&channel(1), 0, change);
            w.add_to_part(term, change);
            if overlook != Overlook::Product {
                shift_run(&mut w, 1, factor);
            }
        }
        Overlook::Constraint("overhang", "fold") => {
            // The overhang takes what the image has too much.
            let change = w.raise_output(first.q);
            let table = table(&w, "overhang");
            let below = w.layout.tables[table].chip.rows() - 1;
            let cells = w.projection[table].as_mut().expect("it has projections");
            cells[below] += change;
            w.add_to_part(Part::Term(ids.overhang(&model.graph, 0)), change);
        }
        Overlook::Constraint("sums", "add") => {
            let change = w.raise_output(first.q);
            w.whole().iter_mut().for_each(|cell| *cell += change);
        }
        Overlook::Constraint("sums", "whole") => {
            let change = w.raise_output(first.q);
            w.whole()[0] += change;
        }
        Overlook::Constraint(chip, name) => panic!("no forgery for {chip} {name}"),
        Overlook::Activation => {
            // An output no table has.
            *w.main_cell(1) += F::ONE;
            shown(&mut w.statement.outputs[0])[0] += 1;
            w.project();
            // The forger's rows look nothing up, so the table counts nothing.
        }
        Overlook::Limb(limb) if limb < air.limbs.rem => {
            // q + 1 and rem − 2^s, the difference in one limb.
            let _ = w.raise_output(first.q);
            let weight = 4 - i64::from(air.limbs.bits) * limb as i64;
            *w.main_cell(3 + limb) -= int(1 << weight);
            w.project();
        }
        Overlook::Limb(limb) => saturate(&mut w, &air, first, limb),
        Overlook::Claim(ClaimKind::Accumulator) => {
            let _ = w.raise_output(first.q);
        }
        Overlook::Claim(ClaimKind::Term) => {
            let change = w.raise_output(first.q);
            w.add_to_part(term, change);
        }
        Overlook::Claim(ClaimKind::Input) => shown(&mut w.statement.inputs[0])[1] += 1,
        Overlook::Claim(ClaimKind::Output) => shown(&mut w.statement.outputs[0])[1] += 1,
        Overlook::Function(_) => unreachable!("nothing is compared here"),
        Overlook::Claim(ClaimKind::Digest) => unreachable!("nothing is hashed here"),
        Overlook::Claim(ClaimKind::Sums) => unreachable!("nothing is attested here"),
    }
    uncount(&mut w, overlook);
    w
}

/// The first output saturates from above, by an excess that is a fraction modulo p or negative.
fn saturate(w: &mut Witness, air: &ActivationAir, first: Requantised, limb: usize) {
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
        for r in block.start..block.end() {
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

/// Makes the weight table send a changed factor for an input channel.
fn shift_run(w: &mut Witness, k: usize, change: EF) {
    let weights = table(w, "weights");
    let Chip::Weights(air) = w.layout.tables[weights].chip.clone() else {
        unreachable!("found by name");
    };
    let block = &air.blocks[0];
    assert_eq!((block.channels, block.residues), (CHANNELS, 1));
    let columns = w.projection[weights].as_mut().expect("it has a projection");
    columns[block.start + (k + 1) * block.rows.len()] += change;
}

/// Everything there is to overlook, and what fails.
fn everything() -> Vec<(Overlook, String)> {
    let (_, witness, _) = honest();
    let (_, air) = activation(&witness);
    assert_eq!(
        (air.limbs.rem, air.limbs.excess),
        (1, 2),
        "the cost model's choice"
    );
    let mut all: Vec<(Overlook, String)> = vec![
        (Overlook::Activation, "Activation".into()),
        (Overlook::Product, "Product".into()),
    ];
    all.extend(
        [
            ClaimKind::Accumulator,
            ClaimKind::Term,
            ClaimKind::Input,
            ClaimKind::Output,
        ]
        .map(|kind| (Overlook::Claim(kind), "Claim".into())),
    );
    let limbs = 0..air.limbs.rem + air.limbs.excess;
    all.extend(limbs.map(|i| (Overlook::Limb(i), "Range".into())));
    // Every constraint of every chip, by name.
    for table in &witness.layout.tables {
        let chip = table.chip.name();
        let names = table.chip.constraint_names().into_iter();
        all.extend(names.map(|n| (Overlook::Constraint(chip, n), format!("{chip} {n}"))));
    }
    all
}

/// The witness fails for one reason, and passes a checker that overlooks it.
fn fails_for(forged: &Witness, overlook: Overlook, reason: &str) {
    let found: Vec<String> = failures(forged, Overlook::Nothing).into_iter().collect();
    assert_eq!(found, [reason], "{overlook:?}");
    let found = failures(forged, overlook);
    assert!(found.is_empty(), "{overlook:?} still fails {found:?}");
    // The product's checker sees it too.
    assert!(!forged.check().is_empty(), "{overlook:?}");
}

#[test]
fn rejects_for_exactly_one_reason_and_only_while_it_is_there() {
    let all = everything();
    for chip in ["activation", "weights", "overhang", "sums"] {
        let of_chip = |o: &Overlook| matches!(o, Overlook::Constraint(name, _) if *name == chip);
        assert!(all.iter().any(|(o, _)| of_chip(o)), "{chip}");
    }
    for (overlook, reason) in all {
        fails_for(&forge(overlook), overlook, &reason);
    }
}

/// The model on an input of 64 values.
fn ranged() -> Model {
    line(Range::signed(6), identity(4, 8, Range::signed(7)))
}

#[test]
fn rejects_a_ranged_input_out_of_its_range_by_its_limbs_alone() {
    let mut model = ranged();
    // Nothing depends on the first channel, so it may become anything.
    let first = model.weights[0].terms[0].len() / CHANNELS;
    model.weights[0].terms[0][..first].fill(0);
    let pixels = vec![17, -9, 30, 4, -22, 8, -31, 2, 11, 5];
    let evaluation = evaluate(&model, &[pixels]).expect("it evaluates");
    let [honest, mut forged] = [(); 2].map(|()| Witness::new(&model, &evaluation));
    assert!(failures(&honest, Overlook::Nothing).is_empty());

    let (table, air) = activation(&forged);
    let block = &air.blocks[0];
    assert!(block.is_ranged());
    let limbs = 0..air.limbs.rem;
    let top = limbs.rev().find(|&i| air.limbs.width(block.shift, i) > 0);
    let top = top.expect("it has limbs");
    // 2^6 more: the top limb is as much too large, and everything follows from it.
    let matrix = forged.main[table].as_mut().expect("it has main columns");
    let at = block.start * matrix.width();
    matrix.values[at] += int(1 << block.shift);
    matrix.values[at + 1] += int(1 << block.shift);
    matrix.values[at + 3 + top] += int(1 << air.limbs.width(block.shift, top));
    shown(&mut forged.statement.inputs[0])[0] += 1 << block.shift;
    forged.project();
    uncount_limb(&mut forged, &honest, top);
    fails_for(&forged, Overlook::Limb(top), "Range");
}

#[test]
fn rejects_a_ranged_input_that_is_read_as_another_by_one_constraint_alone() {
    let model = ranged();
    let mut pixels = vec![17, -9, 30, 4, -22, 8, -31, 2, 11, 5];
    let shown_value = pixels[0];
    // All that follows belongs to another pixel than the statement shows.
    pixels[0] += 1;
    let evaluation = evaluate(&model, &[pixels]).expect("it evaluates");
    for limbs_too in [false, true] {
        let mut forged = Witness::new(&model, &evaluation);
        assert!(failures(&forged, Overlook::Nothing).is_empty());
        shown(&mut forged.statement.inputs[0])[0] = shown_value;
        let (table, air) = activation(&forged);
        let block = &air.blocks[0];
        assert!(block.is_ranged() && block.start == 0);
        let matrix = forged.main[table].as_mut().expect("it has main columns");
        matrix.values[0] -= F::ONE;
        if limbs_too {
            // The limbs go with what is claimed, what is read is the odd one out.
            matrix.values[3] -= F::ONE;
            let bits = i32::from(air.limbs.width(block.shift, 0));
            let low = (shown_value - block.lo) & ((1 << bits) - 1);
            assert!(low < (1 << bits) - 1, "no carry");
            let entry = |limb| Some([bits, limb, 0, 0]);
            forged.move_count("range", entry(low + 1), entry(low));
        }
        forged.project();
        let overlook = Overlook::Constraint("activation", "ranged");
        fails_for(&forged, overlook, "activation ranged");
    }
}

#[test]
fn matches_the_number_of_messages_and_constraints_stated() {
    use air::builder::{Challenges, MessageCollector, Over, Row};
    let samples = [model(), ranged(), gated()].map(|model| {
        let evaluation = evaluate(&model, &[vec![3; model.graph.tensors[0].len()]]);
        Witness::new(&model, &evaluation.expect("it evaluates"))
    });
    for (witness, table) in samples
        .iter()
        .flat_map(|w| w.layout.tables.iter().map(move |table| (w, table)))
    {
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
        let challenges: &Challenges<EF> = &witness.challenges.for_chip(&table.chip);
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
        ("overhang", 3),
        ("sums", 3),
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
