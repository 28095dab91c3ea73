//! # The budget of private weights
//!
//! Every proof shows a few evaluations of the columns that private weights are committed in. The
//! mask of the commitment covers those of a number of proofs that setup fixes
//! ([`Privacy::DataAndWeights`]) and of two rekey proofs; beyond that the evaluations begin to
//! determine weights. So proofs are counted, twice:
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
//! The first mark is 1 once the key is replaced by another ([`Ledger::replace`]): then it is good for
//! nothing more. Each of the others is 1 for a unit that is spent, 0 for one that is left; ones come
//! first. Spending sets the first 0: a single byte is written in place, so no crash can leave a count between two. An
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
use std::sync::atomic::Ordering;

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
    /// Whether the key was replaced by another, which makes those left void.
    pub replaced: bool,
}

impl Budget {
    /// Those left.
    pub const fn left(self) -> u32 {
        if self.replaced {
            return 0;
        }
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
            replaced: self.replaced,
        })
    }

    /// Counts a proof about to be made. False if there is none left.
    pub(crate) fn count_proof(&self) -> bool {
        proofs(self.prepared.key.privacy).is_none_or(|proofs| {
            let next = |spent| (spent < proofs && !self.replaced).then_some(spent + 1);
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

/// The marks of a key: whether it was replaced, then its units.
pub(crate) fn marks(budget: Option<Budget>) -> Vec<u8> {
    budget.map_or(Vec::new(), |budget| {
        let units = (0..budget.proofs).map(|unit| unit < budget.spent);
        let marks = core::iter::once(budget.replaced).chain(units);
        marks.map(u8::from).collect()
    })
}

/// The budget that marks say, if they are well-formed.
pub(crate) fn read_marks(marks: &[u8], proofs: u32) -> Option<Budget> {
    let (&replaced, units) = marks.split_first()?;
    let spent = units.iter().take_while(|&&m| m == 1).count();
    let rest_is_zero = units[spent..].iter().all(|&m| m == 0);
    let sound = replaced <= 1 && rest_is_zero && units.len() == proofs as usize;
    sound.then_some(Budget {
        proofs,
        spent: spent as u32,
        replaced: replaced == 1,
    })
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
    /// The key was replaced by another.
    #[error("this key was replaced by another")]
    Replaced,
    /// The file does not hold the prover's key, or its marks are damaged.
    #[error("the file does not hold the key the proof was made with, or its count is damaged")]
    AnotherKey,
    /// The file cannot be read, written, locked or flushed.
    #[error("cannot count the proof in the key file: {0}")]
    Io(#[from] std::io::Error),
}

/// The count of proofs in the file of a proving key. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    file: File,
    /// What the end of the file starts with.
    head: Vec<u8>,
    proofs: u32,
}

impl Ledger {
    /// Opens the file a prover was loaded from, for reading and writing.
    pub fn open<P: Protocol>(path: &Path, prover: &Prover<P>) -> Result<Self, LedgerError> {
        let (Some(budget), Some(seed)) = (prover.budget(), prover.seed) else {
            return Err(LedgerError::Uncounted);
        };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self::new(file, seed, budget.proofs))
    }

    fn new(file: File, seed: Seed, proofs: u32) -> Self {
        let mut head = vec![1];
        head.extend(seed);
        head.extend((u64::from(proofs) + 1).to_le_bytes());
        Self { file, head, proofs }
    }

    /// Spends a unit: when this returns, it is on disk. Show the proof to nobody before.
    pub fn spend(&mut self) -> Result<Budget, LedgerError> {
        self.locked(|ledger, budget| {
            let proofs = budget.proofs;
            if budget.spent >= proofs {
                return Err(LedgerError::Spent { proofs });
            }
            ledger.mark(i64::from(proofs - budget.spent))?;
            Ok(Budget {
                spent: budget.spent + 1,
                ..budget
            })
        })
    }

    /// Writes down that the key is replaced: when this returns, it is on disk, and neither a proof nor
    /// another rekey proof can be made with the file. Show the rekey proof to nobody before.
    pub fn replace(&mut self) -> Result<(), LedgerError> {
        self.locked(|ledger, budget| Ok(ledger.mark(i64::from(budget.proofs) + 1)?))
    }

    /// Does something with the budget that is left while no other process can.
    fn locked<T>(
        &mut self,
        f: impl FnOnce(&mut Self, Budget) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.lock()?;
        let done = self.read().and_then(|budget| match budget.replaced {
            true => Err(LedgerError::Replaced),
            false => f(self, budget),
        });
        // If this fails, closing the file gives the lock up.
        let _ = self.file.unlock();
        done
    }

    /// Sets the mark that lies `from_end` bytes before the end of the file, and flushes it to disk.
    fn mark(&mut self, from_end: i64) -> std::io::Result<()> {
        self.file.seek(SeekFrom::End(-from_end))?;
        self.file.write_all(&[1])?;
        self.file.sync_all()
    }

    fn lock(&self) -> std::io::Result<()> {
        loop {
            match self.file.lock() {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                locked => return locked,
            }
        }
    }

    /// Reads the end of the file.
    fn read(&mut self) -> Result<Budget, LedgerError> {
        let len = (self.head.len() + 1 + self.proofs as usize) as u64;
        let start = self.file.metadata()?.len().checked_sub(len);
        let start = start.ok_or(LedgerError::AnotherKey)?;
        self.file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        (&self.file).take(len).read_to_end(&mut end)?;
        end.strip_prefix(self.head.as_slice())
            .and_then(|marks| read_marks(marks, self.proofs))
            .ok_or(LedgerError::AnotherKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_cannot_be_written_down_is_not_spent() {
        let path = tempfile::NamedTempFile::new().expect("a temporary file");
        let seed = [7; 32];
        let mut writable = Ledger::new(path.reopen().expect("it opens"), seed, 2);
        let bytes = [writable.head.as_slice(), &[0, 0, 0]].concat();
        std::fs::write(&path, &bytes).expect("written");
        let mut readable = Ledger::new(File::open(&path).expect("it opens"), seed, 2);
        let error = readable.spend();
        assert!(matches!(error, Err(LedgerError::Io(_))), "{error:?}");
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
        // With a file that can be written to, the same succeeds.
        assert_eq!(writable.spend().expect("a unit is left").spent, 1);
    }
}
