"""From the graph to tables (§8). Nothing here is read from a proof."""

from copy import copy
from math import prod
from types import SimpleNamespace as Record

import activation
import compare
import overhang
import poseidon2
import sha256
import sums
import weights
from codec import DATA_AND_WEIGHTS, NONE
from cost import (
    LEAF_COLUMNS, choose_table_lanes, log_height, lookup_width, mask_rows,
)  # fmt: skip
from errors import well_formed
from field import DEGREE, P
from functions import Functions
from graph import length
from grid import ceil_div
from plan import plan
from terms import Terms

MAX_LOG_HEIGHT = 22
MAX_LOG_ENTRIES = 22
MAX_LOG_OUTSIDE_CELLS = 26
MAX_LOG_FIXED_CELLS = 28
MAX_POSITIONS = 64
MAX_PROOFS = 2**16


def hiding_of(privacy, proofs, parameters):
    """What the tables of a key must hide (§8); None if nothing."""
    if privacy == NONE:
        return None
    well_formed(
        privacy != DATA_AND_WEIGHTS or 1 <= proofs <= MAX_PROOFS,
        f"a key for {proofs} proofs of private weights",
    )
    # Two openings of the weights are kept for rekey proofs (§17): a key's first and its last.
    openings = proofs + 2 if privacy == DATA_AND_WEIGHTS else 0
    return Record(queries=parameters.queries, weight_openings=openings)


def lay_out(graph, hiding):
    """The tables in order. Columns are counted, extension columns as one."""
    terms = Terms(graph)
    functions = Functions(graph, terms.groups)
    tables = [
        activation.lay_out(graph, terms, part, functions, hiding)
        for part in plan(graph, terms, hiding)
    ]
    widths = {w for table in tables for w in activation.limb_widths_of(table)}
    entries = sum(length(f[3]) + 2 for f in functions.list)
    tables += [
        weights.lay_out(graph, terms, hiding), overhang.lay_out(graph, terms, hiding),
        sums.lay_out(graph, terms, hiding), range_table(widths, hiding),
        lookup("functions", 4, functions.list, entries, hiding),
    ]  # fmt: skip
    # Tables without entries are left out.
    tables = [t for t in tables if t is not None and getattr(t, "entries", 1)]
    for table in tables:
        settle(table, hiding)
    lengthen_leaves(tables, hiding)
    check_together(tables)
    return tables


def range_table(widths, hiding):
    return lookup("range", 2, sorted(widths), sum(2**w for w in widths), hiding)


def lookup(chip, arity, content, entries, hiding):
    lanes = choose_table_lanes(entries, arity, hiding)
    return Record(
        chip=chip, lanes=lanes, arity=arity, content=content, entries=entries,
        rows=ceil_div(entries, lanes), mask_rows=mask_rows(hiding),
        fixed=4 + lanes * arity, weight=0, main=lanes, projection=0,
        constraints=0, messages=lanes, sigma_powers=1, rho_powers=2,
        projection_degree=0,
    )  # fmt: skip


def settle(table, hiding, outside_key=False, like=None):
    """Height and committed widths of a table: as tall as the table `like`, if there is one."""
    few = getattr(table, "entries", 0) <= 2**MAX_LOG_ENTRIES
    well_formed(few, f"the {table.chip} table has too many entries")
    well_formed(table.rows > 0, f"the {table.chip} table has no rows")
    needed = log_height(table.rows + table.mask_rows)
    table.log_height = like.log_height if like else needed
    well_formed(needed <= table.log_height, f"the {table.chip} table needs more rows than it has")
    well_formed(table.log_height <= MAX_LOG_HEIGHT, f"the {table.chip} table is too tall")
    table.lookup = lookup_width(table.messages)
    table.outside_key = outside_key
    commit_widths(table, hiding)


def check_together(tables):
    # Fixed columns that the verifier computes itself.
    cells = sum(t.rows * t.fixed for t in tables if t.outside_key)
    few = cells <= 2**MAX_LOG_OUTSIDE_CELLS
    well_formed(few, "the tables of the statement or attestation have too many fixed cells")
    fixed = sum(t.fixed * 2**t.log_height for t in tables if not t.outside_key)
    well_formed(fixed <= 2**MAX_LOG_FIXED_CELLS, "the tables have too many fixed cells")
    messages = sum(t.messages * 2**t.log_height for t in tables)
    well_formed(messages < P, "the tables have too many messages")


def commit_widths(table, hiding):
    """Columns as they are committed, quotient chunks, and the distance of the chunks."""
    table.hiding = hiding is not None
    table.committed_fixed = 0 if table.outside_key else table.fixed
    table.committed_main, table.committed_lookup = table.main, table.lookup
    table.committed_projection = max(table.projection, 1) if hiding else table.projection
    table.chunks, table.stride = 2, 2**table.log_height
    if hiding:
        table.chunks = 3
        table.stride -= hiding.queries + DEGREE + 1


def lengthen_leaves(tables, hiding):
    """Under a hiding key, widens a table of each height until the leaves they share are long enough."""
    if hiding is None:
        return
    tallest = max(table.log_height for table in tables)
    for height in {table.log_height for table in tables}:
        same = [table for table in tables if table.log_height == height]
        for trace, degree in (("main", 1), ("projection", DEGREE), ("lookup", DEGREE)):
            name = "committed_" + trace
            wide = [table for table in same if getattr(table, name) > 0]
            missing = LEAF_COLUMNS - sum(degree * getattr(table, name) for table in wide)
            if trace == "projection" and height == tallest:
                missing -= DEGREE  # the mask of the batch
            if wide and missing > 0:
                first = wide[0]
                setattr(first, name, getattr(first, name) + ceil_div(missing, degree))


# Tables of a statement (§18.2).


def with_statement(tables, graph, statement, hiding):
    """A key's tables and, behind them, those of what is said of hidden tensors."""
    added, widths = [], set()
    for kind, tensor, said in statement:
        if said.bounds is not None or said.leading is not None:
            few = prod(graph.tensors[tensor].extent) <= MAX_POSITIONS
            well_formed(few, f"tensor {tensor} has too many positions for bounds and ranks")
        for table in tables_of(graph.tensors[tensor], said):
            table.tensor, table.kind = tensor, kind
            added.append(table)
            if table.chip in ("bounds", "leading"):
                widths.update(compare.limb_bits(table.range))
    for table in added:
        table.mask_rows = mask_rows(hiding, blank=table.messages > 1)
    if widths:
        added.append(range_table(widths, hiding))
    for table in added:
        settle(table, hiding, outside_key=True)
    # Leaves are those of all tables of a proof, so the key's may be widened otherwise.
    together = [copy(table) for table in tables] + added
    for table in together:
        commit_widths(table, hiding)
    lengthen_leaves(together, hiding)
    check_together(together)
    return together


def tables_of(tensor, said):
    positions = prod(tensor.extent)
    shape = dict(
        features=tensor.features, positions=positions, range=tensor.range, weight=0,
        sigma_powers=positions, rho_powers=2, rule=None, salted=False,
    )  # fmt: skip
    if said.digest is not None:
        chip, hasher = (("sha256", sha256), ("poseidon2", poseidon2))[said.digest.hash]
        table = Record(**shape, chip=chip)
        table.salted = said.digest.salted
        table.fixed, table.main, table.constraints = hasher.FIXED, hasher.MAIN, hasher.CONSTRAINTS
        table.projection, table.messages = 2, 1
        table.sigma_powers = max(positions, hasher.SIGMA_POWERS)
        table.rho_powers = hasher.RHO_POWERS
        table.rows, table.projection_degree = hasher.rows_of(table), hasher.projection_degree(table)
        yield table
    for chip, rule in (("bounds", said.bounds), ("leading", said.leading)):
        if rule is not None:
            table = Record(**shape, chip=chip, rows=tensor.features + 1)
            table.rule = rule
            vars(table).update(compare.widths(table))
            table.projection_degree = compare.projection_degree(table)
            yield table
