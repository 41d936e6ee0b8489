"""``workflow.vars``: values that outlive the orchestrator."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class WorkflowVars:
    """A namespace of attributes, stored in ``.wf/wf.db``.

    An assignment is stored at once, and seen by all processes of the workflow. A value is stored
    as it is when assigned: a list that is changed afterwards must be assigned again. ``del``
    removes a name; reading or removing one that was never assigned raises ``AttributeError``. A
    user's pending changes of runs are neither saved nor lost by any of it.

    Args:
        db_fname: path of the file, which is made at the first assignment.
    """

    def __init__(self, db_fname: str | Path) -> None:
        object.__setattr__(self, "db_fname", str(db_fname))
        object.__setattr__(self, "_cache", (None, {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        values = self._read()
        try:
            return values[name]
        except KeyError:
            known = ", ".join(sorted(values)) or "none"
            raise AttributeError(f"workflow.vars has no {name!r} (assigned: {known})") from None

    def __setattr__(self, name: str, value: Any) -> None:
        with self._opened() as root:
            root[name] = value

    def __delattr__(self, name: str) -> None:
        with self._opened() as root:
            if name not in root:
                raise AttributeError(f"workflow.vars has no {name!r}")
            del root[name]

    def __dir__(self) -> list[str]:
        return sorted(self._read())

    def _read(self) -> dict[str, Any]:
        path = Path(self.db_fname)
        with self._locked(fcntl.LOCK_SH):
            try:
                info = path.stat()
            except FileNotFoundError:
                return {}
            stamp = (info.st_ino, info.st_size, info.st_mtime_ns)
            known, values = self._cache
            if known != stamp:
                with self._connected(read_only=True) as root:
                    values = dict(root)
                object.__setattr__(self, "_cache", (stamp, values))
            return dict(values)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._locked(fcntl.LOCK_EX), self._connected(read_only=False) as root:
            yield root

    @contextlib.contextmanager
    def _connected(self, *, read_only: bool) -> Iterator[Any]:
        import transaction
        import ZODB
        import ZODB.FileStorage

        # A transaction manager of its own: a user's pending changes are none of its business.
        manager = transaction.TransactionManager()
        db = ZODB.DB(ZODB.FileStorage.FileStorage(self.db_fname, read_only=read_only))
        try:
            connection = db.open(manager)
            yield connection.root()
            manager.abort() if read_only else manager.commit()
        finally:
            manager.abort()
            db.close()

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        path = Path(f"{self.db_fname}.access")
        path.parent.mkdir(exist_ok=True)
        with open(path, "a") as file:
            fcntl.flock(file, kind)
            yield
