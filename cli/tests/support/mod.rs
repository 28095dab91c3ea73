//! Running the `provenn` binary on real models.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The models that ship with the project.
pub const BUNDLED: [&str; 6] = [
    "logreg_cancer",
    "adult-income-mlp",
    "mlp2_mnist",
    "lenet5_mnist",
    "cnn264k_mnist32",
    "mnist-zoo-cntk",
];
/// Further models, tested where `PROVENN_MODELS` names their folder.
pub const ZOO: [&str; 7] = [
    "acasxu-5_9",
    "mnist-fc-256x4",
    "dense4m_mnist",
    "mnist-verivital-avgpool",
    "cifar-oval21-base",
    "cifar-resnet-2b",
    "cifar-resnet-4b",
];

pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

/// Folders of all small models there are.
pub fn models() -> Vec<PathBuf> {
    let bundled = BUNDLED.iter().map(|m| testdata().join("models").join(m));
    let zoo = std::env::var_os("PROVENN_MODELS").map(PathBuf::from);
    let zoo = zoo.iter().flat_map(|z| ZOO.iter().map(|m| z.join(m)));
    bundled.chain(zoo.filter(|p| p.is_dir())).collect()
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.stdout.trim())
            .unwrap_or_else(|e| panic!("not one JSON object ({e}): {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:?}");
        self
    }
}

/// Runs `provenn` in `dir`. Arguments are separated by blanks; `{}` stands for the next of `paths`.
pub fn provenn(dir: &Path, args: &str, paths: &[&Path]) -> Run {
    let mut paths = paths.iter();
    let args = args.split_whitespace().map(|arg| match arg {
        "{}" => paths
            .next()
            .expect("a path for every {}")
            .as_os_str()
            .to_owned(),
        other => other.into(),
    });
    let output: Output = Command::new(env!("CARGO_BIN_EXE_provenn"))
        .args(args)
        .current_dir(dir)
        .env_remove("PROVENN_MODELS")
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        code: output.status.code().expect("not killed"),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// A directory of its own with `k/model.pk`, `k/model.vk`, `x.json` and `x.proof` for a model.
pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub model: PathBuf,
}

impl Fixture {
    /// Sets up and proves, showing everything.
    pub fn proved(folder: &Path) -> Self {
        let fixture = Self::empty(folder);
        fixture.setup("k", "");
        fixture
            .run("prove k/model.pk --input x.json --input-visibility public -o x.proof")
            .expect(0);
        fixture
    }

    /// Only the input.
    pub fn empty(folder: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let fixture = Self {
            dir,
            model: folder.to_owned(),
        };
        let data = model::data::DataFile::read(folder.join("refs.npz")).expect("references");
        let input = data
            .arrays
            .iter()
            .find(|a| a.name.starts_with("in_"))
            .expect("reference inputs");
        let len: usize = input.shape[1..].iter().product();
        fixture.write_input("x.json", &input.values[..len]);
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run(&self, args: &str) -> Run {
        provenn(self.dir.path(), args, &[])
    }

    pub fn setup(&self, out: &str, options: &str) {
        let (onnx, refs) = (self.model.join("model.onnx"), self.model.join("refs.npz"));
        let args = format!("setup {{}} --calibrate {{}} {options} -o {out}");
        provenn(self.dir.path(), &args, &[&onnx, &refs]).expect(0);
    }

    pub fn input(&self) -> Vec<f64> {
        let text = std::fs::read_to_string(self.path("x.json")).expect("x.json");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let list = value["input_data"][0].as_array().expect("a list");
        list.iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    pub fn write_input(&self, name: &str, values: &[f64]) {
        let text = serde_json::json!({ "input_data": [values] }).to_string();
        std::fs::write(self.path(name), text).expect("written");
    }

    /// The names of all files directly in the directory, to see that nothing was left behind.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .expect("a directory")
            .map(|e| {
                e.expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}
