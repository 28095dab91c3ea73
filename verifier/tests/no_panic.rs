//! # Arbitrary bytes
//!
//! Readers of keys and proofs are fed anything at all, and things that almost look right. They
//! must answer with an error. If this failed, a file could stop a verifier.

use air::graph::{
    Activation, Axis, AxisMap, Combine, Dim, Encoding, Function, Graph, GraphError, Kernel, Layer,
    Map, Range, Requant, Tensor, TensorId, Term,
};
use proptest::prelude::*;
use verifier::Privacy;
use verifier::codec::{self, CodecError, Kind};
use verifier::{
    Attestation, BabyBearKeccak, KeyError, Prepared, ProofFile, RekeyError, RekeyProof,
    VerifyingKey, verify_rekey,
};

type P = BabyBearKeccak<5>;

/// A commitment: a cap of one digest, by its encoding.
fn commitment(word: u64) -> verifier::config::Commitment<P> {
    let bytes = codec::encode_payload(&vec![[word; 4]]);
    let config = bincode::config::standard().with_fixed_int_encoding();
    let found = bincode::serde::decode_from_slice(&bytes, config);
    found.map(|(value, _)| value).expect("a commitment")
}

/// A batch of vectors.
fn tensor(features: u32, positions: u32, range: Range) -> Tensor {
    let dim = |axis, size| Dim { axis, size };
    Tensor {
        name: "t".into(),
        shape: vec![positions, features],
        dims: vec![dim(Axis::Width, positions), dim(Axis::Feature, features)],
        features,
        extent: [1, 1, positions],
        range,
        encoding: Encoding::Uniform { frac_bits: 0 },
    }
}

/// A dense layer's term.
fn dense(input: u32, inputs: u32, outputs: u32, positions: u32) -> Term {
    Term {
        input: TensorId(input),
        map: Map::dense(inputs, outputs, [1, 1, positions]),
    }
}

/// A key for a model of one layer; its commitments are of nothing.
fn key() -> VerifyingKey<P> {
    let range = Range::signed(8);
    VerifyingKey {
        profile: 1,
        privacy: Privacy::None,
        graph: Graph {
            tensors: vec![tensor(3, 1, range), tensor(2, 1, range)],
            layers: vec![Layer {
                name: "l".into(),
                terms: vec![dense(0, 3, 2, 1)],
                combine: Combine::Sum,
                output: TensorId(1),
                requant: Requant {
                    shift: 4,
                    excess_bits: 3,
                    activation: Activation {
                        function: Function::Relu,
                        ..Activation::identity(range, 0)
                    },
                },
            }],
            inputs: vec![TensorId(0)],
            outputs: vec![TensorId(1)],
        },
        fixed: commitment(0),
        weights: commitment(0),
    }
}

/// Two keys for a model with private weights.
fn private_keys() -> [Prepared<P>; 2] {
    [1, 2].map(|word| {
        let key = VerifyingKey {
            privacy: Privacy::DataAndWeights { proofs: 1 },
            weights: commitment(word),
            ..key()
        };
        key.prepare().expect("the key is sound")
    })
}

fn prepared() -> Prepared<P> {
    key().prepare().expect("the key is sound")
}

/// A header of ours before arbitrary bytes.
fn framed(kind: u8, profile: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"PROVENN\0".to_vec();
    bytes.extend([kind, profile]);
    bytes.extend(codec::FORMAT_VERSION.to_le_bytes());
    bytes.extend(payload);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rejects_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(codec::sniff(&bytes), Err(CodecError::NotOurs));
        let error = VerifyingKey::<P>::from_bytes(&bytes).expect_err("noise");
        prop_assert_eq!(error, KeyError::Codec(CodecError::NotOurs));
        let error = ProofFile::<P>::from_bytes(&bytes, &prepared()).expect_err("noise");
        prop_assert_eq!(error, CodecError::NotOurs);
        let error = RekeyProof::<P>::from_bytes(&bytes, &prepared()).expect_err("noise");
        prop_assert_eq!(error, CodecError::NotOurs);
    }

    #[test]
    fn rejects_arbitrary_payloads(
        kind in 0u8..7,
        profile in 0u8..7,
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = framed(kind, profile, &payload);
        let sniffed = codec::sniff(&bytes);
        prop_assert_eq!(sniffed.is_ok(), (1..=5).contains(&kind));
        prop_assert!(VerifyingKey::<P>::from_bytes(&bytes).is_err());
        prop_assert!(ProofFile::<P>::from_bytes(&bytes, &prepared()).is_err());
        prop_assert!(RekeyProof::<P>::from_bytes(&bytes, &prepared()).is_err());
        prop_assert!(Attestation::<P>::from_bytes(&bytes, &prepared()).is_err());
    }

    /// Small numbers everywhere: lengths, indices and enum tags that decode.
    #[test]
    fn rejects_payloads_of_small_numbers(
        words in prop::collection::vec(prop_oneof![Just(0u64), 1..4u64, Just(u64::MAX)], 0..60),
        kind in 1u8..6,
    ) {
        let payload: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let bytes = framed(kind, 1, &payload);
        prop_assert!(VerifyingKey::<P>::from_bytes(&bytes).is_err());
        prop_assert!(ProofFile::<P>::from_bytes(&bytes, &prepared()).is_err());
        prop_assert!(RekeyProof::<P>::from_bytes(&bytes, &prepared()).is_err());
        prop_assert!(Attestation::<P>::from_bytes(&bytes, &prepared()).is_err());
    }

    /// Rekey proofs that decode, with opened values of 0 that satisfy the equation, and anything for
    /// an opening proof: lists of the right length and of others.
    #[test]
    fn rejects_rekey_proofs_of_any_shape(
        mask in prop_oneof![Just(5usize), 0..7usize],
        tables in prop_oneof![Just(1usize), 0..3usize],
        layers in prop_oneof![Just(2usize), 0..4usize],
        trees in prop_oneof![Just(3usize), 0..5usize],
        queries in prop_oneof![Just(150usize), 0..3usize],
        siblings in prop_oneof![Just(7usize), 0..9usize],
        last in prop_oneof![Just(32usize), 0..34usize],
        path in 0..40usize,
        value in 0u32..3,
    ) {
        let [old, new] = private_keys();
        let width = old.layout.weight_tables().map(|t| t.widths.weight).sum::<usize>();
        let zeros = |n: usize| vec![[0u32; 5]; n];
        let opened = vec![(zeros(width), zeros(width), zeros(5)); tables];
        let path = vec![[u64::from(value); 4]; path];
        let rows = |widths: Vec<usize>| {
            let row: Vec<_> = widths.into_iter().map(|w| vec![value; w]).collect();
            (vec![row; queries], path.clone())
        };
        let inputs: Vec<_> = [vec![width], vec![width], vec![5, 5], vec![], vec![1]]
            .into_iter()
            .take(trees)
            .map(rows)
            .collect();
        let round = (vec![vec![[value; 5]; siblings]; queries], path.clone());
        let caps = vec![vec![[u64::from(value); 4]]; layers];
        let payload = [
            codec::encode_payload(&(old.digest, new.digest, &old.key.fixed, 0u32)),
            codec::encode_payload(&(opened, zeros(mask), 0u32, caps, vec![0u32; layers])),
            codec::encode_payload(&(inputs, vec![round; layers], vec![[value; 5]; last], 0u32)),
        ];
        let bytes = framed(4, 1, &payload.concat());
        let proof = RekeyProof::<P>::from_bytes(&bytes, &old);
        prop_assert!(proof.is_ok(), "{:?}", proof.err());
        let error = proof.map(|proof| verify_rekey(&old, &new, &proof));
        let shapes_fit = mask == 5 && tables == 1;
        let opening = matches!(error, Ok(Err(RekeyError::Opening(_))));
        prop_assert_eq!(opening, shapes_fit, "{:?}", error);
        prop_assert!(matches!(error, Ok(Err(_))));
    }

    /// A valid key with some bytes replaced is refused, or is a key of its own.
    #[test]
    fn accepts_only_canonical_keys(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = key().to_bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(read) = VerifyingKey::<P>::from_bytes(&bytes) {
            prop_assert_eq!(read.key.to_bytes(), bytes);
        }
    }

    /// Any graph that decodes either is refused or has a layout; nothing overflows on the way.
    #[test]
    fn rejects_or_lays_out_any_graph(
        features in prop::collection::vec(any::<u32>(), 2..4),
        positions in prop_oneof![1u32..80, any::<u32>()],
        small in any::<bool>(),
        lo in any::<i32>(),
        hi in any::<i32>(),
        shift in any::<u8>(),
        excess_bits in any::<u8>(),
        frac in any::<i16>(),
    ) {
        let mut key = key();
        let range = Range { lo, hi };
        let features: Vec<u32> = features.iter().map(|f| if small { f % 5000 } else { *f }).collect();
        key.graph.tensors = features
            .iter()
            .map(|&features| Tensor {
                encoding: Encoding::Uniform { frac_bits: if small { 0 } else { frac } },
                ..tensor(features, positions, if small { Range::signed(8) } else { range })
            })
            .collect();
        key.graph.layers = (1..features.len() as u32)
            .map(|i| Layer {
                name: String::new(),
                terms: vec![dense(
                    i - 1,
                    features[i as usize - 1],
                    features[i as usize],
                    positions,
                )],
                combine: Combine::Sum,
                output: TensorId(i),
                requant: Requant {
                    shift: shift % if small { 12 } else { 255 },
                    excess_bits: excess_bits % if small { 12 } else { 255 },
                    activation: Activation::identity(
                        if small { Range::signed(8) } else { range },
                        if small { 0 } else { frac },
                    ),
                },
            })
            .collect();
        key.graph.outputs = vec![TensorId(features.len() as u32 - 1)];
        let _ = key.prepare();
    }
}

prop_compose! {
    /// Numbers of an axis, small or any.
    fn axis()(
        small in any::<bool>(),
        taps in any::<u32>(),
        stride in any::<u32>(),
        expand in any::<u32>(),
        dilation in any::<u32>(),
        pad in any::<i32>(),
        from in 0u32..3,
        to in any::<u32>(),
        size in any::<u32>(),
    ) -> (AxisMap, u32, u32) {
        let limit = |n: u32, most: u32| if small { n % most } else { n % 5000 };
        let axis = AxisMap {
            taps: limit(taps, 5),
            stride: limit(stride, 4),
            expand: limit(expand, 4),
            dilation: limit(dilation, 4),
            pad: if small { pad % 5 } else { pad >> 8 },
            from,
            to: limit(to, 9),
        };
        (axis, 1 + limit(size, 8), 1 + limit(taps ^ size, 8))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn rejects_or_lays_out_any_map(
        axes in prop::array::uniform3(axis()),
        merged in prop::array::uniform3(prop::bool::weighted(0.2)),
        numbers in prop::array::uniform5(0u32..4),
        large in any::<bool>(),
    ) {
        let mut key = key();
        let factor = if large { 300 } else { 1 };
        let [groups, inputs, outputs, first_input, first_output] = numbers;
        let map = Map {
            merged,
            first_input,
            groups: groups * factor,
            inputs: inputs * factor,
            first_output,
            outputs,
            axes: axes.map(|(axis, ..)| axis),
            kernel: Kernel::Weights,
        };
        let range = Range::signed(8);
        let volume = |features: u32, extent: [u32; 3]| {
            let axes = Axis::POSITION.into_iter().zip(extent);
            let dims: Vec<Dim> = [(Axis::Feature, features)]
                .into_iter()
                .chain(axes)
                .map(|(axis, size)| Dim { axis, size })
                .collect();
            Tensor {
                shape: dims.iter().map(|d| d.size).collect(),
                dims,
                extent,
                ..tensor(features, 1, range)
            }
        };
        key.graph.tensors = vec![
            volume(4 + 90_000 * u32::from(large), axes.map(|a| a.1)),
            volume(3 + 3600 * u32::from(large), axes.map(|a| a.2)),
        ];
        key.graph.layers[0].terms[0].map = map;
        let start = std::time::Instant::now();
        let _ = key.prepare();
        prop_assert!(start.elapsed().as_secs() < 20);
    }
}

#[test]
fn rejects_maps_that_are_small_to_write_and_large_to_use() {
    let start = std::time::Instant::now();
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut key = key();
        change(&mut key.graph);
        match key.prepare() {
            Err(KeyError::Graph(error)) => error,
            other => panic!("the graph must be refused, got {:?}", other.map(|_| ())),
        }
    };
    let axes = |g: &mut Graph, change: &dyn Fn(&mut AxisMap)| {
        g.layers[0].terms[0].map.axes.iter_mut().for_each(change);
    };
    let map = GraphError::Map { layer: 0 };
    // So many phases that a list of them would not fit.
    assert_eq!(refused(&|g| axes(g, &|a| a.stride = 4096)), map);
    // Farther away than exponents go.
    let far = |a: &mut AxisMap| (a.dilation, a.taps, a.pad) = (4096, 4096, 0);
    assert_eq!(
        refused(&|g| far(&mut g.layers[0].terms[0].map.axes[2])),
        map
    );
    // An output in the corner of an enormous frame.
    let error = refused(&|g| axes(g, &|a| a.pad = 1 << 20));
    assert!(matches!(error, GraphError::TooLarge { .. }), "{error:?}");
    let error = refused(&|g| g.layers[0].terms[0].map.axes[0].pad = 1 << 22);
    assert!(matches!(error, GraphError::TooLarge { .. }), "{error:?}");
    // Many terms, each with all the phases there may be.
    let error = refused(&|g| {
        let mut term = g.layers[0].terms[0].clone();
        let axis = &mut term.map.axes[2];
        (axis.stride, axis.taps) = (4096, 4096);
        g.layers[0].terms = vec![term; 1000];
    });
    assert!(matches!(error, GraphError::TooLarge { .. }), "{error:?}");
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn accepts_strides_without_a_common_period() {
    // Readers whose strides have no common multiple below the extent: every index is its own phase.
    let mut key = key();
    let range = Range::signed(8);
    key.graph.tensors[0] = tensor(3, 50, range);
    key.graph.tensors[1] = tensor(2, 1, range);
    let strided = |stride| {
        let mut term = dense(0, 3, 2, 50);
        term.map.axes[2].stride = stride;
        term
    };
    key.graph.layers[0].terms = [4093, 4091, 4079, 3, 2].map(strided).into();
    key.prepare().expect("it has a layout");
}

#[test]
fn accepts_the_key_the_properties_start_from() {
    let bytes = key().to_bytes();
    assert_eq!(codec::sniff(&bytes), Ok((Kind::VerifyingKey, 1)));
    let read = VerifyingKey::<P>::from_bytes(&bytes).expect("it is sound");
    assert_eq!(read.key, key());
}

#[test]
fn rejects_unsound_graphs_in_keys() {
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut key = key();
        change(&mut key.graph);
        let direct = key.clone().prepare().map(|_| ());
        let read = VerifyingKey::<P>::from_bytes(&key.to_bytes()).map(|_| ());
        assert_eq!(direct, read);
        direct.expect_err("the graph is unsound")
    };
    // (256 + 2·(2^m − 1))·2^s > p: two outputs for one accumulator.
    let error = refused(&|g| g.layers[0].requant.shift = 23);
    assert!(
        matches!(
            error,
            KeyError::Graph(air::graph::GraphError::NotUnique { .. })
        ),
        "{error:?}"
    );
    let error = refused(&|g| g.layers[0].requant.excess_bits = 27);
    assert!(
        matches!(
            error,
            KeyError::Graph(air::graph::GraphError::NotUnique { .. })
        ),
        "{error:?}"
    );
    let error = refused(&|g| g.layers[0].requant.shift = 200);
    assert_eq!(
        error,
        KeyError::Graph(air::graph::GraphError::Requant { layer: 0 })
    );
    let range = Range::signed(8);
    let error = refused(&|g| {
        g.tensors[0] = tensor(1 << 22, 1, range);
        g.layers[0].terms[0] = dense(0, 1 << 22, 2, 1);
    });
    assert!(matches!(error, KeyError::Layout(_)), "{error:?}");
    // A map that reads more than there is, by any of its numbers.
    let map = KeyError::Graph(air::graph::GraphError::Map { layer: 0 });
    type Change = fn(&mut Map);
    let changes: [Change; 11] = [
        |map| map.inputs += 1,
        |map| map.outputs += 1,
        |map| map.groups = 2,
        |map| map.groups = 0,
        |map| map.first_input = 1,
        |map| map.first_output = 1,
        |map| map.axes[2].to = 2,
        |map| map.axes[2].from = 1,
        |map| map.axes[1].stride = 0,
        |map| map.axes[1].taps = 0,
        |map| map.axes[0].pad = i32::MIN,
    ];
    for change in changes {
        assert_eq!(refused(&|g| change(&mut g.layers[0].terms[0].map)), map);
    }
}

#[test]
fn rejects_keys_below_the_promised_level() {
    // Two batches of enormous layers, in the smaller extension, where projections of so many units
    // fall just short of 100 bits.
    type Small = BabyBearKeccak<4>;
    let key = key();
    let tall =
        |features: u32| [1, 2].map(|positions| tensor(features, positions, Range::signed(8)));
    let layer = key.graph.layers[0].clone();
    let graph = |features| Graph {
        tensors: tall(1).into_iter().chain(tall(features)).collect(),
        layers: (0..2)
            .map(|i| Layer {
                terms: vec![dense(i, 1, features, i + 1)],
                combine: Combine::Sum,
                output: TensorId(i + 2),
                ..layer.clone()
            })
            .collect(),
        inputs: vec![TensorId(0), TensorId(1)],
        outputs: vec![TensorId(2), TensorId(3)],
    };
    let prepare = |features| {
        let key = VerifyingKey::<Small> {
            profile: verifier::Profile::DEGREE_4.id,
            privacy: Privacy::None,
            graph: graph(features),
            fixed: key.fixed.clone(),
            weights: key.weights.clone(),
        };
        key.prepare().map(|key| key.security.bits() >= 100.0)
    };
    assert_eq!(prepare(1 << 20), Ok(true));
    let error = prepare((1 << 22) - 3).expect_err("99 bits are not 100");
    let (round, bits, target) = ("projection", 99, 100);
    let expected = KeyError::Security {
        round,
        bits,
        target,
    };
    assert_eq!(error, expected);
}
