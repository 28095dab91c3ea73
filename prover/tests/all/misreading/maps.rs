//! Kernels, borders, strides, and the overhang.

use std::cell::RefCell;

use super::{attempt, block_of, hangs_over, lab, misread, refuses};
use crate::common::attack::{Attack, F, Lab, Main, cell, constraints, int, places, recount};
use crate::common::{Rng, nets};
use air::chips::weights::WeightBlock;
use air::chips::{Air, Chip};
use air::graph::{Evaluation, Model};
use air::witness::generate_projection;
use p3_matrix::dense::RowMajorMatrix;
use verifier::VerifyError::{self, Buses};

/// The convolutions under attack.
fn convolutions() -> [Model; 4] {
    [(1, 1), (2, 1), (1, 2), (2, 2)].map(|(stride, groups)| nets::convolution(stride, groups))
}

#[test]
fn rejects_kernels_with_a_tap_left_out_or_twice() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        assert!(hangs_over(&lab, 0), "so that every mend is tried");
        for (tap, factor) in [(0, 0), (4, 0), (4, 2), (8, 2)] {
            let mut other = model.clone();
            let map = &model.graph.layers[0].terms[0].map;
            let outputs = map.outputs as usize;
            for w in &mut other.weights[0].terms[0][tap * outputs..(tap + 1) * outputs] {
                *w *= factor;
            }
            let evaluation = misread(&other, &x, |_, _, _| {});
            refuses(&lab, 0, &evaluation);
            // The forger's own weights in every place that is not committed: the fold alone refuses.
            let error = folded_otherwise(&lab, &other, &evaluation);
            assert_eq!(error, constraints("weights"));
        }
    }
}

/// A proof of another model's evaluation in which weights are folded as if they were the other's.
fn folded_otherwise(lab: &Lab, other: &Model, evaluation: &Evaluation) -> VerifyError {
    let captured: RefCell<Vec<Option<RowMajorMatrix<F>>>> = RefCell::default();
    let layout = lab.layout();
    let weight = layout.tables.iter().map(|table| match &table.chip {
        Chip::Weights(air) => Some(air.generate_weights::<F>(other, table.height())),
        _ => None,
    });
    let weight: Vec<_> = weight.collect();
    // The overhang is the other model's as well.
    let overhang = layout
        .tables
        .iter()
        .position(|t| t.chip.name() == "overhang");
    let overhang = overhang.expect("the layer hangs over");
    let theirs = air::witness::generate_main::<F>(layout, other, evaluation, &[]);
    let attack = Attack::on_main(|main, _| {
        main[overhang] = theirs[overhang].clone();
        *captured.borrow_mut() = main.to_vec();
    })
    .and_projection(|all, drawn| {
        let challenges = lab.projection_challenges(drawn);
        let forged = generate_projection(layout, &weight, &captured.borrow(), &challenges);
        all.clone_from_slice(&forged);
    });
    let found = attempt(lab, evaluation, attack);
    found.expect_err("a forgery must not verify")
}

/// The padded pixel of a window is the neighbour in memory: the last of the row above, the first of the
/// row below.
#[test]
fn rejects_borders_that_wrap_around() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        let (input, output) = (&model.graph.tensors[0], &model.graph.tensors[1]);
        let [_, height, width] = input.extent.map(|n| n as i64);
        let [_, _, out_width] = output.extent.map(|n| n as i64);
        let map = model.graph.layers[0].terms[0].map.clone();
        let [groups, inputs, outputs] = [map.groups, map.inputs, map.outputs].map(i64::from);
        let stride = i64::from(map.axes[2].stride);
        let evaluation = misread(&model, &x, |_, tensors, acc| {
            let positions = output.positions() as i64;
            for channel in 0..groups * inputs {
                for q in 0..positions {
                    let (qy, qx) = (q / out_width, q % out_width);
                    for tap in 0..9 {
                        let (jy, jx) = (stride * qy + tap / 3 - 1, stride * qx + tap % 3 - 1);
                        let flat = jy * width + jx;
                        let beyond =
                            !(0..width).contains(&jx) && (0..height * width).contains(&flat);
                        if !beyond || !(0..height).contains(&jy) {
                            continue;
                        }
                        let pixel = tensors[0][(channel * height * width + flat) as usize];
                        for o in 0..outputs {
                            let w = (channel * 9 + tap) * outputs + o;
                            let w = model.weights[0].terms[0][w as usize];
                            let feature = channel / inputs * outputs + o;
                            let at = feature * positions + q;
                            acc[at as usize] += i64::from(w) * i64::from(pixel);
                        }
                    }
                }
            }
        });
        refuses(&lab, 0, &evaluation);
    }
}

#[test]
fn rejects_strides_and_borders_off_by_one() {
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        for (axis, by) in [(1, -1), (1, 1), (2, -1), (2, 1)] {
            let mut other = model.clone();
            other.graph.layers[0].terms[0].map.axes[axis].pad += by;
            refuses(&lab, 0, &misread(&other, &x, |_, _, _| {}));
        }
        let mut other = model.clone();
        let stride = &mut other.graph.layers[0].terms[0].map.axes[2].stride;
        *stride = 3 - *stride;
        refuses(&lab, 0, &misread(&other, &x, |_, _, _| {}));
    }
}

#[test]
fn rejects_weight_moved_between_the_image_and_its_overhang() {
    // An output at the border is too large by 2^s, a cell of the overhang too small by as much.
    for model in convolutions() {
        let (lab, x) = lab(model.clone());
        let shift = model.graph.layers[0].requant.shift;
        let evaluation = misread(&model, &x, |_, _, acc| acc[0] += 1 << shift);
        let overhang = lab.table("overhang");
        let live = lab.layout().tables[overhang].chip.rows() - 1;
        let lanes = lab.layout().tables[overhang].widths.main;
        let mut rng = Rng(3);
        for _ in 0..6 {
            let (row, lane) = (rng.next() as usize % live, rng.next() as usize % lanes);
            for by in [1 << shift, -(1 << shift)] {
                let attack = Attack::on_main(|main, _| {
                    *cell(main, overhang, row, lane) += int(by);
                });
                assert_eq!(attempt(&lab, &evaluation, attack).map(|_| ()), Err(Buses));
            }
        }
    }
}

/// Every lane of an overhang stands outside the image, those beyond the end of a line included.
#[test]
fn no_lane_of_an_overhang_stands_at_an_output() {
    let mut lanes_seen = 0;
    for model in convolutions().into_iter().chain((0..40).map(nets::random)) {
        let lab_layout = verifier::key::layout_of::<crate::common::P>(
            &model.graph,
            &verifier::Profile::LATENCY,
            verifier::Privacy::None,
        );
        for table in lab_layout.expect("it has a layout").tables {
            let Chip::Overhang(air) = &table.chip else {
                continue;
            };
            for block in &air.blocks {
                for stretch in &block.stretches {
                    for lane in 0..air.lanes as i32 {
                        let mut at = stretch.start;
                        at[if stretch.down { 1 } else { 2 }] += lane;
                        let mut axes = at.into_iter().zip(block.frame.extent);
                        assert!(!axes.all(|(i, n)| (0..n as i32).contains(&i)), "{at:?}");
                        lanes_seen += 1;
                    }
                }
            }
        }
    }
    assert!(lanes_seen > 1000);
}

#[test]
fn rejects_padding_lanes_that_pass_for_pixels() {
    // A model whose rows have lanes beyond the end of a line.
    let idle = |lab: &Lab| {
        let (table, air, block) = block_of(lab, 0);
        let used = places(block);
        let rows = block.start..block.end();
        let mut lanes = rows.flat_map(|r| (0..air.lanes).map(move |lane| (r, lane)));
        let found = lanes.find(|&(r, lane)| used.iter().all(|p| (p.0, p.1) != (r, lane)))?;
        Some((table, found))
    };
    let candidates = (5..60).map(|width| {
        let mut net = nets::Net::new(width, 3, [1, 7, width as u32]);
        let (term, extent) = net.conv3x3(net.input(), 1, 2, 1);
        let _ = net.layer(2, extent, vec![term], air::graph::Function::Identity, 5);
        net.finish()
    });
    let labs = candidates.map(lab);
    let found = labs
        .filter_map(|(lab, x)| Some((idle(&lab)?, lab, x)))
        .next();
    let ((table, (row, lane)), lab, x) = found.expect("some model has idle lanes");
    let (_, air, block) = block_of(&lab, 0);
    let cols = crate::common::attack::lane(air, lane);
    let value = 1;
    let write = |main: &mut Main| {
        for column in [cols.q, cols.out] {
            *cell(main, table, row, column) = int(value);
        }
        for (i, &column) in cols.rem.iter().enumerate() {
            let limb = ((value - i64::from(block.lo)) >> (usize::from(air.limbs.bits) * i))
                & ((1 << air.limbs.bits) - 1);
            *cell(main, table, row, column) = int(limb);
        }
        assert_eq!(recount(lab.layout(), main), 0);
    };
    // By itself it is allowed, and means nothing.
    let attack = || Attack::on_main(|main, _| write(main));
    attempt(&lab, &lab.evaluation, attack()).expect("an idle lane is nobody's pixel");
    // Outputs that read it are refused.
    let model = lab.prover.model().clone();
    for w in model.weights[0].terms[0]
        .iter()
        .take(3)
        .filter(|w| **w != 0)
    {
        let by = i64::from(*w) * value * 64;
        let evaluation = misread(&model, &x, |_, _, acc| acc[3] += by);
        assert_eq!(attempt(&lab, &evaluation, attack()).map(|_| ()), Err(Buses));
    }
}

/// Weights that no input meets are committed all the same, are sent to nobody, and proofs verify.
#[test]
fn accepts_weights_that_nothing_is_multiplied_with() {
    let mut unread = 0;
    for seed in 0..40 {
        let model = nets::random(seed);
        let layout = verifier::key::layout_of::<crate::common::P>(
            &model.graph,
            &verifier::Profile::LATENCY,
            verifier::Privacy::None,
        );
        let layout = layout.expect("it has a layout");
        let blocks = layout.tables.iter().flat_map(|t| match &t.chip {
            Chip::Weights(air) => air.blocks.as_slice(),
            _ => &[],
        });
        let is_unread = |b: &&WeightBlock| {
            let count = |residue: usize| b.counts[residue % b.counts.len()];
            b.rows.iter().any(|r| r.end && count(r.residue) == 0)
        };
        if blocks.filter(is_unread).count() == 0 {
            continue;
        }
        unread += 1;
        let (lab, _) = lab(model);
        assert!(lab.layout().tables.len() > 3);
    }
    assert!(unread > 0, "no random network has a run that nobody reads");
}
