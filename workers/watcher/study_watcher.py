"""The watcher: detects every run-state change from the ZEO servers' commits and publishes it.

Each study has a thread, so that a slow study delays no other. Transitions are published first, and
written into the study's mirror afterwards: whichever process dies, each is published at least once.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence

import msgspec
import zmq

from motoko.bus.contexts import new_context
from motoko.bus.messages import ASK, Beat, DaemonStatus, ReplayRequest, Resync
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Decoder
from motoko.config import StudyConfig
from motoko.errors import MotokoError, StudyUnavailable
from motoko.host.clock import HEARTBEAT_S, until_next
from motoko.host.pauses import Pauses
from motoko.layout import Runtime
from motoko.mirror.run_index import Change, HistoryGone, RunIndex
from motoko.store.server_address import address
from motoko.store.watch_storage import (
    CONNECTION_ERRORS,
    Connected,
    Disconnected,
    Event,
    Failed,
    Pushed,
    WatchStorage,
)
from motoko.workers.daemon import Daemon
from motoko.workers.watcher.mirror_keeping import MirrorKeeping
from motoko.workers.watcher.replay import Answer, LogReplay, Recent, transition

log = logging.getLogger(__name__)

BEAT_S = 2.0
# A commit that changed no state is announced by a beat: conditions may read other attributes.
BEAT_AFTER_COMMIT_S = 0.3
REOPEN_S = 0.2  # the first pause before a study is opened anew; later ones are at most BEAT_S
CALM_S = 10.0  # a study that was watched for this long is opened anew after a short pause again
# After this long a new client is made: a server with an older file refuses the present one.
DISCONNECTED_MAX_S = 10.0
# How long a new publisher waits for the bus; what is published before that is lost (and the new
# epoch makes every subscriber ask for it).
BUS_DEADLINE_S = 5.0
SILENT_S = 5.0  # the longest silence between heartbeats, also at the start
ENDING_S = 2.0  # how long the threads may take to write what they know, at the end
REPLACED = "the database was replaced by another"
OIDS_MAX = 24  # enough for a transaction that makes one run, or a few
REPLAYS_MAX = 2  # at a time, from a study's log; clients that get none ask again


class StudyWatcher(threading.Thread):
    """Watches one study for ever.

    Attributes:
        watching: set while the study's runs are known and its server is connected.
        tried: set once the study was watched, or its server was found to be away.
        settled: set once the mirror has all that will be written into it.
        seen: transitions published by this process; replays: answers given.
        reconnects: how often the server came back.
        slowest: the most seconds from a push to the publication of its transitions since this was
            last reset.
        events: what comes from the server, requests for replays, and answers to go on with.
    """

    def __init__(self, study: StudyConfig, runtime: Runtime) -> None:
        super().__init__(name=f"watch-{study.name}", daemon=True)
        self.watching = threading.Event()
        self.tried = threading.Event()
        self.settled = threading.Event()
        self.seen = self.replays = self.reconnects = 0
        self.slowest = 0.0
        self.events: queue.SimpleQueue[Event | ReplayRequest | Answer | None] = queue.SimpleQueue()
        self._study = study
        self._runtime = runtime
        self._kept = MirrorKeeping(study.name, runtime.mirror(study.name))
        self._epoch = secrets.token_hex(8)
        self._seq = 0
        self._next_beat = 0.0
        self._witness = b""
        self._recent = Recent()
        self._replays: dict[tuple[str, int], threading.Thread] = {}
        self._trouble = ""
        self._pauses = Pauses(REOPEN_S, BEAT_S)
        self._watching_since: float | None = None
        self._ending = threading.Event()

    def end(self) -> None:
        """Have the thread write what it knows into the mirror's file, and then nothing more."""
        self._ending.set()
        self.events.put(None)  # it may be waiting for an event

    def run(self) -> None:
        self._publisher = Publisher(self._runtime.bus_publish)
        self._publisher.connected(BUS_DEADLINE_S)
        while not self._ending.is_set():
            try:
                self._watch()
            except sqlite3.Error as error:
                self._kept.recover(error)
            except (*CONNECTION_ERRORS, HistoryGone, MotokoError, OSError) as error:
                self._say(f"{type(error).__name__} {error}")
            except Exception as error:  # noqa: BLE001 (not to take the other studies along)
                self._say(f"watching failed, starting again: {error!r}", traceback=True)
            else:
                break
            self._kept.rollback()
            self._not_watched()
            self.tried.set()
            self._ending.wait(self._pauses.next())
        self._kept.settle()
        self.settled.set()
        # The mirror stays open: SQLite would write its log into the file, without a digest.
        threading.Event().wait()

    def _not_watched(self) -> None:
        """Publish that the study is not watched: at once, and then as often as other beats."""
        now = time.monotonic()
        self.watching.clear()
        if self._watching_since is not None:
            if now > self._watching_since + CALM_S:
                self._pauses.restart()
            self._watching_since = None
            self._next_beat = now
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            beat = Beat(self._study.name, "", self._epoch, self._seq, connected=False)
            self._publisher.send(beat)

    def _say(self, trouble: str, traceback: bool = False) -> None:
        """Log why the study is not watched: once, not at each attempt."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s: not watched: %s", self._study.name, trouble, exc_info=traceback)

    def _watch(self) -> None:
        """Watch until the thread is to end; raises whatever keeps it from that."""
        self.events = queue.SimpleQueue()
        storage = WatchStorage(address(self._study, self._runtime), self.events, wants_records=True)
        try:
            index = self._start(storage)
            self.watching.set()
            self.tried.set()
            self._trouble = ""
            log.info("%s: watching %d runs", self._study.name, index.tables.count())
            connected_at: float | None = time.monotonic()
            self._watching_since, self._next_beat = connected_at, 0.0
            # In the end, what has been told by then is still written.
            while not (self._ending.is_set() and self.events.empty()):
                match self._next_event(storage):
                    case Pushed() as pushed if connected_at:
                        self._follow(index, pushed)
                    case Failed(error):
                        raise error
                    case Disconnected():
                        self.watching.clear()
                        connected_at, disconnected_at = None, time.monotonic()
                    case Connected():
                        self.reconnects += connected_at is None
                        self._catch_up(index, storage)
                        connected_at = time.monotonic()
                        self.watching.set()
                    case ReplayRequest() as request:
                        self._answer(Answer(request, request.after), index)
                    case Answer() as answer:
                        self._answer(answer, index)
                    case None if storage.overflowed:
                        storage.overflowed = False
                        self._catch_up(index, storage)
                self._kept.commit_if_due(idle=self.events.empty())
                if connected_at is None and time.monotonic() > disconnected_at + DISCONNECTED_MAX_S:
                    raise TimeoutError("the server has not come back")
                self._beat_if_due(index, storage, connected_at is not None)
        finally:
            storage.close()

    def _next_event(self, storage: WatchStorage) -> Event | ReplayRequest | Answer | None:
        patience = 0.0 if storage.overflowed else max(0.0, self._next_beat - time.monotonic())
        if self._kept.is_pending:
            patience = min(patience, self._kept.due_in)
        try:
            return self.events.get(timeout=patience)
        except queue.Empty:
            return None

    def _start(self, storage: WatchStorage) -> RunIndex:
        """Take the runs' states from the mirror, if there is one, and publish what came later."""
        newest = storage.lastTransaction()
        known, self._witness = self._witness, storage.witness()
        mirror = self._kept.mirror(self._witness, newest)
        index = RunIndex(self._study.name, storage, mirror.tables, self._study.bd_name)
        if index.tid:
            self._recent = Recent(index.tid)
        elif known and known != self._witness:
            self._start_over(index, storage, REPLACED)
        else:
            self._start_over(index, storage, "the watcher knows no earlier state of this database")
        self._catch_up(index, storage)
        return index

    def _follow(self, index: RunIndex, event: Pushed) -> None:
        self._kept.begin()
        try:
            changes = index.apply(event.tid, event.oids, event.records)
            self._publish(index, event.tid, changes, event.oids)
            self.slowest = max(self.slowest, time.monotonic() - event.at)
        except HistoryGone:
            assert isinstance(index.loader, WatchStorage)
            self._start_over(index, index.loader, "a part of the database's history is gone")

    def _catch_up(self, index: RunIndex, storage: WatchStorage) -> None:
        """Publish what was committed after the index's tid, from the transaction log."""
        newest = storage.lastTransaction()
        if storage.witness() != self._witness or newest < index.tid:
            self._start_over(index, storage, REPLACED)
            return
        log_file = self._study.database.transactions if self._study.is_local else None
        # The file may seem to end early while the server writes it: the server then sends the rest.
        # The newest transaction may be missing: a server that was killed was writing it, and it has
        # been cut off.
        continues = True
        for source in (log_file, None):
            known = index.tid
            if known < newest:
                continues = False
                for committed in storage.transactions(known, source):
                    continues = continues or committed.tid == known
                    if not continues:
                        break
                    records = {record.oid: record.data for record in committed}
                    self._kept.begin()
                    changes = index.apply(committed.tid, records, records)
                    self._publish(index, committed.tid, changes)
                    self._kept.commit_if_due(idle=False)
        if not continues:
            # The database was packed, or an older one was restored and then written to.
            self._start_over(index, storage, "the log does not continue what is known")

    def _start_over(self, index: RunIndex, storage: WatchStorage, reason: str) -> None:
        self._witness = storage.witness()
        index.tables = self._kept.anew().tables
        self._kept.begin()
        index.walk(storage.lastTransaction())
        index.tables.note(witness=self._witness.hex())
        self._kept.commit()
        self._recent = Recent(index.tid)
        log.warning("%s: read anew: %s", self._study.name, reason)
        self._publisher.send(Resync(self._study.name, index.tid.hex(), self._epoch, reason))

    def _publish(
        self, index: RunIndex, tid: bytes, changes: list[Change], oids: Sequence[bytes] = ()
    ) -> None:
        if not changes:
            self._next_beat = min(self._next_beat, time.monotonic() + BEAT_AFTER_COMMIT_S)
        for change in changes:
            self._seq += 1
            self.seen += 1
            message = transition(self._study.name, change, tid, self._epoch, self._seq)
            if change.old is None and len(oids) <= OIDS_MAX:
                message = msgspec.structs.replace(message, oids=[oid.hex() for oid in oids])
            self._publisher.send(message)
            self._recent.add(message)

    def _answer(self, answer: Answer, index: RunIndex) -> None:
        """Send the remembered transitions; read those before them from the log first."""
        remembered = self._recent.after(answer.after) if answer.after else []
        if remembered is not None:
            self.replays += 1
            tid = index.tid.hex()
            answer.send(
                self._publisher, remembered, done=True, tid=tid, epoch=self._epoch, seq=self._seq
            )
            return
        self._replays = {key: replay for key, replay in self._replays.items() if replay.is_alive()}
        key = (answer.request.to, answer.request.request)
        if answer.part or (key not in self._replays and len(self._replays) < REPLAYS_MAX):
            replay = LogReplay(self._study, self._runtime, answer, self.events.put)
            self._replays[key] = replay
            replay.start()

    def _beat_if_due(self, index: RunIndex, storage: WatchStorage, connected: bool) -> None:
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + BEAT_S
        self._publisher.send(
            Beat(
                self._study.name,
                index.tid.hex(),
                self._epoch,
                self._seq,
                storage.events.qsize(),
                connected,
            )
        )
        if (mirror := self._kept.look_after()) is not None:
            index.tables = mirror.tables
        if not storage.hears:
            raise StudyUnavailable("the thread that hears its server has ended")


def listen(runtime: Runtime, watchers: dict[str, StudyWatcher]) -> None:
    """Hand requests for replays to the watchers of their studies, for ever."""
    socket = new_context().socket(zmq.SUB)
    socket.linger = 0
    socket.subscribe(ASK)
    socket.connect(runtime.bus_subscribe)
    decoder = Decoder()
    while True:
        message = decoder.message(socket.recv_multipart())
        if isinstance(message, ReplayRequest) and message.study in watchers:
            watchers[message.study].events.put(message)


def end_with_any_thread() -> None:
    """Have this process end when one of its threads dies of an error, which the log then shows.

    Otherwise the thread's work would not be done any more, unnoticed. The supervisor starts another
    process.
    """

    def end(death: threading.ExceptHookArgs) -> None:
        name = death.thread.name if death.thread else "a thread"
        error = death.exc_value or death.exc_type()
        log.critical("%s has died, and the watcher with it", name, exc_info=error)
        os._exit(1)  # from any thread, whatever the main one is waiting for

    threading.excepthook = end


def watch(daemon: Daemon) -> None:
    """Watch every study of a workflow until the process is told to stop."""
    end_with_any_thread()
    watchers = [StudyWatcher(study, daemon.runtime) for study in daemon.config.studies.values()]
    by_study = dict(zip(daemon.config.studies, watchers, strict=True))
    with Publisher(daemon.runtime.bus_publish) as publisher:
        threading.Thread(
            target=listen, args=(daemon.runtime, by_study), name="listen", daemon=True
        ).start()
        for watcher in watchers:
            watcher.start()
        publisher.connected(BUS_DEADLINE_S)
        # A study whose server is away (stopped, given up, on another host) delays no other. Reading
        # a study with a million runs takes longer than a daemon may be silent.
        for watcher in watchers:
            while not watcher.tried.wait(SILENT_S):
                publisher.send(_status(watchers, state="starting"))
        log.info("ready")
        try:
            while True:
                publisher.send(_status(watchers))
                time.sleep(until_next(HEARTBEAT_S))
        finally:
            _end(watchers)


def _end(watchers: Sequence[StudyWatcher]) -> None:
    """Have the next watcher, and readers without one, find complete mirrors."""
    deadline = time.monotonic() + ENDING_S
    for watcher in watchers:
        watcher.end()
    for watcher in watchers:
        # A server that hangs holds its thread up.
        watcher.settled.wait(max(0.0, deadline - time.monotonic()))


def _status(watchers: Sequence[StudyWatcher], state: str = "ready") -> DaemonStatus:
    slowest = max(watcher.slowest for watcher in watchers)
    counts = {
        "studies": sum(watcher.watching.is_set() for watcher in watchers),
        "transitions": sum(watcher.seen for watcher in watchers),
        "queue": max(watcher.events.qsize() for watcher in watchers),
        "lag_ms": round(1000 * slowest),
        "replays": sum(watcher.replays for watcher in watchers),
        "reconnects": sum(watcher.reconnects for watcher in watchers),
    }
    for watcher in watchers:
        watcher.slowest = 0.0
    detail = f"{counts['studies']} of {len(watchers)} studies, {counts['transitions']} transitions"
    return DaemonStatus("watcher", pid=os.getpid(), state=state, detail=detail, counts=counts)
