//! # Coherent forgeries of values
//!
//! Single-cell edits are refused by the nearest constraint. A forger edits everything that belongs
//! together, so that only the argument under attack stands in the way. Each test is one such
//! attack, through the real prover. If one of them verified, a proof could state an output the
//! model does not have.

use crate::common::attack::{
    Attack, F, Lab, Main, Spot, cell, constraints, int, lane, places, recount, shown,
};
use crate::common::{MODULUS, P, Spec, affine};
use air::chips::activation::ActivationAir;
use air::chips::{Air, Chip};
use air::graph::{Activation, Function, Range, Requant};
use air::statement::{Policy, Visibility};
use p3_field::PrimeCharacteristicRing;
use verifier::Privacy;
use verifier::Profile;
use verifier::VerifyError;
use verifier::VerifyError::Buses;

/// Hidden units saturate or not; outputs are signed, in two lanes.
fn lab() -> Lab {
    Lab::new(&Spec {
        positions: 2,
        ..Spec::default()
    })
}

/// Replaces one accumulator's decomposition by `(q, side, excess, rem)`, states the output that
/// follows from it, and gives the tables the counts that follow from it.
fn redecompose(lab: &Lab, wanted: impl Fn(i64) -> [i64; 4]) -> VerifyError {
    let spot = lab.output_spot(|r| r.excess == 0 && (-100..100).contains(&r.q));
    let bits = lab.activation().1.limbs.bits;
    let [q, side, excess, rem] = wanted(value(&spot));
    lab.refusal(Attack::on_main(|main, statement| {
        spot.write(main, q, side, excess, rem, bits);
        shown(&mut statement.outputs[0])[spot.element] = spot.out(q);
        recount(lab.layout(), main);
    }))
}

/// `V = (q + excess)·2^s + rem`.
fn value(spot: &Spot) -> i64 {
    let r = spot.honest;
    ((i64::from(r.q) + i64::from(r.excess)) << spot.requant.shift) + i64::from(r.rem)
}

fn shift_of(lab: &Lab) -> u8 {
    let layers = &lab.prover.model().graph.layers;
    layers[layers.len() - 1].requant.shift
}

#[test]
fn accepts_the_honest_decomposition_written_by_the_forger() {
    // Shows that the tool the attacks below share does not break anything by itself.
    let lab = lab();
    let spot = lab.output_spot(|r| r.excess == 0);
    let bits = lab.activation().1.limbs.bits;
    let (q, rem) = (i64::from(spot.honest.q), i64::from(spot.honest.rem));
    lab.attempt(&mut Attack::on_main(|main, _| {
        spot.write(main, q, 0, 0, rem, bits);
        assert_eq!(recount(lab.layout(), main), 0);
    }))
    .expect("an honest witness verifies");
}

#[test]
fn rejects_quotient_up_remainder_negative() {
    for (shift, weight_max) in [(1, 2), (6, 40), (13, 120)] {
        let lab = Lab::new(&Spec {
            shift,
            weight_max,
            ..Spec::default()
        });
        let s = shift_of(&lab);
        let error = redecompose(&lab, |v| {
            [(v >> s) + 1, 0, 0, (v & ((1 << s) - 1)) - (1 << s)]
        });
        assert_eq!(error, Buses);
    }
}

#[test]
fn rejects_quotient_down_remainder_too_large() {
    for (shift, weight_max) in [(1, 2), (6, 40), (13, 120)] {
        let lab = Lab::new(&Spec {
            shift,
            weight_max,
            ..Spec::default()
        });
        let s = shift_of(&lab);
        let error = redecompose(&lab, |v| {
            [(v >> s) - 1, 0, 0, (v & ((1 << s) - 1)) + (1 << s)]
        });
        assert_eq!(error, Buses);
    }
}

#[test]
fn rejects_remainder_in_the_wrong_limb() {
    // The recomposed remainder is right; one limb is one too large, the next one too small.
    let lab = Lab::new(&Spec {
        shift: 13,
        weight_max: 120,
        ..Spec::default()
    });
    let bits = lab.activation().1.limbs.bits;
    let spot = lab.output_spot(|_| true);
    assert!(spot.cols.rem.len() > 1, "the shift needs several limbs");
    let error = lab.refusal(Attack::on_main(|main, _| {
        *cell(main, spot.table, spot.row, spot.cols.rem[0]) += int(1 << bits);
        *cell(main, spot.table, spot.row, spot.cols.rem[1]) -= F::ONE;
        recount(lab.layout(), main);
    }));
    assert_eq!(error, Buses);
}

#[test]
fn rejects_the_accumulator_wrapped_around_the_modulus() {
    let lab = lab();
    let (s, p) = (shift_of(&lab), MODULUS as i64);
    let domain = lab.output_spot(|_| true).requant.activation.domain;
    let (lo, hi) = (i64::from(domain.lo), i64::from(domain.hi));
    // The same residue, decomposed far above the domain, and far below.
    let above = redecompose(&lab, |v| {
        let v = v + p;
        [hi, 1, (v >> s) - hi, v & ((1 << s) - 1)]
    });
    let below = redecompose(&lab, |v| {
        let v = v - p;
        [lo, -1, lo - (v >> s), v & ((1 << s) - 1)]
    });
    assert_eq!([above, below], [Buses, Buses]);
}

#[test]
fn rejects_saturation_where_there_is_none() {
    let lab = lab();
    let s = shift_of(&lab);
    let domain = lab.output_spot(|_| true).requant.activation.domain;
    let (lo, hi) = (i64::from(domain.lo), i64::from(domain.hi));
    let low = |v: i64| v & ((1 << s) - 1);
    // `side = 1` with `q` inside the domain; the excess makes up for it.
    assert_eq!(redecompose(&lab, |v| [(v >> s) - 1, 1, 1, low(v)]), Buses);
    assert_eq!(redecompose(&lab, |v| [(v >> s) + 1, -1, 1, low(v)]), Buses);
    // `q` at an end, the excess negative.
    assert_eq!(redecompose(&lab, |v| [hi, 1, (v >> s) - hi, low(v)]), Buses);
    assert_eq!(
        redecompose(&lab, |v| [lo, -1, lo - (v >> s), low(v)]),
        Buses
    );
    // From the wrong end: `lo` with an excess upwards.
    assert_eq!(redecompose(&lab, |v| [lo, 1, (v >> s) - lo, low(v)]), Buses);
    // A side the table does not know.
    assert_eq!(redecompose(&lab, |v| [(v >> s) - 2, 2, 1, low(v)]), Buses);
}

#[test]
fn rejects_a_saturated_unit_shown_unsaturated() {
    let lab = Lab::new(&Spec {
        weight_max: 120,
        shift: 4,
        ..Spec::default()
    });
    let bits = lab.activation().1.limbs.bits;
    let spot = lab.output_spot(|r| r.excess != 0);
    let (q, rem) = (i64::from(spot.honest.q), i64::from(spot.honest.rem));
    let excess = i64::from(spot.honest.excess);
    // The true quotient as `q`, no table has it.
    let error = lab.refusal(Attack::on_main(|main, _| {
        spot.write(main, q + excess, 0, 0, rem, bits);
        recount(lab.layout(), main);
    }));
    assert_eq!(error, Buses);
}

/// `y = clamp(x + 3)` on `[−8, 7]`.
fn edge(x: i32) -> Lab {
    let range = Range::signed(4);
    let requant = Requant {
        shift: 0,
        excess_bits: 3,
        activation: Activation::identity(range, 0),
    };
    Lab::of(affine(&[1], 3, requant), &[vec![x]])
}

#[test]
fn accepts_an_unused_excess_and_both_encodings_of_an_end() {
    // Freedoms the chip documents: they change no output, so a proof with them proves the same.
    let lab = edge(1);
    let spot = lab.output_spot(|r| r.excess == 0);
    let bits = lab.activation().1.limbs.bits;
    lab.attempt(&mut Attack::on_main(|main, _| {
        spot.write(main, 4, 0, 5, 0, bits);
        assert_eq!(recount(lab.layout(), main), 0);
    }))
    .expect("an excess that is multiplied by 0 is free");

    let lab = edge(4);
    let spot = lab.output_spot(|r| (r.q, r.excess) == (7, 0));
    lab.attempt(&mut Attack::on_main(|main, _| {
        spot.write(main, 7, 1, 0, 0, bits);
        assert_eq!(recount(lab.layout(), main), 0);
    }))
    .expect("the upper end, saturated by 0, is the upper end");
}

#[test]
fn rejects_an_activation_outside_its_table() {
    // The output is one more than the table says, in every place it appears.
    for function in [
        Function::Identity,
        Function::Relu,
        Function::Sigmoid,
        Function::Tanh,
    ] {
        let lab = Lab::new(&Spec {
            functions: &[function],
            ..Spec::default()
        });
        let range = lab.output_spot(|_| true).requant.activation.image;
        let spot = lab.output_spot(|r| r.out < range.hi);
        let error = lab.refusal(Attack::on_main(|main, statement| {
            *cell(main, spot.table, spot.row, spot.cols.out) += F::ONE;
            shown(&mut statement.outputs[0])[spot.element] += 1;
        }));
        assert_eq!(error, Buses, "{function}");
    }
}

#[test]
fn rejects_forged_multiplicities() {
    let lab = lab();
    for name in ["range", "functions"] {
        let table = lab.table(name);
        // One more, one less than used; one use moved to the next entry.
        for (here, next) in [(F::ONE, int(0)), (int(-1), int(0)), (int(-1), F::ONE)] {
            let error = lab.refusal(Attack::on_main(|main, _| {
                *cell(main, table, 3, 0) += here;
                *cell(main, table, 4, 0) += next;
            }));
            assert_eq!(error, Buses, "{name}");
        }
    }
}

#[test]
fn rejects_every_false_output() {
    // The statement alone claims a neighbouring output.
    let lab = lab();
    let outputs = lab.evaluation.tensors[2].clone();
    for (i, &y) in outputs.iter().enumerate() {
        let error = lab.refusal(Attack::on_main(|_, statement| {
            shown(&mut statement.outputs[0])[i] = if y == 127 { y - 1 } else { y + 1 };
        }));
        assert_eq!(error, Buses, "output {i}");
    }
}

#[test]
fn rejects_every_false_input() {
    let lab = lab();
    let inputs = lab.evaluation.tensors[0].clone();
    for (i, &x) in inputs.iter().enumerate() {
        let other = if x == 127 { x - 1 } else { x + 1 };
        let error = lab.refusal(Attack::on_main(|_, statement| {
            shown(&mut statement.inputs[0])[i] = other;
        }));
        assert_eq!(error, Buses, "input {i}");
    }
}

#[test]
fn rejects_an_input_changed_after_the_fact() {
    // Statement, input row and counts agree with each other; the hidden layer does not.
    for table_input in [false, true] {
        let lab = Lab::new(&Spec {
            positions: 2,
            table_input,
            ..Spec::default()
        });
        let (table, air) = lab.activation();
        let element = 2 * 3 + 1;
        let found = places(&air.blocks[0]).into_iter().find(|p| p.2 == element);
        let (row, lane_index, _) = found.expect("the element has a lane");
        let cols = lane(air, lane_index);
        let layout = lab.layout();
        let (before, range) = (
            lab.evaluation.tensors[0][element],
            lab.prover.model().graph.tensors[0].range,
        );
        let changed = if before > 0 { before - 1 } else { before + 1 };
        let error = lab.refusal(Attack::on_main(|main, statement| {
            shown(&mut statement.inputs[0])[element] = changed;
            for column in [cols.q, cols.out] {
                *cell(main, table, row, column) = int(i64::from(changed));
            }
            if !table_input {
                write_limbs(main, (table, row), air, &cols.rem, changed - range.lo);
            }
            assert_eq!(recount(layout, main), 0);
        }));
        assert_eq!(error, Buses);
    }
}

/// Writes a number's limbs into the columns of a remainder; the top one takes what is left.
fn write_limbs(
    main: &mut Main,
    (table, row): (usize, usize),
    air: &ActivationAir,
    columns: &[usize],
    value: i32,
) {
    for (i, &column) in columns.iter().enumerate() {
        let shifted = value >> (usize::from(air.limbs.bits) * i);
        let top = i + 1 == columns.len();
        let limb = if top {
            shifted
        } else {
            shifted & ((1 << air.limbs.bits) - 1)
        };
        *cell(main, table, row, column) = int(i64::from(limb));
    }
}

#[test]
fn rejects_hidden_inputs_outside_their_range() {
    // The weight of the first input is 0, so nothing else in the trace depends on it.
    let requant = Requant {
        shift: 2,
        excess_bits: 0,
        activation: Activation::identity(Range::signed(8), 0),
    };
    let model = affine(&[0, 3], 1, requant);
    let policy = Policy::new(Visibility::Private, Visibility::Private);
    let lab = Lab::with(model, &[vec![2, -5]], Privacy::Data, policy);
    let (table, air) = lab.activation();
    let (cols, layout) = (&lane(air, 0), lab.layout());
    // The first row of the table is the first input's.
    let row = air.blocks[0].start;
    let other = |x: i32| {
        Attack::on_main(move |main, _| {
            write_limbs(main, (table, row), air, &cols.rem, x + 8);
            for column in [cols.q, cols.out] {
                *cell(main, table, row, column) = int(i64::from(x));
            }
            recount(layout, main);
        })
    };
    // Every other value of the range is as good.
    for x in -8..8 {
        lab.attempt(&mut other(x)).expect("it is in the range");
    }
    for x in [-9, 8, 9, 24, 1 << 20, i32::MIN] {
        assert_eq!(lab.refusal(other(x)), Buses, "{x}");
    }
}

/// Exchanges two elements of a statement's tensor.
fn swap(lab: &Lab, tensor: usize, output: bool, i: usize, j: usize) -> VerifyError {
    let values = &lab.evaluation.tensors[tensor];
    assert_ne!(values[i], values[j], "swapping equal values forges nothing");
    lab.refusal(Attack::on_main(|_, statement| {
        let tensors = if output {
            &mut statement.outputs
        } else {
            &mut statement.inputs
        };
        shown(&mut tensors[0]).swap(i, j);
    }))
}

#[test]
fn rejects_swapped_features_and_swapped_batch_items() {
    let lab = lab();
    // [feature][position] with two positions: neighbours are lanes, distance two are features,
    // and (f, 1) against (f + 1, 0) is the pair a wrong exponent map confuses.
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(swap(&lab, 0, false, i, j), Buses);
        assert_eq!(swap(&lab, 2, true, i, j), Buses);
    }
}

#[test]
fn rejects_lanes_swapped_in_the_trace() {
    // All cells of two batch items change places on one row, multiplicities stay right.
    let lab = lab();
    let (table, air) = lab.activation();
    for block in &air.blocks {
        let row = block.start;
        let error = lab.refusal(Attack::on_main(|main, _| {
            for c in 0..air.lane_width() {
                let (a, b) = (c, c + air.lane_width());
                let x = *cell(main, table, row, a);
                let y = *cell(main, table, row, b);
                *cell(main, table, row, a) = y;
                *cell(main, table, row, b) = x;
            }
            assert_eq!(recount(lab.layout(), main), 0);
        }));
        assert_eq!(error, Buses);
    }
}

#[test]
fn rejects_rows_swapped_in_the_trace() {
    // Two hidden units change places: every local constraint still holds.
    let lab = lab();
    let (table, air) = lab.activation();
    let first = air.blocks[1].start;
    let error = lab.refusal(Attack::on_main(|main, _| {
        for c in 0..air.lanes * air.lane_width() {
            let (x, y) = (
                *cell(main, table, first, c),
                *cell(main, table, first + 1, c),
            );
            *cell(main, table, first, c) = y;
            *cell(main, table, first + 1, c) = x;
        }
        assert_eq!(recount(lab.layout(), main), 0);
    }));
    assert_eq!(error, Buses);
}

#[test]
fn accepts_counts_split_over_repeated_entries() {
    // The last row of a table in lanes repeats its last entry. A count may lie on either copy.
    let model = |hi: i32| {
        let range = Range { lo: -2048, hi };
        let requant = Requant {
            shift: 0,
            excess_bits: 0,
            activation: Activation::identity(range, 0),
        };
        affine(&[240], 127, requant)
    };
    let uneven = |hi: &i32| {
        let layout =
            verifier::key::layout_of::<P>(&model(*hi).graph, &Profile::LATENCY, Privacy::None)
                .expect("it fits");
        layout.tables.iter().any(|t| match &t.chip {
            Chip::Lookup(air) => air.lanes > 1 && air.content.len() % air.lanes != 0,
            _ => false,
        })
    };
    let hi = (1900..2048).find(uneven).expect("some table is uneven");
    let lab = Lab::of(model(hi), &[vec![7]]);
    let table = lab.table("functions");
    let Chip::Lookup(air) = &lab.layout().tables[table].chip else {
        unreachable!("the functions table is a lookup table");
    };
    let (lanes, last) = (air.lanes, air.rows() - 1);
    let repeats = (last + 1) * lanes - air.content.len();
    assert!(repeats > 0, "the table has repeated entries");
    lab.attempt(&mut Attack::on_main(|main, _| {
        *cell(main, table, last, lanes - 1) += int(1);
        *cell(main, table, last, lanes - 2) -= int(1);
    }))
    .expect("two copies of one entry are one entry");
    // Beyond the copies the lane holds another entry.
    let error = lab.refusal(Attack::on_main(|main, _| {
        *cell(main, table, last, lanes - 1) += int(1);
        *cell(main, table, last, lanes - 2 - repeats) -= int(1);
    }));
    assert_eq!(error, Buses);
}

#[test]
fn rejects_any_terminal_that_makes_a_false_claim_balance() {
    let lab = lab();
    for (i, table) in lab.layout().tables.iter().enumerate() {
        let attack = Attack::on_main(|_, statement| shown(&mut statement.outputs[0])[0] ^= 1);
        let error = lab.balanced_refusal(attack, i);
        assert_eq!(error, constraints(table.chip.name()));
    }
}

#[test]
fn rejects_any_terminal_without_shifts_or_saturation() {
    // Regression: with nothing to range-check the range table was empty, had no last row, and its
    // terminal was pinned by nothing: any statement could be balanced with it.
    let range = Range::signed(8);
    let requant = Requant {
        shift: 0,
        excess_bits: 0,
        activation: Activation::identity(range, 0),
    };
    let lab = Lab::of(affine(&[3, -2], 5, requant), &[vec![4, 1]]);
    for (i, table) in lab.layout().tables.iter().enumerate() {
        assert!(table.chip.rows() > 0);
        let attack = Attack::on_main(|_, statement| shown(&mut statement.outputs[0])[0] += 1);
        let error = lab.balanced_refusal(attack, i);
        assert_eq!(error, constraints(table.chip.name()));
    }
}
