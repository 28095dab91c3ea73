"""Proofs about keys: attestations and rekey proofs, good and bad.

Here both verifiers judge every file, and must come to the same exit code.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace as Record
from unittest.mock import patch

from attest import verify_attestation
from attested import bound_of, lay_out_attestation, limits
from codec import DATA_AND_WEIGHTS, NONE, read_attestation, read_rekey_proof
from cost import log_height
from errors import Malformed, OverLimit, Rejected
from field import Ext
from fixed import fixed_at
from keccak import digest
from maps import SUM, WEIGHTS
from onnx import linear_model
from rekey import verify_rekey
from security import attestation_rounds
from testing import flipped, report, run, variants, written
from verify import load_key

HEADER, DIGEST = 12, 32
FLIPS = 4
PRIVATE = ["--weights", "private", "--proofs", "2"]
ADULT, CANCER, MNIST, BATCH = "adult-income-mlp", "logreg_cancer", "mlp2_mnist", "batch of three"
# Model, profile, how to set up.
CASES = (
    (ADULT, "latency", []),
    (ADULT, "latency", PRIVATE),
    (ADULT, "latency", ["--no-zk"]),
    (CANCER, "p128", PRIVATE),
    (CANCER, "throughput", ["--no-zk"]),
    (MNIST, "compact", []),
    (BATCH, "throughput", PRIVATE),
)
# Of these all fields are changed in turn.
THOROUGH = CASES[1:3]

BEGIN = {
    "provenn rekey": "b832e4b3334a579c279f9f12560c242111960e51d911f2a90923284a8d971bee",
    "provenn attestation": "dad211ed5d8beb9d590d7d5aab81b42262951daea032e9a5512587803a7f4c18",
}
LIMITS = [
    [-134201344, 268386303, 0, 4095, 268402687, [8, 8, 8, 5], [8, 5, 0, 0], [8, 1, 0, 0]],
    [-25163776, 25159679, 0, 4095, 25161727, [8, 8, 8, 2], [8, 5, 0, 0], [6, 0, 0, 0]],
]
TABLES = (
    {
        "attested weights": [172, 9, 12, 16, 16, 1, 1, 9, 17],
        "attested sums": [21, 6, 24, 32, 32, 1, 1, 17, 33],
        "range": [359, 9, 6, 1, 1, 0, 0, 1, 1],
    },
    {
        "attested weights": [112, 10, 12, 36, 36, 1, 1, 19, 37],
        "attested sums": [21, 9, 24, 32, 32, 1, 1, 17, 33],
        "range": [180, 9, 8, 2, 2, 0, 1, 2, 2],
    },
)
LEVELS = (
    [149.32, 138.26, 149.08, 143.53, 134.99, 140.53, 100.36, 128],
    [148.98, 135.96, 148.63, 142.53, 133.46, 139.53, 101.54, 128],
)
FIXED = {
    ("attested weights", 4): (823687222, 1556144921, 1662570327, 1057490558, 1733046157),
    ("attested weights", 7): (1165608486, 241887972, 627097884, 161542243, 1617161851),
    ("attested weights", 8): (1474813024, 2005722583, 622408551, 262113007, 645146909),
    ("attested sums", 9): (21472323, 1283707125, 1965736674, 1191270591, 481561397),
    ("attested sums", 11): (693916691, 1283662919, 173951264, 962355879, 1743193869),
    ("attested sums", 20): (515688811, 327776382, 22804846, 765104303, 1837462406),
    ("range", 5): (1396613169, 1650098493, 672672001, 302388833, 1074059197),
}


def test_vectors():
    """docs/protocol.md §17 and §19, the part that needs no files."""
    for tag, wanted in BEGIN.items():
        found = digest(tag, b"babybear-keccak\x07\x00").hex()
        report(found == wanted, f"digest of the name `{tag}` {found}")


def one_layer(inputs, outputs, interval, domain, shift):
    """The graph of a dense layer, as far as an attestation goes."""
    axes = [Record(taps=1, stride=1, expand=1, dilation=1, pad=0, start=0, to=1)] * 3
    dense = Record(
        kernel=WEIGHTS, groups=1, inputs=inputs, first_output=0, outputs=outputs, axes=axes
    )
    tensors = [Record(features=inputs, range=interval), Record(features=outputs)]
    term = Record(input=0, map=dense)
    layer = Record(
        terms=[term], combine=SUM, output=1, domain=domain, shift=shift, excess_bits=0
    )
    return Record(tensors=tensors, layers=[layer])


def test_limits():
    """The same: a layer whose limits are those of the field."""

    def bound(interval, domain=(0, 65535), shift=14):
        graph = one_layer(2**20, 1, interval, domain, shift)
        b = bound_of(graph, 0)
        return [*limits(graph.layers[0]), b.top, *b.widths]

    shared = [-8192, 939532289, 939540481, [8, 8, 8, 6]]
    report(bound((-3, 5)) == [*shared, [8, 8, 8, 4], [8, 8, 4, 0]], "limits near the modulus")
    report(bound((0, 0)) == [*shared, [8, 8, 8, 4], [8, 8, 8, 4]], "limits of an input of zeros")
    for interval, *others in (((1, 5),), ((-5, -1),), ((-3, 5), (100000, 165535), 13)):
        try:
            bound(interval, *others)
            report(False, f"limits of an input in {interval}")
        except Malformed as error:
            report(True, f"limits of an input in {interval}: {error}")


def test_cells():
    """A bound of §19, which no model of the tests comes near."""
    for outputs, fits in ((2**21, True), (3 * 2**20, False)):
        graph = one_layer(1, outputs, (0, 255), (0, 255), 8)
        row = [Record(chunk=i) for i in range(outputs // 256)]
        blocks = [
            Record(layer=0, channels=1, group=1, outputs=outputs, first_output=0, start=0, rows=row)
            for _ in range(2)
        ]
        weights = Record(chip="weights", lanes=256, blocks=blocks, rows=outputs // 128 + 1)
        weights.log_height = log_height(weights.rows)
        key = Record(privacy=NONE, hiding=None, graph=graph, tables=[weights])
        try:
            lay_out_attestation(key)
            why = ""
        except Malformed as error:
            why = str(error)
        what = "is laid out" if fits else "takes too many cells"
        what = f"an attestation of {outputs} outputs {what}"
        report(fits == (not why) and ("cells" in why) != fits, f"{what} {why}".rstrip())


def test_tables(public, private):
    """The rest of it: for the key of §16, and one with private weights."""
    found = []
    for i, layer in enumerate(public.graph.layers):
        b = bound_of(public.graph, i)
        found.append([*limits(layer), b.below, b.above, b.top, *b.widths])
    report(found == LIMITS, f"limits of layers {found}")
    # Of §16: what private weights change in the tables of a proof.
    shape = "rows log_height committed_projection committed_lookup".split()
    found = {t.chip: tuple(getattr(t, n) for n in shape) for t in private.tables}
    found = found["weights"], found["range"]
    report(found == ((112, 10, 1, 1), (73, 9, 1, 1)), f"tables of a key with private weights {found}")
    names = "rows log_height fixed main committed_main projection committed_projection lookup "
    names += "messages"
    for key, tables, levels in zip((public, private), TABLES, LEVELS):
        laid_out = lay_out_attestation(key)
        found = {t.chip: [getattr(t, n) for n in names.split()] for t in laid_out}
        weights = "private" if key.privacy == DATA_AND_WEIGHTS else "public"
        report(found == tables, f"tables of an attestation, {weights} weights {found}")
        rounds = attestation_rounds(laid_out, key.parameters).values()
        found = [round(bits, 2) for bits in rounds]
        report(found == levels, f"levels of an attestation, {weights} weights {found}")
    tables = {t.chip: t for t in lay_out_attestation(public)}
    for (chip, column), value in FIXED.items():
        found = fixed_at(tables[chip], Ext(1, 2, 3, 4, 5))[column].c
        report(found == value, f"fixed column {column} of the {chip} table of an attestation {found}")


# Verdicts


def own_verdict(check, data):
    """Exit code and reason."""
    try:
        check(data)
    except Malformed as error:
        return 4, str(error)
    except OverLimit as error:
        return 5, str(error)
    except Rejected as error:
        return 1, str(error)
    return 0, ""


class Judges:
    """Both verifiers, of one kind of proof about given keys."""

    def __init__(self, provenn, path, options, check):
        self.command = [provenn, "-q", "verify", *options, path]
        self.path, self.check, self.why = path, check, ""

    def verdicts(self, data):
        """The exit codes: that of provenn, and our own. Our reason is in `why`."""
        self.path.write_bytes(data)
        theirs = subprocess.run(self.command, capture_output=True).returncode
        code, self.why = own_verdict(self.check, data)
        return theirs, code

    def expect_accepted(self, data, what):
        start = time.monotonic()
        found = self.verdicts(data)
        report(found == (0, 0), f"{what}: accepted in {time.monotonic() - start:.1f} s")

    def expect_refused(self, files, what, code=None, why=""):
        """`files`: (where they differ from a good one, bytes); `why`: in our reason."""
        count, wrong = 0, []
        for where, data in files:
            found, count = self.verdicts(data), count + 1
            expected = found[0] in ((1, 4) if code is None else (code,))
            if found[0] != found[1] or not expected or why not in self.why:
                wrong.append((where, found, self.why))
        report(count and not wrong, f"{what}: {count} refused {wrong or ''}".rstrip())


def attestation_judges(provenn, folder, keys):
    key = load_key((keys / "model.vk").read_bytes())
    options = ["--vk", keys / "model.vk"]
    check = lambda data: verify_attestation(key, data)
    return key, Judges(provenn, folder / "x.attest", options, check)


def rekey_judges(provenn, folder, old, new):
    keys = [load_key((folder / "model.vk").read_bytes()) for folder in (old, new)]
    options = ["--vk", old / "model.vk", "--successor", new / "model.vk"]
    check = lambda data: verify_rekey(*keys, data)
    return keys, Judges(provenn, folder / "x.rekey", options, check)


def expect_each_alone(name, module, checks, judges, data):
    """A forged file is refused by each of these checks of a module, should the others fail to."""
    for alone, why in checks.items():
        others = {check: lambda *_: None for check in checks if check != alone}
        with patch.multiple(module, **others):
            code, found = own_verdict(judges.check, data)
        report(code == 1 and why in found, f"{name}: refused by {alone} alone: {found}")
    with patch.multiple(module, **{check: lambda *_: None for check in checks}):
        code, _ = own_verdict(judges.check, data)
    report(code == 0, f"{name}: refused by nothing else")


# Other files


def other_bytes(data, rng):
    """Another header, other lengths."""
    for at in range(HEADER):
        yield f"byte {at}", flipped(data, 8 * at + rng.randrange(8))
    for length in (0, HEADER - 1, HEADER, HEADER + DIGEST, rng.randrange(len(data)), len(data) - 1):
        yield f"{length} bytes", data[:length]
    yield "a byte more", data + b"\0"


def other_bits(data, rng):
    """Flipped bits behind the header."""
    for bit in (rng.randrange(8 * HEADER, 8 * len(data)) for _ in range(FLIPS)):
        yield f"bit {bit}", flipped(data, bit)


def other_fields(data, read, profile, rng):
    proof = read(data, profile)
    for where, other in variants(proof, rng):
        yield where, data[:HEADER] + written(other)


def with_other(data, read, profile, field):
    """With another value somewhere in a list of a proof."""
    proof = read(data, profile)
    entries = variants(getattr(proof, field), random.Random(field))
    setattr(proof, field, next(other for where, other in entries if where.endswith("]")))
    return data[:HEADER] + written(proof)


def renamed(data, *digests):
    """A proof that says it is about other keys."""
    return data[:HEADER] + b"".join(digests) + data[HEADER + DIGEST * len(digests) :]


# Attestations


def set_up(provenn, keys, model, calibrate, profile, options):
    command = ["setup", model, "--calibrate", calibrate, "--profile", profile, *options]
    run(provenn, *command, "--attest", "-o", keys)
    return (keys / "model.attest").read_bytes()


def test_attestation(provenn, folder, case, keys, data):
    model, profile, options = case
    name = f"attestation, {model}, {profile} {' '.join(options)}".rstrip()
    key, judges = attestation_judges(provenn, folder, keys)
    judges.expect_accepted(data, name)
    rng = random.Random(name)
    judges.expect_refused(other_bits(data, rng), f"{name}: flipped bits")
    judges.expect_refused(other_bytes(data, rng), f"{name}: other headers and lengths", code=4)
    if case in THOROUGH:
        again = data[:HEADER] + written(read_attestation(data, key.profile))
        report(again == data, f"{name}: written as it was read")
        others = other_fields(data, read_attestation, key.profile, rng)
        judges.expect_refused(others, f"{name}: changed fields")
        expect_each_alone(f"{name}: another terminal", "verify", {
            "check_buses": "buses do not balance", "check_constraints": "do not hold",
            "check_opening": "",
        }, judges, with_other(data, read_attestation, key.profile, "terminals"))  # fmt: skip
    return key


def test_other_keys(provenn, folder, attested):
    """Attestations of other keys of one model and profile: under their names, and renamed."""
    for keys, key, _ in attested:
        _, judges = attestation_judges(provenn, folder, keys)
        others = [data for _, other, data in attested if other is not key]
        name = f"attestation, {keys.name}"
        as_it_is = [("another key's", data) for data in others]
        judges.expect_refused(as_it_is, f"{name}: other keys' attestations", code=1)
        others = [("another key's", renamed(data, key.digest)) for data in others]
        judges.expect_refused(others, f"{name}: other keys' attestations, renamed")


def test_no_room(provenn, folder):
    """A key whose mask leaves no room for an attestation."""
    model, sample, keys = folder / "wide.onnx", folder / "wide.json", folder / "no room"
    data = linear_model(model, 1, 554, 3)
    sample.write_text(json.dumps({"input_data": [data]}))
    command = ["setup", model, "--calibrate", sample, "--profile", "latency"]
    options = ["--weights", "private", "--proofs"]
    attestation = set_up(provenn, keys, model, sample, "latency", [*options, "2"])
    run(provenn, *command, *options, "1", "-o", keys)
    key, judges = attestation_judges(provenn, folder, keys)
    files = [("renamed", renamed(attestation, key.digest))]
    name = "attestation of a key without room for it"
    judges.expect_refused(files, name, code=5, why="needs more rows than it has")


# Rekey proofs


def test_rekey(provenn, folder, name, old, new):
    """`old` was replaced by `new`. Returns the proof."""
    run(provenn, "rekey", old / "model.pk", "-o", new)
    data = (new / "model.rekey").read_bytes()
    keys, judges = rekey_judges(provenn, folder, old, new)
    judges.expect_accepted(data, name)
    rng = random.Random(name)
    judges.expect_refused(other_bits(data, rng), f"{name}: flipped bits")
    judges.expect_refused(other_bytes(data, rng), f"{name}: other headers and lengths", code=4)
    again = data[:HEADER] + written(read_rekey_proof(data, keys[0].profile))
    report(again == data, f"{name}: written as it was read")
    others = other_fields(data, read_rekey_proof, keys[0].profile, rng)
    judges.expect_refused(others, f"{name}: changed fields")
    expect_each_alone(f"{name}: another opened value", "rekey", {
        "check_weights": "not shown to be the same", "check_opening": "",
    }, judges, with_other(data, read_rekey_proof, keys[0].profile, "opened"))  # fmt: skip
    return data


def test_other_successors(provenn, folder, data, pairs):
    """A rekey proof, of none of these pairs of keys."""
    for what, old, new, why in pairs:
        keys, judges = rekey_judges(provenn, folder, old, new)
        name = f"rekey proof of {what}"
        judges.expect_refused([("as it is", data)], name, code=1, why=why or "for other keys")
        files = [("", renamed(data, *(key.digest for key in keys)))]
        why = why or "not shown to be the same"
        judges.expect_refused(files, f"{name}, renamed", code=1, why=why)


def test_commands(old, new):
    """The exit codes of the commands."""
    old_key, new_key = old / "model.vk", new / "model.vk"
    attestation, rekey_proof = old / "model.attest", new / "model.rekey"
    for script, arguments, code in (
        ("attest.py", ["--audit", "--vk", old_key, attestation], 0),
        ("attest.py", ["--vk", new_key, attestation], 1),
        ("attest.py", ["--vk", old_key, old / "nothing"], 2),
        ("attest.py", ["--vk", old_key, rekey_proof], 4),
        ("rekey.py", ["--old", old_key, "--new", new_key, rekey_proof], 0),
        ("rekey.py", ["--old", new_key, "--new", old_key, rekey_proof], 1),
    ):
        command = [sys.executable, "-B", Path(__file__).with_name(script), *arguments]
        found = subprocess.run(command, capture_output=True).returncode
        report(found == code, f"{script}: exit code {found} where it should be {code}")


def test_keys(provenn, folder, models):
    test_vectors()
    test_limits()
    test_cells()
    batch, sample = folder / "batch.onnx", folder / "batch.json"
    sample.write_text(json.dumps({"input_data": [linear_model(batch, 3, 11, 4)]}))
    attested = []
    for case in CASES:
        model, profile, options = case
        path = batch if model == BATCH else models / model / "model.onnx"
        calibrate = sample if model == BATCH else models / model / "refs.npz"
        keys = folder / f"{model} {profile} {' '.join(options)}".rstrip()
        data = set_up(provenn, keys, path, calibrate, profile, options)
        attested.append((keys, test_attestation(provenn, folder, case, keys, data), data))
    (public, public_key, _), (private, private_key, _), (plain, *_), (cancer, *_) = attested[:4]
    test_tables(public_key, private_key)
    # The same weights under another mask.
    model, calibrate = models / ADULT / "model.onnx", models / ADULT / "refs.npz"
    twin = folder / f"{private.name}, again"
    data = set_up(provenn, twin, model, calibrate, "latency", PRIVATE)
    twins = (twin, load_key((twin / "model.vk").read_bytes()), data)
    test_other_keys(provenn, folder, [*attested[:3], twins])
    test_no_room(provenn, folder)

    second, third, other = (folder / f"key {i}" for i in (2, 3, 4))
    first = test_rekey(provenn, folder, "rekey proof, latency", private, second)
    test_rekey(provenn, folder, "rekey proof, p128", cancer, other)
    test_commands(private, second)
    run(provenn, "rekey", second / "model.pk", "-o", third)
    test_other_successors(provenn, folder, first, (
        ("swapped keys", second, private, ""),
        ("the next keys of the line", second, third, ""),
        ("the key after the next", private, third, ""),
        ("a twin", private, twin, ""),
        ("the same key twice", private, private, "the new key is the old one"),
        ("keys with public weights", public, public, "are not private"),
        ("a new key with public weights", private, public, "differ in their privacy"),
        ("a plain old key", plain, private, "are not private"),
        ("keys of other profiles and models", private, cancer, "differ in their graph"),
    ))  # fmt: skip
    # The first key's attestation is good for the second because of the rekey proof, not by itself.
    _, judges = attestation_judges(provenn, folder, second)
    data = (private / "model.attest").read_bytes()
    judges.expect_refused([("", data)], "attestation of the key before", code=1)
