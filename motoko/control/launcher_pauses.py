"""Launchers that are to start nothing more: whose, and for which processes' sake.

Kept in ``.wf/paused.json``, for launchers and supervisors that come after. A pause ends with the
process that has asked for it, so none is left over by one that was killed. Whether one of another
host lives cannot be seen: it asks again every few seconds, or is taken for gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from motoko.control.protocol import ProcessInfo
from motoko.host.files import write_atomically
from motoko.host.identity import Identity
from motoko.layout import Runtime

# A holder of another host asks again after so many seconds, and is gone after so many of silence.
RENEWED_S = 5.0
SILENT_S = 30.0


class Pause(msgspec.Struct, frozen=True):
    """Who wants launchers to start nothing more.

    Attributes:
        holder: the process for whose sake that is.
        studies: whose launchers; ``None`` for all.
    """

    holder: ProcessInfo
    studies: list[str] | None = None

    @property
    def holds(self) -> bool:
        """Whether its holder lives, or may live: one of another host does until it is removed."""
        return self.is_elsewhere or self._identity.alive

    @property
    def is_elsewhere(self) -> bool:
        """Whether its holder is of another host."""
        return self._identity.is_elsewhere

    @property
    def _identity(self) -> Identity:
        return Identity(**msgspec.structs.asdict(self.holder))

    def concerns(self, study: str) -> bool:
        """Whether the launcher of a study is meant."""
        return self.studies is None or study in self.studies


def this_process() -> ProcessInfo:
    """The calling process, as a holder."""
    return ProcessInfo(**Identity.mine().to_dict())


def read_pauses(runtime: Runtime) -> list[Pause]:
    """The pauses whose holders live."""
    try:
        pauses = msgspec.json.decode(_path(runtime).read_bytes(), type=list[Pause])
    except (OSError, ValueError):  # there is none, or nobody of ours has written it
        return []
    return [pause for pause in pauses if pause.holds]


def write_pauses(runtime: Runtime, pauses: Sequence[Pause]) -> None:
    """Keep these pauses, and no others."""
    if pauses:
        write_atomically(_path(runtime), msgspec.json.encode(pauses).decode())
    else:
        _path(runtime).unlink(missing_ok=True)


def with_pause(pauses: Sequence[Pause], new: Pause) -> list[Pause]:
    """These pauses and a new one, in place of its holder's. Pure."""
    return [*without_holder(pauses, new.holder), new]


def without_holder(pauses: Sequence[Pause], holder: ProcessInfo) -> list[Pause]:
    """These pauses but a holder's. Pure."""
    return [pause for pause in pauses if pause.holder != holder]


def is_paused(runtime: Runtime, study: str) -> bool:
    """Whether a study's launcher is to start nothing more."""
    return any(pause.concerns(study) for pause in read_pauses(runtime))


class PauseSignals:
    """When to signal launchers (SIGUSR2) that are to be paused or resumed. Pure.

    At the signal a launcher looks at what is wanted. One of a version before this one changes from
    paused to not paused or back at each signal: so none is sent unless what a launcher says of
    itself is wrong, and no second one before it has said that the first had its effect.
    """

    def __init__(self) -> None:
        self._expected: dict[int, bool] = {}  # by pid, what one will say since it was signalled

    def is_due(self, pid: int, *, says: bool, wanted: bool) -> bool:
        """Whether to signal now a launcher that says that it is paused, or is not."""
        if self._expected.get(pid) == says or says == wanted:
            self._expected.pop(pid, None)
        if says == wanted or pid in self._expected:
            return False
        self._expected[pid] = wanted
        return True


def _path(runtime: Runtime) -> Path:
    return runtime.wf / "paused.json"
