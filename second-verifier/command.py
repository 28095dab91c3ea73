"""What the commands share: files in, a verdict, an exit code."""

import sys
from pathlib import Path

from errors import Malformed, OverLimit, Rejected


def run(paths, check):
    """Gives the files' contents to `check`, which prints what it accepts. Returns the exit code."""
    try:
        files = [Path(path).read_bytes() for path in paths]
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        check(*files)
    except Malformed as error:
        print(f"malformed: {error}", file=sys.stderr)
        return 4
    except OverLimit as error:
        print(f"limit: {error}", file=sys.stderr)
        return 5
    except Rejected as error:
        print(f"rejected: {error}", file=sys.stderr)
        return 1
    return 0
