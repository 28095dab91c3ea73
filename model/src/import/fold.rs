//! Constant subgraphs: a node that reads only constants is run at once, by the ONNX library, and
//! becomes a constant itself. Exporters leave many of these: transposed weights, shapes computed
//! from shapes, casts.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::{DatumType, Framework, InferenceModelExt, Tensor, TractResult, tvec};
use tract_onnx::tract_core::model::IntoRunnable;

use super::constant;
use super::error::ImportError;
use super::guard::guarded;
use super::lower::{Lowering, unsupported};

impl Lowering<'_> {
    /// The value of a node all of whose inputs are constants, with its name.
    pub(super) fn fold(&self, node: &NodeProto) -> Result<Vec<(String, TensorProto)>, ImportError> {
        if node.output.iter().skip(1).any(|name| !name.is_empty()) {
            return Err(unsupported(
                node,
                "it has more than one output, all constant",
            ));
        }
        let name = node.output.first().cloned().unwrap_or_default();
        Ok(vec![(name, self.fold_one(node)?)])
    }

    fn fold_one(&self, node: &NodeProto) -> Result<TensorProto, ImportError> {
        let mut inputs: Vec<TensorProto> = Vec::new();
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            let tensor = self.constant(node, name)?;
            if !inputs.iter().any(|t| &t.name == name) {
                let mut tensor = TensorProto::clone(&tensor);
                tensor.name.clone_from(name);
                inputs.push(tensor);
            }
        }
        if let Some(value) = node.attribute.iter().find_map(|a| a.t.as_ref()) {
            constant::check(value)?;
            if node.op_type == "Constant" {
                return Ok(value.clone());
            }
        }
        let shape = match node.op_type.as_str() {
            "ConstantOfShape" => inputs.first(),
            "Expand" => inputs.get(1),
            _ => None,
        };
        if let Some(shape) = shape {
            let dims = constant::integers(shape).unwrap_or_default();
            constant::checked_elements(&dims)
                .ok_or_else(|| unsupported(node, format!("the shape {dims:?} is not usable")))?;
        }
        if let [a, b] = inputs.as_slice() {
            // Broadcasting multiplies extents at worst.
            let elements = |t: &TensorProto| t.dims.iter().product::<i64>();
            if constant::checked_elements(&[elements(a), elements(b)]).is_none()
                && node.op_type != "MatMul"
                && a.dims != b.dims
            {
                return Err(unsupported(node, "its constants are too large to fold"));
            }
        }
        evaluate(node, inputs, self.model)
    }
}

/// Evaluates a node all of whose inputs are constants, by handing a model of this one node to the
/// ONNX library. The caller has bounded the size of the result.
fn evaluate(
    node: &NodeProto,
    inputs: Vec<TensorProto>,
    model: &ModelProto,
) -> Result<TensorProto, ImportError> {
    let name = node.output.first().cloned().unwrap_or_default();
    let graph = GraphProto {
        node: vec![node.clone()],
        initializer: inputs,
        output: vec![ValueInfoProto {
            name: name.clone(),
            ..ValueInfoProto::default()
        }],
        ..GraphProto::default()
    };
    let single = ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import.clone(),
        graph: Some(graph),
        ..ModelProto::default()
    };
    let run = || {
        let model = tract_onnx::onnx().model_for_proto_model(&single)?;
        let outputs = model.into_typed()?.into_runnable()?.run(tvec!())?;
        to_proto(&outputs[0], &name)
    };
    let failed = |reason: String| ImportError::Runtime {
        what: format!("node `{name}` ({})", node.op_type),
        reason,
    };
    let folded = guarded(run)
        .map_err(failed)?
        .map_err(|error| failed(format!("{error:#}")))?;
    constant::check(&folded)?;
    Ok(folded)
}

fn to_proto(tensor: &Tensor, name: &str) -> TractResult<TensorProto> {
    let dtype = match tensor.datum_type() {
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        DatumType::F16 => DataType::Float16,
        DatumType::Bool => DataType::Bool,
        DatumType::I32 => DataType::Int32,
        DatumType::I8 => DataType::Int8,
        DatumType::U8 => DataType::Uint8,
        _ => DataType::Int64,
    };
    let wide = if dtype == DataType::Int64 {
        tensor.cast_to::<i64>()?
    } else {
        std::borrow::Cow::Borrowed(tensor)
    };
    let mut proto = TensorProto {
        name: name.to_owned(),
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        data_type: dtype as i32,
        ..TensorProto::default()
    };
    proto.raw_data = wide.try_as_plain_ram()?.as_bytes().to_vec();
    Ok(proto)
}
