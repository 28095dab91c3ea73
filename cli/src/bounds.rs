//! Bounds on a hidden input: `--bounds` as real numbers, and as the integers that are proved.

use std::path::Path;

use air::graph::{Graph, Range, Tensor};
use serde_json::Value;

use crate::error::{Code, Failure};
use crate::files;

/// Largest file of bounds read.
const MAX_BYTES: u64 = 1 << 26;

/// For each input of the graph its bounds, from the values of `--bounds`: `LO..HI` for every feature
/// of the only input, `NAME=LO..HI` for every feature of one, or a JSON file
/// `{"NAME": [[lo, hi] or null for each feature]}`.
///
/// A real interval becomes the integers that stand for numbers inside it, so what is proved implies
/// what was asked for.
pub fn parse(graph: &Graph, specs: &[String]) -> Result<Vec<Option<Vec<Range>>>, Failure> {
    let mut bounds = vec![None; graph.inputs.len()];
    for spec in specs {
        for (input, intervals) in read(graph, spec)? {
            let tensor = &graph.tensors[graph.inputs[input].index()];
            bounds[input] = Some(to_integers(tensor, &intervals, spec)?);
        }
    }
    Ok(bounds)
}

/// An interval of real numbers, if there is one, for each feature.
type Intervals = Vec<Option<(f64, f64)>>;

fn usage(spec: &str, message: String) -> Failure {
    Failure::new(Code::Usage, format!("--bounds {spec}: {message}"))
}

fn read(graph: &Graph, spec: &str) -> Result<Vec<(usize, Intervals)>, Failure> {
    let (name, interval) = match spec.rsplit_once('=') {
        Some((name, interval)) => (Some(name), interval),
        None => (None, spec),
    };
    let Some(interval) = parse_interval(interval) else {
        return read_file(graph, spec);
    };
    let input = match name {
        Some(name) => find(graph, name).ok_or_else(|| usage(spec, no_input(name)))?,
        None if graph.inputs.len() == 1 => 0,
        None => {
            let message = "the model has several inputs: NAME=LO..HI".to_owned();
            return Err(usage(spec, message));
        }
    };
    let features = graph.tensors[graph.inputs[input].index()].features as usize;
    Ok(vec![(input, vec![Some(interval); features])])
}

fn no_input(name: &str) -> String {
    format!("the model has no input `{name}`")
}

fn find(graph: &Graph, name: &str) -> Option<usize> {
    let named = |id: &air::graph::TensorId| graph.tensors[id.index()].name == name;
    graph.inputs.iter().position(named)
}

fn parse_interval(text: &str) -> Option<(f64, f64)> {
    let (lo, hi) = text.split_once("..")?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    Some((number(lo)?, number(hi)?))
}

fn read_file(graph: &Graph, spec: &str) -> Result<Vec<(usize, Intervals)>, Failure> {
    let path = Path::new(spec);
    if !path.exists() {
        let message = "neither LO..HI, nor NAME=LO..HI, nor a file".to_owned();
        return Err(usage(spec, message));
    }
    let bytes = files::read(path, MAX_BYTES)?;
    let malformed = |what: String| Failure::new(Code::Usage, what).in_file(path);
    let json: Value =
        serde_json::from_slice(&bytes).map_err(|e| malformed(format!("it is not JSON: {e}")))?;
    let inputs = json
        .as_object()
        .ok_or_else(|| malformed("an object with a list for each input expected".into()))?;
    let interval = |value: &Value| match value {
        Value::Null => Some(None),
        other => {
            let pair = other.as_array().filter(|pair| pair.len() == 2)?;
            Some(Some((pair[0].as_f64()?, pair[1].as_f64()?)))
        }
    };
    let one = |(name, list): (&String, &Value)| {
        let input = find(graph, name).ok_or_else(|| malformed(no_input(name)))?;
        let list = list.as_array().map(|l| l.iter().map(interval).collect());
        let intervals: Option<Option<Intervals>> = list;
        match intervals.flatten() {
            Some(intervals) => Ok((input, intervals)),
            None => Err(malformed(format!(
                "`{name}`: a list with [lo, hi] or null for each feature expected"
            ))),
        }
    };
    inputs.iter().map(one).collect()
}

fn to_integers(tensor: &Tensor, intervals: &Intervals, spec: &str) -> Result<Vec<Range>, Failure> {
    let (features, name) = (tensor.features as usize, &tensor.name);
    if intervals.len() != features {
        let message = format!(
            "input `{name}` has {features} features, not {}",
            intervals.len()
        );
        return Err(usage(spec, message));
    }
    let one = |(f, interval): (usize, &Option<(f64, f64)>)| match interval {
        None => Ok(tensor.range),
        Some((lo, hi)) => inside(tensor, f, *lo, *hi).ok_or_else(|| {
            let message = format!(
                "feature {f} of `{name}`: no number the model can be given lies within {lo}..{hi}"
            );
            usage(spec, message)
        }),
    };
    intervals.iter().enumerate().map(one).collect()
}

/// The integers of feature `f` that stand for numbers in `[lo, hi]`.
fn inside(tensor: &Tensor, f: usize, lo: f64, hi: f64) -> Option<Range> {
    let nearest = |x: f64| tensor.encoding.quantise(f, x, tensor.range);
    let real = |q: i32| tensor.encoding.dequantise(f, q);
    let (mut first, mut last) = (nearest(lo)?, nearest(hi)?);
    // Rounding is off by one at most.
    if real(first) < lo {
        first += 1;
    }
    if real(last) > hi {
        last -= 1;
    }
    let range = Range {
        lo: first,
        hi: last,
    };
    let fits = first <= last && tensor.range.lo <= first && last <= tensor.range.hi;
    fits.then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use air::graph::{Axis, Dim, Encoding};

    #[test]
    fn an_interval_becomes_the_integers_inside() {
        let tensor = Tensor {
            name: "x".into(),
            shape: vec![1, 1],
            dims: vec![Dim {
                axis: Axis::Feature,
                size: 1,
            }],
            features: 1,
            extent: [1; 3],
            range: Range::signed(8),
            encoding: Encoding::Uniform { frac_bits: 2 },
        };
        let of = |lo, hi| inside(&tensor, 0, lo, hi).map(|r| (r.lo, r.hi));
        assert_eq!(of(0.0, 1.0), Some((0, 4)));
        assert_eq!(of(0.1, 0.9), Some((1, 3)));
        assert_eq!(of(-0.1, 0.1), Some((0, 0)));
        assert_eq!(of(0.1, 0.2), None);
        assert_eq!(of(1.0, 0.0), None);
        // Numbers beyond the range saturate before a proof begins.
        assert_eq!(of(-1e9, 1e9), Some((-128, 127)));
        assert_eq!(of(1e6, 1e9), None);
        assert_eq!(of(f64::NAN, 0.0), None);
    }
}
