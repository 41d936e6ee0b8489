"""A study's database for a rehearsal: changes stay in memory, and the file is only read."""

from __future__ import annotations

from typing import Any

import ZODB
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage
from ZODB.MappingStorage import MappingStorage

from motoko.config import StudyConfig
from motoko.config.run_files import STUB
from motoko.store.base import StudyBase
from motoko.store.schemas import schema_of
from motoko.store.server_address import address
from motoko.store.storage import open_storage
from motoko.store.study_database import initialise


class _InMemory(DemoStorage):  # type: ignore[misc]  # ZODB has no types
    """A storage in memory, with what else Motoko asks of a server's storage."""

    def ping(self) -> None:
        """Do nothing: no other client commits."""

    def prefetch(self, oids: Any, tid: bytes) -> None:
        """Do nothing: all objects are at hand."""


def open_rehearsed(study: StudyConfig, real: StudyConfig) -> StudyBase:
    """A base on a database as it is now, or on an empty one if there is none yet.

    Args:
        study: the study.
        real: where its database is; nothing is changed there. If another host serves it, the base
            is on what the server shows.

    Raises ``StudyUnavailable`` if the server of a study that another host serves does not answer.
    """
    files = real.database
    if real.is_local and not files.transactions.exists():
        base = StudyBase(study, ZODB.DB(_InMemory(base=MappingStorage())), schema_of(study.bd_name))
        initialise(base)
    else:
        below = (
            FileStorage(str(files.transactions), read_only=True)
            if real.is_local
            else open_storage(address(real, None), files.blobs, read_only=True)
        )
        base = StudyBase(study, ZODB.DB(_InMemory(base=below)))
    base.stub = f"{study.name}/{STUB}"
    return base
