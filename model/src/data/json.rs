//! JSON samples: `{"input_data": [[…], …]}`, or the list alone. Outputs are read the same way from
//! `output_data`, or from the `output` of what `prove --json` and `run --json` print.

use serde_json::Value;

use super::Array;

/// Keys a list is looked for under, in this order.
const KEYS: [&str; 3] = ["input_data", "output_data", "output"];

/// Reads one array for each entry of the list.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Array>, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let list = match &value {
        Value::Object(map) => KEYS
            .iter()
            .find_map(|key| map.get(*key))
            .ok_or_else(|| "the JSON object has no key \"input_data\"".to_owned())?,
        other => other,
    };
    let Value::Array(entries) = list else {
        return Err("\"input_data\" must be a list with a list for each input".to_owned());
    };
    if !entries.is_empty() && entries.iter().all(Value::is_number) {
        return Ok(vec![array(list, 0)?]);
    }
    let arrays = entries.iter().enumerate().map(|(i, v)| array(v, i));
    arrays.collect()
}

fn array(value: &Value, index: usize) -> Result<Array, String> {
    let mut values = Vec::new();
    let shape = collect(value, &mut values)
        .map_err(|reason| format!("\"input_data\"[{index}]: {reason}"))?;
    Ok(Array {
        name: String::new(),
        shape,
        values,
    })
}

/// Appends the numbers of a nested list, and returns its shape.
fn collect(value: &Value, values: &mut Vec<f64>) -> Result<Vec<usize>, String> {
    match value {
        Value::Number(number) => {
            let x = number.as_f64().filter(|x| x.is_finite());
            values.push(x.ok_or_else(|| format!("{number} is not a finite number"))?);
            Ok(Vec::new())
        }
        Value::Bool(b) => {
            values.push(f64::from(u8::from(*b)));
            Ok(Vec::new())
        }
        Value::Array(entries) => {
            let mut inner: Option<Vec<usize>> = None;
            for entry in entries {
                let shape = collect(entry, values)?;
                if *inner.get_or_insert_with(|| shape.clone()) != shape {
                    return Err("its rows differ in length".to_owned());
                }
            }
            let mut shape = vec![entries.len()];
            shape.extend(inner.unwrap_or_default());
            Ok(shape)
        }
        other => Err(format!("{other} is not a number")),
    }
}
