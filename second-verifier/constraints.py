"""What the tables of a key state (§9), the sum of buses (§10), the check at ζ (§12)."""

import attested
import compare
import poseidon2
import sha256
from builder import ACTIVATION, CLAIM, PRODUCT, RANGE, Builder
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


def activation(b):
    """§9.1"""
    ch, table, limbs = b.ch, b.table, b.table.limbs
    step = b.fixed[2]
    (real, looked, lo, unit, keep, function, pow_shift, acc_kind, acc_tensor, acc_count, sum_kind,
     sum_tensor, sum_count, layer, index, takes, pow_first, pow_step) = b.fixed[4:22]  # fmt: skip
    h, v, s = b.projection[:3]
    h_next, v_next, s_next = b.projection_next[:3]
    count = limbs.rem + limbs.excess
    bits, claimed = b.fixed[22 : 22 + count], b.fixed[22 + count :]
    for (tensor, is_input), column in zip(table.boundary, claimed):
        if is_input:
            acc_count = acc_count + column * ch.receivers[tensor]
        else:
            sum_count = sum_count + column * ch.receivers[tensor]
    has_side = limbs.excess > 0
    width = 2 + has_side + limbs.rem + limbs.excess

    def recompose(parts):
        return total(part * 2 ** (limbs.bits * i) for i, part in enumerate(parts))

    a, u, lanes = ZERO, ZERO, []
    for lane, sigma in zip(range(table.lanes), ch.sigma_powers):
        q, out, *cells = b.main[lane * width : (lane + 1) * width]
        side = cells.pop(0) if has_side else ZERO
        rem, exc = recompose(cells[: limbs.rem]), recompose(cells[limbs.rem :])
        a = a + sigma * ((q + side * exc) * pow_shift + real * rem + lo)
        u = u + sigma * (looked * out + (real - looked) * rem + lo + unit)
        lanes.append((side, q, out, cells))
    b.zero(step * h_next - ch.rho * keep * h - a)
    b.zero(step * s_next - keep * s - u * v)
    b.zero(pow_first * (v - ONE))
    b.zero(pow_step * (v_next - ch.rho * v))
    for side, q, out, cells in lanes:
        b.message(ACTIVATION, -looked, function, side, q, out)
        for width_of_limb, limb in zip(bits, cells):
            b.message(RANGE, -real, width_of_limb, limb)
    b.message(PRODUCT, -takes, layer, index, v)
    b.message(CLAIM, acc_count, acc_kind, acc_tensor, h)
    b.message(CLAIM, sum_count, sum_kind, sum_tensor, s)


def weights(b):
    """§9.2"""
    _live, first, step, _last, cont, end, layer, index = b.fixed
    h, h_next = b.projection[0], b.projection_next[0]
    lanes, powers = b.table.lanes, b.ch.rho_powers
    form = total(powers[lanes - 1 - i] * w for i, w in enumerate(b.weight))
    b.zero(step * h_next - cont * powers[lanes] * (h + form))
    b.zero(first * h)
    b.message(PRODUCT, end, layer, index, h + form)


def lookup(b):
    """§9.3: range and functions."""
    bus = RANGE if b.table.chip == "range" else ACTIVATION
    entries, arity = b.fixed[4:], b.table.arity
    for lane, count in enumerate(b.main[: b.table.lanes]):
        b.message(bus, count, *entries[lane * arity : (lane + 1) * arity])


CHIPS = {
    "activation": activation, "weights": weights, "range": lookup, "functions": lookup,
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
