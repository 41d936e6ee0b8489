"""The runs of one study that are jobs: followed, and ended.

What is kept in memory here is found again after a restart: in the database, in the run directories
and at the scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from motoko.batch.batch_system import BatchSystem, Job, Phase, Scheduler, SchedulerSilent
from motoko.batch.polling import SharedPoll, View
from motoko.host.directory_changes import DirectoryChanges
from motoko.host.machine_troubles import described
from motoko.host.pauses import Pauses
from motoko.runs.claims import may_go_on
from motoko.runs.ends import End
from motoko.runs.job_facts import GATHERED, IN_PACK, SUBMITTING
from motoko.runs.job_script import Evidence
from motoko.runs.outputs import stderr_name, tail
from motoko.workers.launcher.batch_run import BatchRun, last_state
from motoko.workers.launcher.executor import Changed, Ended, Event
from motoko.workers.launcher.pack_files import PackFiles
from motoko.workers.launcher.reconcile import Step, Verdict, judge
from motoko.workers.launcher.submitting import Outcome, Submitter
from motoko.workers.launcher.unhurried import unhurried

log = logging.getLogger(__name__)

# How often the spool is read: it is one directory, whatever the number of runs.
SPOOL_S = 1.0
BUSY_S = 1.0
# How long to wait after the scheduler did not answer, or the disk could not be written.
PAUSE_S = 5.0
PAUSE_MAX_S = 30.0


class BatchRuns:
    """The runs of one study in a batch system.

    Args:
        spool: where the study's jobs say that they have begun or ended.
        system: the batch system; scheduler: asks it and submits to it.
        poll: the scheduler's answers, shared with other studies' launchers.
        submitter: submits the runs.
        new_name: makes a name that no submission has had, of a run and its attempt.
        fence: keeps an attempt of a run from committing from now on, for a reason; raises
            ``OSError`` if that is impossible.
        report: called with the events of runs.
        patience: how long to wait for the exit record of a job that is over, in seconds.

    Attributes:
        runs: the runs, by number.
        strays: jobs that belong to no run any more, and must be cancelled.
        hindrance: what keeps runs from being submitted and followed now; empty if nothing does.
    """

    def __init__(
        self,
        spool: Path,
        system: BatchSystem,
        scheduler: Scheduler,
        poll: SharedPoll,
        submitter: Submitter,
        new_name: Callable[[int, int], str],
        fence: Callable[[int, int, str], None],
        report: Callable[[Event], None],
        patience: float,
    ) -> None:
        self.runs: dict[int, BatchRun] = {}
        self.strays: set[str] = set()
        self.hindrance = ""
        self._spool = spool
        self._system = system
        self._scheduler = scheduler
        self._poll = poll
        self._submitter = submitter
        self._new_name = new_name
        self._packs = PackFiles()
        self._fence = fence
        self._report = report
        self._patience = patience
        self._news = asyncio.Event()
        self._expected = 0.0  # since when there is something to ask the scheduler about
        self._spooled = DirectoryChanges(spool)
        self._view = View()
        self._silent = ""

    @property
    def silence(self) -> str:
        """Why the scheduler does not answer; empty if it does."""
        return self._view.error if self.runs else ""

    def wake(self, *, ask: bool = False) -> None:
        """There is something to do; ``ask``: the scheduler must be asked soon."""
        if ask:
            self._expected = time.monotonic()
        self._news.set()

    def add(self, run: BatchRun) -> None:
        """Follow a run that an earlier launcher has submitted, or may have.

        Raises ``OSError`` if its files, or those of packs, cannot be read now.
        """
        self._packs.recognise(run)
        self._submitter.take_up(run)
        self.runs[run.run_id] = run
        self.wake(ask=True)

    def drop(self, run_id: int) -> None:
        """Follow a run no more, and have its job cancelled, or, in a pack, the run alone ended."""
        run = self.runs.pop(run_id, None)
        if run is None:
            return
        if run in self._submitter.queue:
            self._submitter.queue.remove(run)
        with contextlib.suppress(OSError):
            if not run.close() and run.followed.packed and self._packs.others(run, ()):
                self._packs.end(run)
        if run.followed.job is not None and not self._goes_on(run, ()):
            self.strays.add(run.followed.job)
        self.wake()

    def _goes_on(self, run: BatchRun, ending: Collection[int]) -> bool:
        """Whether the job of a run must go on for others, when this one and ``ending`` end."""
        try:
            return run.followed.packed and bool(self._packs.others(run, ending))
        except OSError:
            return True

    # What a round does, in this order

    async def watch(self) -> None:
        """Submit, follow and end jobs, for ever. Without any, the scheduler is not asked."""
        pauses = Pauses(PAUSE_S, PAUSE_MAX_S)
        while True:
            try:
                pause = await self._round()
                pauses.restart()
                self.hindrance = ""
            except SchedulerSilent as error:
                self._say_silent(str(error))
                pause = pauses.next()
            except OSError as error:
                self.hindrance = described(error)
                log.error("batch jobs wait: %s", self.hindrance)
                pause = pauses.next()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self.runs or self.strays else None):
                    await self._news.wait()
            self._news.clear()

    async def _round(self) -> float:
        """Do all that can be done now; returns how long to sleep before the next round."""
        if self.runs:
            self._spool.mkdir(parents=True, exist_ok=True)
        if self.strays:
            await self._scheduler.cancel(self.strays)
            self.strays.clear()
        await self._end_some()
        self._submitter.count(self.runs.values())
        while self._submitter.is_open:
            for run, outcome in (await self._submitter.submit()).items():
                self._submitted(run, outcome)
            await self._end_some()
            self._submitter.count(self.runs.values())
        if not self.runs:
            return SPOOL_S
        await self._read_spool()
        if self.runs and self._poll.due(self._expected) <= time.monotonic():
            await self._ask()
        now = time.monotonic()
        for run in list(self.runs.values()):
            if run.deadline is not None and run.deadline <= now:
                run.cancel(f"it took longer than its time limit of {run.policy.timeout:g} s")
                self._news.set()
        # If the poll is still due, the launcher of another study is asking.
        now = time.monotonic()
        left = self._poll.due(self._expected) - now
        pause = min(left, SPOOL_S) if left > 0 else BUSY_S
        opens = self._submitter.opens_at - now
        return min(pause, opens) if self._submitter.queue and opens > 0 else pause

    def _is_followed(self, run: BatchRun) -> bool:
        """Whether a run is still followed: it was not reset meanwhile."""
        return self.runs.get(run.run_id) is run

    def _submitted(self, run: BatchRun, outcome: Outcome) -> None:
        """Take in that a run was submitted, or could not be."""
        self._expected = time.monotonic()
        if not self._is_followed(run):
            if run.followed.job is not None:
                self.strays.add(run.followed.job)
        elif isinstance(outcome, End):
            self._finish(run, outcome)
        else:
            self._record(run, **outcome)

    async def _end_some(self) -> None:
        """Have the scheduler cancel the jobs of the runs that must end."""
        ending = [run for run in self.runs.values() if run.reason and not run.is_cancelled]
        for run in [run for run in ending if run in self._submitter.queue]:
            self._submitter.queue.remove(run)
            self._finish(run, End(reason=run.reason, final=run.final))
        known = [run for run in ending if run.followed.job and self._is_followed(run)]
        if not known:
            return
        numbers = {run.run_id for run in known}
        goes_on = {
            name: self._goes_on(run, numbers)
            for name, run in {run.followed.name: run for run in known}.items()
        }
        over = [run for run in known if not goes_on[run.followed.name]]
        if over:
            await self._scheduler.cancel({str(run.followed.job) for run in over})
        for run in filter(self._is_followed, known):
            run.is_cancelled = run in over
            if run.close():
                self._finish(run, End(reason=run.reason, final=run.final), state="CANCELLED")
            elif goes_on[run.followed.name]:
                self._packs.end(run)
                run.is_told = True
            run.is_cancelled = True
            self._expected = time.monotonic()

    async def _ask(self) -> None:
        """Ask the scheduler about all jobs, and act on the answer."""
        self._view = await self._poll.view(self._expected)
        self._say_silent(self._view.error)
        self._submitter.answered(self._view.asked)
        verdicts = [(run, self._judged(run)) async for run in unhurried(self.runs.values())]
        vanished = [v.followed.job for _, v in verdicts if v.step is Step.ASK and v.followed.job]
        known: Mapping[str, Job] = {}
        if vanished:
            log.warning("jobs that the queue does not show: %s", ", ".join(vanished))
            known = await self._scheduler.look_up(vanished)
        # Before the end is recorded: an orchestrator that awaits the run must find its job gone.
        hopeless = {
            verdict.job.id
            for _, verdict in verdicts
            if verdict.step is Step.END and verdict.job and verdict.job.hopeless
        }
        if hopeless:
            await self._scheduler.cancel(hopeless, pending=True)
        surplus = {job for _, verdict in verdicts for job in verdict.surplus}
        if surplus:
            log.warning("cancelling jobs that were queued twice: %s", ", ".join(sorted(surplus)))
            await self._scheduler.cancel(surplus, pending=True)
        async for run, verdict in unhurried(verdicts):
            if not self._is_followed(run):
                continue
            job = verdict.followed.job
            # A scheduler that has lost its state gives the same ids to other jobs.
            if job and job in known and known[job].name == run.followed.name:
                run.followed = verdict.followed
                verdict = self._judged(run, known[job])
            self._obey(run, verdict)
        self._packs.prune(self.runs.values(), self._view)

    def _judged(self, run: BatchRun, asked: Job | None = None) -> Verdict:
        evidence = run.evidence()
        if run.is_told and evidence.ended:
            return Verdict(Step.END, run.followed, code=evidence.code)  # and its job goes on
        return judge(
            *(run.followed, evidence, self._view, asked),
            patience=self._patience,
            has_begun=lambda number: self._packs.has_begun(run, number),
        )

    async def _read_spool(self) -> None:
        """Look at the runs of which the nodes say, in the spool, that something has happened."""
        if not self._spooled.are_due():
            return
        runs = set()
        for path in self._spool.iterdir():
            first = path.name.partition(".")[0]
            if first.isdigit():
                runs.add(int(first))
            path.unlink(missing_ok=True)
        async for number in unhurried(sorted(runs & self.runs.keys())):
            if (run := self.runs.get(number)) is None:
                continue
            if run.evidence().ended:
                self._expected = time.monotonic()
            self._obey(run, self._judged(run))

    def _obey(self, run: BatchRun, verdict: Verdict) -> None:
        """Do what a verdict says about a run."""
        evidence = run.evidence()
        if evidence.unreadable and not run.unreadable:
            log.warning("run %d: %s: looking again", run.run_id, evidence.unreadable)
        run.unreadable = evidence.unreadable
        if run.unreadable:
            return  # nothing is known now
        self._fence_earlier(run, evidence)
        run.followed = verdict.followed
        is_queued = run in self._submitter.queue
        if verdict.step is Step.SUBMIT and not is_queued and not run.reason:
            self._submit_again(run)
            return
        job, state = verdict.job, None
        if job is not None:
            state = job.state
            if job.phase is Phase.RUNNING and run.followed.packed and evidence.attempt is None:
                state = IN_PACK
        elif evidence.attempt is not None:
            state = "RUNNING"
        ends = verdict.step is Step.END or (verdict.step is Step.SUBMIT and bool(run.reason))
        if not ends:
            self._record(run, **run.news(evidence, job, state))
            return
        if evidence.attempt is None and not run.close():
            return  # it has started just now
        if evidence.attempt is not None and not evidence.ended and verdict.code is None:
            # Processes of the run may still live on a node. Only what they have committed by now
            # counts.
            self._fence(run.run_id, evidence.attempt, run.reason or verdict.problem)
            self._close(run)
            if run.evidence() != evidence:
                return  # it has ended just now, or was started again
        words = ""
        if job is not None and not evidence.ended and (run.reason or verdict.problem):
            words = self._system.last_words(run.directory, job.id)
        self._finish(
            run,
            run.end(verdict, words),
            evidence,
            nodes=job.nodes if job else "",
            state="CANCELLED" if run.is_told else last_state(verdict),
        )

    def _submit_again(self, run: BatchRun) -> None:
        """Have a run submitted again that no job starts any more."""
        named, state = {}, SUBMITTING
        if run.followed.packed or run.policy.pack is not None:
            # It may be in another pack now. The earlier job may still be somewhere.
            if not run.close():
                return  # it has started just now
            run.rename(self._new_name(run.run_id, run.followed.attempt))
            named, state = {"batch_name": run.followed.name}, GATHERED
        log.info("run %d: it is not in the queue: submitted again", run.run_id)
        self._submitter.add(run)
        self._record(run, batch_job_id=None, batch_state=state, **named)
        self._news.set()

    def _fence_earlier(self, run: BatchRun, evidence: Evidence) -> None:
        """Fence earlier attempts: the scheduler may restart a run that still goes on elsewhere."""
        for attempt in range(run.followed.attempt, evidence.attempt or 0):
            if may_go_on(run.directory, attempt):
                job = evidence.job or run.followed.job
                self._fence(run.run_id, attempt, f"the scheduler has started job {job} again")

    def _record(self, run: BatchRun, **entries: Any) -> None:
        changed = {k: v for k, v in entries.items() if run.recorded.get(k) != v}
        if changed:
            run.recorded.update(changed)
            self._report(Changed(run.run_id, changed))

    def _finish(
        self,
        run: BatchRun,
        end: End,
        evidence: Evidence | None = None,
        *,
        nodes: str = "",
        state: str | None = None,
    ) -> None:
        """Report that a run has ended, and stop following it."""
        evidence = evidence or Evidence()
        if evidence.attempt is not None:
            self._close(run)
        entries = run.last_entries(evidence, nodes, state)
        del self.runs[run.run_id]
        self._submitter.leave(run)
        stderr = tail(run.directory / stderr_name(run.stem, run.run_id))
        end = replace(end, stderr=stderr, entries=entries, used=evidence.used)
        self._report(Ended(run.run_id, end))

    def _close(self, run: BatchRun) -> None:
        """Keep a run from being started again. It has ended even if that cannot be written."""
        with contextlib.suppress(OSError):
            run.close()

    def _say_silent(self, error: str) -> None:
        """Log once that the scheduler does not answer, and once that it does again."""
        if error and not self._silent:
            log.warning("the batch system gives no answer; jobs are followed later: %s", error)
        elif self._silent and not error:
            log.info("the batch system answers again")
        self._silent = error
