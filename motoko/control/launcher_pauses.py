"""Pauses of launchers, which start no runs meanwhile, and the processes that hold the pauses.

They are kept in ``.wf/paused.json``, for launchers and supervisors that start later. A pause ends
with the process that has asked for it, its holder, even if that is killed. Whether a holder on
another host lives cannot be seen: it asks again every few seconds, or is taken for gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from motoko.control.protocol import ProcessInfo
from motoko.host.files import write_atomically
from motoko.host.identity import Identity
from motoko.layout import Runtime

# A holder on another host asks again after RENEWED_S, and counts as gone after SILENT_S of silence.
RENEWED_S = 5.0
SILENT_S = 30.0


class Pause(msgspec.Struct, frozen=True):
    """A pause of launchers.

    Attributes:
        holder: the process that has asked for it.
        studies: the studies whose launchers are paused; ``None`` for all.
    """

    holder: ProcessInfo
    studies: list[str] | None = None

    @property
    def holds(self) -> bool:
        """Whether its holder lives, or may live: on another host it may until it is removed."""
        return self.is_elsewhere or self._identity.alive

    @property
    def is_elsewhere(self) -> bool:
        """Whether its holder is on another host."""
        return self._identity.is_elsewhere

    @property
    def _identity(self) -> Identity:
        return Identity(**msgspec.structs.asdict(self.holder))

    def concerns(self, study: str) -> bool:
        """Whether the launcher of a study is paused by it."""
        return self.studies is None or study in self.studies


def this_process() -> ProcessInfo:
    """The calling process, as a holder."""
    return ProcessInfo(**Identity.mine().to_dict())


def read_pauses(runtime: Runtime) -> list[Pause]:
    """The pauses whose holders live."""
    try:
        pauses = msgspec.json.decode(_path(runtime).read_bytes(), type=list[Pause])
    except (OSError, ValueError):  # there is no file, or Motoko has not written it
        return []
    return [pause for pause in pauses if pause.holds]


def write_pauses(runtime: Runtime, pauses: Sequence[Pause]) -> None:
    """Write these pauses in place of the earlier ones."""
    if pauses:
        write_atomically(_path(runtime), msgspec.json.encode(pauses).decode())
    else:
        _path(runtime).unlink(missing_ok=True)


def with_pause(pauses: Sequence[Pause], new: Pause) -> list[Pause]:
    """These pauses and a new one, which replaces another of the same holder. Pure."""
    return [*without_holder(pauses, new.holder), new]


def without_holder(pauses: Sequence[Pause], holder: ProcessInfo) -> list[Pause]:
    """These pauses without those of a holder. Pure."""
    return [pause for pause in pauses if pause.holder != holder]


def is_paused(runtime: Runtime, study: str) -> bool:
    """Whether a study's launcher is paused."""
    return any(pause.concerns(study) for pause in read_pauses(runtime))


class PauseSignals:
    """Decides when to signal launchers (SIGUSR2) that must be paused or resumed. Pure.

    At the signal a launcher reads the pauses. A launcher of an earlier version changes between
    paused and not paused at each signal. So a launcher is signalled only if its state is not the
    wanted one, and not again before it has said that the first signal had its effect.
    """

    def __init__(self) -> None:
        self._expected: dict[int, bool] = {}  # by pid: what a signalled launcher will say

    def is_due(self, pid: int, *, says: bool, wanted: bool) -> bool:
        """Whether to signal a launcher now.

        ``says`` is whether it says that it is paused, ``wanted`` whether it should be.
        """
        if self._expected.get(pid) == says or says == wanted:
            self._expected.pop(pid, None)
        if says == wanted or pid in self._expected:
            return False
        self._expected[pid] = wanted
        return True


def _path(runtime: Runtime) -> Path:
    return runtime.wf / "paused.json"
