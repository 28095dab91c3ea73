//! # The statement
//!
//! > For the model identified by the verifying key, the quantised graph evaluated on these inputs
//! > gives these outputs.
//!
//! All values are public in this version. They are bound to the proof by projection: the verifier
//! evaluates `Σ ρ^· σ^· x` of every public tensor itself and puts the result on the claims bus.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use serde::{Deserialize, Serialize};

use crate::bus::ClaimKind;
use crate::chips::signed;
use crate::graph::{Evaluation, Graph, Tensor};

/// The public part of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Every input, flat `[feature][position]`.
    pub inputs: Vec<Vec<i32>>,
    /// Every output, flat `[feature][position]`.
    pub outputs: Vec<Vec<i32>>,
}

/// Why a statement is not one about a given graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Too few or too many inputs or outputs.
    #[error("the statement has {got} tensors, the graph {expected}")]
    Count {
        /// Public tensors of the graph.
        expected: usize,
        /// Tensors in the statement.
        got: usize,
    },
    /// A tensor has the wrong number of elements.
    #[error("tensor {tensor}: expected {expected} elements, got {got}")]
    Length {
        /// Index of the tensor.
        tensor: usize,
        /// Elements of the graph's tensor.
        expected: usize,
        /// Elements in the statement.
        got: usize,
    },
    /// A value lies outside its tensor's range.
    #[error("tensor {tensor}: element {element} is outside the tensor's range")]
    Range {
        /// Index of the tensor.
        tensor: usize,
        /// Index of the element.
        element: usize,
    },
}

/// A message the verifier puts on the claims bus itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierClaim<EF> {
    /// What it claims.
    pub kind: ClaimKind,
    /// Of which tensor.
    pub tensor: usize,
    /// The projected value. The verifier *receives* it.
    pub value: EF,
}

impl Statement {
    /// The statement an evaluation makes true.
    pub fn of(graph: &Graph, evaluation: &Evaluation) -> Self {
        let pick = |ids: &[crate::graph::TensorId]| {
            ids.iter()
                .map(|id| evaluation.tensors[id.index()].clone())
                .collect()
        };
        Self {
            inputs: pick(&graph.inputs),
            outputs: pick(&graph.outputs),
        }
    }

    /// Checks shapes and ranges against the graph. Values in range have one representative mod p.
    pub fn check(&self, graph: &Graph) -> Result<(), StatementError> {
        let sides = [
            (&self.inputs, &graph.inputs),
            (&self.outputs, &graph.outputs),
        ];
        for (tensors, ids) in sides {
            if tensors.len() != ids.len() {
                return Err(StatementError::Count {
                    expected: ids.len(),
                    got: tensors.len(),
                });
            }
            for (values, id) in tensors.iter().zip(ids) {
                check_tensor(values, id.index(), &graph.tensors[id.index()])?;
            }
        }
        Ok(())
    }

    /// The canonical encoding that is hashed: for inputs, then outputs: the number of tensors, then
    /// for each its length and its values, all as little-endian 32-bit integers.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for tensors in [&self.inputs, &self.outputs] {
            bytes.extend((tensors.len() as u32).to_le_bytes());
            for values in tensors {
                bytes.extend((values.len() as u32).to_le_bytes());
                bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
        bytes
    }

    /// The projections of all public tensors. The statement must have passed [`Self::check`].
    pub fn claims<F: Field, EF: ExtensionField<F>>(
        &self,
        graph: &Graph,
        sigma_powers: &[EF],
        rho: EF,
    ) -> Vec<VerifierClaim<EF>> {
        let claim = |kind, id: crate::graph::TensorId, values: &[i32]| {
            let positions = graph.tensors[id.index()].positions as usize;
            let feature = |row: &[i32]| -> EF {
                row.iter()
                    .zip(sigma_powers)
                    .map(|(&v, &sigma)| sigma * signed::<F>(i64::from(v)))
                    .sum()
            };
            let rows = values.chunks_exact(positions);
            // Inputs fold from the top (ρ^(F−1−f)), outputs from the bottom (ρ^f).
            let value = match kind {
                ClaimKind::Output => rows.rev().fold(EF::ZERO, |acc, r| acc * rho + feature(r)),
                _ => rows.fold(EF::ZERO, |acc, r| acc * rho + feature(r)),
            };
            VerifierClaim {
                kind,
                tensor: id.index(),
                value,
            }
        };
        let inputs = self.inputs.iter().zip(&graph.inputs);
        let outputs = self.outputs.iter().zip(&graph.outputs);
        inputs
            .map(|(v, &id)| claim(ClaimKind::Input, id, v))
            .chain(outputs.map(|(v, &id)| claim(ClaimKind::Output, id, v)))
            .collect()
    }
}

fn check_tensor(values: &[i32], tensor: usize, shape: &Tensor) -> Result<(), StatementError> {
    if values.len() != shape.len() {
        return Err(StatementError::Length {
            tensor,
            expected: shape.len(),
            got: values.len(),
        });
    }
    match values
        .iter()
        .position(|&v| !shape.range.contains(i64::from(v)))
    {
        Some(element) => Err(StatementError::Range { tensor, element }),
        None => Ok(()),
    }
}
