"""Motoko's own entries of a run, under their documented names, in BlackDynamite's objects.

``run.attempt`` is Motoko's own first. ``run["attempt"]`` is the user's entry of that name, if there
is one, and else Motoko's. What a user sets is the user's, and changes nothing of Motoko's.

Reading an entry whose class this process lacks is an error; BlackDynamite alone would return ZODB's
stand-in for it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from BlackDynamite.run_zeo import RunZEO
from BlackDynamite.zeoobject import ZEOObject

from motoko.errors import UnreadableEntry
from motoko.runs.entries import own_key
from motoko.runs.entry_table import OWN
from motoko.runs.states import UNENDED_STATES, state_of
from motoko.store.internals import unreadable
from motoko.store.internals.self_check import Need, relies_on

relies_on(
    "BlackDynamite",
    Need("BlackDynamite.run_zeo:RunZEO", "__getitem__", ("self", "index")),
    Need("BlackDynamite.zeoobject:ZEOObject", "__getattr__", ("self", "attr")),
)


def install() -> None:
    """Give all runs of this process these entries; harmless when repeated."""
    if isinstance(RunZEO.__dict__.get("attempt"), _OwnEntry):
        return
    for name in OWN:
        setattr(RunZEO, name, _OwnEntry(name))
    RunZEO.__getitem__ = _item
    get_attribute = ZEOObject.__getattr__

    def attribute(self: Any, attr: str) -> Any:
        try:
            value = get_attribute(self, attr)
        except AttributeError:
            if attr.startswith("_"):
                raise
            raise AttributeError(_why_missing(self, attr)) from None
        return _readable(self, attr, value)

    ZEOObject.__getattr__ = attribute
    unreadable.install()


def _why_missing(record: Any, name: str) -> str:
    """The message that a run or job has no such entry, with the name that may be meant."""
    base: Any = getattr(record, "base", None)
    entries = vars(record).get("entries", {})
    number, state = entries.get("id"), state_of(entries)
    if "job_id" not in entries:
        text = f"job {number} has no {name!r}"
    elif state in UNENDED_STATES:
        return (
            f"run {number} has no {name!r}: it is {state}, and has no results before it is awaited"
        )
    elif stub := getattr(base, "stub", None):
        return (
            f"run {base.study.name}.{number} has no {name!r}: a dry run does not execute it, and "
            f"neither {stub} nor an earlier run of the same job gives it one; write "
            f'`def results(job, run): return {{"{name}": ...}}` into {stub}'
        )
    else:
        text = f"run {number} has no {name!r}"
    alike = get_close_matches(name.lower(), [key for key in entries if isinstance(key, str)], n=1)
    return f"{text}; is {alike[0]!r} meant?" if alike else text


class _OwnEntry:
    """One of Motoko's own entries, as an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: Any, owner: type | None = None) -> Any:
        if run is None:
            return self
        entries = run.entries
        for key in (own_key(entries, self._name), self._name):
            if key is not None and key in entries:
                return entries[key]
        try:
            return vars(run)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, run: Any, value: Any) -> None:
        # As for any name that is no entry: an attribute of the object, which is stored with it.
        vars(run)[self._name] = value
        run._p_changed = True

    def __delete__(self, run: Any) -> None:
        try:
            del vars(run)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        run._p_changed = True


def _item(self: Any, index: Any) -> Any:
    """``run[index]``, in place of BlackDynamite's."""
    entries = self.entries
    name = index.lower() if isinstance(index, str) else index
    if name not in entries:
        if (key := own_key(entries, name)) is not None:
            return entries[key]
        if isinstance(name, str) and getattr(self.base, "stub", None):
            raise KeyError(_why_missing(self, name))
    return _readable(self, name, entries[name])


def _readable(record: Any, name: Any, value: Any) -> Any:
    """A value; ``UnreadableEntry`` if this process lacks the class to read it."""
    missing = unreadable.missing_class(value)
    if missing is None:
        return value
    entries = record.entries
    kind = "run" if "job_id" in entries else "job"
    raise UnreadableEntry(
        f"{kind} {entries.get('id')}: {name!r} cannot be read: this process has no class {missing}",
        hint="define the class in a module that this process can import by that name, or have "
        "doIt.py store numbers, texts, lists, dicts or arrays",
    )
