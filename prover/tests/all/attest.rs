//! # Attestations of honest keys
//!
//! Every model that setup accepts can be attested, up to the last unit of its bound, and one unit beyond
//! it cannot. If this failed, an honest key could go without an attestation, or a dishonest one have it.

use crate::common::attack::{Attack, EF, F, Main, cell, constraints};
use crate::common::attest::{Lab, SUMS, WEIGHTS, sums, write};
use crate::common::{MODULUS, P, Prover, Spec, affine, input, mlp};
use air::builder::{Challenges, Drawn};
use air::debug::degree;
use air::graph::{Activation, Function, Model, Range, Requant};
use air::layout::LayoutError;
use air::statement::Policy;
use p3_field::{Field, PrimeCharacteristicRing};
use prover::ProveError;
use verifier::VerifyError::Buses;
use verifier::key::layout_of;
use verifier::{
    Attestation, KeyError, Privacy, Profile, VerifyingKey, verify_attestation, verify_file,
};

const PRIVATE: Privacy = Privacy::DataAndWeights { proofs: 3 };
const PRIVACIES: [Privacy; 3] = [Privacy::None, Privacy::Data, PRIVATE];

#[test]
fn accepts_models_of_every_shape() {
    for widths in [&[1, 1][..], &[3, 200, 2], &[40, 5, 5, 3], &[300, 17]] {
        for privacy in PRIVACIES {
            let spec = Spec {
                widths,
                functions: &[Function::Sigmoid, Function::Tanh, Function::Relu],
                ..Spec::default()
            };
            Lab::new(&mlp(&spec), privacy);
        }
    }
}

#[test]
fn accepts_bytes_under_every_profile() {
    for (profile, privacy) in Profile::ALL.iter().flat_map(|p| PRIVACIES.map(|x| (p, x))) {
        let prover = Prover::new(mlp(&Spec::default()), profile, privacy).expect("it sets up");
        let attestation = prover.attest().expect("it attests");
        let key = prover.verifying_key().key.to_bytes();
        let key = VerifyingKey::<P>::from_bytes(&key).expect("the key is sound");
        key.audit().expect("its fixed columns are the graph's");
        let bytes = attestation.to_bytes(&key);
        let attestation = Attestation::from_bytes(&bytes, &key).expect("it decodes");
        let attested = verify_attestation(&key, &attestation).expect("it verifies");
        assert_eq!(attested.key, key.digest);
        assert!(attested.security_bits >= profile.target_bits);
    }
}

#[test]
fn constraints_have_the_degree_the_engine_is_made_for() {
    let lab = Lab::unchecked(&mlp(&Spec::default()), PRIVATE);
    let layout = lab.layout();
    let draw = |i: u64| EF::from_u64(3 + i * i);
    let drawn = Drawn {
        rho: draw(1),
        sigma: [2, 6, 7].map(draw),
    };
    let challenges =
        Challenges::projection(drawn, layout.power_counts(), vec![]).with_lookup(draw(3), draw(4));
    for table in &layout.tables {
        assert_eq!(
            degree(table, &challenges, draw(5)),
            3,
            "{}",
            table.chip_name()
        );
    }
}

/// A layer without an activation, `2^(shift + excess)` beyond a domain of a byte.
fn requant(domain: Range, shift: u8, excess_bits: u8) -> Requant {
    Requant {
        shift,
        excess_bits,
        activation: Activation::identity(domain, 0),
    }
}

/// Requantisations whose limits differ in kind: narrow; more than p/2 values; more than the wrap
/// bound allows; no shift.
fn requants() -> [Requant; 4] {
    [
        requant(Range::signed(8), 6, 7),
        requant(Range::signed(8), 10, 19),
        requant(Range::unsigned(16), 14, 0),
        requant(Range::signed(12), 0, 8),
    ]
}

/// Sets a bias as large, or as small, as it may be.
fn tighten(model: &mut Model, layer: usize, j: usize, top: bool) {
    let [term] = &model.graph.layers[layer].terms[..] else {
        panic!("a dense layer has one term");
    };
    let (range, outputs) = (
        model.graph.tensors[term.input.index()].range,
        term.map.outputs,
    );
    let (least, most) = model.graph.layers[layer].requant.limits(MODULUS);
    let weights = &mut model.weights[layer];
    let column = weights.terms[0].iter().skip(j).step_by(outputs as usize);
    let (lo, hi) = column.fold((0, 0), |(lo, hi), &w| {
        let ends = [range.lo, range.hi].map(|x| i64::from(w) * i64::from(x));
        (lo + ends[0].min(ends[1]), hi + ends[0].max(ends[1]))
    });
    weights.bias[j] = (if top { most - hi } else { least - lo }) as i32;
    model
        .validate(MODULUS)
        .expect("the last unit is within the limits");
}

/// A model of one layer at one end of its limits, on inputs in a range.
fn tight(values: &[i16], requant: &Requant, range: Range, top: bool) -> Model {
    let mut model = affine(&vec![0; values.len()], 0, requant.clone());
    model.graph.tensors[0].range = range;
    model.weights[0].terms[0] = values.to_vec();
    tighten(&mut model, 0, 0, top);
    model
}

/// Both signs, one sign, and nothing but 0.
const INPUTS: [Range; 4] = [
    Range { lo: -8, hi: 7 },
    Range { lo: 0, hi: 9 },
    Range { lo: -6, hi: 0 },
    Range { lo: 0, hi: 0 },
];

#[test]
fn accepts_the_last_unit_of_the_bound_and_rejects_the_next() {
    let [_, _, wrap, _] = requants();
    let (_, most) = wrap.limits(MODULUS);
    assert!(most < wrap.representable().1, "the wrap bound decides");
    for requant in requants() {
        for values in [&[3, -5, 100][..], &[0], &[-1, 1]] {
            for (range, top) in INPUTS.iter().flat_map(|&r| [(r, true), (r, false)]) {
                let mut model = tight(values, &requant, range, top);
                Lab::new(&model, Privacy::None);
                model.weights[0].bias[0] += if top { 1 } else { -1 };
                is_refused(&model);
            }
        }
    }
}

fn is_refused(model: &Model) {
    assert!(model.validate(MODULUS).is_err());
    let lab = Lab::unchecked(model, Privacy::None);
    let error = lab.refusal(Attack::default());
    assert!([Buses, constraints("attested sums")].contains(&error));
}

#[test]
fn knows_the_limits_of_every_layer() {
    // Layers whose inputs, shifts and accumulators have other ranges.
    let mut model = mlp(&Spec {
        widths: &[4, 6, 3],
        functions: &[Function::Relu, Function::Identity],
        ..Spec::default()
    });
    model.graph.layers[1].requant.shift += 3;
    for (layer, j) in [(0, 5), (1, 0), (1, 2)] {
        for top in [true, false] {
            let mut model = model.clone();
            tighten(&mut model, layer, j, top);
            Lab::new(&model, Privacy::None);
            model.weights[layer].bias[j] += if top { 1 } else { -1 };
            is_refused(&model);
        }
    }
}

#[test]
fn rejects_a_slack_that_wraps_around() {
    // So many accumulators are representable that −1 modulo p fits the limbs of a slack.
    let [_, wide, ..] = requants();
    for (top, slack, carry) in [
        (true, sums::UPPER_SLACK, sums::UPPER_CARRY),
        (false, sums::LOWER_SLACK, sums::LOWER_CARRY),
    ] {
        let mut model = tight(&[3, -5, 100], &wide, INPUTS[0], top);
        model.weights[0].bias[0] += if top { 1 } else { -1 };
        let lab = Lab::unchecked(&model, Privacy::None);
        // One side is beyond the limit by one: its slack is −1, and p − 1 is the same modulo p.
        let slack = |main: &mut Main| write(main, 0, (slack, 4), MODULUS - 1);
        let error = lab.refusal(lab.coherent(slack));
        assert_eq!(error, constraints("attested sums"));
        // The lowest limb of −1 is 255, that of p − 1 is 0: a carry less 255/256 makes up for it,
        // modulo p.
        let carry = |main: &mut Main| {
            slack(main);
            *cell(main, SUMS, 0, carry) -= F::from_u8(255) * F::from_u16(256).inverse();
        };
        assert_eq!(lab.refusal(lab.coherent(carry)), Buses);
        // All of its constraints hold: what is left to refuse is the terminal.
        let error = lab.balanced_refusal(lab.coherent(carry), WEIGHTS);
        assert_eq!(error, constraints("attested weights"));
    }
}

#[test]
fn accepts_extreme_weights() {
    // 7·(2^15 − 1) + 8·2^15 and more fit easily.
    let wide = requant(Range::signed(8), 10, 19);
    let model = affine(&[i16::MIN, i16::MAX, i16::MIN, 255, -256, 256], -1, wide);
    for privacy in PRIVACIES {
        Lab::new(&model, privacy);
    }
}

#[test]
fn counts_as_a_proof_of_private_weights() {
    let model = mlp(&Spec::default());
    let x = input(&model, 3);
    let privacy = Privacy::DataAndWeights { proofs: 2 };
    let prover = Prover::new(model, &Profile::LATENCY, privacy).expect("it sets up");
    prover.attest().expect("it attests");
    let evaluation = prover.evaluate(&x).expect("it evaluates");
    let file = prover
        .prove(&evaluation, &Policy::default())
        .expect("it proves");
    verify_file(prover.verifying_key(), &file).expect("it verifies");
    let spent = Some(ProveError::BudgetSpent { proofs: 2 });
    assert_eq!(prover.attest().err(), spent);
}

#[test]
fn fits_the_mask_of_every_key_for_two_proofs() {
    for profile in Profile::ALL {
        let [mut one, mut two] = [0, 0];
        for inputs in 1..450 {
            let spec = Spec {
                widths: &[inputs, 9],
                weight_max: 3,
                ..Spec::default()
            };
            let graph = mlp(&spec).graph;
            let fits = |proofs| {
                let privacy = Privacy::DataAndWeights { proofs };
                let layout = layout_of::<P>(&graph, &profile, privacy).expect("it has a layout");
                let hiding = privacy.hiding(&profile);
                layout.attestation(&graph, hiding.as_ref(), MODULUS) != Err(LayoutError::NoRoom)
            };
            one += u32::from(!fits(1));
            two += u32::from(!fits(2));
        }
        assert_eq!(two, 0);
        // The few rows in which a mask for one proof is short do matter for some heights.
        assert!(one > 0);
    }
}

#[test]
fn refuses_a_layer_whose_input_is_never_zero() {
    let mut model = affine(&[1], 0, requant(Range::signed(8), 6, 7));
    model.graph.tensors[0].range = Range { lo: 1, hi: 8 };
    let prover = Prover::new(model, &Profile::LATENCY, Privacy::None).expect("it sets up");
    let error = KeyError::Layout(LayoutError::NoBound { layer: 0 });
    assert_eq!(prover.attest().err(), Some(ProveError::Tables(error)));
}
