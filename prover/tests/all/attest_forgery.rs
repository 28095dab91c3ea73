//! # Attestations of false keys
//!
//! Keys with weights that are no integers in range, cells outside of the model, and traces that do not
//! belong to the weights, through the real prover; and every cell of an honest attestation, changed. If
//! this failed, a key whose weights mean something else modulo p could be shown to be sound.

use crate::common::attack::{Attack, EF, F, Main, cell, constraints};
use crate::common::attest::{Lab, RANGE, SUMS, WEIGHTS, read, sums, write};
use crate::common::{MODULUS, Rng, Spec, mlp};
use air::chips::Air;
use air::graph::{Function, Model};
use p3_field::PrimeCharacteristicRing;
use verifier::Privacy;
use verifier::VerifyError::{Buses, Constraints};

const PRIVATE: Privacy = Privacy::DataAndWeights { proofs: 2 };

fn model() -> Model {
    mlp(&Spec::default())
}

/// Weights under a commitment that has nine lanes, so that layers of 4 outputs have padding lanes.
fn lab() -> Lab {
    Lab::new(&model(), PRIVATE)
}

/// Adds to a byte of a weight: 0 and 1 of `u`, 2 and 3 of `v`.
fn add(main: &mut Main, (row, lane): (usize, usize), byte: usize, value: F) {
    *cell(main, WEIGHTS, row, 4 * lane + byte) += value;
}

/// Writes slacks and carries that belong to the bias and the sums of a row, as far as there are any.
fn settle(main: &mut Main, model: &Model, layer: usize, row: usize) {
    let number = |main: &mut Main, first| read(main, row, (first, 4)) as i64;
    let h = number(main, sums::H);
    let [u0, u1, v0, v1] = [0, 4, 8, 12].map(|i| number(main, sums::U0 + i));
    let layer = &model.graph.layers[layer];
    let range = model.graph.tensors[layer.terms[0].input.index()].range;
    let (below, above) = (-i64::from(range.lo), i64::from(range.hi));
    let (lo, hi) = layer.requant.limits(MODULUS);
    let [u, v] = [u0 + 256 * u1, v0 + 256 * v1];
    let upper = h - above * u - below * v;
    let lower = hi - lo - h - below * u - above * v;
    let low = |x: i64| x & 255;
    let k = low(upper) - low(h) + above * low(u0) + below * low(v0);
    let l = low(lower) - low(hi - lo) + low(h) + below * low(u0) + above * low(v0);
    write(main, row, (sums::UPPER_SLACK, 4), upper as u64);
    write(main, row, (sums::LOWER_SLACK, 4), lower as u64);
    write(main, row, (sums::UPPER_CARRY, 2), (k / 256) as u64);
    write(main, row, (sums::LOWER_CARRY, 2), (l / 256) as u64);
}

/// Adds to a number of four limbs, and settles the row.
fn shift(main: &mut Main, row: usize, first: usize, by: i64) {
    let value = read(main, row, (first, 4)).checked_add_signed(by);
    write(main, row, (first, 4), value.expect("it stays a number"));
    settle(main, &model(), 0, row);
}

#[test]
fn rejects_weights_out_of_range() {
    // W[0][0] of layer 0 becomes something else, and the trace follows as far as it can.
    let half = F::ONE.halve();
    let far = F::from_u32(1 << 17);
    for (by, byte, part) in [
        (far, 1, F::from_u32(1 << 9)),
        (-far, 3, F::from_u32(1 << 9)),
        (far, 0, far),
        (half, 0, half),
        (-half, 2, half),
    ] {
        let lab = lab();
        let (index, place) = (lab.index(0, 0, 0), lab.place(0, 0, 0));
        let lab = lab.with_weight(|w| w[index] += by);
        assert_eq!(
            lab.refusal(Attack::default()),
            constraints("attested weights")
        );
        let follow = |main: &mut Main| add(main, place, byte, part);
        assert_eq!(lab.refusal(lab.coherent(follow)), Buses);
    }
}

#[test]
fn rejects_other_weights_and_biases_in_range() {
    // A weight with a negative part to shorten.
    let negative = model().weights[0].terms[0][..9].iter().position(|&w| w < 0);
    let j = negative.expect("some weight is negative");

    let lab = lab();
    let (index, place) = (lab.index(0, 0, j as isize), lab.place(0, 0, j as isize));
    let lab = lab.with_weight(|w| w[index] += F::ONE);
    // Neither the old parts, nor the new ones with the old sums.
    let error = lab.refusal(Attack::default());
    assert_eq!(error, constraints("attested weights"));
    let parts = |main: &mut Main| add(main, place, 2, -F::ONE);
    assert_eq!(lab.refusal(lab.coherent(parts)), Buses);
    // With both, it is an honest attestation of another model.
    lab.attempt(&mut lab.coherent(|main| {
        parts(main);
        shift(main, j, sums::V0, -1);
    }))
    .expect("the weight keeps the bound");

    let lab = self::lab();
    let index = lab.index(0, 12, j as isize);
    let lab = lab.with_weight(|w| w[index] += F::ONE);
    assert_eq!(lab.refusal(Attack::default()), Buses);
    lab.attempt(&mut lab.coherent(|main| shift(main, j, sums::H, -1)))
        .expect("the bias keeps the bound");
}

#[test]
fn rejects_numbers_in_padding_lanes() {
    for k in [0, 5, 8] {
        let lab = lab();
        let (index, place) = (lab.index(1, k, -1), lab.place(1, k, -1));
        let lab = lab.with_weight(|w| w[index] += F::ONE);
        assert_eq!(
            lab.refusal(Attack::default()),
            constraints("attested weights")
        );
        let follow = |main: &mut Main| add(main, place, 0, F::ONE);
        assert_eq!(lab.refusal(lab.coherent(follow)), Buses);
    }
    // And beside the biases.
    let lab = lab();
    let index = lab.index(1, 9, -1);
    let lab = lab.with_weight(|w| w[index] += F::ONE);
    assert_eq!(lab.refusal(Attack::default()), Buses);
}

#[test]
fn rejects_parts_of_another_number() {
    let lab = lab();
    let place = lab.place(0, 4, 2);
    for byte in 0..4 {
        let other = |main: &mut Main| {
            add(main, place, byte, F::ONE);
            // Sums that go with it: row 2 is output 2 of layer 0.
            shift(main, 2, sums::U0 + 4 * byte, 1);
        };
        let error = lab.refusal(lab.coherent(other));
        // 256 times as much may be beyond the bound.
        let beyond = byte % 2 == 1 && error == Buses;
        assert!(
            beyond || error == constraints("attested weights"),
            "{error}"
        );
    }
    // The sign alone: u and v change places.
    let turned = |main: &mut Main| {
        for (a, b) in [(0, 2), (1, 3)] {
            let columns = [a, b].map(|byte| 4 * place.1 + byte);
            let [x, y] = columns.map(|c| *cell(main, WEIGHTS, place.0, c));
            *cell(main, WEIGHTS, place.0, columns[0]) = y;
            *cell(main, WEIGHTS, place.0, columns[1]) = x;
            assert!(a == 1 || x != y, "the weight is not 0");
        }
    };
    let error = lab.balanced_refusal(lab.coherent(turned), WEIGHTS);
    assert_eq!(error, constraints("attested weights"));
}

#[test]
fn accepts_any_parts_of_a_weight() {
    // u − v = (u + 1) − (v + 1): the sums are larger, the bound is harder, and it holds.
    let lab = lab();
    let place = lab.place(0, 4, 2);
    let wider = |main: &mut Main| {
        for (byte, sum) in [(0, sums::U0), (2, sums::V0)] {
            add(main, place, byte, F::ONE);
            shift(main, 2, sum, 1);
        }
    };
    lab.attempt(&mut lab.coherent(wider)).expect("it is true");
}

#[test]
fn rejects_sums_of_other_weights() {
    let lab = lab();
    for first in [sums::H, sums::U0, sums::V0] {
        for by in [-1, 1] {
            let other = |main: &mut Main| shift(main, 2, first, by);
            assert_eq!(lab.refusal(lab.coherent(other)), Buses);
        }
    }
    // One output's for another's: all rows hold by themselves.
    let swapped = |main: &mut Main| {
        let cells = &mut main[SUMS].as_mut().expect("it has cells").values;
        let (a, b) = cells.split_at_mut(sums::WIDTH);
        a.swap_with_slice(&mut b[..sums::WIDTH]);
    };
    let error = lab.refusal(lab.coherent(swapped));
    assert_eq!(error, Buses);
}

#[test]
fn rejects_sums_of_another_layer() {
    // Two layers that differ in their weights only: all rows hold by themselves, and all claims are
    // there, but each is of the other layer.
    let model = mlp(&Spec {
        widths: &[6, 6, 6],
        functions: &[Function::Identity],
        ..Spec::default()
    });
    let [a, b] = &model.graph.layers[..] else {
        panic!("there are two layers");
    };
    assert_eq!(a.requant, b.requant);
    let lab = Lab::new(&model, Privacy::None);
    let swapped = |main: &mut Main| {
        let cells = &mut main[SUMS].as_mut().expect("it has cells").values;
        let (first, second) = cells.split_at_mut(6 * sums::WIDTH);
        first.swap_with_slice(&mut second[..6 * sums::WIDTH]);
    };
    assert_eq!(lab.refusal(lab.coherent(swapped)), Buses);
}

#[test]
fn rejects_smaller_sums_of_a_model_beyond_its_bound() {
    let mut model = model();
    model.weights[0].terms[0][..9].fill(i16::MAX);
    assert!(model.validate(MODULUS).is_err());
    let lab = Lab::unchecked(&model, Privacy::None);
    lab.refusal(Attack::default());
    let smaller = |main: &mut Main| {
        for row in 0..9 {
            for first in [sums::U0, sums::U1] {
                write(main, row, (first, 4), 0);
            }
            settle(main, &model, 0, row);
        }
    };
    assert_eq!(lab.refusal(lab.coherent(smaller)), Buses);
}

/// First, middle and last live rows.
fn rows(lab: &Lab, table: usize) -> [usize; 3] {
    let live = lab.layout().tables[table].chip.rows();
    [0, live / 2, live - 1]
}

/// Whether the cells of a row are read: bytes are not on the rows of biases.
fn is_read(lab: &Lab, table: usize, row: usize) -> bool {
    let fixed = lab.layout().tables[table].generate_fixed::<F>();
    let row = &fixed.values[row * fixed.width..(row + 1) * fixed.width];
    row[0] == F::ONE && (table != WEIGHTS || row[4] == F::ONE)
}

#[test]
fn rejects_every_main_cell() {
    let lab = lab();
    let mut tried = [0; 3];
    for table in [WEIGHTS, SUMS, RANGE] {
        for column in 0..lab.layout().tables[table].widths.main {
            for row in rows(&lab, table).map(|row| if is_read(&lab, table, row) { row } else { 1 })
            {
                let by = if (row + column) % 2 == 0 {
                    F::ONE
                } else {
                    -F::ONE
                };
                let change = |main: &mut Main| *cell(main, table, row, column) += by;
                let what = format!("table {table} [{row}][{column}]");
                assert_eq!(lab.refusal(Attack::on_attest(change)), Buses, "{what}");
                tried[table] += 1;
                if table == RANGE {
                    continue;
                }
                let error = lab.refusal(lab.coherent(change));
                assert!(matches!(error, Buses | Constraints { .. }), "{what}");
                // Where nothing else notices, the constraints do.
                let error = lab.balanced_refusal(lab.coherent(change), RANGE);
                assert!(matches!(error, Constraints { .. }), "{what}");
            }
        }
    }
    assert!(tried.into_iter().all(|n| n >= 3), "{tried:?}");
}

#[test]
fn rejects_every_projection_lookup_and_terminal_cell() {
    let lab = lab();
    for (t, table) in lab.layout().tables.iter().enumerate() {
        let chip = table.chip_name();
        for row in rows(&lab, t) {
            for column in 0..table.widths.projection {
                let at = row * table.committed.projection + column;
                let change = |columns: &mut [Option<Vec<EF>>], _| {
                    columns[t].as_mut().expect("it has projections")[at] += EF::ONE;
                };
                if (t, row) == (WEIGHTS, 0) {
                    // Nothing lies above row 0: it is neither kept nor sent.
                    let free = lab.attempt(&mut Attack::on_projection(change));
                    assert!(free.is_ok(), "{free:?}");
                    continue;
                }
                let error = lab.refusal(Attack::on_projection(change));
                let known = [Buses, constraints(chip)];
                assert!(known.contains(&error), "{chip} [{row}][{column}]: {error}");
            }
            for column in 0..table.widths.lookup() {
                let at = row * table.committed.lookup + column;
                let change = |columns: &mut [Vec<EF>], _: &mut [EF]| columns[t][at] += EF::ONE;
                let error = lab.refusal(Attack::on_lookup(change));
                assert_eq!(error, constraints(chip), "{chip} [{row}][{column}]");
            }
        }
        let change = |_: &mut [Vec<EF>], terminals: &mut [EF]| terminals[t] += EF::ONE;
        assert_eq!(lab.refusal(Attack::on_lookup(change)), Buses);
    }
}

#[test]
fn accepts_every_cell_that_is_not_read() {
    // Public weights: all rows behind the live ones are padding.
    let lab = Lab::new(&model(), Privacy::None);
    let mut changed = 0;
    let noise = |main: &mut Main| {
        let mut random = Rng(1);
        for table in [WEIGHTS, SUMS, RANGE] {
            let width = lab.layout().tables[table].widths.main;
            for row in 0..lab.layout().tables[table].height() {
                if !is_read(&lab, table, row) {
                    for column in 0..width {
                        *cell(main, table, row, column) = F::from_u32(random.next() >> 1);
                    }
                    changed += width;
                }
            }
        }
    };
    lab.attempt(&mut Attack::on_attest(noise))
        .expect("nothing reads them");
    assert!(changed > 100);
}
