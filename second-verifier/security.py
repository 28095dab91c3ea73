"""Profiles (§11) and the level of a key (§14)."""

from math import log2, prod
from types import SimpleNamespace as Record

from errors import well_formed
from field import DEGREE, P
from maps import frame_of, sums_of


def _profile(name, blowup, queries, grinding, target):
    batch, fold, query, lookup, ood = grinding
    return Record(
        name=name, log_blowup=blowup, queries=queries, max_log_arity=3, log_final_len=5,
        batch_pow=batch, fold_pow=fold, query_pow=query, lookup_pow=lookup, ood_pow=ood,
        target=target,
    )  # fmt: skip


PROFILES = {
    1: _profile("latency", 2, 150, (0, 0, 0, 0, 0), 100),
    2: _profile("compact", 2, 120, (0, 0, 20, 0, 0), 100),
    3: _profile("throughput", 1, 200, (0, 0, 20, 0, 0), 100),
    4: _profile("p128", 2, 162, (14, 4, 20, 10, 2), 128),
}


def security_rounds(graph, tables, profile):
    projection = sum(t.projection_degree for t in tables) + layer_degrees(graph, tables)
    claims = [graph.tensors[i] for i in graph.inputs + graph.outputs]
    degrees = [t.features + prod(t.extent) for t in claims]
    # Each table of a statement receives one more claim on a tensor.
    projection += sum(degrees) + max(degrees) * sum(t.outside_key for t in tables)
    return rounds_of_tables(tables, profile, projection, len(claims))


def layer_degrees(graph, tables):
    """The degrees of the layers' identities."""
    weights = next(t for t in tables if t.chip == "weights")
    outside = sum(2 * t.lanes for t in tables if t.chip == "overhang")
    degrees = 0
    for _, layer in sums_of(graph):
        frame = frame_of(graph, layer)
        degrees += sum(hi - lo + 1 for lo, hi in zip(frame.lo, frame.hi))
        degrees += graph.tensors[layer.output].features + weights.lanes + outside + 1
    return degrees


def attestation_rounds(tables, profile):
    """The same for an attestation, which is about no tensor (§19)."""
    return rounds_of_tables(tables, profile, sum(t.projection_degree for t in tables), 0)


def rounds_of_tables(tables, profile, projection, claims):
    """`projection`: the degrees of what σ and ρ check; `claims`: the verifier's own, at most."""
    log_q = DEGREE * log2(P)
    k = 2 ** max(t.log_height for t in tables)
    messages = claims + sum(t.messages * 2**t.log_height for t in tables)
    constraints = sum(t.constraints + t.messages // 2 + 3 for t in tables)
    opened = sum(
        t.committed_fixed + t.weight + t.committed_main
        + DEGREE * (2 * t.committed_projection + 2 * t.committed_lookup + t.chunks)
        for t in tables
    )  # fmt: skip
    if any(t.hiding for t in tables):
        opened += DEGREE
    chunks = max(t.chunks for t in tables)
    out_of_domain = max(3 * (k + 1) + k - 1, (chunks + 1) * k + 1)
    return {
        "projection": log_q - log2(projection),
        "lookup": log_q - log2(messages) - log2(7) + profile.lookup_pow,
        "constraints": log_q - log2(constraints),
        "out of domain": log_q - log2(out_of_domain) + profile.ood_pow,
        **opening_rounds(tables, opened, profile),
    }


def opening_rounds(tables, opened, profile):
    log_q = DEGREE * log2(P)
    tallest = max(t.log_height for t in tables)
    shortest = min(t.log_height for t in tables)
    n = 2 ** (tallest + profile.log_blowup)
    k0, n0 = 2**shortest, 2 ** (shortest + profile.log_blowup)
    return {
        "batching": log_q - log2(n + 1) - log2(opened - 1) + profile.batch_pow,
        "folding": log_q - log2(n + 1) - profile.max_log_arity + profile.fold_pow,
        "queries": -profile.queries * log2((1 + (k0 + 2) / n0) / 2) + profile.query_pow,
        "hash": 128.0,
    }


def check_security(graph, tables, profile):
    """The level of the weakest round, at least the profile's target, and that round's name."""
    return weakest_of(security_rounds(graph, tables, profile), profile)


def check_attestation_security(tables, profile):
    return weakest_of(attestation_rounds(tables, profile), profile)


def check_rekey_security(tables, profile):
    """The same for a rekey proof, of the tables that have weight columns (§17)."""
    log_q = DEGREE * log2(P)
    k = 2 ** max(t.log_height for t in tables)
    opened = sum(2 * t.weight + DEGREE for t in tables) + DEGREE
    rounds = {
        "same weights": log_q - log2(max(t.weight for t in tables) - 1),
        "out of domain": log_q - log2(2 * k + 1) + profile.ood_pow,
        **opening_rounds(tables, opened, profile),
    }
    return weakest_of(rounds, profile)


def weakest_of(rounds, profile):
    weakest = min(rounds, key=rounds.get)
    bits = rounds[weakest]
    well_formed(bits >= profile.target, f"round {weakest} reaches only {bits:.2f} bits")
    return bits, weakest
