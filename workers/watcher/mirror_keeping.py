"""Which mirror a study's watcher writes: the one there is, a new one, or one in memory meanwhile.

Whatever is wrong with a mirror's file is said in the log, and stops nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from motoko.mirror.mirror_file import MIRROR_ERRORS, Mirror, NotUsable

log = logging.getLogger(__name__)

RETRY_S = 5.0  # between attempts to have a file again
# Commits of the database are kept together for one of the mirror: while they follow each other, at
TOGETHER_S = 0.1  # most for so long,
IDLE_S = 0.02  # and for so long if nothing follows.
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
        """What is known of the database with this witness; empty if that is nothing.

        Args:
            witness: the database's.
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
        """An empty mirror, in memory if there can be no file."""
        if self._mirror is not None:
            self._mirror.leave()
        try:
            self._mirror = Mirror.new(self._path)
        except MIRROR_ERRORS as error:
            self._without_file(error)
            self._mirror = Mirror.in_memory()
        return self._mirror

    def begin(self) -> None:
        """Something is going to be written."""
        assert self._mirror is not None
        if not self.is_pending:
            self._mirror.begin()
            self._begun = time.monotonic()

    @property
    def is_pending(self) -> bool:
        """Whether something was written that others cannot read yet."""
        return self._mirror is not None and self._mirror.is_pending

    @property
    def due_in(self) -> float:
        """After how many seconds of nothing what is pending is to be committed."""
        left = self._begun + IDLE_S - time.monotonic()
        return left if left > 0 else PENDING_S

    def commit_if_due(self, idle: bool) -> None:
        """Commit what is pending if it is for long enough; ``idle``: nothing more has come yet."""
        together = IDLE_S if idle else TOGETHER_S
        if self.is_pending and time.monotonic() >= self._begun + together:
            self.commit()

    def commit(self) -> None:
        """Commit what is pending now, if no checkpoint is being made."""
        assert self._mirror is not None
        self._mirror.commit()

    def rollback(self) -> None:
        """Forget what is pending, after whatever error; what is damaged is left."""
        if self._mirror is None:
            return
        try:
            self._mirror.rollback()
        except MIRROR_ERRORS as error:
            log.warning("%s: its mirror is left: %r", self._study, error)
            self.drop()

    def recover(self, error: sqlite3.Error) -> None:
        """Go on in memory where a file cannot be written; without anything if it is damaged."""
        self.rollback()
        if self._mirror is None:
            return
        if isinstance(error, sqlite3.OperationalError) and self._mirror.path is not None:
            self._without_file(error)
            try:
                copy = self._mirror.in_memory_too()
            except MIRROR_ERRORS as copying:
                log.warning("%s: its mirror is left: %r", self._study, copying)
            else:
                self.drop()
                self._mirror = copy
                return
        log.warning("%s: its mirror is left: %r", self._study, error)
        self.drop()

    def look_after(self) -> Mirror | None:
        """From time to time: the mirror in a file again, if it was not in its place.

        Raises ``sqlite3.DatabaseError`` if somebody else has written into it.
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
            # Closed before there is another one: SQLite removes its log by its name.
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

    def drop(self) -> None:
        """Leave the mirror."""
        if self._mirror is not None:
            mirror, self._mirror = self._mirror, None
            try:
                mirror.close()
            except MIRROR_ERRORS as error:
                log.warning("%s: leaving its mirror: %r", self._study, error)

    def _without_file(self, error: Exception) -> None:
        """Say, once, that there is no file of it for the time being."""
        self._retry_at = time.monotonic() + RETRY_S
        trouble = str(error)
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(
                "%s: its mirror cannot be written, and is kept in memory: %s", self._study, trouble
            )
