"""``workflow.vars``: values that outlive the orchestrator."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from motoko.errors import ChangeConflict, MotokoError
from motoko.host.locks import locked

_NOTHING = b""  # stands for a name that has no value


def _do_nothing(name: str) -> None:
    """The default for ``tell`` and ``check``."""


class WorkflowVars:
    """A namespace of attributes, stored in ``.wf/wf.db``.

    An assignment is stored at once, and seen by all processes of the workflow at their next read. A
    value is stored as it is when assigned: a list that is changed afterwards must be assigned
    again. ``del`` removes a name; reading or removing one that was never assigned raises
    ``AttributeError``. None of this saves or loses a user's pending changes of runs.

    Assigning or removing a value that another process has changed since it was last read through
    this object raises ``ChangeConflict``, and nothing is stored: read again, and decide. A value
    that was never read is simply replaced.

    Args:
        db_fname: path of the file, which is made at the first assignment.
        tell: called with a name when its value has been stored or removed.
        check: called with a name before that, and may raise an error.
    """

    def __init__(
        self,
        db_fname: str | Path,
        tell: Callable[[str], None] = _do_nothing,
        check: Callable[[str], None] = _do_nothing,
    ) -> None:
        set_here = super().__setattr__
        set_here("db_fname", str(db_fname))
        set_here("_tell", tell)
        set_here("_may_change", check)
        set_here("_cache", (None, {}))
        set_here("_seen", {})  # by name, its pickled value as it was last read or assigned here

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        values = self._read()
        if name not in values:
            self._seen[name] = _NOTHING
            known = ", ".join(sorted(values)) or "none"
            raise AttributeError(f"workflow.vars has no {name!r} (assigned: {known})")
        # Keep the stored form: changes to the object that is handed out do not count.
        self._seen[name] = values[name]
        return pickle.loads(values[name])

    def __setattr__(self, name: str, value: Any) -> None:
        self._may_change(name)
        new = pickle.dumps(value)
        with self._opened() as root:
            self._check(name, root, new)
            root[name] = value
        self._seen[name] = new
        self._tell(name)

    def __delattr__(self, name: str) -> None:
        self._may_change(name)
        with self._opened() as root:
            if name not in root:
                self._seen[name] = _NOTHING
                raise AttributeError(f"workflow.vars has no {name!r}")
            self._check(name, root, _NOTHING)
            del root[name]
        self._seen[name] = _NOTHING
        self._tell(name)

    def __dir__(self) -> list[str]:
        return sorted(self._read())

    def _check(self, name: str, root: Any, new: bytes) -> None:
        """Raise ``ChangeConflict`` if another process has changed the value last read here."""
        present = pickle.dumps(root[name]) if name in root else _NOTHING
        known = self._seen.get(name, present)
        # Even if the new values are equal: else two processes that increment would count once.
        if not _same(present, known):
            raise ChangeConflict(
                f"workflow.vars: {name!r} was set to {_shown(new)} here and to {_shown(present)} "
                f"by somebody else (it was {_shown(known)})",
                hint="read it again and decide: only one of the two can be kept",
            )

    def _read(self) -> dict[str, bytes]:
        """All values, pickled."""
        path = Path(self.db_fname)
        with self._locked(shared=True):
            try:
                info = path.stat()
            except FileNotFoundError:
                return {}
            stamp = (info.st_ino, info.st_size, info.st_mtime_ns)
            known, values = self._cache
            if known != stamp:
                with self._connected(read_only=True) as root:
                    values = {name: pickle.dumps(value) for name, value in root.items()}
                object.__setattr__(self, "_cache", (stamp, values))
            return dict(values)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._locked(), self._connected(read_only=False) as root:
            yield root

    @contextlib.contextmanager
    def _connected(self, *, read_only: bool) -> Iterator[Any]:
        import transaction
        import ZODB
        import ZODB.FileStorage
        from zc.lockfile import LockError

        # Use a transaction manager of its own, to leave a user's pending changes alone.
        manager = transaction.TransactionManager()
        try:
            storage = ZODB.FileStorage.FileStorage(self.db_fname, read_only=read_only)
        except LockError as error:
            raise MotokoError(
                f"{self.db_fname} is in use by another program, which is not of this version",
                hint=f"motoko 0.1.4 keeps it as long as it runs: `fuser {self.db_fname}` names it",
            ) from error
        db = ZODB.DB(storage)
        try:
            connection = db.open(manager)
            yield connection.root()
            manager.abort() if read_only else manager.commit()
        finally:
            manager.abort()
            db.close()

    @contextlib.contextmanager
    def _locked(self, *, shared: bool = False) -> Iterator[None]:
        path = Path(f"{self.db_fname}.access")
        path.parent.mkdir(exist_ok=True)
        with locked(path, shared=shared):
            yield


def _shown(value: bytes) -> str:
    return repr(pickle.loads(value)) if value else "nothing"


def _same(one: bytes, other: bytes) -> bool:
    """Whether two pickled values are equal; equal ones need not be pickled alike."""
    if one == other or not (one and other):
        return one == other
    first, second = pickle.loads(one), pickle.loads(other)
    try:
        return bool(first == second)
    except (TypeError, ValueError):  # arrays
        return pickle.dumps(first) == pickle.dumps(second)
