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
    /// Accepted where all its inputs are constants; folded away at import.
    ConstantOnly,
}

impl Status {
    /// A word for tables.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Free => "free",
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
    use Status::{ConstantOnly, Free, Proved};
    #[rustfmt::skip]
    const OPERATORS: &[OperatorInfo] = &[
        op("Add", Proved, &[], "of two values that lie alike, or with a constant for each channel"),
        op("ArgMax", Proved, &["axis", "keepdims", "select_last_index"], "over all channels; several layers"),
        op("AveragePool", Proved, &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"], "up to three dimensions"),
        op("BatchNormalization", Proved, &["epsilon", "momentum", "spatial", "training_mode"], "inference only; folded into a linear layer"),
        op("Cast", Free, &["to", "saturate"], "between float types, or of constants"),
        op("Clip", Proved, &["max", "min"], "constant bounds"),
        op("Concat", Proved, &["axis"], "of values that lie alike"),
        op("Constant", ConstantOnly, &["value", "value_float", "value_floats", "value_int", "value_ints"], ""),
        op("ConstantOfShape", ConstantOnly, &["value"], ""),
        op("Conv", Proved, &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"], "constant weights; up to three dimensions"),
        op("ConvTranspose", Proved, &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"], "constant weights; up to three dimensions"),
        op("Div", Proved, &[], "divisor constant; folded into a linear layer"),
        op("Dropout", Free, &["ratio", "seed"], "inference only"),
        op("Elu", Proved, &["alpha"], ""),
        op("Erf", ConstantOnly, &[], "or as a part of GELU"),
        op("Expand", ConstantOnly, &[], ""),
        op("Flatten", Free, &["axis"], ""),
        op("Gather", ConstantOnly, &["axis"], ""),
        op("Gelu", Proved, &["approximate"], "the exact form; also written with Erf"),
        op("Gemm", Proved, &["alpha", "beta", "transA", "transB"], "B and C constant; transA = 0"),
        op("GlobalAveragePool", Proved, &[], ""),
        op("GlobalMaxPool", Proved, &[], ""),
        op("HardSigmoid", Proved, &["alpha", "beta"], ""),
        op("HardSwish", Proved, &[], "also written with HardSigmoid or Clip"),
        op("Identity", Free, &[], ""),
        op("LeakyRelu", Proved, &["alpha"], "also written as Max(x, c * x)"),
        op("LogSoftmax", Proved, &["axis"], "over all channels, or whole axes; several layers"),
        op("MatMul", Proved, &[], "one side constant"),
        op("Max", ConstantOnly, &[], "or of x and c * x, which is LeakyRelu"),
        op("MaxPool", Proved, &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"], "up to three dimensions; 3.5 cells a comparison, 5 to 6 where windows are dilated or very large"),
        op("Mul", Proved, &[], "with a constant for each channel, or with a value of one position"),
        op("PRelu", Proved, &[], "constant slope for each channel"),
        op("Pad", Proved, &["mode", "pads", "value"], "modes constant, edge, reflect"),
        op("ReduceMax", Proved, &["axes", "keepdims", "noop_with_empty_axes"], "over all channels, or whole axes"),
        op("ReduceMean", Proved, &["axes", "keepdims", "noop_with_empty_axes"], "over positions"),
        op("Relu", Proved, &[], ""),
        op("Reshape", Free, &["allowzero", "shape"], "target shape constant; elements stay where they are"),
        op("Resize", Proved, &["antialias", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "mode", "nearest_mode", "scales"], "nearest and linear, by whole factors"),
        op("Shape", ConstantOnly, &["start", "end"], "shapes are bound at import, so this is a constant"),
        op("Sigmoid", Proved, &[], ""),
        op("Slice", Proved, &["axes", "ends", "starts"], "positive steps"),
        op("Softmax", Proved, &["axis"], "over all channels, or whole axes; several layers, 18 cells a score in images"),
        op("Softplus", Proved, &[], ""),
        op("Split", Proved, &["axis", "num_outputs", "split"], ""),
        op("Squeeze", Free, &["axes"], ""),
        op("Sub", Proved, &[], "of two values that lie alike, or with a constant for each channel"),
        op("Sum", Proved, &[], "of two values"),
        op("Swish", Proved, &["alpha"], "alpha = 1; also written as x * Sigmoid(x)"),
        op("Tanh", Proved, &[], ""),
        op("Transpose", Free, &["perm"], "where the elements of an axis keep their order"),
        op("Unsqueeze", Free, &["axes"], ""),
        op("Upsample", Proved, &["mode", "scales"], "nearest and linear, by whole factors"),
    ];
    OPERATORS
}

/// Looks an operator of the standard domain up.
pub(super) fn find(name: &str) -> Option<&'static OperatorInfo> {
    operators().iter().find(|info| info.name == name)
}
