"""A study's database for a rehearsal: changes stay in memory, and the file is only read."""

from __future__ import annotations

from typing import Any

import ZODB
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage
from ZODB.MappingStorage import MappingStorage

from motoko.config import StudyConfig
from motoko.config.database_files import DatabaseFiles
from motoko.store.base import StudyBase
from motoko.store.schemas import schema_of
from motoko.store.study_database import initialise


class _InMemory(DemoStorage):  # type: ignore[misc]  # ZODB has no types
    """A storage in memory, with what else Motoko asks of a server's storage."""

    def ping(self) -> None:
        """Do nothing: no other client commits."""

    def prefetch(self, oids: Any, tid: bytes) -> None:
        """Do nothing: all objects are at hand."""


def open_rehearsed(study: StudyConfig, real: DatabaseFiles) -> StudyBase:
    """A base on a database as it is now, or on an empty one if there is none yet.

    Args:
        study: the study.
        real: where its database is; nothing is changed there.
    """
    if real.transactions.exists():
        below = FileStorage(str(real.transactions), read_only=True)
        return StudyBase(study, ZODB.DB(_InMemory(base=below)))
    database = ZODB.DB(_InMemory(base=MappingStorage()))
    base = StudyBase(study, database, schema_of(study.bd_name))
    initialise(base)
    return base
