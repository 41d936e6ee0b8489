"""Which mirror a study's watcher writes: the existing file, a new one, or one in memory meanwhile.

Problems with a mirror's file are logged, and stop nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

from motoko.mirror.mirror_file import MIRROR_ERRORS, Mirror, NotUsable

log = logging.getLogger(__name__)

RETRY_S = 5.0  # between attempts to have a file again
# Several commits of the database are written in one commit of the mirror. It is made
TOGETHER_S = 0.1  # this long after the first of them, while others follow,
IDLE_S = 0.02  # or this long after it if none follows.
PENDING_S = 0.05  # between attempts to commit while a checkpoint is made


class MirrorKeeping:
    """The mirror of one study.

    Args:
        study: its name, for the log.
        path: the mirror's file.
    """

    def __init__(self, study: str, path: Path) -> None:
        self._study = study
        self._path = path
        self._mirror: Mirror | None = None
        self._begun = 0.0
        self._retry_at = 0.0
        self._trouble = ""

    def mirror(self, witness: bytes, newest: bytes) -> Mirror:
        """The mirror of the database with this witness; an empty one if nothing is known of it.

        Args:
            witness: the database's witness.
            newest: its newest transaction.
        """
        if self._mirror is not None:
            meta = self._mirror.tables.meta()
            if meta.get("witness") == witness.hex() and meta.get("tid", "") <= newest.hex():
                return self._mirror
            return self.anew()
        try:
            self._mirror = Mirror.existing(self._path, witness, newest)
        except NotUsable as reason:
            level = logging.WARNING if self._path.exists() else logging.INFO
            log.log(level, "%s: its mirror is made anew: %s", self._study, reason)
        except MIRROR_ERRORS as error:
            log.warning("%s: its mirror is made anew: %r", self._study, error)
        return self._mirror or self.anew()

    def anew(self) -> Mirror:
        """A new empty mirror, in memory if no file can be made."""
        if self._mirror is not None:
            self._mirror.leave()
        try:
            self._mirror = Mirror.new(self._path)
        except MIRROR_ERRORS as error:
            self._without_file(error)
            self._mirror = Mirror.in_memory()
        return self._mirror

    def begin(self) -> None:
        """Open a transaction of the mirror, if none is open: the caller is about to write."""
        assert self._mirror is not None
        if not self.is_pending:
            self._mirror.begin()
            self._begun = time.monotonic()

    @property
    def is_pending(self) -> bool:
        """Whether something was written that is not committed yet: readers do not see it."""
        return self._mirror is not None and self._mirror.is_pending

    @property
    def due_in(self) -> float:
        """In how many seconds to commit what is pending, if nothing else comes."""
        left = self._begun + IDLE_S - time.monotonic()
        return left if left > 0 else PENDING_S

    def commit_if_due(self, idle: bool) -> None:
        """Commit what has been pending for long enough; ``idle``: nothing more has come yet."""
        together = IDLE_S if idle else TOGETHER_S
        if self.is_pending and time.monotonic() >= self._begun + together:
            self.commit()

    def commit(self) -> None:
        """Commit what is pending now, if no checkpoint is being made."""
        assert self._mirror is not None
        self._mirror.commit()

    def rollback(self) -> None:
        """Discard what is pending, after any error; give up a mirror that is damaged."""
        if self._mirror is None:
            return
        try:
            self._mirror.rollback()
        except MIRROR_ERRORS as error:
            log.warning("%s: its mirror is given up: %r", self._study, error)
            self.drop()

    def recover(self, error: sqlite3.Error) -> None:
        """Go on with a mirror in memory if the file cannot be written; give up a damaged one."""
        self.rollback()
        if self._mirror is None:
            return
        if isinstance(error, sqlite3.OperationalError) and self._mirror.path is not None:
            self._without_file(error)
            try:
                copy = self._mirror.in_memory_too()
            except MIRROR_ERRORS as copying:
                log.warning("%s: its mirror is given up: %r", self._study, copying)
            else:
                self.drop()
                self._mirror = copy
                return
        log.warning("%s: its mirror is given up: %r", self._study, error)
        self.drop()

    def look_after(self) -> Mirror | None:
        """Called from time to time: write the mirror to a file again if its file is not in place.

        Returns the mirror if it was replaced. Raises ``sqlite3.DatabaseError`` if another process
        has written into it.
        """
        mirror = self._mirror
        if mirror is None:
            return None
        mirror.check_untouched()
        if mirror.path is not None and mirror.is_in_place:
            return None
        mirror.commit()
        if mirror.is_pending or time.monotonic() < self._retry_at:
            return None
        if mirror.path is not None:
            log.warning("%s: its mirror is written anew: its file is gone", self._study)
            # Closed before there is a new file: SQLite removes the old one's log by its name.
            self._mirror = mirror.in_memory_too()
            mirror.leave()
            mirror = self._mirror
        try:
            self._mirror = mirror.saved(self._path)
        except MIRROR_ERRORS as error:
            self._without_file(error)
        else:
            mirror.leave()
            self._trouble = ""
            log.info("%s: its mirror is in a file again", self._study)
        return self._mirror

    def settle(self) -> None:
        """Commit what is pending: nothing will be written any more."""
        if self._mirror is not None:
            with contextlib.suppress(*MIRROR_ERRORS):  # the next watcher reads it again
                self._mirror.settle()

    def drop(self) -> None:
        """Close the mirror and use it no more."""
        if self._mirror is not None:
            mirror, self._mirror = self._mirror, None
            try:
                mirror.close()
            except MIRROR_ERRORS as error:
                log.warning("%s: giving up its mirror: %r", self._study, error)

    def _without_file(self, error: Exception) -> None:
        """Log, once for each cause, that the mirror has no file for the time being."""
        self._retry_at = time.monotonic() + RETRY_S
        trouble = str(error)
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(
                "%s: its mirror cannot be written, and is kept in memory: %s", self._study, trouble
            )
