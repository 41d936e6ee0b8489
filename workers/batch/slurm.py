"""Slurm: its commands. What they print is read by :mod:`motoko.workers.batch.slurm_parsing`."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from motoko.run_output import tail
from motoko.workers.batch import slurm_parsing as parsing
from motoko.workers.batch.commands import Commands, Done
from motoko.workers.batch.interface import Full, Job, Phase, Refused, Submission, Unanswered

# An answer that takes longer comes from a controller that is in trouble.
ANSWER_S = 30.0
# sbatch itself gives up after 10 s (MessageTimeout), or more where a site says so.
SUBMIT_S = 120.0
IDS_AT_ONCE = 500  # on one command line


class Slurm:
    """The default cluster, as this user sees it."""

    name = "slurm"

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._has_accounting = True

    async def submit(self, submission: Submission) -> str:
        """See :class:`motoko.workers.batch.interface.BatchSystem`."""
        done = await self._call(
            "sbatch",
            "--parsable",
            f"--job-name={submission.name}",
            f"--chdir={submission.directory}",
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
            raise Full(f"sbatch takes no more jobs now: {parsing.words(done.stderr)}")
        if done.code is not None and done.code > 0 and parsing.is_refusal(done.stderr):
            raise Refused(f"sbatch refused the job: {parsing.words(done.stderr)}")
        raise self._unanswered("sbatch", done)

    async def query(self) -> list[Job]:
        """See :class:`motoko.workers.batch.interface.BatchSystem`."""
        done = await self._call(
            *("squeue", "--noheader", "--all", "--array", "--states=all"),
            *(f"--user={os.getuid()}", f"--format={parsing.QUERY_FORMAT}"),
        )
        if done.code != 0:
            raise self._unanswered("squeue", done)
        return parsing.jobs_of_query(done.stdout)

    async def look_up(self, ids: Collection[str]) -> Mapping[str, Job]:
        """See :class:`motoko.workers.batch.interface.BatchSystem`."""
        found: dict[str, Job] = {}
        if self._has_accounting:
            done = await self._call(
                *("sacct", "--allocations", "--noheader", "--parsable2"),
                *(f"--format={parsing.ACCOUNTING_FIELDS}", f"--jobs={','.join(ids)}"),
            )
            if done.code == 0:
                # Of one whose end it has missed, accounting says for ever that it runs.
                over = parsing.jobs_of_accounting(done.stdout)
                found |= {each.id: each for each in over if each.phase is Phase.ENDED}
            else:  # there may be none at this site, which is as good as no answer
                self._has_accounting = "disabled" not in done.stderr
        if all(each in found for each in ids):
            return {each: found[each] for each in ids}
        # All jobs, since it takes one id or none: one command whatever the number.
        asked = ["scontrol", "--oneliner", "show", "job", *(ids if len(ids) == 1 else [])]
        done = await self._call(*asked)
        if done.code == 0:
            found |= {each.id: each for each in parsing.jobs_of_controller(done.stdout)}
        elif "Invalid job id" not in done.stderr:
            raise self._unanswered("scontrol", done)
        return {each: found[each] for each in ids if each in found}

    def last_words(self, directory: Path, job: str) -> str:
        """See :class:`motoko.workers.batch.interface.BatchSystem`."""
        return parsing.last_words(tail(directory / f"slurm-{job}.out"))

    async def cancel(self, ids: Collection[str], *, pending: bool = False) -> None:
        """See :class:`motoko.workers.batch.interface.BatchSystem`."""
        which = ["--state=PENDING"] if pending else []
        left = sorted(ids)
        while left:
            done = await self._call("scancel", "--quiet", *which, *left[:IDS_AT_ONCE])
            if done.code != 0 and not parsing.is_refusal(done.stderr):
                raise self._unanswered("scancel", done)
            left = left[IDS_AT_ONCE:]

    async def _call(self, *command: str, timeout: float = ANSWER_S) -> Done:
        return await self._commands.call(command, environment=environment(), timeout=timeout)

    @staticmethod
    def _unanswered(command: str, done: Done) -> Unanswered:
        said = parsing.words(done.stderr)
        return Unanswered(f"{command} {done.how}{f': {said}' if said else ''}")


def environment() -> dict[str, str]:
    """The environment of Slurm's commands, which jobs get as well.

    Without what a job that we may be in ourselves has been given: sbatch would take its limits
    over.
    """
    kept = ("SLURM_CONF", "SLURM_CONF_SERVER")
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "SLURMD_", "PMI_", "PMIX_")) or name in kept
    }
    return found
