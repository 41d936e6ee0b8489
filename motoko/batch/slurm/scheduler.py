"""Slurm's commands. :mod:`motoko.batch.slurm.parsing` reads their output."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace

from motoko.batch.batch_system import (
    ArrayLimits,
    Job,
    JobRefused,
    Phase,
    QueueFull,
    SchedulerSilent,
    Submission,
)
from motoko.batch.commands import Commands, Done
from motoko.batch.slurm import parsing
from motoko.host.accounts import name_of

# If an answer takes longer, the controller is in trouble.
ANSWER_S = 30.0
# sbatch itself gives up after 10 s (MessageTimeout), or later if the site has set that.
SUBMIT_S = 120.0
IDS_AT_ONCE = 500  # on one command line


class SlurmScheduler:
    """The default cluster, as this user sees it."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._has_accounting = True

    async def submit(self, submission: Submission) -> str:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        elements = submission.elements
        done = await self._call(
            "sbatch",
            "--parsable",
            f"--job-name={submission.name}",
            f"--chdir={submission.directory}",
            *([f"--array={parsing.indices(elements)}"] if elements else []),
            *submission.options,
            "--",
            str(submission.script),
            *submission.arguments,
            timeout=SUBMIT_S,
        )
        number = parsing.submitted(done.stdout)
        if done.code == 0 and number is not None:
            return number
        if done.code and parsing.is_full(done.stderr):
            raise QueueFull(f"sbatch takes no more jobs now: {parsing.words(done.stderr)}")
        if done.code is not None and done.code > 0 and parsing.is_refusal(done.stderr):
            raise JobRefused(f"sbatch refused the job: {parsing.words(done.stderr)}")
        raise self._unanswered("sbatch", done)

    async def array_limits(self) -> ArrayLimits:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        done = await self._call("scontrol", "show", "config")
        if done.code != 0:
            raise self._unanswered("scontrol", done)
        limits = parsing.array_limits(done.stdout)
        if parsing.enforces_limits(done.stdout):
            mine = [f"user={name_of(os.getuid())}", *parsing.cluster(done.stdout)]
            most = [
                await self._submit_limit("associations", "where", *mine, "format=MaxSubmitJobs"),
                await self._submit_limit("qos", "format=MaxSubmitJobsPerUser"),
            ]
            if any(most):
                limits = replace(limits, jobs=min(filter(None, most)))
        return limits

    async def _submit_limit(self, *what: str) -> int | None:
        """How many jobs accounting lets the user have; without an answer, refusals tell."""
        done = await self._call("sacctmgr", "--noheader", "--parsable2", "show", *what)
        return parsing.most_submitted(done.stdout) if done.code == 0 else None

    async def query(self) -> list[Job]:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        done = await self._call(
            *("squeue", "--noheader", "--all", "--array", "--states=all"),
            *(f"--user={os.getuid()}", f"--format={parsing.QUERY_FORMAT}"),
        )
        if done.code != 0:
            raise self._unanswered("squeue", done)
        return parsing.jobs_of_query(done.stdout)

    async def look_up(self, ids: Collection[str]) -> Mapping[str, Job]:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        jobs: dict[str, Job] = {}
        if self._has_accounting:
            done = await self._call(
                *("sacct", "--allocations", "--noheader", "--parsable2"),
                *(f"--format={parsing.ACCOUNTING_FIELDS}", f"--jobs={','.join(ids)}"),
            )
            if done.code == 0:
                # If accounting has missed the end of a job, it shows the job as running for ever.
                over = parsing.jobs_of_accounting(done.stdout)
                jobs |= {job.id: job for job in over if job.phase is Phase.ENDED}
            else:  # the site may have no accounting; an error is like an answer without jobs
                self._has_accounting = "disabled" not in done.stderr
        if all(number in jobs for number in ids):
            return {number: jobs[number] for number in ids}
        # scontrol takes one id or none: so all jobs are asked for, in one command for any number of
        # ids. For a missing element, the other elements of its array are needed.
        which = ids if len(ids) == 1 and "_" not in "".join(ids) else []
        done = await self._call("scontrol", "--oneliner", "show", "job", *which)
        if done.code == 0:
            shown = parsing.jobs_of_controller(done.stdout)
            jobs |= {job.id: job for job in shown}
            for number in [number for number in ids if number not in jobs]:
                if (dropped := parsing.dropped(number, shown)) is not None:
                    jobs[number] = dropped
        elif "Invalid job id" not in done.stderr:
            raise self._unanswered("scontrol", done)
        return {number: jobs[number] for number in ids if number in jobs}

    async def memory_of(self, ids: Collection[str]) -> Mapping[str, int]:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        memory: dict[str, int] = {}
        left = sorted(ids)
        while left:
            done = await self._call(
                *("sacct", "--noheader", "--parsable2", f"--format={parsing.MEMORY_FIELDS}"),
                f"--jobs={','.join(left[:IDS_AT_ONCE])}",
            )
            if done.code != 0:
                break
            memory |= parsing.memory_of_accounting(done.stdout)
            left = left[IDS_AT_ONCE:]
        return {number: memory[number] for number in ids if number in memory}

    async def cancel(
        self, ids: Collection[str], *, names: Collection[str] = (), pending: bool = False
    ) -> None:
        """See :class:`motoko.batch.batch_system.Scheduler`."""
        which = ["--state=PENDING"] if pending else []
        # scancel does not know the names of elements: an array's name would mean all of them.
        named = [job.id for job in await self.query() if job.name in names] if names else []
        left = sorted({*ids, *named})
        while left:
            await self._scancel(*which, *left[:IDS_AT_ONCE])
            left = left[IDS_AT_ONCE:]

    async def _scancel(self, *arguments: str) -> None:
        done = await self._call("scancel", "--quiet", *arguments)
        if done.code != 0 and not parsing.is_refusal(done.stderr):
            raise self._unanswered("scancel", done)

    async def _call(self, *command: str, timeout: float = ANSWER_S) -> Done:
        variables = environment()
        if command[0] != "sbatch":  # jobs inherit the environment of sbatch
            variables["SLURM_BITSTR_LEN"] = "0"  # so that lists of an array's elements are not cut
        return await self._commands.call(command, environment=variables, timeout=timeout)

    @staticmethod
    def _unanswered(command: str, done: Done) -> SchedulerSilent:
        complaint = parsing.words(done.stderr)
        return SchedulerSilent(f"{command} {done.how}{f': {complaint}' if complaint else ''}")


def environment() -> dict[str, str]:
    """The environment of Slurm's commands, which jobs inherit.

    If this process is in a job itself, that job's variables are left out: sbatch would apply its
    limits to new jobs.
    """
    kept = ("SLURM_CONF", "SLURM_CONF_SERVER")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "SLURMD_", "PMI_", "PMIX_")) or name in kept
    }
