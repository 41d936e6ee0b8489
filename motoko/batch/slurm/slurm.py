"""Slurm, as the rest of Motoko knows it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from motoko.batch.batch_system import JobOptions, Options, Scheduler, ShellVariables
from motoko.batch.slurm import options

if TYPE_CHECKING:
    from motoko.batch.commands import Commands

# Elements also have job ids of their own, which no command shows.
_JOB = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


class Slurm:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""

    name = "slurm"
    title = "Slurm"
    submit_command = "sbatch"
    query_command = "squeue"
    shell_variables = ShellVariables(
        _JOB,
        "$SLURM_RESTART_COUNT",
        "$SLURM_JOB_NODELIST",
        "$((${SLURM_JOB_NUM_NODES:-1} - 1))",
        # Next to the user's own steps, whatever share of the nodes these take.
        'srun --job-name=motoko-relay --overlap --mem=0 --exclude="$SLURMD_NODENAME" '
        '--nodes="$_others" --ntasks="$_others" --ntasks-per-node=1 --cpus-per-task=1 '
        "--kill-on-bad-exit=0 --unbuffered --quiet",
        element="${SLURM_ARRAY_TASK_ID:-0}",
        directory="SLURM_SUBMIT_DIR",
        output=f"slurm-{_JOB}.out",
    )

    def read_options(self, items: Iterable[str]) -> Options:
        """The options in a list such as ``["time=5", "--mem=1G", "-p debug", "exclusive"]``."""
        return options.read(items)

    def merge_options(self, earlier: Options, later: Options) -> Options:
        """All options of both; an option in ``later`` replaces one of its name in ``earlier``."""
        return options.merge(earlier, later)

    def job_options(self, script: str, chosen: Options, tasks: int) -> JobOptions:
        """A job's options: the ``#SBATCH`` lines of its script count as well."""
        return options.job_options(script, chosen, tasks)

    # These methods import modules themselves: every command reads motoko.yaml, and few ask Slurm.

    def check(self, file: Path) -> None:
        """Raise ``ConfigError`` if one of Slurm's commands is missing."""
        from motoko.batch.slurm.check import check

        check(file)

    def refusal(self, options: JobOptions) -> str | None:
        """What `sbatch --test-only` says: see ``BatchSystem``."""
        from motoko.batch.slurm.check import refusal

        return refusal(options.arguments)

    def other_host(self) -> str | None:
        """The address of a node that is not this host: see ``BatchSystem``."""
        from motoko.batch.slurm.check import other_host

        return other_host()

    def last_words(self, directory: Path, job: str) -> str:
        """The last error that a node has written into ``slurm-<job>.out``.

        If an element's script was never executed, that file is still in its array's directory.
        """
        from motoko.batch.slurm import parsing
        from motoko.host.files import end_of

        name = f"slurm-{job}.out"
        own = directory / name
        return parsing.last_words(end_of(own if own.exists() else directory.parent / name))

    def scheduler(self, commands: Commands) -> Scheduler:
        """Slurm's controller."""
        from motoko.batch.slurm.scheduler import SlurmScheduler

        return SlurmScheduler(commands)
