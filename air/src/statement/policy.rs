//! What a prover wants to show, and the statement that comes of it.

use alloc::vec::Vec;

use p3_field::PrimeField32;

use super::disclosed::words;
use super::{Disclosed, Hash, Salt, Statement, StatementError, TensorDigest};
use crate::chips::{poseidon2, sha256};
use crate::graph::{Evaluation, Graph, Range, Tensor, TensorId};

/// How much of a side's tensors a prover wants to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All values.
    Public,
    /// Nothing.
    Private,
    /// Digests.
    Hashed {
        /// The hash function.
        hash: Hash,
        /// A salt for each tensor. Without salts whoever can guess a tensor can confirm the guess.
        salts: Option<Vec<Salt>>,
    },
}

/// What a prover wants to show. By default the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Every input.
    pub inputs: Visibility,
    /// Every output.
    pub outputs: Visibility,
    /// For each input an interval for each of its features; none for inputs beyond the list's end.
    pub bounds: Vec<Option<Vec<Range>>>,
    /// How many of the largest features of each output to name.
    pub leading: Option<u32>,
}

impl Policy {
    /// Everything is shown.
    pub const PUBLIC: Self = Self::new(Visibility::Public, Visibility::Public);

    /// Inputs and outputs, and no facts about either.
    pub const fn new(inputs: Visibility, outputs: Visibility) -> Self {
        Self {
            inputs,
            outputs,
            bounds: Vec::new(),
            leading: None,
        }
    }

    /// Whether anything is hidden.
    pub fn hides(&self) -> bool {
        self.inputs != Visibility::Public || self.outputs != Visibility::Public
    }

    /// The salt of every tensor of the graph.
    pub fn salts(&self, graph: &Graph) -> Vec<Option<Salt>> {
        let mut salts = alloc::vec![None; graph.tensors.len()];
        let sides = [
            (&self.inputs, &graph.inputs),
            (&self.outputs, &graph.outputs),
        ];
        for (visibility, ids) in sides {
            if let Visibility::Hashed {
                salts: Some(list), ..
            } = visibility
            {
                for (id, salt) in ids.iter().zip(list) {
                    salts[id.index()] = Some(*salt);
                }
            }
        }
        salts
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Visibility::Private, Visibility::Public)
    }
}

impl Statement {
    /// The statement an evaluation makes true, saying what the policy wants said. `F` is the base
    /// field, which Poseidon2 works in.
    pub fn of<F: PrimeField32>(
        graph: &Graph,
        evaluation: &Evaluation,
        policy: &Policy,
    ) -> Result<Self, StatementError> {
        let say = |ids: &[TensorId], visibility: &Visibility| -> Result<Vec<_>, StatementError> {
            let one = |(i, id): (usize, &TensorId)| {
                let values = &evaluation.tensors[id.index()];
                show::<F>(
                    id.index(),
                    &graph.tensors[id.index()],
                    values,
                    visibility,
                    i,
                )
            };
            ids.iter().enumerate().map(one).collect()
        };
        let mut statement = Self {
            inputs: say(&graph.inputs, &policy.inputs)?,
            outputs: say(&graph.outputs, &policy.outputs)?,
        };
        for (i, bounds) in policy.bounds.iter().enumerate() {
            let (Some(bounds), Some(disclosed)) = (bounds, statement.inputs.get_mut(i)) else {
                continue;
            };
            let tensor = graph.inputs[i].index();
            let positions = graph.tensors[tensor].positions();
            let features = evaluation.tensors[tensor].chunks_exact(positions);
            let outside = features.zip(bounds).position(|(feature, range)| {
                let fits = |&v: &i32| range.contains(i64::from(v));
                !feature.iter().all(fits)
            });
            if let Some(feature) = outside {
                return Err(StatementError::OutOfBounds { tensor, feature });
            }
            disclosed.bounds = Some(bounds.clone());
        }
        if let Some(count) = policy.leading {
            for (disclosed, id) in statement.outputs.iter_mut().zip(&graph.outputs) {
                let values = &evaluation.tensors[id.index()];
                let positions = graph.tensors[id.index()].positions();
                let of = |p| leading(values, positions, p, count as usize);
                disclosed.leading = Some((0..positions).map(of).collect());
            }
        }
        Ok(statement)
    }
}

/// What is said of the `i`-th tensor of a side.
fn show<F: PrimeField32>(
    index: usize,
    tensor: &Tensor,
    values: &[i32],
    visibility: &Visibility,
    i: usize,
) -> Result<Disclosed, StatementError> {
    match visibility {
        Visibility::Public => Ok(Disclosed::public(values.to_vec())),
        Visibility::Private => Ok(Disclosed::PRIVATE),
        Visibility::Hashed { hash, salts } => {
            let salt = match salts {
                Some(list) => Some(list.get(i).ok_or(StatementError::Salt { tensor: index })?),
                None => None,
            };
            let digest = tensor_digest::<F>(*hash, values, tensor.range, salt);
            let digest = digest.map_err(|_| StatementError::Digest { tensor: index })?;
            Ok(Disclosed {
                digest: Some(digest),
                ..Disclosed::PRIVATE
            })
        }
    }
}

/// The digest of a tensor's elements.
pub fn tensor_digest<F: PrimeField32>(
    hash: Hash,
    values: &[i32],
    range: Range,
    salt: Option<&Salt>,
) -> Result<TensorDigest, crate::chips::hashed::HashError> {
    let bytes = match hash {
        Hash::Sha256 => sha256::digest(values, range, salt)?,
        Hash::Poseidon2 => {
            let salt = salt.map(|s| words(s).map(F::from_u32));
            let digest = poseidon2::digest::<F>(values, range, salt.as_ref())?;
            let mut bytes = [0; 32];
            for (slot, lane) in bytes.chunks_exact_mut(4).zip(digest) {
                slot.copy_from_slice(&lane.as_canonical_u32().to_le_bytes());
            }
            bytes
        }
    };
    Ok(TensorDigest {
        hash,
        salted: salt.is_some(),
        bytes,
    })
}

/// The `count` features that are largest at position `p`, ascending by index. Of equals the first
/// are taken.
fn leading(values: &[i32], positions: usize, p: usize, count: usize) -> Vec<u32> {
    let column: Vec<i32> = values.iter().skip(p).step_by(positions).copied().collect();
    let mut order: Vec<u32> = (0..column.len() as u32).collect();
    // A stable sort: of equals the first stays first.
    order.sort_by_key(|&f| core::cmp::Reverse(column[f as usize]));
    order.truncate(count);
    order.sort_unstable();
    order
}
