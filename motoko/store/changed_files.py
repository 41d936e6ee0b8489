"""Whether finished runs were made with files other than the present ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

from motoko.runs.entries import OwnEntries
from motoko.runs.outdated import Outdated
from motoko.runs.states import (
    FAILED_STATES,
    FINISHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)
from motoko.store import config_files
from motoko.store.base import StudyBase
from motoko.store.present_files import PresentFiles, is_executable

_NOT_FINISHED = frozenset({*WAITING_STATES, *RUNNING_STATES, *FAILED_STATES})


def is_finished(entries: Any) -> bool:
    """Whether a run has a result: it has finished, and is not executed again."""
    if state_of(entries) in _NOT_FINISHED:
        return False
    return state_of(entries) == FINISHED or OwnEntries(entries).ended_state == FINISHED


class FileChanges:
    """Compares runs of a study with its present files, one after the other."""

    def __init__(self, base: StudyBase, present: PresentFiles) -> None:
        self._base, self._present = base, present
        self._runs: Counter[str] = Counter()  # by checksum
        self._examples: dict[str, Any] = {}
        self._checksums: dict[frozenset[str], str] = {}  # of runs that earlier versions have made

    def add(self, run: Any, count: int = 1) -> bool:
        """Count a run, and those like it. Returns whether it finished, with other files."""
        if not is_finished(run.entries):
            return False
        checksum = self._checksum(run)
        if checksum == self._present.checksum:
            return False
        self._runs[checksum] += count
        self._examples.setdefault(checksum, run)
        return True

    def _checksum(self, run: Any) -> str:
        noted = OwnEntries(run.entries).files_checksum
        if noted is not None:
            return noted
        ids = frozenset(run.configfiles)
        if ids not in self._checksums:
            self._checksums[ids] = config_files.checksum_of(self._base, run)
        return self._checksums[ids]

    @property
    def outdated(self) -> Outdated | None:
        """The added runs that were made with other files; ``None`` if there are none."""
        if not self._runs:
            return None
        names: set[str] = set()
        for run in self._examples.values():
            names |= self._differing(run)
        total = self._runs.total()
        return Outdated(self._base.study.name, tuple(sorted(names)), total)

    def _differing(self, run: Any) -> set[str]:
        _, stored = config_files.files_of(self._base, run)
        before = {
            (file.name, file.digest, is_executable(file.mode))
            for file in config_files.of_study(stored)
        }
        now = {
            (file.name, file.content.digest, is_executable(file.mode))
            for file in self._present.others
        }
        return {name for name, _, _ in before ^ now} or {"doIt.py"}
