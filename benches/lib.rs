//! What the benchmarks share: real models, ready to prove.

use std::path::{Path, PathBuf};

use model::data::DataFile;
use model::{ImportOptions, QuantOptions};
use prover::Prover;
use verifier::{BabyBearKeccak, Privacy, Profile};

/// The protocol measured.
pub type P = BabyBearKeccak<5>;

/// A model with one quantised input.
#[derive(Debug)]
pub struct Case {
    /// Name of its folder.
    pub name: String,
    /// The prover, set up.
    pub prover: Prover<P>,
    /// An input.
    pub input: Vec<Vec<i32>>,
}

/// The folder of models that ship with the project.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models")
}

/// Folders to look for models in: the shipped ones, and `PROVENN_MODELS` if it is set.
pub fn folders() -> Vec<PathBuf> {
    let extra = std::env::var_os("PROVENN_MODELS").map(PathBuf::from);
    std::iter::once(shipped()).chain(extra).collect()
}

/// Sets a model up with activations of `bits` bits, calibrated on its reference inputs. `None` if no
/// folder has it.
///
/// # Panics
///
/// If a file is there and cannot be used: a benchmark of nothing would be worse.
pub fn case(name: &str, profile: &Profile, privacy: Privacy, bits: u32) -> Option<Case> {
    let folder = folders()
        .into_iter()
        .map(|f| f.join(name))
        .find(|f| f.is_dir())?;
    let graph = model::import_path(folder.join("model.onnx"), &ImportOptions::default())
        .expect("the model imports");
    let inputs = model::data::float_inputs(&graph);
    let samples = DataFile::read(folder.join("refs.npz"))
        .and_then(|data| data.samples(&inputs))
        .expect("the reference inputs can be read");
    let options = QuantOptions {
        bits,
        ..QuantOptions::default()
    };
    let (model, _) =
        model::quantise(&graph, Some(&samples), &options).expect("the model quantises");
    let input =
        model::accuracy::quantise_inputs(&model.graph, &samples[0]).expect("the input quantises");
    let prover = Prover::new(model, profile, privacy).expect("the model sets up");
    Some(Case {
        name: name.to_owned(),
        prover,
        input,
    })
}
