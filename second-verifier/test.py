#!/usr/bin/env python3
"""Runs the second verifier on real keys and proofs.

usage: test.py [path of provenn]      (or PROVENN in the environment)
"""

import ast
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True

from audit import weight_root
from codec import PROVING_KEY, Reader, read_graph, read_header
from errors import Malformed, Rejected
from fri import described_rounds
from graph import statement_digest
from keccak import digest, keccak256
from merkle import compress, leaves
from security import PROFILES
from transcript import Challenger
from verify import load_key, verify

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "testdata" / "models"
FLIPS = 10
passed = failed = 0


def report(ok, what):
    global passed, failed
    passed, failed = passed + ok, failed + (not ok)
    print(f"{'ok    ' if ok else 'FAILED'} {what}", flush=True)


def first_sample(npz):
    """The first sample of `in_…` of an .npz file, as nested JSON lists."""
    with zipfile.ZipFile(npz) as archive:
        name = next(n for n in archive.namelist() if n.startswith("in_"))
        data = archive.read(name)
    assert data[:8] == b"\x93NUMPY\x01\x00"
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"]
    samples, rows, columns = header["shape"]
    assert samples > 0 and rows == 1
    return [list(struct.unpack_from(f"<{columns}f", data, start))]


def refused(key, data):
    try:
        verify(key, data)
    except (Malformed, Rejected):
        return True
    return False


def key_is_sound(data):
    try:
        load_key(data, audit=True)
    except Malformed:
        return False
    return True


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def other_statement(key, data):
    """The proof with its last output replaced by another value within range."""
    at = 12 + 32
    for _ in range(2):
        (tensors,) = struct.unpack_from("<Q", data, at)
        at += 8
        for _ in range(tensors):
            (values,) = struct.unpack_from("<Q", data, at)
            at += 8 + 4 * values
    (value,) = struct.unpack_from("<i", data, at - 4)
    lo, hi = key.graph.tensors[key.graph.outputs[-1]].range
    value = value + 1 if value < hi else value - 1
    assert lo <= value <= hi
    return data[: at - 4] + struct.pack("<i", value) + data[at:]


def read_weights(data):
    _, payload = read_header(data, PROVING_KEY)
    r = Reader(payload)
    read_graph(r)
    layers = r.list(lambda: (r.u32(), r.u32(), r.list(r.i16), r.list(r.i32)))
    return [(values, bias) for _, _, values, bias in layers]


def test_vectors():
    """docs/protocol.md §16, the part that needs no files."""
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    report(keccak256(b"").hex() == empty, "Keccak-256 of nothing")
    protocol = "fbc1c0b831ea45241c71ae81541ab5382029599369fc66de0173f5573bf83b6f"
    found = digest("provenn protocol", b"babybear-keccak\x01\x00").hex()
    report(found == protocol, "digest of the protocol's name")
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
    statement = "0e1063a0a0c716da60757aa339117c1c14feb8741852040888d3fe37b7dc0b3f"
    report(statement_digest([[1, -1]], [[5]]).hex() == statement, "digest of a statement")


def test_proof(provenn, folder, model, profile, sample):
    keys, proof_path = folder / f"{model}-{profile}", folder / f"{model}-{profile}.proof"
    setup = ["setup", MODELS / model / "model.onnx", "--calibrate", MODELS / model / "refs.npz"]
    prove = ["prove", keys / "model.pk", "--input", sample, "-o", proof_path]
    for command in ([*setup, "--profile", profile, "-o", keys], prove):
        subprocess.run([provenn, "-q", *command], check=True, stdout=subprocess.DEVNULL)
    data, name = proof_path.read_bytes(), f"{model}, {profile}"

    start = time.monotonic()
    try:
        key = load_key((keys / "model.vk").read_bytes())
        verify(key, data)
        report(True, f"{name}: accepted in {time.monotonic() - start:.1f} s")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
        return

    start = time.monotonic()
    vk = (keys / "model.vk").read_bytes()
    report(key_is_sound(vk), f"{name}: fixed columns rebuilt in {time.monotonic() - start:.1f} s")
    at = vk.rindex(struct.pack("<4Q", *key.fixed))
    report(not key_is_sound(flipped(vk, 8 * at)), f"{name}: other fixed columns refused")
    weights = read_weights((keys / "model.pk").read_bytes())
    root = weight_root(key.graph, key.tables, weights, key.parameters.log_blowup)
    report(root == key.weights, f"{name}: weight commitment rebuilt from the proving key")

    rng = random.Random(name)
    flips = [rng.randrange(8 * len(data)) for _ in range(FLIPS)]
    survivors = [bit for bit in flips if not refused(key, flipped(data, bit))]
    report(not survivors, f"{name}: {FLIPS} flipped bits refused {survivors or ''}".rstrip())
    report(refused(key, other_statement(key, data)), f"{name}: another output refused")
    report(refused(key, data + b"\0") and refused(key, data[:-1]), f"{name}: other lengths refused")


def main():
    provenn = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROVENN")
    if not provenn:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    test_vectors()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        samples = {"mlp2_mnist": ROOT / "testdata" / "mnist-seven.json"}
        for model in ("adult-income-mlp", "logreg_cancer"):
            samples[model] = folder / f"{model}.json"
            sample = first_sample(MODELS / model / "refs.npz")
            samples[model].write_text(json.dumps({"input_data": [sample]}))
        for model, profile in (
            ("adult-income-mlp", "latency"),
            ("adult-income-mlp", "p128"),
            ("logreg_cancer", "latency"),
            ("mlp2_mnist", "latency"),
        ):
            test_proof(provenn, folder, model, profile, samples[model])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
