"""A thread's pending changes: when they are saved, and what happens when saving fails.

BlackDynamite commits the thread's global transaction, which all coroutines and all studies of the
thread share. So there is one session per thread. Changes are saved when a Motoko awaitable is
awaited, when a handler returns, at ``transaction.commit()``, and otherwise at the event loop's
next turn: a foreign ``await`` leaves nothing open.

Creating runs takes the study's lock, and the commit gives it back. So processes that create runs
never conflict, and a batch of creations in one turn is one commit.

Creations are committed before changes in other studies. So a handler that changes the run that
triggered it, and creates another run, can be killed at any moment: it is called again unless the
creation was committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import transaction
from ZODB.POSException import ReadOnlyError

from motoko.errors import CannotBeSaved, ChangeConflict, MotokoError, ReadOnly, StudyUnavailable
from motoko.host.locks import lock_in_time
from motoko.host.pauses import Pauses
from motoko.store.base import StudyBase
from motoko.store.changes import Change, apply_again, capture, changes
from motoko.store.creation_locks import CreationLock
from motoko.store.internals.connections import (
    around_finish,
    begin_anew,
    has_changes,
    renew_view,
    replace_commit,
    view_of,
    when_changed,
)
from motoko.store.internals.written_items import when_written
from motoko.store.storable import CANNOT_BE_STORED, may_be_unreadable, storable_ones
from motoko.store.storage import PATIENCE_S, PAUSE_MAX_S, PAUSE_S, can_be_repeated
from motoko.store.writers import Writer, Writers, current_task

log = logging.getLogger(__name__)
T = TypeVar("T")

# Another process that creates runs holds the lock for one commit; if it is stopped, for longer.
LOCK_DEADLINE_S = 60.0


class Session:
    """The pending changes of one thread."""

    def __init__(self) -> None:
        self._bases: list[StudyBase] = []
        self._pending = False
        self._locked: tuple[StudyBase, CreationLock] | None = None  # the study whose lock is held
        self._first: Any = None  # the connection that must finish its commit before all others
        self._afterwards: list[Callable[[], None]] = []
        self._creations: list[tuple[StudyBase, Callable[[], None]]] = []
        self._writers = Writers()
        # Errors that could not be raised yet, and the tasks whose changes they concern.
        self._unseen: list[tuple[Writer, Exception]] = []
        # All commits, a user's or BlackDynamite's, come here, and have this session's guarantees.
        self._commit = replace_commit(self.commit)

    def attach(self, base: StudyBase) -> None:
        """Save changes that are made through this base, from now on."""
        self._bases.append(base)
        when_changed(base.connection, partial(self._changed, base))

        def finishing(finish: Callable[[], None]) -> None:
            if self._first not in (None, base.connection):
                self._afterwards.append(finish)
                return
            finish()
            self._first, rest = None, self._afterwards
            self._afterwards = []
            for finish_one in rest:
                finish_one()

        # Locks are taken in the order of names; all have been granted when the first one finishes.
        around_finish(base.connection, finishing)

    def detach(self, base: StudyBase) -> None:
        """Forget a base that is being closed, and its pending changes; other bases keep theirs."""
        if base not in self._bases:
            return
        self._bases.remove(base)
        self._creations = [creation for creation in self._creations if creation[0] is not base]
        if self._locked is not None and self._locked[0] is base:
            self._unlock()
        self._pending = any(has_changes(base.connection) for base in self._bases)

    @property
    def pending(self) -> bool:
        """Whether there are changes that are not saved yet."""
        return self._pending

    def create(self, base: StudyBase, build: Callable[[], list[T]], into: list[T]) -> None:
        """Put what ``build`` makes into a list, under the study's lock and in a fresh view.

        If the commit fails, ``build`` is called again: it must find what exists already. Then
        ``into`` is filled anew.
        """

        def creation() -> None:
            self._lock(base)
            try:
                into[:] = build()
            finally:
                if not has_changes(base.connection):
                    self._unlock(base.tid)  # all of it existed: there is nothing to commit

        creation()
        if has_changes(base.connection):
            self._creations.append((base, creation))

    def commit(self) -> None:
        """Save all pending changes.

        A change that meets a conflict is applied again; one that loses its server waits for it.
        Raises ``ChangeConflict`` if another client changed the same key as the caller's task.
        Raises ``MotokoError`` if the task set a value which cannot be stored, or which no other
        process could read. In both cases, now or at an earlier save in the background, all other
        changes are saved. Raises ``StudyUnavailable`` if a server stays away. Any other error of a
        save, this one or one in the background, is raised as it is: the changes are lost then.
        """
        self._save()
        self.raise_unseen()

    def raise_unseen(self) -> None:
        """Raise an error that an earlier save could not raise in the task that it concerns.

        That is an error that concerns changes of the caller's task, or of a task that has ended.
        """
        task = current_task()
        for unseen in self._unseen:
            owner, error = unseen
            if owner is None or owner is task or owner.done():
                self._unseen.remove(unseen)
                raise error

    def _save(self) -> None:
        if not self._pending:
            self._commit()  # gives a view of all that the servers have announced
            return
        pending = [change for base in self._bases for change in capture(base.connection)]
        writers = self._writers
        creations = self._creations
        lost: list[Change] | None = None
        refused: list[tuple[Change, MotokoError]] = []
        conflicts: list[tuple[Change, ChangeConflict]] = []
        if may_be_unreadable(pending):
            lost, refused = storable_ones(changes(pending))
            if refused:
                transaction.abort()
                conflicts = self._repeat(creations, lost)
        repeated = bool(refused)
        deadline = time.monotonic() + PATIENCE_S
        pauses = Pauses(PAUSE_S, PAUSE_MAX_S)
        while True:
            creating = self._locked[0].connection if self._locked else None
            self._afterwards = []
            self._first = creating if creating is not None and has_changes(creating) else None
            try:
                self._commit()
                break
            except Exception as error:
                if lost is None and isinstance(error, CANNOT_BE_STORED):
                    lost, refused = storable_ones(changes(pending))
                if not can_be_repeated(error) and not (refused and not repeated):
                    # Without an abort, the transaction would refuse the next change.
                    self._creations = []
                    transaction.abort()
                    if isinstance(error, ReadOnlyError):
                        raise ReadOnly(
                            "changes cannot be saved: the workflow was opened with read_only=True",
                            hint="Workflow(path) without it changes runs",
                        ) from error
                    if isinstance(error, CANNOT_BE_STORED):
                        raise CannotBeSaved(
                            f"changes could not be saved: {error}",
                            hint="runs and jobs hold what pickle can store: numbers, texts, lists",
                        ) from error
                    raise
                log.info("saving again after %s: %s", type(error).__name__, error)
                try:
                    if lost is None:
                        lost = changes(pending)
                finally:
                    transaction.abort()
                if time.monotonic() > deadline:
                    raise self._lost(error) from error
                if can_be_repeated(error):
                    time.sleep(pauses.next())
                repeated = True
                conflicts = self._repeat(creations, lost)
        self._creations = []
        self._unseen += [
            (writer, error)
            for change, error in (*refused, *conflicts)
            for writer in writers.of(
                change.connection, change.node_oid, change.tree_oid, change.key
            )
        ]

    def refresh(self, base: StudyBase | None = None, tid: bytes | None = None) -> None:
        """See what other clients have committed; pending changes are saved first.

        With ``base`` and ``tid``, the view of that study is at least as new as ``tid``; with
        ``base`` alone, as new as the server's own at the time of the call.
        """
        self.commit()
        if base is not None and (tid is None or base.tid < tid):
            base.db.storage.ping()
        transaction.begin()

    def look(self, base: StudyBase | None = None, tid: bytes = b"") -> None:
        """See what servers have announced since the last look; costs no round trip.

        Does nothing while changes are pending: they belong to the view in which they were made. The
        view of ``base`` is at least as new as ``tid``, which may cost a round trip.
        """
        if not self._pending:
            if base is not None and base.tid < tid:
                base.db.storage.ping()
            transaction.begin()

    def _repeat(
        self, creations: list[tuple[StudyBase, Callable[[], None]]], lost: list[Change]
    ) -> list[tuple[Change, ChangeConflict]]:
        """Make the changes again in a fresh view; returns those that meet a conflict."""
        for base in self._bases:
            base.db.storage.ping()
        transaction.begin()
        for _, creation in creations:
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

    def _changed(self, base: StudyBase, obj: Any) -> None:
        self._writers.changed(base.connection, obj._p_oid)
        if self._pending:
            return
        self._pending = True
        current = transaction.get()
        current.addAfterCommitHook(self._ended)
        current.addAfterAbortHook(self._ended)
        with contextlib.suppress(RuntimeError):  # no event loop: the caller commits
            asyncio.get_running_loop().call_soon(self._save_in_background)

    def wrote(self, connection: Any, oid: bytes, name: str) -> None:
        """Note that the running task has set an item of a run's or job's record."""
        if self._pending:
            self._writers.wrote(connection, oid, name)

    def _save_in_background(self) -> None:
        if self is not session():
            return  # this is a forked child: its parent saves
        known = len(self._unseen)
        writers = self._writers
        try:
            self._save()
        except Exception as error:  # noqa: BLE001 (kept, and raised where it belongs)
            self._unseen += [(writer, error) for writer in writers.all]
        # It cannot be raised here: the task concerned gets it when it awaits or commits.
        for lost in dict.fromkeys(error for _, error in self._unseen[known:]):
            log.error(
                "not saved: %s", lost, exc_info=None if isinstance(lost, MotokoError) else lost
            )

    def _ended(self, success: bool = False) -> None:
        self._pending = False
        self._writers = Writers()
        self._unlock(self._locked[0].tid if success and self._locked else None)

    def _lock(self, base: StudyBase) -> None:
        """Take a study's lock, and see all that is in it."""
        if self._locked is not None and self._locked[0] is base:
            return
        if self._locked is not None:
            # One study's lock at a time, so that processes cannot deadlock.
            self.commit()
        while True:
            lock = self._creation_lock(base)
            self._locked = base, lock
            if lock.seen is None or base.tid < lock.seen:
                base.db.storage.ping()
            if not self._pending:
                transaction.begin()
                return
            if not has_changes(base.connection):
                renew_view(base.connection)
                return
            if base.tid < view_of(base.connection):
                return  # no client has changed the study since
            self._unlock()
            self.commit()

    def _creation_lock(self, base: StudyBase) -> CreationLock:
        path = base.study.database.creation_lock
        lock = lock_in_time(path, LOCK_DEADLINE_S)
        if lock is None:
            raise StudyUnavailable(
                f"{path} was held by another process for {LOCK_DEADLINE_S:.0f} s",
                hint=f"a stopped process may hold it: `fuser -v {path}` names it",
            )
        return CreationLock(lock)

    def _unlock(self, seen: bytes | None = None) -> None:
        if self._locked is not None:
            _, lock = self._locked
            self._locked = None
            lock.release(seen)


_sessions = threading.local()


def session() -> Session:
    """The calling thread's session."""
    current: Session | None = getattr(_sessions, "session", None)
    if current is None:
        current = _sessions.session = Session()
    return current


when_written(lambda connection, oid, name: session().wrote(connection, oid, name))


def _forget_parents() -> None:
    """In a forked child: leave the parent's changes for the parent to save."""
    if hasattr(_sessions, "session"):
        del _sessions.session
        begin_anew()


os.register_at_fork(after_in_child=_forget_parents)
