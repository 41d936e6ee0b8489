"""The watcher: detects every run-state change from the ZEO servers' commits and publishes it.

One thread a study, so that a slow study delays no other. Transitions are published first and
checkpointed after: whatever dies, each is published at least once.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Sequence

import msgspec
import zmq
from ZEO.Exceptions import ClientDisconnected, ClientStorageError
from ZODB.utils import z64

from motoko.bd.address import address
from motoko.bus.messages import (
    ASK,
    Beat,
    DaemonStatus,
    ReplayRequest,
    Resync,
)
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Decoder
from motoko.config import StudyConfig
from motoko.errors import NotCreated, StudyUnavailable
from motoko.runtime import Runtime, read_json, write_atomically
from motoko.timing import HEARTBEAT_S, until_next
from motoko.workers.daemon import Daemon, arguments, running
from motoko.workers.replay import Answer, LogReplay, Recent, transition
from motoko.workers.run_index import Change, HistoryGone, RunIndex
from motoko.workers.watch_storage import Connected, Disconnected, Event, Pushed, WatchStorage

log = logging.getLogger(__name__)

BEAT_S = 2.0
# A commit that changed no state is told of by a beat: conditions may read other attributes.
BEAT_AFTER_COMMIT_S = 0.3
REOPEN_S = 0.2
# A server that refuses us (it has an older file than we have seen) is asked by a new client.
DISCONNECTED_MAX_S = 10.0
# How long a new publisher waits for the bus; what is published before that is lost (and the new
# epoch makes every subscriber ask for it).
BUS_DEADLINE_S = 5.0
OIDS_MAX = 24  # of a transaction that makes a single run, or few
REPLAYS_MAX = 2  # at a time, from a study's log; who gets none asks again


class StudyWatcher(threading.Thread):
    """Watches one study for ever.

    Attributes:
        watching: set while the study's runs are known and its server is connected.
        tried: set once it was watched, or its server was found to be away.
        seen: transitions published in this life; replays: answers given.
        reconnects: how often the server came back.
        slowest: seconds from a push to its transitions' publication, the most since it was reset.
        events: what it is told: by the server, by whoever asks for a replay.
    """

    def __init__(self, study: StudyConfig, runtime: Runtime) -> None:
        super().__init__(name=f"watch-{study.name}", daemon=True)
        self.watching = threading.Event()
        self.tried = threading.Event()
        self.seen = self.replays = self.reconnects = 0
        self.slowest = 0.0
        self.events: queue.SimpleQueue[Event | ReplayRequest | Answer] = queue.SimpleQueue()
        self._study = study
        self._runtime = runtime
        self._checkpoint_file = study.directory / ".bd" / "watcher.json"
        self._epoch = secrets.token_hex(8)
        self._seq = 0
        self._next_beat = 0.0
        self._saved = b""
        self._witness = b""
        self._recent = Recent()
        self._replays: dict[tuple[str, int], threading.Thread] = {}
        self._trouble = ""

    def run(self) -> None:
        self._publisher = Publisher(self._runtime.bus_publish)
        self._publisher.connected(BUS_DEADLINE_S)
        while True:
            try:
                self._watch()
            except (
                ClientDisconnected,
                ClientStorageError,
                HistoryGone,
                StudyUnavailable,
                NotCreated,
                TimeoutError,
            ) as error:
                self._say(f"{type(error).__name__} {error}")
            except Exception as error:  # noqa: BLE001 (not to take the other studies along)
                self._say(f"watching failed, starting again: {error!r}", traceback=True)
            self.watching.clear()
            self.tried.set()
            self._publisher.send(
                Beat(self._study.name, "", self._epoch, self._seq, connected=False)
            )
            time.sleep(REOPEN_S)

    def _say(self, trouble: str, traceback: bool = False) -> None:
        """Log why the study is not watched: once, not at each attempt."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s: not watched: %s", self._study.name, trouble, exc_info=traceback)

    def _watch(self) -> None:
        self.events = queue.SimpleQueue()
        storage = WatchStorage(address(self._study, self._runtime), self.events)
        try:
            index = RunIndex(self._study.name, storage)
            self._start(index, storage)
            self.watching.set()
            self.tried.set()
            self._trouble = ""
            log.info("%s: watching %d runs", self._study.name, len(index.runs))
            connected_at: float | None = time.monotonic()
            while True:
                match self._next_event(storage):
                    case Pushed() as pushed if connected_at:
                        self._follow(index, pushed)
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
                if connected_at is None and time.monotonic() > disconnected_at + DISCONNECTED_MAX_S:
                    raise TimeoutError("the server has not come back")
                self._beat_if_due(index, storage, connected_at is not None)
        finally:
            storage.close()

    def _next_event(self, storage: WatchStorage) -> Event | ReplayRequest | Answer | None:
        patience = 0.0 if storage.overflowed else max(0.0, self._next_beat - time.monotonic())
        try:
            return self.events.get(timeout=patience)
        except queue.Empty:
            return None

    def _start(self, index: RunIndex, storage: WatchStorage) -> None:
        """Know the runs as of the checkpoint, if there is one, and publish what came after."""
        newest = storage.lastTransaction()
        self._witness = storage.witness()
        checkpoint = self._checkpoint()
        if checkpoint is not None and checkpoint <= newest:
            try:
                index.walk(checkpoint)
                self._recent = Recent(checkpoint)
                self._catch_up(index, storage)
                return
            except HistoryGone:
                log.warning("%s: the checkpoint's history is gone", self._study.name)
        self._start_over(index, storage, "the watcher knows no earlier state of this database")
        self._catch_up(index, storage)

    def _follow(self, index: RunIndex, event: Pushed) -> None:
        try:
            self._publish(index, event.tid, index.apply(event.tid, event.oids), event.oids)
            self.slowest = max(self.slowest, time.monotonic() - event.at)
        except HistoryGone:
            assert isinstance(index.loader, WatchStorage)
            self._start_over(index, index.loader, "a part of the database's history is gone")

    def _catch_up(self, index: RunIndex, storage: WatchStorage) -> None:
        """Publish what was committed since the index's tid, from the transaction log."""
        newest = storage.lastTransaction()
        if storage.witness() != self._witness or newest < index.tid:
            self._start_over(index, storage, "the database was replaced by another")
            return
        log_file = self._study.directory / ".bd" / "bd.zeo" if self._study.is_local else None
        # Reading the file beside its writer may end early: the server then tells the rest. What it
        # calls the newest may not be there: a killed one was writing it, and it has been cut off.
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
                    changes = index.apply(committed.tid, records, records)
                    self._publish(index, committed.tid, changes)
        if not continues:
            # It was packed, or an older one was restored and then written to.
            self._start_over(index, storage, "the log does not continue what is known")

    def _start_over(self, index: RunIndex, storage: WatchStorage, reason: str) -> None:
        self._witness = storage.witness()
        index.walk(storage.lastTransaction())
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
            run = index.runs.get(change.run_id)
            message = transition(self._study.name, change, run, tid, self._epoch, self._seq)
            if change.old is None and len(oids) <= OIDS_MAX:
                message = msgspec.structs.replace(message, oids=[oid.hex() for oid in oids])
            self._publisher.send(message)
            self._recent.add(message)

    def _answer(self, answer: Answer, index: RunIndex) -> None:
        """Tell what is remembered after what was told; what is not is read from the log first."""
        remembered = self._recent.after(answer.after) if answer.after else []
        if remembered is not None:
            self.replays += 1
            tid = index.tid.hex()
            answer.send(
                self._publisher, remembered, done=True, tid=tid, epoch=self._epoch, seq=self._seq
            )
            return
        self._replays = {key: each for key, each in self._replays.items() if each.is_alive()}
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
        self._save(index.tid)

    def _checkpoint(self) -> bytes | None:
        data = read_json(self._checkpoint_file)
        try:
            if data and data["database"] == self._witness.hex():
                tid = bytes.fromhex(data["tid"])
                if len(tid) == len(z64):
                    return tid
                raise ValueError(data["tid"])
        except (KeyError, TypeError, ValueError):
            log.warning("%s is damaged and not used", self._checkpoint_file)
        return None

    def _save(self, tid: bytes) -> None:
        if tid != self._saved and self._checkpoint_file.parent.is_dir():
            content = {"tid": tid.hex(), "database": self._witness.hex()}
            write_atomically(self._checkpoint_file, json.dumps(content))
            self._saved = tid


def listen(runtime: Runtime, watchers: dict[str, StudyWatcher]) -> None:
    """Hand requests for replays to the watchers of their studies, for ever."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.linger = 0
    socket.subscribe(ASK)
    socket.connect(runtime.bus_subscribe)
    decoder = Decoder()
    while True:
        message = decoder.message(socket.recv_multipart())
        if isinstance(message, ReplayRequest) and message.study in watchers:
            watchers[message.study].events.put(message)


def watch(daemon: Daemon) -> None:
    """Watch every study of a workflow until the process is told to stop."""
    watchers = [StudyWatcher(study, daemon.runtime) for study in daemon.config.studies.values()]
    for watcher in watchers:
        watcher.start()
    by_study = dict(zip(daemon.config.studies, watchers, strict=True))
    threading.Thread(
        target=listen, args=(daemon.runtime, by_study), name="listen", daemon=True
    ).start()
    # A study whose server is away (stopped, given up, on another host) holds up no other.
    for watcher in watchers:
        watcher.tried.wait()
    with Publisher(daemon.runtime.bus_publish) as publisher:
        publisher.connected(BUS_DEADLINE_S)
        log.info("ready")
        while True:
            publisher.send(_status(watchers))
            time.sleep(until_next(HEARTBEAT_S))


def _status(watchers: Sequence[StudyWatcher]) -> DaemonStatus:
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
    return DaemonStatus("watcher", pid=os.getpid(), detail=detail, counts=counts)


def main() -> None:
    """Entry point of ``python -m motoko.workers.watcher``."""
    options = arguments("The watcher of a Motoko workflow.")
    with running("watcher", options.workflow) as daemon:
        watch(daemon)


if __name__ == "__main__":
    main()
