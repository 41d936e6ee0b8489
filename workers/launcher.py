"""The launcher of a study: starts its CREATED runs as soon as the bus tells of them.

Woken by the bus, by the end of a run, by slots that others give back. Each pass commits the ends
of runs and the start of others together, and starts the processes afterwards. A launcher that is
killed loses nothing: the next one finds the claims and the exit records in the run directories.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from dataclasses import asdict, dataclass, field

from motoko.bd.base import StudyBase, connect
from motoko.bus.messages import DaemonStatus, Message, SlotsFreed
from motoko.bus.publisher import Publisher
from motoko.dispatch import Counters, Dispatcher, Interest, Waiter
from motoko.errors import ConfigError
from motoko.identity import session_members
from motoko.run_output import tail
from motoko.states import CREATED, FINISHED
from motoko.timing import HEARTBEAT_S, until_next
from motoko.workers.daemon import Daemon, arguments, running
from motoko.workers.ends import End, settle
from motoko.workers.local_run import LocalRun
from motoko.workers.preparing import Prepared, Preparer
from motoko.workers.recovery import Found, examine
from motoko.workers.slots import Slots, release, usable_cpus
from motoko.workers.transacting import atomically

log = logging.getLogger(__name__)

# While runs wait for slots that another launcher holds, in case its word on the bus is lost.
SLOT_RETRY_S = 1.0
BUS_DEADLINE_S = 5.0
KILL_GRACE_S = 5.0


@dataclass
class Work:
    """What is to be done and what is being done. Ids are run ids."""

    waiting: dict[int, float] = field(default_factory=dict)  # CREATED: not before (epoch s)
    unstarted: set[int] = field(default_factory=set)  # launched by a predecessor, never started
    active: dict[int, LocalRun] = field(default_factory=dict)
    ended: dict[int, End] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)  # active runs that were seen to be FINISHED

    def due(self, now: float) -> list[int]:
        """The runs that may start now, oldest first."""
        return sorted(self.unstarted) + sorted(r for r, t in self.waiting.items() if t <= now)


class Launcher:
    """The launcher of one study."""

    def __init__(self, daemon: Daemon, study: str, slots: int | None, publisher: Publisher) -> None:
        self.study = daemon.config.studies[study]
        self.name = daemon.name
        self._runtime = daemon.runtime
        self._publisher = publisher
        self._slots = Slots(
            daemon.runtime.wf / "locks" / "slots", slots or daemon.config.slots or usable_cpus()
        )
        self._base: StudyBase = connect(self.study, daemon.runtime)
        self._preparer = Preparer(self._base, self._slots.count)
        self._work = Work()
        self._short_of_slots = False
        self._stopping = False
        self._waiter: Waiter | None = None
        self._woken = Counters()

    async def run(self) -> None:
        """Launch until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._stop)
        heart = loop.create_task(self._heartbeat())
        dispatcher = Dispatcher(
            self._runtime,
            [self.study.name],
            lambda study: self._base.tid,
            topics=[b"slots."],
            on_other=self._on_other,
        )
        self._woken = dispatcher.counters
        with dispatcher.waiting(Interest(studies=[self.study.name])) as waiter:
            self._waiter = waiter
            await dispatcher.live()
            await self._look_at_everything()
            log.info("ready: %d slots, %d runs waiting", self._slots.count, len(self._work.waiting))
            self._report()
            while not self._stopping:
                await self._step()
                for change in await waiter.wait(self._pause()):
                    if change.new == CREATED:
                        self._work.waiting.setdefault(change.run_id, 0.0)
                    elif change.new == FINISHED and change.run_id in self._work.active:
                        self._work.finished.add(change.run_id)
                if waiter.read_again:
                    waiter.read_again = False
                    await self._look_at_everything()
            await self._end_all()
        heart.cancel()
        dispatcher.close()

    def _pause(self) -> float | None:
        """How long to sleep at most, if nothing happens."""
        now = time.time()
        pauses = [max(0.0, at - now) for at in self._work.waiting.values() if at > now]
        if self._short_of_slots:
            pauses.append(SLOT_RETRY_S)
        return min(pauses, default=None)

    async def _look_at_everything(self) -> None:
        """Find what is to be started, adopted or settled: at the start, or after a gap."""
        known = {*self._work.active, *self._work.ended}

        def look() -> dict[int, Found]:
            found = {}
            for run in self._base.all_runs():
                number = run.entries["id"]
                if number not in known and (what := examine(run.entries)):
                    found[number] = what
            return found

        for number, what in (await atomically(self._base, look)).items():
            if what.retry_at is not None:
                self._work.waiting.setdefault(number, what.retry_at)
            elif what.end is not None:
                self._work.ended[number] = what.end
            elif what.wrapper is not None:
                log.info("run %d: adopted (pid %d)", number, what.wrapper.pid)
                self._watch(
                    LocalRun.adopt(number, what.directory, what.attempt, what.stem, what.wrapper)
                )
            else:
                self._work.unstarted.add(number)

    async def _step(self) -> None:
        """Settle what has ended and start what can be started."""
        work = self._work
        while True:
            ended, work.ended = work.ended, {}
            if due := work.due(time.time()):
                await atomically(self._base, lambda: None)  # how many slots do they want?
            starting = self._take_slots(due)
            if not due:
                self._slots.give_up()
            if not ended and not starting:
                return

            def commit(
                ended: dict[int, End] = ended, starting: dict[int, list[int]] = starting
            ) -> list[Prepared]:
                for number, end in ended.items():
                    self._settle(number, end)
                return [
                    prepared
                    for number in starting
                    if (prepared := self._preparer.prepare(number, number in work.unstarted))
                ]

            try:
                prepared = await atomically(self._base, commit)
            except BaseException:
                work.ended = {**ended, **work.ended}
                for slots in starting.values():
                    release(slots)
                raise
            for number in starting:
                work.waiting.pop(number, None)
                work.unstarted.discard(number)
            for each in prepared:
                self._watch(LocalRun.start(each, starting[each.run_id]))
            for slots in starting.values():
                release(slots)
            if ended or starting:
                # Slots, or the first place in the queue for them.
                self._publisher.send(SlotsFreed(self.name, len(ended)))
            self._report()

    def _take_slots(self, due: list[int]) -> dict[int, list[int]]:
        """Slots for as many of the runs as there are, in their order."""
        taken: dict[int, list[int]] = {}
        self._short_of_slots = False
        for number in due:
            wanted = self._preparer.slots_wanted(number)
            slots = self._slots.take(min(wanted, self._slots.count))
            if slots is None:
                self._short_of_slots = True
                break
            taken[number] = slots
        return taken

    def _settle(self, number: int, end: End) -> None:
        run = self._base.runs.entries.get(number)
        if run is None:
            return  # deleted meanwhile
        retries = int(run.entries.get("retries", self.study.retries))
        changes = settle(run.entries, end, retries=retries, now=time.time())
        if "retry_at" in changes:
            self._work.waiting[number] = changes["retry_at"]
            log.warning("run %d failed and will be retried: %s", number, changes["last_failure"])
        elif "failure_reason" in changes:
            log.warning("run %d failed: %s", number, changes["failure_reason"])
        run.entries.update(changes)

    def _watch(self, run: LocalRun) -> None:
        self._work.active[run.run_id] = run
        loop = asyncio.get_running_loop()
        if run.pidfd is None:
            loop.call_soon(self._on_end, run)
        else:
            loop.add_reader(run.pidfd, self._on_end, run)

    def _on_end(self, run: LocalRun) -> None:
        if run.pidfd is not None:
            asyncio.get_running_loop().remove_reader(run.pidfd)
        self._work.active.pop(run.run_id, None)
        code, reason = run.collect()
        self._work.ended[run.run_id] = End(
            code=code,
            reason="stopped by `motoko kill`" if self._stopping else reason,
            stderr=tail(run.directory / run.stderr),
            final=self._stopping,
            finished=run.run_id in self._work.finished,
        )
        self._work.finished.discard(run.run_id)
        self._wake()

    def _on_other(self, message: Message) -> None:
        if isinstance(message, SlotsFreed) and self._short_of_slots:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.event.set()

    def _stop(self) -> None:
        log.info("told to end all runs")
        self._stopping = True
        self._wake()

    async def _end_all(self) -> None:
        """End the local runs, and record it."""
        for number in signal.SIGTERM, signal.SIGKILL:
            for run in self._work.active.values():
                for member in session_members(run.session):
                    # The wrapper is left to record the exit.
                    if member.pid != run.session or number == signal.SIGKILL:
                        member.signal(number)
            deadline = time.monotonic() + KILL_GRACE_S
            while self._work.active and time.monotonic() < deadline:
                assert self._waiter is not None
                await self._waiter.wait(deadline - time.monotonic())
        ended, self._work.ended = self._work.ended, {}

        def commit() -> None:
            for number, end in ended.items():
                self._settle(number, end)

        if ended:
            await atomically(self._base, commit)
        log.info("ended %d runs", len(ended))

    async def _heartbeat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(until_next(HEARTBEAT_S))

    def _report(self) -> None:
        running, queued = len(self._work.active), len(self._work.waiting)
        self._publisher.send(
            DaemonStatus(
                self.name,
                os.getpid(),
                detail=f"{running} running, {queued} queued",
                counts={
                    "running": running,
                    "queued": queued,
                    "slots": self._slots.count,
                    **asdict(self._woken),
                },
            )
        )


def main() -> None:
    """Entry point of ``python -m motoko.workers.launcher``."""
    options = arguments("The launcher of a study.", study=True)
    with running(f"launcher:{options.study}", options.workflow) as daemon:
        generator = daemon.config.generator
        if generator != "bash":
            raise ConfigError(
                f"{daemon.config.path}: generator: {generator} is not there yet",
                hint="use `generator: bash`",
            )
        with Publisher(daemon.runtime.bus_publish) as publisher:
            publisher.connected(BUS_DEADLINE_S)
            launcher = Launcher(daemon, options.study, options.slots, publisher)
            asyncio.run(launcher.run())


if __name__ == "__main__":
    main()
