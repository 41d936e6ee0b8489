"""How people name runs: STUDY.ID, such as ``mult.3``, with the run's parameters. Pure logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from motoko.host.printable import shortened

SHOWN = 10  # how many runs are named in a message
# The most characters of one parameter next to a run's name, and of all together.
_VALUE_MAX = 30
_ALL_MAX = 80


class Reference(NamedTuple):
    """A run by its study, or that study's alias, and its id."""

    study: str
    run_id: int


def listed(names: Sequence[str]) -> str:
    """The first of some names of runs, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def reference(text: str) -> Reference | None:
    """The run that STUDY.ID names, whether it exists or not; ``None`` if the text names none."""
    study, _, number = text.rpartition(".")
    return Reference(study, int(number)) if study and number.isdecimal() else None


def described(name: str, parameters: Mapping[str, Any]) -> str:
    """A run's name with its job's parameters, shortened: ``solve.45 (mesh=6, taper=0.7)``."""
    text = in_words(parameters)
    return f"{name} ({text})" if text else name


def in_words(parameters: Mapping[str, Any]) -> str:
    """Parameters, in their order, in one short line: ``mesh=6, taper=0.7``."""
    parts = [f"{name}={_shortened(value)}" for name, value in parameters.items()]
    for count in range(len(parts), 0, -1):
        text = ", ".join(parts[:count]) + (", ..." if count < len(parts) else "")
        if len(text) <= _ALL_MAX or count == 1:
            return text
    return ""


def _shortened(value: object) -> str:
    text = str(value) if isinstance(value, str) and value.isprintable() else repr(value)
    return shortened(text, _VALUE_MAX)
