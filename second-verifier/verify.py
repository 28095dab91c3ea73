#!/usr/bin/env python3
"""A second verifier for provenn, to be read next to docs/protocol.md.

usage: verify.py [--audit] --vk model.vk x.proof
"""

import argparse
import sys

from audit import fixed_root
from codec import read_proof, read_verifying_key
from constraints import Challenges, check_buses, check_constraints
from errors import Malformed, Rejected, check, well_formed
from fri import KINDS, check_opening, what_is_opened
from graph import check_graph, check_statement, shown_tensors, statement_digest
from layout import hiding_of, lay_out
from security import PROFILES, check_security
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
        root = fixed_root(key.graph, key.tables, key.parameters.log_blowup)
        well_formed(root == key.fixed, "the fixed columns are not those of the graph")
    return key


def check_shapes(tables, hiding, proof):
    well_formed(len(proof.terminals) == len(tables), "wrong number of terminals")
    well_formed(len(proof.opened) == len(tables), "wrong number of opened tables")
    for t, o in zip(tables, proof.opened):
        expected = {
            "fixed": t.fixed, "weight": t.weight, "main": t.committed_main,
            "projection": 5 * t.committed_projection,
            "projection_next": 5 * t.committed_projection,
            "lookup": 5 * t.committed_lookup, "lookup_next": 5 * t.committed_lookup,
            "quotient": 5 * t.chunks,
        }  # fmt: skip
        found = {name: len(values) for name, values in vars(o).items()}
        well_formed(found == expected, f"the openings of the {t.chip} table have a wrong shape")
    well_formed(len(proof.mask) == (5 if hiding else 0), "the mask has a wrong length")


def verify(key, data):
    """Steps 4 to 12 of §15. Returns the digest of the statement, its inputs and outputs."""
    proof = read_proof(data, key.profile)
    check(proof.key == key.digest, f"the proof was made for the key {proof.key.hex()}")
    check_statement(key.graph, proof.inputs, proof.outputs, key.hiding is not None)
    statement = statement_digest(proof.inputs, proof.outputs)
    check_shapes(key.tables, key.hiding, proof)

    c = begin("provenn protocol", key.profile, key.digest, statement)
    c.observe_root(proof.main)
    sigma, rho, _tau = c.draw(), c.draw(), c.draw()
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

    shown = shown_tensors(key.graph, proof.inputs, proof.outputs)
    challenges = Challenges(sigma, rho, alpha, beta, key.tables, shown)
    check_buses(key.graph, proof.inputs, proof.outputs, proof.terminals, challenges)
    for table, opened, terminal in zip(key.tables, proof.opened, proof.terminals):
        check_constraints(table, opened, terminal, challenges, lam, zeta)
    roots = [key.fixed, key.weights, proof.main, proof.projection, proof.lookup, proof.quotient]
    commitments = what_is_opened(key.tables, proof.opened, proof.mask, zeta)
    check_opening(c, key.parameters, KINDS, roots, commitments, proof)
    return statement, proof.inputs, proof.outputs


def main():
    parser = argparse.ArgumentParser(description="A second verifier for provenn.")
    parser.add_argument("--vk", required=True, metavar="VK", help="the verifying key")
    parser.add_argument("--audit", action="store_true", help="rebuild the fixed columns")
    parser.add_argument("proof", help="the proof")
    args = parser.parse_args()
    try:
        with open(args.vk, "rb") as file:
            vk = file.read()
        with open(args.proof, "rb") as file:
            data = file.read()
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        key = load_key(vk, args.audit)
        statement, inputs, outputs = verify(key, data)
    except Malformed as error:
        print(f"malformed: {error}", file=sys.stderr)
        return 4
    except Rejected as error:
        print(f"rejected: {error}", file=sys.stderr)
        return 1
    print("accepted")
    print(f"model      {key.model_digest.hex()}")
    print(f"key        {key.digest.hex()}")
    print(f"statement  {statement.hex()}")
    sides = (("input", key.graph.inputs, inputs), ("output", key.graph.outputs, outputs))
    for side, ids, tensors in sides:
        for i, values in zip(ids, tensors):
            if values is None:
                print(f"{side:10} {key.graph.tensors[i].name} is private, in range")
            elif side == "output":
                print(f"{side:10} {key.graph.tensors[i].name} = {values} (integers)")
            else:
                print(f"{side:10} {key.graph.tensors[i].name}: {len(values)} values shown")
    hidden = (
        "nothing is hidden",
        "what is not shown is hidden, but the weights",
        f"what is not shown is hidden, weights too, for {key.proofs} proofs of this key",
    )
    print(f"privacy    {hidden[key.privacy]}")
    name = key.parameters.name
    print(f"security   {int(key.bits)} bits proven ({name}; weakest round: {key.weakest})")
    print(f"fixed      {'rebuilt from the graph' if args.audit else 'taken from the key'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
