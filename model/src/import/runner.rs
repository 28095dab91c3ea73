//! The ONNX file itself, run in floating point by `tract`: the reference everything is measured
//! against.

use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceModelExt, Tensor, TractResult, TypedRunnableModel,
};
use tract_onnx::tract_core::model::IntoRunnable;

use super::error::ImportError;
use super::guard::guarded;
use crate::Sample;

/// Runs an ONNX model with bound shapes.
pub struct FloatRunner {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(Vec<usize>, DatumType)>,
}

impl std::fmt::Debug for FloatRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FloatRunner")
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl FloatRunner {
    /// Prepares a model whose input shapes are all concrete.
    pub(super) fn new(proto: &ModelProto) -> Result<Self, ImportError> {
        let build = || -> TractResult<Self> {
            let model = tract_onnx::onnx()
                .model_for_proto_model(proto)?
                .into_optimized()?;
            let mut inputs = Vec::new();
            for outlet in model.input_outlets()? {
                let fact = model.outlet_fact(*outlet)?;
                let shape = fact.shape.as_concrete().unwrap_or_default();
                inputs.push((shape.to_vec(), fact.datum_type));
            }
            let plan = model.into_runnable()?;
            Ok(Self { plan, inputs })
        };
        flatten("the model", guarded(build))
    }

    /// The outputs for one sample of flat row-major inputs, flat row-major themselves.
    pub fn run(&self, sample: &Sample) -> Result<Sample, ImportError> {
        let run = || -> TractResult<Sample> {
            let mut inputs = tract_onnx::prelude::tvec!();
            for ((shape, dtype), data) in self.inputs.iter().zip(sample) {
                let tensor = Tensor::from_shape(shape, data)?;
                inputs.push(tensor.cast_to_dt(*dtype)?.into_owned().into());
            }
            let outputs = self.plan.run(inputs)?;
            let flat = |t: &Tensor| -> TractResult<Vec<f32>> {
                let t = t.cast_to::<f32>()?;
                Ok(t.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
            };
            outputs.iter().map(|t| flat(t)).collect()
        };
        flatten("the model", guarded(run))
    }
}

fn flatten<T>(what: &str, result: Result<TractResult<T>, String>) -> Result<T, ImportError> {
    let failed = |reason| ImportError::Runtime {
        what: what.to_owned(),
        reason,
    };
    result
        .map_err(failed)?
        .map_err(|error| failed(format!("{error:#}")))
}
