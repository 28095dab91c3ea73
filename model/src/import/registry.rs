//! The operators this crate understands: one line each.
//!
//! The importer refuses every operator and every attribute that is not listed here, so the table
//! is both documentation and gate.

use serde::Serialize;

/// How an operator is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Proved: it becomes, or is folded into, a layer.
    Proved,
    /// Costs nothing: it only renames or re-indexes elements.
    Free,
    /// Computed in floating point after the proof, and only at the end of a model.
    AfterProof,
    /// Accepted where all its inputs are constants; folded away at import.
    ConstantOnly,
}

impl Status {
    /// A word for tables.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Free => "free",
            Self::AfterProof => "after the proof",
            Self::ConstantOnly => "constants only",
        }
    }
}

/// What is known about an operator of the standard ONNX domain.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OperatorInfo {
    /// ONNX name.
    pub name: &'static str,
    /// How it is treated.
    pub status: Status,
    /// Attributes it may carry; any other is refused.
    pub attributes: &'static [&'static str],
    /// Restrictions, for people.
    pub note: &'static str,
}

const fn op(
    name: &'static str,
    status: Status,
    attributes: &'static [&'static str],
    note: &'static str,
) -> OperatorInfo {
    OperatorInfo {
        name,
        status,
        attributes,
        note,
    }
}

/// Every supported operator, in alphabetical order.
pub const fn operators() -> &'static [OperatorInfo] {
    use Status::{AfterProof, ConstantOnly, Free, Proved};
    #[rustfmt::skip]
    const OPERATORS: &[OperatorInfo] = &[
        op("Add", Proved, &[], "one side constant; folded into a linear layer"),
        op("BatchNormalization", Proved, &["epsilon", "momentum", "spatial", "training_mode"], "inference only; folded into a linear layer"),
        op("Cast", Free, &["to", "saturate"], "between float types, or of constants"),
        op("Concat", ConstantOnly, &["axis"], ""),
        op("Constant", ConstantOnly, &["value", "value_float", "value_floats", "value_int", "value_ints"], ""),
        op("ConstantOfShape", ConstantOnly, &["value"], ""),
        op("Div", Proved, &[], "divisor constant; folded into a linear layer"),
        op("Dropout", Free, &["ratio", "seed"], "inference only"),
        op("Expand", ConstantOnly, &[], ""),
        op("Flatten", Free, &["axis"], ""),
        op("Gather", ConstantOnly, &["axis"], ""),
        op("Gemm", Proved, &["alpha", "beta", "transA", "transB"], "B and C constant; transA = 0"),
        op("Identity", Free, &[], ""),
        op("MatMul", Proved, &[], "one side constant"),
        op("Mul", Proved, &[], "one side constant; folded into a linear layer"),
        op("Relu", Proved, &[], ""),
        op("Reshape", Free, &["allowzero"], "target shape constant; element order unchanged"),
        op("Shape", ConstantOnly, &["start", "end"], "shapes are bound at import, so this is a constant"),
        op("Sigmoid", Proved, &[], ""),
        op("Slice", ConstantOnly, &["axes", "ends", "starts"], ""),
        op("Softmax", AfterProof, &["axis"], "over the features, only at the end"),
        op("Squeeze", Free, &["axes"], ""),
        op("Sub", Proved, &[], "one side constant; folded into a linear layer"),
        op("Tanh", Proved, &[], ""),
        op("Transpose", Free, &["perm"], "of constants, or where only extents of 1 move"),
        op("Unsqueeze", Free, &["axes"], ""),
    ];
    OPERATORS
}

/// Looks an operator of the standard domain up.
pub(super) fn find(name: &str) -> Option<&'static OperatorInfo> {
    operators().iter().find(|info| info.name == name)
}
