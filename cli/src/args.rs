//! Command-line arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `verify`, the proof is accepted
  1  the proof is rejected, or `check` found a violated constraint; the proof or the key is not
     about what --input, --output or --model require
  2  wrong usage, or a file cannot be read or written
  3  the model is not supported (the message names node and operator)
  4  a key, proof or model file is malformed
  5  a limit is exceeded (memory, size), or a key with private weights has made all its proofs
  101  a bug in provenn";

/// Proofs that a machine-learning model ran correctly, with no ceremony.
#[derive(Debug, Parser)]
#[command(
    name = "provenn",
    version,
    max_term_width = 100,
    before_help = "\
Examples:
  provenn prove model.onnx --input x.json             prove in one step
  provenn setup model.onnx --calibrate data.npz -o k  make keys: k/model.pk, k/model.vk
  provenn prove k/model.pk --input x.json -o x.proof  prove with them
  provenn verify --vk k/model.vk x.proof              check; needs only these two files",
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// Options every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command has.
#[derive(Debug, Args)]
pub struct Global {
    /// Print one JSON object on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Print the tree of phases with their times on standard error (-vv: every detail)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Quantise a model and make its proving and verifying key
    Setup(SetupArgs),
    /// Prove one inference
    Prove(ProveArgs),
    /// Check a proof
    Verify(VerifyArgs),
    /// Replace a key with private weights by one with a fresh budget, and prove that both have the
    /// same weights
    Rekey(RekeyArgs),
    /// The digest of an input or output, as a proof states it
    Hash(HashArgs),
    /// Run the quantised (or the original) model, without a proof
    Run(RunArgs),
    /// Compare the quantised model with the original on a data set
    Accuracy(AccuracyArgs),
    /// Check all constraints on one input, without a proof
    Check(CheckArgs),
    /// Show what is in an ONNX file, a key or a proof
    Inspect(InspectArgs),
    /// List the supported operators, as a Markdown table
    Operators,
    /// Print a shell completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory
        dir: PathBuf,
    },
}

/// How to make integers of a model.
#[derive(Clone, Debug, Args)]
pub struct QuantiseOptions {
    /// Samples to choose scales from: .npz, .npy, .json or .pb. Without them synthetic data is used
    #[arg(long, value_name = "DATA")]
    pub calibrate: Option<PathBuf>,
    /// Bits of activations, 8 to 16 [default: 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=16))]
    pub bits: Option<u32>,
    /// Largest error on the calibration data (4 samples of it, up to 256 for small models), as a share of an output's range, e.g. 0.005: as long as it is
    /// exceeded, wider and narrower activations are tried
    #[arg(long, value_name = "E", value_parser = parse_share)]
    pub target_error: Option<f64>,
    /// Shape of an input with open dimensions, e.g. `x=1x784`
    #[arg(long, value_name = "NAME=SHAPE", value_parser = parse_shape)]
    pub shape: Vec<(String, Vec<usize>)>,
}

impl QuantiseOptions {
    /// Whether there are any.
    pub const fn is_given(&self) -> bool {
        self.calibrate.is_some()
            || self.bits.is_some()
            || self.target_error.is_some()
            || !self.shape.is_empty()
    }
}

/// How to make integers of a model, and keys of those.
#[derive(Clone, Debug, Args)]
pub struct ModelOptions {
    /// How to make integers of it.
    #[command(flatten)]
    pub quantise: QuantiseOptions,
    /// Security profile: auto, latency, compact, throughput or p128 [default: auto]
    #[arg(long, value_name = "P", value_parser = parse_profile)]
    pub profile: Option<String>,
    /// Faster keys without zero-knowledge: input and output must be public, nothing else is promised
    /// to stay hidden
    #[arg(long)]
    pub no_zk: bool,
    /// Refuse to use more memory than this, e.g. `4G` (default: what the machine has)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_memory: Option<u64>,
}

/// Whether a proof shows a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Visible {
    /// Its values are in the proof file
    Public,
    /// Nobody learns more than its shape and range
    Private,
    /// A digest of it is in the proof file, and proved
    Hashed,
}

/// Which hash function digests are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HashName {
    /// SHA-256 of the integers' bytes: what `sha256sum` prints
    Sha256,
    /// Poseidon2 over BabyBear: faster to prove, for software that knows it
    Poseidon2,
}

/// How much a proof says of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// All values.
    All,
    /// Nothing.
    None,
    /// Which so many are the largest.
    Largest(u32),
}

/// Who may know the weights of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// Anyone: proofs show rows of them, and the verifying key can be recomputed from the ONNX file
    Public,
    /// Nobody, for as many proofs as --proofs says; shapes, scales and bounds are in the verifying key
    Private,
}

/// Arguments of `setup`.
#[derive(Debug, Args)]
#[command(
    before_help = "\
Examples:
  provenn setup model.onnx --calibrate samples.npz -o keys
  provenn setup model.onnx --shape x=1x29 --bits 14 --profile p128 -o keys
  provenn setup model.onnx --calibrate samples.npz --weights private --proofs 500 --attest -o keys",
    after_help = "\
With private weights, model.pk is secret and counts its proofs: `prove` writes one down before the
proof leaves. Keep one copy, on a local disk. A copy, or a file put back from a backup, does not
know of proofs made since, and more proofs than --proofs disclose the weights."
)]
pub struct SetupArgs {
    /// The ONNX model
    pub model: PathBuf,
    /// How to quantise and prove it
    #[command(flatten)]
    pub options: ModelOptions,
    /// Who may know the weights
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Weights::Public)]
    pub weights: Weights,
    /// With private weights: how many proofs the key is good for, 1 to 65536. More make larger
    /// tables and slower proofs [default: 100]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(verifier::key::MAX_PROOFS)))]
    pub proofs: Option<u32>,
    /// Also prove, once, that the weights are integers that overflow no layer, whatever the input: then
    /// nobody need trust the key's maker for that. `verify` checks it. It opens private weights as a
    /// proof does: the key is made good for one more
    #[arg(long)]
    pub attest: bool,
    /// Directory for `model.pk` and `model.vk`, and for `model.attest`
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

/// Arguments of `prove`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn prove model.onnx --input x.json
  provenn prove keys/model.pk --input x.npy -o x.proof
  provenn prove keys/model.pk --input x.json --input-visibility public
  provenn prove keys/model.pk --input x.json --output-visibility private --json
  provenn prove keys/model.pk --input x.json --input-visibility hashed --reveal argmax
  provenn prove keys/model.pk --input x.json --bounds 0..255")]
pub struct ProveArgs {
    /// A proving key, or an ONNX model to set up on the fly
    pub model: PathBuf,
    /// The input: .json, .npy, .npz or .pb
    #[arg(short, long, value_name = "DATA")]
    pub input: PathBuf,
    /// Whether the proof shows the input
    #[arg(long, value_name = "V", value_enum, default_value_t = Visible::Private)]
    pub input_visibility: Visible,
    /// Whether the proof shows the output [default: public]
    #[arg(long, value_name = "V", value_enum)]
    pub output_visibility: Option<Visible>,
    /// What to reveal of the output: all, none, argmax (which is largest) or topk:K (which K are,
    /// not their order). Less than `all` hides the values
    #[arg(long, value_name = "WHAT", value_parser = parse_reveal)]
    pub reveal: Option<Reveal>,
    /// Prove that every feature of a hidden input lies in an interval: LO..HI, NAME=LO..HI, or a JSON
    /// file {"NAME": [[lo, hi] or null for each feature]}
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    pub bounds: Vec<String>,
    /// With hashed tensors: the hash function
    #[arg(long, value_name = "H", value_enum, default_value_t = HashName::Sha256)]
    pub hash: HashName,
    /// With hashed tensors: a file with salts, made if there is none (default: fresh salts, written
    /// to the proof's name with `.salt`). Keep it: who has tensor and salt can show what was hashed
    #[arg(long, value_name = "FILE", conflicts_with = "unsalted")]
    pub salt: Option<PathBuf>,
    /// With hashed tensors: no salt. Whoever can guess a tensor can confirm the guess
    #[arg(long)]
    pub unsalted: bool,
    /// Where the proof goes (default: the model's name with `.proof`)
    #[arg(short, long, value_name = "PROOF")]
    pub output: Option<PathBuf>,
    /// For an ONNX model: how to quantise and prove it
    #[command(flatten)]
    pub options: ModelOptions,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn verify --vk model.vk x.proof
  provenn verify --vk model.vk x.proof --input x.json --output y.json
  provenn verify --vk model.vk x.proof --model model.onnx --calibrate samples.npz
  provenn verify --vk model.vk model.attest
  provenn verify --vk old.vk --successor new.vk model.rekey")]
pub struct VerifyArgs {
    /// The verifying key
    #[arg(long, value_name = "VK")]
    pub vk: PathBuf,
    /// The proof, or the attestation of the key that `setup --attest` made
    pub proof: PathBuf,
    /// Check instead that this key replaces the one of --vk, with the same private weights; PROOF is
    /// what `rekey` wrote
    #[arg(long, value_name = "VK", conflicts_with_all = ["input", "output", "model"])]
    pub successor: Option<PathBuf>,
    /// Require this input (as it was given to `prove`)
    #[arg(long, value_name = "DATA")]
    pub input: Option<PathBuf>,
    /// Require this output (as `prove` printed it)
    #[arg(long, value_name = "DATA")]
    pub output: Option<PathBuf>,
    /// With --input or --output of a proof that states a salted digest: the salts
    #[arg(long, value_name = "FILE")]
    pub salt: Option<PathBuf>,
    /// Require that the verifying key is the one `setup` makes of this ONNX model, with the options
    /// below as they were given to it. Not for private weights, which nobody can compare
    #[arg(long, value_name = "ONNX")]
    pub model: Option<PathBuf>,
    /// With --model: how it was quantised
    #[command(flatten, next_help_heading = "Options for --model")]
    pub quantise: QuantiseOptions,
}

/// Arguments of `rekey`.
#[derive(Debug, Args)]
#[command(
    before_help = "\
Examples:
  provenn rekey keys/model.pk -o keys2
  provenn verify --vk keys/model.vk --successor keys2/model.vk keys2/model.rekey",
    after_help = "\
The old key is marked as replaced, on disk, before the proof is written: it proves nothing more,
proofs it had left are void. Hand out the new model.vk together with model.rekey."
)]
pub struct RekeyArgs {
    /// The proving key to replace
    pub key: PathBuf,
    /// Directory for the new `model.pk` and `model.vk`, and for `model.rekey`
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

/// Which side of a statement data belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// Inputs
    Input,
    /// Outputs
    Output,
}

/// Arguments of `hash`.
#[derive(Debug, Args)]
#[command(
    before_help = "\
Examples:
  provenn hash x.json --vk model.vk --salt x.salt       made if there is none; keep it
  provenn hash x.json --vk model.vk --unsalted --bytes x.bin && sha256sum x.bin
  provenn prove model.pk --input x.json --input-visibility hashed --salt x.salt",
    after_help = "\
The digest is of the integers the model is given, one or two bytes each, in the order
feature by feature; docs/protocol.md has the encoding. Without a salt, whoever can list
the likely data finds the right one."
)]
pub struct HashArgs {
    /// The data: .json, .npy, .npz or .pb
    pub data: PathBuf,
    /// A verifying key of the model (it has the scales)
    #[arg(long, value_name = "VK")]
    pub vk: PathBuf,
    /// Whether the data are inputs or outputs of the model
    #[arg(long, value_name = "SIDE", value_enum, default_value_t = Side::Input)]
    pub side: Side,
    /// The hash function
    #[arg(long, value_name = "H", value_enum, default_value_t = HashName::Sha256)]
    pub hash: HashName,
    /// A file with salts, made if there is none
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "unsalted",
        required_unless_present = "unsalted"
    )]
    pub salt: Option<PathBuf>,
    /// No salt
    #[arg(long)]
    pub unsalted: bool,
    /// Also write the bytes that are hashed, salt first (SHA-256, and models with one tensor on
    /// that side)
    #[arg(long, value_name = "FILE")]
    pub bytes: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn run keys/model.pk --input x.json
  provenn run model.onnx --input x.json --float")]
pub struct RunArgs {
    /// A proving key or an ONNX model
    pub model: PathBuf,
    /// The input
    #[arg(short, long, value_name = "DATA")]
    pub input: PathBuf,
    /// Run the original model in floating point (ONNX only)
    #[arg(long)]
    pub float: bool,
    /// For an ONNX model: how to quantise it
    #[command(flatten)]
    pub options: ModelOptions,
}

/// Arguments of `accuracy`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn accuracy model.onnx --data test.npz
  provenn accuracy model.onnx --calibrate train.npz --data test.npz --limit 1000")]
pub struct AccuracyArgs {
    /// The ONNX model
    pub model: PathBuf,
    /// An .npz file: `x` holds samples, `y` (optional) their labels
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Use only the first N samples
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How to quantise the model. Without --calibrate, some of DATA's own samples are used
    #[command(flatten)]
    pub options: ModelOptions,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn check model.onnx --input x.json
  provenn check keys/model.pk --input x.json")]
pub struct CheckArgs {
    /// A proving key or an ONNX model
    pub model: PathBuf,
    /// The input
    #[arg(short, long, value_name = "DATA")]
    pub input: PathBuf,
    /// For an ONNX model: how to quantise it
    #[command(flatten)]
    pub options: ModelOptions,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(before_help = "\
Examples:
  provenn inspect model.onnx
  provenn inspect keys/model.vk
  provenn inspect x.proof")]
pub struct InspectArgs {
    /// An ONNX model, a proving key, a verifying key or a proof
    pub file: PathBuf,
    /// For an ONNX model or a proving key: prove twice, show the second time and the peak memory beside
    /// the prediction
    #[arg(long)]
    pub measure: bool,
    /// For an ONNX model: how to quantise it
    #[command(flatten)]
    pub options: ModelOptions,
}

fn parse_reveal(text: &str) -> Result<Reveal, String> {
    let expected = || "expected all, none, argmax or topk:K".to_owned();
    match (text, text.strip_prefix("topk:")) {
        ("all", _) => Ok(Reveal::All),
        ("none", _) => Ok(Reveal::None),
        ("argmax", _) => Ok(Reveal::Largest(1)),
        (_, Some(count)) => match count.parse() {
            Ok(count @ 1..) => Ok(Reveal::Largest(count)),
            _ => Err(expected()),
        },
        _ => Err(expected()),
    }
}

fn parse_profile(text: &str) -> Result<String, String> {
    if text == "auto" || verifier::Profile::by_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = verifier::Profile::ALL.iter().map(|p| p.name).collect();
    Err(format!("expected auto, {}", names.join(", ")))
}

fn parse_shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let expected = || "expected NAME=SHAPE, e.g. x=1x784".to_owned();
    let (name, shape) = text.rsplit_once('=').ok_or_else(expected)?;
    let dims = shape
        .split('x')
        .map(|d| d.parse().ok().filter(|&d: &usize| d > 0))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(expected)?;
    Ok((name.to_owned(), dims))
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|e: &f64| *e > 0.0 && *e <= 1.0)
        .ok_or_else(|| "expected a number above 0 and at most 1, such as 0.005".into())
}

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err("expected a size such as 500M or 4G".into()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << unit))
        .ok_or_else(|| "expected a size such as 500M or 4G".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn accepts_its_own_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn accepts_shapes_and_sizes() {
        assert_eq!(parse_shape("x=1x784"), Ok(("x".into(), vec![1, 784])));
        assert_eq!(parse_shape("a=b=2"), Ok(("a=b".into(), vec![2])));
        assert_eq!(parse_reveal("topk:3"), Ok(Reveal::Largest(3)));
        assert!(parse_reveal("topk:0").is_err() && parse_reveal("best").is_err());
        assert!(parse_shape("x=").is_err() && parse_shape("x=0").is_err());
        assert_eq!(parse_size("4G"), Ok(4 << 30));
        assert!(parse_size("lots").is_err());
    }
}
