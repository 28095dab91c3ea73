//! Failures: a message, hints, and an exit code.

use std::path::Path;

use model::data::DataError;
use model::{ImportError, QuantError};
use prover::key::ProvingKeyError;
use prover::{LedgerError, ProveError, SetupError};
use serde_json::json;
use verifier::codec::CodecError;
use verifier::rekey::RekeyError;
use verifier::{AttestError, KeyError, VerifyError};

use crate::report::printable;

/// Exit codes; the help page lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The proof is rejected.
    Rejected = 1,
    /// Usage, reading or writing.
    Usage = 2,
    /// The model is not supported.
    Unsupported = 3,
    /// A file is malformed.
    Malformed = 4,
    /// A limit is exceeded.
    Limit = 5,
    /// Our bug.
    Bug = 101,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Usage => "usage",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Bug => "bug",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened, naming the file.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure without hints.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts a file's name in front.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.message = format!("{}: {}", path.display(), self.message);
        self
    }

    /// Prints the failure: text on standard error, or a JSON object on standard output.
    pub fn print(&self, json: bool) {
        if json {
            let object = json!({
                "schema": "provenn.error", "version": 1, "ok": false,
                "error": self.code.name(), "exit_code": self.code as u8,
                "message": self.message, "hints": self.hints,
            });
            println!("{object}");
            return;
        }
        eprintln!("error: {}", printable(&self.message));
        for hint in &self.hints {
            eprintln!("hint: {}", printable(hint));
        }
    }
}

impl From<ImportError> for Failure {
    fn from(e: ImportError) -> Self {
        let code = match &e {
            ImportError::Io { .. } => Code::Usage,
            ImportError::TooLarge { .. } => Code::Limit,
            ImportError::Malformed { .. } | ImportError::NotFinite { .. } => Code::Malformed,
            ImportError::Tensor { .. } => Code::Malformed,
            ImportError::Disagreement { .. } => Code::Bug,
            _ => Code::Unsupported,
        };
        let failure = Self::new(code, e.to_string());
        match e {
            ImportError::Unsupported { .. } => {
                failure.hint("`provenn operators` lists what is supported")
            }
            ImportError::Input { .. } => failure.hint("bind open dimensions with --shape NAME=1x…"),
            _ => failure,
        }
    }
}

impl From<QuantError> for Failure {
    fn from(e: QuantError) -> Self {
        let code = match &e {
            QuantError::Unsound { .. } => Code::Bug,
            QuantError::Layer { .. } => Code::Unsupported,
            _ => Code::Usage,
        };
        Self::new(code, e.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        let code = match &e {
            DataError::TooLarge { .. } => Code::Limit,
            _ => Code::Usage,
        };
        Self::new(code, e.to_string())
    }
}

impl From<CodecError> for Failure {
    fn from(e: CodecError) -> Self {
        let failure = Self::new(Code::Malformed, e.to_string());
        match e {
            CodecError::Version { .. } => {
                failure.hint("make the file again with this version, or use the one that made it")
            }
            _ => failure,
        }
    }
}

impl From<KeyError> for Failure {
    fn from(e: KeyError) -> Self {
        Self::new(Code::Malformed, e.to_string())
    }
}

impl From<SetupError> for Failure {
    fn from(e: SetupError) -> Self {
        let code = match &e {
            SetupError::Key(KeyError::Layout(_)) => Code::Limit,
            SetupError::Degree { .. } | SetupError::Commit(_) => Code::Bug,
            _ => Code::Unsupported,
        };
        Self::new(code, e.to_string())
    }
}

impl From<ProvingKeyError> for Failure {
    fn from(e: ProvingKeyError) -> Self {
        match e {
            ProvingKeyError::Codec(e) => e.into(),
            other => Self::new(Code::Malformed, other.to_string()),
        }
    }
}

/// What to do when a key with private weights has made all its proofs.
fn spent(failure: Failure) -> Failure {
    failure
        .hint("more proofs would disclose the weights")
        .hint("`provenn rekey` renews the key")
}

impl From<ProveError> for Failure {
    fn from(e: ProveError) -> Self {
        let message = e.to_string();
        match e {
            ProveError::NotHiding => {
                Self::new(Code::Usage, message).hint("--input-visibility public shows the input")
            }
            ProveError::Statement(_) => Self::new(Code::Usage, message),
            ProveError::Tables(_) => Self::new(Code::Limit, message),
            ProveError::Replaced => Self::new(Code::Limit, message),
            ProveError::NotAttestable { .. } => Self::new(Code::Unsupported, message),
            ProveError::PublicWeights => Self::new(Code::Usage, message),
            ProveError::BudgetSpent { .. } => spent(Self::new(Code::Limit, message)),
            _ => Self::new(Code::Bug, message),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Self {
        let message = e.to_string();
        match e {
            LedgerError::Spent { .. } => spent(Self::new(Code::Limit, message)),
            LedgerError::Replaced => Self::new(Code::Limit, message),
            LedgerError::Uncounted => Self::new(Code::Bug, message),
            LedgerError::AnotherKey => Self::new(Code::Malformed, message),
            _ => Self::new(Code::Usage, message)
                .hint("with private weights, `prove` must be able to write to the key file"),
        }
    }
}

impl From<RekeyError> for Failure {
    fn from(e: RekeyError) -> Self {
        let code = match &e {
            RekeyError::Shape(_) => Code::Malformed,
            _ => Code::Rejected,
        };
        Self::new(code, e.to_string())
    }
}

impl From<AttestError> for Failure {
    fn from(e: AttestError) -> Self {
        let message = e.to_string();
        match e {
            AttestError::Codec(e) => e.into(),
            AttestError::Proof(e) => Self {
                message,
                ..Self::from(e)
            },
            AttestError::Tables(_) => Self::new(Code::Limit, message),
            _ => Self::new(Code::Rejected, message),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(e: VerifyError) -> Self {
        let code = match &e {
            VerifyError::Shape(_) => Code::Malformed,
            _ => Code::Rejected,
        };
        Self::new(code, e.to_string())
    }
}
