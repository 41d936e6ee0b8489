"""The launcher of a study: starts its CREATED runs as soon as the bus tells of them.

Woken by the bus, by the end of a run, by slots that others give back. Each pass commits the ends
of runs and the start of others together, and starts the processes afterwards; short runs are
prepared ahead of their slots. A launcher that is killed loses nothing: the next one finds the
claims and the exit records in the run directories.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from motoko.bd.base import StudyBase, connect
from motoko.bus.messages import DaemonStatus, Message, SlotsFreed
from motoko.bus.publisher import Publisher
from motoko.dispatch import Counters, Dispatcher, Interest, Waiter
from motoko.run_output import tail
from motoko.states import CANCELLED_BY, CREATED, FINISHED, LAUNCHED, RUNNING_STATES
from motoko.timing import HEARTBEAT_S, until_next
from motoko.workers.active import KILL_GRACE_S, ActiveRuns
from motoko.workers.batch.jobs import Jobs
from motoko.workers.daemon import Daemon, arguments, running
from motoko.workers.ends import End
from motoko.workers.local_run import LocalRun
from motoko.workers.passes import Passes
from motoko.workers.recovery import Found, examine
from motoko.workers.slots import Slots, usable_cpus
from motoko.workers.transacting import atomically

log = logging.getLogger(__name__)

BUS_DEADLINE_S = 5.0
LOOK_AT = 500  # runs at a time
END_DEADLINE_S = KILL_GRACE_S + 5.0  # for all runs to end, when told to


class Launcher:
    """The launcher of one study."""

    def __init__(
        self,
        daemon: Daemon,
        study: str,
        slots: int | None,
        publisher: Publisher,
        generator: str | None = None,
    ) -> None:
        self.study = daemon.config.studies[study]
        self.name = daemon.name
        self._runtime = daemon.runtime
        self._publisher = publisher
        self._base: StudyBase = connect(self.study, daemon.runtime)
        self._active = ActiveRuns(self._ended)
        self._jobs = Jobs(daemon, self.study, generator, self._job_changed, self._job_ended)
        self._passes = Passes(
            self._base,
            Slots(
                daemon.runtime.wf / "locks" / "slots", slots or daemon.config.slots or usable_cpus()
            ),
            self._active,
            self._jobs,
        )
        self._work, self._ahead = self._passes.work, self._passes.ahead
        self._stopping = False
        self._ready = False  # all runs have been looked at once
        self._waiter: Waiter | None = None
        self._dispatcher: Dispatcher | None = None
        self._woken = Counters()

    async def run(self) -> None:
        """Launch until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._stop)
        loop.add_signal_handler(signal.SIGUSR2, self._pause_or_resume)
        heart = loop.create_task(self._heartbeat())
        dispatcher = Dispatcher(
            self._runtime,
            [self.study.name],
            lambda study: self._base.tid,
            topics=[b"slots."],
            on_other=self._on_other,
        )
        self._dispatcher, self._woken = dispatcher, dispatcher.counters
        with dispatcher.waiting(Interest(studies=[self.study.name])) as waiter:
            self._waiter = waiter
            await dispatcher.live()
            await self._look_at_everything()
            jobs = loop.create_task(self._jobs.runs.watch())
            jobs.add_done_callback(lambda task: self._wake())
            self._ready = True
            log.info(
                "ready: %d slots, %d runs waiting",
                self._passes.slots.count,
                len(self._work.waiting),
            )
            self._report()
            while not self._stopping:
                await self._step()
                news = await waiter.wait(self._passes.pause())
                if jobs.done():
                    jobs.result()
                if self._active or self._ahead or self._jobs.runs:
                    await atomically(self._base, self._heed, self._tid())
                for change in news:
                    if change.new == CREATED:
                        self._work.waiting.add(change.run_id)
                        self._passes.hints.update(bytes.fromhex(oid) for oid in change.oids)
                    elif change.old == CREATED and change.new not in RUNNING_STATES:
                        self._work.waiting.remove(change.run_id)  # cancelled, or deleted
                    elif change.new == FINISHED and (
                        change.run_id in self._active or change.run_id in self._jobs.runs
                    ):
                        self._work.finished.add(change.run_id)
                if waiter.read_again:
                    waiter.read_again = False
                    await self._look_at_everything()
            jobs.cancel()
            await self._end_all()
        heart.cancel()
        dispatcher.close()

    async def _look_at_everything(self) -> None:
        """Find what is to be started, adopted or settled: at the start, or after a gap.

        The first ones are started, and heartbeats go out, before the last ones are looked at.
        """
        after: int | None = -1
        while after is not None and not self._stopping:
            found, after = await atomically(self._base, partial(self._look, after))
            self._take_up(found)
            await self._step()
            await asyncio.sleep(0)

    def _look(self, after: int) -> tuple[dict[int, Found], int | None]:
        """What is to be done with some runs, in their order; and the last of them, if more come."""
        known = {*self._active, *self._ahead, *self._jobs.runs, *self._work.ended}
        some = itertools.islice(self._base.runs.entries.items(after, excludemin=True), LOOK_AT)
        found: dict[int, Found] = {}
        last = None
        for last, run in self._base.loaded(some):
            if last in known or not self._passes.preparer.is_ours(run.entries):
                continue
            if self._jobs.adopt(run.entries, self._passes.policy):
                continue
            if what := examine(run.entries):
                found[last] = what
        return found, last

    def _take_up(self, found: Mapping[int, Found]) -> None:
        """Queue, watch or settle what was found."""
        for number, what in found.items():
            if what.retry_at is not None:
                self._work.waiting.add(number, what.retry_at)
            elif what.end is not None:
                self._work.ended[number] = what.end
                if what.session is not None:
                    self._active.sweep(what.session)
            elif what.process is not None:
                log.info("run %d: adopted (pid %d)", number, what.process.pid)
                self._active.add(LocalRun.adopt(number, what, self._passes.timeout(number)))
            else:
                self._work.unstarted.add(number)

    async def _step(self) -> None:
        """Settle what has ended and start what can be started."""
        ended = await self._passes.step(self._tid())
        if ended is not None:
            # Slots, or the first place in the queue for them.
            self._publisher.send(SlotsFreed(self.name, ended))
            self._report()

    def _tid(self) -> bytes:
        """The newest transaction that the bus has told of."""
        assert self._dispatcher is not None
        return self._dispatcher.tid(self.study.name)

    def _heed(self) -> None:
        """End the runs that somebody has cancelled: what a commit without new states may say."""
        for number in (*self._active, *self._ahead, *self._jobs.runs):
            run = self._base.runs.entries.get(number)
            who = run.entries.get(CANCELLED_BY) if run is not None else None
            if number in self._ahead:
                if who:
                    self._note_end(number, End(reason=f"cancelled by {who}", final=True))
                if who or run is None or run.entries.get("state") != LAUNCHED:
                    self._ahead.drop(number)
            elif who:
                runs = self._active if number in self._active else self._jobs.runs
                runs.end(number, f"cancelled by {who}", final=True)

    def _note_end(self, number: int, end: End) -> None:
        self._passes.note_end(number, end)
        self._wake()

    def _ended(self, run: LocalRun, code: int | None, reason: str) -> None:
        if run.is_claimed:
            log.warning("run %d: somebody else has started it", run.run_id)
            if self._waiter is not None:
                self._waiter.read_again = True
            self._wake()
            return
        self._ahead.has_taken(time.time() - run.started)
        stderr = tail(run.directory / run.stderr)
        finished = run.run_id in self._work.finished
        end = End(code=code, reason=reason, stderr=stderr, final=run.final, finished=finished)
        self._note_end(run.run_id, end)

    def _job_changed(self, number: int, entries: Mapping[str, Any]) -> None:
        self._work.changed.setdefault(number, {}).update(entries)
        self._wake()

    def _job_ended(self, number: int, end: End) -> None:
        self._work.changed.pop(number, None)
        self._note_end(number, replace(end, finished=number in self._work.finished))

    def _on_other(self, message: Message) -> None:
        if isinstance(message, SlotsFreed) and self._passes.short_of_slots:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.event.set()

    def _pause_or_resume(self) -> None:
        self._passes.paused = not self._passes.paused
        log.info("told to start %s", "nothing more" if self._passes.paused else "runs again")
        self._report()
        self._wake()

    def _stop(self) -> None:
        log.info("told to end all runs")
        self._stopping = True
        self._tell_all()  # at once: a server that is away may keep us from getting any further
        self._wake()

    def _tell_all(self) -> None:
        for number in self._active:
            self._active.end(number, "stopped by `motoko kill`", final=True)

    async def _end_all(self) -> None:
        """End the local runs, and record it."""
        self._tell_all()
        deadline = time.monotonic() + END_DEADLINE_S
        while len(self._active) and time.monotonic() < deadline:
            assert self._waiter is not None
            await self._waiter.wait(deadline - time.monotonic())
        ended, self._work.ended = self._work.ended, {}
        ahead = list(self._ahead)

        def commit() -> None:
            for number, end in ended.items():
                self._passes.record_end(number, end)
            for number in ahead:
                self._passes.give_back(number)

        if ended or ahead:
            await atomically(self._base, commit)
        log.info("ended %d runs", len(ended))

    async def _heartbeat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(until_next(HEARTBEAT_S))

    def _report(self) -> None:
        running, queued = len(self._active), len(self._work.waiting) + len(self._ahead)
        self._publisher.send(
            DaemonStatus(
                self.name,
                os.getpid(),
                "ready" if self._ready else "starting",
                detail=f"{running} running, {queued} queued{', paused' * self._passes.paused}"
                + self._jobs.detail,
                counts={
                    "running": running,
                    "queued": queued,
                    "slots": self._passes.slots.count,
                    "paused": int(self._passes.paused),
                    **self._jobs.counts,
                    **asdict(self._woken),
                },
            )
        )


def main() -> None:
    """Entry point of ``python -m motoko.workers.launcher``."""
    options = arguments("The launcher of a study.", study=True)
    with (
        running(f"launcher:{options.study}", options.workflow) as daemon,
        Publisher(daemon.runtime.bus_publish) as publisher,
    ):
        publisher.connected(BUS_DEADLINE_S)
        launcher = Launcher(daemon, options.study, options.slots, publisher, options.generator)
        asyncio.run(launcher.run())


if __name__ == "__main__":
    main()
