"""One listener per process: hands the bus's events to the waiters.

The bus only wakes. A waiter that is woken reads the database, at a view at least as new as the
transition that woke it. A lost message is noticed by a gap in the sequence, a new epoch, a
resync, missing beats, or a newer transaction on the process's own connection than on the bus.
Then all waiters concerned read again, and the dispatcher asks the watcher to replay what was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from motoko.bus.messages import (
    SUPERVISOR,
    VARS,
    Beat,
    DaemonStatus,
    Message,
    OrchestratorStatus,
    Replay,
    Resync,
    Transition,
    VarChanged,
    replay_topic,
)
from motoko.bus.publisher import Publisher
from motoko.bus.safety_net import NET_S, SafetyNet
from motoko.bus.stream import News, Stream
from motoko.bus.subscriber import Subscriber
from motoko.bus.waiters import Interest, Waiter, Waiters
from motoko.errors import NoSupervisor
from motoko.host.clock import HEARTBEAT_S, until_next
from motoko.host.identity import Identity
from motoko.host.pauses import Pauses
from motoko.layout import Runtime

log = logging.getLogger(__name__)

LIVE_DEADLINE_S = 30.0  # a bus that died has been restarted long before
ASK_S, ASK_MAX_S = 0.25, 2.0  # between requests for a replay, repeated until the answer comes


@dataclass
class Counters:
    """How waiters have been woken since the dispatcher was made.

    ``gaps``: messages were missing in a sequence. ``resyncs``: another watcher published, or the
    bus had been away. ``holes``: missing messages could not be replayed. ``listener_errors``: a
    listener raised an error, which is in the log.
    """

    wakeups_by_event: int = 0
    wakeups_by_safety_read: int = 0
    gaps: int = 0
    resyncs: int = 0
    holes: int = 0
    listener_errors: int = 0


class Dispatcher:
    """Hands the bus's events to waiters. Belongs to the event loop that runs when it is made.

    Args:
        runtime: where the bus is.
        studies: the studies to listen to.
        own_tid: the newest transaction of a study that the study's ZEO server has announced to
            this process, or ``None`` without a connection. Never makes a round trip.
        supervisor: the workflow's supervisor: its death is logged as a warning.
        topics: further topics to listen to.
        on_other: called with the messages that do not concern waiters.
        status: what to tell the bus at every heartbeat.
        after: for studies whose past transitions are wanted, too: the tid (hexadecimal) after
            which they begin.

    Attributes:
        counters: how waiters were woken.
        waiters: the present waiters.
        listeners: called with every transition of the studies, each once, in the order of the
            commits; lost transitions are replayed. An error that a listener raises is logged and
            counted; the other listeners are called all the same.
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
        after: Mapping[str, str] | None = None,
        status: Callable[[Dispatcher], OrchestratorStatus] | None = None,
    ) -> None:
        self.counters = Counters()
        self.loop = asyncio.get_running_loop()
        self.listeners: list[Callable[[Transition], None]] = []
        self.waiters = Waiters()
        self._own_tid = own_tid
        self._supervisor = supervisor.open_pidfd() if supervisor else None
        if self._supervisor is not None:
            self.loop.add_reader(self._supervisor, self._on_supervisor_gone)
        self._stopping = False
        self._on_other = on_other
        to = secrets.token_hex(8)
        self._streams = {study: Stream(study, to, (after or {}).get(study)) for study in studies}
        self._nets = {study: SafetyNet(time.monotonic()) for study in self._streams}
        self._asking: asyncio.Task[None] | None = None
        self._was_live = False
        self._error: Exception | None = None
        self._publisher = Publisher(runtime.bus_publish)
        self._subscriber = Subscriber(
            runtime.bus_subscribe, self._on_message, self._on_live, self._die
        )
        for study in self._streams:
            self._subscriber.subscribe(f"run.{study}.".encode(), f"beat.{study}.".encode())
        self._subscriber.subscribe(SUPERVISOR.encode(), VARS.encode(), replay_topic(to), *topics)
        self._status = status
        self._tasks: set[asyncio.Task[None]] = set()
        self.start(self._safety_net())
        if status is not None:
            self.start(self._publish_status(status))

    async def live(self) -> None:
        """Wait until no message published from now on can be lost unnoticed."""
        try:
            await self._subscriber.live(LIVE_DEADLINE_S)
        except TimeoutError as error:
            raise NoSupervisor(
                f"the bus did not answer for {LIVE_DEADLINE_S:.0f} s",
                hint="`motoko ps` shows the state of the workflow's daemons",
            ) from error

    @contextlib.contextmanager
    def waiting(self, interest: Interest, *, what: str = "") -> Iterator[Waiter]:
        """A waiter, registered while the block runs. Register, then read, then wait.

        ``what`` tells people what it waits for. Raises the error that the dispatcher died of.
        """
        if self._error is not None:
            raise self._error
        with self.waiters.waiting(interest, what) as waiter:
            yield waiter

    def tid(self, study: str) -> bytes:
        """The newest transaction of a study that a message on the bus has named."""
        return bytes.fromhex(self._streams[study].tid)

    def silent_for(self, study: str) -> float:
        """For how many seconds nothing was heard of a study: its watcher beats."""
        return time.monotonic() - self._nets[study].heard

    @property
    def awaits(self) -> list[Waiter]:
        """The waiters that have a ``what``; the one that has waited longest comes first."""
        return [waiter for waiter in self.waiters if waiter.what]

    def publish(self, message: Message) -> None:
        """Send a message to the bus. Never blocks; while there is no bus, messages are dropped."""
        self._publisher.send(message)

    def close(self) -> None:
        """Stop listening."""
        if not self.loop.is_closed():
            for task in self._tasks:
                task.cancel()
        self._subscriber.close()
        if self._status is not None and self._was_live:
            self._publisher.send(msgspec.structs.replace(self._status(self), gone=True))
        self._publisher.close()
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
            case Transition(study=study) | Beat(study=study) | Resync(study=study):
                if study in self._streams:
                    self._nets[study].hears(time.monotonic())
                    self._on_news(message)
            case Replay(study=study) if study in self._streams:
                self._take(study, self._streams[study].replay(message))
            case DaemonStatus(name="supervisor", state="stopping", detail=by):
                self._stopping = True
                for waiter in self.waiters:
                    waiter.stopped, waiter.stopped_by = True, by
                    waiter.event.set()
            case VarChanged():
                for waiter in self.waiters:
                    interest = waiter.interest
                    if not (interest.states_only or interest.accepts or interest.relayed):
                        waiter.event.set()  # its condition may be code
            case _ if self._on_other is not None:
                self._on_other(message)

    def _on_news(self, message: Transition | Beat | Resync) -> None:
        stream = self._streams[message.study]
        match message:
            case Transition():
                self._take(message.study, stream.transition(message))
            case Beat():
                before = stream.tid
                self._take(message.study, stream.beat(message))
                if stream.tid > before:
                    # Something other than a state has changed: conditions may depend on it.
                    for waiter in self.waiters.of_study(message.study):
                        if not waiter.interest.states_only:
                            waiter.event.set()
            case Resync():
                self._take(message.study, stream.resync(message))

    def _take(self, study: str, news: News) -> None:
        """Wake the waiters concerned, and ask the watcher for missing transitions."""
        for message in news.new:
            for waiter in self.waiters.of(message):
                self._wake(waiter, message)
        if news.hole:
            log.warning("%s: a part of the history is gone, transitions may be missing", study)
        for message in news.ordered:
            for listener in self.listeners:
                self._call(listener, message)
        if len(news.ordered) > len(news.new):
            # Listeners get held-back transitions only now: a waiter may have waited for this.
            for waiter in self.waiters.of_study(study):
                waiter.event.set()
        self.counters.gaps += news.gap
        self.counters.resyncs += news.resync
        self.counters.holes += news.hole
        if news.gap or news.resync:
            log.info("%s: %s", study, "messages were lost" if news.gap else "to be read again")
        if news.lost:
            self._read_again(study)
        if self._streams[study].wanted and (self._asking is None or self._asking.done()):
            self._asking = self.start(self._ask())

    def _call(self, listener: Callable[[Transition], None], message: Transition) -> None:
        try:
            listener(message)
        except Exception:
            log.exception("a listener has failed at run %s.%d", message.study, message.run_id)
            self.counters.listener_errors += 1

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do some work in a task of its own, until ``close``; waiters get the error it raises."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._die(error)

    def _die(self, error: Exception) -> None:
        """Give all waiters the error: no waiter can rely on being woken any more."""
        log.error("listening to the bus has failed", exc_info=error)
        self._error = self._error or error
        for waiter in self.waiters:
            waiter.error = self._error
            waiter.event.set()

    def _wake(self, waiter: Waiter, message: Transition) -> None:
        waiter.news.append(message)
        waiter.event.set()
        self.counters.wakeups_by_event += 1

    async def _ask(self) -> None:
        """Ask for replays until nothing is missing any more."""
        pauses = Pauses(ASK_S, ASK_MAX_S)
        while wanted := [w for stream in self._streams.values() if (w := stream.wanted)]:
            for request in wanted:
                self._publisher.send(request)
            await asyncio.sleep(pauses.next())

    async def _publish_status(self, status: Callable[[Dispatcher], OrchestratorStatus]) -> None:
        await self._subscriber.live()
        while True:
            self._publisher.send(status(self))
            await asyncio.sleep(until_next(HEARTBEAT_S))

    def _on_live(self) -> None:
        if self._was_live:
            # The bus was away: messages may have been lost.
            for study, stream in self._streams.items():
                self._take(study, stream.interrupted())
        else:
            for study, stream in self._streams.items():
                own = self._own_tid(study)
                stream.known = own.hex() if own else ""
                self._take(study, News())  # asks, if the past is wanted
        self._was_live = True

    def _read_again(self, study: str) -> None:
        for waiter in self.waiters:
            if waiter.concerns(study) and not waiter.interest.relayed:
                waiter.read_again = True
                waiter.event.set()

    async def _safety_net(self) -> None:
        while True:
            await asyncio.sleep(until_next(NET_S))
            for study, stream in self._streams.items():
                self._watch_over(study, stream, self._nets[study])

    def _watch_over(self, study: str, stream: Stream, net: SafetyNet) -> None:
        own = self._own_tid(study)
        was_silent = net.is_silent
        if own is not None and net.has_caught(own.hex(), stream.tid, time.monotonic()):
            if net.is_silent and not was_silent:
                log.warning("%s: the watcher is silent, reading the database itself", study)
            stream.tid = own.hex()
            self.counters.wakeups_by_safety_read += 1
            stream.interrupted()
            self._take(study, News(lost=True))
