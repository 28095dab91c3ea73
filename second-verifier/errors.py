"""The ways in which a file can fail."""


class Malformed(Exception):
    """A key or proof that is not what the protocol calls one (exit code 4)."""


class OverLimit(Exception):
    """What is asked for is more than the protocol allows, whatever the proof (exit code 5)."""


class Rejected(Exception):
    """A well-formed proof that does not prove its statement (exit code 1)."""


def well_formed(condition, message):
    if not condition:
        raise Malformed(message)


def check(condition, message):
    if not condition:
        raise Rejected(message)
