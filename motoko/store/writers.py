"""Who has changed what since the last save: whose error it is when that cannot be saved."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, TypeAlias

Writer: TypeAlias = "asyncio.Task[Any] | None"  # ``None``: there was no task
_Record: TypeAlias = tuple[int, bytes]  # a connection's identity: studies number records alike


class Writers:
    """The tasks that have changed something, by record, and by name where that is known."""

    def __init__(self) -> None:
        self._of_records: dict[_Record, Writer] = {}
        self._of_items: dict[tuple[_Record, str], dict[Writer, None]] = {}

    def changed(self, connection: Any, oid: bytes) -> None:
        """The running task is the first to change a record."""
        self._of_records.setdefault((id(connection), oid), current_task())

    def wrote(self, connection: Any, oid: bytes, name: str) -> None:
        """The running task has set an item of a record."""
        self._of_items.setdefault(((id(connection), oid), name), {})[current_task()] = None

    def of(self, connection: Any, node: bytes, tree: bytes, name: str) -> Collection[Writer]:
        """Who has set an item of a tree; who has changed its record first, if that is not known."""
        known = self._of_items.get(((id(connection), tree), name))
        return known or [self._of_records.get((id(connection), node))]

    @property
    def all(self) -> Collection[Writer]:
        """All that have changed anything; without any, nobody in particular."""
        tasks = dict.fromkeys(self._of_records.values())
        for known in self._of_items.values():
            tasks.update(known)
        return tasks or {None: None}


def current_task() -> Writer:
    """The task that runs; ``None`` without an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
