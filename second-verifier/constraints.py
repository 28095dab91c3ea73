"""What the tables state (§9), the sum of buses (§10), the check at ζ (§12)."""

import activation
import attested
import compare
import overhang
import poseidon2
import sha256
import sums
import weights
from builder import ACTIVATION, CLAIM, RANGE, Builder
from errors import check
from field import ONE, ZERO, ext, recombine, total
from statement import claims


def check_buses(graph, statement, terminals, ch):
    """Terminals minus the verifier's own claims."""
    balance = total(terminals)
    for kind, tensor, value in claims(graph, statement, ch):
        d = ch.denominator(ONE, CLAIM, ext(kind), ext(tensor), value)
        check(not d.is_zero(), "a claim has no fraction")
        balance = balance - d.inverse()
    check(balance.is_zero(), "the buses do not balance")


def lookup(b):
    """§9.5: range and functions."""
    bus = RANGE if b.table.chip == "range" else ACTIVATION
    entries, arity = b.fixed[4:], b.table.arity
    for lane, count in enumerate(b.main[: b.table.lanes]):
        b.message(bus, count, *entries[lane * arity : (lane + 1) * arity])


CHIPS = {
    "activation": activation.state, "weights": weights.state, "overhang": overhang.state,
    "sums": sums.state, "range": lookup, "functions": lookup,
    "sha256": sha256.state, "poseidon2": poseidon2.state,
    "bounds": compare.state, "leading": compare.state,
    "attested weights": attested.weights, "attested sums": attested.sums,
}  # fmt: skip


def check_constraints(table, opened, fixed, terminal, ch, lam, zeta):
    b = Builder(table, opened, fixed, terminal, ch, lam)
    CHIPS[table.chip](b)
    # The quotient (§12).
    z, stride, quotient = zeta ** (2**table.log_height), zeta**table.stride, ZERO
    for chunk in reversed(recombine(opened.quotient)):
        quotient = quotient * stride + chunk
    holds = b.finish() == (z - ONE) * quotient
    check(holds, f"the constraints of the {table.chip} table do not hold")
