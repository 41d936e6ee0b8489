"""Limits on values, so that all processes can read them, and the messages about bad values.

A study's server needs this, too. So it does not import BlackDynamite, and the server starts fast.
"""

from __future__ import annotations

# The module of a script: no other process has its classes.
MAIN = "__main__"
# Bytes of a record, and so of a value: reading or writing one holds up all other clients.
SIZE_MAX = 100 * 10**6
HINT = "runs and jobs hold what any process can read: numbers, texts, dates, lists, dicts, arrays"


def not_readable(name: str) -> str:
    """What is wrong with a value of a script's class."""
    return f"no other process has the class {name} of this script to read it with"


def too_large(size: int) -> str:
    """What is wrong with a value of this many bytes."""
    return (
        f"it has {size / 1e6:.0f} MB, the most is {SIZE_MAX / 1e6:.0f} MB "
        "(write it into a file of the run's directory, and store the file's name)"
    )
