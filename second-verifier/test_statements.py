"""Statements about hidden tensors: real proofs, and the same proofs with other statements."""

import copy
import json
import random
import struct
import time
from math import prod
from types import SimpleNamespace as Record

from builder import INPUT, OUTPUT
from errors import Malformed, Rejected
from field import Ext, P, powers
from fixed import fixed_at
from hashes import (
    EXTERNAL, HASH_NAMES, INTERNAL, POSEIDON2, SHA256, permute, sha256_message, tensor_digest,
    words,
)  # fmt: skip
from keccak import keccak256
from layout import with_statement
from onnx import linear_model
from security import security_rounds
from statement import digest_value, disclosed, said_of, statement_digest
from testing import SHOW_ALL, read_file, refusal, report, restated, run, survivors
from verify import load_key, verify

FLIPS = 5
PERMUTED = [
    1906786279, 1737026427, 1959749225, 700325316, 1638050605, 1021608788, 1726691001, 1761127344,
    1552405120, 417318995, 36799261, 1215172152, 614923223, 1300746575, 957311597, 304856115,
]  # fmt: skip
TABLES = {
    "sha256": [560, 10, 32, 103, 103, 2, 1, 1],
    "bounds": [30, 9, 7, 5, 5, 1, 3, 5],
    "leading": [2, 9, 6, 4, 4, 2, 2, 3],
    "range": [136, 9, 8, 2, 2, 0, 2, 2],
    "poseidon2": [55, 9, 21, 65, 65, 2, 1, 1],
}
LEVELS = [
    [144.45, 136.97, 147.19, 141.53, 132.08, 138.53, 101.54, 128],
    [146.93, 137.3, 148.11, 141.53, 132.58, 138.53, 101.54, 128],
]
FIXED = {
    ("sha256", 0): (1375959420, 1746125316, 801940631, 150360803, 1146902169),
    ("sha256", 8): (281254604, 1790256249, 1528003438, 663838015, 112293671),
    ("poseidon2", 4): (73585243, 894145703, 1057229573, 1098638880, 1329872895),
    ("leading", 5): (326365133, 1251779988, 628013469, 1379048027, 821605148),
}
HASHED = ["--input-visibility", "hashed"]
POSEIDON = ["--hash", "poseidon2"]
# Model, profile, how to set up, what to state, what that says of inputs and of outputs.
CASES = (
    ("adult-income-mlp", "latency", [], [*HASHED, "--unsalted"], "sha256", "values"),
    ("adult-income-mlp", "latency", [], [*HASHED], "salted sha256", "values"),
    ("adult-income-mlp", "p128", [], [*HASHED, *POSEIDON, "--unsalted"], "poseidon2", "values"),
    ("adult-income-mlp", "latency", [], ["--output-visibility", "hashed"], "", "salted sha256"),
    ("logreg_cancer", "throughput", ["--weights", "private", "--proofs", "2"],
     [*HASHED, *POSEIDON, "--bounds=-1e6..1e6", "--reveal", "argmax"],
     "salted poseidon2, bounds", "leading"),
    ("batch of three", "latency", [],
     [*HASHED, "--output-visibility", "hashed", *POSEIDON, "--bounds=-1..1", "--reveal", "topk:2"],
     "salted poseidon2, bounds", "salted poseidon2, leading"),
    ("batch of three", "compact", ["--bits", "8"],
     [*HASHED, "--output-visibility", "hashed", "--reveal", "argmax"],
     "salted sha256", "salted sha256, leading"),
    ("mlp2_mnist", "latency", ["--bits", "8"], [*HASHED, "--bounds=0..1", "--reveal", "topk:3"],
     "salted sha256, bounds", "leading"),
)  # fmt: skip


def test_hashes():
    """docs/protocol.md §18.8, the part that needs no files."""
    report(permute(list(range(16))) == PERMUTED, "Poseidon2 permutes 0, 1, …, 15")
    salt = struct.pack("<8I", *range(1, 9))
    byte_message = sha256_message([-1, 2, -128], (-128, 127))
    report(byte_message == b"\xff\x02\x80", "elements of one byte for SHA-256")
    message = sha256_message([0, 258, 4095], (0, 4095), salt)
    report(message == salt + b"\0\0\2\1\xff\x0f", "salt and elements of two bytes for SHA-256")
    for function, salted, wanted in (
        (0, b"", "77ae20ceca0b8abdac0d35b967315434b92f56a475d6f3ff55be49791476b178"),
        (0, salt, "e0c3ba164e1a75f6ef2f190c99c3b55f6cb4aca23e951fa941215bfae4e4e6b1"),
        (1, b"", "3e02e639dfcdd24a53f9f8664764a8049513932691f897314c61936a2085904a"),
        (1, salt, "4a9c12720a898f4bf6a2ec3757171950d33ebd6354577c16b0f91746028f5504"),
    ):
        found = tensor_digest(function, [0, 258, 4095], (0, 4095), salted).hex()
        what = f"{'salted' if salted else 'unsalted'} {HASH_NAMES[function]} digest"
        report(found == wanted, f"{what} of a tensor")
    drawn = [c for rounds in (EXTERNAL[:4], [INTERNAL], EXTERNAL[4:]) for r in rounds for c in r]
    constants = "99fcb1cedb3bbb0b9fbd6df3aef0b6a0e783d5257c2a36ae09a61cbded5cdfe0"
    found = keccak256(struct.pack("<141I", *drawn)).hex()
    report(found == constants, "constants of Poseidon2")
    sigma = powers(Ext(0, 1, 0, 0, 0), 16)
    sha = Record(hash=SHA256, salted=True, bytes=bytes(range(32)))
    poseidon = Record(hash=POSEIDON2, salted=True, bytes=salt)
    wanted = (86881, 35987, 29305, 21595, 36501), (13, 16, 19, 4, 5)
    found = digest_value(sha, sigma).c, digest_value(poseidon, sigma).c
    report(found == wanted, "values of digests")
    said = [disclosed(digest=sha, bounds=[(-1, 5)])], [disclosed(leading=[[0, 2]])]
    statement = "b92c4c35745b1da3454d222a8e0254b8702185d37b83a563d971439380ad6293"
    report(statement_digest(*said).hex() == statement, "digest of a statement that hides")


def test_tables(key):
    """The rest of it: tables for the key of §16."""
    unsalted = Record(hash=SHA256, salted=False, bytes=bytes(32))
    salted = Record(hash=POSEIDON2, salted=True, bytes=bytes(32))
    statements = (
        (disclosed(digest=unsalted, bounds=[(0, 4095)] * 29), disclosed(leading=[[0]])),
        (disclosed(digest=salted), disclosed([1])),
    )
    tables, levels = {}, []
    for said in statements:
        statement = [*zip((INPUT, OUTPUT), key.graph.inputs + key.graph.outputs, said)]
        laid_out = with_statement(key.tables, key.graph, statement, key.hiding)
        tables.update((t.chip, t) for t in laid_out if t.outside_key)
        rounds = security_rounds(key.graph, laid_out, key.parameters)
        levels.append([round(bits, 2) for bits in rounds.values()])
    names = "rows log_height fixed main committed_main projection lookup messages"
    found = {name: [getattr(t, n) for n in names.split()] for name, t in tables.items()}
    report(found == TABLES, f"tables of statements {found}")
    report(levels == LEVELS, f"levels of statements {levels}")
    # A bound of §18.2, which no model of the tests comes near.
    for elements, fits in ((2**18, True), (2**19, False)):
        tensor = Record(features=elements, extent=[1, 1, 1], range=(0, 255))
        said = [(INPUT, 0, disclosed(digest=unsalted))]
        try:
            with_statement([], Record(tensors=[tensor]), said, key.hiding)
            why = ""
        except Malformed as error:
            why = str(error)
        what = f"a digest of {elements} elements {'is stated' if fits else 'takes too many cells'}"
        report(fits == (not why) and ("cells" in why) != fits, what)
    zeta = Ext(1, 2, 3, 4, 5)
    for (chip, column), value in FIXED.items():
        found = fixed_at(tables[chip], zeta)[column].c
        report(found == value, f"fixed column {column} of the {chip} table")


# What a statement says must be true of the values


def is_true(said, values, tensor, salt):
    """Whether what is said of a tensor is true of its values."""
    positions = prod(tensor.extent)
    rows = [values[i : i + positions] for i in range(0, len(values), positions)]
    true = said.values in (None, values)
    if said.digest is not None:
        salted = salt if said.digest.salted else b""
        found = tensor_digest(said.digest.hash, values, tensor.range, salted)
        true = true and found == said.digest.bytes
    for row, (lo, hi) in zip(rows, said.bounds or []):
        true = true and all(lo <= v <= hi for v in row)
    for p, named in enumerate(said.leading or []):
        least = min(rows[f][p] for f in named)
        true = true and all(f in named or row[p] <= least for f, row in enumerate(rows))
    return true


def summary(said):
    parts = []
    if said.digest is not None:
        parts.append("salted " * said.digest.salted + HASH_NAMES[said.digest.hash])
    return ", ".join(parts + [part for part in said_of(said) if part != "digest"])


# Other statements


def other_facts(said, values, tensor):
    """What else might be said of the tensor: (words of the refusal or nothing, statement)."""

    def but(**changes):
        other = copy.deepcopy(said)
        vars(other).update(changes)
        return other

    lo, hi = tensor.range
    for part in said_of(said):
        yield "", but(**{part: None})
    if said.values is None:
        yield "" if said_of(said) == [] else "more is said of it", but(values=values)
    if said.bounds is None:
        more = "more is said of it" if said.values is not None else ""
        yield more, but(bounds=[(lo, hi)] * tensor.features)
    if said.digest is not None:
        yield from ((why, but(digest=d)) for why, d in other_digests(said.digest))
    if said.bounds is not None:
        yield from ((why, but(bounds=b)) for why, b in other_bounds(said.bounds, tensor.range))
    if said.leading is not None:
        yield from ((why, but(leading=l)) for why, l in other_leading(said.leading, tensor))


def other_digests(digest):
    def but(**changes):
        other = copy.copy(digest)
        vars(other).update(changes)
        return other

    for at in (0, 31):
        changed = bytearray(digest.bytes)
        changed[at] ^= 1
        yield "", but(bytes=bytes(changed))
    yield "", but(salted=not digest.salted)
    yield "", but(hash=1 - digest.hash)
    if digest.hash == POSEIDON2:
        first, *others = words(digest.bytes)
        yield "no such digest", but(bytes=struct.pack("<8I", first + P, *others))


def other_bounds(bounds, interval):
    lo, hi = interval
    (first, last), rest = bounds[0], bounds[1:]
    for other in ((first, last - 1), (first + 1, last)):
        yield "", [other, *rest]
    for other in ((lo - 1, last), (first, hi + 1), (last + 1, last), (last, first)):
        if other != (first, last):
            yield "cannot have these bounds", [other, *rest]
    yield "cannot have these bounds", rest


def other_leading(leading, tensor):
    why = "cannot have these leading features"
    first, rest = leading[0], leading[1:]
    others = [f for f in range(tensor.features) if f not in first]
    if others:
        yield "", [sorted(first[1:] + others[:1]), *rest]
        yield "" if not rest else why, [sorted(first + others[:1]), *rest]
    yield why, [first + [tensor.features], *(features + [tensor.features] for features in rest)]
    yield why, [[first[0], *first], *([features[0], *features] for features in rest)]
    if len(first) > 1:
        yield why, [first[::-1], *rest]
    yield why, [[] for _ in leading]
    yield why, leading + [first]


def test_case(provenn, folder, case, model, sample):
    name, profile, setup, options, *wanted = case
    name = f"{name}, {profile}, {' '.join(setup + options)}"
    keys, proof, salts = folder / "keys", folder / "x.proof", folder / "x.salt"
    salts.unlink(missing_ok=True)
    calibrate = model.with_name("refs.npz") if model.with_name("refs.npz").exists() else sample
    run(provenn, "setup", model, "--calibrate", calibrate, "--profile", profile, *setup, "-o", keys)
    prove = ["prove", keys / "model.pk", "--input", sample, "-o", proof]
    salting = [] if "--unsalted" in options or "hashed" not in options else ["--salt", salts]
    run(provenn, *prove, *options, *salting)
    data = proof.read_bytes()
    run(provenn, *prove, *SHOW_ALL)
    truth = read_file(proof.read_bytes())

    key = load_key((keys / "model.vk").read_bytes())
    if case is CASES[0]:
        test_tables(key)
    start = time.monotonic()
    try:
        proved = verify(key, data)
        report(True, f"{name}: accepted in {time.monotonic() - start:.1f} s")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
        return
    said = [said for _, _, said in proved.tensors]
    report([summary(s) for s in said] == wanted, f"{name}: says what it should")
    known = json.loads(salts.read_text())["salts"] if salts.exists() else {}
    tensors = [key.graph.tensors[i] for _, i, _ in proved.tensors]
    values = [true.values for true in truth[0] + truth[1]]
    true = all(
        is_true(s, v, t, bytes.fromhex(known.get(t.name, "")))
        for s, v, t in zip(said, values, tensors)
    )
    report(true, f"{name}: what it says is true")

    wrong = []
    for i, tensor in enumerate(tensors):
        for why, other in other_facts(said[i], values[i], tensor):
            changed = [*said[:i], other, *said[i + 1 :]]
            inputs = len(key.graph.inputs)
            found = refusal(key, restated(data, changed[:inputs], changed[inputs:]))
            if found is None or why not in found:
                wrong.append((other, why, found))
    report(not wrong, f"{name}: other statements refused {wrong or ''}".rstrip())
    rng = random.Random(name)
    left = survivors(key, data, [rng.randrange(8 * len(data)) for _ in range(FLIPS)])
    report(not left, f"{name}: {FLIPS} flipped bits refused {left or ''}".rstrip())


def test_plain_key(provenn, folder, model, sample):
    """A key whose proofs hide nothing has no proofs of digests."""
    keys, proof = folder / "keys", folder / "x.proof"
    run(provenn, "setup", model, "--calibrate", model.with_name("refs.npz"), "--no-zk", "-o", keys)
    run(provenn, "prove", keys / "model.pk", "--input", sample, "-o", proof, *SHOW_ALL)
    key, data = load_key((keys / "model.vk").read_bytes()), proof.read_bytes()
    inputs, outputs, _ = read_file(data)
    bounds = [key.graph.tensors[0].range] * key.graph.tensors[0].features
    why = refusal(key, restated(data, [disclosed(bounds=bounds)], outputs))
    report("hide nothing" in (why or ""), "no zk: a statement with bounds refused by name")


def test_statements(provenn, folder, models, samples):
    batch = folder / "batch.onnx"
    samples = {**samples, "batch of three": folder / "batch.json"}
    data = linear_model(batch, 3, 11, 4)
    samples["batch of three"].write_text(json.dumps({"input_data": [data]}))
    for case in CASES:
        model = batch if case[0] == "batch of three" else models / case[0] / "model.onnx"
        test_case(provenn, folder, case, model, samples[case[0]])
    adult = "adult-income-mlp"
    test_plain_key(provenn, folder, models / adult / "model.onnx", samples[adult])
