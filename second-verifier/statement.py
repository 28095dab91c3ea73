"""What a statement says of inputs and outputs: checks, digest, claims (§6, §7, §10, §18)."""

import struct
from math import prod
from types import SimpleNamespace as Record

from builder import DIGEST, INPUT, OUTPUT
from errors import check
from field import P, ZERO, ext, powers, total
from hashes import POSEIDON2, SHA256, width_of, words
from keccak import digest

PARTS = ("values", "digest", "bounds", "leading")


def disclosed(values=None, digest=None, bounds=None, leading=None):
    return Record(values=values, digest=digest, bounds=bounds, leading=leading)


def said_of(tensor):
    """The parts that are there: each has one receiver of the tensor's claim."""
    return [part for part in PARTS if getattr(tensor, part) is not None]


def tensors_of(graph, inputs, outputs):
    """Kind of claim, id, and what is said: inputs, then outputs."""
    kinds = [INPUT] * len(graph.inputs) + [OUTPUT] * len(graph.outputs)
    return list(zip(kinds, graph.inputs + graph.outputs, inputs + outputs))


def check_statement(graph, inputs, outputs, hiding):
    for tensors, ids in ((inputs, graph.inputs), (outputs, graph.outputs)):
        check(len(tensors) == len(ids), "the statement has a wrong number of tensors")
    for _, i, said in tensors_of(graph, inputs, outputs):
        t = graph.tensors[i]
        if said.values is None:
            check(hiding, f"tensor {i} is not shown, but the key's proofs hide nothing")
        else:
            check(said_of(said) == ["values"], f"tensor {i} is shown, and more is said of it")
            check_values(i, t, said.values)
        if said.digest is not None:
            check(digest_exists(t, said.digest), f"tensor {i} has no such digest")
        if said.bounds is not None:
            lo, hi = t.range
            fit = len(said.bounds) == t.features and all(
                lo <= below <= above <= hi for below, above in said.bounds
            )
            check(fit, f"tensor {i} cannot have these bounds")
        if said.leading is not None:
            check(leading_fits(t, said.leading), f"tensor {i} cannot have these leading features")


def check_values(i, tensor, values):
    count = tensor.features * prod(tensor.extent)
    check(len(values) == count, f"tensor {i} has a wrong number of values")
    lo, hi = tensor.range
    check(all(lo <= v <= hi for v in values), f"a value of tensor {i} is outside its range")


def digest_exists(tensor, said):
    if said.hash == SHA256:
        return width_of(tensor.range) is not None
    return all(word < P for word in words(said.bytes))


def leading_fits(tensor, leading):
    count = len(leading[0]) if leading else 0
    return (
        len(leading) == prod(tensor.extent)
        and count > 0
        and all(len(features) == count for features in leading)
        and all(a < b for features in leading for a, b in zip(features, features[1:]))
        and all(f < tensor.features for features in leading for f in features)
    )


def statement_digest(inputs, outputs):
    return digest("provenn statement", canonical(inputs) + canonical(outputs))


def canonical(tensors):
    data = struct.pack("<I", len(tensors))
    for said in tensors:
        there = said_of(said)
        data += struct.pack("<I", sum(2 ** PARTS.index(part) for part in there))
        if "values" in there:
            data += struct.pack(f"<I{len(said.values)}i", len(said.values), *said.values)
        if "digest" in there:
            data += struct.pack("<II", said.digest.hash, said.digest.salted) + said.digest.bytes
        if "bounds" in there:
            data += struct.pack("<I", len(said.bounds))
            data += b"".join(struct.pack("<ii", *interval) for interval in said.bounds)
        if "leading" in there:
            data += struct.pack("<I", len(said.leading))
            for features in said.leading:
                data += struct.pack(f"<I{len(features)}I", len(features), *features)
    return data


def claims(graph, statement, ch):
    """What the verifier receives (§10): values it is shown, and digests."""
    for kind, i, said in statement:
        if said.values is not None:
            yield kind, i, project(kind, said.values, prod(graph.tensors[i].extent), ch)
        if said.digest is not None:
            yield DIGEST, i, digest_value(said.digest, powers(ch.sigma, 16))


def project(kind, flat, positions, ch):
    rows = [flat[i : i + positions] for i in range(0, len(flat), positions)]
    if kind == OUTPUT:
        rows.reverse()
    value = ZERO
    for row in rows:
        of_row = ZERO
        for x in reversed(row):
            of_row = of_row * ch.sigma + x
        value = value * ch.rho + of_row
    return value


def digest_value(said, sigma_powers):
    """Σ σ^i·d_i over the pieces of a digest (§18.5, §18.6)."""
    if said.hash == POSEIDON2:
        pieces = words(said.bytes)
    else:
        h = struct.unpack(">8I", said.bytes)
        pieces = [half for i in (0, 4, 1, 5, 2, 6, 3, 7) for half in (h[i] & 0xFFFF, h[i] >> 16)]
    return total(ext(d) * s for d, s in zip(pieces, sigma_powers))
