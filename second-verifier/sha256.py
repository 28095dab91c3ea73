"""The table of a SHA-256 digest (§18.5)."""

import math

from field import ZERO, total
from hashed import Fold, flags_of_elements, send_digest, state_fold, state_links
from hashes import width_of

FIXED, MAIN, CONSTRAINTS = 32, 103, 107
BLOCK_GROUPS, CHAIN_GROUPS = 68, 4
# Rows of a block: the longest way from a contribution to the link it belongs to.
LONGEST = 4 * BLOCK_GROUPS
SIGMA_POWERS, RHO_POWERS = 35, LONGEST + 1

(IS_W, IS_E, IS_A, IS_M, K_LO, K_HI, FREE, TAIL, W_SECOND, W_SEVENTH, W_FIFTEENTH, W_SIXTEENTH,
 E_NOW, E_FIRST, E_THIRD, E_FOURTH, E_HISTORY, A_FIRST, A_FOURTH, A_FEED, A_HISTORY, M_FIRST,
 CHAIN, SAME, NEXT, FINISH, TAKEN, DIGEST) = range(4, FIXED)  # fmt: skip

# The rounds, counted from −4, in which a row of W, E, A, M contributes.
FLAGS = (
    (0, W_SECOND, 14, 61), (0, W_SEVENTH, 9, 56), (0, W_FIFTEENTH, 1, 48), (0, W_SIXTEENTH, 0, 47),
    (1, E_NOW, 0, 63), (1, E_FIRST, -1, 62), (1, E_THIRD, -3, 60), (1, E_FOURTH, -4, 63),
    (1, CHAIN, -4, -1), (2, A_FIRST, -1, 62), (2, A_FOURTH, -4, 59), (2, A_FEED, 60, 63),
    (2, CHAIN, -4, -1), (3, M_FIRST, -1, 62),
)  # fmt: skip


def primes(n):
    found = []
    while len(found) < n:
        candidate = found[-1] + 1 if found else 2
        while any(candidate % p == 0 for p in found):
            candidate += 1
        found.append(candidate)
    return found


def cube_root(n):
    root = round(n ** (1 / 3))
    while root**3 > n:
        root -= 1
    while (root + 1) ** 3 <= n:
        root += 1
    return root


INITIAL_STATE = [math.isqrt(p << 64) % 2**32 for p in primes(8)]
ROUND_CONSTANTS = [cube_root(p << 96) % 2**32 for p in primes(64)]


def message_bytes(table):
    return 32 * table.salted + table.features * table.positions * width_of(table.range).bytes


def blocks_of(table):
    return (message_bytes(table) + 9 + 63) // 64


def rows_of(table):
    return 4 * (BLOCK_GROUPS * blocks_of(table) + CHAIN_GROUPS)


def projection_degree(table):
    return rows_of(table) + 322


# Fixed columns


def fixed_rows(table):
    """For each live row its nonzero cells, by column."""
    rows = [{} for _ in range(rows_of(table))]
    size = message_bytes(table)
    padding = b"\0" * size + b"\x80" + b"\0" * (-(size + 9) % 64) + (8 * size).to_bytes(8, "big")
    groups, end = len(rows) // 4, BLOCK_GROUPS * blocks_of(table)

    def constant(row, word):
        row[K_LO], row[K_HI] = word % 2**16, word >> 16

    for group in range(groups):
        w, e, a, m = rows[4 * group : 4 * group + 4]
        w[IS_W] = e[IS_E] = a[IS_A] = m[IS_M] = 1
        if group + 2 < groups:
            e[E_HISTORY] = a[A_HISTORY] = 1
        if group >= end:
            e[DIGEST] = a[DIGEST] = 1
            continue
        block, t = group // BLOCK_GROUPS, group % BLOCK_GROUPS - CHAIN_GROUPS
        for position, column, first, last in FLAGS:
            if first <= t <= last:
                (w, e, a, m)[position][column] = 1
        if t < 0:
            if block == 0:
                constant(e, INITIAL_STATE[7 - group])
                constant(a, INITIAL_STATE[3 - group])
            continue
        constant(e, ROUND_CONSTANTS[t])
        at = 64 * block + 4 * t
        if t < 16 and at < size:
            w[FREE] = 1
            if size < at + 4:
                w[TAIL] = 1
        elif t < 16:
            constant(w, int.from_bytes(padding[at : at + 4], "big"))

    width = width_of(table.range).bytes

    def row_of(i):
        byte = 32 * table.salted + i * width
        word, slot = byte // 4, byte % 4 // width
        group = word // 16 * BLOCK_GROUPS + CHAIN_GROUPS + word % 16
        return 4 * group + slot

    for row, flag in flags_of_elements(table, row_of, SAME, NEXT):
        rows[row][flag] = 1
    rows[4 * end - 1][FINISH] = 1
    rows[4 * end][TAKEN] = 1
    return rows


# Constraints


def xor(a, b):
    return a + b - 2 * (a * b)


def number(bits):
    return total(bit * 2**i for i, bit in enumerate(bits))


def element(x, width, slot):
    """The number in a slot of a message word."""
    value, n = ZERO, width.bytes
    for j in range(n):
        low = 24 - 8 * (slot * n + j)
        value = value + number(x[low : low + 8]) * 2 ** (8 * j)
    if width.signed:
        top = x[24 - 8 * (slot * n + n - 1) + 7]
        value = value - top * 2 ** (8 * n)
    return value


def state(b):
    f, main = b.fixed, b.main
    x, y, z = main[:32], main[32:64], main[64:96]
    carries, cell = main[96:102], main[102]
    live = f[0]

    def rotated(r, s, i):
        return xor(x[(i + r) % 32], x[(i + s) % 32])

    for bit in x:
        b.zero(live * (bit * (bit - 1)))
    for i in range(32):
        b.zero(
            f[IS_W] * (y[i] - rotated(7, 18, i)) + f[IS_E] * (y[i] - rotated(6, 11, i))
            + f[IS_A] * (y[i] - rotated(2, 13, i)) + f[IS_M] * (y[i] * (y[i] - 1))
        )  # fmt: skip
    for i in range(32):
        b.zero(f[IS_W] * (z[i] - rotated(17, 19, i)) + (f[IS_A] + f[IS_M]) * z[i])
    idle = f[IS_M] + f[FREE]
    for carry in carries:
        b.zero((live - idle) * (carry * (carry - 1)) + idle * carry)
    low_bits = 8 * (4 - message_bytes(b.table) % 4)
    b.zero(f[TAIL] * (number(x[:low_bits]) - 2 ** (low_bits - 1)))

    state_links(b, links(b, x, y, z, carries, cell))
    turn = Fold(b, f[SAME], f[NEXT], f[FINISH], f[TAKEN], cell)
    sigma = b.ch.sigma_powers
    turn.before = turn.before + (sigma[2] - 1) * f[DIGEST]
    turn.added = turn.added + f[DIGEST] * (number(x[:16]) + sigma[1] * number(x[16:]))
    state_fold(b, turn)
    send_digest(b, f[TAKEN])


def links(b, x, y, z, carries, cell):
    """The row's part in all links."""
    f, sigma, rho = b.fixed, b.ch.sigma_powers, b.ch.rho_powers

    def below(shift):
        return rho[LONGEST - shift]

    def halves(bits):
        return number(bits[:16]) + sigma[1] * number(bits[16:])

    def each(bits):
        return total(s * bit for s, bit in zip(sigma[2:], bits))

    # Additions: the word, and what it adds below.
    own = below(0)
    adds = f[IS_W] + f[IS_E] + f[IS_A] - f[FREE]
    addend = (
        below(1) * (f[IS_W] + f[E_NOW]) + below(28) * f[W_SEVENTH] + below(64) * f[W_SIXTEENTH]
        + below(12) * f[E_THIRD] + below(16) * (f[E_FOURTH] + f[A_FEED] - f[A_FOURTH])
        + below(15) * f[A_FOURTH] + below(3) * f[M_FIRST] + below(LONGEST) * f[CHAIN]
    )  # fmt: skip
    total_links = (own * adds - addend) * halves(x)
    c_lo, c_hi = number(carries[:3]), number(carries[3:])
    lo = adds * c_lo * 2**16 - f[IS_A] * 2**16 - f[K_LO]
    hi = adds * (c_hi * 2**16 - c_lo) - f[IS_A] * 2**16 + f[IS_A] - f[K_HI]
    total_links = total_links + own * (lo + sigma[1] * hi)

    # Functions: two rotations stand in y or z, the third is that of x.
    def rotated(pair, n):
        return [xor(pair[i], x[(i + n) % 32]) for i in range(32)]

    def shifted(pair, n):
        return [xor(pair[i], x[i + n]) if i + n < 32 else pair[i] for i in range(32)]

    chosen = [bit + x[i] * z[i] for i, bit in enumerate(rotated(y, 25))]
    functions = (
        below(4) * (f[E_FIRST] * halves(chosen) + f[A_FIRST] * halves(rotated(y, 22)))
        + below(60) * f[W_FIFTEENTH] * halves(shifted(y, 3))
        + below(8) * f[W_SECOND] * halves(shifted(z, 10))
    )  # fmt: skip
    total_links = total_links - functions

    # Bits: majorities, and differences of E.
    weight = (
        own * 2 * f[IS_M] - below(1) * f[IS_A] - (below(5) + below(9)) * f[A_HISTORY]
        - (below(4) - below(8)) * f[E_HISTORY]
    )  # fmt: skip
    total_links = total_links + weight * each(x)
    total_links = total_links + own * (f[IS_M] * each(y) + f[IS_E] * each(z))

    # Elements.
    width = width_of(b.table.range)
    slots = total(below(s) * element(x, width, s) for s in range(4 // width.bytes))
    return total_links + sigma[34] * (own * (f[0] * cell) - f[IS_W] * slots)
