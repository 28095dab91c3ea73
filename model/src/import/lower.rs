//! The walk over the nodes: which names are constants, which depend on the inputs, and when pending
//! linear work becomes a layer.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use air::graph::{Axis, Combine, Function, MAX_EXTENT, MAX_LAYERS};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::compose::{compose_all, compose_dense, is_dense, merged_bias};
use super::error::ImportError;
use super::expr::Expr;
use super::layout::Layout;
use super::term::Linear;
use super::windows::Windows;
use super::{finish, fuse, ops, proto, registry, term};
use crate::float::{FloatGraph, FloatLayer, FloatTensor, FloatTerm, ImportedNode};

/// Most elements one tensor of the graph may have.
const MAX_TENSOR_ELEMENTS: usize = 1 << 26;

enum Value {
    Constant(Rc<TensorProto>),
    Variable(Expr),
}

/// Which dimensions of the inputs are channels: exporters do not say, the operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convention {
    /// The second dimension holds channels, those after it are spatial.
    ChannelsFirst,
    /// The last dimension holds channels.
    ChannelsLast,
    /// The first dimension is a batch, all others together are features.
    Flat,
    /// The last dimension holds features, all others are positions.
    Rows,
}

impl Convention {
    fn layout(self, shape: &[usize]) -> Layout {
        let rank = shape.len();
        let image: &[Axis] = match rank {
            3 => &[Axis::Width],
            4 => &[Axis::Height, Axis::Width],
            _ => &Axis::POSITION,
        };
        let batch = if rank == 5 { Axis::Width } else { Axis::Depth };
        let axis = |i: usize| match self {
            Self::ChannelsFirst if i == 1 => Axis::Feature,
            Self::ChannelsLast if i + 1 == rank => Axis::Feature,
            Self::ChannelsFirst | Self::ChannelsLast if i == 0 => batch,
            Self::ChannelsFirst => image[i - 2],
            Self::ChannelsLast => image[i - 1],
            // Without a second dimension there is no batch.
            Self::Flat if i == 0 && rank > 1 => Axis::Width,
            Self::Flat => Axis::Feature,
            Self::Rows if i + 1 == rank => Axis::Feature,
            Self::Rows => Axis::Width,
        };
        Layout::new(shape.iter().enumerate().map(|(i, &n)| (axis(i), n)))
    }

    /// The conventions worth trying, the likeliest first.
    fn candidates(graph: &GraphProto, inputs: &[(String, Vec<usize>)]) -> Vec<Self> {
        let is_image = inputs
            .iter()
            .any(|(_, shape)| (3..=5).contains(&shape.len()));
        let convolves = |n: &NodeProto| ops::is_spatial(&n.op_type);
        if is_image && graph.node.iter().any(convolves) {
            vec![
                Self::ChannelsFirst,
                Self::ChannelsLast,
                Self::Flat,
                Self::Rows,
            ]
        } else {
            vec![Self::Flat, Self::Rows]
        }
    }
}

/// The state of the walk.
pub(super) struct Lowering<'a> {
    pub(super) model: &'a ModelProto,
    /// Version of the standard operator set.
    pub(super) opset: i64,
    values: HashMap<String, Value>,
    /// How often each name is still going to be read.
    uses: HashMap<String, usize>,
    read: HashSet<String>,
    inputs: usize,
    tensors: Vec<FloatTensor>,
    layouts: Vec<Layout>,
    nonnegative: Vec<bool>,
    layers: Vec<FloatLayer>,
    /// Which maxima lie in the rows of what is compared.
    pub(super) windows: Windows,
}

/// Lowers the live nodes of a bound model.
pub(super) fn lower(
    model: &ModelProto,
    inputs: &[(String, Vec<usize>)],
) -> Result<FloatGraph, ImportError> {
    let graph = model.graph.clone().unwrap_or_default();
    let imported = |node: &NodeProto| ImportedNode {
        name: proto::node_name(node),
        op: proto::op_name(node),
    };
    let nodes: Vec<ImportedNode> = graph.node.iter().map(imported).collect();
    let graph = fuse::fuse(graph);
    let mut furthest: Option<(usize, ImportError)> = None;
    for convention in Convention::candidates(&graph, inputs) {
        match lower_as(model, &graph, inputs, convention, true) {
            Ok(lowered) => {
                let finish = |graph| {
                    let nodes = nodes.clone();
                    finish::finish(FloatGraph { nodes, ..graph })
                };
                let compares = lowered.layers.iter().any(|l| l.combine == Combine::Max);
                let apart = match compares {
                    true => lower_as(model, &graph, inputs, convention, false).ok(),
                    false => None,
                };
                return Ok(FloatGraph {
                    apart: apart.map(finish).transpose()?.map(Box::new),
                    ..finish(lowered)?
                });
            }
            Err((at, error)) => {
                if furthest.as_ref().is_none_or(|(best, _)| at > *best) {
                    furthest = Some((at, error));
                }
            }
        }
    }
    Err(furthest.map_or_else(
        || ImportError::Malformed {
            reason: "the model has no inputs".to_owned(),
        },
        |(_, error)| error,
    ))
}

/// Lowers with inputs of one convention. An error comes with the number of nodes read before it.
fn lower_as(
    model: &ModelProto,
    graph: &GraphProto,
    inputs: &[(String, Vec<usize>)],
    convention: Convention,
    allows_windows: bool,
) -> Result<FloatGraph, (usize, ImportError)> {
    let mut lowering = Lowering::new(model, graph, inputs, convention).map_err(|e| (0, e))?;
    lowering.windows.are_allowed = allows_windows;
    for (i, node) in graph.node.iter().enumerate() {
        lowering.lower_node(node).map_err(|error| (i, error))?;
    }
    lowering.outputs(graph).map_err(|e| (graph.node.len(), e))
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
    fn new(
        model: &'a ModelProto,
        graph: &GraphProto,
        inputs: &[(String, Vec<usize>)],
        convention: Convention,
    ) -> Result<Self, ImportError> {
        let mut lowering = Self {
            model,
            opset: proto::opset(model)?,
            values: HashMap::new(),
            uses: HashMap::new(),
            read: HashSet::new(),
            inputs: inputs.len(),
            tensors: Vec::new(),
            layouts: Vec::new(),
            nonnegative: Vec::new(),
            layers: Vec::new(),
            windows: Windows::default(),
        };
        let readers = graph.node.iter().filter(|n| n.op_type != "Shape");
        let outputs = graph.output.iter().map(|o| &o.name);
        for name in readers.flat_map(|n| &n.input).chain(outputs) {
            *lowering.uses.entry(name.clone()).or_default() += 1;
        }
        for (index, (name, shape)) in inputs.iter().enumerate() {
            let layout = convention.layout(shape);
            lowering.add_tensor(name, &layout, false);
            let expr = Expr::tensor(name, index, layout);
            lowering.values.insert(name.clone(), Value::Variable(expr));
        }
        for tensor in &graph.initializer {
            let value = Value::Constant(Rc::new(tensor.clone()));
            lowering.values.insert(tensor.name.clone(), value);
        }
        Ok(lowering)
    }

    fn add_tensor(&mut self, name: &str, layout: &Layout, is_nonnegative: bool) {
        self.tensors.push(FloatTensor {
            name: name.to_owned(),
            shape: layout.shape(),
            dims: layout.digits(),
            features: layout.features(),
            extent: layout.extent(),
        });
        self.layouts.push(layout.clone());
        self.nonnegative.push(is_nonnegative);
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
        let is_variable = |name: &String| matches!(self.values.get(name), Some(Value::Variable(_)));
        let reads_variable = node.input.iter().any(is_variable);
        if node.op_type == "Shape" && reads_variable {
            let shape = Value::Constant(Rc::new(ops::shape_of(self, node)?));
            self.values.insert(output.clone(), shape);
        } else if reads_variable {
            if info.status == registry::Status::ConstantOnly {
                return Err(unsupported(node, "it is supported for constants only"));
            }
            let values = ops::lower(self, node)?;
            for (name, mut expr) in node.output.iter().zip(values) {
                self.check_extent(node, &expr)?;
                expr.name.clone_from(name);
                self.values.insert(name.clone(), Value::Variable(expr));
            }
        } else {
            for (name, value) in self.fold(node)? {
                self.values.insert(name, Value::Constant(Rc::new(value)));
            }
        }
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
            Some(Value::Variable(_)) => Err(unsupported(
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
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self.values.get(name) {
            Some(Value::Variable(v)) => Some(v.shape()),
            _ => None,
        }
    }

    /// The variable of this name. Where others will read it too, costly work becomes a layer first.
    pub(super) fn read(&mut self, node: &NodeProto, name: &str) -> Result<Expr, ImportError> {
        let missing = || format!("`{name}` must depend on the model's input");
        let Some(Value::Variable(expr)) = self.values.get(name) else {
            return Err(unsupported(node, missing()));
        };
        let mut expr = expr.clone();
        self.read.insert(name.to_owned());
        let left = self.uses.entry(name.to_owned()).or_default();
        *left = left.saturating_sub(1);
        if *left > 0 && expr.is_heavy() {
            self.materialise(node, &mut expr, Function::Identity)?;
            self.values
                .insert(name.to_owned(), Value::Variable(expr.clone()));
        }
        Ok(expr)
    }

    /// Applies a sum of linear maps, each with a bias of its own features, to a value.
    pub(super) fn apply(
        &mut self,
        node: &NodeProto,
        mut expr: Expr,
        maps: &[Linear],
        bias: Vec<f64>,
        layout: Layout,
    ) -> Result<Expr, ImportError> {
        let most = air::graph::map::MAX_TAPS as usize;
        if maps.iter().any(|m| m.map.taps() > most) {
            let reason = format!("its kernel has more than {most} elements");
            return Err(unsupported(node, reason));
        }
        let mut terms = self.keep_scaler(&mut expr, maps);
        if terms.is_none() {
            terms = compose_dense(&mut expr, maps);
        }
        let is_inside = |m: &Linear| m.is_inside(expr.extent(), layout.extent());
        if terms.is_none()
            && expr.scaler.is_none()
            && (expr.has_no_bias() || maps.iter().all(is_inside))
        {
            terms = compose_all(&expr, maps);
        }
        let terms = match terms {
            Some(terms) => terms,
            None => {
                self.materialise(node, &mut expr, Function::Identity)?;
                compose_all(&expr, maps)
                    .ok_or_else(|| unsupported(node, "its geometry cannot be expressed"))?
            }
        };
        let mut sum = bias;
        if !expr.has_no_bias() {
            for map in maps {
                let constant = merged_bias(&expr, map);
                for (s, b) in sum
                    .iter_mut()
                    .zip(map.of_constant(&constant, layout.features()))
                {
                    *s += b;
                }
            }
        }
        let is_nonnegative = expr.is_nonnegative
            && sum.iter().all(|&b| b >= 0.0)
            && maps.iter().all(|m| m.values.iter().all(|&w| w >= 0.0));
        let mut out = Expr {
            layout,
            terms,
            bias: sum,
            is_nonnegative,
            ..expr
        };
        note(node, &mut out);
        Ok(out)
    }

    /// The scaling of a tabular input stays apart from the dense layer that reads it.
    fn keep_scaler(
        &self,
        expr: &mut Expr,
        maps: &[Linear],
    ) -> Option<Vec<crate::float::FloatTerm>> {
        let [map] = maps else { return None };
        let (input, affine) = expr.as_affine()?;
        let is_dense = is_dense(map) && map.map.inputs as usize == expr.features();
        let name = &self.tensors.get(input)?.name;
        let is_only_reader = self.uses.get(name).is_none_or(|&n| n == 0);
        if input >= self.inputs || affine.is_identity() || !is_dense || !is_only_reader {
            return None;
        }
        expr.scaler = Some(affine);
        expr.bias = vec![0.0; expr.features()];
        Some(vec![map.clone().read(input)])
    }

    /// `scale·x + offset` for every feature.
    pub(super) fn affine(
        &mut self,
        node: &NodeProto,
        expr: &mut Expr,
        scale: &[f64],
        offset: &[f64],
    ) -> Result<(), ImportError> {
        if !expr.affine(scale, offset) {
            self.materialise(node, expr, Function::Identity)?;
            expr.affine(scale, offset);
        }
        note(node, expr);
        Ok(())
    }

    /// Turns a value and an activation into a layer, unless it is a tensor already.
    pub(super) fn materialise(
        &mut self,
        node: &NodeProto,
        expr: &mut Expr,
        activation: Function,
    ) -> Result<(), ImportError> {
        self.push_layer(node, expr, activation, false)
    }

    /// The same for a layer whose integers are compared: all it reads have one scale, and so has it.
    pub(super) fn materialise_exactly(
        &mut self,
        node: &NodeProto,
        expr: &mut Expr,
        activation: Function,
    ) -> Result<(), ImportError> {
        self.push_layer(node, expr, activation, true)
    }

    /// The largest element that windows of some tensors have, which lie in the rows of the first; `x` is what it is
    /// taken of.
    pub(super) fn maximum(
        &mut self,
        node: &NodeProto,
        x: Expr,
        terms: Vec<FloatTerm>,
        layout: Layout,
    ) -> Result<Expr, ImportError> {
        let of = terms[0].input;
        let strides = terms[0].map.axes.map(|axis| axis.stride);
        let mut max = Expr {
            name: node.output.first().cloned().unwrap_or_default(),
            terms,
            bias: Vec::new(),
            layout,
            ..x
        };
        note(node, &mut max);
        self.push_layer(node, &mut max, Function::Identity, false)?;
        if let Some(layer) = self.layers.last_mut() {
            (layer.combine, layer.is_exact) = (Combine::Max, true);
            self.windows.add(of, strides, self.tensors.len() - 1);
        }
        Ok(max)
    }

    fn push_layer(
        &mut self,
        node: &NodeProto,
        expr: &mut Expr,
        activation: Function,
        is_exact: bool,
    ) -> Result<(), ImportError> {
        let is_tensor = expr.as_tensor().is_some_and(|t| t >= self.inputs);
        if activation == Function::Identity && is_tensor && expr.nodes.is_empty() {
            return Ok(());
        }
        let values = expr.terms.iter().flat_map(|t| &t.values);
        let bias: Vec<f32> = expr.bias.iter().map(|&b| b as f32).collect();
        if values.chain(&bias).any(|w| !w.is_finite()) {
            return Err(unsupported(node, "folding its constants overflows"));
        }
        if expr.terms.is_empty() {
            return Err(unsupported(
                node,
                "its result does not depend on the model's input",
            ));
        }
        if self.layers.len() >= MAX_LAYERS {
            return Err(ImportError::TooLarge {
                what: "number of layers".to_owned(),
                got: self.layers.len() as u64 + 1,
                max: MAX_LAYERS as u64,
            });
        }
        if activation != Function::Identity || expr.nodes.is_empty() {
            note(node, expr);
        }
        if is_exact {
            let terms = core::mem::take(&mut expr.terms);
            expr.terms = term::join_offsets(terms, expr.extent());
        }
        let nodes = core::mem::take(&mut expr.nodes);
        let ops: Vec<&str> = nodes.iter().map(|(_, op)| op.as_str()).collect();
        let name = match activation {
            Function::Identity => expr.name.clone(),
            _ => node.output.first().cloned().unwrap_or_default(),
        };
        let output = self.tensors.len();
        self.layers.push(FloatLayer {
            name: nodes[0].0.clone(),
            ops: ops.join("+"),
            terms: core::mem::take(&mut expr.terms),
            bias,
            output,
            scaler: expr.scaler.take(),
            combine: Combine::Sum,
            activation,
            is_exact,
        });
        let is_nonnegative = match activation {
            Function::Identity => expr.is_nonnegative,
            _ => activation.is_never_negative(),
        };
        self.add_tensor(&name, &expr.layout, is_nonnegative);
        *expr = Expr {
            is_nonnegative,
            ..Expr::tensor(&name, output, expr.layout.clone())
        };
        Ok(())
    }

    fn check_extent(&self, node: &NodeProto, expr: &Expr) -> Result<(), ImportError> {
        let max = MAX_EXTENT;
        let elements = expr.elements();
        let too_long = expr.extent().iter().any(|&n| n > max) || expr.features() > max as usize;
        if too_long || elements > MAX_TENSOR_ELEMENTS {
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

    fn outputs(mut self, graph: &GraphProto) -> Result<FloatGraph, ImportError> {
        let mut outputs: Vec<usize> = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            let finished = self.finish_output(&output.name, &outputs)?;
            outputs.push(finished);
        }
        let unread = |t: &&FloatTensor| !self.read.contains(&t.name);
        if let Some(tensor) = self.tensors[..self.inputs].iter().find(unread) {
            return Err(ImportError::Input {
                name: tensor.name.clone(),
                reason: "no output depends on it; remove it from the model".to_owned(),
            });
        }
        Ok(FloatGraph {
            tensors: self.tensors,
            inputs: self.inputs,
            layers: self.layers,
            outputs,
            nodes: Vec::new(),
            apart: None,
        })
    }

    fn finish_output(&mut self, name: &str, before: &[usize]) -> Result<usize, ImportError> {
        if self.is_constant(name) {
            return Err(ImportError::Output {
                name: name.to_owned(),
                reason: "it does not depend on the model's inputs".to_owned(),
            });
        }
        let node = NodeProto {
            name: name.to_owned(),
            output: vec![name.to_owned()],
            op_type: "Identity".to_owned(),
            ..NodeProto::default()
        };
        let mut expr = self.read(&node, name)?;
        // What reaches an output unchanged is proved too, by a layer that is the identity.
        if expr.as_tensor().is_some() {
            expr.nodes.clear();
        }
        // A proof has a layer that adds something up.
        let adds_up = self.layers.iter().any(|l| l.combine == Combine::Sum);
        let is_taken = |t: usize| t < self.inputs || before.contains(&t) || !adds_up;
        if expr.as_tensor().is_some_and(is_taken) {
            note(&node, &mut expr);
        }
        self.materialise(&node, &mut expr, Function::Identity)?;
        let tensor = expr.as_tensor().unwrap_or(0);
        self.tensors[tensor].name = name.to_owned();
        self.tensors[tensor].shape = expr.shape();
        self.tensors[tensor].dims = expr.layout.digits();
        Ok(tensor)
    }
}

/// Remembers a node as part of the pending work.
pub(super) fn note(node: &NodeProto, expr: &mut Expr) {
    let entry = (proto::node_name(node), node.op_type.clone());
    if expr.nodes.last() != Some(&entry) {
        expr.nodes.push(entry);
    }
}
