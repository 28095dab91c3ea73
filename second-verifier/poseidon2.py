"""The table of a Poseidon2 digest (§18.6)."""

from field import ZERO, ext, total
from hashed import Fold, flags_of_elements, send_digest, state_fold, state_links
from hashes import (
    EXTERNAL, INTERNAL, INTERNAL_ROUNDS, LANES, RATE, external, initial_state, internal,
)  # fmt: skip

FIXED, MAIN, CONSTRAINTS = 21, 65, 53
POSITION, (START, CHAIN, DIGEST, SLOT, SAME, NEXT, FINISH, TAKEN) = 4, range(13, FIXED)
# Rows of a permutation: the longest way from an element to the row that it enters.
LONGEST = 9
SIGMA_POWERS, RHO_POWERS = LANES, LONGEST + 1
INTERNAL_ROW, LAST_ROW = 4, 8


def slots_of(table):
    return RATE * table.salted + table.features * table.positions


def groups_of(table):
    """One for each permutation, and one that carries the first block."""
    return -(-slots_of(table) // RATE) + 1


def rows_of(table):
    return LONGEST * groups_of(table) + 1


def projection_degree(table):
    return rows_of(table) + 32


# Fixed columns


def row_of_slot(slot):
    return slot // RATE * LONGEST + slot % RATE


def fixed_rows(table):
    """For each live row its nonzero cells, by column."""
    rows = [{} for _ in range(rows_of(table))]
    groups = groups_of(table)
    for r in range(LONGEST * groups):
        rows[r][POSITION + r % LONGEST] = 1
    rows[LONGEST][START] = 1
    for group in range(1, groups):
        column = CHAIN if group + 1 < groups else DIGEST
        rows[group * LONGEST + LAST_ROW][column] = 1
    for slot in range(slots_of(table)):
        rows[row_of_slot(slot)][SLOT] = 1

    def row_of(i):
        return row_of_slot(RATE * table.salted + i)

    for row, flag in flags_of_elements(table, row_of, SAME, NEXT):
        rows[row][flag] = 1
    last_group = LONGEST * (groups - 1)
    rows[last_group][FINISH] = 1
    rows[last_group + 1][TAKEN] = 1
    return rows


# Constraints


def constants_of(row):
    if row == INTERNAL_ROW:
        return INTERNAL
    return EXTERNAL[row - (row > INTERNAL_ROW)]


def dot(weights, values):
    return total(w * v for w, v in zip(weights, values))


def state(b):
    f, main, live = b.fixed, b.main, b.fixed[0]
    x, square, cube, sixth = (main[LANES * i : LANES * (i + 1)] for i in range(4))
    cell = main[4 * LANES]
    for a, v in zip(square, x):
        b.zero(live * (a - v * v))
    for a, s, v in zip(cube, square, x):
        b.zero(live * (a - s * v))
    for a, c in zip(sixth, cube):
        b.zero(live * (a - c * c))
    b.zero((live - f[SLOT]) * cell)

    y = [s * v for s, v in zip(sixth, x)]
    state_links(b, links(b, x, y, cell))
    turn = Fold(b, f[SAME], f[NEXT], f[FINISH], f[TAKEN], cell)
    digest = list(b.ch.sigma_powers[:RATE]) + [ZERO] * (LANES - RATE)
    turn.added = turn.added + dot(external(digest, transposed=True), y) * f[DIGEST]
    state_fold(b, turn)
    send_digest(b, f[TAKEN])


def links(b, x, y, cell):
    """The row's part in all links."""
    f, rho, sigma = b.fixed, b.ch.rho_powers, list(b.ch.sigma_powers[:LANES])
    at = f[POSITION : POSITION + LONGEST]

    def below(shift):
        return rho[LONGEST - shift]

    mixed = external(sigma, transposed=True)
    chain = external(mixed, transposed=True)
    before_internal, inner = through_internal_rounds(b.ch, sigma, below)
    own = dot(sigma, x) * below(0) * f[0]
    rounds = at[0] + at[1] + at[2] + at[5] + at[6] + at[7]
    given = (
        dot(mixed, y) * below(1) * rounds + dot(before_internal, y) * at[INTERNAL_ROW - 1]
        + dot(inner, y) * at[INTERNAL_ROW] + dot(chain, y) * below(1) * f[CHAIN]
    )  # fmt: skip
    given = given + total(below(LONGEST - j) * mixed[j] * at[j] for j in range(RATE)) * cell
    constants = total(dot(sigma, map(ext, constants_of(j))) * at[j] for j in range(LONGEST))
    start = initial_state(b.table.features * b.table.positions, b.table.salted)
    given = given + (constants + dot(mixed, map(ext, start)) * f[START]) * below(0)
    return own - given


def through_internal_rounds(ch, sigma, below):
    """Weights on the S-boxes of the round before the internal ones, and of these."""
    weights, inner = [below(2) * s for s in sigma], [ZERO] * INTERNAL_ROUNDS
    for k in reversed(range(INTERNAL_ROUNDS)):
        weights = internal(weights)
        inner[k] = weights[0] * ch.rho
        weights[0] = below(1) * sigma[k]
    return external(weights, transposed=True), inner
