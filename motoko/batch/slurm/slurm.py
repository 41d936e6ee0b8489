"""Slurm, as the rest of Motoko knows it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from motoko.batch.batch_system import JobOptions, Options, Scheduler, ShellVariables
from motoko.batch.slurm import options

if TYPE_CHECKING:
    from motoko.batch.commands import Commands


class Slurm:
    """See :class:`motoko.batch.batch_system.BatchSystem`."""

    name = "slurm"
    title = "Slurm"
    submit_command = "sbatch"
    query_command = "squeue"
    shell_variables = ShellVariables(
        # Elements have numbers of their own besides, which no command shows.
        "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
        "$SLURM_RESTART_COUNT",
        "$SLURM_JOB_NODELIST",
        "$((${SLURM_JOB_NUM_NODES:-1} - 1))",
        # Beside the user's own steps, whatever share of the nodes these take.
        'srun --job-name=motoko-relay --overlap --mem=0 --exclude="$SLURMD_NODENAME" '
        '--nodes="$_others" --ntasks="$_others" --ntasks-per-node=1 --cpus-per-task=1 '
        "--kill-on-bad-exit=0 --unbuffered --quiet",
        element="$SLURM_ARRAY_TASK_ID",
        directory="SLURM_SUBMIT_DIR",
        output="slurm-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID.out",
    )

    def read_options(self, items: Iterable[str]) -> Options:
        """The options in a list such as ``["time=5", "--mem=1G", "-p debug", "exclusive"]``."""
        return options.read(items)

    def merge_options(self, earlier: Options, later: Options) -> Options:
        """Both; an option of the same name in ``later`` replaces the one in ``earlier``."""
        return options.merge(earlier, later)

    def job_options(self, script: str, chosen: Options, tasks: int) -> JobOptions:
        """What a job is submitted with: the ``#SBATCH`` lines of its script count as well."""
        return options.job_options(script, chosen, tasks)

    # What follows is imported here, since every command reads motoko.yaml, and few ask Slurm.

    def check(self, file: Path) -> None:
        """Raise ``ConfigError`` without Slurm's commands."""
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
        """What a node has written last into ``slurm-<job>.out``.

        That of an element whose script was never executed is still where its array's is.
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
