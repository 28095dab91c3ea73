//! Where the dimensions of an ONNX shape lie: transposing, flattening and reshaping only change this.

use air::graph::{AXES, Axis, Dim};

/// The dimensions of a value, each a list of digits on the axes of a tensor, the highest first.
/// Digits of size 1 are left out: they may lie anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    dims: Vec<Vec<Dim>>,
}

impl Layout {
    /// Each dimension on one axis.
    pub(super) fn new(dims: impl IntoIterator<Item = (Axis, usize)>) -> Self {
        let one = |(axis, size)| vec![digit(axis, size)];
        Self::of(dims.into_iter().map(one).collect())
    }

    /// Dimensions of any digits.
    pub(super) fn of(dims: Vec<Vec<Dim>>) -> Self {
        Self {
            dims: dims.into_iter().map(canonical).collect(),
        }
    }

    pub(super) fn dims(&self) -> &[Vec<Dim>] {
        &self.dims
    }

    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The ONNX shape.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|dim| size(dim)).collect()
    }

    /// All digits in row-major order.
    pub(super) fn digits(&self) -> Vec<Dim> {
        self.dims.concat()
    }

    /// The size of an axis.
    pub(super) fn on(&self, axis: Axis) -> usize {
        let digits = self.dims.iter().flatten();
        digits
            .filter(|d| d.axis == axis)
            .map(|d| d.size as usize)
            .product()
    }

    pub(super) fn features(&self) -> usize {
        self.on(Axis::Feature)
    }

    pub(super) fn extent(&self) -> [u32; AXES] {
        Axis::POSITION.map(|axis| self.on(axis) as u32)
    }

    /// Whether dimension `i` lies on this axis, and all of the axis is that dimension.
    pub(super) fn is_whole(&self, i: usize, axis: Axis) -> bool {
        self.dims[i].iter().all(|d| d.axis == axis) && size(&self.dims[i]) == self.on(axis)
    }

    /// The axis a dimension fills, if it fills one alone.
    pub(super) fn axis_of(&self, i: usize) -> Option<Axis> {
        let axis = self.dims[i].first()?.axis;
        self.is_whole(i, axis).then_some(axis)
    }

    /// The same with another dimension `i`.
    pub(super) fn with(&self, i: usize, axis: Axis, size: usize) -> Self {
        let mut dims = self.dims.clone();
        dims[i] = vec![digit(axis, size)];
        Self::of(dims)
    }

    /// The same elements in the same order under another shape, if digits need not be torn apart.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let mut rest: std::collections::VecDeque<Dim> = self.digits().into();
        let mut dims = Vec::with_capacity(shape.len());
        for &size in shape {
            let mut dim = Vec::new();
            let mut left = size;
            while left > 1 {
                let front = rest.pop_front()?;
                let n = front.size as usize;
                if left.is_multiple_of(n) {
                    left /= n;
                    dim.push(front);
                } else if n.is_multiple_of(left) {
                    dim.push(digit(front.axis, left));
                    rest.push_front(digit(front.axis, n / left));
                    left = 1;
                } else {
                    return None;
                }
            }
            dims.push(dim);
        }
        rest.is_empty().then(|| Self::of(dims))
    }

    /// The dimensions in another order, if no axis is left with its digits out of order.
    pub(super) fn transposed(&self, permutation: &[usize]) -> Option<Self> {
        let ordered = |axis: Axis| {
            let has = |&&i: &&usize| self.dims[i].iter().any(|d| d.axis == axis);
            permutation.iter().filter(has).is_sorted()
        };
        let axes = [Axis::Feature, Axis::Depth, Axis::Height, Axis::Width];
        axes.into_iter()
            .all(ordered)
            .then(|| Self::of(permutation.iter().map(|&i| self.dims[i].clone()).collect()))
    }

    /// For each feature, the row-major index of its element at position 0.
    pub(super) fn first_elements(&self) -> Vec<usize> {
        let digits = self.digits();
        let mut index = vec![0];
        for (i, d) in digits.iter().enumerate() {
            if d.axis == Axis::Feature {
                let stride: usize = digits[i + 1..].iter().map(|d| d.size as usize).product();
                index = (index.iter())
                    .flat_map(|&base| (0..d.size as usize).map(move |k| base + k * stride))
                    .collect();
            }
        }
        index
    }
}

/// A digit.
pub(super) fn digit(axis: Axis, size: usize) -> Dim {
    Dim {
        axis,
        size: size as u32,
    }
}

fn size(dim: &[Dim]) -> usize {
    dim.iter().map(|d| d.size as usize).product()
}

/// Without digits of size 1, and with neighbours on one axis joined.
fn canonical(dim: Vec<Dim>) -> Vec<Dim> {
    let mut out: Vec<Dim> = Vec::with_capacity(dim.len());
    for d in dim.into_iter().filter(|d| d.size != 1) {
        match out.last_mut() {
            Some(last) if last.axis == d.axis => last.size *= d.size,
            _ => out.push(d),
        }
    }
    out
}
