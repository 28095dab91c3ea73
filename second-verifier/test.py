#!/usr/bin/env python3
"""Runs the second verifier on real keys and proofs.

usage: test.py [path of provenn]      (or PROVENN in the environment)
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

from audit import weight_root
from codec import DATA, DATA_AND_WEIGHTS, NONE, read_proof
from errors import Malformed, Rejected
from field import ONE
from fri import described_rounds
from keccak import digest, keccak256
from merkle import compress, leaves
from onnx import linear_model
from security import PROFILES, security_rounds
from statement import disclosed, statement_digest
from test_convolutions import test_convolutions
from test_keys import test_keys
from test_maxima import test_maxima
from test_page import test_page
from test_statements import test_hashes, test_statements
from testing import (
    SHOW_ALL, counts, first_sample, flipped, key_is_sound, read_file, read_weights, refusal, refused,
    report, restated, run, survivors, unranged, written,
)  # fmt: skip
from transcript import Challenger
from verify import load_key, verify

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "testdata" / "models"
KEYS_OF_PAGE = ROOT / "testdata" / "keys"
FLIPS = 10
# Of §16: digests of key and model, tables, levels. The key there, the plain one, and the first with
# an input that is not ranged.
ADULT = "adult-income-mlp"
KEYS = {
    (ADULT, "latency", "private input"): (
        "2b22de9da0313c4570c151e72aaec737d0f11567466e6d48100bbf3ae2df58ae",
        "c5e84d416ffe73e5048190ccdeebcc908f349052ed483a2695d47a92f843986d",
        [
            ("activation", 51, 10, 34, 0, 8, 9, 3, 3, 5, 5, 9, 1),
            ("weights", 172, 9, 11, 4, 0, 0, 1, 1, 1, 1, 1, 4),
            ("sums", 6, 9, 10, 0, 0, 0, 2, 2, 2, 2, 2, 1),
            ("range", 73, 9, 6, 0, 1, 9, 0, 1, 1, 1, 1, 1),
            ("functions", 1640, 11, 24, 0, 5, 9, 0, 1, 3, 3, 5, 5),
        ],
        [148.27, 137.33, 149.63, 141.53, 132.91, 138.53, 101.54, 128.0],
    ),
    (ADULT, "latency", "no zk"): (
        "d1aa627c6253bd1ce709a66e06679783d62b4fb0b6d7b0c7b242f1cac36dd152",
        "b1032010eeb3e9aa59e873573dc6345b828664554c8319f5cd8691277a4bb681",
        [
            ("activation", 51, 6, 34, 0, 8, 8, 3, 3, 5, 5, 9, 1),
            ("weights", 112, 7, 11, 7, 0, 0, 1, 1, 1, 1, 1, 7),
            ("sums", 6, 6, 10, 0, 0, 0, 2, 2, 2, 2, 2, 1),
            ("range", 73, 7, 6, 0, 1, 1, 0, 0, 1, 1, 1, 1),
            ("functions", 1640, 11, 24, 0, 5, 5, 0, 0, 3, 3, 5, 5),
        ],
        [148.16, 138.28, 149.63, 141.53, 133.15, 138.53, 100.36, 128.0],
    ),
    (ADULT, "latency", "input not ranged"): (
        "1ebca7c03c5f5c26808a0fbf54a9901769e35019545ca8260ec0f4eda493624c",
        "8654afc36dfeb7e544cd472c43ba30af29a222763ff34e045e7e3a83289adc22",
        [
            ("activation", 51, 10, 34, 0, 8, 9, 3, 3, 5, 5, 9, 1),
            ("weights", 172, 9, 11, 4, 0, 0, 1, 1, 1, 1, 1, 4),
            ("sums", 6, 9, 10, 0, 0, 0, 2, 2, 2, 2, 2, 1),
            ("range", 73, 9, 6, 0, 1, 9, 0, 1, 1, 1, 1, 1),
            ("functions", 1537, 11, 36, 0, 8, 9, 0, 1, 5, 5, 8, 8),
        ],
        [148.31, 136.97, 149.58, 141.53, 132.8, 138.53, 101.54, 128.0],
    ),
}


def other_value(key, data):
    """The proof with one value of the statement replaced by another within range."""
    inputs, outputs, _ = read_file(data)
    tensors = list(zip(key.graph.inputs + key.graph.outputs, inputs + outputs))
    shown = [(t, said.values) for t, said in tensors if said.values is not None]
    tensor, values = shown[-1]
    lo, hi = key.graph.tensors[tensor].range
    values[-1] += 1 if values[-1] < hi else -1
    assert lo <= values[-1] <= hi
    return restated(data, inputs, outputs)


def disclosed_otherwise(data, truth):
    """Every statement that differs from the proof's in whether one tensor is shown. `truth` is a
    proof file that shows the true values of all tensors."""
    true_inputs, true_outputs, _ = read_file(truth)
    for side, true in ((0, true_inputs), (1, true_outputs)):
        for i, true_said in enumerate(true):
            sides = read_file(data)[:2]
            sides[side][i] = true_said if sides[side][i].values is None else disclosed()
            yield restated(data, *sides)


def other_masks(key, data):
    """The proof with other masks: every element changed in turn, and other lengths."""
    proof = read_proof(data, key.profile)
    before = written(proof.opened[-1].quotient)
    assert data.count(before) == 1
    start = data.index(before) + len(before)
    end = start + len(written(proof.mask))
    masks = [proof.mask + [ONE]] + [proof.mask[:-1]] * (proof.mask != [])
    for i, element in enumerate(proof.mask):
        masks.append(proof.mask[:i] + [element + ONE] + proof.mask[i + 1 :])
    for mask in masks:
        yield data[:start] + written(mask) + data[end:]


def other_privacies(vk, key):
    """The key with other promises."""
    end = 13 + (8 if key.privacy == DATA_AND_WEIGHTS else 4)
    for privacy in ((NONE,), (DATA,), (DATA_AND_WEIGHTS, 1), (DATA_AND_WEIGHTS, 2)):
        other = vk[:13] + struct.pack(f"<{len(privacy)}I", *privacy) + vk[end:]
        if other != vk:
            yield other
    # Promises no key can make.
    for privacy in ((3,), (DATA_AND_WEIGHTS, 0), (DATA_AND_WEIGHTS, 2**16 + 1)):
        yield vk[:13] + struct.pack(f"<{len(privacy)}I", *privacy) + vk[end:]


def refused_under(vk, data):
    """Whether a proof is refused under a key, although it claims to be for it."""
    try:
        key = load_key(vk)
    except Malformed:
        return True
    return refused(key, data[:12] + key.digest + data[44:])


def test_vectors():
    """docs/protocol.md §16, the part that needs no files."""
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    report(keccak256(b"").hex() == empty, "Keccak-256 of nothing")
    protocol = "0112cb572d516c83e5cabd7cd1b3cd08a1bbb9accf4ed27f0e35d646c65877e5"
    found = digest("provenn protocol", b"babybear-keccak\x07\x00").hex()
    report(found == protocol, f"digest of the protocol's name {found}")
    leaf = "5d57b2bada93eb605df9825521fe946c7de08026f9fd37169e510a07f300a30c"
    report(struct.pack("<4Q", *leaves([[1, 2, 3]])[0]).hex() == leaf, "a leaf")
    node = compress([((0,) * 4, (0,) * 4)])[0]
    words = (0xF1258F7940E1DDE7, 0x84D5CCF933C0478A, 0xD598261EA65AA9EE, 0xBD1547306F80494D)
    report(node == words, "a compression")
    c = Challenger()
    for a in (1, 2, 3):
        c.observe_base(a)
    first = (1291207533, 1947941154, 1764348204, 1206959378, 549817228)
    second = (119204511, 1406993589, 1177863548, 936260447, 1643743678)
    drawn = (c.draw().c, c.draw().c, c.draw_bits(10))
    report(drawn == (first, second, 952), "two challenges and ten bits")
    c = Challenger()
    for a in (1, 2, 3):
        c.observe_base(a)
    c.check_pow(8, 200, "a challenge")
    drawn = (801203629, 945893553, 540932048, 786255328, 1423661371)
    report(c.draw().c == drawn, "a grinding witness")
    c = Challenger()
    described_rounds(c, PROFILES[1], [3, 1, 1, 1], 13)
    drawn = (1848111568, 785072463, 891649650, 329224664, 231827180)
    report(len(c.input) == 236 and c.draw().c == drawn, "a described transcript")
    statement = "2e84cefcbe111a36e54538cc557070119a7e110553d781be2a401904d878e898"
    found = statement_digest([disclosed([1, -1])], [disclosed([5])]).hex()
    report(found == statement, "digest of a statement")
    statement = "6ef237c3a85f555816b644e28f329a0c67a67d7d88c2930d1ca612ae07e061be"
    found = statement_digest([disclosed()], [disclosed([1, -1]), disclosed([5])]).hex()
    report(found == statement, "digest of a statement that hides its input")


# Linear models whose lanes or limbs would be others if a term of §8 was left out: inputs, outputs,
# how to set up, weight lanes, limb width. The second's input is not ranged.
CHOICES = (
    (100, 20, [], 20, 6),
    (5, 10, ["--bits", "11", "--no-zk"], 1, 4),
)


def test_choices(provenn, folder):
    model, sample, proof = (folder / f"choice.{end}" for end in ("onnx", "json", "proof"))
    keys = folder / "choice"
    for inputs, outputs, options, lanes, limb_bits in CHOICES:
        sample.write_text(json.dumps({"input_data": [linear_model(model, 1, inputs, outputs)]}))
        setup = ["setup", model, "--calibrate", sample, "--profile", "latency", *options]
        run(provenn, *setup, "-o", keys)
        if "--no-zk" in options:
            narrow(keys)
        run(provenn, "prove", keys / "model.pk", "--input", sample, "-o", proof, *SHOW_ALL)
        key = load_key((keys / "model.vk").read_bytes(), audit=True)
        tables = {t.chip: t for t in key.tables}
        found = tables["weights"].lanes, tables["activation"].limbs.bits
        name = f"{inputs} to {outputs} {' '.join(options)}".rstrip()
        report(found == (lanes, limb_bits), f"{name}: lanes and limbs {found}")
        report(not refused(key, proof.read_bytes()), f"{name}: accepted")


def narrow(keys):
    """Puts an input that is not ranged into both keys of a folder."""
    paths = [keys / "model.vk", keys / "model.pk"]
    for path, data in zip(paths, unranged(*(path.read_bytes() for path in paths))):
        path.write_bytes(data)


def test_key_vector(key, name, wanted):
    """docs/protocol.md §16: the keys."""
    names = "chip rows log_height fixed weight main committed_main projection committed_projection "
    names += "lookup committed_lookup messages lanes"
    key_digest, model_digest, tables, levels = wanted
    found = key.digest.hex(), key.model_digest.hex()
    report(found == (key_digest, model_digest), f"{name}: digests {found}")
    found = [tuple(getattr(t, n, 1) for n in names.split()) for t in key.tables]
    report(found == tables, f"{name}: tables {found}")
    rounds = security_rounds(key.graph, key.tables, key.parameters)
    found = [round(bits, 2) for bits in rounds.values()]
    report(found == levels, f"{name}: levels {found}")


def test_proof(provenn, folder, case, privacy, visibility, sample):
    model, profile, what = case
    name = f"{model}, {profile}, {what}"
    keys, proof_path = folder / "keys", folder / "x.proof"
    setup = ["setup", MODELS / model / "model.onnx", "--calibrate", MODELS / model / "refs.npz"]
    run(provenn, *setup, "--profile", profile, *privacy, "-o", keys)
    if "input not ranged" in what:
        narrow(keys)
    prove = ["prove", keys / "model.pk", "--input", sample, "-o", proof_path]
    run(provenn, *prove, *visibility)
    vk, pk, data = (p.read_bytes() for p in (keys / "model.vk", keys / "model.pk", proof_path))
    run(provenn, *prove, *SHOW_ALL)
    truth = proof_path.read_bytes()

    start = time.monotonic()
    try:
        key = load_key(vk)
        tensors = [said for _, _, said in verify(key, data).tensors]
        report(True, f"{name}: accepted in {time.monotonic() - start:.1f} s")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
        return
    if case in KEYS:
        test_key_vector(key, name, KEYS[case])
    inputs = len(key.graph.inputs)
    shown = ["private" if said.values is None else "public" for said in tensors]
    wanted = ["private"] * inputs + ["public"] * (len(tensors) - inputs)
    for option, value in zip(visibility[::2], visibility[1::2]):
        if option == "--input-visibility":
            wanted[:inputs] = [value] * inputs
        else:
            wanted[inputs:] = [value] * (len(tensors) - inputs)
    report(shown == wanted, f"{name}: shows what it should")
    report(not refused(key, truth), f"{name}: a proof that shows everything, too")

    start = time.monotonic()
    report(key_is_sound(vk), f"{name}: fixed columns rebuilt in {time.monotonic() - start:.1f} s")
    # Rebuilding takes long, and what it finds depends on no root.
    if model == "logreg_cancer":
        at = vk.rindex(struct.pack("<4Q", *key.fixed))
        report(not key_is_sound(flipped(vk, 8 * at)), f"{name}: other fixed columns refused")
    root = weight_root(key.graph, key.tables, read_weights(pk), key.parameters.log_blowup)
    if key.privacy == DATA_AND_WEIGHTS:
        report(root != key.weights, f"{name}: the weight commitment is masked")
    else:
        report(root == key.weights, f"{name}: weight commitment rebuilt from the proving key")

    rng = random.Random(name)
    flips = [rng.randrange(8 * len(data)) for _ in range(FLIPS)]
    left = survivors(key, data, flips)
    report(not left, f"{name}: {FLIPS} flipped bits refused {left or ''}".rstrip())
    others = disclosed_otherwise(data, truth)
    report(all(refused(key, d) for d in others), f"{name}: tensors shown otherwise refused")
    changed = other_value(key, data if "public" in shown else truth)
    report(refused(key, changed), f"{name}: another value refused")
    report(refused(key, data + b"\0") and refused(key, data[:-1]), f"{name}: other lengths refused")
    report(all(refused(key, d) for d in other_masks(key, data)), f"{name}: other masks refused")
    others = other_privacies(vk, key)
    report(all(refused_under(k, data) for k in others), f"{name}: other promises refused")
    if key.privacy == NONE:
        why = refusal(key, restated(data, [disclosed()] * inputs, tensors[inputs:]))
        report("hide nothing" in (why or ""), f"{name}: a private tensor refused by name")


def main():
    provenn = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROVENN")
    if not provenn:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    test_vectors()
    test_hashes()
    test_page(ROOT / "docs" / "protocol.md", KEYS)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        samples = {"mlp2_mnist": ROOT / "testdata" / "mnist-seven.json"}
        for model in (ADULT, "logreg_cancer"):
            samples[model] = folder / f"{model}.json"
            sample = first_sample(MODELS / model / "refs.npz")
            samples[model].write_text(json.dumps({"input_data": [sample]}))
        private_weights = ["--weights", "private", "--proofs", "2"]
        show_input = ["--input-visibility", "public"]
        hide_output = ["--output-visibility", "private"]
        adult, cancer, mnist = ADULT, "logreg_cancer", "mlp2_mnist"
        help_text = subprocess.run([provenn, "setup", "--help"], check=True, capture_output=True)
        for case, privacy, visibility in (
            ((adult, "latency", "private input"), [], []),
            ((adult, "p128", "all public"), [], SHOW_ALL),
            ((adult, "latency", "no zk"), ["--no-zk"], SHOW_ALL),
            ((adult, "latency", "private weights"), private_weights, []),
            ((adult, "latency", "input not ranged"), [], []),
            ((adult, "latency", "input not ranged, no zk"), ["--no-zk"], SHOW_ALL),
            ((cancer, "throughput", "private output"), [], show_input + hide_output),
            ((cancer, "latency", "all private"), private_weights, hide_output),
            ((mnist, "latency", "private input"), [], []),
            ((mnist, "latency", "no zk"), ["--no-zk"], SHOW_ALL),
        ):
            if privacy and privacy[0].encode() not in help_text.stdout:
                print(f"       {', '.join(case)}: not run, this provenn has no {privacy[0]}")
                continue
            test_proof(provenn, folder, case, privacy, visibility, samples[case[0]])
        test_choices(provenn, folder)
        test_convolutions(provenn, folder, KEYS_OF_PAGE / "convolution.vk")
        test_maxima(provenn, folder, KEYS_OF_PAGE / "maxima.vk", MODELS)
        test_statements(provenn, folder, MODELS, samples)
        test_keys(provenn, folder, MODELS)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
