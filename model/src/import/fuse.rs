//! Functions of one variable that exporters take apart: `x·σ(x)`, hard-swish, GELU, `max(x, c·x)`.
//! Their nodes become the one node they stand for, before any of them is lowered.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::constant;
use super::ops::{attribute, float};

/// Who writes and reads each name.
struct Index {
    writer: HashMap<String, usize>,
    reads: HashMap<String, usize>,
    scalars: HashMap<String, f64>,
}

/// A graph in which such patterns are single nodes.
pub(super) fn fuse(mut graph: GraphProto) -> GraphProto {
    let index = Index::new(&graph);
    let mut dropped = vec![false; graph.node.len()];
    for i in 0..graph.node.len() {
        if let Some((fused, inner)) = index.pattern(&graph.node, i) {
            graph.node[i] = fused;
            inner.into_iter().for_each(|k| dropped[k] = true);
        }
    }
    let mut dropped = dropped.into_iter();
    graph.node.retain(|_| !dropped.next().unwrap_or(false));
    graph
}

impl Index {
    fn new(graph: &GraphProto) -> Self {
        let mut index = Self {
            writer: HashMap::new(),
            reads: HashMap::new(),
            scalars: HashMap::new(),
        };
        for tensor in &graph.initializer {
            index.add_scalar(&tensor.name, tensor);
        }
        for (i, node) in graph.node.iter().enumerate() {
            for name in &node.output {
                index.writer.insert(name.clone(), i);
            }
            for name in &node.input {
                *index.reads.entry(name.clone()).or_default() += 1;
            }
            if let ("Constant", Some(output)) = (node.op_type.as_str(), node.output.first()) {
                if let Some(tensor) = node.attribute.iter().find_map(|a| a.t.as_ref()) {
                    index.add_scalar(output, tensor);
                } else if let Some(a) = attribute(node, "value_float") {
                    index.scalars.insert(output.clone(), f64::from(a.f));
                }
            }
        }
        for output in &graph.output {
            *index.reads.entry(output.name.clone()).or_default() += 1;
        }
        index
    }

    fn add_scalar(&mut self, name: &str, tensor: &TensorProto) {
        if tensor.dims.iter().product::<i64>() == 1
            && constant::check(tensor).is_ok()
            && let Some(&value) = constant::to_f64(tensor).first()
        {
            self.scalars.insert(name.to_owned(), value);
        }
    }

    /// The node that writes a name nobody else reads.
    fn inner<'a>(
        &self,
        nodes: &'a [NodeProto],
        name: &str,
        op: &str,
    ) -> Option<(usize, &'a NodeProto)> {
        let &i = self.writer.get(name)?;
        let is_private = self.reads.get(name) == Some(&1);
        (is_private && nodes[i].op_type == op).then(|| (i, &nodes[i]))
    }

    /// The variable and the scalar of a node with one of each.
    fn with_scalar<'a>(&self, node: &'a NodeProto) -> Option<(&'a str, f64)> {
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        match (self.scalars.get(a), self.scalars.get(b)) {
            (None, Some(&c)) => Some((a, c)),
            (Some(&c), None) if node.op_type != "Div" => Some((b, c)),
            _ => None,
        }
    }

    fn pattern(&self, nodes: &[NodeProto], i: usize) -> Option<(NodeProto, Vec<usize>)> {
        match nodes[i].op_type.as_str() {
            "Mul" => self
                .swish(nodes, i)
                .or_else(|| self.scaled_hard_swish(nodes, i))
                .or_else(|| self.gelu(nodes, i)),
            "Div" => self.scaled_hard_swish(nodes, i),
            "Max" => self.leaky(nodes, i),
            _ => None,
        }
    }

    /// `x · Sigmoid(x)` and `x · HardSigmoid(x)`.
    fn swish(&self, nodes: &[NodeProto], i: usize) -> Option<(NodeProto, Vec<usize>)> {
        let node = &nodes[i];
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        for (x, gate) in [(a, b), (b, a)] {
            if let Some((k, _)) = self
                .inner(nodes, gate, "Sigmoid")
                .filter(|(_, g)| g.input[0] == *x)
            {
                return Some((unary(node, "Swish", x), vec![k]));
            }
            if let Some((k, g)) = self
                .inner(nodes, gate, "HardSigmoid")
                .filter(|(_, g)| g.input[0] == *x)
            {
                let alpha = float(g, "alpha", 0.2).ok()?;
                let beta = float(g, "beta", 0.5).ok()?;
                let is_standard = (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5;
                return is_standard.then(|| (unary(node, "HardSwish", x), vec![k]));
            }
        }
        None
    }

    /// `x · clip(x + 3, 0, 6) / 6`, divided or multiplied.
    fn scaled_hard_swish(&self, nodes: &[NodeProto], i: usize) -> Option<(NodeProto, Vec<usize>)> {
        let node = &nodes[i];
        let (product, c) = self.with_scalar(node)?;
        let divisor = if node.op_type == "Div" { c } else { 1.0 / c };
        if (divisor - 6.0).abs() > 1e-4 {
            return None;
        }
        let (m, mul) = self.inner(nodes, product, "Mul")?;
        let [a, b] = mul.input.as_slice() else {
            return None;
        };
        for (x, gate) in [(a, b), (b, a)] {
            let Some((k, clip)) = self.inner(nodes, gate, "Clip") else {
                continue;
            };
            let (s, add) = self.inner(nodes, &clip.input[0], "Add")?;
            let (inner, three) = self.with_scalar(add)?;
            let bound = |at: usize, name: &str| match clip.input.get(at) {
                Some(c) => self.scalars.get(c).copied(),
                None => attribute(clip, name).map(|a| f64::from(a.f)),
            };
            let is_standard =
                three == 3.0 && bound(1, "min") == Some(0.0) && bound(2, "max") == Some(6.0);
            if inner == x && is_standard {
                return Some((unary(node, "HardSwish", x), vec![m, k, s]));
            }
        }
        None
    }

    /// `0.5 · (x · (1 + Erf(x / √2)))`, the constant at the end.
    fn gelu(&self, nodes: &[NodeProto], i: usize) -> Option<(NodeProto, Vec<usize>)> {
        let node = &nodes[i];
        let (product, half) = self.with_scalar(node)?;
        let (m, mul) = self.inner(nodes, product, "Mul")?;
        let [a, b] = mul.input.as_slice() else {
            return None;
        };
        for (x, gate) in [(a, b), (b, a)] {
            let Some((s, add)) = self.inner(nodes, gate, "Add") else {
                continue;
            };
            let (inner, one) = self.with_scalar(add)?;
            let (e, erf) = self.inner(nodes, inner, "Erf")?;
            let (d, div) = self.inner(nodes, erf.input.first()?, "Div")?;
            let (argument, root) = self.with_scalar(div)?;
            let is_root = (root - std::f64::consts::SQRT_2).abs() < 1e-5;
            if argument == x && half == 0.5 && one == 1.0 && is_root {
                return Some((unary(node, "Gelu", x), vec![m, s, e, d]));
            }
        }
        None
    }

    /// `max(x, c·x)` with `0 < c < 1`.
    fn leaky(&self, nodes: &[NodeProto], i: usize) -> Option<(NodeProto, Vec<usize>)> {
        let node = &nodes[i];
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        for (x, scaled) in [(a, b), (b, a)] {
            let Some((k, mul)) = self.inner(nodes, scaled, "Mul") else {
                continue;
            };
            let (inner, alpha) = self.with_scalar(mul)?;
            if inner == x && 0.0 < alpha && alpha < 1.0 {
                let mut fused = unary(node, "LeakyRelu", x);
                fused.attribute.push(AttributeProto {
                    name: "alpha".to_owned(),
                    r#type: 1,
                    f: alpha as f32,
                    ..AttributeProto::default()
                });
                return Some((fused, vec![k]));
            }
        }
        None
    }
}

/// A node of one input in the place of another.
fn unary(node: &NodeProto, op: &str, x: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: vec![x.to_owned()],
        attribute: Vec::new(),
        ..node.clone()
    }
}
