"""Fixed columns at ζ of tables outside the key: nobody has committed to them (§18.3, §19)."""

import attested
import compare
import poseidon2
import sha256
from audit import lookup_rows
from errors import check
from field import OMEGA, ONE, P, ZERO


def range_rows(table):
    return [dict(enumerate(row, 4)) for row in lookup_rows(table)]


ROWS = {
    "sha256": sha256.fixed_rows, "poseidon2": poseidon2.fixed_rows,
    "bounds": compare.fixed_rows, "leading": compare.fixed_rows, "range": range_rows,
    "attested weights": attested.weights_fixed, "attested sums": attested.sums_fixed,
}  # fmt: skip


def fixed_at(table, zeta):
    """(ζ^n − 1)/n · Σ_r cell(r)·ω^r/(ζ − ω^r), over the live rows."""
    rows = list(ROWS[table.chip](table))
    assert len(rows) == table.rows
    values, x = [ZERO] * table.fixed, 1
    for r, row in enumerate(rows):
        distance = zeta - x
        check(not distance.is_zero(), "the out-of-domain point lies in a domain")
        weight = distance.inverse() * x
        engine = [1, int(r == 0), int(r + 1 < len(rows)), int(r + 1 == len(rows))]
        for column, cell in [*enumerate(engine), *row.items()]:
            if cell:
                values[column] = values[column] + weight * cell
        x = x * OMEGA[table.log_height] % P
    n = 2**table.log_height
    scale = (zeta**n - ONE) * pow(n, -1, P)
    return [value * scale for value in values]
