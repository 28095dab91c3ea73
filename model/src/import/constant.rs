//! Stored tensors: checked once, decoded where they are used.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::prelude::f16;

use super::error::ImportError;

/// Largest number of elements of one tensor, stored or computed.
pub(super) const MAX_ELEMENTS: u64 = 1 << 29;

/// Product of extents, if it is not absurd.
pub(super) fn checked_elements(dims: &[i64]) -> Option<usize> {
    let elements = dims.iter().try_fold(1u64, |n, &d| {
        n.checked_mul(u64::try_from(d).ok()?)
            .filter(|&n| n <= MAX_ELEMENTS)
    })?;
    usize::try_from(elements).ok()
}

/// The extents of a checked tensor.
pub(super) fn shape_of(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|&d| d as usize).collect()
}

/// Refuses tensors whose data is elsewhere, of an unusable type, or not as long as the shape says.
pub(crate) fn check(tensor: &TensorProto) -> Result<(), ImportError> {
    let fail = |reason: String| {
        Err(ImportError::Tensor {
            name: tensor.name.clone(),
            reason,
        })
    };
    if tensor.data_location == Some(DataLocation::External as i32)
        || !tensor.external_data.is_empty()
    {
        return fail("its data is in another file; save the model as one file".to_owned());
    }
    if tensor.segment.is_some() {
        return fail("segmented tensors are not supported".to_owned());
    }
    let Some(elements) = checked_elements(&tensor.dims) else {
        return fail(format!("the shape {:?} is not usable", tensor.dims));
    };
    let Some(dtype) = supported_dtype(tensor.data_type) else {
        return fail(format!(
            "element type {} is not supported",
            dtype_name(tensor.data_type)
        ));
    };
    let got = if tensor.raw_data.is_empty() {
        typed_len(tensor, dtype)
    } else if tensor.raw_data.len().is_multiple_of(width(dtype)) {
        tensor.raw_data.len() / width(dtype)
    } else {
        return fail("its data ends within an element".to_owned());
    };
    if got != elements {
        return fail(format!(
            "the shape {:?} has {elements} elements, the data {got}",
            tensor.dims
        ));
    }
    Ok(())
}

/// The name of an element type, for messages.
pub(super) fn dtype_name(code: i32) -> String {
    DataType::try_from(code).map_or_else(|_| format!("{code}"), |dtype| format!("{dtype:?}"))
}

fn supported_dtype(code: i32) -> Option<DataType> {
    DataType::try_from(code).ok().filter(|d| width(*d) > 0)
}

/// Bytes of one element; 0 for types this importer does not read.
fn width(dtype: DataType) -> usize {
    match dtype {
        DataType::Bool | DataType::Uint8 | DataType::Int8 => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 => 2,
        DataType::Uint32 | DataType::Int32 | DataType::Float => 4,
        DataType::Uint64 | DataType::Int64 | DataType::Double => 8,
        _ => 0,
    }
}

fn typed_len(tensor: &TensorProto, dtype: DataType) -> usize {
    match dtype {
        DataType::Float => tensor.float_data.len(),
        DataType::Double => tensor.double_data.len(),
        DataType::Int64 => tensor.int64_data.len(),
        DataType::Uint32 | DataType::Uint64 => tensor.uint64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

/// The elements as `f64`, whatever their type. The tensor must have passed [`check`].
pub(crate) fn to_f64(tensor: &TensorProto) -> Vec<f64> {
    let raw = &tensor.raw_data;
    let Some(dtype) = supported_dtype(tensor.data_type) else {
        return Vec::new();
    };
    macro_rules! from_raw {
        ($t:ty) => {
            raw.as_chunks::<{ size_of::<$t>() }>()
                .0
                .iter()
                .map(|b| <$t>::from_le_bytes(*b) as f64)
                .collect()
        };
    }
    if raw.is_empty() {
        return typed_to_f64(tensor, dtype);
    }
    match dtype {
        DataType::Float => from_raw!(f32),
        DataType::Double => from_raw!(f64),
        DataType::Int64 => from_raw!(i64),
        DataType::Uint64 => from_raw!(u64),
        DataType::Int32 => from_raw!(i32),
        DataType::Uint32 => from_raw!(u32),
        DataType::Int16 => from_raw!(i16),
        DataType::Uint16 => from_raw!(u16),
        DataType::Int8 => from_raw!(i8),
        DataType::Float16 => raw
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f16::from_le_bytes(*b).to_f64())
            .collect(),
        DataType::Bool => raw.iter().map(|&b| f64::from(b != 0)).collect(),
        _ => from_raw!(u8),
    }
}

fn typed_to_f64(tensor: &TensorProto, dtype: DataType) -> Vec<f64> {
    match dtype {
        DataType::Float => tensor.float_data.iter().map(|&x| f64::from(x)).collect(),
        DataType::Double => tensor.double_data.clone(),
        DataType::Int64 => tensor.int64_data.iter().map(|&x| x as f64).collect(),
        DataType::Uint32 | DataType::Uint64 => {
            tensor.uint64_data.iter().map(|&x| x as f64).collect()
        }
        DataType::Float16 => tensor
            .int32_data
            .iter()
            .map(|&x| f16::from_bits(x as u16).to_f64())
            .collect(),
        _ => tensor.int32_data.iter().map(|&x| f64::from(x)).collect(),
    }
}

/// The elements as weights: `f32`, all finite.
pub(super) fn weights(tensor: &TensorProto) -> Result<Vec<f32>, ImportError> {
    let values: Vec<f32> = to_f64(tensor).into_iter().map(|x| x as f32).collect();
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values),
        Some(index) => Err(ImportError::NotFinite {
            name: tensor.name.clone(),
            index,
            value: values[index],
        }),
    }
}

/// The elements as integers: an axis list, a shape.
pub(super) fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let dtype = supported_dtype(tensor.data_type)?;
    matches!(dtype, DataType::Int32 | DataType::Int64)
        .then(|| to_f64(tensor).into_iter().map(|x| x as i64).collect())
}

/// A one-dimensional constant of integers.
pub(super) fn from_integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}
