"""The vectors of the other tests are those that docs/protocol.md states."""

import test_convolutions
import test_keys
import test_maxima
import test_statements
from testing import report


def level(rounds):
    """The bits of each round; whole ones without a point."""
    words = [f"{bits:.2f}".removesuffix(".00") for bits in rounds]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def test_page(path, keys):
    """`keys`: for each digest of key and model, tables, and levels."""
    page = " ".join(path.read_text().split())
    digests = [*test_convolutions.DIGESTS, *test_maxima.DIGESTS, *test_keys.BEGIN.values()]
    digests += [digest for of_key in keys.values() for digest in of_key[:2]]
    fixed = [
        ", ".join(map(str, value))
        for module in (test_convolutions, test_keys, test_maxima, test_statements)
        for value in module.FIXED.values()
    ]
    levels = [test_convolutions.LEVELS, test_maxima.LEVELS, *test_keys.LEVELS, *test_statements.LEVELS]
    for what, wanted in (
        ("digests", digests), ("fixed columns", fixed), ("levels", list(map(level, levels))),
    ):  # fmt: skip
        missing = [text for text in wanted if text not in page]
        report(wanted and not missing, f"{len(wanted)} {what} on the page {missing or ''}".rstrip())
