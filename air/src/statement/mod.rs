//! # The statement
//!
//! > For the model identified by the verifying key there are values for what is not shown such that
//! > the quantised graph, evaluated on the inputs, gives the outputs.
//!
//! What is said of each input and output is a [`Disclosed`]: its values, or a digest of them, or an
//! interval for each feature, or which features are the largest; or nothing, and then it is private.
//! Values that are shown are bound to the proof by projection: the verifier evaluates
//! `Σ ρ^· σ^· x` of the tensor itself and receives the claim on it. A digest, bounds and ranks are
//! proved by tables of their own, which receive the same claim. Of a private tensor the statement
//! says that it exists and lies in its range.

mod disclosed;
mod policy;

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use serde::{Deserialize, Serialize};

use crate::bus::ClaimKind;
use crate::chips::{poseidon2, sha256, signed};
use crate::graph::{Graph, Tensor, TensorId};

pub use disclosed::{Disclosed, Hash, Salt, TensorDigest, words};
pub use policy::{Policy, Visibility, tensor_digest};

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
    /// A tensor is shown, and more is said of it.
    #[error("tensor {tensor}: its values are shown, nothing else may be said of it")]
    Redundant {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A tensor's range has no encoding for the hash, or a digest is not written canonically.
    #[error("tensor {tensor}: it has no such digest")]
    Digest {
        /// Index of the tensor.
        tensor: usize,
    },
    /// There is no salt for a tensor that is to be hashed with one.
    #[error("tensor {tensor}: there is no salt for its digest")]
    Salt {
        /// Index of the tensor.
        tensor: usize,
    },
    /// Bounds do not name an interval inside the tensor's range for every feature.
    #[error("tensor {tensor}: its bounds are not one interval inside its range for each feature")]
    Bounds {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A value lies outside the bounds that are to be proved.
    #[error("tensor {tensor}: feature {feature} lies outside the bounds to be proved")]
    OutOfBounds {
        /// Index of the tensor.
        tensor: usize,
        /// Index of the feature.
        feature: usize,
    },
    /// The leading features are not as many for every position, ascending, features of the tensor.
    #[error("tensor {tensor}: its leading features are not a list of its features")]
    Leading {
        /// Index of the tensor.
        tensor: usize,
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
    /// Whether any tensor is not shown.
    pub fn hides(&self) -> bool {
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        tensors.any(|t| t.values.is_none())
    }

    /// Every tensor something may be said of, with what is said: inputs, then outputs.
    pub fn tensors<'a>(
        &'a self,
        graph: &'a Graph,
    ) -> impl Iterator<Item = (ClaimKind, TensorId, &'a Disclosed)> {
        let inputs = graph.inputs.iter().zip(&self.inputs);
        let outputs = graph.outputs.iter().zip(&self.outputs);
        inputs
            .map(|(&id, d)| (ClaimKind::Input, id, d))
            .chain(outputs.map(|(&id, d)| (ClaimKind::Output, id, d)))
    }

    /// For every tensor of the graph how many times its claim is received.
    pub fn receivers(&self, graph: &Graph) -> Vec<u32> {
        let mut receivers = alloc::vec![0; graph.tensors.len()];
        for (_, id, disclosed) in self.tensors(graph) {
            receivers[id.index()] = disclosed.receivers();
        }
        receivers
    }

    /// Checks shapes and ranges against the graph. Values in range have one representative modulo
    /// the field's order, and every part has one way of being written.
    pub fn check(&self, graph: &Graph, modulus: u64) -> Result<(), StatementError> {
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
        }
        for (_, id, disclosed) in self.tensors(graph) {
            let shape = &graph.tensors[id.index()];
            check_disclosed(disclosed, id.index(), shape, modulus)?;
        }
        Ok(())
    }

    /// The canonical encoding that is hashed: for inputs, then outputs: the number of tensors, then
    /// for each what is said of it, all as little-endian 32-bit integers.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for tensors in [&self.inputs, &self.outputs] {
            bytes.extend((tensors.len() as u32).to_le_bytes());
            for disclosed in tensors {
                disclosed.encode(&mut bytes);
            }
        }
        bytes
    }

    /// The messages the verifier receives: projections of tensors that are shown, and digests. The
    /// statement must have passed [`Self::check`].
    pub fn claims<F: Field, EF: ExtensionField<F>>(
        &self,
        graph: &Graph,
        sigma: EF,
        rho: EF,
    ) -> Vec<VerifierClaim<EF>> {
        let mut claims = Vec::new();
        for (kind, id, disclosed) in self.tensors(graph) {
            let tensor = id.index();
            if let Some(values) = &disclosed.values {
                let positions = graph.tensors[tensor].positions();
                let value = project::<F, EF>(kind, values, positions, sigma, rho);
                claims.push(VerifierClaim {
                    kind,
                    tensor,
                    value,
                });
            }
            if let Some(digest) = &disclosed.digest {
                let value = match digest.hash {
                    Hash::Sha256 => sha256::digest_value(&digest.bytes, sigma),
                    Hash::Poseidon2 => {
                        poseidon2::digest_value(&words(&digest.bytes).map(F::from_u32), sigma)
                    }
                };
                claims.push(VerifierClaim {
                    kind: ClaimKind::Digest,
                    tensor,
                    value,
                });
            }
        }
        claims
    }
}

/// `Σ ρ^· Σ_p σ^p x[·][p]`: inputs fold from the top (ρ^(F−1−f)), outputs from the bottom (ρ^f).
fn project<F: Field, EF: ExtensionField<F>>(
    kind: ClaimKind,
    values: &[i32],
    positions: usize,
    sigma: EF,
    rho: EF,
) -> EF {
    let feature = |row: &[i32]| -> EF {
        let values = row.iter().rev();
        values.fold(EF::ZERO, |acc, &v| acc * sigma + signed::<F>(i64::from(v)))
    };
    let rows = values.chunks_exact(positions);
    match kind {
        ClaimKind::Output => rows.rev().fold(EF::ZERO, |acc, r| acc * rho + feature(r)),
        _ => rows.fold(EF::ZERO, |acc, r| acc * rho + feature(r)),
    }
}

fn check_disclosed(
    disclosed: &Disclosed,
    tensor: usize,
    shape: &Tensor,
    modulus: u64,
) -> Result<(), StatementError> {
    if let Some(values) = &disclosed.values {
        check_tensor(values, tensor, shape)?;
        if disclosed.needs_table() {
            return Err(StatementError::Redundant { tensor });
        }
    }
    if let Some(digest) = &disclosed.digest {
        let written = match digest.hash {
            Hash::Sha256 => sha256::Width::of(shape.range).is_some(),
            Hash::Poseidon2 => true,
        };
        if !written || !digest.hash.is_canonical(&digest.bytes, modulus) {
            return Err(StatementError::Digest { tensor });
        }
    }
    if let Some(bounds) = &disclosed.bounds
        && !Disclosed::bounds_fit(bounds, shape)
    {
        return Err(StatementError::Bounds { tensor });
    }
    if let Some(leading) = &disclosed.leading
        && !Disclosed::leading_fits(leading, shape)
    {
        return Err(StatementError::Leading { tensor });
    }
    Ok(())
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
