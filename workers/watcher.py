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

from ZEO.Exceptions import ClientDisconnected, ClientStorageError

from motoko.bd.address import address
from motoko.bus.messages import Beat, DaemonStatus, Resync, Transition
from motoko.bus.publisher import Publisher
from motoko.config import StudyConfig
from motoko.errors import NotCreated
from motoko.runtime import Runtime, read_json, write_atomically
from motoko.timing import until_next
from motoko.workers.daemon import HEARTBEAT_S, Daemon, arguments, running
from motoko.workers.run_index import Change, HistoryGone, RunIndex
from motoko.workers.watch_storage import Connected, Disconnected, Event, Pushed, WatchStorage

log = logging.getLogger(__name__)

BEAT_S = 2.0
# A commit that changed no state is told of by a beat: conditions may read other attributes.
BEAT_AFTER_COMMIT_S = 0.3
REOPEN_S = 0.2
# How long a new publisher waits for the bus; what is published before that is lost (and the new
# epoch makes every subscriber read again).
BUS_DEADLINE_S = 5.0


class StudyWatcher(threading.Thread):
    """Watches one study for ever.

    Attributes:
        watching: set while the study's runs are known and its server is connected.
        tried: set once it was watched, or its server was found to be away.
        seen: transitions published in this life.
    """

    def __init__(self, study: StudyConfig, runtime: Runtime) -> None:
        super().__init__(name=f"watch-{study.name}", daemon=True)
        self.watching = threading.Event()
        self.tried = threading.Event()
        self.seen = 0
        self._study = study
        self._runtime = runtime
        self._checkpoint_file = study.directory / ".bd" / "watcher.json"
        self._epoch = secrets.token_hex(8)
        self._seq = 0
        self._next_beat = 0.0
        self._saved = b""

    def run(self) -> None:
        self._publisher = Publisher(self._runtime.bus_publish)
        self._publisher.connected(BUS_DEADLINE_S)
        while True:
            try:
                self._watch()
            except (ClientDisconnected, ClientStorageError, TimeoutError) as error:
                log.warning("%s: server lost (%r)", self._study.name, error)
            except NotCreated as error:
                log.error("%s", error)
            except Exception:
                # Not to die silently, and not to take the other studies along.
                log.exception("%s: watching failed, starting again", self._study.name)
            self.watching.clear()
            self.tried.set()
            self._publisher.send(
                Beat(self._study.name, "", self._epoch, self._seq, connected=False)
            )
            time.sleep(REOPEN_S)

    def _watch(self) -> None:
        storage = WatchStorage(address(self._study, self._runtime))
        try:
            index = RunIndex(self._study.name, storage)
            self._start(index, storage)
            self.watching.set()
            self.tried.set()
            log.info("%s: watching %d runs", self._study.name, len(index.runs))
            connected = True
            while True:
                event = self._next_event(storage)
                if isinstance(event, Pushed) and connected:
                    self._follow(index, event)
                elif isinstance(event, Disconnected):
                    connected = False
                    self.watching.clear()
                elif isinstance(event, Connected):
                    self._catch_up(index, storage)
                    connected = True
                    self.watching.set()
                self._beat_if_due(index, storage, connected)
        finally:
            storage.close()

    def _next_event(self, storage: WatchStorage) -> Event | None:
        try:
            return storage.events.get(timeout=max(0.0, self._next_beat - time.monotonic()))
        except queue.Empty:
            return None

    def _start(self, index: RunIndex, storage: WatchStorage) -> None:
        """Know the runs as of the checkpoint, if there is one, and publish what came after."""
        newest = storage.lastTransaction()
        checkpoint = index.tid or self._checkpoint()
        if checkpoint is not None and checkpoint <= newest:
            try:
                index.walk(checkpoint)
                self._catch_up(index, storage)
                return
            except HistoryGone:
                log.warning("%s: the checkpoint's history is gone", self._study.name)
        index.walk(newest)
        self._resync(index, "the watcher knows no earlier state of this database")
        self._catch_up(index, storage)

    def _follow(self, index: RunIndex, event: Pushed) -> None:
        try:
            self._publish(index, event.tid, index.apply(event.tid, event.oids))
        except HistoryGone:
            self._start_over(index)

    def _catch_up(self, index: RunIndex, storage: WatchStorage) -> None:
        """Publish what was committed since the index's tid, from the transaction log."""
        newest = storage.lastTransaction()
        log_file = self._study.directory / ".bd" / "bd.zeo" if self._study.is_local else None
        # Reading the file beside its writer may end early: the server then tells the rest.
        for source in (log_file, None):
            if index.tid < newest:
                for transaction in storage.transactions_after(index.tid, source):
                    records = {record.oid: record.data for record in transaction}
                    changes = index.apply(transaction.tid, records, records)
                    self._publish(index, transaction.tid, changes)
        if index.tid < newest:
            self._start_over(index)  # the log was packed, or is another database's

    def _start_over(self, index: RunIndex) -> None:
        storage = index.loader
        assert isinstance(storage, WatchStorage)
        index.walk(storage.lastTransaction())
        self._resync(index, "a part of the database's history is gone")

    def _publish(self, index: RunIndex, tid: bytes, changes: list[Change]) -> None:
        if not changes:
            self._next_beat = min(self._next_beat, time.monotonic() + BEAT_AFTER_COMMIT_S)
        for change in changes:
            self._seq += 1
            self.seen += 1
            run = index.runs.get(change.run_id)
            self._publisher.send(
                Transition(
                    study=self._study.name,
                    run_id=change.run_id,
                    old=change.old,
                    new=change.new,
                    tid=tid.hex(),
                    epoch=self._epoch,
                    seq=self._seq,
                    run_name=run.run_name if run else None,
                    job_id=run.job_id if run else None,
                )
            )

    def _resync(self, index: RunIndex, reason: str) -> None:
        self._publisher.send(Resync(self._study.name, index.tid.hex(), self._epoch, reason))

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
            return bytes.fromhex(data["tid"]) if data else None
        except (KeyError, TypeError, ValueError):
            log.warning("%s is damaged and not used", self._checkpoint_file)
            return None

    def _save(self, tid: bytes) -> None:
        if tid != self._saved and self._checkpoint_file.parent.is_dir():
            write_atomically(self._checkpoint_file, json.dumps({"tid": tid.hex()}))
            self._saved = tid


def watch(daemon: Daemon) -> None:
    """Watch every study of a workflow until the process is told to stop."""
    watchers = [StudyWatcher(study, daemon.runtime) for study in daemon.config.studies.values()]
    for watcher in watchers:
        watcher.start()
    # A study whose server is away (stopped, given up, on another host) holds up no other.
    for watcher in watchers:
        watcher.tried.wait()
    with Publisher(daemon.runtime.bus_publish) as publisher:
        publisher.connected(BUS_DEADLINE_S)
        log.info("ready")
        while True:
            watching = sum(watcher.watching.is_set() for watcher in watchers)
            seen = sum(watcher.seen for watcher in watchers)
            publisher.send(
                DaemonStatus(
                    "watcher",
                    pid=os.getpid(),
                    detail=f"{watching} of {len(watchers)} studies, {seen} transitions",
                    counts={"studies": watching, "transitions": seen},
                )
            )
            time.sleep(until_next(HEARTBEAT_S))


def main() -> None:
    """Entry point of ``python -m motoko.workers.watcher``."""
    options = arguments("The watcher of a Motoko workflow.")
    with running("watcher", options.workflow) as daemon:
        watch(daemon)


if __name__ == "__main__":
    main()
