//! Builds small ONNX files field by field.

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

/// A float constant.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// An integer constant.
pub fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: 7,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// A node named after its output.
pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("node_{output}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|&s| s.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: 2,
        i: value,
        ..AttributeProto::default()
    });
    node
}

/// A float attribute.
pub fn with_float(mut node: NodeProto, name: &str, value: f32) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: 1,
        f: value,
        ..AttributeProto::default()
    });
    node
}

/// A text attribute.
pub fn with_text(mut node: NodeProto, name: &str, value: &str) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: 3,
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    });
    node
}

/// An attribute with a list of integers.
pub fn with_ints(mut node: NodeProto, name: &str, values: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: 7,
        ints: values.to_vec(),
        ..AttributeProto::default()
    });
    node
}

/// An input; negative extents are open.
pub fn input(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension {
        denotation: String::new(),
        value: Some(if d < 0 {
            dimension::Value::DimParam("N".to_owned())
        } else {
            dimension::Value::DimValue(d)
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            denotation: String::new(),
            value: Some(Value::TensorType(Tensor {
                elem_type: 1,
                shape: Some(TensorShapeProto {
                    dim: dims.iter().map(dim).collect(),
                }),
            })),
        }),
        ..ValueInfoProto::default()
    }
}

/// A model with one input `x` and one output `y`.
pub fn model(shape: &[i64], nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "test".to_owned(),
            node: nodes,
            initializer: initializers,
            input: vec![input("x", shape)],
            output: vec![ValueInfoProto {
                name: "y".to_owned(),
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// The file's bytes.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
