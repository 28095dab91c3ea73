//! # The budget of private weights
//!
//! Every proof shows a few evaluations of the columns that private weights are committed in. The
//! mask of the commitment covers those of a number of proofs that setup fixes
//! ([`Privacy::DataAndWeights`]); one proof more, and the evaluations begin to determine weights.
//! So proofs are counted, twice:
//!
//! - *in memory*: [`Prover::prove`] refuses when the count it was loaded with and its own proofs
//!   together reach the budget. This is for a program that sets up, proves and forgets the key.
//! - *in the key's file*: [`Ledger::spend`] writes the unit down, on disk, before it returns. This is
//!   for keys that outlive a process, or that several processes share.
//!
//! ```text
//!   Prover::from_bytes(read(path)) ──▶ Ledger::open(path, &prover)
//!        prove ──▶ verify in memory ──▶ ledger.spend() ──▶ only now let the proof out
//! ```
//!
//! What counts is a proof that leaves the process. Spend *before* it does: a crash in between costs a
//! unit, the other order could give a proof away for nothing.
//!
//! ## In the file
//!
//! A proving key ends in what the ledger needs, so that nothing before it is read again:
//!
//! ```text
//!   … │ 1 │ seed, 32 bytes │ number of marks, 8 bytes │ marks, one byte each
//! ```
//!
//! A mark is 1 for a unit that is spent, 0 for one that is left; ones come first. Spending sets the
//! first 0: a single byte is written in place, so no crash can leave a count between two. An
//! exclusive lock on the file (advisory on Unix: everyone must use the ledger) keeps two processes
//! from spending the same unit. The seed says that the file still holds the key that made the proof.
//!
//! ## What it cannot do
//!
//! A copy of a key has a count of its own, and a file put back from a backup has forgotten what was
//! spent since. Both give more proofs than the mask covers. Keep one copy, on a local file system.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use verifier::{Privacy, Protocol};

use crate::masks::Seed;
use crate::setup::Prover;

/// How many proofs a key with private weights is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All of them.
    pub proofs: u32,
    /// Those made.
    pub spent: u32,
}

impl Budget {
    /// Those left.
    pub const fn left(self) -> u32 {
        self.proofs.saturating_sub(self.spent)
    }
}

impl<P: Protocol> Prover<P> {
    /// What is left to prove with, as far as this process knows; `None` where weights are public and
    /// proofs need not be counted.
    pub fn budget(&self) -> Option<Budget> {
        Some(Budget {
            proofs: proofs(self.prepared.key.privacy)?,
            spent: self.spent.load(Ordering::Relaxed),
        })
    }

    /// Counts a proof about to be made. False if there is none left.
    pub(crate) fn count_proof(&self) -> bool {
        proofs(self.prepared.key.privacy).is_none_or(|proofs| {
            let next = |spent| (spent < proofs).then_some(spent + 1);
            let counted = (self.spent).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
            counted.is_ok()
        })
    }
}

/// The number of proofs a key is good for, if they are counted.
pub(crate) const fn proofs(privacy: Privacy) -> Option<u32> {
    match privacy {
        Privacy::None | Privacy::Data => None,
        Privacy::DataAndWeights { proofs } => Some(proofs),
    }
}

/// The marks of a key.
pub(crate) fn marks(privacy: Privacy, spent: &AtomicU32) -> Vec<u8> {
    let (all, spent) = (proofs(privacy).unwrap_or(0), spent.load(Ordering::Relaxed));
    (0..all).map(|unit| u8::from(unit < spent)).collect()
}

/// The number of units spent, if the marks are well-formed: ones, then zeros.
pub(crate) fn count_marks(marks: &[u8]) -> Option<u32> {
    let spent = marks.iter().take_while(|&&m| m == 1).count();
    let rest_is_zero = marks[spent..].iter().all(|&m| m == 0);
    u32::try_from(spent).ok().filter(|_| rest_is_zero)
}

/// Why a unit could not be spent. No proof made with the key may then leave the process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The key's weights are public: its proofs are not counted.
    #[error("proofs with public weights are not counted")]
    Uncounted,
    /// Every unit is spent.
    #[error("all {proofs} proofs this key is good for have been made")]
    Spent {
        /// How many that is.
        proofs: u32,
    },
    /// The file does not hold the prover's key, or its marks are damaged.
    #[error("the file does not hold the key the proof was made with, or its count is damaged")]
    AnotherKey,
    /// There are fewer marks than before.
    #[error("the file says {got} proofs were made, but it has been {seen}: it was put back")]
    WentBack {
        /// Units spent, as seen before.
        seen: u32,
        /// Units spent, according to the file.
        got: u32,
    },
    /// The file cannot be read, written, locked or flushed.
    #[error("cannot record the proof in the key file: {0}")]
    Io(#[from] std::io::Error),
}

/// The count of proofs in the file of a proving key. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    file: File,
    seed: Seed,
    proofs: u32,
    /// Units this ledger knows to be spent.
    seen: u32,
}

impl Ledger {
    /// Opens the file a prover was loaded from, for reading and writing.
    pub fn open<P: Protocol>(path: &Path, prover: &Prover<P>) -> Result<Self, LedgerError> {
        // Asked first: a key with public weights may well lie in a file nobody can write to.
        prover.budget().ok_or(LedgerError::Uncounted)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::from_file(file, prover)
    }

    /// The same with a file that is open already.
    pub fn from_file<P: Protocol>(file: File, prover: &Prover<P>) -> Result<Self, LedgerError> {
        let (Some(budget), Some(seed)) = (prover.budget(), prover.seed) else {
            return Err(LedgerError::Uncounted);
        };
        let mut ledger = Self {
            file,
            seed,
            proofs: budget.proofs,
            seen: 0,
        };
        ledger.seen = ledger.locked(Self::read)?;
        Ok(ledger)
    }

    /// Spends a unit: when this returns, it is on disk. Proofs must not be shown to anyone before.
    pub fn spend(&mut self) -> Result<Budget, LedgerError> {
        let proofs = self.proofs;
        let spent = self.locked(|ledger| {
            let unit = ledger.read()?;
            if unit >= proofs {
                return Err(LedgerError::Spent { proofs });
            }
            if unit < ledger.seen {
                let (seen, got) = (ledger.seen, unit);
                return Err(LedgerError::WentBack { seen, got });
            }
            let from_end = i64::from(proofs - unit);
            ledger.file.seek(SeekFrom::End(-from_end))?;
            ledger.file.write_all(&[1])?;
            ledger.file.sync_all()?;
            Ok(unit + 1)
        })?;
        self.seen = spent;
        Ok(Budget { proofs, spent })
    }

    /// What the file says now.
    pub fn budget(&mut self) -> Result<Budget, LedgerError> {
        let spent = self.locked(Self::read)?;
        let proofs = self.proofs;
        Ok(Budget { proofs, spent })
    }

    fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        loop {
            match self.file.lock() {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                locked => break locked?,
            }
        }
        let result = work(self);
        // If it fails, closing the file gives the lock up.
        let _ = self.file.unlock();
        result
    }

    /// Reads the end of the file: the number of units spent.
    fn read(&mut self) -> Result<u32, LedgerError> {
        let mut expected = vec![1];
        expected.extend(self.seed);
        expected.extend(u64::from(self.proofs).to_le_bytes());
        let len = expected.len() + self.proofs as usize;
        let from_end = i64::try_from(len).map_err(|_| LedgerError::AnotherKey)?;
        if self.file.metadata()?.len() < len as u64 {
            return Err(LedgerError::AnotherKey);
        }
        self.file.seek(SeekFrom::End(-from_end))?;
        let mut end = Vec::with_capacity(len);
        (&self.file).take(len as u64).read_to_end(&mut end)?;
        let marks = end.strip_prefix(expected.as_slice());
        marks
            .filter(|marks| marks.len() == self.proofs as usize)
            .and_then(count_marks)
            .ok_or(LedgerError::AnotherKey)
    }
}
