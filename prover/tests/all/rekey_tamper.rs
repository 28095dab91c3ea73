//! # Damaged rekey proofs
//!
//! Every field of a rekey proof, changed, with the error it must give; every list shortened; flipped
//! bits, cuts and extensions of the file. The structs are taken apart exhaustively: a new field does
//! not compile until it is listed here. If this failed, some part of a rekey proof would be carried
//! without being checked.

use crate::common::attack::{EF, F};
use crate::common::rekey::Lab;
use crate::common::{P, Rng};
use p3_field::PrimeCharacteristicRing;
use prover::Honest;
use verifier::codec::{self, CodecError};
use verifier::rekey::{WeightOpenings, max_rekey_bytes};
use verifier::{ProofFile, RekeyError, RekeyProof};

fn shorten<T>(list: &mut Vec<T>) {
    list.truncate(list.len() - 1);
}

#[test]
fn rejects_a_change_of_every_field() {
    let lab = Lab::new();
    let other = lab.old.rekey_as(&lab.new, &mut Honest).expect("it proves");
    let RekeyProof::<P> {
        old: _,
        new: _,
        quotient,
        ood_pow: _,
        opened,
        mask,
        pcs,
    } = other;
    assert_eq!(lab.refused(|p| p.old[3] ^= 1), RekeyError::Keys);
    assert_eq!(lab.refused(|p| p.new[3] ^= 1), RekeyError::Keys);
    // Another mask, hence another ζ.
    assert_eq!(lab.refused(|p| p.quotient = quotient), RekeyError::Weights);
    let pow = RekeyError::Pow("the out-of-domain point");
    assert_eq!(lab.refused(|p| p.ood_pow += F::ONE), pow);
    // Values that fit together, at another ζ.
    let same = |o: &[WeightOpenings<EF>]| o == lab.proof.opened.as_slice();
    assert!(!same(&opened));
    assert_eq!(lab.refused(|p| p.opened = opened), RekeyError::Weights);
    lab.bad_opening(|p| p.mask = mask);
    lab.bad_opening(|p| p.pcs = pcs);

    let shape = RekeyError::Shape("the list of openings");
    assert_eq!(lab.refused(|p| p.opened.clear()), shape);
    assert_eq!(lab.refused(|p| p.opened.push(p.opened[0].clone())), shape);
    let shape = RekeyError::Shape("the mask");
    assert_eq!(lab.refused(|p| shorten(&mut p.mask)), shape);
    assert_eq!(lab.refused(|p| p.mask.push(EF::ZERO)), shape);
    for i in 0..lab.proof.mask.len() {
        lab.bad_opening(|p| p.mask[i] += F::ONE);
    }
}

type List = fn(&mut WeightOpenings<EF>) -> &mut Vec<EF>;

#[test]
fn rejects_a_change_of_every_opened_value() {
    let lab = Lab::new();
    let WeightOpenings::<EF> {
        old: _,
        new: _,
        quotient: _,
    } = lab.proof.opened[0].clone();
    let lists: [List; 3] = [|o| &mut o.old, |o| &mut o.new, |o| &mut o.quotient];
    let shape = RekeyError::Shape("a table's openings");
    for list in lists {
        let len = list(&mut lab.proof.opened[0].clone()).len();
        for i in 0..len {
            let error = lab.refused(|p| list(&mut p.opened[0])[i] += EF::ONE);
            assert_eq!(error, RekeyError::Weights);
        }
        let error = lab.refused(|p| shorten(list(&mut p.opened[0])));
        assert_eq!(error, shape);
        let error = lab.refused(|p| list(&mut p.opened[0]).push(EF::ZERO));
        assert_eq!(error, shape);
        assert_eq!(lab.refused(|p| list(&mut p.opened[0]).clear()), shape);
    }
    // The equation holds for any two values that differ by the same; the opening proof tells.
    lab.bad_opening(|p| {
        p.opened[0].old[0] += EF::ONE;
        p.opened[0].new[0] += EF::ONE;
    });
}

#[test]
fn rejects_a_change_of_every_field_of_the_opening_proof() {
    let lab = Lab::new();
    lab.bad_opening(|p| p.pcs.batch_pow_witness += F::ONE);
    lab.bad_opening(|p| p.pcs.query_pow_witness += F::ONE);
    for i in 0..lab.proof.pcs.commit_phase_commits.len() {
        lab.bad_opening(|p| p.pcs.commit_phase_commits[i] = p.quotient.clone());
        lab.bad_opening(|p| p.pcs.commit_pow_witnesses[i] += F::ONE);
        lab.bad_opening(|p| shorten(&mut p.pcs.commit_phase_openings[i].sibling_values));
    }
    lab.bad_opening(|p| shorten(&mut p.pcs.commit_phase_commits));
    lab.bad_opening(|p| shorten(&mut p.pcs.commit_pow_witnesses));
    lab.bad_opening(|p| shorten(&mut p.pcs.commit_phase_openings));
    for i in 0..3 {
        lab.bad_opening(|p| p.pcs.input_openings[i].opened_values[0][0][0] += F::ONE);
        lab.bad_opening(|p| shorten(&mut p.pcs.input_openings[i].opened_values));
    }
    lab.bad_opening(|p| p.pcs.input_openings.swap(0, 1));
    lab.bad_opening(|p| shorten(&mut p.pcs.input_openings));
    lab.bad_opening(|p| p.pcs.final_poly[0] += EF::ONE);
    lab.bad_opening(|p| shorten(&mut p.pcs.final_poly));
}

/// Whether a reader of rekey files accepts these bytes.
fn accepts(lab: &Lab, bytes: &[u8]) -> bool {
    let [old, _] = lab.keys();
    RekeyProof::<P>::from_bytes(bytes, old).is_ok_and(|proof| lab.verify(&proof).is_ok())
}

#[test]
fn rejects_flipped_bits() {
    let lab = Lab::new();
    let bytes = lab.proof.to_bytes(lab.keys()[0]);
    assert!(accepts(&lab, &bytes));
    let mut rng = Rng(11);
    for i in 0..600 {
        // Densely where headers and lengths are.
        let len = if i < 200 {
            bytes.len().min(256)
        } else {
            bytes.len()
        };
        let (at, bit) = (rng.next() as usize % len, 1 << (rng.next() % 8));
        let mut bytes = bytes.clone();
        bytes[at] ^= bit;
        assert!(!accepts(&lab, &bytes), "byte {at}, bit {bit:#x}");
    }
}

#[test]
fn rejects_files_of_another_length_or_kind() {
    let lab = Lab::new();
    let [old, new] = lab.keys();
    let bytes = lab.proof.to_bytes(old);
    let read = |bytes: &[u8]| RekeyProof::<P>::from_bytes(bytes, old).map(|_| ());
    assert_eq!(read(&bytes), Ok(()));

    let len = bytes.len();
    let cuts = (0..64).map(|i| len * i / 64);
    for cut in cuts.chain(0..32).chain(len - 32..len) {
        let damaged = CodecError::Damaged;
        let expected = if cut < 12 {
            CodecError::NotOurs
        } else {
            damaged
        };
        assert_eq!(read(&bytes[..cut]), Err(expected), "cut at {cut}");
    }
    for extra in [1, 7, 1000] {
        let mut bytes = bytes.clone();
        bytes.resize(len + extra, 0);
        assert_eq!(read(&bytes), Err(CodecError::Trailing { extra }));
    }
    let limit = max_rekey_bytes(old);
    assert!(limit < 8 * len, "the bound is no invitation");
    let mut long = bytes.clone();
    long.resize(limit + 1, 0);
    let got = limit + 1;
    assert_eq!(read(&long), Err(CodecError::TooLong { limit, got }));

    for (kind, got) in [(1, "verifying key"), (2, "proof"), (3, "proving key")] {
        let mut bytes = bytes.clone();
        bytes[8] = kind;
        let expected = "rekey proof";
        assert_eq!(read(&bytes), Err(CodecError::WrongKind { expected, got }));
    }
    let mut other = bytes.clone();
    other[9] = 2;
    assert_eq!(read(&other), Err(CodecError::NotCanonical));
    let error = ProofFile::<P>::from_bytes(&bytes, new).map(|_| ());
    let (expected, got) = ("proof", "rekey proof");
    assert_eq!(error, Err(CodecError::WrongKind { expected, got }));
}

#[test]
fn rejects_commitments_that_are_not_a_single_root() {
    let lab = Lab::new();
    let bytes = lab.proof.to_bytes(lab.keys()[0]);
    let two_roots = |encoded: &[u8]| {
        let mut found = bytes.windows(encoded.len());
        let at = found.position(|w| w == encoded).expect("it is in there");
        let mut bytes = bytes.clone();
        bytes[at] = 2;
        let root = bytes[at + 8..at + 40].to_vec();
        bytes.splice(at + 40..at + 40, root);
        let proof = RekeyProof::from_bytes(&bytes, lab.keys()[0]).expect("it is well formed");
        lab.verify(&proof)
    };
    let error = two_roots(&codec::encode_payload(&lab.proof.quotient));
    assert_eq!(error, Err(RekeyError::Shape("a commitment")));
    let error = two_roots(&codec::encode_payload(
        &lab.proof.pcs.commit_phase_commits[0],
    ));
    let shape = RekeyError::Shape("a commitment of the opening proof");
    assert_eq!(error, Err(shape));
}
