"""The runs that a run comes after, as ``run.dependencies`` records them: ``["mult.3"]``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from motoko.errors import ParameterError
from motoko.runs.references import reference

if TYPE_CHECKING:
    from motoko.store.bd_objects import RunZEO

NAME = "dependencies"


def references(after: Any) -> list[str]:
    """The names of runs, each once, in the order given.

    Args:
        after: a run, a ``(run, job)`` pair, a name such as ``"mult.3"``, or an iterable of
            these: a list, a ``RunList``, a selection.

    Raises ``ParameterError`` for anything else.
    """
    return list(dict.fromkeys(_references(after)))


def _references(after: Any) -> Iterable[str]:
    if isinstance(after, str):
        if reference(after) is None:
            raise _wrong(after)
        yield after
    elif hasattr(after, "entries"):
        if "job_id" not in after.entries:
            raise _wrong(after)
        yield f"{after.base.study.name}.{after.entries['id']}"
    elif isinstance(after, tuple) and len(after) == 2 and "id" in getattr(after[1], "entries", {}):
        yield from _references(after[0])
    elif isinstance(after, Iterable):
        for one in after:
            yield from _references(one)
    else:
        raise _wrong(after)


def _wrong(what: object) -> ParameterError:
    return ParameterError(
        f"after: {what!r} is no run", hint='give runs, what createTask() returned, or "mult.3"'
    )


def record(run: RunZEO, names: list[str]) -> None:
    """Add to the runs that a run comes after; names that are already recorded are left alone."""
    known = list(run.entries.get(NAME) or ())
    missing = [name for name in names if name not in known]
    if missing:
        run.entries[NAME] = known + missing
