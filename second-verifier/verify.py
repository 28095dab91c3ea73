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
from fri import check_opening
from graph import check_graph, check_statement, statement_digest
from layout import lay_out
from security import PROFILES, check_security
from transcript import begin


def load_key(data, audit=False):
    """Steps 1 to 3 of §15."""
    key = read_verifying_key(data)
    well_formed(key.profile in PROFILES, f"unknown profile {key.profile}")
    check_graph(key.graph)
    key.tables = lay_out(key.graph)
    key.parameters = PROFILES[key.profile]
    key.bits, key.weakest = check_security(key.graph, key.tables, key.parameters)
    if audit:
        root = fixed_root(key.graph, key.tables, key.parameters.log_blowup)
        well_formed(root == key.fixed, "the fixed columns are not those of the graph")
    return key


def check_shapes(tables, proof):
    well_formed(len(proof.terminals) == len(tables), "wrong number of terminals")
    well_formed(len(proof.opened) == len(tables), "wrong number of opened tables")
    for t, o in zip(tables, proof.opened):
        expected = {
            "fixed": t.fixed, "weight": t.weight, "main": t.main,
            "projection": 5 * t.projection, "projection_next": 5 * t.projection,
            "lookup": 5 * t.lookup, "lookup_next": 5 * t.lookup, "quotient": 10,
        }  # fmt: skip
        found = {name: len(values) for name, values in vars(o).items()}
        well_formed(found == expected, f"the openings of the {t.chip} table have a wrong shape")


def verify(key, data):
    """Steps 4 to 12 of §15. Returns the digest of the statement and the outputs."""
    proof = read_proof(data, key.profile)
    check(proof.key == key.digest, f"the proof was made for the key {proof.key.hex()}")
    check_statement(key.graph, proof.inputs, proof.outputs)
    statement = statement_digest(proof.inputs, proof.outputs)
    check_shapes(key.tables, proof)

    c = begin(key.profile, key.digest, statement)
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

    challenges = Challenges(sigma, rho, alpha, beta, key.tables)
    check_buses(key.graph, proof.inputs, proof.outputs, proof.terminals, challenges)
    for table, opened, terminal in zip(key.tables, proof.opened, proof.terminals):
        check_constraints(table, opened, terminal, challenges, lam, zeta)
    roots = [key.fixed, key.weights, proof.main, proof.projection, proof.lookup, proof.quotient]
    check_opening(c, key.parameters, key.tables, roots, proof, zeta)
    return statement, proof.outputs


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
        statement, outputs = verify(key, data)
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
    for tensor, values in zip(key.graph.outputs, outputs):
        print(f"output     {key.graph.tensors[tensor].name} = {values} (integers)")
    name = key.parameters.name
    print(f"security   {int(key.bits)} bits proven ({name}; weakest round: {key.weakest})")
    print(f"fixed      {'rebuilt from the graph' if args.audit else 'taken from the key'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
