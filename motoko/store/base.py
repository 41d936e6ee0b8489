"""A study's base: BlackDynamite's, opened without its side effects."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import ZODB
from BlackDynamite import conffile_zeo
from BlackDynamite.base_zeo import BaseZEO
from BlackDynamite.job import JobZEO
from BlackDynamite.run_zeo import RunZEO

from motoko.config import StudyConfig
from motoko.config.bd_defaults import parameter_file
from motoko.errors import ConstraintError, NotCreated, StudyUnavailable
from motoko.host.accounts import name_of
from motoko.host.locks import check_locks
from motoko.layout import Runtime
from motoko.runs.entries import DocumentedEntries
from motoko.store.announced_records import Announcements
from motoko.store.constraints import compile_constraints
from motoko.store.found_runs import Found, Pairs
from motoko.store.internals import self_check, singleton
from motoko.store.internals.connections import drop_changes, view_of, when_others_committed
from motoko.store.internals.zeo_clients import CACHE_BYTES
from motoko.store.internals.zeo_short_commits import shorten_commits
from motoko.store.matches import Matches
from motoko.store.predicates import Predicate
from motoko.store.run_finders import RunFinder
from motoko.store.schemas import schema_among
from motoko.store.server_address import address
from motoko.store.storage import CACHE_OBJECTS, PatientStorage, open_database, open_storage
from motoko.store.trees import is_tree

AT_ONCE = 500  # runs that are loaded together
RECORD_BYTES = 2_000  # of most objects

# BlackDynamite logs every call of its decorated functions to the screen.
logging.getLogger("BlackDynamite").setLevel(logging.WARNING)


class StudyBase(BaseZEO):  # type: ignore[misc]  # BlackDynamite has no types
    """BlackDynamite's base of one study.

    Unlike BlackDynamite's own constructor this one starts no server, scans no processes, reads no
    ``BLACKDYNAMITE_*`` variables and does not depend on the current directory.
    """

    def __init__(self, study: StudyConfig, db: ZODB.DB, schema: str | None = None) -> None:
        self_check.check()
        self.study = study
        self.read_only = False
        self.user = name_of(os.getuid())  # of nameless accounts, which may read, its number
        self.setHostsConfig()
        self.ConfFile = conffile_zeo.ConfFile
        # The study's zeo.conf says where a server listens; a cluster's nodes see this file as well.
        listens = study.is_local and study.tcp_address is not None
        self.host = study.host if study.host and not listens else f"zeo://{study.directory}"
        self.root_dir = str(study.directory)
        self.setConfPaths()
        self.db = db
        self.announcements = Announcements()
        if isinstance(db.storage, PatientStorage):
            db.storage.announce = self.announcements.announce
        self.connection = db.open()
        if isinstance(db.storage, PatientStorage):
            shorten_commits(self.connection, db.storage.finish_with_vote)
        self.root = self.connection.root
        self.finder: RunFinder | None = None
        self.stub: str | None = None  # in a dry run: the file that gives results, for messages
        self.matches = Matches(self)
        self._types: dict[str, dict[str, type]] = {}
        self._types_in: bytes | None = None
        self._containers: dict[str, Any] | None = None
        singleton.register(self)
        self.schema = schema or find_schema(self.connection.root(), study)

    @property
    def BDconstraints(self) -> Any:
        # Only BlackDynamite's own selectors ask for it, and its parser takes long to import.
        from BlackDynamite.constraints_zeo import ZEOconstraints

        return ZEOconstraints

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
    def config(self) -> dict[str, Any]:
        """The content of the study's bd.yaml, read anew at each use."""
        return parameter_file(self.study.directory / "bd.yaml")

    @property
    def content(self) -> Any:
        """The study's own part of the database, by BlackDynamite's names: Jobs, Runs, ..."""
        return self.root.schemas[self.schema]

    def keep_containers(self) -> None:
        """Look up the containers of jobs, runs and files once, as nothing replaces them.

        The record that names them is written with each new run, and need not be loaded then. If it
        is not known what has changed, they are looked up again: it may be another database.
        """
        kept = self._containers = {}
        when_others_committed(self.connection, lambda oids: kept.clear() if oids is None else None)

    def _container(self, name: str) -> Any:
        kept = self._containers
        if kept is None:
            return self.content[name]
        if name not in kept:
            kept[name] = self.content[name]
        return kept[name]

    @property
    def jobs(self) -> Any:
        """The study's jobs."""
        return self._container("Jobs")

    @property
    def runs(self) -> Any:
        """The study's runs."""
        return self._container("Runs")

    @property
    def configfiles(self) -> Any:
        """The files of the study's runs."""
        return self._container("ConfigFiles")

    def stored_types(self, which: str) -> dict[str, type]:
        """The parameters of ``"job"`` or ``"run"`` when the database was made, or upgraded."""
        return dict(self.content[f"{which}_desc"].types.entries)

    def types(self, which: str) -> dict[str, type]:
        """The parameters of ``"job"`` or ``"run"``: name to type, ``id`` included.

        Those of the database, with the types that bd.yaml declares now, and bd.yaml's new ones.
        """
        view = view_of(self.connection)
        if view != self._types_in:
            self._types.clear()
            self._types_in = view
        if which not in self._types:
            self._types[which] = {**self.stored_types(which), **self.study.declared(which)}
        return self._types[which]

    def selector(self) -> Any:
        """BlackDynamite's ``RunSelector`` of this base."""
        from BlackDynamite.runselector import RunSelector

        return RunSelector(self)

    def predicate(self, constraints: str | Sequence[str] | None) -> Predicate:
        """The predicate that constraints stand for; ``ConstraintError`` if one is wrong."""
        return compile_constraints(
            constraints,
            job_types=self.types("job"),
            run_types=self.types("run"),
            study=self.study.name,
        )

    def select_pairs(self, predicate: Predicate) -> Pairs:
        """The ``(run, job)`` pairs that meet a predicate in the present view, by run number.

        Raises ``ConstraintError`` for an undeclared name that no run carries, if there are runs.
        """
        return self.found(predicate).pairs()

    def found(self, predicate: Predicate) -> Found:
        """The same runs as :meth:`select_pairs` gives; their objects are made on demand."""
        pairs = self.matches.found(predicate)
        if not pairs and predicate.undeclared and self.runs.entries:
            for name in self.carried_by_none(predicate.undeclared):
                known = sorted({*self.types("job"), *self.types("run")})
                raise ConstraintError(
                    f"study {self.study.name}: no run has {name!r}, in {predicate.text!r}",
                    hint=f"declared: {', '.join(known)}",
                )
        return pairs

    def carried_by_none(self, names: Collection[str]) -> list[str]:
        """The names that no run of the study carries."""
        if names and (carried := self.matches.carried(names)) is not None:
            return sorted(set(names) - carried)
        missing = set(names)
        for run in self.all_runs() if missing else ():
            missing -= DocumentedEntries(run.entries, vars(run)).keys()
            if not missing:
                break
        return sorted(missing)

    @property
    def known_runs(self) -> str:
        """Which runs there are, for a message about another one. Counting would load all runs."""
        runs = self.runs.entries
        return f"its last run is {runs.maxKey()}" if runs else "it has no runs"

    @property
    def tid(self) -> bytes:
        """The newest transaction that the server has announced to this process: no round trip."""
        tid: bytes = self.db.storage.lastTransaction()
        return tid

    def ask_tid(self) -> bytes:
        """The server's newest transaction."""
        self.db.storage.ping()
        return self.tid

    @property
    def witness(self) -> bytes:
        """What tells the database from another: when its root was last written."""
        root = self.connection.root()
        root._p_activate()
        serial: bytes = root._p_serial
        return serial

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
        self.prefetch([owner.entries for owner in objects if is_tree(owner.entries)])

    def load_with_jobs(self, numbers: Iterable[int]) -> list[Any]:
        """Load these runs and their jobs; returns the jobs."""
        runs = [run for run in map(self.runs.entries.get, numbers) if run is not None]
        self.load(runs)
        named = [run.entries.get("job_id") for run in runs]
        ids = {job for job in named if isinstance(job, int)}  # a program may have overwritten it
        jobs = [job for job in map(self.jobs.entries.get, ids) if job is not None]
        self.load(jobs)
        return jobs

    def prefetch(self, objects: list[Any]) -> None:
        """Load those that are not in memory, in one round trip."""
        ghosts = [obj._p_oid for obj in objects if obj._p_changed is None]
        if len(ghosts) > 1:
            self.connection.prefetch(ghosts)

    def join(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear the server's announcements in an event loop of this thread, from now on."""
        if isinstance(self.db.storage, PatientStorage):
            self.db.storage.join(loop)

    def close(self) -> None:
        """Forget the study's pending changes, and disconnect; those of other studies are kept."""
        if self.finder is not None:
            self.finder.close()
        drop_changes(self.connection)
        self.connection.close()
        self.db.close()


def find_schema(root: Any, study: StudyConfig) -> str:
    """The name under which a database holds a study.

    Raises ``NotCreated`` if the database does not hold it.
    """
    schemas = list(root["schemas"].entries) if "schemas" in root else []
    # Earlier versions of Motoko took the directory's name, not the one in bd.yaml.
    schema = schema_among(schemas, study.bd_name, study.name)
    if schema is None:
        raise NotCreated(
            f"the database in {study.database.directory} holds no study {study.bd_name!r}",
            hint=f"it holds {', '.join(schemas)}: correct `study:` in {study.name}/bd.yaml"
            if schemas
            else "run `motoko create`",
        )
    return schema


def connect(
    study: StudyConfig,
    runtime: Runtime | None,
    *,
    cache_objects: int = CACHE_OBJECTS,
    read_only: bool = False,
    threadless: bool = False,
) -> StudyBase:
    """A connection to a study's running ZEO server.

    Args:
        study: the study.
        runtime: where its server is.
        cache_objects: how many objects are kept in memory from one transaction to the next.
        read_only: whether changes are refused when they are saved.
        threadless: whether the calling thread does all of the networking: within calls, and between
            them in the event loop that ``join`` is called with.

    Raises ``StudyUnavailable`` if the server does not answer, ``NotCreated`` if the database does
    not hold the study.
    """
    storage = open_storage(
        address(study, runtime),
        study.database.blobs,
        read_only=read_only,
        threadless=threadless,
        cache_bytes=min(CACHE_BYTES, cache_objects * RECORD_BYTES),
    )
    return StudyBase(study, open_database(storage, cache_objects))


def open_file(
    study: StudyConfig, *, read_only: bool = False, schema: str | None = None
) -> StudyBase:
    """A study's database opened from its file, without a server.

    For writing, no other process may have it open: ``StudyUnavailable`` otherwise.
    """
    import zc.lockfile  # most importers of this file do not need it
    import ZODB.FileStorage

    class File(ZODB.FileStorage.FileStorage):  # type: ignore[misc]  # ZODB has no types
        def ping(self) -> None:
            """Do nothing: there is no server that could have news."""

    files = study.database
    try:
        storage = File(
            str(files.transactions),
            blob_dir=None if read_only else str(files.blobs),
            read_only=read_only,
        )
    except PermissionError as error:
        raise study.unreadable(error) from error
    except zc.lockfile.LockError as error:
        check_locks(files.directory)
        raise StudyUnavailable(
            f"the database of study {study.name} is in use, by no server of this workflow",
            hint=f"`fuser -v {files.transactions_lock}` names who uses it",
        ) from error
    return StudyBase(study, ZODB.DB(storage), schema)
