"""BabyBear and its extension of degree 5 (§2)."""

P = 2**31 - 2**27 + 1
GENERATOR = 31
DEGREE = 5
MONTY = 2**32 % P
MONTY_INVERSE = pow(MONTY, -1, P)
# OMEGA[k] generates the subgroup of order 2^k.
OMEGA = [pow(GENERATOR, 15 * 2 ** (27 - k), P) for k in range(28)]


def reverse_bits(i, n):
    return int(format(i, f"0{n}b")[::-1], 2) if n else 0


class Ext:
    """An element of F[X]/(X^5 − 2). Mixes with integers, which stand for base elements."""

    __slots__ = ("c",)

    def __init__(self, *coefficients):
        self.c = coefficients

    def __eq__(self, other):
        return self.c == ext(other).c

    def __add__(self, other):
        return Ext(*((a + b) % P for a, b in zip(self.c, ext(other).c)))

    def __sub__(self, other):
        return Ext(*((a - b) % P for a, b in zip(self.c, ext(other).c)))

    def __neg__(self):
        return Ext(*(-a % P for a in self.c))

    def __mul__(self, other):
        if isinstance(other, int):
            return Ext(*(a * other % P for a in self.c))
        a0, a1, a2, a3, a4 = self.c
        b0, b1, b2, b3, b4 = other.c
        return Ext(
            (a0 * b0 + 2 * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)) % P,
            (a0 * b1 + a1 * b0 + 2 * (a2 * b4 + a3 * b3 + a4 * b2)) % P,
            (a0 * b2 + a1 * b1 + a2 * b0 + 2 * (a3 * b4 + a4 * b3)) % P,
            (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 2 * a4 * b4) % P,
            (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0) % P,
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return ext(other) - self

    def __pow__(self, n):
        result, square = ONE, self
        while n:
            if n & 1:
                result = result * square
            square = square * square
            n >>= 1
        return result

    def is_zero(self):
        return not any(self.c)

    def inverse(self):
        """By the norm: the product of the five conjugates lies in the base field."""
        others = ONE
        for i in range(1, DEGREE):
            others = others * Ext(*(a * FROBENIUS[i * j % 5] % P for j, a in enumerate(self.c)))
        norm = (self * others).c
        assert norm[0] and not any(norm[1:])
        return others * pow(norm[0], -1, P)


def ext(value):
    return value if isinstance(value, Ext) else Ext(value % P, 0, 0, 0, 0)


ZERO, ONE = ext(0), ext(1)
# X^p = FROBENIUS[1]·X, because X^(p−1) = 2^((p−1)/5).
FROBENIUS = [pow(2, (P - 1) // 5 * i, P) for i in range(5)]


def total(values):
    return sum(values, ZERO)


def powers(x, n):
    """1, x, …, x^(n−1)."""
    result = [ONE]
    while len(result) < n:
        result.append(result[-1] * x)
    return result[:n]


def recombine(values):
    """Extension columns from the opened values of their five base columns (§12)."""
    basis = [Ext(*(int(i == j) for j in range(5))) for i in range(5)]
    chunks = (values[i : i + DEGREE] for i in range(0, len(values), DEGREE))
    return [total(v * b for v, b in zip(chunk, basis)) for chunk in chunks]
