"""What no value may be, so that others can read it, and what is said of those that are.

A study's server asks this too, which does not know BlackDynamite: so it starts fast.
"""

from __future__ import annotations

# A script's own: no other process has its classes.
MAIN = "__main__"
# Bytes of a record, and so of a value: whoever reads or writes one holds up all others.
SIZE_MAX = 100 * 10**6
HINT = "runs and jobs hold what any process can read: numbers, texts, dates, lists, dicts, arrays"


def not_readable(name: str) -> str:
    """What is wrong with a value of a script's class."""
    return f"no other process has the class {name} of this script to read it with"


def too_large(size: int) -> str:
    """What is wrong with a value of so many bytes."""
    return (
        f"it has {size / 1e6:.0f} MB, the most is {SIZE_MAX / 1e6:.0f} MB "
        "(write it into a file of the run's directory, and store the file's name)"
    )
