"""A study's base: BlackDynamite's, opened without its side effects."""

from __future__ import annotations

import getpass
import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import transaction
import ZODB
import ZODB.FileStorage
from BlackDynamite import conffile_zeo
from BlackDynamite.base_zeo import BaseZEO
from BlackDynamite.constraints_zeo import ZEOconstraints
from BlackDynamite.job import JobZEO
from BlackDynamite.run_zeo import RunZEO

from motoko.bd import singleton
from motoko.bd.address import address
from motoko.bd.matches import Matches
from motoko.bd.storage import open_database, open_storage
from motoko.config import StudyConfig
from motoko.errors import NotCreated
from motoko.runtime import Runtime

AT_ONCE = 500  # runs that are loaded together

# It logs every decorated function, at a level that says "all of it", to the screen.
logging.getLogger("BlackDynamite").setLevel(logging.WARNING)


class StudyBase(BaseZEO):  # type: ignore[misc]  # BlackDynamite has no types
    """BlackDynamite's base of one study.

    Unlike BlackDynamite's own constructor this one starts no server, scans no processes, reads no
    ``BLACKDYNAMITE_*`` variables and does not depend on the current directory.
    """

    def __init__(self, study: StudyConfig, db: ZODB.DB, schema: str | None = None) -> None:
        self.study = study
        self.read_only = False
        self.user = getpass.getuser()
        self.setHostsConfig()
        self.ConfFile = conffile_zeo.ConfFile
        self.BDconstraints = ZEOconstraints
        # Where a server listens is in the study's zeo.conf, which nodes see as well.
        listens = study.is_local and study.tcp_address is not None
        self.host = study.host if study.host and not listens else f"zeo://{study.directory}"
        self.root_dir = str(study.directory)
        self.setConfPaths()
        self.config: dict[str, Any] = {}
        self.db = db
        self.connection = db.open()
        self.root = self.connection.root
        self.matches = Matches(self)
        self._types: dict[str, dict[str, type]] = {}
        self._types_in: bytes | None = None
        singleton.register(self)
        self.schema = schema or find_schema(self.connection.root(), study)

    # New objects belong to the base that was asked for their class.
    @property
    def Run(self) -> Any:
        singleton.use(self)
        return RunZEO

    @property
    def Job(self) -> Any:
        singleton.use(self)
        return JobZEO

    def insert(self, *args: Any, **kwargs: Any) -> Any:
        singleton.use(self)
        return super().insert(*args, **kwargs)

    def select(self, *args: Any, **kwargs: Any) -> Any:
        singleton.use(self)
        return super().select(*args, **kwargs)

    @property
    def content(self) -> Any:
        """The study's own part of the database, by BlackDynamite's names: Jobs, Runs, ..."""
        return self.root.schemas[self.schema]

    def types(self, which: str) -> dict[str, type]:
        """The declared parameters of ``"job"`` or ``"run"``: name to type, ``id`` included."""
        view = getattr(self.connection._storage, "_start", None)
        if view is None or view != self._types_in:
            self._types.clear()
            self._types_in = view
        if which not in self._types:
            self._types[which] = dict(self.content[f"{which}_desc"].types.entries)
        return self._types[which]

    @property
    def tid(self) -> bytes:
        """The newest transaction that this process has been told of: no round trip."""
        tid: bytes = self.db.storage.lastTransaction()
        return tid

    def all_runs(self) -> Iterator[Any]:
        """Every run, its entries loaded."""
        for _, run in self.loaded(self.runs.entries.items()):
            yield run

    def loaded(self, numbered: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Runs by number (``None``: there is none), their entries loaded, many in a round trip."""
        numbered = iter(numbered)
        while batch := list(itertools.islice(numbered, AT_ONCE)):
            self.load([run for _, run in batch if run is not None])
            yield from batch

    def load(self, objects: list[Any]) -> None:
        """Load objects that have ``entries``, and these, in two round trips."""
        self.prefetch(objects)
        self.prefetch([each.entries for each in objects])

    def load_with_jobs(self, numbers: Iterable[int]) -> None:
        """Load these runs and their jobs."""
        runs = [run for run in map(self.runs.entries.get, numbers) if run is not None]
        self.load(runs)
        jobs = {run.entries.get("job_id") for run in runs} - {None}
        self.load([job for job in map(self.jobs.entries.get, jobs) if job is not None])

    def prefetch(self, objects: list[Any]) -> None:
        """Load what is not in memory, in one round trip."""
        ghosts = [each._p_oid for each in objects if each._p_changed is None]
        if len(ghosts) > 1:
            self.connection.prefetch(ghosts)

    def close(self) -> None:
        """Forget pending changes and disconnect."""
        transaction.abort()
        self.connection.close()
        self.db.close()


def find_schema(root: Any, study: StudyConfig) -> str:
    """The name under which a database holds a study: ``<user>_<study>``.

    Raises ``NotCreated`` if the database does not hold it.
    """
    schemas = root["schemas"].entries if "schemas" in root else {}
    for schema in schemas:
        if schema == study.name or str(schema).partition("_")[2] == study.name:
            return str(schema)
    # A user's name may hold underscores itself.
    for schema in schemas:
        if str(schema).endswith(f"_{study.name}"):
            return str(schema)
    raise NotCreated(
        f"the database in {study.directory / '.bd'} holds no study {study.name!r}",
        hint="run `motoko create`",
    )


def connect(study: StudyConfig, runtime: Runtime | None) -> StudyBase:
    """A connection to a study's running ZEO server.

    Raises ``StudyUnavailable`` if the server does not answer, ``NotCreated`` if the database does
    not hold the study.
    """
    storage = open_storage(address(study, runtime), study.directory / ".bd" / "zeo.blob")
    return StudyBase(study, open_database(storage))


def open_file(
    study: StudyConfig, *, read_only: bool = False, schema: str | None = None
) -> StudyBase:
    """A study's database opened from its file, without a server.

    For writing, nobody else may have it open: ``zc.lockfile.LockError`` otherwise.
    """
    bd_dir: Path = study.directory / ".bd"
    storage = ZODB.FileStorage.FileStorage(
        str(bd_dir / "bd.zeo"),
        blob_dir=None if read_only else str(bd_dir / "zeo.blob"),
        read_only=read_only,
    )
    return StudyBase(study, ZODB.DB(storage), schema)
