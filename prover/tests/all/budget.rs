//! # The budget of private weights
//!
//! A key for N proofs makes N and refuses the next: in memory, across saving and loading, and in a
//! file that several share. Fails if a unit can be spent twice, or a damaged count be read as a small
//! one. Killed processes are the subject of `cli/tests/budget.rs`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::common::{P, Prover, Spec, input, mlp};
use air::statement::Policy;
use prover::key::{ProvingKeyError, read_key};
use prover::{Budget, Ledger, LedgerError, ProveError};
use verifier::{Privacy, Profile};

fn prover(privacy: Privacy) -> Prover {
    let model = mlp(&Spec {
        widths: &[3, 2],
        ..Spec::default()
    });
    Prover::new(model, &Profile::LATENCY, privacy).expect("it sets up")
}

const fn private(proofs: u32) -> Privacy {
    Privacy::DataAndWeights { proofs }
}

fn prove(prover: &Prover) -> Result<(), ProveError> {
    let x = input(prover.model(), 7);
    let evaluation = prover.evaluate(&x).expect("it evaluates");
    prover.prove(&evaluation, &Policy::default()).map(drop)
}

/// A directory with the key of `prover` in a file.
fn saved(prover: &Prover) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("model.pk");
    std::fs::write(&path, prover.to_bytes()).expect("written");
    (dir, path)
}

fn spent(path: &Path) -> u32 {
    let key = read_key::<P>(&std::fs::read(path).expect("read")).expect("a key");
    key.budget().expect("it is counted").spent
}

#[test]
fn a_prover_makes_as_many_proofs_as_its_key_is_good_for() {
    let prover = prover(private(2));
    let budget = |p: &Prover| p.budget().expect("it is counted");
    assert_eq!(
        budget(&prover),
        Budget {
            proofs: 2,
            spent: 0,
            replaced: false
        }
    );
    prove(&prover).expect("the first");
    // Saving and loading does not make it forget.
    let loaded = Prover::from_bytes(&prover.to_bytes()).expect("its own key");
    for p in [&prover, &loaded] {
        assert_eq!(budget(p).left(), 1);
        prove(p).expect("the second");
        assert_eq!(budget(p).left(), 0);
        for _ in 0..2 {
            assert_eq!(prove(p), Err(ProveError::BudgetSpent { proofs: 2 }));
        }
    }
}

#[test]
fn proofs_with_public_weights_are_not_counted() {
    let prover = prover(Privacy::Data);
    for _ in 0..3 {
        prove(&prover).expect("any number");
    }
    assert_eq!(prover.budget(), None);
    let (_dir, path) = saved(&prover);
    let error = Ledger::open(&path, &prover).err();
    assert!(matches!(error, Some(LedgerError::Uncounted)), "{error:?}");
}

#[test]
fn a_ledger_spends_every_unit_once() {
    let prover = prover(private(3));
    let (_dir, path) = saved(&prover);
    let before = std::fs::read(&path).expect("read");
    let mut ledgers = [(); 2].map(|()| Ledger::open(&path, &prover).expect("it opens"));
    for unit in 1..=3 {
        let budget = ledgers[unit as usize % 2].spend().expect("a unit is left");
        assert_eq!((budget.spent, budget.left()), (unit, 3 - unit));
        assert_eq!(spent(&path), unit);
    }
    for ledger in &mut ledgers {
        let error = ledger.spend().err();
        let spent = matches!(error, Some(LedgerError::Spent { proofs: 3 }));
        assert!(spent, "{error:?}");
    }
    // Nothing but the marks has changed, and the key knows.
    let mut after = before.clone();
    let len = after.len();
    after[len - 3..].fill(1);
    assert_eq!(std::fs::read(&path).expect("read"), after);
    let loaded = Prover::from_bytes(&after).expect("a key");
    assert_eq!(prove(&loaded), Err(ProveError::BudgetSpent { proofs: 3 }));
}

#[test]
fn threads_that_share_a_file_share_its_budget() {
    let prover = prover(private(100));
    let (_dir, path) = saved(&prover);
    let won: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut ledger = Ledger::open(&path, &prover).expect("it opens");
                    std::iter::from_fn(|| ledger.spend().ok())
                        .map(|budget| budget.spent)
                        .collect::<Vec<u32>>()
                })
            })
            .collect();
        let units = threads
            .into_iter()
            .flat_map(|t| t.join().expect("no panic"));
        units.collect()
    });
    let mut units = won;
    units.sort_unstable();
    assert_eq!(units, (1..=100).collect::<Vec<u32>>());
}

#[test]
fn rejects_damaged_counts() {
    let prover = prover(private(4));
    let good = prover.to_bytes();
    let (_dir, path) = saved(&prover);
    let mut ledger = Ledger::open(&path, &prover).expect("it opens");
    let end = good.len();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let damaged = [
        changed(&|b| b[end - 1] = 1),
        changed(&|b| b[end - 4..].copy_from_slice(&[1, 0, 1, 0])),
        changed(&|b| b[end - 4] = 2),
        changed(&|b| b[end - 4] = 255),
        changed(&|b| b[end - 5] = 2),
        // Marks, seed and privacy must go together.
        changed(&|b| {
            b.pop();
            b[end - 13] = 4;
        }),
        changed(&|b| {
            b.push(0);
            b[end - 13] = 6;
        }),
    ];
    for (i, bad) in damaged.iter().enumerate() {
        std::fs::write(&path, bad).expect("written");
        let error = Prover::from_bytes(bad).err();
        assert_eq!(error, Some(ProvingKeyError::Count), "case {i}");
        let error = ledger.spend().err();
        let refused = matches!(error, Some(LedgerError::AnotherKey));
        assert!(refused, "case {i}: {error:?}");
        assert_eq!(&std::fs::read(&path).expect("read"), bad, "left alone");
    }
    for len in [0, 1, 12, end - 1] {
        std::fs::write(&path, &good[..len]).expect("written");
        let error = ledger.spend().err();
        assert!(matches!(error, Some(LedgerError::AnotherKey)), "{error:?}");
    }
}

#[test]
fn rejects_a_file_that_holds_another_key() {
    let [ours, theirs] = [(); 2].map(|()| prover(private(2)));
    let (_dir, path) = saved(&ours);
    let mut ledger = Ledger::open(&path, &ours).expect("it opens");
    // The same model set up again: the same sizes, another seed.
    std::fs::write(&path, theirs.to_bytes()).expect("written");
    let error = ledger.spend().err();
    assert!(matches!(error, Some(LedgerError::AnotherKey)), "{error:?}");
    assert_eq!(spent(&path), 0);
}

#[test]
fn rejects_a_file_that_is_not_there() {
    let error = Ledger::open(Path::new("no/such/file.pk"), &prover(private(2))).err();
    assert!(matches!(error, Some(LedgerError::Io(_))), "{error:?}");
}

#[test]
fn waits_for_its_turn() {
    let prover = prover(private(2));
    let (_dir, path) = saved(&prover);
    let mut ledger = Ledger::open(&path, &prover).expect("it opens");
    let mut holder = File::options().write(true).open(&path).expect("it opens");
    holder.lock().expect("it locks");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.spend().map(|budget| budget.spent));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiting.is_finished(), "it waits");
        // Meanwhile the other one spends.
        let mut bytes = prover.to_bytes();
        let at = bytes.len() - 2;
        bytes[at] = 1;
        holder.write_all(&bytes).expect("written");
        holder.unlock().expect("it unlocks");
        assert_eq!(waiting.join().expect("no panic").ok(), Some(2));
    });
}

#[test]
fn the_largest_budget_has_as_many_marks() {
    // No prover: this many rows of mask take gigabytes. The count alone must hold.
    let most = verifier::key::MAX_PROOFS as usize;
    let mut key = read_key::<P>(&prover(private(2)).to_bytes()).expect("a key");
    key.verifying_key.privacy = private(most as u32);
    key.marks = vec![0; most + 1];
    key.marks[1..most].fill(1);
    let budget = key.budget().expect("it is counted");
    assert_eq!(budget.left(), 1);
    let id = key.verifying_key.profile;
    let bytes = verifier::codec::encode(verifier::codec::Kind::ProvingKey, id, &key);
    let read = read_key::<P>(&bytes).expect("it decodes");
    assert_eq!(read.budget(), Some(budget));
}

#[test]
fn what_cannot_be_proved_costs_nothing() {
    let prover = prover(private(1));
    let x = input(prover.model(), 7);
    let evaluation = prover.evaluate(&x).expect("it evaluates");
    let wrong = Policy {
        bounds: vec![Some(vec![])],
        ..Policy::default()
    };
    for _ in 0..3 {
        let error = prover.prove(&evaluation, &wrong).err();
        assert!(matches!(error, Some(ProveError::Statement(_))), "{error:?}");
    }
    prove(&prover).expect("the unit is left");
}

#[test]
fn a_key_that_was_replaced_is_good_for_nothing() {
    let prover = prover(private(3));
    let (_dir, path) = saved(&prover);
    let [mut ledger, mut other] = [(); 2].map(|()| Ledger::open(&path, &prover).expect("it opens"));
    ledger.spend().expect("a unit is left");
    ledger.replace().expect("it can be replaced");
    for refused in [
        ledger.replace().err(),
        other.spend().err(),
        other.replace().err(),
    ] {
        assert!(
            matches!(refused, Some(LedgerError::Replaced)),
            "{refused:?}"
        );
    }
    let loaded = Prover::from_bytes(&std::fs::read(&path).expect("read")).expect("a key");
    let budget = loaded.budget().expect("it is counted");
    assert_eq!((budget.spent, budget.replaced, budget.left()), (1, true, 0));
    assert_eq!(prove(&loaded), Err(ProveError::Replaced));
    // It stays so when it is written again.
    let again = Prover::from_bytes(&loaded.to_bytes()).expect("a key");
    assert_eq!(again.rekey().err(), Some(ProveError::Replaced));
}
