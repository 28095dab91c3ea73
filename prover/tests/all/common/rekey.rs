//! A bench for rekey proofs: two keys for one model, and an honest proof that they are.

use air::graph::Model;
use prover::{Adversary, Honest};
use verifier::{Prepared, Privacy, Profile, RekeyError, RekeyProof, Rekeyed, verify_rekey};

use super::{P, Prover, Spec, mlp};

/// Weights that stay hidden for two proofs.
pub const WEIGHTS: Privacy = Privacy::DataAndWeights { proofs: 2 };

/// A prover for a model with private weights.
pub fn set_up(model: &Model) -> Prover {
    Prover::new(model.clone(), &Profile::LATENCY, WEIGHTS).expect("the model sets up")
}

/// An old key, a new one for the same model, and an honest proof, which verifies.
pub struct Lab {
    pub old: Prover,
    pub new: Prover,
    pub proof: RekeyProof<P>,
}

impl Lab {
    pub fn new() -> Self {
        let model = mlp(&Spec::default());
        let [old, new] = [set_up(&model), set_up(&model)];
        let proof = old.rekey_as(&new, &mut Honest).expect("it proves");
        let lab = Self { old, new, proof };
        assert_eq!(lab.verify(&lab.proof).map(|_| ()), Ok(()));
        lab
    }

    pub fn keys(&self) -> [&Prepared<P>; 2] {
        [self.old.verifying_key(), self.new.verifying_key()]
    }

    pub fn verify(&self, proof: &RekeyProof<P>) -> Result<Rekeyed, RekeyError> {
        let [old, new] = self.keys();
        verify_rekey(old, new, proof)
    }

    /// The refusal of a changed proof.
    pub fn refused(&self, change: impl FnOnce(&mut RekeyProof<P>)) -> RekeyError {
        let mut proof = self.proof.clone();
        change(&mut proof);
        self.verify(&proof).expect_err("a changed proof")
    }

    /// Fails unless the opening proof is what is refused.
    pub fn bad_opening(&self, change: impl FnOnce(&mut RekeyProof<P>)) {
        let error = self.refused(change);
        assert!(matches!(error, RekeyError::Opening(_)), "{error}");
    }
}

/// What `verify_rekey` makes of a dishonest successor.
pub fn attempt(
    old: &Prover,
    new: &Prover,
    adversary: &mut dyn Adversary<P>,
) -> Result<Rekeyed, RekeyError> {
    let proof = old.rekey_as(new, adversary).expect("it proves anything");
    verify_rekey(old.verifying_key(), new.verifying_key(), &proof)
}
