"""The user's part of an exception's traceback: the lines of the orchestrator and its modules."""

from __future__ import annotations

import importlib.util
import traceback
from functools import cache
from pathlib import Path
from traceback import FrameSummary, TracebackException

# Lines of these packages do not help to find the fault in the user's lines.
_NOT_USERS = (
    *("motoko", "motoko.supervisor", "motoko.workers", "BlackDynamite", "ZODB", "ZEO"),
    *("persistent", "transaction", "BTrees", "asyncio"),
)


@cache
def _places() -> tuple[str, ...]:
    """The directories of code that is not the user's."""
    places: list[str] = []
    for name in _NOT_USERS:
        spec = importlib.util.find_spec(name)
        places += [] if spec is None else list(spec.submodule_search_locations or ())
    return tuple(f"{place}/" for place in places)


def _is_users(frame: FrameSummary) -> bool:
    return not frame.filename.startswith(_places()) and not frame.filename.startswith("<frozen ")


def users_traceback(error: BaseException) -> str:
    """An exception as Python shows it, without the lines of Motoko and of the packages it uses.

    If no line is the user's, all lines are shown: then the fault is Motoko's.
    """
    shown = TracebackException.from_exception(error)
    _cut(shown)
    return "".join(shown.format())


def _cut(shown: TracebackException) -> None:
    users = [frame for frame in shown.stack if _is_users(frame)]
    if users:
        shown.stack[:] = users
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            _cut(other)


def users_line(error: BaseException) -> str:
    """The line of the user's files where an error of Motoko's was raised; empty if there is none.

    ``orchestrator.py, line 4, in main: runs = await workflow.solve.createTask(x=1)``
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f)]
    if not frames:
        return ""
    last = frames[-1]
    return f"{Path(last.filename).name}, line {last.lineno}, in {last.name}: {last.line}"


def hint_at(error: BaseException) -> str:
    """A hint if an exception in the user's code looks like a common mistake; else empty.

    Lists of runs hold pairs: ``runs[0].y`` asks a tuple for the attribute.
    """
    asked = error.obj if isinstance(error, AttributeError) else None
    if isinstance(asked, tuple) and len(asked) == 2 and hasattr(asked[0], "entries"):
        return "runs come with their jobs: `run, job = runs[0]`"
    return ""
