//! # Rekeying
//!
//! A key with private weights is replaced by one with a fresh mask. Honest successors are accepted;
//! a successor with one other weight is refused whatever its maker does, and so is a proof about
//! other keys and one with a forgetful transcript; damaged proofs are in `rekey_tamper.rs`. If this
//! failed, a spent key could be replaced by a key for another model.

use crate::common::attack::{EF, F};
use crate::common::rekey::{Lab, WEIGHTS, attempt, set_up};
use crate::common::{P, Prover, Rng, Spec, input, mlp};
use air::chips::Air;
use air::graph::{Function, Model};
use air::statement::Policy;
use p3_dft::{Radix2DitParallel, TwoAdicSubgroupDft};
use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use prover::{Adversary, Honest, Mask, ProveError};
use verifier::rekey::WeightOpenings;
use verifier::transcript::{Digest, Pow, Transcript};
use verifier::{
    Prepared, Privacy, Profile, RekeyError, RekeyProof, VerifyingKey, verify_file, verify_rekey,
};

/// The weights matrix of a layout with one.
fn weights(columns: &mut [Option<RowMajorMatrix<F>>]) -> &mut RowMajorMatrix<F> {
    let mut found = columns.iter_mut().flatten();
    found.next().expect("every layout has a weights table")
}

/// A prover for the model whose commitment differs in one cell.
fn with_cell(model: &Model, row: usize, column: usize) -> Prover {
    let change = |columns: &mut [Option<RowMajorMatrix<F>>]| {
        let matrix = weights(columns);
        let width = matrix.width();
        matrix.values[row * width + column] += F::ONE;
    };
    set_up(model).with_weights_as(change).expect("it commits")
}

#[test]
fn accepts_a_chain_of_keys() {
    let spec = Spec {
        positions: 3,
        functions: &[Function::Tanh, Function::Sigmoid],
        ..Spec::default()
    };
    for profile in Profile::ALL {
        let model = mlp(&spec);
        let x = input(&model, 7);
        let mut prover = Prover::new(model, &profile, WEIGHTS).expect("it sets up");
        // The second key is born by one rekey proof and dies by another.
        for _ in 0..2 {
            let old = prover.verifying_key().key.to_bytes();
            let old = VerifyingKey::<P>::from_bytes(&old).expect("the key is sound");
            let (successor, proof) = prover.rekey().expect("it rekeys");
            let new = successor.verifying_key().key.to_bytes();
            let new = VerifyingKey::<P>::from_bytes(&new).expect("the key is sound");
            new.audit().expect("its fixed columns are the graph's");
            assert_ne!(old.key.weights, new.key.weights);
            assert_ne!(old.model_digest(), new.model_digest());
            assert_eq!(old.key.fixed, new.key.fixed);

            let bytes = proof.to_bytes(&old);
            let proof = RekeyProof::from_bytes(&bytes, &old).expect("it decodes");
            let rekeyed = verify_rekey(&old, &new, &proof).expect("it verifies");
            assert_eq!((rekeyed.old, rekeyed.new), (old.digest, new.digest));
            assert!(rekeyed.security_bits >= profile.target_bits);

            let evaluation = successor.evaluate(&x).expect("it evaluates");
            let policy = Policy::default();
            let file = successor.prove(&evaluation, &policy).expect("it proves");
            verify_file(&new, &file).expect("it verifies");
            prover = successor;
        }
    }
}

#[test]
fn accepts_models_of_every_shape() {
    for widths in [&[1, 1][..], &[3, 200, 2], &[40, 5, 5, 3]] {
        let spec = Spec {
            widths,
            ..Spec::default()
        };
        let prover = set_up(&mlp(&spec));
        let old = prover.verifying_key().clone();
        let (new, proof) = prover.rekey().expect("it rekeys");
        verify_rekey(&old, new.verifying_key(), &proof).expect("it verifies");
    }
}

#[test]
fn reserves_an_opening_for_the_birth_of_a_key_and_one_for_its_death() {
    for profile in Profile::ALL {
        for proofs in [1, 2, 40] {
            let privacy = Privacy::DataAndWeights { proofs };
            let prover = Prover::new(mlp(&Spec::default()), &profile, privacy);
            let prover = prover.expect("it sets up");
            let layout = &prover.verifying_key().layout;
            let table = layout.weight_tables().next().expect("a weights table");
            let bands = table.bands.expect("it hides");
            let shown = profile.num_queries + profile.extension_degree;
            // Every proof, both rekey proofs, and a row to spare.
            assert!(bands.uniform > (proofs as usize + 2) * shown);
            assert!(table.height() >= table.live_rows() + bands.rows());
        }
    }
}

#[test]
fn rejects_public_weights() {
    for privacy in [Privacy::None, Privacy::Data] {
        let model = mlp(&Spec::default());
        let prover = Prover::new(model, &Profile::LATENCY, privacy).expect("it sets up");
        assert_eq!(prover.rekey().err(), Some(ProveError::PublicWeights));
    }
}

/// Rows and columns of the weights table: first, middle, last live, first masked, last masked, last.
fn cells(prover: &Prover) -> Vec<(usize, usize, bool)> {
    let layout = &prover.verifying_key().layout;
    let table = layout.weight_tables().next().expect("a weights table");
    let (live, width) = (table.chip.rows(), table.widths.weight);
    let masked = live + table.bands.expect("it hides").rows();
    assert!(masked < table.height());
    let rows = [0, live / 2, live - 1, live, masked, table.height() - 1];
    rows.into_iter()
        .flat_map(|row| (0..width).map(move |column| (row, column, row < live)))
        .collect()
}

#[test]
fn rejects_one_other_cell_on_a_live_row_and_accepts_it_below() {
    let model = mlp(&Spec::default());
    let old = set_up(&model);
    let mut tried = [0, 0];
    for (row, column, live) in cells(&old) {
        let verified = attempt(&old, &with_cell(&model, row, column), &mut Honest);
        let expected = if live {
            Err(RekeyError::Weights)
        } else {
            Ok(())
        };
        assert_eq!(verified.map(|_| ()), expected, "[{row}][{column}]");
        tried[usize::from(live)] += 1;
    }
    assert!(tried.into_iter().all(|n| n >= 27), "{tried:?}");
}

#[test]
fn rejects_one_other_weight_or_bias_of_a_model() {
    let model = mlp(&Spec::default());
    let old = set_up(&model);
    for layer in 0..model.weights.len() {
        let weights = model.weights[layer].terms[0].len();
        for at in [0, weights / 2, weights - 1] {
            let mut other = model.clone();
            // Towards 0, where the model's bounds still hold.
            let w = &mut other.weights[layer].terms[0][at];
            *w = if *w == 0 { 1 } else { *w - w.signum() };
            let verified = attempt(&old, &set_up(&other), &mut Honest);
            assert_eq!(verified, Err(RekeyError::Weights));
        }
        let mut other = model.clone();
        let b = &mut other.weights[layer].bias[0];
        *b -= b.signum();
        let verified = attempt(&old, &set_up(&other), &mut Honest);
        assert_eq!(verified, Err(RekeyError::Weights));
    }
}

/// Replaces the quotients of a rekey proof.
struct Quotient<Make>(Make);

impl<Make: FnMut(&mut Vec<EF>)> Adversary<P> for Quotient<Make> {
    fn rekey(&mut self, quotients: &mut [Vec<EF>]) {
        for quotient in quotients {
            self.0(quotient);
        }
    }
}

/// What a rekey proof would divide, as coefficients: `Σ λ^b·(w₀_b − w₁_b)`.
fn difference(quotient: &[EF], live: usize) -> Vec<EF> {
    let log_height = quotient.len().ilog2() as usize;
    let omega = F::two_adic_generator(log_height);
    let on_coset = quotient.iter().zip(omega.shifted_powers(F::GENERATOR));
    let values = on_coset
        .map(|(&q, x)| {
            q * omega
                .powers()
                .take(live)
                .map(|root| x - root)
                .product::<F>()
        })
        .collect();
    Radix2DitParallel::default().coset_idft_algebra(values, F::GENERATOR)
}

/// Quotient and remainder by `Z(X) = Π_{i < live} (X − ω^i)`.
fn divide(mut dividend: Vec<EF>, live: usize) -> (Vec<EF>, Vec<EF>) {
    let omega = F::two_adic_generator(dividend.len().ilog2() as usize);
    let mut remainders = Vec::new();
    for root in omega.powers().take(live) {
        // Horner's scheme: quotient above, remainder below.
        for i in (0..dividend.len() - 1).rev() {
            let above = dividend[i + 1];
            dividend[i] += above * root;
        }
        remainders.push(dividend.remove(0));
    }
    (dividend, remainders)
}

fn on_coset(mut coefficients: Vec<EF>, height: usize) -> Vec<EF> {
    coefficients.resize(height, EF::ZERO);
    Radix2DitParallel::default().coset_dft_algebra(coefficients, F::GENERATOR)
}

#[test]
fn rejects_every_quotient_of_other_weights() {
    let model = mlp(&Spec::default());
    let old = set_up(&model);
    let table = old.verifying_key().layout.weight_tables().next();
    let live = table.expect("a weights table").live_rows();
    let mut divided = 0;
    for other in [
        with_cell(&model, 0, 0),
        with_cell(&model, live - 1, 8),
        set_up(&model)
            .with_weights_as(|columns| {
                let mut rng = Rng(3);
                weights(columns)
                    .values
                    .fill_with(|| F::from_u32(rng.next() >> 1));
            })
            .expect("it commits"),
    ] {
        let refused = |adversary: &mut dyn Adversary<P>| {
            let verified = attempt(&old, &other, adversary);
            assert_eq!(verified, Err(RekeyError::Weights));
        };
        // The quotient on the coset, where the division is always exact.
        refused(&mut Honest);
        // Division with the remainder dropped.
        refused(&mut Quotient(|quotient: &mut Vec<EF>| {
            let height = quotient.len();
            let (whole, remainders) = divide(difference(quotient, live), live);
            assert!(remainders.iter().any(|r| !r.is_zero()));
            *quotient = on_coset(whole, height);
            divided += 1;
        }));
        // The quotient of equal weights, and none at all.
        refused(&mut Quotient(|quotient: &mut Vec<EF>| {
            quotient.fill(EF::ZERO);
        }));
        refused(&mut Quotient(|quotient: &mut Vec<EF>| {
            quotient.fill(EF::ONE);
        }));
    }
    assert_eq!(divided, 3);
}

#[test]
fn divides_without_a_remainder_where_weights_are_equal() {
    // The control of the test above: its division makes the honest quotient.
    let lab = Lab::new();
    let table = lab.keys()[0].layout.weight_tables().next();
    let live = table.expect("a weights table").live_rows();
    let verified = attempt(
        &lab.old,
        &lab.new,
        &mut Quotient(|quotient: &mut Vec<EF>| {
            let honest = quotient.clone();
            let (whole, remainders) = divide(difference(quotient, live), live);
            assert!(remainders.iter().all(Field::is_zero));
            *quotient = on_coset(whole, honest.len());
            assert_eq!(*quotient, honest);
        }),
    );
    assert!(verified.is_ok());
}

/// ζ and λ of a proof.
fn challenges(lab: &Lab, proof: &RekeyProof<P>) -> (EF, EF) {
    let [old, new] = lab.keys();
    let mut transcript = Transcript::<P>::rekey(&old.profile, &old.digest, &new.digest);
    let lambda = transcript.weights();
    let pow = Pow::Check(proof.ood_pow);
    let (_, zeta) = transcript
        .quotient(&proof.quotient, &old.profile, pow)
        .expect("the prover ground the witness itself");
    (lambda, zeta)
}

#[test]
fn rejects_opened_values_that_are_made_to_fit() {
    // Other weights, with one opened value changed so that the equation at ζ holds.
    let model = mlp(&Spec::default());
    let (old, new) = (set_up(&model), with_cell(&model, 1, 2));
    let proof = old.rekey_as(&new, &mut Honest).expect("it proves anything");
    let lab = Lab { old, new, proof };
    assert_eq!(lab.verify(&lab.proof), Err(RekeyError::Weights));
    let (lambda, zeta) = challenges(&lab, &lab.proof);
    let table = lab.keys()[0].layout.weight_tables().next();
    let table = table.expect("a weights table");
    let omega = F::two_adic_generator(table.log_height);
    let vanishing: EF = omega
        .powers()
        .take(table.live_rows())
        .map(|root| zeta - root)
        .product();
    let WeightOpenings { old, new, quotient } = &lab.proof.opened[0];
    let pairs = old.iter().zip(new).zip(lambda.powers());
    let left: EF = pairs.map(|((&a, &b), power)| power * (a - b)).sum();
    let basis = |i| <EF as BasedVectorSpace<F>>::ith_basis_element(i).expect("below the degree");
    let right: EF = quotient
        .iter()
        .enumerate()
        .map(|(i, &q)| basis(i) * q)
        .sum();
    let excess = left - vanishing * right;
    assert_ne!(excess, EF::ZERO);
    for (b, power) in lambda.powers().take(old.len()).enumerate() {
        lab.bad_opening(|p| p.opened[0].old[b] -= excess / power);
        lab.bad_opening(|p| p.opened[0].new[b] += excess / power);
    }
    for i in 0..quotient.len() {
        lab.bad_opening(|p| p.opened[0].quotient[i] += excess / (vanishing * basis(i)));
    }
}

/// Leaves out one absorb of the transcript, or uses that of an ordinary proof.
enum Talk {
    Forgets(usize),
    AsAProof,
}

impl Adversary<P> for Talk {
    fn rekey_transcript(&mut self, profile: &Profile, old: &Digest, new: &Digest) -> Transcript<P> {
        match self {
            Self::Forgets(skip) => Transcript::forgetful_rekey(profile, old, new, *skip),
            Self::AsAProof => Transcript::new(profile, old, new),
        }
    }
}

#[test]
fn rejects_a_transcript_that_leaves_something_out() {
    let lab = Lab::new();
    for absorb in 0..Transcript::<P>::REKEY_ABSORBS {
        let error = attempt(&lab.old, &lab.new, &mut Talk::Forgets(absorb));
        assert_eq!(error, Err(RekeyError::Weights), "{absorb}");
    }
    // There are no more: a transcript told to leave out the next one is complete.
    let all = Transcript::<P>::REKEY_ABSORBS;
    assert!(attempt(&lab.old, &lab.new, &mut Talk::Forgets(all)).is_ok());
}

#[test]
fn rejects_the_transcript_of_an_ordinary_proof() {
    let lab = Lab::new();
    let error = attempt(&lab.old, &lab.new, &mut Talk::AsAProof);
    assert_eq!(error, Err(RekeyError::Weights));
    let [old, new] = lab.keys();
    let ordinary = Transcript::<P>::new(&old.profile, &old.digest, &new.digest).weights();
    assert_ne!(ordinary, challenges(&lab, &lab.proof).0);
}

#[test]
fn rejects_other_keys_and_another_order() {
    let lab = Lab::new();
    let [old, new] = lab.keys();
    let third = set_up(lab.old.model());
    let third = third.verifying_key();
    // The third key has the same weights, too; the proof is not about it.
    for [a, b] in [[new, old], [old, third], [third, new], [new, third]] {
        assert_eq!(verify_rekey(a, b, &lab.proof), Err(RekeyError::Keys));
        let mut proof = lab.proof.clone();
        (proof.old, proof.new) = (a.digest, b.digest);
        assert_eq!(verify_rekey(a, b, &proof), Err(RekeyError::Weights));
    }
    for key in [old, new] {
        let mut proof = lab.proof.clone();
        (proof.old, proof.new) = (key.digest, key.digest);
        assert_eq!(verify_rekey(key, key, &proof), Err(RekeyError::SameKey));
    }
    // Turned round by its maker, it is a proof of the other order.
    let turned = lab.new.rekey_as(&lab.old, &mut Honest).expect("it proves");
    assert!(verify_rekey(new, old, &turned).is_ok());
    assert_eq!(lab.verify(&turned), Err(RekeyError::Keys));
}

#[test]
fn rejects_keys_that_differ_in_anything_but_weights() {
    let lab = Lab::new();
    let [old, new] = lab.keys();
    let refused = |new: &Prepared<P>| {
        let mut proof = lab.proof.clone();
        proof.new = new.digest;
        verify_rekey(old, new, &proof)
    };
    let set_up = |profile, privacy, shift| {
        let spec = Spec {
            shift,
            ..Spec::default()
        };
        let prover = Prover::new(mlp(&spec), profile, privacy).expect("it sets up");
        prover.verifying_key().clone()
    };
    let latency = &Profile::LATENCY;
    let other = set_up(latency, Privacy::DataAndWeights { proofs: 3 }, 6);
    assert_eq!(refused(&other), Err(RekeyError::Differ("privacy")));
    for privacy in [Privacy::None, Privacy::Data] {
        let public = set_up(latency, privacy, 6);
        assert_eq!(refused(&public), Err(RekeyError::Differ("privacy")));
        let backwards = verify_rekey(&public, old, &lab.proof);
        assert_eq!(backwards, Err(RekeyError::NotPrivate));
    }
    let other = set_up(&Profile::COMPACT, WEIGHTS, 6);
    assert_eq!(refused(&other), Err(RekeyError::Differ("security profile")));
    let other = set_up(latency, WEIGHTS, 7);
    assert_eq!(refused(&other), Err(RekeyError::Differ("graph")));
    let mut key = new.key.clone();
    key.fixed = key.weights.clone();
    let other = key.prepare().expect("only an audit can tell");
    assert_eq!(refused(&other), Err(RekeyError::Differ("fixed columns")));
}

#[test]
fn rejects_a_level_below_the_profile() {
    let lab = Lab::new();
    let [old, new] = lab.keys();
    let mut weak = old.clone();
    weak.profile.num_queries = 140;
    let error = verify_rekey(&weak, new, &lab.proof).expect_err("too few queries");
    let (round, bits, target) = ("queries", 94, 100);
    assert_eq!(
        error,
        RekeyError::Security {
            round,
            bits,
            target
        }
    );
}

#[test]
fn opens_other_values_every_time() {
    // One key replaced twice, as only a copy of it could be: nothing the two proofs open is the
    // same, though the weights are.
    let model = mlp(&Spec::default());
    let bytes = set_up(&model).to_bytes();
    let [a, b] = [(); 2].map(|()| {
        let old = Prover::from_bytes(&bytes).expect("its own key");
        old.rekey().expect("it rekeys").1
    });
    assert_eq!(a.old, b.old);
    assert_ne!(a.new, b.new);
    let values = |proof: &RekeyProof<P>| {
        let WeightOpenings { old, new, quotient } = proof.opened[0].clone();
        [old, new, quotient, proof.mask.clone()].concat()
    };
    assert!(values(&a).iter().zip(values(&b)).all(|(a, b)| *a != b));

    // Between the same two keys Q is the same polynomial, opened where the mask has moved ζ.
    let lab = Lab::new();
    let again = lab.old.rekey_as(&lab.new, &mut Honest).expect("it proves");
    let pairs = values(&lab.proof).into_iter().zip(values(&again));
    assert!(pairs.into_iter().all(|(a, b)| a != b));
}

#[test]
fn masks_the_batch() {
    struct Bare;
    impl Adversary<P> for Bare {
        fn leaves_out(&self) -> Option<Mask> {
            Some(Mask::Batch)
        }
    }
    // What the mask is for: without it FRI's final polynomial is a combination of the weight columns
    // alone, and two proofs between the same keys give the same one.
    let lab = Lab::new();
    let prove = |adversary: &mut dyn Adversary<P>| {
        let proof = lab.old.rekey_as(&lab.new, adversary).expect("it proves");
        lab.verify(&proof)
            .expect("masks are no matter of soundness");
        (proof.mask, proof.pcs.final_poly)
    };
    let zeros = vec![EF::ZERO; 5];
    assert_eq!(prove(&mut Bare), prove(&mut Bare));
    assert_eq!(prove(&mut Bare).0, zeros);
    let [a, b] = [prove(&mut Honest), prove(&mut Honest)];
    assert!(a.1.iter().zip(&b.1).all(|(a, b)| a != b));
    assert!(!a.0.contains(&EF::ZERO));
}
