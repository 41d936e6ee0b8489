"""Publishing transitions again that the bus has lost: from memory, or from the database's log."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from motoko.bus.messages import Replay, ReplayRequest, Transition
from motoko.bus.publisher import Publisher
from motoko.config import StudyConfig
from motoko.errors import NotCreated, StudyUnavailable
from motoko.layout import Runtime
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.run_index import Change, HistoryGone, RunIndex
from motoko.store.server_address import address
from motoko.store.tids import following
from motoko.store.watch_storage import CONNECTION_ERRORS, WatchStorage

log = logging.getLogger(__name__)

REMEMBERED = 5_000
PART = 200  # transitions in one message
BUS_DEADLINE_S = 5.0
PACKED = "p"


class Recent:
    """The newest transitions that were published; after the tid ``_since`` they are complete."""

    def __init__(self, tid: bytes = b"") -> None:
        self._since = tid.hex()
        self._transitions: deque[Transition] = deque(maxlen=REMEMBERED)

    def add(self, transition: Transition) -> None:
        """Remember one more transition."""
        if len(self._transitions) == REMEMBERED:
            self._since = self._transitions[0].tid
        self._transitions.append(transition)

    def after(self, tid: str) -> list[Transition] | None:
        """All transitions after a tid; ``None`` if they are not remembered that far back."""
        if tid < self._since:
            return None
        transitions = []
        for transition in reversed(self._transitions):
            if transition.tid <= tid:
                break
            transitions.append(transition)
        return transitions[::-1]


@dataclass(frozen=True)
class Answer:
    """An answer that is being given: how far it has come, and how many messages were sent."""

    request: ReplayRequest
    after: str  # all transitions up to this tid have been sent
    complete: bool = True
    part: int = 0
    name: str = field(default_factory=lambda: secrets.token_hex(4))

    def send(self, publisher: Publisher, transitions: list[Transition], **last: Any) -> Answer:
        """Send transitions in parts; ``last`` are additional fields of the last part."""
        parts = [transitions[i : i + PART] for i in range(0, len(transitions), PART)]
        for number, part in enumerate(parts or [[]]):
            is_last = number >= len(parts) - 1
            message = Replay(
                self.request.study,
                self.request.to,
                self.request.request,
                self.name,
                self.part + number,
                part,
                complete=self.complete,
                **(last if is_last else {}),
            )
            publisher.send(message)
        return replace(self, part=self.part + max(1, len(parts)))


def transition(study: str, change: Change, tid: bytes, epoch: str = "", seq: int = 0) -> Transition:
    """The message that announces a change."""
    run = change.run
    return Transition(
        study=study,
        run_id=change.run_id,
        old=change.old,
        new=change.new,
        tid=tid.hex(),
        epoch=epoch,
        seq=seq,
        run_name=run.run_name if run else None,
        job_id=run.job_id if run else None,
        event_name=run.event_name if run else None,
    )


class LogReplay(threading.Thread):
    """Sends the transitions in the database's log after a tid, then lets the watcher send the rest.

    It is a thread with a connection of its own, so that a long history does not delay present
    transitions.

    Args:
        study: the study whose history is replayed.
        runtime: where its server and the bus are.
        answer: what has been sent already.
        proceed: called with the answer when it has reached the end of the log.
    """

    def __init__(
        self,
        study: StudyConfig,
        runtime: Runtime,
        answer: Answer,
        proceed: Callable[[Answer], None],
    ) -> None:
        super().__init__(name=f"replay-{study.name}", daemon=True)
        self._study = study
        self._runtime = runtime
        self._answer = answer
        self._proceed = proceed

    def run(self) -> None:
        try:
            storage = WatchStorage(address(self._study, self._runtime), SimpleQueue())
            try:
                with Publisher(self._runtime.bus_publish) as publisher:
                    publisher.connected(BUS_DEADLINE_S)
                    self._replay(storage, publisher)
            finally:
                storage.close()
        except (*CONNECTION_ERRORS, StudyUnavailable, TimeoutError) as error:
            # The client that has asked will ask again.
            log.warning("%s: could not replay: %r", self._study.name, error)
        except Exception:
            log.exception("%s: could not replay", self._study.name)

    def _replay(self, storage: WatchStorage, publisher: Publisher) -> None:
        answer = self._answer
        waiting: list[Transition] = []
        newest = storage.lastTransaction()
        try:
            for tid, changes in self._history(storage, bytes.fromhex(answer.after), newest):
                waiting += [transition(self._study.name, change, tid) for change in changes]
                if len(waiting) >= PART:
                    answer = answer.send(publisher, waiting)
                    waiting = []
                answer = replace(answer, after=tid.hex())
        except HistoryGone:
            # The rest of the history may have gaps.
            answer = replace(answer, complete=False)
            newest = storage.lastTransaction()
        answer = replace(answer, after=max(answer.after, newest.hex()))
        if waiting or not answer.complete:
            answer = answer.send(publisher, waiting)
        self._proceed(answer)

    def _history(
        self, storage: WatchStorage, after: bytes, newest: bytes
    ) -> Iterator[tuple[bytes, list[Change]]]:
        """Each transaction after ``after`` and its changes."""
        tables = Mirror.in_memory(with_values=False).tables
        index = RunIndex(self._study.name, storage, tables, self._study.bd_name)
        known = _walk(index, after)
        path = self._study.database.transactions if self._study.is_local else None
        for source in _sources(path):
            start = following(index.tid if known else after)
            for committed in storage.transactions(start, source):
                if committed.tid > newest:
                    return
                if known:
                    records = {record.oid: record.data for record in committed}
                    changes = index.apply(committed.tid, records, records)
                else:
                    # The study was not created yet; or its creation was packed away.
                    if _is_packed(committed):
                        raise HistoryGone
                    known = _walk(index, committed.tid)
                    changes = [
                        Change(number, None, run.state, run) for number, run in index.tables.runs()
                    ]
                yield committed.tid, changes
            if index.tid >= newest:
                return
        # The server has sent all that there is. If it was killed, the transaction that it calls the
        # newest was being written then, and has been cut off.
        if not known:
            raise HistoryGone


def _walk(index: RunIndex, tid: bytes) -> bool:
    """Whether the study existed at a tid; if so, load the index with its state then."""
    try:
        index.walk(tid)
    except (HistoryGone, NotCreated):
        return False
    return True


def _sources(path: Path | None) -> list[Path | None]:
    """Where to read the log: first from the file, if it is here; then from the server (``None``).

    The file may seem to end early while the server writes it. The server sends all of it.
    """
    return [path, None] if path is not None else [None]


def _is_packed(committed: Any) -> bool:
    status = committed.status
    return (status.decode() if isinstance(status, bytes) else str(status)) == PACKED
