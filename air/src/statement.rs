//! # The statement
//!
//! > For the model identified by the verifying key there are values for what is not shown such that
//! > the quantised graph, evaluated on the inputs, gives the outputs.
//!
//! Each input and output is shown or private ([`Disclosed`]). Values that are shown are bound to the
//! proof by projection: the verifier evaluates `Σ ρ^· σ^· x` of the tensor itself and puts the
//! result on the claims bus. Of a private tensor the statement says that it exists and lies in its
//! range.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use serde::{Deserialize, Serialize};

use crate::bus::ClaimKind;
use crate::chips::signed;
use crate::graph::{Evaluation, Graph, Tensor, TensorId};

/// What a statement says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disclosed {
    /// Nothing but its shape and range.
    Private,
    /// Its values, flat `[feature][position]`.
    Public(Vec<i32>),
}

impl Disclosed {
    /// The values, if they are shown.
    pub fn values(&self) -> Option<&[i32]> {
        match self {
            Self::Private => None,
            Self::Public(values) => Some(values),
        }
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> Option<&mut Vec<i32>> {
        match self {
            Self::Private => None,
            Self::Public(values) => Some(values),
        }
    }
}

/// How much of a tensor a prover wants to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All values.
    Public,
    /// Nothing.
    Private,
}

/// How much of inputs and outputs a prover wants to show. By default the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Every input.
    pub inputs: Visibility,
    /// Every output.
    pub outputs: Visibility,
}

impl Policy {
    /// Everything is shown.
    pub const PUBLIC: Self = Self {
        inputs: Visibility::Public,
        outputs: Visibility::Public,
    };

    /// Whether anything is hidden.
    pub fn hides(&self) -> bool {
        *self != Self::PUBLIC
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            inputs: Visibility::Private,
            outputs: Visibility::Public,
        }
    }
}

/// The public part of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Every input.
    pub inputs: Vec<Disclosed>,
    /// Every output.
    pub outputs: Vec<Disclosed>,
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
    /// The statement an evaluation makes true, showing what the policy says.
    pub fn of(graph: &Graph, evaluation: &Evaluation, policy: &Policy) -> Self {
        let pick = |ids: &[TensorId], visibility| {
            ids.iter()
                .map(|id| match visibility {
                    Visibility::Public => Disclosed::Public(evaluation.tensors[id.index()].clone()),
                    Visibility::Private => Disclosed::Private,
                })
                .collect()
        };
        Self {
            inputs: pick(&graph.inputs, policy.inputs),
            outputs: pick(&graph.outputs, policy.outputs),
        }
    }

    /// Whether any tensor is not shown.
    pub fn hides(&self) -> bool {
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        tensors.any(|t| t.values().is_none())
    }

    /// For every tensor of the graph whether the statement shows it.
    pub fn shown(&self, graph: &Graph) -> Vec<bool> {
        let mut shown = alloc::vec![false; graph.tensors.len()];
        let inputs = self.inputs.iter().zip(&graph.inputs);
        for (disclosed, id) in inputs.chain(self.outputs.iter().zip(&graph.outputs)) {
            shown[id.index()] = disclosed.values().is_some();
        }
        shown
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
            for (disclosed, id) in tensors.iter().zip(ids) {
                if let Disclosed::Public(values) = disclosed {
                    check_tensor(values, id.index(), &graph.tensors[id.index()])?;
                }
            }
        }
        Ok(())
    }

    /// The canonical encoding that is hashed: for inputs, then outputs: the number of tensors, then
    /// for each 0 if it is private, or 1, its length and its values; all as little-endian 32-bit
    /// integers.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for tensors in [&self.inputs, &self.outputs] {
            bytes.extend((tensors.len() as u32).to_le_bytes());
            for disclosed in tensors {
                match disclosed {
                    Disclosed::Private => bytes.extend(0u32.to_le_bytes()),
                    Disclosed::Public(values) => {
                        bytes.extend(1u32.to_le_bytes());
                        bytes.extend((values.len() as u32).to_le_bytes());
                        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
                    }
                }
            }
        }
        bytes
    }

    /// The projections of all tensors that are shown. The statement must have passed [`Self::check`].
    pub fn claims<F: Field, EF: ExtensionField<F>>(
        &self,
        graph: &Graph,
        sigma_powers: &[EF],
        rho: EF,
    ) -> Vec<VerifierClaim<EF>> {
        let claim = |kind, id: TensorId, disclosed: &Disclosed| {
            let values = disclosed.values()?;
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
            Some(VerifierClaim {
                kind,
                tensor: id.index(),
                value,
            })
        };
        let inputs = self.inputs.iter().zip(&graph.inputs);
        let outputs = self.outputs.iter().zip(&graph.outputs);
        inputs
            .map(|(d, &id)| claim(ClaimKind::Input, id, d))
            .chain(outputs.map(|(d, &id)| claim(ClaimKind::Output, id, d)))
            .flatten()
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
