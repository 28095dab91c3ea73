"""Monomials in ρ and σ, patterns of lanes, and their values (§8.4)."""

from field import ONE, total

# A monomial is the tuple of its exponents: of ρ, σ_0, σ_1, σ_2.
UNIT = (0, 0, 0, 0)


def times(a, b):
    return tuple(x + y for x, y in zip(a, b))


def over(a, b):
    return tuple(x - y for x, y in zip(a, b))


def power(a, n):
    return tuple(x * n for x in a)


def rho(n):
    return (n, 0, 0, 0)


def sigma(axis, n):
    return tuple(n if i == axis + 1 else 0 for i in range(4))


class Points:
    """The challenges, where monomials are evaluated. The inverse of 0 is 0."""

    def __init__(self, rho, sigmas):
        self.pairs = [(x, x if x.is_zero() else x.inverse()) for x in (rho, *sigmas)]
        self.known = {}

    def at(self, monomial):
        if monomial not in self.known:
            value = ONE
            for pair, n in zip(self.pairs, monomial):
                value = value * pair[n < 0] ** abs(n)
            self.known[monomial] = value
        return self.known[monomial]

    def all_positions(self, extent):
        """Σ_q Π σ_a^(q_a)"""
        value = ONE
        for (x, _), n in zip(self.pairs[1:], extent):
            value = value * total(powers_from(ONE, x, n))
        return value


def powers_from(first, x, n):
    for _ in range(n):
        yield first
        first = first * x


# A pattern is a tuple (width, lines, columns, line, column, base): the lane in line i, column j of the
# intervals has the coefficient base·line^i·column^j. A base is a tuple of (factor, monomial).


def used_lanes(pattern):
    width, lines, columns = pattern[:3]
    return [i * width + j for i in range(*lines) for j in range(*columns)]


def coefficients(pattern, points):
    """For each used lane, in order."""
    _, lines, columns, line, column, base = pattern
    first = total(points.at(monomial) * factor for factor, monomial in base)
    first = first * points.at(power(line, lines[0])) * points.at(power(column, columns[0]))
    found = []
    for start in powers_from(first, points.at(line), lines[1] - lines[0]):
        found += powers_from(start, points.at(column), columns[1] - columns[0])
    return found


class Interner(dict):
    """A list without repetition, in order of first use: item → index."""

    def add(self, item):
        return self.setdefault(item, len(self))


def select(selectors, constants):
    """Σ selectors·constants, as many as there are constants."""
    return total(c * s for s, c in zip(selectors, constants))

