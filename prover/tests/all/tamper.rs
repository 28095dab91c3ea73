//! # Tamper manifest
//!
//! Every field of everything that is exchanged, changed, with the error it must give. The structs
//! are taken apart exhaustively: a new field does not compile until it is listed here. If this
//! failed, some part of a proof, statement or key would be carried without being checked.

use crate::common::attack::{EF, F, constraints, shown};
use crate::common::{MODULUS, P, Prover, Spec, input, mlp};
use air::graph::{Encoding, Function, Graph, GraphError, Range, TensorId};
use air::layout::{Layout, LayoutError};
use air::statement::{Disclosed, Policy, Statement, StatementError};
use p3_field::PrimeCharacteristicRing;
use verifier::VerifyError::{self, Buses, NotHiding, Opening, Pow, Shape};
use verifier::codec::{self, CodecError};
use verifier::{
    KeyError, Prepared, Privacy, Profile, Proof, ProofFile, TableOpenings, VerifyingKey, verify,
};

/// Drops the last entry.
fn shorten<T>(list: &mut Vec<T>) {
    list.truncate(list.len() - 1);
}

struct Fixture {
    key: Prepared<P>,
    file: ProofFile<P>,
    /// An honest proof for the same key and another input.
    other: ProofFile<P>,
}

fn fixture() -> Fixture {
    let model = mlp(&Spec::default());
    let inputs = [input(&model, 7), input(&model, 8)];
    let prover = Prover::new(model, &Profile::LATENCY, Privacy::None).expect("the model sets up");
    let [file, other] = inputs.map(|x| {
        let evaluation = prover.evaluate(&x).expect("the model evaluates");
        let file = prover
            .prove(&evaluation, &Policy::PUBLIC)
            .expect("the prover finishes");
        verify(prover.verifying_key(), &file.statement, &file.proof).expect("it verifies");
        file
    });
    let key = prover.verifying_key().clone();
    Fixture { key, file, other }
}

impl Fixture {
    /// The refusal of a changed proof.
    fn refused(&self, change: impl FnOnce(&mut Proof<P>)) -> VerifyError {
        let mut proof = self.file.proof.clone();
        change(&mut proof);
        verify(&self.key, &self.file.statement, &proof).expect_err("a changed proof")
    }

    /// Fails unless the opening proof is what is refused.
    fn bad_opening(&self, change: impl FnOnce(&mut Proof<P>)) {
        let error = self.refused(change);
        assert!(matches!(error, Opening(_)), "{error}");
    }

    fn bad_statement(&self, change: impl FnOnce(&mut Statement)) -> VerifyError {
        let mut statement = self.file.statement.clone();
        change(&mut statement);
        verify(&self.key, &statement, &self.file.proof).expect_err("a changed statement")
    }
}

#[test]
fn rejects_a_change_of_every_field_of_a_proof() {
    let f = fixture();
    let Proof {
        main,
        projection,
        lookup,
        quotient,
        terminals,
        lookup_pow: _,
        ood_pow: _,
        opened,
        // Empty: nothing is hidden here; `hiding.rs` changes it where there is one.
        mask,
        pcs: _,
    } = f.other.proof.clone();
    let first = constraints("activation");
    assert!(mask.is_empty());
    assert_eq!(f.refused(|p| p.mask.push(EF::ZERO)), Shape("the mask"));

    // Commitments of an honest proof of something else: later challenges differ.
    assert_eq!(f.refused(|p| p.main = main), Buses);
    assert_eq!(f.refused(|p| p.projection = projection), Buses);
    assert_eq!(f.refused(|p| p.lookup = lookup), first);
    assert_eq!(f.refused(|p| p.quotient = quotient), first);

    assert_eq!(f.refused(|p| p.terminals = terminals), Buses);
    for i in 0..f.file.proof.terminals.len() {
        assert_eq!(f.refused(|p| p.terminals[i] += EF::ONE), Buses);
    }
    assert_eq!(f.refused(|p| p.terminals.swap(0, 1)), first);
    let shape = Shape("the list of terminals");
    assert_eq!(f.refused(|p| shorten(&mut p.terminals)), shape);
    assert_eq!(f.refused(|p| p.terminals.push(EF::ZERO)), shape);
    assert_eq!(f.refused(|p| p.terminals.clear()), shape);

    let pow = Pow("the lookup challenges");
    assert_eq!(f.refused(|p| p.lookup_pow += F::ONE), pow);
    let pow = Pow("the out-of-domain point");
    assert_eq!(f.refused(|p| p.ood_pow += F::ONE), pow);

    assert_eq!(f.refused(|p| p.opened = opened), first);
    let shape = Shape("the list of openings");
    assert_eq!(f.refused(|p| shorten(&mut p.opened)), shape);
    assert_eq!(f.refused(|p| p.opened.clear()), shape);
    assert_eq!(f.refused(|p| p.opened.push(p.opened[0].clone())), shape);
    let shape = Shape("a table's openings");
    assert_eq!(f.refused(|p| p.opened.swap(0, 1)), shape);
}

type List = fn(&mut TableOpenings<EF>) -> &mut Vec<EF>;

#[test]
fn rejects_a_change_of_every_opened_value() {
    let f = fixture();
    let TableOpenings::<EF> {
        fixed: _,
        weight: _,
        main: _,
        projection: _,
        projection_next: _,
        lookup: _,
        lookup_next: _,
        quotient: _,
    } = &f.file.proof.opened[0];
    let lists: [(&str, List); 8] = [
        ("fixed", |o| &mut o.fixed),
        ("weight", |o| &mut o.weight),
        ("main", |o| &mut o.main),
        ("projection", |o| &mut o.projection),
        ("projection_next", |o| &mut o.projection_next),
        ("lookup", |o| &mut o.lookup),
        ("lookup_next", |o| &mut o.lookup_next),
        ("quotient", |o| &mut o.quotient),
    ];
    for (t, table) in f.key.layout.tables.iter().enumerate() {
        let chip = air::chips::Air::name(&table.chip);
        for (name, list) in lists {
            let len = list(&mut f.file.proof.opened[t].clone()).len();
            for i in 0..len {
                let error = f.refused(|p| list(&mut p.opened[t])[i] += EF::ONE);
                // Only the running sum of LogUp is read at the next row by a constraint. Of the
                // projections, a sum's parts are not, and factors only where a channel has several rows.
                let degree = 5;
                let unread = match (name, chip) {
                    ("lookup_next", _) => i + degree < len,
                    ("projection_next", "activation") => i / degree == 1,
                    ("projection_next", "sums") => i / degree == 0,
                    _ => false,
                };
                if unread {
                    assert!(matches!(error, Opening(_)), "{chip} {name}[{i}]: {error}");
                } else {
                    assert_eq!(error, constraints(chip), "{chip} {name}[{i}]");
                }
            }
            let shape = Shape("a table's openings");
            let error = f.refused(|p| list(&mut p.opened[t]).push(EF::ZERO));
            assert_eq!(error, shape, "{chip} {name}");
            if len > 0 {
                let error = f.refused(|p| shorten(list(&mut p.opened[t])));
                assert_eq!(error, shape, "{chip} {name}");
                let error = f.refused(|p| list(&mut p.opened[t]).clear());
                assert_eq!(error, shape, "{chip} {name}");
            }
        }
    }
}

#[test]
fn rejects_a_change_of_every_part_of_the_opening_proof() {
    let f = fixture();
    let p3_fri::FriProof {
        batch_pow_witness: _,
        commit_phase_commits,
        commit_pow_witnesses,
        input_openings,
        commit_phase_openings,
        final_poly,
        query_pow_witness: _,
    } = f.other.proof.pcs.clone();
    f.bad_opening(|p| p.pcs.batch_pow_witness += F::ONE);
    f.bad_opening(|p| p.pcs.query_pow_witness += F::ONE);
    for i in 0..commit_pow_witnesses.len() {
        f.bad_opening(|p| p.pcs.commit_pow_witnesses[i] += F::ONE);
    }
    f.bad_opening(|p| shorten(&mut p.pcs.commit_pow_witnesses));
    f.bad_opening(|p| p.pcs.commit_pow_witnesses.push(F::ZERO));

    for (i, commit) in commit_phase_commits.iter().enumerate() {
        f.bad_opening(|p| p.pcs.commit_phase_commits[i] = commit.clone());
    }
    f.bad_opening(|p| shorten(&mut p.pcs.commit_phase_commits));
    f.bad_opening(|p| p.pcs.commit_phase_commits.swap(0, 1));
    f.bad_opening(|p| p.pcs.commit_phase_commits.clear());

    f.bad_opening(|p| p.pcs.final_poly[0] += EF::ONE);
    f.bad_opening(|p| p.pcs.final_poly = final_poly);
    f.bad_opening(|p| p.pcs.final_poly.push(EF::ZERO));
    f.bad_opening(|p| p.pcs.final_poly.clear());

    // One entry per commitment.
    for (i, batch) in input_openings.iter().enumerate() {
        let p3_fri::BatchMultiOpening {
            opened_values,
            opening_proof,
        } = batch.clone();
        f.bad_opening(|p| p.pcs.input_openings[i].opened_values = opened_values);
        f.bad_opening(|p| p.pcs.input_openings[i].opening_proof = opening_proof);
        f.bad_opening(|p| p.pcs.input_openings[i].opened_values[3][0][0] += F::ONE);
        f.bad_opening(|p| p.pcs.input_openings[i].opened_values[3][0].push(F::ZERO));
        f.bad_opening(|p| shorten(&mut p.pcs.input_openings[i].opened_values[3][0]));
        f.bad_opening(|p| shorten(&mut p.pcs.input_openings[i].opened_values[3]));
        f.bad_opening(|p| shorten(&mut p.pcs.input_openings[i].opened_values));
        f.bad_opening(|p| p.pcs.input_openings[i].opened_values.swap(0, 1));
    }
    f.bad_opening(|p| shorten(&mut p.pcs.input_openings));
    f.bad_opening(|p| p.pcs.input_openings.swap(2, 3));
    f.bad_opening(|p| p.pcs.input_openings.clear());

    // One entry per folding round.
    for (i, step) in commit_phase_openings.iter().enumerate() {
        let p3_fri::CommitPhaseMultiStep {
            sibling_values,
            opening_proof,
        } = step.clone();
        f.bad_opening(|p| p.pcs.commit_phase_openings[i].sibling_values = sibling_values);
        // Small trees are opened everywhere: their proofs are empty, and there is nothing to change.
        let honest = &f.file.proof.pcs.commit_phase_openings[i].opening_proof;
        let differs = codec::encode_payload(&opening_proof) != codec::encode_payload(honest);
        assert!(differs || i > 0);
        if differs {
            f.bad_opening(|p| p.pcs.commit_phase_openings[i].opening_proof = opening_proof);
        }
        f.bad_opening(|p| p.pcs.commit_phase_openings[i].sibling_values[0][0] += EF::ONE);
        f.bad_opening(|p| shorten(&mut p.pcs.commit_phase_openings[i].sibling_values));
    }
    f.bad_opening(|p| shorten(&mut p.pcs.commit_phase_openings));
    f.bad_opening(|p| p.pcs.commit_phase_openings.clear());
}

#[test]
fn rejects_a_change_of_every_field_of_a_statement() {
    let f = fixture();
    let Statement { inputs, outputs } = f.file.statement.clone();
    type Tensors = fn(&mut Statement) -> &mut Vec<Disclosed>;
    let lists: [Tensors; 2] = [|s| &mut s.inputs, |s| &mut s.outputs];
    for (list, (values, id)) in lists.into_iter().zip([(&inputs, 0), (&outputs, 2)]) {
        let range = f.key.key.graph.tensors[id].range;
        let len = values[0].values.as_ref().map_or(0, Vec::len);
        let wrong = |change: &dyn Fn(&mut Vec<Disclosed>)| f.bad_statement(|s| change(list(s)));
        assert_eq!(wrong(&|v| shown(&mut v[0])[1] ^= 1), Buses);
        for outside in [range.hi + 1, range.lo - 1, i32::MAX, i32::MIN] {
            let error = StatementError::Range {
                tensor: id,
                element: 1,
            };
            assert_eq!(wrong(&|v| shown(&mut v[0])[1] = outside), error.into());
        }
        let length = |got| StatementError::Length {
            tensor: id,
            expected: len,
            got,
        };
        assert_eq!(wrong(&|v| shown(&mut v[0]).push(0)), length(len + 1).into());
        assert_eq!(
            wrong(&|v| shorten(shown(&mut v[0]))),
            length(len - 1).into()
        );
        assert_eq!(wrong(&|v| shown(&mut v[0]).clear()), length(0).into());
        let count = |got| StatementError::Count { expected: 1, got };
        assert_eq!(wrong(&|v| v[0] = Disclosed::PRIVATE), NotHiding);
        assert_eq!(wrong(&|v| v.clear()), count(0).into());
        assert_eq!(
            wrong(&|v| v.push(Disclosed::public(vec![]))),
            count(2).into()
        );
    }
}

#[test]
fn rejects_a_change_of_every_field_of_a_verifying_key() {
    let f = fixture();
    let VerifyingKey::<P> {
        profile: _,
        privacy: _,
        graph: _,
        fixed,
        weights,
    } = f.key.key.clone();
    let changed = |change: &dyn Fn(&mut VerifyingKey<P>)| {
        let mut key = f.key.key.clone();
        change(&mut key);
        key.prepare()
    };
    let refused = |change: &dyn Fn(&mut VerifyingKey<P>)| {
        let key = changed(change).expect("the key by itself is fine");
        verify(&key, &f.file.statement, &f.file.proof).expect_err("another key")
    };
    for profile in [0, 5, 99, 255] {
        let error = changed(&|key| key.profile = profile).expect_err("there is no such profile");
        assert_eq!(error, KeyError::Profile(profile));
    }
    for profile in [2, 3] {
        assert_eq!(refused(&|key| key.profile = profile), Buses);
    }
    // This one wants grinding.
    let pow = Pow("the lookup challenges");
    assert_eq!(refused(&|key| key.profile = 4), pow);
    assert_eq!(refused(&|key| key.fixed = weights.clone()), Buses);
    assert_eq!(refused(&|key| key.weights = fixed.clone()), Buses);
    // Names do not touch the arithmetic, and still belong to the statement.
    assert_eq!(refused(&|key| key.graph.tensors[0].name.push('!')), Buses);
    assert_eq!(refused(&|key| key.graph.layers[0].name.push('!')), Buses);
    assert_eq!(
        refused(&|key| key.graph.tensors[0].encoding = Encoding::Uniform { frac_bits: 1 }),
        Buses
    );
}

#[test]
fn rejects_graphs_that_are_wired_wrongly() {
    let f = fixture();
    let Graph {
        tensors: _,
        layers: _,
        inputs: _,
        outputs: _,
    } = &f.key.key.graph;
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut key = f.key.key.clone();
        change(&mut key.graph);
        match key.prepare() {
            Err(KeyError::Graph(error)) => error,
            other => panic!("the graph must be refused, got {other:?}"),
        }
    };
    let count = |what, got, max| GraphError::Count { what, got, max };
    assert_eq!(refused(&|g| g.tensors.clear()), count("tensors", 0, 8192));
    assert_eq!(refused(&|g| g.layers.clear()), count("layers", 0, 4096));
    assert_eq!(refused(&|g| g.inputs.clear()), count("inputs", 0, 64));
    assert_eq!(refused(&|g| g.outputs.clear()), count("outputs", 0, 64));
    let wiring = |tensor| GraphError::Wiring { tensor };
    assert_eq!(refused(&|g| g.inputs[0].0 = 1), wiring(0));
    assert_eq!(refused(&|g| g.outputs[0].0 = 0), wiring(0));
    // The last tensor is then read by nobody.
    assert_eq!(refused(&|g| g.outputs[0].0 = 1), wiring(2));
    assert_eq!(
        refused(&|g| g.outputs[0].0 = u32::MAX),
        wiring(u32::MAX as usize)
    );
    // And here the hidden one.
    assert_eq!(refused(&|g| g.layers[1].terms[0].input.0 = 0), wiring(1));
    assert_eq!(refused(&|g| g.layers[1].terms.clear()), wiring(2));
    assert_eq!(refused(&|g| g.layers[1].terms[0].input.0 = 2), wiring(2));
    assert_eq!(refused(&|g| g.layers[1].output.0 = 1), wiring(1));
    assert_eq!(
        refused(&|g| {
            g.outputs.push(g.outputs[0]);
        }),
        wiring(2)
    );
}

#[test]
fn rejects_fixed_columns_of_another_graph_when_audited() {
    let f = fixture();
    assert_eq!(f.key.audit(), Ok(()));
    let other = mlp(&Spec {
        shift: 7,
        ..Spec::default()
    });
    let other = Prover::new(other, &Profile::LATENCY, Privacy::None).expect("the model sets up");
    let mut key = f.key.key.clone();
    key.fixed = other.verifying_key().key.fixed.clone();
    let key = key.prepare().expect("only an audit can tell");
    assert_eq!(key.audit(), Err(KeyError::Fixed));
    // Which weights a key commits to is its identity: no audit without the model says more.
    let mut key = f.key.key.clone();
    key.weights = other.verifying_key().key.weights.clone();
    assert_eq!(key.prepare().expect("a key").audit(), Ok(()));
}

/// The fields of a file, and a header that lies.
#[test]
fn rejects_a_change_of_every_field_of_a_proof_file() {
    let f = fixture();
    let ProofFile::<P> {
        key,
        statement: _,
        proof: _,
    } = &f.file;
    // `key` is a hint for people ("made for another key"): it is compared, not verified.
    assert_eq!(key, &f.key.digest);
    let bytes = f.file.to_bytes(&f.key);
    let read = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        ProofFile::<P>::from_bytes(&bytes, &f.key).map(|_| ())
    };
    for at in 0..8 {
        assert_eq!(read(at, b'?'), Err(CodecError::NotOurs));
    }
    let wrong_kind = |got| CodecError::WrongKind {
        expected: "proof",
        got,
    };
    assert_eq!(read(8, 1), Err(wrong_kind("verifying key")));
    assert_eq!(read(8, 3), Err(wrong_kind("proving key")));
    assert_eq!(read(8, 0), Err(CodecError::Damaged));
    assert_eq!(read(9, 2), Err(CodecError::NotCanonical));
    for at in [10, 11] {
        assert!(matches!(read(at, 9), Err(CodecError::Version { .. })));
    }
}

#[test]
fn rejects_graphs_that_are_small_to_write_and_large_to_use() {
    // Anybody can write a key: what it makes its reader do must be bounded.
    let model = mlp(&Spec::default());
    // A chain of tables of 2^16 entries each, every one different.
    let mut graph = model.graph.clone();
    let (input, output) = (graph.tensors[0].clone(), graph.tensors[1].clone());
    let layer = graph.layers[0].clone();
    let count = 80;
    graph.tensors = vec![input];
    graph.layers.clear();
    for i in 0..count {
        let mut layer = layer.clone();
        layer.terms[0].input = TensorId(i);
        if i > 0 {
            layer.terms[0].map.inputs = output.features;
        }
        layer.output = TensorId(i + 1);
        layer.requant.shift = 1;
        layer.requant.excess_bits = 1;
        layer.requant.activation.function = Function::Tanh;
        let lo = -(1 << 15) + i as i32;
        layer.requant.activation.domain = Range {
            lo,
            hi: lo + (1 << 16) - 1,
        };
        graph.layers.push(layer);
        graph.tensors.push(output.clone());
    }
    graph.outputs = vec![TensorId(count)];
    assert_eq!(graph.validate(MODULUS), Ok(()));
    let error = Layout::new(&graph, None, MODULUS).map(|_| ());
    let entries = count as usize * ((1 << 16) + 2);
    let chip = "functions";
    assert_eq!(error, Err(LayoutError::TooManyEntries { chip, entries }));
}

#[test]
fn rejects_nothing_less_than_both_commitments_in_the_model_digest() {
    let key = Prover::new(mlp(&Spec::default()), &Profile::LATENCY, Privacy::None)
        .expect("it sets up")
        .verifying_key()
        .clone();
    let other = Prover::new(
        mlp(&Spec {
            seed: 2,
            ..Spec::default()
        }),
        &Profile::LATENCY,
        Privacy::None,
    )
    .expect("it sets up")
    .verifying_key()
    .clone();
    let mut false_fixed = key.clone();
    false_fixed.key.fixed = other.key.weights.clone();
    let mut false_weights = key.clone();
    false_weights.key.weights = other.key.weights.clone();
    assert_ne!(false_fixed.model_digest(), key.model_digest());
    assert_ne!(false_weights.model_digest(), key.model_digest());
}
