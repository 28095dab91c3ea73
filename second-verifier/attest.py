#!/usr/bin/env python3
"""A second verifier of attestations (§19 of docs/protocol.md): a key's weights keep their bound.

usage: attest.py [--audit] --vk model.vk model.attest
"""

import argparse
import sys

import command
from attested import lay_out_attestation
from codec import read_attestation
from errors import Malformed, OverLimit, check
from security import check_attestation_security
from transcript import begin
from verify import check_proof, load_key


def verify_attestation(key, data):
    """Returns the level and its weakest round."""
    try:
        tables = lay_out_attestation(key)
        level = check_attestation_security(tables, key.parameters)
    except Malformed as error:
        raise OverLimit(f"the weights of this key cannot be attested: {error}") from None
    attestation = read_attestation(data, key.profile)
    check(attestation.key == key.digest, "the attestation was made for another key")
    c = begin("provenn attestation", key.profile, key.digest)
    check_proof(key, tables, [], c, attestation)
    return level


def main():
    parser = argparse.ArgumentParser(description="A second verifier for attestations.")
    parser.add_argument("--vk", required=True, metavar="VK", help="the verifying key")
    parser.add_argument("--audit", action="store_true", help="rebuild the fixed columns")
    parser.add_argument("attestation", help="the attestation")
    args = parser.parse_args()

    def judge(vk, data):
        key = load_key(vk, args.audit)
        bits, weakest = verify_attestation(key, data)
        print("accepted: the weights are integers that overflow no layer, whatever the input")
        print(f"key        {key.digest.hex()}")
        name = key.parameters.name
        print(f"security   {int(bits)} bits proven ({name}; weakest round: {weakest})")

    return command.run([args.vk, args.attestation], judge)


if __name__ == "__main__":
    sys.exit(main())
