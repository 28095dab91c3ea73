use air::graph::evaluate;
use verifier::Profile;
#[path = "all/common/nets.rs"]
mod nets;
pub const MODULUS: u64 = 2_013_265_921;
#[derive(Clone, Debug)]
pub struct Rng(pub u64);
impl Rng {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
    pub fn within(&mut self, lo: i32, hi: i32) -> i32 {
        lo + (self.next() % (hi - lo + 1) as u32) as i32
    }
}
type P = verifier::BabyBearKeccak<5>;
#[test]
fn random_nets() {
    for seed in 0..std::env::var("N").map_or(40, |n| n.parse().unwrap()) {
        let model = nets::random(seed);
        let mut rng = Rng(seed + 1000);
        let t = &model.graph.tensors[0];
        let x: Vec<i32> = (0..t.len())
            .map(|_| rng.within(t.range.lo, t.range.hi))
            .collect();
        let evaluation = evaluate(&model, &[x]).unwrap();
        let profile = &Profile::ALL[0];
        let prover = prover::Prover::<P>::new(model, profile, if std::env::var("ZK").is_ok() { verifier::Privacy::Data } else {verifier::Privacy::None}).unwrap();
        let failures = prover.check(&evaluation, 5);
        assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
        if seed < std::env::var("PN").map_or(6, |n| n.parse().unwrap()) {
            let file = prover
                .prove(&evaluation, &air::statement::Policy::PUBLIC)
                .unwrap();
            verifier::verify_file(prover.verifying_key(), &file).unwrap();
        }
    }
}
#[test]
fn show() {
    let model = nets::random(std::env::var("SEED").unwrap_or("0".into()).parse().unwrap());
    for (i, t) in model.graph.tensors.iter().enumerate() {
        eprintln!("{i} {:?} {:?}", t.features, t.extent);
    }
    for l in &model.graph.layers {
        for t in &l.terms {
            eprintln!(
                "{} <- {:?} m{:?} g{} i{} o{} {:?} {:?}",
                l.name,
                t.input,
                t.map.merged,
                t.map.groups,
                t.map.inputs,
                t.map.outputs,
                t.map.axes,
                t.map.kernel
            );
        }
    }
    let prover =
        prover::Prover::<P>::new(model, &Profile::ALL[0], verifier::Privacy::None).unwrap();
    for t in &prover.verifying_key().layout.tables {
        match &t.chip {
            air::chips::Chip::Activation(a) => {
                eprintln!("lanes {}", a.lanes);
                for b in &a.blocks {
                    eprintln!("t{} start {} {:?}", b.tensor, b.start, b.grid);
                }
            }
            air::chips::Chip::Weights(a) => {
                for b in &a.blocks {
                    eprintln!(
                        "w term {} ch {} res {} counts {:?}",
                        b.term, b.channels, b.residues, b.counts
                    )
                }
            }
            _ => {}
        }
    }
}
