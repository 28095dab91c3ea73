//! NumPy arrays: `.npy`, and `.npz`, which is a ZIP archive of them.
//!
//! The format: the magic, a version, the length of a header, the header (a Python dictionary with
//! `descr`, `fortran_order` and `shape`), the elements.

use std::io::{Cursor, Read};
use std::path::Path;

use tract_onnx::prelude::f16;

use super::{Array, DataError};

/// First bytes of a `.npy` file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads the arrays of an archive.
pub(super) fn parse_archive(path: &Path, bytes: &[u8], max: u64) -> Result<Vec<Array>, DataError> {
    let damaged = |error: zip::result::ZipError| DataError::Format {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut budget = max;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        let name = name.trim_end_matches(".npy").to_owned();
        let failed = |reason: String| DataError::Array {
            path: path.to_owned(),
            array: name.clone(),
            reason,
        };
        let mut content = Vec::new();
        // One byte beyond the budget tells "exactly full" from "too large".
        let read = entry
            .take(budget + 1)
            .read_to_end(&mut content)
            .map_err(|error| failed(error.to_string()))?;
        budget = budget
            .checked_sub(read as u64)
            .ok_or_else(|| DataError::TooLarge {
                path: path.to_owned(),
                max,
            })?;
        if !is_text(&content) {
            arrays.push(parse(&name, &content).map_err(failed)?);
        }
    }
    Ok(arrays)
}

/// Whether an array holds strings, which are no model's input and are skipped.
fn is_text(bytes: &[u8]) -> bool {
    header(bytes).is_ok_and(|(header, _)| {
        descr(&header).is_some_and(|d| d.contains('U') || d.contains('S') || d.contains('O'))
    })
}

/// Reads one array.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Array, String> {
    let (header, data) = header(bytes)?;
    let descr = descr(&header).ok_or("the header has no `descr`")?;
    let shape = shape(&header).ok_or("the header has no usable `shape`")?;
    let elements = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or("the shape is absurd")?;
    let values = decode(descr, data)?;
    if values.len() != elements {
        return Err(format!(
            "the shape {shape:?} has {elements} elements, the data {}",
            values.len()
        ));
    }
    let fortran = field(&header, "fortran_order").is_some_and(|v| v.starts_with("True"));
    Ok(Array {
        name: name.to_owned(),
        values: if fortran {
            to_row_major(&values, &shape)
        } else {
            values
        },
        shape,
    })
}

fn header(bytes: &[u8]) -> Result<(String, &[u8]), String> {
    let damaged = || "not a NumPy array, or cut off".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(damaged()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    Ok((String::from_utf8_lossy(header).into_owned(), data))
}

/// The text after `'name':` in the header's dictionary.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let start = header.find(&format!("'{name}'"))? + name.len() + 2;
    Some(header[start..].trim_start().strip_prefix(':')?.trim_start())
}

fn descr(header: &str) -> Option<&str> {
    field(header, "descr")?
        .strip_prefix('\'')?
        .split('\'')
        .next()
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let list = field(header, "shape")?.strip_prefix('(')?;
    let (list, _) = list.split_once(')')?;
    list.split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().ok())
        .collect()
}

fn decode(descr: &str, data: &[u8]) -> Result<Vec<f64>, String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or(("", ""));
    let big = match order {
        "<" | "|" | "=" => false,
        ">" => true,
        _ => return Err(format!("element type `{descr}` is not supported")),
    };
    macro_rules! read {
        ($t:ty, $to:expr) => {{
            let (chunks, rest) = data.as_chunks::<{ size_of::<$t>() }>();
            if !rest.is_empty() {
                return Err("the data ends within an element".to_owned());
            }
            let one = |b: &[u8; size_of::<$t>()]| {
                $to(if big {
                    <$t>::from_be_bytes(*b)
                } else {
                    <$t>::from_le_bytes(*b)
                })
            };
            Ok(chunks.iter().map(one).collect())
        }};
    }
    match kind {
        "f2" => read!(f16, f16::to_f64),
        "f4" => read!(f32, f64::from),
        "f8" => read!(f64, |x| x),
        "i1" => read!(i8, f64::from),
        "i2" => read!(i16, f64::from),
        "i4" => read!(i32, f64::from),
        "i8" => read!(i64, |x| x as f64),
        "u1" | "b1" => read!(u8, f64::from),
        "u2" => read!(u16, f64::from),
        "u4" => read!(u32, f64::from),
        "u8" => read!(u64, |x| x as f64),
        _ => Err(format!("element type `{descr}` is not supported")),
    }
}

/// Reorders elements whose first axis is the fastest.
fn to_row_major(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let source = |mut element: usize| {
        let mut index = 0;
        for (axis, &extent) in shape.iter().enumerate().rev() {
            let stride: usize = shape[..axis].iter().product();
            index += element % extent * stride;
            element /= extent;
        }
        values[index]
    };
    (0..values.len()).map(source).collect()
}
