#!/usr/bin/env python3
"""A second verifier for provenn, to be read next to docs/protocol.md.

usage: verify.py [--audit] --vk model.vk x.proof
"""

import argparse
import sys
from types import SimpleNamespace as Record

import command
from audit import fixed_root
from builder import OUTPUT, Challenges
from codec import read_proof, read_verifying_key
from constraints import check_buses, check_constraints
from errors import check, well_formed
from field import DEGREE
from fixed import fixed_at
from fri import KINDS, check_opening, what_is_opened
from graph import check_graph
from hashes import HASH_NAMES
from layout import hiding_of, lay_out, with_statement
from security import PROFILES, check_security
from statement import check_statement, said_of, statement_digest, tensors_of
from transcript import begin


def load_key(data, audit=False):
    """Steps 1 to 3 of §15."""
    key = read_verifying_key(data)
    well_formed(key.profile in PROFILES, f"unknown profile {key.profile}")
    check_graph(key.graph)
    key.parameters = PROFILES[key.profile]
    key.hiding = hiding_of(key.privacy, key.proofs, key.parameters)
    key.tables = lay_out(key.graph, key.hiding)
    key.bits, key.weakest = check_security(key.graph, key.tables, key.parameters)
    if audit:
        root = fixed_root(key.tables, key.parameters.log_blowup)
        well_formed(root == key.fixed, "the fixed columns are not those of the graph")
    return key


def check_shapes(tables, proof):
    well_formed(len(proof.terminals) == len(tables), "wrong number of terminals")
    well_formed(len(proof.opened) == len(tables), "wrong number of opened tables")
    for t, o in zip(tables, proof.opened):
        expected = {
            "fixed": t.committed_fixed, "weight": t.weight, "main": t.committed_main,
            "projection": 5 * t.committed_projection,
            "projection_next": 5 * t.committed_projection,
            "lookup": 5 * t.committed_lookup, "lookup_next": 5 * t.committed_lookup,
            "quotient": 5 * t.chunks,
        }  # fmt: skip
        found = {name: len(values) for name, values in vars(o).items()}
        well_formed(found == expected, f"the openings of the {t.chip} table have a wrong shape")
    mask = DEGREE if any(t.hiding for t in tables) else 0
    well_formed(len(proof.mask) == mask, "the mask has a wrong length")


def verify(key, data):
    """Steps 4 to 12 of §15. Returns the statement, its digest, and the level of the proof."""
    proof = read_proof(data, key.profile)
    check(proof.key == key.digest, f"the proof was made for the key {proof.key.hex()}")
    check_statement(key.graph, proof.inputs, proof.outputs, key.hiding is not None)
    digest = statement_digest(proof.inputs, proof.outputs)
    statement = tensors_of(key.graph, proof.inputs, proof.outputs)
    tables = with_statement(key.tables, key.graph, statement, key.hiding)
    bits, weakest = check_security(key.graph, tables, key.parameters)
    c = begin("provenn protocol", key.profile, key.digest, digest)
    check_proof(key, tables, statement, c, proof)
    return Record(digest=digest, tensors=statement, bits=bits, weakest=weakest)


def check_proof(key, tables, statement, c, proof):
    """Steps 6 to 12, from a transcript that has begun."""
    check_shapes(tables, proof)
    c.observe_root(proof.main)
    width, rho, height, depth = c.draw(), c.draw(), c.draw(), c.draw()
    c.observe_root(proof.projection)
    c.check_pow(key.parameters.lookup_pow, proof.lookup_pow, "the lookup challenges")
    alpha, beta = c.draw(), c.draw()
    c.observe_root(proof.lookup)
    for terminal in proof.terminals:
        c.observe_ext(terminal)
    lam = c.draw()
    c.observe_root(proof.quotient)
    c.check_pow(key.parameters.ood_pow, proof.ood_pow, "the out-of-domain point")
    zeta = c.draw()

    receivers = {i: len(said_of(said)) for _, i, said in statement}
    sigmas = depth, height, width
    challenges = Challenges(rho, sigmas, alpha, beta, tables, receivers)
    check_buses(key.graph, statement, proof.terminals, challenges)
    for table, opened, terminal in zip(tables, proof.opened, proof.terminals):
        fixed = fixed_at(table, zeta) if table.outside_key else opened.fixed
        check_constraints(table, opened, fixed, terminal, challenges, lam, zeta)
    roots = [key.fixed, key.weights, proof.main, proof.projection, proof.lookup, proof.quotient]
    root_of = dict(zip(KINDS, roots))
    commitments = what_is_opened(tables, proof.opened, proof.mask, zeta)
    roots = [root_of[kind] for kind in commitments]
    check_opening(c, key.parameters, list(commitments), roots, list(commitments.values()), proof)


def describe(said, in_full):
    """What is said of a tensor, for people."""
    if said.values is not None:
        shown = f"= {said.values} (integers)" if in_full else f"has {len(said.values)} values shown"
        yield shown
    else:
        yield "is private, in range" if not said_of(said) else "is not shown, in range"
    if said.digest is not None:
        salted = "salted" if said.digest.salted else "unsalted"
        yield f"has {salted} {HASH_NAMES[said.digest.hash]} digest {said.digest.bytes.hex()}"
    if said.bounds is not None:
        yield f"lies in {said.bounds}" if len(said.bounds) < 9 else "lies in the bounds stated"
    for position, features in enumerate(said.leading or []):
        yield f"at position {position}: no feature exceeds {features}"


def report(key, proved, audited):
    print("accepted")
    print(f"model      {key.model_digest.hex()}")
    print(f"key        {key.digest.hex()}")
    print(f"statement  {proved.digest.hex()}")
    for kind, i, said in proved.tensors:
        name = key.graph.tensors[i].name
        for what in describe(said, kind == OUTPUT):
            print(f"{'output' if kind == OUTPUT else 'input':10} {name} {what}")
    hidden = (
        "nothing is hidden",
        "what is not shown is hidden, but the weights",
        f"what is not shown is hidden, weights too, for {key.proofs} proofs of this key",
    )
    print(f"privacy    {hidden[key.privacy]}")
    name = key.parameters.name
    print(f"security   {int(proved.bits)} bits proven ({name}; weakest round: {proved.weakest})")
    print(f"fixed      {'rebuilt from the graph' if audited else 'taken from the key'}")


def main():
    parser = argparse.ArgumentParser(description="A second verifier for provenn.")
    parser.add_argument("--vk", required=True, metavar="VK", help="the verifying key")
    parser.add_argument("--audit", action="store_true", help="rebuild the fixed columns")
    parser.add_argument("proof", help="the proof")
    args = parser.parse_args()

    def judge(vk, data):
        key = load_key(vk, args.audit)
        report(key, verify(key, data), args.audit)

    return command.run([args.vk, args.proof], judge)


if __name__ == "__main__":
    sys.exit(main())
