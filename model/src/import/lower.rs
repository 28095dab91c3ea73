//! The walk over the nodes: which names are constants, which depend on the inputs, and when
//! pending linear work becomes a layer.

use std::collections::HashMap;
use std::rc::Rc;

use air::graph::{Function, MAX_EXTENT, MAX_LAYERS, PostOp};
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

use super::error::ImportError;
use super::variable::{Pending, Variable, composes, identity};
use super::{ops, proto, registry};
use crate::float::{FloatGraph, FloatLayer, FloatOutput, FloatTensor, ImportedNode, Linear};

/// Widest tensor an affine map without a neighbour may become a matrix for.
const MAX_DIAGONAL: usize = 4096;
/// Most elements one tensor of the graph may have.
const MAX_TENSOR_ELEMENTS: usize = 1 << 26;

enum Value {
    Constant(Rc<TensorProto>),
    Variable(Variable),
    /// A variable that was read already, and by whom.
    Spent(String),
}

/// The state of the walk.
pub(super) struct Lowering<'a> {
    pub(super) model: &'a ModelProto,
    /// Version of the standard operator set.
    pub(super) opset: i64,
    values: HashMap<String, Value>,
    inputs: usize,
    tensors: Vec<FloatTensor>,
    layers: Vec<FloatLayer>,
}

/// Lowers the live nodes of a bound model.
pub(super) fn lower(
    model: &ModelProto,
    inputs: Vec<(String, Vec<usize>)>,
) -> Result<FloatGraph, ImportError> {
    let graph = model.graph.clone().unwrap_or_default();
    let mut lowering = Lowering::new(model, inputs)?;
    for tensor in graph.initializer {
        let name = tensor.name.clone();
        let value = Value::Constant(Rc::new(tensor));
        lowering.values.insert(name, value);
    }
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        nodes.push(ImportedNode {
            name: proto::node_name(node),
            op: proto::op_name(node),
        });
        lowering.lower_node(node)?;
    }
    let outputs = graph
        .output
        .iter()
        .map(|output| lowering.finish_output(&output.name))
        .collect::<Result<Vec<_>, _>>()?;
    lowering.check_inputs_read()?;
    Ok(FloatGraph {
        tensors: lowering.tensors,
        inputs: lowering.inputs,
        layers: lowering.layers,
        outputs,
        nodes,
    })
}

/// The error for a node that has no meaning here.
pub(super) fn unsupported(node: &NodeProto, reason: impl Into<String>) -> ImportError {
    ImportError::Unsupported {
        node: proto::node_name(node),
        op: proto::op_name(node),
        reason: reason.into(),
    }
}

impl<'a> Lowering<'a> {
    fn new(model: &'a ModelProto, inputs: Vec<(String, Vec<usize>)>) -> Result<Self, ImportError> {
        let mut lowering = Self {
            model,
            opset: proto::opset(model)?,
            values: HashMap::new(),
            inputs: inputs.len(),
            tensors: Vec::new(),
            layers: Vec::new(),
        };
        for (source, (name, shape)) in inputs.into_iter().enumerate() {
            let elements: usize = shape.iter().product();
            // Without a second dimension there is no batch.
            let positions = if shape.len() > 1 { shape[0] } else { 1 };
            let features = elements / positions;
            lowering.tensors.push(FloatTensor {
                name: name.clone(),
                shape: shape.clone(),
                features,
                positions,
            });
            let variable = Variable {
                name: name.clone(),
                shape,
                source,
                features,
                pending: Pending::Nothing,
                nodes: Vec::new(),
                is_softmax: false,
            };
            lowering.values.insert(name, Value::Variable(variable));
        }
        Ok(lowering)
    }

    fn lower_node(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        let info = proto::is_standard_domain(&node.domain)
            .then(|| registry::find(&node.op_type))
            .flatten()
            .ok_or_else(|| unsupported(node, "this operator is unknown to this version"))?;
        let allowed = |name: &str| info.attributes.contains(&name);
        if let Some(a) = node.attribute.iter().find(|a| !allowed(&a.name)) {
            let reason = format!("the attribute `{}` is not supported", a.name);
            return Err(unsupported(node, reason));
        }
        let Some(output) = node.output.first().filter(|name| !name.is_empty()) else {
            return Err(unsupported(node, "it has no output"));
        };
        let reads_variable = node.input.iter().any(|name| {
            matches!(
                self.values.get(name),
                Some(Value::Variable(_) | Value::Spent(_))
            )
        });
        let value = if node.op_type == "Shape" && reads_variable {
            Value::Constant(Rc::new(ops::shape_of(self, node)?))
        } else if reads_variable {
            if info.status == registry::Status::ConstantOnly {
                return Err(unsupported(node, "it is supported for constants only"));
            }
            let mut variable = ops::lower(self, node)?;
            self.check_extent(node, &variable)?;
            variable.name.clone_from(output);
            Value::Variable(variable)
        } else {
            Value::Constant(Rc::new(self.fold(node)?))
        };
        self.values.insert(output.clone(), value);
        Ok(())
    }

    /// The constant of this name.
    pub(super) fn constant(
        &self,
        node: &NodeProto,
        name: &str,
    ) -> Result<Rc<TensorProto>, ImportError> {
        match self.values.get(name) {
            Some(Value::Constant(tensor)) => Ok(Rc::clone(tensor)),
            Some(_) => Err(unsupported(
                node,
                format!("`{name}` must be a constant, but depends on the model's input"),
            )),
            None => Err(ImportError::Malformed {
                reason: format!(
                    "node `{}` reads `{name}`, which is not defined",
                    proto::node_name(node)
                ),
            }),
        }
    }

    /// Whether a name is a constant.
    pub(super) fn is_constant(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Constant(_)))
    }

    /// The shape of a variable, which is not thereby read.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        match self.values.get(name) {
            Some(Value::Variable(v)) => Some(&v.shape),
            _ => None,
        }
    }

    /// Takes the variable of this name: a value has one reader.
    pub(super) fn take(&mut self, node: &NodeProto, name: &str) -> Result<Variable, ImportError> {
        let variable = self.take_for(name, &format!("node `{}`", proto::node_name(node)));
        let variable = variable.map_err(|reason| unsupported(node, reason))?;
        if variable.is_softmax && !matches!(node.op_type.as_str(), "Identity" | "Dropout") {
            return Err(unsupported(
                node,
                "it follows a Softmax, which is supported at the end of a model only",
            ));
        }
        Ok(variable)
    }

    fn take_for(&mut self, name: &str, reader: &str) -> Result<Variable, String> {
        let Some(slot) = self.values.get_mut(name) else {
            return Err(format!("it reads `{name}`, which is not defined"));
        };
        match core::mem::replace(slot, Value::Spent(reader.to_owned())) {
            Value::Variable(variable) => Ok(variable),
            Value::Spent(first) => Err(format!(
                "`{name}` is read twice, by {first} and by {reader}; branches are not supported"
            )),
            Value::Constant(_) => Err(format!("`{name}` is a constant")),
        }
    }

    /// Features and positions as the value stands, after its pending work.
    pub(super) fn positions(&self, variable: &Variable) -> usize {
        self.tensors[variable.source].positions
    }

    /// Applies a linear map to a variable whose rows have the map's inputs.
    pub(super) fn push_linear(
        &mut self,
        node: &NodeProto,
        variable: &mut Variable,
        linear: Linear,
    ) -> Result<(), ImportError> {
        if let Pending::Dense { linear: first, .. } = &variable.pending
            && !composes(first, &linear)
        {
            self.materialise(node, variable, Function::Identity)?;
        }
        variable.push_linear(linear, variable.source < self.inputs);
        note(node, variable);
        Ok(())
    }

    /// An input whose rows are shorter than the batch suggests (tokens of a sequence, say) has
    /// more positions than thought. Possible only while nothing was done to it.
    pub(super) fn split_rows(&mut self, variable: &mut Variable, features: usize) -> bool {
        let tensor = &mut self.tensors[variable.source];
        let untouched = variable.source < self.inputs
            && matches!(variable.pending, Pending::Nothing)
            && tensor.len().is_multiple_of(features.max(1));
        if untouched {
            tensor.positions = tensor.len() / features;
            tensor.features = features;
            variable.features = features;
        }
        untouched
    }

    /// Turns a variable's pending work and an activation into a layer.
    pub(super) fn materialise(
        &mut self,
        node: &NodeProto,
        variable: &mut Variable,
        activation: Function,
    ) -> Result<(), ImportError> {
        let is_input = variable.source < self.inputs;
        if !matches!(variable.pending, Pending::Dense { .. }) {
            if variable.features > MAX_DIAGONAL {
                let reason = format!(
                    "it stands alone on {} features, without a linear layer to join (at most {MAX_DIAGONAL})",
                    variable.features
                );
                return Err(unsupported(node, reason));
            }
            variable.push_linear(identity(variable.features), is_input);
        }
        let pending = core::mem::replace(&mut variable.pending, Pending::Nothing);
        let Pending::Dense { scaler, linear } = pending else {
            return Err(unsupported(node, "it could not become a layer"));
        };
        let mut values = linear.weights.iter().chain(&linear.bias);
        if values.any(|w| !w.is_finite()) {
            return Err(unsupported(node, "folding its constants overflows"));
        }
        if self.layers.len() >= MAX_LAYERS {
            return Err(ImportError::TooLarge {
                what: "number of layers".to_owned(),
                got: self.layers.len() as u64 + 1,
                max: MAX_LAYERS as u64,
            });
        }
        if activation != Function::Identity || variable.nodes.is_empty() {
            note(node, variable);
        }
        let nodes = core::mem::take(&mut variable.nodes);
        let ops: Vec<&str> = nodes.iter().map(|(_, op)| op.as_str()).collect();
        let name = match activation {
            Function::Identity => variable.name.clone(),
            _ => node.output.first().cloned().unwrap_or_default(),
        };
        let output = self.tensors.len();
        self.layers.push(FloatLayer {
            name: nodes[0].0.clone(),
            ops: ops.join("+"),
            input: variable.source,
            output,
            scaler,
            linear,
            activation,
        });
        self.tensors.push(FloatTensor {
            name,
            shape: variable.shape.clone(),
            features: variable.features,
            positions: self.tensors[variable.source].positions,
        });
        variable.source = output;
        Ok(())
    }

    fn check_extent(&self, node: &NodeProto, variable: &Variable) -> Result<(), ImportError> {
        let positions = self.positions(variable);
        let max = MAX_EXTENT as usize;
        let elements = variable.features.saturating_mul(positions);
        if variable.features > max || positions > max || elements > MAX_TENSOR_ELEMENTS {
            return Err(ImportError::TooLarge {
                what: format!(
                    "elements of the result of node `{}`",
                    proto::node_name(node)
                ),
                got: elements as u64,
                max: MAX_TENSOR_ELEMENTS as u64,
            });
        }
        Ok(())
    }

    fn finish_output(&mut self, name: &str) -> Result<FloatOutput, ImportError> {
        let fail = |reason: String| ImportError::Output {
            name: name.to_owned(),
            reason,
        };
        if self.is_constant(name) {
            return Err(fail("it does not depend on the model's inputs".to_owned()));
        }
        let mut variable = self.take_for(name, "the list of outputs").map_err(fail)?;
        // What reaches an output unchanged is proved too, by a layer that is the identity.
        let is_input = variable.source < self.inputs;
        if is_input || !matches!(variable.pending, Pending::Nothing) {
            let node = NodeProto {
                name: name.to_owned(),
                output: vec![name.to_owned()],
                op_type: "Identity".to_owned(),
                ..NodeProto::default()
            };
            self.materialise(&node, &mut variable, Function::Identity)?;
        }
        let tensor = &mut self.tensors[variable.source];
        tensor.name = name.to_owned();
        tensor.shape = variable.shape;
        Ok(FloatOutput {
            tensor: variable.source,
            post: variable
                .is_softmax
                .then_some(PostOp::Softmax)
                .into_iter()
                .collect(),
        })
    }

    fn check_inputs_read(&self) -> Result<(), ImportError> {
        let unread = |t: &&FloatTensor| !matches!(self.values.get(&t.name), Some(Value::Spent(_)));
        match self.tensors[..self.inputs].iter().find(unread) {
            None => Ok(()),
            Some(tensor) => Err(ImportError::Input {
                name: tensor.name.clone(),
                reason: "no output depends on it; remove it from the model".to_owned(),
            }),
        }
    }
}

/// Remembers a node as part of the pending work.
pub(super) fn note(node: &NodeProto, variable: &mut Variable) {
    let entry = (proto::node_name(node), node.op_type.clone());
    variable.nodes.push(entry);
}
