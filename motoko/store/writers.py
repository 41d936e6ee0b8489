"""The tasks that have changed things since the last save, to raise its errors where they belong."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, TypeAlias

Writer: TypeAlias = "asyncio.Task[Any] | None"  # ``None``: there was no task
_Record: TypeAlias = tuple[int, bytes]  # a connection's identity: studies number records alike


class Writers:
    """The tasks that have changed something, by record, and by name if that is known."""

    def __init__(self) -> None:
        self._of_records: dict[_Record, Writer] = {}
        self._of_items: dict[tuple[_Record, str], dict[Writer, None]] = {}

    def changed(self, connection: Any, oid: bytes) -> None:
        """Note that the running task has changed a record; the first one counts."""
        self._of_records.setdefault((id(connection), oid), current_task())

    def wrote(self, connection: Any, oid: bytes, name: str) -> None:
        """Note that the running task has set an item of a record."""
        self._of_items.setdefault(((id(connection), oid), name), {})[current_task()] = None

    def of(self, connection: Any, node: bytes, tree: bytes, name: str) -> Collection[Writer]:
        """The tasks that set an item of a tree; else the one that changed its record first."""
        known = self._of_items.get(((id(connection), tree), name))
        return known or [self._of_records.get((id(connection), node))]

    @property
    def all(self) -> Collection[Writer]:
        """All tasks that have changed anything; if there are none, ``None`` alone."""
        tasks = dict.fromkeys(self._of_records.values())
        for known in self._of_items.values():
            tasks.update(known)
        return tasks or {None: None}


def current_task() -> Writer:
    """The running task; ``None`` without an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
