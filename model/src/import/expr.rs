//! A value on its way from one layer to the next: a sum of linear maps of tensors that exist, and a
//! constant for each feature. It becomes a layer only when something not linear asks for it.

use air::graph::{AXES, Axis, AxisMap, Kernel};

use super::layout::Layout;
use super::term;
use crate::float::{Affine, FloatTerm};

/// A value that depends on the inputs.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    /// Name in the ONNX file.
    pub name: String,
    /// Its ONNX shape, and where its elements lie.
    pub layout: Layout,
    /// What is added up.
    pub terms: Vec<FloatTerm>,
    /// One for each feature.
    pub bias: Vec<f64>,
    /// Scaling of the graph input that the only term reads, applied first.
    pub scaler: Option<Affine>,
    /// The nodes behind the work that is no layer yet.
    pub nodes: Vec<(String, String)>,
    /// Whether no element can be negative.
    pub is_nonnegative: bool,
}

impl Expr {
    /// A tensor as it is.
    pub(super) fn tensor(name: &str, index: usize, layout: Layout) -> Self {
        let features = layout.features();
        Self {
            name: name.to_owned(),
            terms: vec![FloatTerm::identity(index, features, layout.extent())],
            bias: vec![0.0; features],
            layout,
            scaler: None,
            nodes: Vec::new(),
            is_nonnegative: false,
        }
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        self.layout.shape()
    }

    pub(super) fn features(&self) -> usize {
        self.layout.features()
    }

    pub(super) fn extent(&self) -> [u32; AXES] {
        self.layout.extent()
    }

    pub(super) fn elements(&self) -> usize {
        let positions: usize = self.extent().iter().map(|&n| n as usize).product();
        self.features().saturating_mul(positions)
    }

    /// The tensor it is a copy of, if it is one.
    pub(super) fn as_tensor(&self) -> Option<usize> {
        match self.terms.as_slice() {
            [term]
                if term.is_identity(self.features(), self.extent())
                    && self.scaler.is_none()
                    && self.has_no_bias() =>
            {
                Some(term.input)
            }
            _ => None,
        }
    }

    pub(super) fn has_no_bias(&self) -> bool {
        self.bias.iter().all(|&b| b == 0.0)
    }

    /// Whether it is so much work that two readers should share it.
    pub(super) fn is_heavy(&self) -> bool {
        self.terms.len() > 3
            || self.scaler.is_some()
            || !self.terms.iter().all(FloatTerm::is_simple)
    }

    /// `scale·x + offset` for every feature. `false`, and nothing done, where it has to be a layer first.
    pub(super) fn affine(&mut self, scale: &[f64], offset: &[f64]) -> bool {
        let mut terms = self.terms.clone();
        if !terms.iter_mut().all(|term| term::scale(term, scale)) {
            return false;
        }
        self.terms = terms;
        for ((b, s), o) in self.bias.iter_mut().zip(scale).zip(offset) {
            *b = *b * s + o;
        }
        self.is_nonnegative &= scale.iter().all(|&s| s >= 0.0) && offset.iter().all(|&o| o >= 0.0);
        true
    }

    /// The affine map that was applied to a tensor, if that is all there is.
    pub(super) fn as_affine(&self) -> Option<(usize, Affine)> {
        let [term] = self.terms.as_slice() else {
            return None;
        };
        let whole = term.is_simple()
            && self.scaler.is_none()
            && term.map.first_input == 0
            && term.map.groups as usize == self.features()
            && term.map.axes == self.extent().map(AxisMap::identity);
        if !whole {
            return None;
        }
        let scale = match term.map.kernel {
            Kernel::Weights => term.values.iter().map(|&w| f64::from(w)).collect(),
            _ => vec![f64::from(term.values[0]); self.features()],
        };
        let offset = self.bias.clone();
        Some((term.input, Affine { scale, offset }))
    }

    /// Whether every position lies on the axes that dimensions of this rank have in images.
    pub(super) fn is_image(&self) -> bool {
        let axes: &[Axis] = match self.layout.rank() {
            3 => &[Axis::Depth, Axis::Feature, Axis::Width],
            4 => &[Axis::Depth, Axis::Feature, Axis::Height, Axis::Width],
            5 => return self.layout.dims()[0].is_empty() && self.is_volume(),
            _ => return false,
        };
        axes.iter()
            .enumerate()
            .all(|(i, &axis)| self.layout.is_whole(i, axis))
    }

    fn is_volume(&self) -> bool {
        let axes = [Axis::Feature, Axis::Depth, Axis::Height, Axis::Width];
        axes.into_iter()
            .enumerate()
            .all(|(i, axis)| self.layout.is_whole(i + 1, axis))
    }
}
