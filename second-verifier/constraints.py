"""Constraints, messages, and the sum of the buses (§9, §10, §12)."""

from errors import check
from field import ONE, ZERO, P, ext, powers, recombine, total

RANGE, ACTIVATION, PRODUCT, CLAIM = 1, 2, 3, 4
ACCUMULATOR, INPUT, OUTPUT = 1, 2, 3


class Challenges:
    def __init__(self, sigma, rho, alpha, beta, tables, shown):
        self.rho, self.alpha = rho, alpha
        # Ids of the inputs and outputs whose claims are sent.
        self.shown = shown
        self.beta = powers(beta, 5)
        lanes = max(t.lanes for t in tables)
        self.sigma_powers = powers(sigma, lanes + 1)
        self.rho_powers = powers(rho, lanes + 1)

    def denominator(self, live, bus, *message):
        sent = total(b * m for b, m in zip(self.beta[1:], message))
        return (self.alpha - bus) * live - sent


def check_buses(graph, inputs, outputs, terminals, ch):
    """Terminals minus the verifier's own claims, on the tensors it is shown."""
    claims = []
    for kind, values, ids in ((INPUT, inputs, graph.inputs), (OUTPUT, outputs, graph.outputs)):
        for flat, tensor in zip(values, ids):
            if flat is None:
                continue
            n = graph.tensors[tensor].positions
            rows = [flat[i : i + n] for i in range(0, len(flat), n)]
            if kind == OUTPUT:
                rows.reverse()
            value = ZERO
            for row in rows:
                value = value * ch.rho + total(s * x for s, x in zip(ch.sigma_powers, row))
            claims.append((kind, tensor, value))
    balance = total(terminals)
    for kind, tensor, value in claims:
        d = ch.denominator(ONE, CLAIM, ext(kind), ext(tensor), value)
        check(not d.is_zero(), "a claim has no fraction")
        balance = balance - d.inverse()
    check(balance.is_zero(), "the buses do not balance")


def activation(table, o, ch):
    """§9.1. Returns constraints and messages."""
    live, _first, step, _last = o.fixed[:4]
    (real, unit, keep, function, pow_shift, acc_kind, acc_tensor, acc_count, sum_kind, sum_tensor,
     sum_count, layer, index, takes, pow_first, pow_step) = o.fixed[4:20]  # fmt: skip
    h, v, s = recombine(o.projection)
    h_next, v_next, s_next = recombine(o.projection_next)
    limbs = table.limbs
    count = limbs.rem + limbs.excess
    bits, shown = o.fixed[20 : 20 + count], o.fixed[20 + count :]
    for (tensor, is_input), column in zip(table.boundary, shown):
        if tensor in ch.shown and is_input:
            acc_count = acc_count + column
        elif tensor in ch.shown:
            sum_count = sum_count + column
    has_side = limbs.excess > 0
    width = 2 + has_side + limbs.rem + limbs.excess

    def recompose(parts):
        return total(part * 2 ** (limbs.bits * i) for i, part in enumerate(parts))

    a, u, messages = ZERO, ZERO, []
    for lane, sigma in zip(range(table.lanes), ch.sigma_powers):
        q, out, *cells = o.main[lane * width : (lane + 1) * width]
        side = cells.pop(0) if has_side else ZERO
        rem, exc = recompose(cells[: limbs.rem]), recompose(cells[limbs.rem :])
        a = a + sigma * ((q + side * exc) * pow_shift + real * rem)
        u = u + sigma * (real * out + unit)
        messages.append((ch.denominator(live, ACTIVATION, function, side, q, out), -real))
        for width_of_limb, limb in zip(bits, cells):
            messages.append((ch.denominator(live, RANGE, width_of_limb, limb), -real))
    messages.append((ch.denominator(live, PRODUCT, layer, index, v), -takes))
    messages.append((ch.denominator(live, CLAIM, acc_kind, acc_tensor, h), acc_count))
    messages.append((ch.denominator(live, CLAIM, sum_kind, sum_tensor, s), sum_count))
    constraints = [
        step * h_next - ch.rho * keep * h - a,
        step * s_next - keep * s - u * v,
        pow_first * (v - ONE),
        pow_step * (v_next - ch.rho * v),
    ]
    return constraints, messages


def weights(table, o, ch):
    """§9.2."""
    live, first, step, _last, cont, end, layer, index = o.fixed
    h, h_next = recombine(o.projection)[0], recombine(o.projection_next)[0]
    b = table.lanes
    form = total(ch.rho_powers[b - 1 - i] * w for i, w in enumerate(o.weight))
    constraints = [step * h_next - cont * ch.rho_powers[b] * (h + form), first * h]
    return constraints, [(ch.denominator(live, PRODUCT, layer, index, h + form), end)]


def lookup(table, o, ch):
    """§9.3: range and functions."""
    bus = RANGE if table.chip == "range" else ACTIVATION
    live, entries, arity = o.fixed[0], o.fixed[4:], table.arity
    messages = [
        (ch.denominator(live, bus, *entries[lane * arity : (lane + 1) * arity]), count)
        for lane, count in enumerate(o.main[: table.lanes])
    ]
    return [], messages


CHIPS = {"activation": activation, "weights": weights, "range": lookup, "functions": lookup}


def check_constraints(table, o, terminal, ch, lam, zeta):
    constraints, messages = CHIPS[table.chip](table, o, ch)
    assert len(constraints) == table.constraints and len(messages) == table.messages
    # LogUp (§10).
    _live, first, step, last = o.fixed[:4]
    *pairs, acc = recombine(o.lookup)[: table.lookup]
    acc_next = recombine(o.lookup_next)[table.lookup - 1]
    if table.hiding:
        terminal = terminal - recombine(o.projection_next)[0]
    for i, f in enumerate(pairs):
        (d1, m1), (d2, m2) = messages[2 * i : 2 * i + 2]
        constraints.append(f * d1 * d2 - m1 * d2 - m2 * d1)

    def gained(to):
        difference = to - acc - total(pairs)
        if len(messages) % 2:
            d, m = messages[-1]
            return difference * d - m
        return difference

    constraints += [first * acc, step * gained(acc_next), last * gained(terminal)]
    # The quotient (§12).
    folded = ZERO
    for c in constraints:
        folded = folded * lam + c
    z, step, quotient = zeta ** (2**table.log_height), zeta**table.stride, ZERO
    for chunk in reversed(recombine(o.quotient)):
        quotient = quotient * step + chunk
    holds = folded == (z - ONE) * quotient
    check(holds, f"the constraints of the {table.chip} table do not hold")
