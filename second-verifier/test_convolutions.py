"""Convolutional graphs: the key of docs/protocol.md §16, and real keys and proofs."""

import json
import random
import struct
from math import exp, prod

from attest import verify_attestation
from audit import live_rows, weight_root
from errors import Malformed, Rejected
from field import OMEGA, ONE, P, ZERO, Ext
from onnx import convolutional_model, scores_model
from plan import facts_of, kind_of, partitions
from security import security_rounds
from terms import Terms
from testing import SHOW_ALL, key_is_sound, read_weights, refused, report, run, survivors
from verify import load_key, verify

FLIPS = 10
DIGESTS = (
    "0647381334faba26182ed775d8d21723d8dfad2a5376209f34d37b1e7a94d8f0",
    "615db2b06615cc3cb9a248cfd8a6dd47414ec90923f244a62ffd108023190bdd",
)
TABLES = [
    ("activation", 382, 10, 82, 7, 9, 4, 4, 5, 5, 9),
    ("weights", 172, 9, 21, 0, 0, 1, 1, 1, 1, 1),
    ("overhang", 117, 9, 19, 1, 6, 1, 1, 1, 1, 1),
    ("sums", 15, 9, 10, 0, 0, 2, 2, 2, 2, 2),
    ("range", 167, 9, 10, 3, 3, 0, 1, 2, 2, 3),
    ("functions", 1639, 11, 44, 10, 10, 0, 1, 6, 6, 10),
]
LEVELS = [147.14, 136.7, 149.25, 141.53, 132.36, 138.53, 101.54, 128.0]
# Ratios and forms: own, of the weighted slot, of the other.
LISTS = [(19, 5), (9, 3), (10, 3)]
FIXED = {
    ("activation", 11): (1076864985, 1252191132, 935473546, 1812808340, 1590694688),
    ("activation", 30): (1027295759, 948055804, 1306824777, 251160026, 172495011),
    ("activation", 57): (1525056129, 1272003017, 983022746, 619136655, 488560938),
    ("activation", 58): (989128308, 1115623346, 52659548, 653995176, 258326346),
    ("activation", 71): (496394010, 432820913, 580306673, 285110363, 603548435),
    ("weights", 4): (159661939, 1515001678, 1291266088, 1875826553, 649857863),
    ("weights", 9): (1001157426, 280743054, 1766202228, 17494320, 1982800371),
    ("overhang", 10): (1041493747, 1484009797, 278772229, 435054617, 1818176537),
    ("sums", 7): (165637177, 729999731, 1426609877, 348577879, 638987944),
}


def column_at(table, column, zeta):
    """The value at ζ of a fixed column, from its live rows."""
    value, x = ZERO, 1
    for row in live_rows(table):
        if row[column]:
            value = value + (zeta - x).inverse() * x * row[column]
        x = x * OMEGA[table.log_height] % P
    n = 2**table.log_height
    return value * ((zeta**n - ONE) * pow(n, -1, P))


def test_convolution_key(path):
    data = path.read_bytes()
    key = load_key(data)
    found = key.digest.hex(), key.model_digest.hex()
    report(found == DIGESTS, f"key of a convolutional graph: digests {found}")
    names = "chip rows log_height fixed main committed_main projection committed_projection lookup "
    names += "committed_lookup messages"
    found = [tuple(getattr(t, n) for n in names.split()) for t in key.tables]
    report(found == TABLES, f"key of a convolutional graph: tables {found}")
    tables = {t.chip: t for t in key.tables}
    own, slots = tables["activation"].own, tables["activation"].slots
    lists = [own] + [slot.lists for slot in slots]
    found = [(len(l.ratios), len(l.forms)) for l in lists]
    report(found == LISTS, f"key of a convolutional graph: ratios and forms {found}")
    rounds = security_rounds(key.graph, key.tables, key.parameters).values()
    found = [round(bits, 2) for bits in rounds]
    report(found == LEVELS, f"key of a convolutional graph: levels {found}")
    for (chip, column), value in FIXED.items():
        found = column_at(tables[chip], column, Ext(1, 2, 3, 4, 5)).c
        report(found == value, f"fixed column {column} of the {chip} table")
    report(key_is_sound(data), "key of a convolutional graph: fixed columns rebuilt")


# How to set up, what to show.
CASES = (
    ([], []),
    (["--no-zk"], SHOW_ALL),
    (["--profile", "p128"], ["--output-visibility", "private"]),
    (["--bits", "8"], ["--input-visibility", "hashed", "--reveal", "argmax"]),
)


def test_case(provenn, folder, setup, visibility):
    model, sample, proof = (folder / f"convolution.{end}" for end in ("onnx", "json", "proof"))
    sample.write_text(json.dumps({"input_data": [convolutional_model(model)]}))
    keys, name = folder / "convolution", f"convolutions, {' '.join(setup + visibility)}"
    run(provenn, "setup", model, "--calibrate", sample, *setup, "--attest", "-o", keys)
    run(provenn, "prove", keys / "model.pk", "--input", sample, "-o", proof, *visibility)
    vk, pk, attestation = ((keys / f"model.{end}").read_bytes() for end in ("vk", "pk", "attest"))
    key, data = load_key(vk, audit=True), proof.read_bytes()
    try:
        verify(key, data)
        verify_attestation(key, attestation)
        report(True, f"{name}: proof and attestation accepted")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
    root = weight_root(key.graph, key.tables, read_weights(pk), key.parameters.log_blowup)
    report(root == key.weights, f"{name}: weight commitment rebuilt")
    rng = random.Random(name)
    left = survivors(key, data, [rng.randrange(8 * len(data)) for _ in range(FLIPS)])
    report(not left, f"{name}: {FLIPS} flipped bits refused {left or ''}".rstrip())
    report(refused(key, data + b"\0") and refused(key, data[:-1]), f"{name}: other lengths refused")


# What is made of scores: probabilities, their logarithms, and which is largest (§7, §8.7).

FUNCTIONS = {0, 1, 12, 13, 14}
SCORE_KINDS = {2, 3, 4, 5, 6}
WAYS = ["00000000", "00000001", "00000100", "00000101", "00000102"]


def test_ways():
    found = ["".join(map(str, way)) for way in partitions({1, 5, 7})]
    report(found == WAYS, f"ways of putting three kinds together {found}")
    bells = [len(partitions(range(n))) for n in range(1, 9)]
    report(bells == [1, 2, 5, 15, 52, 203, 877, 4140], f"numbers of ways {bells}")


def images_of(key, outputs):
    """For each output a list of its positions, each with the values of its features."""
    for i, said in zip(key.graph.outputs, outputs):
        tensor = key.graph.tensors[i]
        positions = prod(tensor.extent)
        scale = 2.0**-tensor.encoding.frac_bits
        yield [[v * scale for v in said.values[p::positions]] for p in range(positions)]


def test_scores(provenn, folder):
    model, sample, proof = (folder / f"scores.{end}" for end in ("onnx", "json", "proof"))
    sample.write_text(json.dumps({"input_data": [scores_model(model)]}))
    keys, name = folder / "scores", "scores"
    run(provenn, "setup", model, "--calibrate", sample, "-o", keys)
    run(provenn, "prove", keys / "model.pk", "--input", sample, "-o", proof)
    vk, data = (keys / "model.vk").read_bytes(), proof.read_bytes()
    key = load_key(vk)
    found = {layer.function[0] for layer in key.graph.layers}
    report(found == FUNCTIONS, f"{name}: functions {sorted(found)}")
    terms = Terms(key.graph)
    found = {kind_of(facts_of(key.graph, terms, group)) for group in terms.groups.all}
    report(found == SCORE_KINDS, f"{name}: kinds of tensors {sorted(found)}")
    report(key_is_sound(vk), f"{name}: fixed columns rebuilt")
    try:
        tensors = [said for _, _, said in verify(key, data).tensors]
        report(True, f"{name}: accepted")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
        return
    shares, logarithms, largest = images_of(key, tensors[len(key.graph.inputs) :])
    off = max(abs(sum(of_position) - 1) for of_position in shares)
    off = max(off, *(abs(sum(map(exp, of_position)) - 1) for of_position in logarithms))
    report(off < 0.01, f"{name}: shares add up to 1 but for {off:.4f}")
    right = all(l[int(a)] == max(l) for l, (a,) in zip(logarithms, largest))
    report(right, f"{name}: the largest is named")
    test_parameters(vk, name)


def test_parameters(vk, name):
    """Keys with a logarithm that begins elsewhere, and with another function for `Step`."""
    logarithm = struct.pack("<If", 13, 1.0)
    # Behind a shift of 0 and 15 excess bits.
    step = struct.pack("<BBI", 0, 15, 14)
    assert (vk.count(logarithm), vk.count(step)) == (2, 1)
    for lo, is_valid in ((0.0, 0), (-1.0, 0), (float("inf"), 0), (float("nan"), 0), (0.5, 1)):
        other = vk.replace(logarithm, struct.pack("<If", 13, lo))
        verdict = "valid" if is_valid else "refused"
        report(key_is_sound(other, audit=False) == is_valid, f"{name}: a logarithm from {lo} {verdict}")
    for function, is_valid in ((15, 0), (12, 1)):
        other = vk.replace(step, struct.pack("<BBI", 0, 15, function))
        verdict = "valid" if is_valid else "refused"
        report(key_is_sound(other, audit=False) == is_valid, f"{name}: function {function} {verdict}")


def test_convolutions(provenn, folder, key):
    test_convolution_key(key)
    for setup, visibility in CASES:
        test_case(provenn, folder, setup, visibility)
    test_ways()
    test_scores(provenn, folder)
