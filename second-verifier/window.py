"""What the elements of a unit are, and what is compared in it (§8.2)."""

from collections import namedtuple

from groups import COPY, MAXIMUM, parts_of

# The values of a unit are what a lane has a cell for: an activation for each part of the host, the copies,
# the result of each comparison. `elements`: for each member, and each of its parts, the values it is the sum
# of. A comparison is (plus, minus): the values of the element compared, and of the largest before it.
Window = namedtuple("Window", "elements hosts copies comparisons")


def window_of(group):
    """The structure of a group's units. Groups of equal windows may share a table."""
    members = group.members
    hosts = parts_of(members[0])
    copies = sum(parts_of(m) for m in members if m.role == COPY)
    comparisons, elements, values = [], [], 0
    for m in members:
        own = 0 if m.role == MAXIMUM else parts_of(m)
        elements.append([(values + part,) for part in range(own)])
        values += own
    for m, of_member in zip(members, elements):
        if m.role == MAXIMUM:
            for sources in m.sources:
                compared = [elements[member][part] for member, part in sources]
                of_member.append(maximum(compared, comparisons, values))
    return Window(tuple(map(tuple, elements)), hosts, copies, tuple(comparisons))


def maximum(compared, comparisons, first):
    """Compares elements one after the other; the values the largest is the sum of. The result of the first
    comparison of the unit is value `first`."""
    largest, *others = compared
    for element in others:
        comparisons.append((element, largest))
        largest = (*largest, first + len(comparisons) - 1)
    return largest
