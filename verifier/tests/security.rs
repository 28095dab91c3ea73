//! # The security calculator
//!
//! Every round recomputed here from the formulas, and compared a second time with `p3-security`.
//! Every profile must keep its promise over all shapes a layout can have. If this failed, a
//! verifier would print a number of bits it does not have.

use air::layout::{MAX_LOG_HEIGHT, MIN_LOG_HEIGHT};
use p3_security::fri::{FriRegime, commit_phase_error_udr, query_phase_error};
use p3_security::logup::{LogUpAir, fingerprint_error};
use p3_security::proximity::alpha_udr;
use p3_security::shape::{InstanceShape, StarkAirParams};
use verifier::security::{RekeyShape, Security, Shape};
use verifier::{BabyBearKeccak, Profile};

type P = BabyBearKeccak<5>;

/// log2 of the order of the extension field.
fn log_q() -> f64 {
    5.0 * 2_013_265_921f64.log2()
}

fn shape(log_height: usize) -> Shape {
    Shape {
        log_height,
        min_log_height: MIN_LOG_HEIGHT,
        constraints: 300,
        messages: 40 << log_height,
        message_len: 5,
        projection_degree: 10_000,
        openings: 900,
        quotient_chunks: 2 + log_height % 2,
    }
}

/// The formulas, in the order of the calculator's rounds.
fn expected(profile: &Profile, shape: &Shape) -> [(&'static str, f64); 8] {
    let k = (1u64 << shape.log_height) as f64;
    let n = k * (1u64 << profile.log_blowup) as f64;
    let arity = (1u64 << profile.max_log_arity) as f64;
    let (d, c) = (3.0, shape.quotient_chunks as f64);
    let degree = f64::max(d * (k + 1.0) + k - 1.0, (c + 1.0) * k + 1.0);
    let messages = shape.messages as f64 * (shape.message_len as f64 + 2.0);
    // A far word is hardest to catch on the shortest table.
    let k0 = (1u64 << shape.min_log_height) as f64;
    let n0 = k0 * (1u64 << profile.log_blowup) as f64;
    let alpha = 0.5 * (1.0 + (k0 + 2.0) / n0);
    [
        (
            "projection",
            log_q() - (shape.projection_degree as f64).log2(),
        ),
        (
            "lookup",
            log_q() - messages.log2() + profile.lookup_pow_bits as f64,
        ),
        ("constraints", log_q() - (shape.constraints as f64).log2()),
        (
            "out of domain",
            log_q() - degree.log2() + profile.ood_pow_bits as f64,
        ),
        (
            "batching",
            log_q() - ((n + 1.0) * (shape.openings as f64 - 1.0)).log2()
                + profile.batch_pow_bits as f64,
        ),
        (
            "folding",
            log_q() - ((n + 1.0) * arity).log2() + profile.fold_pow_bits as f64,
        ),
        (
            "queries",
            -(profile.num_queries as f64) * alpha.log2() + profile.query_pow_bits as f64,
        ),
        ("hash", 128.0),
    ]
}

#[test]
fn matches_reference_formulas() {
    for profile in Profile::ALL {
        for log_height in MIN_LOG_HEIGHT..=MAX_LOG_HEIGHT {
            let shape = shape(log_height);
            let security = Security::new::<P>(&profile, &shape);
            let expected = expected(&profile, &shape);
            assert_eq!(security.rounds.len(), expected.len());
            for (round, (name, bits)) in security.rounds.iter().zip(expected) {
                assert_eq!(round.name, name);
                assert!(
                    (round.bits - bits).abs() < 0.01,
                    "{} 2^{log_height} {name}: {} is not {bits}",
                    profile.name,
                    round.bits
                );
            }
            let least = expected.iter().map(|r| r.1).fold(f64::INFINITY, f64::min);
            assert!((security.bits() - least).abs() < 0.01);
        }
    }
}

#[test]
fn matches_reference_of_plonky3() {
    // p3-security rounds the field down to whole bits: 154 of 154.53.
    let slack = log_q() - 154.0;
    for profile in Profile::ALL {
        for log_height in MIN_LOG_HEIGHT..=MAX_LOG_HEIGHT {
            // Their formula knows powers of two only; with three chunks the other term decides.
            let shape = Shape {
                quotient_chunks: 2,
                ..shape(log_height)
            };
            let bits = |name: &str| {
                let security = Security::new::<P>(&profile, &shape);
                let round = security.rounds.into_iter().find(|r| r.name == name);
                round.expect("the calculator has this round").bits
            };
            let near = |name: &str, theirs: f64, grinding: usize| {
                let ours = bits(name) - slack - grinding as f64;
                assert!((ours - theirs).abs() < 0.01, "{name}: {ours} {theirs}");
            };
            let instance = InstanceShape {
                log_trace_length: log_height,
                modulus_bits: 154,
                collision_resistance: 128,
                num_batched_functions: shape.openings,
            };
            let air = StarkAirParams {
                num_constraints: shape.constraints,
                max_constraint_degree: air::chips::MAX_DEGREE,
                num_quotient_chunks: shape.quotient_chunks,
                max_combo: 2,
            };
            let regime = FriRegime {
                log_blowup: profile.log_blowup,
                num_queries: profile.num_queries,
                log_final_poly_len: 0,
                max_log_arity: profile.max_log_arity,
                commit_pow_bits: profile.fold_pow_bits,
                query_pow_bits: profile.query_pow_bits,
            };
            let deep = p3_security::deep::deep_ali_error(&air, &instance, 1.0).bits();
            near("out of domain", deep, profile.ood_pow_bits);
            let composition =
                p3_security::air::composition_error(shape.constraints, 1.0, 154).bits();
            near("constraints", composition, 0);
            let logup = LogUpAir {
                num_interactions: shape.messages >> log_height,
                max_message_width: shape.message_len,
            };
            let lookup = fingerprint_error(&logup, &instance).bits();
            near("lookup", lookup, profile.lookup_pow_bits);
            let folding = commit_phase_error_udr(&regime, &instance).expect("it folds");
            // A shorter table that joins adds a power to the folding polynomial; they leave it out.
            let arity = (1u64 << profile.max_log_arity) as f64;
            near(
                "folding",
                folding.bits() - (arity / (arity - 1.0)).log2(),
                0,
            );
            let alpha = alpha_udr(shape.min_log_height, profile.log_blowup, 2);
            let queries =
                query_phase_error(alpha, profile.num_queries, profile.query_pow_bits).bits();
            assert!((bits("queries") - queries).abs() < 0.01);
        }
    }
}

/// The worst shape a layout can have: the tallest or the shortest table, messages up to the
/// field's order, every row of every table part of a projected identity, wide tables.
fn worst(log_height: usize) -> Shape {
    Shape {
        log_height,
        min_log_height: MIN_LOG_HEIGHT,
        constraints: 4_000,
        messages: 2_013_265_920,
        message_len: 5,
        // Twice the rows of two full activation tables.
        projection_degree: 8 << MAX_LOG_HEIGHT,
        openings: 8_000,
        quotient_chunks: 3,
    }
}

#[test]
fn accepts_every_profile_at_every_height() {
    for profile in Profile::ALL {
        for log_height in MIN_LOG_HEIGHT..=MAX_LOG_HEIGHT {
            let security = Security::new::<P>(&profile, &shape(log_height));
            assert!(
                security.bits() >= f64::from(profile.target_bits),
                "{} at 2^{log_height}: {}",
                profile.name,
                security.summary()
            );
        }
    }
}

#[test]
fn accepts_every_profile_at_the_worst_shape() {
    for profile in Profile::ALL {
        for log_height in MIN_LOG_HEIGHT..=MAX_LOG_HEIGHT {
            let security = Security::new::<P>(&profile, &worst(log_height));
            assert!(
                security.bits() >= f64::from(profile.target_bits),
                "{} at 2^{log_height}: {}",
                profile.name,
                security.summary()
            );
        }
    }
}

#[test]
fn matches_reference_formulas_of_rekey_proofs() {
    // One narrow table, and tables as wide as the layout goes, side by side with the shortest.
    for (columns, openings, spread) in [(9, 28, false), (256, 8_000, true)] {
        for profile in Profile::ALL {
            for log_height in MIN_LOG_HEIGHT..=MAX_LOG_HEIGHT {
                let min_log_height = if spread { MIN_LOG_HEIGHT } else { log_height };
                let rekey = RekeyShape {
                    log_height,
                    min_log_height,
                    columns,
                    openings,
                };
                let security = Security::rekey::<P>(&profile, &rekey);
                // An opening is an opening.
                let same = Shape {
                    openings,
                    min_log_height,
                    ..shape(log_height)
                };
                let [.., batching, folding, queries, hash] = expected(&profile, &same);
                let k = (1u64 << log_height) as f64;
                let grinding = profile.ood_pow_bits as f64;
                let expected = [
                    ("same weights", log_q() - (columns as f64 - 1.0).log2()),
                    ("out of domain", log_q() - (2.0 * k + 1.0).log2() + grinding),
                    batching,
                    folding,
                    queries,
                    hash,
                ];
                assert_eq!(security.rounds.len(), expected.len());
                for (round, (name, bits)) in security.rounds.iter().zip(expected) {
                    assert_eq!(round.name, name);
                    assert!((round.bits - bits).abs() < 0.01, "{name}: {}", round.bits);
                }
                assert!(security.bits() >= f64::from(profile.target_bits));
            }
        }
    }
}

#[test]
fn matches_the_limits_on_grinding() {
    for profile in Profile::ALL {
        for bits in [
            profile.batch_pow_bits,
            profile.fold_pow_bits,
            profile.query_pow_bits,
            profile.lookup_pow_bits,
            profile.ood_pow_bits,
        ] {
            assert!(bits <= 24, "{}", profile.name);
        }
        assert!(
            MAX_LOG_HEIGHT + profile.log_blowup <= 27,
            "{}",
            profile.name
        );
        assert_eq!(Profile::by_id(profile.id), Some(profile));
        assert_eq!(Profile::by_name(profile.name), Some(profile));
    }
}
