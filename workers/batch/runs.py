"""The runs of one study that are jobs: submitted, followed, ended.

Whatever happens to them is told to the launcher, which writes it into the database. What is known
only here is known again after a restart: from the database, the run directories, the scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.batch_options import WrongOption
from motoko.policy import Policy
from motoko.run_output import tail
from motoko.workers.batch import job_script, submission
from motoko.workers.batch.batch_run import BatchRun
from motoko.workers.batch.interface import (
    BatchSystem,
    Full,
    Job,
    Phase,
    Refused,
    Unanswered,
)
from motoko.workers.batch.job_script import Evidence
from motoko.workers.batch.polling import SharedPoll, View
from motoko.workers.batch.reconcile import Followed, Step, Verdict, judge
from motoko.workers.ends import End

log = logging.getLogger(__name__)

# The spool is one directory, whatever the number of runs.
SPOOL_S = 1.0
BUSY_S = 1.0
# After a submission that nobody answered, or a disk that cannot be written.
PAUSE_S = 5.0
# Until the scheduler that takes no more jobs is tried again.
FULL_S = 30.0


@dataclass(frozen=True)
class Report:
    """Whom a batch run's news goes to.

    Attributes:
        changed: called with a run's id and entries to be set.
        ended: called with a run's id and how it ended; it is followed no more.
    """

    changed: Callable[[int, Mapping[str, Any]], None]
    ended: Callable[[int, End], None]


class BatchRuns:
    """The runs of one study in a batch system.

    Args:
        study: its name.
        directory: the workflow's directory for batch jobs.
        system: the batch system.
        poll: its answers, shared with other studies' launchers.
        report: what is told to whom.
    """

    def __init__(
        self, study: str, directory: Path, system: BatchSystem, poll: SharedPoll, report: Report
    ) -> None:
        self._system = system
        self._poll = poll
        self._report = report
        self._spool = directory / "spool" / study
        self._directory = directory
        self._script: Path | None = None  # once there is a job
        self._runs: dict[int, BatchRun] = {}
        self._to_submit: deque[int] = deque()
        self._strays: set[str] = set()  # jobs that belong to nobody any more
        self._held = 0.0  # nothing is submitted until it has answered a later question
        self._full_until = 0.0
        self._news = asyncio.Event()
        self._expected = 0.0  # since when there is something to ask the scheduler about
        self._spool_seen = -1.0
        self._view = View()
        self._silent = ""

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._runs))

    def __contains__(self, run_id: int) -> bool:
        return run_id in self._runs

    @property
    def trouble(self) -> str:
        """Why the scheduler says nothing; empty if it does."""
        return self._view.error if self._runs else ""

    @property
    def waiting(self) -> int:
        """How many are to be submitted."""
        return len(self._to_submit)

    def submit(self, entries: Mapping[str, Any], policy: Policy) -> None:
        """Submit a run whose intent is committed: its entries name the submission."""
        run = self._add(entries, policy)
        self._to_submit.append(run.run_id)
        self._news.set()

    def adopt(self, entries: Mapping[str, Any], policy: Policy) -> None:
        """Follow a run that an earlier launcher has submitted, or was about to."""
        number = entries["id"]
        if number not in self._runs:
            self._add(entries, policy)
            self._expected = time.monotonic()
            self._news.set()

    def forget(self, run_id: int) -> None:
        """Somebody has reset a run: its job is nobody's any more."""
        run = self._runs.pop(run_id)
        with contextlib.suppress(OSError):
            run.close()
        if run.followed.job is not None:
            self._strays.add(run.followed.job)
        self._news.set()

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        """Have a run's job cancelled; ``final``: without another attempt."""
        run = self._runs.get(run_id)
        if run is None or run.reason:
            return
        log.info("run %d: ending its job: %s", run_id, reason)
        run.reason, run.final = reason, final
        self._news.set()

    def _add(self, entries: Mapping[str, Any], policy: Policy) -> BatchRun:
        run = self._runs[entries["id"]] = BatchRun.of(entries, policy)
        return run

    # What is done, one thing after the other

    async def watch(self) -> None:
        """Submit, follow and end jobs, for ever. Asks nobody anything while there are none."""
        while True:
            pause = PAUSE_S
            try:
                pause = await self._round()
            except Unanswered as error:
                self._say_silent(str(error))
            except OSError as error:
                log.error("batch jobs wait: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self._runs or self._strays else None):
                    await self._news.wait()
            self._news.clear()

    async def _round(self) -> float:
        """Do what is to be done now; returns for how long there is nothing else."""
        if self._runs:
            self._spool.mkdir(parents=True, exist_ok=True)
        if self._strays:
            await self._system.cancel(self._strays)
            self._strays.clear()
        await self._end_some()
        while self._to_submit and self._may_submit():
            number = self._to_submit.popleft()
            try:
                await self._submit_one(number)
            except Full as error:
                self._wait_for_room(number, str(error))
            await self._end_some()
        if not self._runs:
            return SPOOL_S
        self._read_spool()
        if self._runs and self._poll.due(self._expected) <= time.monotonic():
            await self._ask()
        now = time.time()
        for run in list(self._runs.values()):
            if run.deadline is not None and run.deadline <= now:
                limit = f"{run.policy.timeout:g} s"
                self.end(run.run_id, f"it took longer than its time limit of {limit}")
        # If it is due all the same, somebody else is asking.
        left = self._poll.due(self._expected) - time.monotonic()
        return min(left, SPOOL_S) if left > 0 else BUSY_S

    def _may_submit(self) -> bool:
        return not self._held and time.monotonic() >= self._full_until

    def _wait_for_room(self, number: int, said: str) -> None:
        """The scheduler takes no more jobs now."""
        log.warning("run %d: %s: tried again in %g s", number, said, FULL_S)
        self._full_until = time.monotonic() + FULL_S
        if (run := self._runs.get(number)) is not None:
            self._to_submit.appendleft(number)
            self._record(run, batch_state=f"not submitted yet: {said}")

    async def _submit_one(self, number: int) -> None:
        run = self._runs.get(number)
        if run is None:
            return
        if self._script is None:
            self._script = job_script.write(self._directory, self._system.name)
        try:
            what = submission.build(
                name=run.followed.name,
                run_id=number,
                attempt=run.followed.attempt,
                directory=run.directory,
                stem=run.stem,
                policy=run.policy,
                script=self._script,
                spool=self._spool,
            )
        except (WrongOption, OSError) as error:
            self._finish(run, End(reason=f"launch.sh: {error}", final=True))
            return
        try:
            job = await self._system.submit(what)
        except Refused as error:
            log.warning("run %d: %s", number, error)
            self._finish(run, End(reason=str(error), final=True))  # it would be again
            return
        except Unanswered as error:
            # It may be queued all the same: only what the scheduler shows later tells.
            log.warning("run %d: %s: looking for its job in the queue", number, error)
            self._held = time.monotonic()
            run.followed = Followed(run.followed.attempt, run.followed.name, self._held)
        else:
            log.info("run %d: submitted as job %s", number, job)
            name, attempt = run.followed.name, run.followed.attempt
            run.followed = Followed(attempt, name, time.monotonic(), job)
            self._record(run, batch_job_id=job, batch_state="PENDING")
        self._expected = time.monotonic()

    async def _end_some(self) -> None:
        """Tell the scheduler of the runs that are to end."""
        wanted = [run for run in self._runs.values() if run.reason and not run.told]
        for run in [run for run in wanted if run.run_id in self._to_submit]:
            self._to_submit.remove(run.run_id)
            self._finish(run, End(reason=run.reason, final=run.final))
        known = [run for run in wanted if run.followed.job and run.run_id in self._runs]
        if not known:
            return
        await self._system.cancel([str(run.followed.job) for run in known])
        for run in known:
            run.told = True
            self._expected = time.monotonic()
            if run.close():
                self._finish(run, End(reason=run.reason, final=run.final), state="CANCELLED")

    async def _ask(self) -> None:
        """What has become of all runs, as the scheduler says."""
        self._view = await self._poll.view(self._expected)
        self._say_silent(self._view.error)
        if self._view.asked > self._held:
            self._held = 0.0
        verdicts = [(run, self._judged(run)) for run in list(self._runs.values())]
        vanished = [v.followed.job for _, v in verdicts if v.step is Step.ASK and v.followed.job]
        known: Mapping[str, Job] = {}
        if vanished:
            log.warning("jobs that the queue does not show: %s", ", ".join(vanished))
            known = await self._system.look_up(vanished)
        # Before that is recorded: who awaits the run finds its job gone.
        hopeless = {
            verdict.job.id
            for _, verdict in verdicts
            if verdict.step is Step.END and verdict.job and verdict.job.hopeless
        }
        if hopeless:
            await self._system.cancel(hopeless, pending=True)
        surplus = {job for _, verdict in verdicts for job in verdict.surplus}
        if surplus:
            log.warning("cancelling jobs that were queued twice: %s", ", ".join(sorted(surplus)))
            await self._system.cancel(surplus, pending=True)
        for run, verdict in verdicts:
            if self._runs.get(run.run_id) is not run:
                continue  # it was reset meanwhile
            job = verdict.followed.job
            # A scheduler that has lost its state gives numbers to other jobs once more.
            if job and job in known and known[job].name == run.followed.name:
                run.followed = verdict.followed
                verdict = self._judged(run, known[job])
            self._obey(run, verdict)

    def _judged(self, run: BatchRun, asked: Job | None = None) -> Verdict:
        return judge(run.followed, run.evidence(), self._view, asked)

    def _read_spool(self) -> None:
        """Look after the runs of which the nodes say that something has happened."""
        changed = self._spool.stat().st_mtime
        if changed == self._spool_seen:
            return
        # A file system's clock ticks slowly: within the same tick, more may come.
        self._spool_seen = changed if changed < time.time() - SPOOL_S else -1.0
        runs = set()
        for path in self._spool.iterdir():
            first = path.name.partition(".")[0]
            if first.isdigit():
                runs.add(int(first))
            path.unlink(missing_ok=True)
        for number in sorted(runs & self._runs.keys()):
            run = self._runs[number]
            evidence = run.evidence()
            if evidence.ended:
                self._expected = time.monotonic()
            self._obey(run, judge(run.followed, evidence, self._view))

    def _obey(self, run: BatchRun, verdict: Verdict) -> None:
        """Do what a verdict says about a run."""
        evidence = run.evidence()
        run.followed = verdict.followed
        if verdict.step is Step.SUBMIT and run.run_id not in self._to_submit and not run.reason:
            log.info("run %d: it is not in the queue: submitted again", run.run_id)
            self._to_submit.append(run.run_id)
            self._news.set()
            return
        job, state = verdict.job, None
        if job is not None:
            state = job.state
        elif evidence.attempt is not None:
            state = "RUNNING"
        ends = verdict.step is Step.END or (verdict.step is Step.SUBMIT and bool(run.reason))
        if not ends:
            self._record(run, **run.news(evidence, job, state))
            return
        if evidence.attempt is None and not run.close():
            return  # it has started just now
        if job is None or job.phase is not Phase.ENDED:
            # The scheduler has not said it yet, or says nothing any more.
            state = "CANCELLED" if job is not None else "LOST"
            if verdict.code is not None:
                state = "FAILED" if verdict.code else "COMPLETED"
        reason = run.reason or verdict.problem
        if reason and job is not None and not evidence.ended:
            said = self._system.last_words(run.directory, job.id)
            reason = f"{reason}: {said}" if said else reason
        self._finish(
            run,
            End(
                code=verdict.code,
                reason=reason,
                final=run.final or (verdict.final and not run.reason),
            ),
            evidence,
            nodes=job.nodes if job else "",
            state=state,
        )

    def _record(self, run: BatchRun, **entries: Any) -> None:
        changed = {k: v for k, v in entries.items() if run.recorded.get(k) != v}
        if changed:
            run.recorded.update(changed)
            self._report.changed(run.run_id, changed)

    def _finish(
        self,
        run: BatchRun,
        end: End,
        evidence: Evidence | None = None,
        *,
        nodes: str = "",
        state: str | None = None,
    ) -> None:
        """A run has ended: tell it, and follow it no more."""
        evidence = evidence or Evidence()
        if evidence.attempt is not None:
            # Nobody is to start it once more. If that cannot be written, it has ended all the same.
            with contextlib.suppress(OSError):
                run.close()
        entries = run.last_entries(evidence, nodes, state)
        del self._runs[run.run_id]
        stderr = tail(run.directory / f"{run.stem}.e{run.run_id}")
        self._report.ended(
            run.run_id,
            End(end.code, end.reason, stderr, final=end.final, entries=entries),
        )

    def _say_silent(self, error: str) -> None:
        """Log once that the scheduler says nothing, and that it does again."""
        if error and not self._silent:
            log.warning("the batch system gives no answer; jobs are followed later: %s", error)
        elif self._silent and not error:
            log.info("the batch system answers again")
        self._silent = error
