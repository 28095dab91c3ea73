"""What both hash tables have in common: the fold of the elements, and their claims (§18.4)."""

from builder import CLAIM, DIGEST, OUTPUT
from field import ONE


def flags_of_elements(table, row_of, same, following):
    """The fixed cells that tell the fold where the elements are."""
    for i in range(table.features * table.positions):
        yield row_of(i), same if i % table.positions else following


class Fold:
    """The transition `after·fold' = before·fold + added` of a row."""

    def __init__(self, b, same, following, finish, taken, element):
        t, ch = b.table, b.ch
        sigma, rho, lift = ch.sigma_powers[1], ch.rho, ch.sigma_powers[t.positions - 1]
        if t.kind == OUTPUT:
            next_after, next_before, last = rho, lift, lift * rho ** (t.features - 1)
        else:
            next_after, next_before, last = ONE, rho * lift, lift
        step = b.fixed[2]
        self.after = step + (sigma - ONE) * same + (next_after - ONE) * following
        self.before = step - taken + (next_before - ONE) * following + (last - ONE) * finish
        self.added = (sigma * same + next_after * following) * element


def state_links(b, own):
    """The links and their start: `own` is the row's part in them."""
    live, first, step, _last = b.fixed[:4]
    link, link_next = b.projection[0], b.projection_next[0]
    b.zero(link * first)
    b.zero(step * link_next - live * b.ch.rho * link - own)


def state_fold(b, turn):
    fold, fold_next = b.projection[1], b.projection_next[1]
    b.zero(fold * b.fixed[1])
    b.zero(fold_next * turn.after - fold * turn.before - turn.added)


def send_digest(b, taken):
    """Receives the tensor's claim on the row that takes it, sends the digest's on the last."""
    t, last = b.table, b.fixed[3]
    kind = taken * t.kind + last * DIGEST
    b.message(CLAIM, last - taken, kind, (taken + last) * t.tensor, b.projection[1])
