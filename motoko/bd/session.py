"""A thread's pending changes: when they are saved, and what happens when saving fails.

BlackDynamite commits the thread's global transaction, which all coroutines and all studies of the
thread share. So there is one session per thread. Changes are saved when a Motoko awaitable is
awaited, when a handler returns, at ``transaction.commit()``, and otherwise at the event loop's
next turn: a foreign ``await`` leaves nothing open.

Creating runs takes the study's lock, and the commit gives it back; so creators of several
processes never conflict, and a batch of creations in one turn is one commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import transaction
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError, StorageTransactionError

from motoko.bd.base import StudyBase
from motoko.bd.changes import Change, apply_again, capture, changes
from motoko.bd.storage import PATIENCE_S
from motoko.errors import ChangeConflict, StudyUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

# Another creator holds the lock for a commit's time; a stopped one is worth an error.
LOCK_DEADLINE_S = 60.0


class Session:
    """The pending changes of one thread."""

    def __init__(self) -> None:
        self._bases: list[StudyBase] = []
        self._pending = False
        self._locked: tuple[StudyBase, int] | None = None  # whose lock is held, its descriptor
        self._creations: list[Callable[[], None]] = []
        self._failure: BaseException | None = None
        # Whoever commits (a user, or BlackDynamite) gets what this session promises.
        manager = transaction.manager.manager
        self._commit = manager.commit
        manager.commit = self.commit

    def attach(self, base: StudyBase) -> None:
        """Save the changes that are made through this base."""
        self._bases.append(base)
        register = base.connection.register

        def noting(obj: Any) -> None:
            register(obj)
            self._changed()

        # Persistent objects call their connection's `register` when they are first changed.
        base.connection.register = noting

    def detach(self, base: StudyBase) -> None:
        """Forget a base that is being closed."""
        if base in self._bases:
            self._bases.remove(base)

    @property
    def pending(self) -> bool:
        """Whether there are changes that are not saved yet."""
        return self._pending

    def create(self, base: StudyBase, build: Callable[[], list[T]], into: list[T]) -> None:
        """Put what ``build`` makes into a list, under the study's lock and a fresh view.

        ``build`` may be called again, should the commit fail: it must find what exists already,
        and ``into`` is then filled anew.
        """

        def creation() -> None:
            self._lock(base)
            try:
                into[:] = build()
            finally:
                if not self._pending:
                    self._unlock()  # all of it existed: there will be no commit

        creation()
        if self._pending:
            self._creations.append(creation)

    def commit(self) -> None:
        """Save all pending changes.

        A change that meets a conflict is applied again; one that loses its server waits for it.
        Raises ``ChangeConflict`` if somebody else changed the very same key, and
        ``StudyUnavailable`` if a server stays away. Raises what an earlier save in the background
        has met.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if not self._pending:
            self._commit()  # a view as new as the connections have been told of
            return
        pending = [each for base in self._bases for each in capture(base.connection)]
        lost: list[Change] | None = None
        creations = self._creations
        deadline = time.monotonic() + PATIENCE_S
        pause = 0.005
        while True:
            try:
                self._commit()
                self._creations = []
                return
            except (ConflictError, ClientDisconnected, StorageTransactionError) as error:
                log.info("saving again after %s: %s", type(error).__name__, error)
                try:
                    if lost is None:
                        lost = changes(pending)
                finally:
                    transaction.abort()
                if time.monotonic() > deadline:
                    raise self._lost(error) from error
                time.sleep(random.uniform(0, pause))
                pause = min(pause * 2, 0.5)
                self._repeat(creations, lost)

    def refresh(self, base: StudyBase | None = None, tid: bytes | None = None) -> None:
        """See what others have committed; pending changes are saved first.

        With ``base`` and ``tid``, the view of that study is at least as new as ``tid``; with
        ``base`` alone, as new as the server's own at the time of the call.
        """
        self.commit()
        if base is not None and (tid is None or base.tid < tid):
            base.db.storage.ping()
        transaction.begin()

    def _repeat(self, creations: list[Callable[[], None]], lost: list[Change]) -> None:
        for base in self._bases:
            base.db.storage.ping()
        transaction.begin()
        try:
            for creation in creations:
                creation()
            for change in lost:
                apply_again(change)
        except ChangeConflict:
            self._creations = []
            transaction.abort()
            raise

    def _lost(self, error: Exception) -> Exception:
        self._creations = []
        if isinstance(error, ConflictError):
            return ChangeConflict(f"changes met conflicts for {PATIENCE_S:.0f} s: {error}")
        return StudyUnavailable(
            f"changes could not be saved for {PATIENCE_S:.0f} s: {error!r}",
            hint="`motoko ps` shows the state of the ZEO servers",
        )

    def _changed(self) -> None:
        if self._pending:
            return
        self._pending = True
        current = transaction.get()
        current.addAfterCommitHook(self._ended)
        current.addAfterAbortHook(self._ended)
        with contextlib.suppress(RuntimeError):  # no loop: whoever changes commits by himself
            asyncio.get_running_loop().call_soon(self._commit_in_background)

    def _commit_in_background(self) -> None:
        try:
            self.commit()
        except (ChangeConflict, StudyUnavailable) as error:
            # Nobody is there to catch it now: whoever awaits or commits next gets it.
            log.error("pending changes were not saved: %s", error)
            self._failure = error

    def _ended(self, success: bool = False) -> None:
        self._pending = False
        self._unlock()

    def _lock(self, base: StudyBase) -> None:
        if self._locked is not None and self._locked[0] is base:
            return
        # One study's lock at a time: so nobody can wait for another in a circle.
        self.commit()
        path = base.study.directory / ".bd" / "create.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + LOCK_DEADLINE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise StudyUnavailable(
                        f"{path} was held by another process for {LOCK_DEADLINE_S:.0f} s",
                        hint=f"a stopped process may hold it: `fuser -v {path}` names it",
                    ) from error
                time.sleep(0.002)
        self._locked = base, descriptor
        base.db.storage.ping()
        transaction.begin()

    def _unlock(self) -> None:
        if self._locked is not None:
            _, descriptor = self._locked
            self._locked = None
            os.close(descriptor)


_sessions = threading.local()


def session() -> Session:
    """The calling thread's session."""
    current: Session | None = getattr(_sessions, "session", None)
    if current is None:
        current = _sessions.session = Session()
    return current
