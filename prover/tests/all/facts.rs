//! # What a statement says of hidden tensors
//!
//! Digests, bounds and ranks: every combination proves and verifies, a proof of one statement is none
//! of another, and nothing false can be proved through the real prover. The chips by themselves are
//! tested in `air`; here they are beside a model.

use crate::common::attack::{Attack, F, Lab, Main, cell, constraints, int};
use crate::common::{MODULUS, P, Spec, input, mlp};
use air::chips::compare::CompareAir;
use air::chips::{Air, Chip};
use air::graph::{Function, Range};
use air::layout::Layout;
use air::statement::{
    Disclosed, Hash, Policy, Statement, StatementError, TensorDigest, Visibility, tensor_digest,
};
use p3_field::{Field, PrimeCharacteristicRing};
use prover::ProveError;
use verifier::VerifyError::{self, Buses};
use verifier::{Privacy, ProofFile, verify, verify_file};

/// Every word of it is below p, as Poseidon2 wants.
const SALT: [u8; 32] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32,
];

fn hashed(hash: Hash, salted: bool) -> Visibility {
    Visibility::Hashed {
        hash,
        salts: salted.then(|| vec![SALT]),
    }
}

const HASHES: [(Hash, bool); 4] = [
    (Hash::Sha256, true),
    (Hash::Sha256, false),
    (Hash::Poseidon2, true),
    (Hash::Poseidon2, false),
];

fn lab(spec: &Spec<'_>, policy: Policy) -> Lab {
    let model = mlp(spec);
    let x = input(&model, 7);
    Lab::with(model, &x, Privacy::Data, policy)
}

fn wide_spec() -> Spec<'static> {
    Spec {
        positions: 3,
        functions: &[Function::Tanh, Function::Sigmoid],
        ..Spec::default()
    }
}

/// Intervals that hold for the test input, as tight as can be on every other feature.
fn bounds(lab: &Lab) -> Vec<Range> {
    let tensor = &lab.prover.model().graph.tensors[0];
    let features = lab.evaluation.tensors[0].chunks_exact(tensor.positions());
    let tight = |values: &[i32]| Range {
        lo: *values.iter().min().expect("a feature has values"),
        hi: *values.iter().max().expect("a feature has values"),
    };
    let pick = |(i, values)| {
        if i % 2 == 0 {
            tight(values)
        } else {
            tensor.range
        }
    };
    features.enumerate().map(pick).collect()
}

/// Policies that say something of hidden tensors.
fn policies(spec: &Spec<'_>) -> Vec<Policy> {
    let bounds = bounds(&lab(spec, Policy::PUBLIC));
    let mut policies = Vec::new();
    for (hash, salted) in HASHES {
        policies.push(Policy::new(hashed(hash, salted), Visibility::Public));
        policies.push(Policy::new(Visibility::Private, hashed(hash, salted)));
    }
    policies.push(Policy {
        bounds: vec![Some(bounds.clone())],
        ..Policy::default()
    });
    for count in [1, 3] {
        policies.push(Policy {
            leading: Some(count),
            ..Policy::new(Visibility::Public, Visibility::Private)
        });
    }
    policies.push(Policy {
        bounds: vec![Some(bounds)],
        leading: Some(2),
        ..Policy::new(hashed(Hash::Sha256, true), hashed(Hash::Poseidon2, true))
    });
    policies
}

#[test]
fn accepts_every_fact() {
    for spec in [Spec::default(), wide_spec()] {
        for policy in policies(&spec) {
            let lab = lab(&spec, policy.clone());
            let key = lab.prover.verifying_key();
            let file = lab
                .prover
                .prove(&lab.evaluation, &policy)
                .expect("it proves");
            let file = ProofFile::<P>::from_bytes(&file.to_bytes(key), key).expect("it decodes");
            let verified = verify_file(key, &file).expect("it verifies");
            assert!(verified.security_bits >= 100);
        }
    }
}

#[test]
fn says_what_the_policy_wants_said() {
    let all = policies(&Spec::default());
    let lab = lab(&Spec::default(), all[all.len() - 1].clone());
    let file = lab.forge(&mut Attack::default());
    let (input, output) = (&file.statement.inputs[0], &file.statement.outputs[0]);
    assert!(input.values.is_none() && output.values.is_none());
    let graph = &lab.prover.model().graph;
    let values = |i: usize| (&lab.evaluation.tensors[i], graph.tensors[i].range);
    let (x, range) = values(0);
    let digest = tensor_digest::<F>(Hash::Sha256, x, range, Some(&SALT)).ok();
    assert_eq!(input.digest, digest);
    let (y, range) = values(2);
    let digest = tensor_digest::<F>(Hash::Poseidon2, y, range, Some(&SALT)).ok();
    assert_eq!(output.digest, digest);
    // The two largest of four outputs, by hand.
    let mut order: Vec<u32> = (0..4).collect();
    order.sort_by_key(|&f| (-y[f as usize], f));
    order.truncate(2);
    order.sort_unstable();
    assert_eq!(output.leading, Some(vec![order]));
}

#[test]
fn rejects_a_proof_of_one_statement_as_one_of_another() {
    let all = policies(&Spec::default());
    let labs: Vec<Lab> = all.into_iter().map(|p| lab(&Spec::default(), p)).collect();
    let files: Vec<_> = labs
        .iter()
        .map(|l| l.forge(&mut Attack::default()))
        .collect();
    let key = labs[0].prover.verifying_key();
    for (i, proof) in files.iter().enumerate() {
        for (j, statement) in files.iter().enumerate() {
            // All labs have the same model and input: both statements are true.
            let verified = verify(key, &statement.statement, &proof.proof);
            assert_eq!(verified.is_ok(), i == j, "{i} {j}");
        }
    }
}

type Change = fn(&mut Disclosed);

#[test]
fn rejects_changed_statements() {
    let all = policies(&Spec::default());
    let lab = lab(&Spec::default(), all[all.len() - 1].clone());
    let file = lab.forge(&mut Attack::default());
    let key = lab.prover.verifying_key();
    fn digest(d: &mut Disclosed) -> &mut TensorDigest {
        d.digest.as_mut().expect("it is hashed")
    }
    fn bounds(d: &mut Disclosed) -> &mut Vec<Range> {
        d.bounds.as_mut().expect("it is bounded")
    }
    fn leading(d: &mut Disclosed) -> &mut Vec<Vec<u32>> {
        d.leading.as_mut().expect("it is ranked")
    }
    let inputs: [Change; 9] = [
        |d| digest(d).bytes[0] ^= 1,
        |d| digest(d).bytes[31] ^= 128,
        |d| digest(d).salted = false,
        |d| digest(d).hash = Hash::Poseidon2,
        |d| d.digest = None,
        |d| bounds(d)[0].hi += 1,
        |d| bounds(d)[0].hi -= 1,
        |d| bounds(d)[1].lo += 1,
        |d| d.bounds = None,
    ];
    let outputs: [Change; 6] = [
        |d| digest(d).bytes[4] ^= 1,
        |d| digest(d).bytes.copy_from_slice(&[255; 32]),
        |d| digest(d).salted = false,
        |d| leading(d)[0][0] ^= 1,
        |d| leading(d)[0].truncate(1),
        |d| d.leading = None,
    ];
    let refused = |statement: &Statement| verify(key, statement, &file.proof).expect_err("changed");
    for change in inputs {
        let mut statement = file.statement.clone();
        change(&mut statement.inputs[0]);
        refused(&statement);
    }
    for change in outputs {
        let mut statement = file.statement.clone();
        change(&mut statement.outputs[0]);
        refused(&statement);
    }
}

#[test]
fn rejects_statements_that_are_not_about_the_graph() {
    use StatementError::{Bounds, Digest, Leading, Redundant};
    let lab = lab(&Spec::default(), Policy::PUBLIC);
    let graph = &lab.prover.model().graph;
    let honest = lab.forge(&mut Attack::default()).statement;
    let range = graph.tensors[0].range;
    let noncanonical = TensorDigest {
        hash: Hash::Poseidon2,
        salted: true,
        bytes: [255; 32],
    };
    let said = |d: Disclosed| {
        let mut statement = honest.clone();
        statement.inputs[0] = d;
        statement.check(graph, MODULUS)
    };
    let private = || Disclosed::PRIVATE;
    assert_eq!(said(private()), Ok(()));
    let digest = Some(noncanonical);
    assert_eq!(
        said(Disclosed {
            digest,
            ..private()
        }),
        Err(Digest { tensor: 0 })
    );
    let bounded = |bounds| {
        said(Disclosed {
            bounds: Some(bounds),
            ..private()
        })
    };
    assert_eq!(bounded(vec![range; 12]), Ok(()));
    let empty = Range { lo: 1, hi: 0 };
    let beyond = Range {
        lo: range.lo - 1,
        hi: 0,
    };
    for bounds in [
        vec![range; 11],
        vec![range; 13],
        vec![empty; 12],
        vec![beyond; 12],
    ] {
        assert_eq!(bounded(bounds), Err(Bounds { tensor: 0 }));
    }
    let ranked = |leading| {
        said(Disclosed {
            leading: Some(leading),
            ..private()
        })
    };
    assert_eq!(ranked(vec![vec![0, 11]]), Ok(()));
    for leading in [
        vec![],
        vec![vec![]],
        vec![vec![12]],
        vec![vec![1, 1]],
        vec![vec![2, 1]],
        vec![vec![1], vec![1]],
    ] {
        assert_eq!(ranked(leading), Err(Leading { tensor: 0 }));
    }
    let both = Disclosed {
        leading: Some(vec![vec![1]]),
        ..honest.inputs[0].clone()
    };
    assert_eq!(said(both), Err(Redundant { tensor: 0 }));
}

#[test]
fn the_honest_prover_refuses_to_prove_what_is_false() {
    let lab = lab(&Spec::default(), Policy::PUBLIC);
    let mut bounds = bounds(&lab);
    bounds[0].lo += 1;
    bounds[0].hi += 1;
    let policy = Policy {
        bounds: vec![Some(bounds)],
        ..Policy::default()
    };
    let error = lab.prover.prove(&lab.evaluation, &policy).err();
    let expected = StatementError::OutOfBounds {
        tensor: 0,
        feature: 0,
    };
    assert_eq!(error, Some(ProveError::Statement(expected)));
}

#[test]
fn the_honest_prover_refuses_what_no_verifier_would_accept() {
    use StatementError::{Bounds, Leading, Redundant};
    let lab = lab(&Spec::default(), Policy::PUBLIC);
    let range = lab.prover.model().graph.tensors[0].range;
    let refused = |policy: &Policy| lab.prover.prove(&lab.evaluation, policy).err();
    let bounded = |bounds| Policy {
        bounds: vec![Some(bounds)],
        ..Policy::default()
    };
    let beyond = Range {
        hi: range.hi + 1,
        ..range
    };
    for bounds in [vec![], vec![range; 11], vec![beyond; 12]] {
        let error = Some(ProveError::Statement(Bounds { tensor: 0 }));
        assert_eq!(refused(&bounded(bounds)), error);
    }
    let ranked = |inputs, outputs, count| Policy {
        leading: Some(count),
        ..Policy::new(inputs, outputs)
    };
    let private = ranked(Visibility::Private, Visibility::Private, 0);
    let error = Some(ProveError::Statement(Leading { tensor: 2 }));
    assert_eq!(refused(&private), error);
    let shown = ranked(Visibility::Public, Visibility::Public, 1);
    let error = Some(ProveError::Statement(Redundant { tensor: 2 }));
    assert_eq!(refused(&shown), error);
}

/// The tables of a lab's statement.
fn layout(lab: &Lab) -> Layout {
    let file = lab.forge(&mut Attack::default());
    let key = lab.prover.verifying_key();
    key.proof_layout(&file.statement)
        .expect("it has a layout")
        .0
}

fn find(layout: &Layout, name: &str) -> usize {
    let found = layout.tables.iter().rposition(|t| t.chip_name() == name);
    found.expect("the statement has this table")
}

/// Refused as it is, and with any terminal bent so that the buses balance.
fn refused_and_balanced<'a>(lab: &Lab, attack: impl Fn() -> Attack<'a>) {
    lab.refusal(attack());
    for table in 0..layout(lab).tables.len() {
        lab.balanced_refusal(attack(), table);
    }
}

#[test]
fn rejects_the_digest_of_another_tensor() {
    for (hash, salted) in HASHES {
        let lab = lab(
            &Spec::default(),
            Policy::new(hashed(hash, salted), Visibility::Public),
        );
        let layout = layout(&lab);
        let (table, range) = (
            find(&layout, hash.name()),
            lab.prover.model().graph.tensors[0].range,
        );
        let mut other = lab.evaluation.tensors[0].clone();
        other[3] ^= 1;
        let salt = salted.then_some(&SALT);
        let digest = tensor_digest::<F>(hash, &other, range, salt).expect("it has a digest");
        let height = layout.tables[table].height();
        // The hash table is true of the other tensor, the statement names its digest.
        let forged = || {
            Attack::on_main(|main, statement| {
                statement.inputs[0].digest = Some(digest);
                let trace = match &layout.tables[table].chip {
                    Chip::Sha256(air) => air.generate_main::<F>(&other, salt, height),
                    Chip::Poseidon2(air) => {
                        let salt = salt.map(|s| air::statement::words(s).map(F::from_u32));
                        air.generate_main(&other, salt.as_ref(), height)
                    }
                    _ => unreachable!("it is a hash table"),
                };
                let live = layout.tables[table].live_rows() * trace.width;
                let main = main[table].as_mut().expect("it has main columns");
                main.values[..live].copy_from_slice(&trace.values[..live]);
            })
        };
        assert_eq!(lab.refusal(forged()), Buses);
        refused_and_balanced(&lab, forged);
        // The same without touching the table.
        let claimed = || Attack::on_main(|_, statement| statement.inputs[0].digest = Some(digest));
        refused_and_balanced(&lab, claimed);
    }
}

/// Makes the counts of the statement's range table what the compare table looks up, as far as it has
/// the entries: the most coherent counts a forger can give.
fn recount(layout: &Layout, main: &mut Main, air: &CompareAir, table: usize) {
    let range = layout.tables.len() - 1;
    let Chip::Lookup(lookup) = &layout.tables[range].chip else {
        unreachable!("the range table comes last");
    };
    let bits = air.limb_bits();
    let limbs = bits.len() * if air.name() == "bounds" { 2 } else { 1 };
    let entries = lookup.content.entries();
    let mut counts = vec![0; entries.len()];
    for row in 0..air.features {
        for i in 0..limbs {
            // One position: the limbs are the last columns.
            let limb = *cell(main, table, row, air.widths().main - limbs + i);
            let is_entry = |e: &[i32; 4]| {
                int(i64::from(e[0])) == F::from_u8(bits[i % bits.len()])
                    && int(i64::from(e[1])) == limb
            };
            if let Some(entry) = entries.iter().position(is_entry) {
                counts[entry] += 1;
            }
        }
    }
    let own = lookup.generate_main::<F>(&counts, layout.tables[range].height());
    let committed = main[range].as_mut().expect("it has main columns");
    let live = layout.tables[range].live_rows();
    let rows = committed.values.chunks_exact_mut(committed.width);
    for (row, counts) in rows.zip(own.values.chunks_exact(own.width)).take(live) {
        row[..own.width].copy_from_slice(counts);
    }
}

/// A lab with bounds on its input, the compare chip, and the chip's table.
fn bounded() -> (Lab, Vec<Range>, CompareAir, usize) {
    let bounds = bounds(&lab(&Spec::default(), Policy::PUBLIC));
    let policy = Policy {
        bounds: vec![Some(bounds.clone())],
        ..Policy::default()
    };
    let lab = lab(&Spec::default(), policy);
    let (air, table) = compare(&lab, "bounds");
    (lab, bounds, air, table)
}

fn compare(lab: &Lab, name: &str) -> (CompareAir, usize) {
    let layout = layout(lab);
    let table = find(&layout, name);
    match &layout.tables[table].chip {
        Chip::Compare(air) => (air.clone(), table),
        _ => unreachable!("it is a compare table"),
    }
}

#[test]
fn rejects_bounds_that_do_not_hold() {
    let (lab, honest, air, table) = bounded();
    let layout = layout(&lab);
    let limbs = air.limb_bits().len();
    let x = lab.evaluation.tensors[0].clone();
    // Feature 0 has the interval [x, x]: one more at either end excludes it.
    for (shift_lo, shift_hi, comparison) in [(1, 1, 0), (-1, -1, 1)] {
        let mut bounds = honest.clone();
        bounds[0].lo += shift_lo;
        bounds[0].hi += shift_hi;
        let claim = |s: &mut Statement| s.inputs[0].bounds = Some(bounds.clone());
        refused_and_balanced(&lab, || Attack::on_statement(claim));
        // The difference as it is, −1, in the lowest limb, or its residue in the highest.
        for at in [0, limbs - 1] {
            let forged = || {
                Attack::on_statement(claim).and_main(|main, _| {
                    let first = 1 + comparison * limbs;
                    for i in 0..limbs {
                        *cell(main, table, 0, first + i) = F::ZERO;
                    }
                    let weight = F::from_u32(1 << (8 * at));
                    *cell(main, table, 0, first + at) = -weight.inverse();
                    recount(&layout, main, &air, table);
                })
            };
            assert_eq!(lab.refusal(forged()), Buses);
            refused_and_balanced(&lab, forged);
        }
        // Another value, which satisfies the bounds, in the place of the tensor's.
        let forged = || {
            Attack::on_statement(claim).and_main(|main, _| {
                *cell(main, table, 0, 0) = int(i64::from(x[0] + shift_lo));
                for i in 0..2 * limbs {
                    *cell(main, table, 0, 1 + i) = F::ZERO;
                }
                recount(&layout, main, &air, table);
            })
        };
        // Nothing is wrong but that the claim is about another tensor.
        assert_eq!(lab.refusal(forged()), Buses);
        refused_and_balanced(&lab, forged);
    }
}

#[test]
fn rejects_leading_features_that_do_not_lead() {
    let spec = Spec {
        widths: &[12, 9, 5],
        ..Spec::default()
    };
    let policy = Policy {
        leading: Some(2),
        ..Policy::new(Visibility::Private, Visibility::Private)
    };
    let lab = lab(&spec, policy);
    let (air, table) = compare(&lab, "leading");
    let layout = layout(&lab);
    let limbs = air.limb_bits().len();
    let honest = lab.forge(&mut Attack::default()).statement.outputs[0].clone();
    let honest = honest.leading.expect("it is ranked")[0].clone();
    let y = lab.evaluation.tensors[2].clone();
    let least_named = honest.iter().map(|&f| y[f as usize]).min();
    let mut tried = 0;
    for a in 0..5 {
        for b in a + 1..5 {
            let named = vec![a, b];
            let least = named.iter().map(|&f| y[f as usize]).min();
            if named == honest || least == least_named {
                continue;
            }
            tried += 1;
            let claim = |s: &mut Statement| s.outputs[0].leading = Some(vec![named.clone()]);
            refused_and_balanced(&lab, || Attack::on_statement(claim));
            // A threshold of its own on every row, such that every comparison holds.
            let forged = || {
                Attack::on_statement(claim).and_main(|main, _| {
                    for (row, &value) in y.iter().enumerate() {
                        *cell(main, table, row, 1) = int(i64::from(value));
                        for i in 0..limbs {
                            *cell(main, table, row, 2 + i) = F::ZERO;
                        }
                    }
                    recount(&layout, main, &air, table);
                })
            };
            assert_eq!(lab.refusal(forged()), constraints("leading"));
        }
    }
    assert!(tried > 0);
}

#[test]
fn rejects_any_change_of_a_compare_table() {
    let policy = |bounds| Policy {
        bounds: vec![Some(bounds)],
        leading: Some(2),
        ..Policy::new(Visibility::Private, Visibility::Private)
    };
    let spec = Spec {
        positions: 2,
        ..Spec::default()
    };
    let bounds = bounds(&lab(&spec, Policy::PUBLIC));
    let lab = lab(&spec, policy(bounds));
    for name in ["bounds", "leading"] {
        let (air, table) = compare(&lab, name);
        let (widths, rows) = (air.widths(), air.rows());
        for row in [0, 1, rows - 2] {
            for column in 0..widths.main {
                let attack =
                    || Attack::on_main(|main, _| *cell(main, table, row, column) += F::ONE);
                lab.refusal(attack());
            }
        }
        for row in 0..rows {
            for column in 0..widths.projection {
                let committed = layout(&lab).tables[table].committed.projection;
                let attack = Attack::on_projection(|columns, _| {
                    let columns = columns[table].as_mut().expect("it has projection columns");
                    columns[row * committed + column] += F::ONE;
                });
                let error = lab.refusal(attack);
                assert!(
                    matches!(error, VerifyError::Constraints { .. } | Buses),
                    "{error}"
                );
            }
        }
    }
}
