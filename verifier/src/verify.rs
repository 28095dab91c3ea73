//! # Verification
//!
//! The whole verifier: shapes, transcript, the sum of terminals, every table's constraints at ζ,
//! and one opening proof. Nothing about shapes is read from the proof; every list is compared with
//! the layout before it is used.

use alloc::vec;
use alloc::vec::Vec;

use air::builder::{Challenges, ConstraintFolder, Element, Over, Row};
use air::bus::Bus;
use air::chips::Air;
use air::layout::{Layout, Table};
use air::logup::LookupRow;
use air::statement::{Statement, StatementError, VerifierClaim};
use p3_commit::{CommitmentOpening, MatrixOpening, Pcs, PointOpening};
use p3_field::coset::TwoAdicMultiplicativeCoset;
use p3_field::{
    BasedVectorSpace, Field, PrimeCharacteristicRing, PrimeField32, TwoAdicField,
    batch_multiplicative_inverse,
};

use crate::config::{Commitment, Protocol};
use crate::key::{KeyError, Prepared};
use crate::proof::{Proof, ProofFile, TableOpenings, statement_digest};
use crate::transcript::{Digest, Pow, Transcript};

/// What a successful verification established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Digest of the model.
    pub model: Digest,
    /// Digest of the verifying key.
    pub key: Digest,
    /// Digest of the statement.
    pub statement: Digest,
    /// Proven bits of security.
    pub security_bits: u32,
}

/// Why a proof is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The statement is not about this key's graph.
    #[error("wrong statement: {0}")]
    Statement(#[from] StatementError),
    /// The statement does not show everything, and proofs for this key hide nothing.
    #[error("the statement hides values, but proofs for this key are not zero-knowledge")]
    NotHiding,
    /// What the statement says of a hidden tensor cannot be proved: its tables would be too tall, or
    /// the proof below its level.
    #[error("the statement cannot be proved with this key: {0}")]
    Tables(#[from] KeyError),
    /// The proof file names another key.
    #[error("the proof was made for another verifying key")]
    Key,
    /// The proof does not have the shape the key gives it.
    #[error("malformed proof: {0} has the wrong shape")]
    Shape(&'static str),
    /// A grinding witness is wrong.
    #[error("invalid proof: proof of work before {0} is wrong")]
    Pow(&'static str),
    /// What the tables sent and received does not cancel.
    #[error("invalid proof: the buses do not balance")]
    Buses,
    /// A verifier's own message coincides with a challenge; happens with negligible probability.
    #[error("invalid proof: a claim has no fraction")]
    Claim,
    /// A table's constraints do not hold at ζ.
    #[error("invalid proof: the constraints of the {chip} table do not hold")]
    Constraints {
        /// The chip.
        chip: &'static str,
    },
    /// A table is taller than the field has roots of unity for; the layout's bound excludes it.
    #[error("a table is too tall for the field")]
    Domain,
    /// The opening proof is wrong.
    #[error("invalid proof: the opening proof is wrong ({0})")]
    Opening(alloc::string::String),
}

/// Checks a proof file: that it is for this key, and that its proof proves its statement.
pub fn verify_file<P: Protocol>(
    prepared: &Prepared<P>,
    file: &ProofFile<P>,
) -> Result<Verified, VerifyError> {
    if file.key != prepared.digest {
        return Err(VerifyError::Key);
    }
    verify(prepared, &file.statement, &file.proof)
}

/// Checks that `proof` proves `statement` for the model of `prepared`.
pub fn verify<P: Protocol>(
    prepared: &Prepared<P>,
    statement: &Statement,
    proof: &Proof<P>,
) -> Result<Verified, VerifyError> {
    let modulus = u64::from(P::Val::ORDER_U32);
    statement.check(&prepared.key.graph, modulus)?;
    if statement.hides() && !prepared.layout.is_hiding() {
        return Err(VerifyError::NotHiding);
    }
    let (layout, security) = prepared.proof_layout(statement)?;
    let graph = &prepared.key.graph;
    let digest = statement_digest(statement);
    let about = About {
        layout,
        receivers: statement.receivers(graph),
        claims: |c: &Challenges<_>| statement.claims::<P::Val, _>(graph, c.sigma(), c.rho()),
    };
    let transcript = Transcript::<P>::new(&prepared.profile, &prepared.digest, &digest);
    check_proof(prepared, about, transcript, proof)?;
    Ok(Verified {
        model: prepared.model_digest(),
        key: prepared.digest,
        statement: digest,
        security_bits: security.bits() as u32,
    })
}

/// What a proof is about, for the checks that do not care.
pub(crate) struct About<Claims> {
    /// Its tables.
    pub layout: Layout,
    /// How often the claim on each tensor is received.
    pub receivers: Vec<u32>,
    /// The verifier's own messages.
    pub claims: Claims,
}

/// Checks everything there is to check of a proof, from a transcript that has begun.
pub(crate) fn check_proof<P, Claims>(
    prepared: &Prepared<P>,
    about: About<Claims>,
    mut transcript: Transcript<P>,
    proof: &Proof<P>,
) -> Result<(), VerifyError>
where
    P: Protocol,
    Claims: FnOnce(&Challenges<P::Challenge>) -> Vec<VerifierClaim<P::Challenge>>,
{
    let (layout, profile) = (&about.layout, &prepared.profile);
    check_shape(layout, proof)?;
    let drawn = transcript.main(&proof.main);
    let (_, [alpha, beta]) = transcript
        .projection(&proof.projection, profile, Pow::Check(proof.lookup_pow))
        .map_err(|_| VerifyError::Pow("the lookup challenges"))?;
    let lambda = transcript.lookup(&proof.lookup, &proof.terminals);
    let (_, zeta) = transcript
        .quotient(&proof.quotient, profile, Pow::Check(proof.ood_pow))
        .map_err(|_| VerifyError::Pow("the out-of-domain point"))?;

    let challenges = Challenges::projection(drawn, layout.power_counts(), about.receivers)
        .with_lookup(alpha, beta);
    check_buses::<P>((about.claims)(&challenges), &challenges, &proof.terminals)?;
    for ((table, opened), &terminal) in
        (layout.tables.iter().zip(&proof.opened)).zip(&proof.terminals)
    {
        check_constraints::<P>(table, opened, terminal, &challenges, lambda, zeta)?;
    }
    let rounds = opening_rounds(prepared, layout, proof, zeta).ok_or(VerifyError::Domain)?;
    P::pcs(profile)
        .verify(rounds, &proof.pcs, &mut transcript.challenger)
        .map_err(|e| VerifyError::Opening(alloc::format!("{e:?}")))
}

fn check_shape<P: Protocol>(layout: &Layout, proof: &Proof<P>) -> Result<(), VerifyError> {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    let tables = &layout.tables;
    let commitments = [
        &proof.main,
        &proof.projection,
        &proof.lookup,
        &proof.quotient,
    ];
    if !commitments.into_iter().all(P::is_single_root) {
        return Err(VerifyError::Shape("a commitment"));
    }
    if !P::has_single_roots(&proof.pcs) {
        return Err(VerifyError::Shape("a commitment of the opening proof"));
    }
    if proof.terminals.len() != tables.len() {
        return Err(VerifyError::Shape("the list of terminals"));
    }
    if proof.opened.len() != tables.len() {
        return Err(VerifyError::Shape("the list of openings"));
    }
    let matches = |(t, o): (&Table, &TableOpenings<_>)| o.matches(t, degree);
    if !tables.iter().zip(&proof.opened).all(matches) {
        return Err(VerifyError::Shape("a table's openings"));
    }
    let mask = if layout.is_hiding() { degree } else { 0 };
    if proof.mask.len() != mask {
        return Err(VerifyError::Shape("the mask"));
    }
    Ok(())
}

/// Σ terminals − Σ 1/(own claims) = 0.
fn check_buses<P: Protocol>(
    claims: Vec<VerifierClaim<P::Challenge>>,
    challenges: &Challenges<P::Challenge>,
    terminals: &[P::Challenge],
) -> Result<(), VerifyError> {
    let mut sum: P::Challenge = terminals.iter().copied().sum();
    for claim in claims {
        let entries = [
            Element::Base(P::Challenge::from_u8(claim.kind as u8)),
            Element::Base(P::Challenge::from_u64(claim.tensor as u64)),
            Element::Ext(claim.value),
        ];
        let d: P::Challenge = challenges.denominator(P::Challenge::ONE, Bus::Claim, &entries);
        sum -= d.try_inverse().ok_or(VerifyError::Claim)?;
    }
    if sum.is_zero() {
        Ok(())
    } else {
        Err(VerifyError::Buses)
    }
}

/// The folded constraints at ζ equal Z_H(ζ)·Q(ζ).
fn check_constraints<P: Protocol>(
    table: &Table,
    opened: &TableOpenings<P::Challenge>,
    terminal: P::Challenge,
    challenges: &Challenges<P::Challenge>,
    lambda: P::Challenge,
    zeta: P::Challenge,
) -> Result<(), VerifyError> {
    let challenges = &challenges.for_chip(&table.chip);
    let projection = recombine::<P>(&opened.projection);
    let projection_next = recombine::<P>(&opened.projection_next);
    let lookup = recombine::<P>(&opened.lookup);
    let lookup_next = recombine::<P>(&opened.lookup_next);
    let form = table.chip.weight_form(challenges).map(|coefficients| {
        let terms = coefficients.iter().zip(&opened.weight);
        terms.map(|(&c, &w)| c * w).sum()
    });
    let fixed = match table.is_outside_key() {
        true => &fixed_at::<P>(table, zeta).ok_or(VerifyError::Domain)?,
        false => &opened.fixed,
    };
    let row = Row {
        fixed,
        weight: &opened.weight,
        main: &opened.main,
        form,
        projection: &projection,
        projection_next: &projection_next,
    };
    let width = table.widths.lookup();
    let columns = LookupRow {
        local: &lookup[..width],
        next: &lookup_next[..width],
        terminal: table.blinded(terminal, &projection_next),
    };
    let folder = ConstraintFolder::new(row, columns, challenges, lambda);
    let mut folder = Over::<_, P::Val>::new(folder);
    table.chip.eval(&mut folder);
    let folded = folder.into_inner().finish();

    let zeta_n = zeta.exp_power_of_2(table.log_height);
    // Q(ζ) = Σ_i ζ^(i·stride)·Q_i(ζ)
    let quotient: P::Challenge = (zeta.exp_u64(table.quotient_stride() as u64).powers())
        .zip(recombine::<P>(&opened.quotient))
        .map(|(power, chunk)| power * chunk)
        .sum();
    if folded == (zeta_n - P::Challenge::ONE) * quotient {
        Ok(())
    } else {
        let chip = table.chip.name();
        Err(VerifyError::Constraints { chip })
    }
}

/// The fixed columns of a statement's table at ζ, from their values on the live rows: with n rows
/// and ω the generator of their domain, `f(ζ) = (ζ^n − 1)/n · Σ_r f(ω^r)·ω^r/(ζ − ω^r)`. `None` if ζ
/// lies in the domain.
fn fixed_at<P: Protocol>(table: &Table, zeta: P::Challenge) -> Option<Vec<P::Challenge>> {
    let fixed = table.generate_live_fixed::<P::Val>();
    let omega = P::Val::two_adic_generator(table.log_height);
    let points: Vec<P::Val> = omega.powers().take(table.live_rows()).collect();
    let distances: Vec<P::Challenge> = points.iter().map(|&x| zeta - x).collect();
    if distances.iter().any(P::Challenge::is_zero) {
        return None;
    }
    let height = P::Val::from_u32(1 << table.log_height);
    let scale = (zeta.exp_power_of_2(table.log_height) - P::Challenge::ONE) * height.inverse();
    let mut values = P::Challenge::zero_vec(fixed.width);
    let inverses = batch_multiplicative_inverse(&distances);
    for ((row, &x), &inverse) in fixed.row_slices().zip(&points).zip(&inverses) {
        let weight = inverse * x;
        for (value, &cell) in values.iter_mut().zip(row) {
            // Most cells are 0 or 1.
            if cell.is_one() {
                *value += weight;
            } else if !cell.is_zero() {
                *value += weight * cell;
            }
        }
    }
    values.iter_mut().for_each(|value| *value *= scale);
    Some(values)
}

/// Extension columns from the opened values of their base columns.
pub(crate) fn recombine<P: Protocol>(base: &[P::Challenge]) -> Vec<P::Challenge> {
    let degree = <P::Challenge as BasedVectorSpace<P::Val>>::DIMENSION;
    base.chunks_exact(degree)
        .map(|coefficients| {
            coefficients
                .iter()
                .enumerate()
                .filter_map(|(i, &c)| {
                    <P::Challenge as BasedVectorSpace<P::Val>>::ith_basis_element(i).map(|b| b * c)
                })
                .sum()
        })
        .collect()
}

/// A commitment with what is opened of it.
pub(crate) type Round<P> = CommitmentOpening<
    <P as Protocol>::Challenge,
    Commitment<P>,
    TwoAdicMultiplicativeCoset<<P as Protocol>::Val>,
>;

/// Which commitment is P.
const PROJECTION: usize = 3;

/// A table's values of one commitment, at each point it is opened at.
type Pick<EF> = fn(&TableOpenings<EF>) -> Vec<Vec<EF>>;

/// All commitments with the points they are opened at: F, W, M at ζ; P, L at ζ and ω·ζ, and with P the
/// mask of the batch at ζ; Q at ζ. Those no table has columns in, F of an attestation, are left out.
fn opening_rounds<P: Protocol>(
    prepared: &Prepared<P>,
    layout: &Layout,
    proof: &Proof<P>,
    zeta: P::Challenge,
) -> Option<Vec<Round<P>>> {
    let key = &prepared.key;
    let rounds: [(&Commitment<P>, Pick<P::Challenge>); 6] = [
        (&key.fixed, |o| vec![o.fixed.clone()]),
        (&key.weights, |o| vec![o.weight.clone()]),
        (&proof.main, |o| vec![o.main.clone()]),
        (&proof.projection, |o| {
            vec![o.projection.clone(), o.projection_next.clone()]
        }),
        (&proof.lookup, |o| {
            vec![o.lookup.clone(), o.lookup_next.clone()]
        }),
        (&proof.quotient, |o| vec![o.quotient.clone()]),
    ];
    let mut rounds: Vec<Round<P>> = rounds
        .into_iter()
        .map(|(commitment, pick)| opening_round(layout, proof, zeta, commitment, pick))
        .collect::<Option<_>>()?;
    if layout.is_hiding() {
        let log_height = layout.max_log_height();
        let values = proof.mask.clone();
        let projection = rounds.get_mut(PROJECTION)?;
        projection.matrices.push(MatrixOpening {
            domain: TwoAdicMultiplicativeCoset::new(P::Val::ONE, log_height)?,
            points: vec![PointOpening {
                point: zeta,
                values,
            }],
        });
    }
    rounds.retain(|round| !round.matrices.is_empty());
    Some(rounds)
}

/// One commitment: a matrix for every table that has columns in it.
fn opening_round<P: Protocol>(
    layout: &Layout,
    proof: &Proof<P>,
    zeta: P::Challenge,
    commitment: &Commitment<P>,
    pick: Pick<P::Challenge>,
) -> Option<Round<P>> {
    let mut matrices = Vec::new();
    for (table, opened) in layout.tables.iter().zip(&proof.opened) {
        let values = pick(opened);
        if values.iter().all(Vec::is_empty) {
            continue;
        }
        let next = zeta * P::Val::two_adic_generator(table.log_height);
        let points = [zeta, next]
            .into_iter()
            .zip(values)
            .map(|(point, values)| PointOpening { point, values })
            .collect();
        let domain = TwoAdicMultiplicativeCoset::new(P::Val::ONE, table.log_height)?;
        matrices.push(MatrixOpening { domain, points });
    }
    Some(CommitmentOpening {
        commitment: commitment.clone(),
        matrices,
    })
}
