"""Buses, challenges, and the folding of what a table states (§9, §10, §12)."""

from field import ZERO, powers, recombine, total
from projection import Points

RANGE, ACTIVATION, PRODUCT, CLAIM = 1, 2, 3, 4
# Kinds of claims.
ACCUMULATOR, INPUT, OUTPUT, DIGEST, SUMS, TERM = 1, 2, 3, 4, 5, 6


class Challenges:
    def __init__(self, rho, sigmas, alpha, beta, tables, receivers):
        """`sigmas`: σ_0, σ_1, σ_2; σ alone is the last."""
        sigma = sigmas[-1]
        self.rho, self.sigma, self.alpha = rho, sigma, alpha
        self.points = Points(rho, sigmas)
        # How often the claim of each input and output is received, by id.
        self.receivers = receivers
        self.beta = powers(beta, 5)
        self.sigma_powers = powers(sigma, max(t.sigma_powers for t in tables))
        self.rho_powers = powers(rho, max(t.rho_powers for t in tables))

    def denominator(self, live, bus, *message):
        sent = total(b * m for b, m in zip(self.beta[1:], message))
        return (self.alpha - bus) * live - sent


class Builder:
    """One table at ζ: what its chip reads, and what it states, folded in that order."""

    def __init__(self, table, opened, fixed, terminal, ch, lam):
        self.table, self.ch, self.lam = table, ch, lam
        self.fixed, self.weight, self.main = fixed, opened.weight, opened.main
        self.projection = recombine(opened.projection)
        self.projection_next = recombine(opened.projection_next)
        *self.fractions, self.acc = recombine(opened.lookup)[: table.lookup]
        self.acc_next = recombine(opened.lookup_next)[table.lookup - 1]
        # The end of the running sum (§10).
        self.end = terminal - self.projection_next[0] if table.hiding else terminal
        self.folded, self.stated, self.messages = ZERO, 0, []

    def zero(self, constraint):
        self.stated += 1
        self._fold(constraint)

    def message(self, bus, count, *entries):
        self.messages.append((self.ch.denominator(self.fixed[0], bus, *entries), count))
        if len(self.messages) % 2 == 0:
            f = self.fractions[len(self.messages) // 2 - 1]
            (d1, m1), (d2, m2) = self.messages[-2:]
            self._fold(f * d1 * d2 - m1 * d2 - m2 * d1)

    def finish(self):
        """The folded constraints, those of the running sum included."""
        assert self.stated == self.table.constraints
        assert len(self.messages) == self.table.messages
        _live, first, step, last = self.fixed[:4]
        self._fold(first * self.acc)
        self._fold(step * self._gained(self.acc_next))
        self._fold(last * self._gained(self.end))
        return self.folded

    def _gained(self, to):
        difference = to - self.acc - total(self.fractions)
        if len(self.messages) % 2:
            d, m = self.messages[-1]
            return difference * d - m
        return difference

    def _fold(self, constraint):
        self.folded = self.folded * self.lam + constraint
