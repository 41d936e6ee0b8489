"""The processes of runs that BlackDynamite or motoko 0.1.4 has started: they leave no claims."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from motoko.host.identity import Identity
from motoko.host.living_processes import processes, working_directory
from motoko.host.proc_files import variable

_SCHEME = "zeo://"


@dataclass(frozen=True)
class _Place:
    """Where a process works, and what BlackDynamite's launcher has told it."""

    identity: Identity
    directory: str
    host: str
    run_id: str


class ForeignProcesses:
    """The living processes of this machine, as they are when first asked for."""

    def of(self, directory: Path, run_id: int) -> list[Identity]:
        """The processes that work in a run's directory, or that were started for the run."""
        place = os.path.realpath(directory)
        study = str(Path(place).parents[1])
        return [
            process.identity
            for process in self._places
            if f"{process.directory}/".startswith(f"{place}/")
            or (process.run_id == str(run_id) and os.path.realpath(process.host) == study)
        ]

    @cached_property
    def _places(self) -> list[_Place]:
        return [
            _Place(
                process.identity,
                working_directory(process.identity.pid) or "",
                (variable(process.identity.pid, "BLACKDYNAMITE_HOST") or "").removeprefix(_SCHEME),
                variable(process.identity.pid, "BLACKDYNAMITE_RUN_ID") or "",
            )
            for process in processes()
        ]
