//! # Coherent forgeries of structure
//!
//! Attacks on what ties tables together: projections, LogUp, the transcript, the key. Each leaves
//! every other argument intact. If one of them verified, a proof could be assembled from parts that
//! do not belong together.

use std::cell::RefCell;

use crate::common::attack::{Attack, EF, F, Lab, constraints, shown};
use crate::common::{P, Prover, Spec, input, mlp};
use air::chips::activation::readers::Reader;
use air::chips::{Air, Chip};
use air::graph::{Function, Model};
use air::statement::Policy;
use p3_field::{Field, PrimeCharacteristicRing};
use verifier::Privacy;
use verifier::VerifyError::{self, Buses, Opening, Pow, Shape};
use verifier::transcript::Transcript;
use verifier::{Profile, ProofFile, verify};

fn lab() -> Lab {
    Lab::new(&Spec {
        positions: 2,
        ..Spec::default()
    })
}

/// Projection columns of an activation row.
const H: usize = 0;
const G: usize = 1;
const T: usize = 2;
const WIDTH: usize = 3;

fn delta() -> EF {
    EF::from_u32(123_456_789)
}

/// Adds δ to a projection column of the activation table on some rows.
fn shift_column(
    lab: &Lab,
    column: usize,
    rows: impl IntoIterator<Item = usize> + Clone,
) -> VerifyError {
    let (table, _) = lab.activation();
    lab.refusal(Attack::on_projection(|columns, _| {
        let cells = columns[table].as_mut().expect("it has projections");
        for r in rows.clone() {
            cells[r * WIDTH + column] += delta();
        }
    }))
}

#[test]
fn rejects_shifted_accumulators() {
    let lab = lab();
    let (_, air) = lab.activation();
    for block in &air.blocks {
        let end = block.end();
        for column in [H, T] {
            // From some row to the row that claims the total, as if more had been added.
            let error = shift_column(&lab, column, block.start + 2..end + 1);
            assert_eq!(error, Buses);
            // Inside only: every claim is right, one step and the step back are not.
            let error = shift_column(&lab, column, block.start + 1..end - 1);
            assert_eq!(error, constraints("activation"));
        }
    }
}

#[test]
fn rejects_factors_of_outputs_that_are_not_one() {
    let lab = lab();
    let (table, air) = lab.activation();
    let output = air.blocks.last().expect("there is an output");
    assert_eq!(output.readers[0].reader, Reader::Output);
    let rows = output.start..output.end();
    // All factors scaled: the totals are scaled too, and the claim is false.
    let scaled = lab.refusal(Attack::on_projection(|columns, _| {
        let cells = columns[table].as_mut().expect("it has projections");
        for r in rows.clone() {
            cells[r * WIDTH + G] *= delta();
            cells[(r + 1) * WIDTH + T] *= delta();
        }
    }));
    assert_eq!(scaled, Buses);
    // One factor off, without consequence for the total.
    let error = shift_column(&lab, G, [output.start + 1]);
    assert_eq!(error, constraints("activation"));
}

/// Two hidden units that are not 0 in all lanes.
fn live_units(lab: &Lab) -> [usize; 2] {
    let tensor = &lab.evaluation.tensors[1];
    let positions = lab.prover.model().graph.tensors[1].positions();
    let mut alive = (0..tensor.len() / positions).filter(|k| tensor[k * positions] != 0);
    let next = |units: &mut dyn Iterator<Item = usize>| units.next().expect("units are alive");
    [next(&mut alive), next(&mut alive)]
}

/// The factor of one unit is off by δ, that of another makes up for it: the total stays right. When
/// `weights` is set, the weight table's runs follow as well, so that the product bus balances.
fn compensated(lab: &Lab, weights: bool) -> VerifyError {
    let units = live_units(lab);
    let captured = RefCell::new(None);
    let (table, air) = lab.activation();
    let weights_table = lab.table("weights");
    let Chip::Weights(weights_air) = &lab.layout().tables[weights_table].chip else {
        unreachable!("the weights table is one");
    };
    let of_layer = weights_air.blocks.iter().filter(|b| b.layer == 1);
    let block = of_layer.clone().next().expect("the layer has weights");
    let below = air.blocks[1].end() * WIDTH + T;
    let height = lab.layout().tables[table].height();
    let attack = Attack::on_main(|main, _| {
        *captured.borrow_mut() = main[table].clone();
    })
    .and_projection(|columns, drawn| {
        let main = captured.borrow();
        let main = main.as_ref().expect("the main phase came first");
        let challenges = lab.projection_challenges(drawn);
        let folded = lab.folded_weights(&challenges);
        let cells = |changes: [EF; 2]| {
            let mut factors = folded.clone();
            for (unit, change) in units.into_iter().zip(changes) {
                factors.weights[block.term][unit] += change;
            }
            air.generate_projection(main, &factors, &challenges, height)
        };
        let [honest, first, second] =
            [[0, 0], [1, 0], [0, 1]].map(|c| cells(c.map(EF::from_u8))[below]);
        let other = -delta() * (first - honest) * (second - honest).inverse();
        let changes = [delta(), other];
        columns[table] = Some(cells(changes));
        assert_eq!(columns[table].as_ref().map(|c| c[below]), Some(honest));
        if weights {
            let h = columns[weights_table].as_mut().expect("it has projections");
            for (unit, change) in units.into_iter().zip(changes) {
                h[block.start + (unit + 1) * block.rows.len()] += change;
            }
        }
    });
    lab.refusal(attack)
}

#[test]
fn rejects_compensated_errors_in_folded_weights() {
    let lab = lab();
    assert_eq!(compensated(&lab, false), Buses);
    assert_eq!(compensated(&lab, true), constraints("weights"));
}

#[test]
fn rejects_terminals_moved_between_tables() {
    let lab = lab();
    let tables = &lab.layout().tables;
    for i in 0..tables.len() {
        for j in i + 1..tables.len() {
            let error = lab.refusal(Attack::on_lookup(|_, terminals| {
                terminals[i] += delta();
                terminals[j] -= delta();
            }));
            assert_eq!(error, constraints(tables[i].chip.name()));
        }
    }
    let swapped = lab.refusal(Attack::on_lookup(|_, terminals| terminals.swap(0, 1)));
    assert_eq!(swapped, constraints(tables[0].chip.name()));
}

#[test]
fn rejects_a_forged_fraction_that_everything_follows() {
    // A fraction, the running sum below it and the terminal all move together; another table's
    // terminal takes the difference. Only `pin` (or its own step) is in the way.
    let lab = lab();
    let tables = &lab.layout().tables;
    for (i, table) in tables.iter().enumerate() {
        let (width, live) = (table.widths.lookup(), table.chip.rows());
        let other = usize::from(i == 0);
        for start in [0, 1, live - 1] {
            let error = lab.refusal(Attack::on_lookup(|columns, terminals| {
                let cells = &mut columns[i];
                if width > 1 {
                    cells[start * width] += delta();
                }
                for r in start + 1..live {
                    cells[r * width + width - 1] += delta();
                }
                terminals[i] += delta();
                terminals[other] -= delta();
            }));
            // Tables are checked in order; both terminals are wrong.
            let first = tables[i.min(other)].chip.name();
            assert_eq!(
                error,
                constraints(first),
                "{} row {start}",
                table.chip.name()
            );
        }
    }
}

#[test]
fn rejects_a_running_sum_that_does_not_start_at_zero() {
    let lab = lab();
    for (i, table) in lab.layout().tables.iter().enumerate() {
        let (width, live) = (table.widths.lookup(), table.chip.rows());
        let attack = Attack::on_lookup(|columns, terminals| {
            for r in 0..live {
                columns[i][r * width + width - 1] += delta();
            }
            terminals[i] += delta();
        });
        // The sum is wrong by δ, which only an honest terminal elsewhere could hide.
        assert_eq!(lab.refusal(attack), Buses);
        let other = if i == 0 { 3 } else { 0 };
        let attack = Attack::on_lookup(|columns, terminals| {
            for r in 0..live {
                columns[i][r * width + width - 1] += delta();
            }
            terminals[i] += delta();
            terminals[other] -= delta();
        });
        let first = lab.layout().tables[i.min(other)].chip.name();
        assert_eq!(lab.refusal(attack), constraints(first));
    }
}

#[test]
fn rejects_every_forgotten_absorb() {
    let lab = lab();
    // What is wrong first: before α the claims, after it the constraints.
    for n in 0..Transcript::<P>::ABSORBS {
        let expected = if n <= 5 {
            Buses
        } else {
            constraints("activation")
        };
        assert_eq!(lab.refusal(Attack::forgetting(n)), expected, "absorb {n}");
    }
}

#[test]
fn accepts_a_transcript_that_forgets_nothing() {
    // One past the last absorb: if the transcript absorbed more than `ABSORBS` messages, the test
    // above would leave one out, and this one would be refused.
    lab()
        .attempt(&mut Attack::forgetting(Transcript::<P>::ABSORBS))
        .expect("there is no such absorb");
}

/// A proof by `model`'s prover, made to look like one for `lab`'s key as far as its maker can.
fn impersonate(lab: &Lab, model: Model) -> VerifyError {
    let key = lab.prover.verifying_key();
    let x = input(&model, 101);
    let prover = Prover::new(model, &key.profile, Privacy::None).expect("the other model sets up");
    let evaluation = prover.evaluate(&x).expect("the other model evaluates");
    let mut attack = Attack::impersonating(key.digest);
    let file = prover
        .prove_as(&evaluation, &lab.policy, &mut attack)
        .expect("it proves");
    verify(key, &file.statement, &file.proof).expect_err("a proof for another model")
}

#[test]
fn rejects_proofs_of_models_that_differ_in_one_number() {
    // A model with room for one more bit of shift, in the same columns.
    let mut base = mlp(&Spec {
        positions: 2,
        ..Spec::default()
    });
    let requant = &mut base.graph.layers[1].requant;
    (requant.shift, requant.excess_bits) = (requant.shift - 1, requant.excess_bits + 1);
    let lab = Lab::of(base.clone(), &input(&base, 101));

    let mut bias = base.clone();
    bias.weights[1].bias[2] += 1;
    let mut weight = base.clone();
    weight.weights[0].terms[0][5] += 1;
    let mut shift = base.clone();
    shift.graph.layers[1].requant.shift += 1;
    let mut activation = base.clone();
    activation.graph.layers[1].requant.activation.function = Function::Tanh;
    for model in [bias, weight, shift, activation] {
        model
            .validate(crate::common::MODULUS)
            .expect("the other model is sound");
        // Every equation holds, in polynomials that are not the key's.
        let error = impersonate(&lab, model);
        assert!(matches!(error, Opening(_)), "{error}");
    }
}

#[test]
fn rejects_proofs_of_other_shapes() {
    let spec = |widths, positions| Spec {
        widths,
        positions,
        functions: &[Function::Identity],
        ..Spec::default()
    };
    let lab = Lab::new(&spec(&[12, 9, 4], 2));
    // One more layer, and its tensor between the others.
    let error = impersonate(&lab, mlp(&spec(&[12, 9, 9, 4], 2)));
    assert_eq!(error, Shape("a table's openings"));
    // Other batches, other outputs: not even the statement is about this graph.
    let error = impersonate(&lab, mlp(&spec(&[12, 9, 4], 3)));
    assert!(matches!(error, VerifyError::Statement(_)), "{error}");
    let error = impersonate(&lab, mlp(&spec(&[12, 9, 5], 2)));
    assert!(matches!(error, VerifyError::Statement(_)), "{error}");
}

#[test]
fn rejects_proofs_on_other_heights() {
    // Two models whose tables have the same columns and the same statements, on more rows: the
    // equations hold on a domain that is not the key's.
    let model = |hidden: u32| {
        mlp(&Spec {
            widths: &[12, hidden, 4],
            ..Spec::default()
        })
    };
    let tables = |hidden: u32| {
        let layout =
            verifier::key::layout_of::<P>(&model(hidden).graph, &Profile::LATENCY, Privacy::None)
                .expect("a layout");
        let tables = layout.tables.iter();
        let shapes: (Vec<_>, Vec<_>) = tables.map(|t| (t.widths, t.log_height)).unzip();
        shapes
    };
    let all: Vec<_> = (20..140).map(|hidden| (hidden, tables(hidden))).collect();
    let alike = |(a, (widths, heights)): &(u32, _)| {
        all.iter()
            .find(|(_, (w, h))| w == widths && h[0] > Vec::<usize>::as_slice(heights)[0])
            .map(|(b, _)| (*a, *b))
    };
    let (short, tall) = all.iter().find_map(alike).expect("such a pair of models");
    let lab = Lab::of(model(short), &input(&model(short), 101));
    assert_eq!(impersonate(&lab, model(tall)), constraints("activation"));
}

#[test]
fn rejects_proofs_for_another_key_input_or_output() {
    let lab = lab();
    let file = lab.forge(&mut Attack::default());
    let key = lab.prover.verifying_key();

    // Another key, without pretence.
    let other = Lab::new(&Spec {
        positions: 2,
        seed: 2,
        ..Spec::default()
    });
    let key2 = other.prover.verifying_key();
    assert_eq!(verify(key2, &file.statement, &file.proof), Err(Buses));

    // Another statement.
    let mut input = file.statement.clone();
    shown(&mut input.inputs[0])[0] ^= 1;
    assert_eq!(verify(key, &input, &file.proof), Err(Buses));
    let mut output = file.statement.clone();
    shown(&mut output.outputs[0])[0] ^= 1;
    assert_eq!(verify(key, &output, &file.proof), Err(Buses));
}

fn proof_under(profile: &Profile) -> (Prover, ProofFile<P>) {
    let model = mlp(&Spec::default());
    let x = input(&model, 7);
    let prover = Prover::new(model, profile, Privacy::None).expect("the model sets up");
    let evaluation = prover.evaluate(&x).expect("the model evaluates");
    let file = prover
        .prove(&evaluation, &Policy::PUBLIC)
        .expect("the prover finishes");
    verify(prover.verifying_key(), &file.statement, &file.proof).expect("it verifies");
    (prover, file)
}

#[test]
fn rejects_a_proof_under_another_profile() {
    let (_, file) = proof_under(&Profile::LATENCY);
    let model = mlp(&Spec::default());
    for profile in [Profile::COMPACT, Profile::THROUGHPUT] {
        let prover =
            Prover::new(model.clone(), &profile, Privacy::None).expect("the model sets up");
        let key = prover.verifying_key();
        assert_eq!(verify(key, &file.statement, &file.proof), Err(Buses));
    }
    // With the other key's digest the claims still do not match: the profile is absorbed as well.
    let prover = Prover::new(model, &Profile::COMPACT, Privacy::None).expect("the model sets up");
    let lab = Lab::new(&Spec::default());
    let digest = prover.verifying_key().digest;
    let file = lab.forge(&mut Attack::impersonating(digest));
    let error = verify(prover.verifying_key(), &file.statement, &file.proof);
    assert_eq!(error, Err(Buses));
}

#[test]
fn rejects_changed_grinding_witnesses() {
    for profile in [Profile::LATENCY, Profile::P128] {
        let (prover, file) = proof_under(&profile);
        let refused = |change: &dyn Fn(&mut verifier::Proof<P>)| {
            let mut proof = file.proof.clone();
            change(&mut proof);
            verify(prover.verifying_key(), &file.statement, &proof).expect_err("another witness")
        };
        // Without grinding only 0 is accepted; with it, a neighbour is a new and worthless draw.
        let error = refused(&|proof| proof.lookup_pow += F::ONE);
        assert_eq!(error, Pow("the lookup challenges"));
        // Two bits of grinding let one neighbour in four pass, on to other challenges.
        let errors: Vec<VerifyError> = (1..=8)
            .map(|i| refused(&|proof| proof.ood_pow += F::from_u32(i)))
            .collect();
        assert!(errors.contains(&Pow("the out-of-domain point")));
        type Change = fn(&mut verifier::Proof<P>);
        let openings: [Change; 3] = [
            |proof| proof.pcs.batch_pow_witness += F::ONE,
            |proof| proof.pcs.commit_pow_witnesses[0] += F::ONE,
            |proof| proof.pcs.query_pow_witness += F::ONE,
        ];
        for change in openings {
            assert!(matches!(refused(&change), Opening(_)));
        }
    }
}

#[test]
fn rejects_nonzero_witnesses_without_grinding() {
    let (prover, file) = proof_under(&Profile::LATENCY);
    let key = prover.verifying_key();
    let mut proof = file.proof.clone();
    proof.lookup_pow = F::from_u32(7);
    assert_eq!(
        verify(key, &file.statement, &proof),
        Err(Pow("the lookup challenges"))
    );
    let mut proof = file.proof.clone();
    proof.ood_pow = -F::ONE;
    assert_eq!(
        verify(key, &file.statement, &proof),
        Err(Pow("the out-of-domain point"))
    );
}
