#!/usr/bin/env python3
"""A second verifier of rekey proofs (§17 of docs/protocol.md): two keys have the same weights.

usage: rekey.py --old old.vk --new new.vk x.rekey
"""

import argparse
import sys

import command
from codec import DATA_AND_WEIGHTS, read_rekey_proof
from errors import check, well_formed
from field import DEGREE, OMEGA, ONE, P, recombine, total
from fri import check_opening
from security import check_rekey_security
from transcript import begin
from verify import load_key


def check_keys(old, new):
    check(old.privacy == DATA_AND_WEIGHTS, "the weights of the old key are not private")
    check(old.graph == new.graph, "the keys differ in their graph")
    check(old.profile == new.profile, "the keys differ in their profile")
    same = (old.privacy, old.proofs) == (new.privacy, new.proofs)
    check(same, "the keys differ in their privacy")
    check(old.fixed == new.fixed, "the keys differ in their fixed columns")
    check(old.weights != new.weights, "the new key is the old one")


def check_shapes(tables, proof):
    well_formed(len(proof.opened) == len(tables), "wrong number of opened tables")
    for table, opened in zip(tables, proof.opened):
        lengths = len(opened.old), len(opened.new), len(opened.quotient)
        expected = table.weight, table.weight, DEGREE
        well_formed(lengths == expected, "the openings of a table have a wrong shape")
    well_formed(len(proof.mask) == DEGREE, "the mask has a wrong length")


def check_weights(table, opened, lam, zeta):
    """Σ_b λ^b·(old_b − new_b) = Π_i (ζ − ω^i)·Q"""
    power, difference = ONE, []
    for old, new in zip(opened.old, opened.new):
        difference.append(power * (old - new))
        power = power * lam
    vanishing, root = ONE, 1
    for _ in range(table.rows):
        vanishing = vanishing * (zeta - root)
        root = root * OMEGA[table.log_height] % P
    (quotient,) = recombine(opened.quotient)
    check(total(difference) == vanishing * quotient, "the weights are not shown to be the same")


def verify_rekey(old, new, data):
    """Returns the level and its weakest round."""
    check_keys(old, new)
    tables = [t for t in old.tables if t.weight]
    level = check_rekey_security(tables, old.parameters)
    proof = read_rekey_proof(data, old.profile)
    check((proof.old, proof.new) == (old.digest, new.digest), "the proof is for other keys")
    check_shapes(tables, proof)

    c = begin("provenn rekey", old.profile, old.digest, new.digest)
    lam = c.draw()
    c.observe_root(proof.quotient)
    c.check_pow(old.parameters.ood_pow, proof.ood_pow, "the out-of-domain point")
    zeta = c.draw()
    for table, opened in zip(tables, proof.opened):
        check_weights(table, opened, lam, zeta)

    kinds = "old", "new", "quotient"
    commitments = [
        [(t.log_height, [(zeta, getattr(o, kind))]) for t, o in zip(tables, proof.opened)]
        for kind in kinds
    ]
    commitments[-1].append((max(t.log_height for t in tables), [(zeta, proof.mask)]))
    roots = [old.weights, new.weights, proof.quotient]
    check_opening(c, old.parameters, kinds, roots, commitments, proof)
    return level


def main():
    parser = argparse.ArgumentParser(description="A second verifier for rekey proofs.")
    parser.add_argument("--old", required=True, metavar="VK", help="the key that is replaced")
    parser.add_argument("--new", required=True, metavar="VK", help="the key that replaces it")
    parser.add_argument("proof", help="the rekey proof")
    args = parser.parse_args()

    def judge(old, new, data):
        old, new = load_key(old), load_key(new)
        bits, weakest = verify_rekey(old, new, data)
        print("accepted: both keys have the same weights")
        print(f"old key    {old.digest.hex()}")
        print(f"new key    {new.digest.hex()}")
        name = old.parameters.name
        print(f"security   {int(bits)} bits proven ({name}; weakest round: {weakest})")

    return command.run([args.old, args.new, args.proof], judge)


if __name__ == "__main__":
    sys.exit(main())
