"""One listener a process: feeds the bus's events to those who wait for them.

The bus only wakes. Whoever is woken reads the database, at a view at least as new as the
transition it was woken by. A lost message is noticed (a gap in the sequence, a new epoch, a
resync, beats that fall silent, or the own connection having been told of more than the bus has)
and makes everyone concerned read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from motoko.bus.messages import Beat, DaemonStatus, Message, Resync, Transition
from motoko.bus.subscriber import Subscriber
from motoko.errors import NoSupervisor
from motoko.identity import Identity
from motoko.runtime import Runtime
from motoko.timing import until_next

log = logging.getLogger(__name__)

BEATS_SILENT_S = 6.0  # three beats
NET_S = 2.0  # how long the own connection may be ahead of the bus
LIVE_DEADLINE_S = 30.0  # a bus that died is back long before

RunKey = tuple[str, int]
K = TypeVar("K")


@dataclass
class Counters:
    """How waiters were woken, since the dispatcher was made."""

    wakeups_by_event: int = 0
    wakeups_by_safety_read: int = 0
    gaps: int = 0
    resyncs: int = 0


@dataclass
class Waiter:
    """Somebody's interest: in some runs, or in everything that happens in some studies."""

    runs: set[RunKey] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    event: asyncio.Event = field(default_factory=asyncio.Event)
    news: list[Transition] = field(default_factory=list)
    states_only: bool = False  # commits that change no state are of no concern
    read_again: bool = False  # something was missed: messages say nothing about what
    stopped: bool = False  # the workflow is being stopped

    async def wait(self, timeout: float | None = None) -> list[Transition]:
        """Sleep until there is news (or seconds have passed), and take it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.event.wait()
        self.event.clear()
        news, self.news = self.news, []
        return news


@dataclass
class _Stream:
    """What is known of one study's messages."""

    epoch: str | None = None
    seq: int = 0
    tid: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    ahead_since: float | None = None
    silent: bool = False


class Dispatcher:
    """Feeds waiters from the bus. Belongs to the loop that runs when it is made.

    Args:
        runtime: where the bus is.
        studies: the studies to listen to.
        own_tid: the newest transaction of a study that this process has been told of by the
            study's own server, or ``None`` if it has no connection: never a round trip.
        supervisor: the workflow's, whose death is warned about.
        topics: further topics to listen to.
        on_other: called with the messages that are of no concern to waiters.
    """

    def __init__(
        self,
        runtime: Runtime,
        studies: Iterable[str],
        own_tid: Callable[[str], bytes | None],
        *,
        supervisor: Identity | None = None,
        topics: Iterable[bytes] = (),
        on_other: Callable[[Message], None] | None = None,
    ) -> None:
        self.counters = Counters()
        self.loop = asyncio.get_running_loop()
        self.listeners: list[Callable[[Transition], None]] = []
        self._own_tid = own_tid
        self._supervisor = supervisor.open_pidfd() if supervisor else None
        if self._supervisor is not None:
            self.loop.add_reader(self._supervisor, self._on_supervisor_gone)
        self._stopping = False
        self._on_other = on_other
        self._streams = {study: _Stream() for study in studies}
        self._by_run: defaultdict[RunKey, set[int]] = defaultdict(set)
        self._by_study: defaultdict[str, set[int]] = defaultdict(set)
        self._waiters: dict[int, Waiter] = {}
        self._was_live = False
        self._subscriber = Subscriber(runtime.bus_subscribe, self._on_message, self._on_live)
        for study in self._streams:
            self._subscriber.subscribe(f"run.{study}.".encode(), f"beat.{study}.".encode())
        self._subscriber.subscribe(b"daemon.supervisor.", *topics)
        self._net = self.loop.create_task(self._safety_net())

    async def live(self) -> None:
        """Wait until nothing that is published from now on can be missed unnoticed."""
        try:
            await self._subscriber.live(LIVE_DEADLINE_S)
        except TimeoutError as error:
            raise NoSupervisor(
                f"the bus did not answer for {LIVE_DEADLINE_S:.0f} s",
                hint="`motoko ps` shows the state of the workflow's daemons",
            ) from error

    @contextlib.contextmanager
    def waiting(
        self, *, runs: Iterable[RunKey] = (), studies: Iterable[str] = ()
    ) -> Iterator[Waiter]:
        """A registered waiter, for the time of the block. Register, then read, then wait."""
        waiter = Waiter(set(runs), set(studies))
        key = id(waiter)
        self._waiters[key] = waiter
        for run in waiter.runs:
            self._by_run[run].add(key)
        for study in waiter.studies:
            self._by_study[study].add(key)
        try:
            yield waiter
        finally:
            del self._waiters[key]
            for run in waiter.runs:
                _drop(self._by_run, run, key)
            for study in waiter.studies:
                _drop(self._by_study, study, key)

    def forget(self, waiter: Waiter, run: RunKey) -> None:
        """The waiter waits for this run no more."""
        waiter.runs.discard(run)
        _drop(self._by_run, run, id(waiter))

    def tid(self, study: str) -> bytes:
        """The newest transaction of a study that the bus has told of."""
        return self._streams[study].tid

    def close(self) -> None:
        """Stop listening."""
        self._net.cancel()
        self._subscriber.close()
        self._forget_supervisor()

    def _on_supervisor_gone(self) -> None:
        self._forget_supervisor()
        if not self._stopping:
            log.warning("the supervisor has died: going on; `motoko supervise` replaces it")

    def _forget_supervisor(self) -> None:
        if self._supervisor is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(self._supervisor)
            os.close(self._supervisor)
            self._supervisor = None

    def _on_message(self, message: Message) -> None:
        match message:
            case Transition():
                self._on_transition(message)
            case Beat():
                self._on_beat(message)
            case Resync():
                stream = self._streams.get(message.study)
                if stream is not None:
                    self.counters.resyncs += 1
                    self._read_again(message.study)
            case DaemonStatus(name="supervisor", state="stopping"):
                self._stopping = True
                for waiter in self._waiters.values():
                    waiter.stopped = True
                    waiter.event.set()
            case _ if self._on_other is not None:
                self._on_other(message)

    def _on_transition(self, message: Transition) -> None:
        stream = self._streams.get(message.study)
        if stream is None:
            return
        self._follow(stream, message.study, message.epoch, message.seq, message.seq - 1)
        stream.tid = max(stream.tid, bytes.fromhex(message.tid))
        for listener in self.listeners:
            listener(message)
        concerned = self._by_run.get((message.study, message.run_id), set()) | self._by_study.get(
            message.study, set()
        )
        for key in concerned:
            waiter = self._waiters[key]
            waiter.news.append(message)
            waiter.event.set()
            self.counters.wakeups_by_event += 1

    def _on_beat(self, message: Beat) -> None:
        stream = self._streams.get(message.study)
        if stream is None:
            return
        self._follow(stream, message.study, message.epoch, message.seq, message.seq)
        if message.tid:
            tid = bytes.fromhex(message.tid)
            if tid > stream.tid:
                stream.tid = tid
                # Something other than a state has changed: conditions may depend on it.
                for key in self._by_study.get(message.study, set()):
                    if not self._waiters[key].states_only:
                        self._waiters[key].event.set()

    def _follow(self, stream: _Stream, study: str, epoch: str, seq: int, expected: int) -> None:
        """Note a message's place in the sequence; read again if something before it is missing."""
        stream.heard = time.monotonic()
        stream.silent = False
        if stream.epoch is None:
            stream.epoch, stream.seq = epoch, seq
        elif epoch != stream.epoch:
            log.info("%s: a new watcher publishes", study)
            stream.epoch, stream.seq = epoch, seq
            self.counters.resyncs += 1
            self._read_again(study)
        elif expected > stream.seq:
            log.info("%s: %d messages were lost", study, expected - stream.seq)
            stream.seq = seq
            self.counters.gaps += 1
            self._read_again(study)
        else:
            stream.seq = max(stream.seq, seq)

    def _on_live(self) -> None:
        if self._was_live:
            # The bus was away, and with it perhaps messages.
            self.counters.resyncs += 1
            for study in self._streams:
                self._read_again(study)
        self._was_live = True

    def _read_again(self, study: str) -> None:
        for waiter in self._waiters.values():
            if study in waiter.studies or any(name == study for name, _ in waiter.runs):
                waiter.read_again = True
                waiter.event.set()

    async def _safety_net(self) -> None:
        while True:
            await asyncio.sleep(until_next(NET_S))
            now = time.monotonic()
            for study, stream in self._streams.items():
                own = self._own_tid(study)
                if own is None:
                    continue
                if own <= stream.tid:
                    stream.ahead_since = None
                    continue
                silent = now - stream.heard > BEATS_SILENT_S
                if silent and not stream.silent:
                    stream.silent = True
                    log.warning("%s: the watcher is silent, reading the base itself", study)
                if stream.ahead_since is None and not silent:
                    stream.ahead_since = now
                elif silent or now - (stream.ahead_since or now) >= NET_S - 0.1:
                    stream.tid, stream.ahead_since = own, None
                    self.counters.wakeups_by_safety_read += 1
                    self._read_again(study)


def _drop(index: dict[K, set[int]], name: K, key: int) -> None:
    keys = index.get(name)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[name]
