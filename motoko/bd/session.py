"""A thread's pending changes: when they are saved, and what happens when saving fails.

BlackDynamite commits the thread's global transaction, which all coroutines and all studies of the
thread share. So there is one session per thread. Changes are saved when a Motoko awaitable is
awaited, when a handler returns, at ``transaction.commit()``, and otherwise at the event loop's
next turn: a foreign ``await`` leaves nothing open.

Creating runs takes the study's lock, and the commit gives it back; so creators of several
processes never conflict, and a batch of creations in one turn is one commit.

What is created is final before what is changed in other studies: a handler that changes what has
triggered it, and creates something, can be killed at any moment, and is called again unless it has
created it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import transaction

from motoko.bd.base import StudyBase
from motoko.bd.changes import Change, apply_again, capture, changes
from motoko.bd.file_lock import locked_file
from motoko.bd.storage import PATIENCE_S, can_be_repeated
from motoko.errors import ChangeConflict, MotokoError, StudyUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

_CANNOT_BE_STORED = (pickle.PicklingError, TypeError, AttributeError, RecursionError)

# Another creator holds the lock for a commit's time; a stopped one is worth an error.
LOCK_DEADLINE_S = 60.0


class Session:
    """The pending changes of one thread."""

    def __init__(self) -> None:
        self._bases: list[StudyBase] = []
        self._pending = False
        self._locked: tuple[StudyBase, int] | None = None  # whose lock is held, its descriptor
        self._first: Any = None  # the connection that is to finish its commit before all others
        self._afterwards: list[Callable[[], None]] = []
        self._creations: list[Callable[[], None]] = []
        self._owners: dict[bytes, asyncio.Task[Any] | None] = {}  # who has changed a record
        self._unseen: list[tuple[asyncio.Task[Any] | None, MotokoError]] = []
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
            self._changed(obj)

        # Persistent objects call their connection's `register` when they are first changed.
        base.connection.register = noting
        finish = base.connection.tpc_finish

        def finishing(txn: Any) -> None:
            if self._first not in (None, base.connection):
                self._afterwards.append(lambda: finish(txn))
                return
            finish(txn)
            self._first, rest = None, self._afterwards
            self._afterwards = []
            for each in rest:
                each()

        # Locks are taken in the order of names; all have been granted when the first one finishes.
        base.connection.tpc_finish = finishing

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
                if not _has_changes(base):
                    self._unlock()  # all of it existed: there is nothing to commit

        creation()
        if _has_changes(base):
            self._creations.append(creation)

    def commit(self) -> None:
        """Save all pending changes.

        A change that meets a conflict is applied again; one that loses its server waits for it.
        Raises ``ChangeConflict`` if somebody else changed the very same key as the caller's task
        (all other changes are saved), now or at an earlier save in the background, and
        ``StudyUnavailable`` if a server stays away.
        """
        self._save()
        task = _current_task()
        for unseen in self._unseen:
            owner, error = unseen
            if owner is None or owner is task or owner.done():
                self._unseen.remove(unseen)
                raise error

    def _save(self) -> None:
        if not self._pending:
            self._commit()  # a view as new as the connections have been told of
            return
        pending = [each for base in self._bases for each in capture(base.connection)]
        owners = self._owners
        creations = self._creations
        lost: list[Change] | None = None
        conflicts: list[tuple[Change, ChangeConflict]] = []
        deadline = time.monotonic() + PATIENCE_S
        pause = 0.005
        while True:
            creating = self._locked[0] if self._locked else None
            self._afterwards = []
            self._first = creating.connection if creating and _has_changes(creating) else None
            try:
                self._commit()
                break
            except Exception as error:
                if isinstance(error, _CANNOT_BE_STORED):
                    self._creations = []
                    transaction.abort()
                    raise MotokoError(
                        f"changes could not be saved: {error}",
                        hint="runs and jobs hold what pickle can store: numbers, texts, lists",
                    ) from error
                if not can_be_repeated(error):
                    raise
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
                conflicts = self._repeat(creations, lost)
        self._creations = []
        self._unseen += [(owners.get(change.node_oid), error) for change, error in conflicts]

    def refresh(self, base: StudyBase | None = None, tid: bytes | None = None) -> None:
        """See what others have committed; pending changes are saved first.

        With ``base`` and ``tid``, the view of that study is at least as new as ``tid``; with
        ``base`` alone, as new as the server's own at the time of the call.
        """
        self.commit()
        if base is not None and (tid is None or base.tid < tid):
            base.db.storage.ping()
        transaction.begin()

    def look(self) -> None:
        """See what this process has been told of since the last look; costs no round trip.

        Not while changes are pending: they belong to the view in which they were made.
        """
        if not self._pending:
            transaction.begin()

    def _repeat(
        self, creations: list[Callable[[], None]], lost: list[Change]
    ) -> list[tuple[Change, ChangeConflict]]:
        """Make the changes again in a fresh view; returns those that others have forestalled."""
        for base in self._bases:
            base.db.storage.ping()
        transaction.begin()
        for creation in creations:
            creation()
        conflicts = []
        for change in lost:
            try:
                apply_again(change)
            except ChangeConflict as conflict:
                conflicts.append((change, conflict))
        return conflicts

    def _lost(self, error: Exception) -> StudyUnavailable:
        self._creations = []
        return StudyUnavailable(
            f"changes could not be saved for {PATIENCE_S:.0f} s: {error!r}",
            hint="`motoko ps` shows the state of the ZEO servers",
        )

    def _changed(self, obj: Any) -> None:
        self._owners.setdefault(obj._p_oid, _current_task())
        if self._pending:
            return
        self._pending = True
        current = transaction.get()
        current.addAfterCommitHook(self._ended)
        current.addAfterAbortHook(self._ended)
        with contextlib.suppress(RuntimeError):  # no loop: whoever changes commits by himself
            asyncio.get_running_loop().call_soon(self._save_in_background)

    def _save_in_background(self) -> None:
        known = len(self._unseen)
        try:
            self._save()
        except MotokoError as error:
            self._unseen.append((None, error))
        # Nobody is there to catch it now: the one concerned gets it when he awaits or commits.
        for _, unseen in self._unseen[known:]:
            log.error("not saved: %s", unseen)

    def _ended(self, success: bool = False) -> None:
        self._pending = False
        self._owners = {}
        self._unlock()

    def _lock(self, base: StudyBase) -> None:
        """Take a study's lock, and see all that is in it."""
        if self._locked is not None and self._locked[0] is base:
            return
        if self._locked is not None:
            # One study's lock at a time: so nobody can wait for another in a circle.
            self.commit()
        while True:
            self._locked = base, self._opened_lock(base)
            base.db.storage.ping()
            if not self._pending:
                transaction.begin()
                return
            if not _has_changes(base):
                base.connection.newTransaction(None)
                return
            if base.tid < base.connection._storage._start:
                return  # nobody has changed the study since
            self._unlock()
            self.commit()

    def _opened_lock(self, base: StudyBase) -> int:
        path = base.study.directory / ".bd" / "create.lock"
        descriptor = locked_file(path, LOCK_DEADLINE_S)
        if descriptor is None:
            raise StudyUnavailable(
                f"{path} was held by another process for {LOCK_DEADLINE_S:.0f} s",
                hint=f"a stopped process may hold it: `fuser -v {path}` names it",
            )
        return descriptor

    def _unlock(self) -> None:
        if self._locked is not None:
            _, descriptor = self._locked
            self._locked = None
            os.close(descriptor)


def _has_changes(base: StudyBase) -> bool:
    """Whether a study takes part in the transaction with changes of its own."""
    return not base.connection._needs_to_join


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop is running


_sessions = threading.local()


def session() -> Session:
    """The calling thread's session."""
    current: Session | None = getattr(_sessions, "session", None)
    if current is None:
        current = _sessions.session = Session()
    return current
