"""How people name runs: STUDY.ID, such as ``mult.3``. Pure logic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SHOWN = 10  # of the runs that are named in a message


class Reference(NamedTuple):
    """A run by its study, or that study's alias, and its id."""

    study: str
    run_id: int


def listed(names: Sequence[str]) -> str:
    """Some of the names of runs, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def reference(text: str) -> Reference | None:
    """The run that STUDY.ID names, whether it exists or not; ``None`` if the text names none."""
    study, _, number = text.rpartition(".")
    return Reference(study, int(number)) if study and number.isdecimal() else None
