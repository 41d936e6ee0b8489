"""The packs of a study's runs, as their files and the runs' directories show them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from motoko.batch.batch_system import Phase
from motoko.batch.polling import View
from motoko.runs import packs
from motoko.runs.pack_members import has_begun, living
from motoko.workers.launcher.batch_run import BatchRun

log = logging.getLogger(__name__)

# How long a file is kept of whose runs none is followed: they may be found later.
KEPT_S = 600.0


class PackFiles:
    """The packs of the runs that a launcher follows."""

    def __init__(self) -> None:
        # Where the runs are, and the packs found there by the names under which their runs waited.
        self._found: dict[Path, dict[str, packs.Pack]] = {}
        self._used: dict[tuple[Path, str], float] = {}  # when (`time.monotonic`) it was needed last
        self._begun: set[tuple[str, str]] = set()  # packs, and jobs that have started runs of them

    def recognise(self, run: BatchRun) -> None:
        """Find the pack of a run that an earlier launcher has, or may have, submitted in one.

        Raises ``OSError`` if the files cannot be read now.
        """
        runs, name = run.directory.parent, run.followed.name
        if runs not in self._found:
            present = list(packs.all_of(runs))
            self._found[runs] = {name: pack for pack in present for name in pack.members.values()}
            self._used |= {(runs, pack.name): time.monotonic() for pack in present}
        pack = packs.read(runs, name) or self._found[runs].get(name)
        if pack is not None:
            run.followed = replace(run.followed, name=pack.name, packed=True)
            run.is_told = run.run_id in pack.ending

    def has_begun(self, run: BatchRun, job: str | None) -> bool:
        """Whether a job has started any run of a run's pack."""
        name = run.followed.name
        if job is None:
            return False
        if (name, job) not in self._begun and has_begun(run.directory, run.run_id, name, job):
            self._begun.add((name, job))
        return (name, job) in self._begun

    def others(self, run: BatchRun, ending: Collection[int]) -> set[int]:
        """The runs for which a pack's job goes on without a run, and without those that end."""
        left = living(run.directory, run.run_id, run.followed.name)
        return left - {run.run_id, *ending}

    def end(self, run: BatchRun) -> None:
        """Have a pack's job end a run; the others go on. Raises ``OSError``."""
        packs.end(run.directory.parent, run.followed.name, run.run_id)

    def prune(self, runs: Iterable[BatchRun], view: View) -> None:
        """Remove the files of packs that have been needed by nobody for a while."""
        now = time.monotonic()
        for run in runs:
            if run.followed.packed:
                self._used[run.directory.parent, run.followed.name] = now
        living = {job.name for job in view.jobs if job.phase is not Phase.ENDED}
        for (directory, name), used in [*self._used.items()]:
            if used + KEPT_S < now and name not in living:
                try:
                    packs.remove(directory, name)
                except OSError as error:
                    log.warning("the file of pack %s stays: %s", name, error)
                del self._used[directory, name]
