"""A study's ZEO server."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from zc.lockfile import LockError, LockFile
from ZEO.runzeo import ZEOOptions, ZEOServer
from ZODB.POSException import StorageError

from motoko.channel.greeting import Greeting
from motoko.channel.key_file import key_path
from motoko.channel.listening import CannotListen
from motoko.channel.tls import Contexts
from motoko.config import StudyConfig
from motoko.config.daemon_kinds import ZEO, daemon_of
from motoko.config.packing_settings import PackingSettings
from motoko.errors import MotokoError, NotCreated, StudyUnavailable
from motoko.host.durations import moment
from motoko.host.files import read_json
from motoko.host.identity import Identity
from motoko.host.locks import check_locks
from motoko.layout import Runtime
from motoko.store.automatic_packing import AutomaticPacking
from motoko.store.entry_merges import EntryMerges
from motoko.store.fenced_clients import FencedClients
from motoko.store.internals import self_check, zeo_messages
from motoko.store.internals.zeo_arrivals import Arrivals
from motoko.store.internals.zeo_commit_logs import keep_in_memory
from motoko.store.internals.zeo_invalidations import limit_invalidations
from motoko.store.internals.zeo_packing import last_commit, pack_storages, pack_within, serves
from motoko.store.internals.zeo_servers import (
    extend_ruok,
    listen_besides,
    log_no_probes,
    replace_stores,
    skip_promised_oids,
    when_called,
    when_registering,
)
from motoko.store.misled_clients import forget_copied_conf
from motoko.store.packing import packing
from motoko.store.received_records import concerned, replacement
from motoko.store.schemas import is_schema
from motoko.store.zeo_conf import ServerConfig, render

log = logging.getLogger(__name__)


class StudyServer(ZEOServer):  # type: ignore[misc]  # ZEO has no types
    """A ZEO server that keeps BlackDynamite's own servers off its database.

    Its answer to ``ruok`` also has the number of its clients' calls. The supervisor asks every few
    seconds; the server then checks each time whether its files are still its own.
    """

    def __init__(
        self,
        options: ZEOOptions,
        study: StudyConfig,
        runtime: Runtime,
        evict: Callable[[], None],
        refusal: Callable[[int], str],
        settings: PackingSettings,
    ) -> None:
        super().__init__(options)
        place = runtime.kept if study.is_kept else runtime.zeo
        self._runtime = runtime
        self._arrivals: Arrivals | None = None
        self._fences: FencedClients | None = None
        self._study = study
        self._conf = ServerConfig(study.database, study.tcp_address or place(study.name))
        self._evict = evict
        self._refusal = refusal
        self._calls = 0
        pack = partial(pack_storages, self)
        self._packing = AutomaticPacking(study.database, settings, pack)

    def open_storages(self) -> None:
        super().open_storages()
        skip_promised_oids(self)
        limit_invalidations(self, self._study.database.transactions)
        pack_within(self, self._while_packing)
        # Not before this server has locked the database: another may be serving it.
        self._conf.write()

    def create_server(self) -> None:
        zeo_messages.install()
        keep_in_memory()
        super().create_server()
        extend_ruok(self, self._answer)
        when_called(self._count)
        log_no_probes()
        replace_stores(self, concerned, replacement, EntryMerges)
        when_registering(self._refused)
        self._fences = FencedClients(self, self._runtime.directory)
        contexts = Contexts(self._runtime.channel, server=True)
        accepted = self._runtime.accepted(self._study.name)
        self._arrivals = Arrivals(self, accepted, contexts, self._fenced)
        self._take_over_arrivals()
        if self._study.tcp_address is not None:
            self._listen(*self._study.tcp_address)
        logging.info("ready")

    def _answer(self) -> dict[str, Any]:
        self._look_at_files()
        self._take_over_arrivals()
        if self._fences is not None:
            self._fences.cut()
        self._packing.look(last_commit(self))
        return {"motoko": {"calls": self._calls}}

    def _take_over_arrivals(self) -> None:
        """Serve clients that come through the gate, if other hosts may reach the workflow."""
        if self._arrivals is None or not key_path(self._runtime.channel).exists():
            return
        try:
            self._arrivals.listen()
        except OSError as error:
            log.error("clients that come through the gate cannot be served: %s", error)

    def _fenced(self, greeting: Greeting) -> tuple[str, bool] | None:
        """Why a client of another host is not served, and ``True``: its attempt is fenced."""
        reason = None if self._fences is None else self._fences.refusal(greeting)
        return None if reason is None else (reason, True)

    def _look_at_files(self) -> None:
        if not serves(self, self._study.database.transactions):
            log.error("the database's files have been removed or replaced: this server ends")
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._is_replaced():
            log.error("another process serves the database, perhaps elsewhere: this server ends")
            os.kill(os.getpid(), signal.SIGTERM)
        elif not self._conf.is_ours:
            log.warning("zeo.conf has been changed: it is written anew")
            self._conf.write()
            # The server that wrote it may be waiting for the database. Ending it takes a while.
            threading.Thread(target=self._evict, name="evict", daemon=True).start()

    @contextlib.contextmanager
    def _while_packing(self, until: float) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(packing(self._study.database, until))
            except MotokoError as error:  # the client does not have the class, or not with its hint
                raise StorageError(str(error)) from error
            log.info("packing the database: history up to %s is dropped", moment(until))
            yield

    def _is_replaced(self) -> bool:
        """Whether the workflow was taken over: then this daemon's record names another process."""
        with contextlib.suppress(OSError, KeyError, ValueError):
            record = read_json(self._runtime.record(daemon_of(ZEO, self._study.name)))
            return record is not None and Identity.from_dict(record) != Identity.mine()
        return False

    def _refused(self, pid: int) -> str:
        reason = forget_copied_conf(pid, self._study.database) or self._refusal(pid)
        if reason:
            log.warning("pid %d is not served: %s", pid, reason)
        return reason

    def _count(self) -> None:
        self._calls += 1

    def _listen(self, host: str, port: int) -> None:
        try:
            listen_besides(self, host, port)
        except OSError as error:
            raise CannotListen(
                f"the ZEO server cannot listen at {host}:{port}: {error.strerror or error}",
                hint="choose another port in the study's `host:`",
            ) from error
        logging.warning(
            "listening at %s:%d: whoever reaches this port can run code in your processes",
            *(host, port),
        )


def serve(
    study: StudyConfig,
    runtime: Runtime,
    log_here: Callable[[], None],
    evict: Callable[[], None],
    refusal: Callable[[int], str],
    settings: PackingSettings,
) -> None:
    """Serve a study's database until the process is told to stop.

    Args:
        study: a study that has a database here.
        runtime: where the socket is.
        log_here: called when ZEO has set up its logging, to replace it by Motoko's.
        evict: ends the servers of the study that BlackDynamite's commands have started.
        refusal: gets a client's pid; returns why it is not served, or an empty text.
        settings: when the server packs the database by itself.

    Raises:
        NotCreated: there is no database.
        StudyUnavailable: another process has the database open.
    """
    files = study.database
    if not study.created:
        raise NotCreated(
            f"study {study.name} has no database in {files.directory}",
            hint="run `motoko create`",
        )
    self_check.check()
    unix = runtime.zeo(study.name)
    options = _options(render(files, unix))
    options.family, options.address = socket.AF_UNIX, str(unix)
    logging.getLogger("ZEO.asyncio.server").addFilter(_broken_connections_are_no_errors)
    log_here()  # zeo.conf has logging of its own, for servers that BlackDynamite starts from it
    try:
        LockFile(str(files.transactions_lock)).close()
    except LockError:
        check_locks(files.directory)
        log.warning("another process has the database open")
        evict()
    try:
        if is_schema(study.bd_name):
            # Imported here: it imports BlackDynamite, which servers of other studies do not need.
            from motoko.store.study_database import rename_schema

            rename_schema(study)
        StudyServer(options, study, runtime, evict, refusal, settings).main()
    except LockError as error:
        raise StudyUnavailable(
            f"the database of study {study.name} is in use, by no server of this workflow",
            hint=f"`fuser -v {files.transactions_lock}` names who uses it",
        ) from error


def _broken_connections_are_no_errors(record: logging.LogRecord) -> bool:
    """Log broken connections of clients that were killed as infos; ZEO logs them as errors."""
    if str(record.msg).startswith("Disconnected "):
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True


def _options(configuration: str) -> ZEOOptions:
    options = ZEOOptions()
    with tempfile.NamedTemporaryFile("w", prefix="zeo-", suffix=".conf") as file:
        file.write(configuration)
        file.flush()
        options.realize(["-C", file.name], doc="")
    return options
