//! Models to test on, and a builder of small ONNX files.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

use model::data::{DataFile, float_inputs};
use model::{FloatGraph, FloatRunner, ImportOptions, Sample};

pub mod agree;
pub mod onnx;

/// Models every checkout has.
pub const BUNDLED: [&str; 3] = ["logreg_cancer", "adult-income-mlp", "mlp2_mnist"];
/// Further models of the zoo, where it is present.
pub const ZOO: [&str; 3] = ["acasxu-5_9", "mnist-fc-256x4", "dense4m_mnist"];

/// A model with its reference data.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub graph: FloatGraph,
    pub runner: FloatRunner,
    pub data: DataFile,
    pub folder: PathBuf,
}

impl Case {
    pub fn load(folder: &Path) -> Self {
        Self::try_load(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    }

    /// Loads a model and its data. Inputs get the shapes of the references.
    pub fn try_load(folder: &Path) -> Result<Self, String> {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
        let data = DataFile::read(folder.join("refs.npz")).map_err(|e| e.to_string())?;
        let bound = |a: &model::data::Array| {
            let input = a.name.strip_prefix("in_")?;
            Some((input.to_owned(), a.shape[1..].to_vec()))
        };
        let options = ImportOptions {
            shapes: data.arrays.iter().filter_map(bound).collect(),
        };
        let (graph, runner) =
            model::import_with_reference(&bytes, &options).map_err(|e| e.to_string())?;
        Ok(Self {
            graph,
            runner,
            data,
            folder: folder.to_owned(),
            bytes,
            name,
        })
    }

    /// The reference samples `in_…`, without labels.
    pub fn reference_samples(&self) -> Vec<Sample> {
        let mut data = self.data.clone();
        data.arrays.retain(|a| a.name.starts_with("in_"));
        data.samples(&float_inputs(&self.graph)).expect(&self.name)
    }

    /// The evaluation samples `x`, if there are any.
    pub fn evaluation_samples(&self) -> Option<Vec<Sample>> {
        let mut data = self.data.clone();
        data.arrays.retain(|a| a.name == "x");
        (!data.arrays.is_empty())
            .then(|| data.samples(&float_inputs(&self.graph)).expect(&self.name))
    }

    /// The reference outputs `out_…`, each flat over all samples, in the order of the model.
    pub fn all_reference_outputs(&self) -> Vec<Option<Vec<f64>>> {
        let one = |&o: &usize| {
            let name = format!("out_{}", self.graph.tensors[o].name);
            let array = self.data.arrays.iter().find(|a| a.name == name);
            array.map(|a| a.values.clone())
        };
        self.graph.outputs.iter().map(one).collect()
    }

    /// The reference outputs `out_…`, flat, in the order of the file.
    pub fn reference_outputs(&self) -> Vec<f64> {
        let output = |a: &&model::data::Array| a.name.starts_with("out_");
        let arrays: Vec<_> = self.data.arrays.iter().filter(output).collect();
        assert_eq!(arrays.len(), 1, "{}: one output expected", self.name);
        arrays[0].values.clone()
    }
}

/// The bundled models.
pub fn bundled() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models");
    BUNDLED.iter().map(|n| Case::load(&root.join(n))).collect()
}

/// Further models, where `PROVENN_MODELS` names a folder of them.
pub fn zoo() -> Option<PathBuf> {
    let root = std::env::var_os("PROVENN_MODELS").map(PathBuf::from)?;
    assert!(root.is_dir(), "PROVENN_MODELS is not a folder");
    Some(root)
}

/// Every dense model there is.
pub fn dense_models() -> Vec<Case> {
    let mut cases = bundled();
    if let Some(root) = zoo() {
        let present = ZOO.iter().map(|n| root.join(n)).filter(|p| p.is_dir());
        cases.extend(present.map(|p| Case::load(&p)));
    }
    cases
}
