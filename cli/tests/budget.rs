//! The budget of private weights, through the command line. Fails if a key makes one proof more than
//! it was made for: in order, after being killed anywhere, or in several processes at once.
//!
//! What is on disk after `kill -9` is what the process wrote before it; a power cut is not simulated.

#![cfg(unix)]

mod support;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Fixture, testdata};

fn fixture(proofs: u32) -> Fixture {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    fixture.setup("k", &format!("--weights private --proofs {proofs}"));
    fixture
}

impl Fixture {
    fn left(&self) -> u64 {
        let report = self.run("inspect k/model.pk --json").expect(0).json();
        report["proofs_left"].as_u64().expect("a number")
    }

    /// Starts `prove` and does not wait for it.
    fn spawn(&self, output: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_provenn"))
            .args(["prove", "k/model.pk", "--input", "x.json", "-o", output])
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    /// Proofs there are, unfinished ones included: everything `prove` may have left.
    fn proofs(&self) -> u64 {
        let files = self.files().into_iter();
        files
            .filter(|f| f.ends_with(".proof") || f.starts_with(".provenn"))
            .filter(|f| std::fs::metadata(self.path(f)).expect("a file").len() > 0)
            .count() as u64
    }

    fn fifo(&self, name: &str) {
        let made = Command::new("mkfifo").arg(self.path(name)).status();
        assert!(made.expect("mkfifo").success());
    }

    fn accepts(&self, proof: &str) {
        self.run(&format!("verify --vk k/model.vk {proof}"))
            .expect(0);
    }
}

fn kill(mut child: Child) {
    // SIGKILL on Unix.
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

#[test]
fn a_key_makes_as_many_proofs_as_it_is_good_for() {
    let fixture = fixture(2);
    for left in [1, 0] {
        let prove = format!("prove k/model.pk --input x.json -o {left}.proof --json");
        let report = fixture.run(&prove).expect(0).json();
        assert_eq!(report["proofs_left"], left);
        assert_eq!(report["visibility"]["weights"], "private");
        assert_eq!(fixture.left(), left);
        fixture.accepts(&format!("{left}.proof"));
    }
    let spent = std::fs::read(fixture.path("k/model.pk")).expect("the key");
    for _ in 0..2 {
        fixture
            .run("prove k/model.pk --input x.json -o 3.proof")
            .expect(5)
            .says("all 2 proofs")
            .says("provenn rekey");
    }
    assert!(!fixture.path("3.proof").exists());
    assert_eq!(
        std::fs::read(fixture.path("k/model.pk")).expect("the key"),
        spent
    );
    // What shows nothing to anyone costs nothing.
    fixture.run("run k/model.pk --input x.json").expect(0);
    fixture.run("check k/model.pk --input x.json").expect(0);
}

#[test]
fn proving_keys_are_readable_by_their_owner_only() {
    let fixture = fixture(1);
    let mode = |name: &str| {
        let file = std::fs::metadata(fixture.path(name)).expect("a file");
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode("k/model.pk"), 0o600);
    assert_eq!(mode("k/model.vk"), 0o644);
    fixture
        .run("prove k/model.pk --input x.json -o x.proof")
        .expect(0);
    assert_eq!(mode("k/model.pk"), 0o600, "counting leaves it so");
}

/// The proof goes into a pipe: it comes out byte by byte only while someone reads, so a count that
/// came after it could not be there yet.
#[test]
fn the_count_is_there_before_the_first_byte_of_the_proof() {
    let fixture = fixture(3);
    fixture.fifo("pipe");
    let mut child = fixture.spawn("pipe");
    let mut pipe = File::open(fixture.path("pipe")).expect("it opens once it is written to");
    assert_eq!(fixture.left(), 2);
    let mut proof = Vec::new();
    pipe.read_to_end(&mut proof).expect("the proof");
    assert!(child.wait().expect("it ends").success());
    std::fs::write(fixture.path("x.proof"), proof).expect("written");
    fixture.accepts("x.proof");
    assert_eq!(fixture.left(), 2);
}

#[test]
fn killed_between_counting_and_writing_it_costs_a_unit() {
    let fixture = fixture(2);
    fixture.fifo("pipe");
    // Nobody reads the pipe: the process counts, and waits there.
    let child = fixture.spawn("pipe");
    let start = Instant::now();
    while fixture.left() == 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "it never counts");
    }
    kill(child);
    assert_eq!((fixture.left(), fixture.proofs()), (1, 0));
    fixture
        .run("prove k/model.pk --input x.json -o x.proof")
        .expect(0);
    fixture
        .run("prove k/model.pk --input x.json -o y.proof")
        .expect(5);
    assert_eq!((fixture.left(), fixture.proofs()), (0, 1));
}

#[test]
fn nothing_is_written_while_the_count_waits() {
    let fixture = fixture(1);
    let holder = File::open(fixture.path("k/model.pk")).expect("the key");
    holder.lock().expect("it locks");
    let mut child = fixture.spawn("x.proof");
    // Long enough for the proof many times over.
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.try_wait().expect("a state").is_none(), "it waits");
    kill(child);
    assert_eq!((fixture.left(), fixture.proofs()), (1, 0));
    // A killed process holds no lock.
    holder.unlock().expect("it unlocks");
    fixture
        .run("prove k/model.pk --input x.json -o x.proof")
        .expect(0);
    assert_eq!((fixture.left(), fixture.proofs()), (0, 1));
}

#[test]
fn killed_anywhere_there_are_never_more_proofs_than_were_counted() {
    const PROOFS: u32 = 40;
    let fixture = fixture(PROOFS);
    let start = Instant::now();
    assert!(
        fixture
            .spawn("first.proof")
            .wait()
            .expect("it ends")
            .success()
    );
    let whole = start.elapsed();
    let mut spent = 1;
    // Delays spread over a whole run and a bit more, in an order that looks like none.
    for i in 0..PROOFS {
        let child = fixture.spawn(&format!("{i}.proof"));
        std::thread::sleep(whole * (i * 17 % PROOFS) / (PROOFS - 5));
        kill(child);
        let now = u64::from(PROOFS) - fixture.left();
        assert!(now >= spent, "the count went back from {spent} to {now}");
        spent = now;
        let proofs = fixture.proofs();
        assert!(proofs <= spent, "{proofs} proofs, {spent} counted");
    }
    assert!(spent < u64::from(PROOFS), "none was killed early");
    // The rest of the budget can still be spent, and no more.
    for i in 0..fixture.left() {
        let prove = format!("prove k/model.pk --input x.json -o rest{i}.proof");
        fixture.run(&prove).expect(0);
    }
    fixture
        .run("prove k/model.pk --input x.json -o more.proof")
        .expect(5);
    assert!(fixture.proofs() <= u64::from(PROOFS));
    fixture.accepts("first.proof");
}

#[test]
fn processes_that_share_a_key_spend_every_unit_once() {
    const PROOFS: u32 = 12;
    let fixture = fixture(PROOFS);
    let prove = |process: u32| {
        let mut made: u32 = 0;
        loop {
            let args = format!("prove k/model.pk --input x.json -o {process}-{made}.proof");
            let run = fixture.run(&args);
            if run.code != 0 {
                run.expect(5).says("provenn rekey");
                return made;
            }
            made += 1;
        }
    };
    let made: Vec<u32> = std::thread::scope(|scope| {
        let processes: Vec<_> = (0..4).map(|p| scope.spawn(move || prove(p))).collect();
        let made = processes.into_iter().map(|p| p.join().expect("no panic"));
        made.collect()
    });
    assert_eq!(made.iter().sum::<u32>(), PROOFS, "{made:?}");
    assert_eq!((fixture.left(), fixture.proofs()), (0, u64::from(PROOFS)));
}

/// All of them have made their proof and been told by the key they loaded that it is one of two; the
/// file decides which two leave.
#[test]
fn processes_that_count_at_the_same_moment_spend_every_unit_once() {
    let fixture = fixture(2);
    let holder = File::open(fixture.path("k/model.pk")).expect("the key");
    holder.lock().expect("it locks");
    let mut waiting: Vec<Child> = (0..5)
        .map(|i| fixture.spawn(&format!("{i}.proof")))
        .collect();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(fixture.proofs(), 0);
    holder.unlock().expect("it unlocks");
    let ends = waiting
        .iter_mut()
        .map(|c| c.wait().expect("it ends").code());
    let mut codes: Vec<_> = ends.collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 5, 5, 5].map(Some));
    assert_eq!((fixture.left(), fixture.proofs()), (0, 2));
}

#[test]
fn a_key_that_cannot_be_counted_in_makes_no_proof() {
    let fixture = fixture(2);
    let key = std::fs::read(fixture.path("k/model.pk")).expect("the key");
    for damaged in [
        [&key[..key.len() - 1], &[2]].concat(),
        [&key[..key.len() - 1], &[1]].concat(),
        key[..key.len() - 1].to_vec(),
    ] {
        std::fs::write(fixture.path("k/model.pk"), &damaged).expect("written");
        fixture
            .run("prove k/model.pk --input x.json -o x.proof")
            .expect(4)
            .says("k/model.pk");
        fixture.run("inspect k/model.pk").expect(4);
    }
    assert_eq!(fixture.proofs(), 0);
}

#[test]
fn rejects_options_that_do_not_go_together() {
    let fixture = Fixture::empty(&testdata().join("models/adult-income-mlp"));
    let onnx = fixture.model.join("model.onnx");
    let setup = |options: &str| {
        let args = format!("setup {{}} {options} -o never");
        support::provenn(fixture.dir.path(), &args, &[&onnx])
    };
    setup("--weights private --no-zk").expect(2).says("--no-zk");
    setup("--proofs 5").expect(2).says("--weights private");
    setup("--weights private --proofs 0").expect(2);
    setup("--weights private --proofs 65537").expect(2);
    assert!(!fixture.path("never").exists());
}
