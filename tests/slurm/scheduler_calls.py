"""Which commands of the scheduler were called, and when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """A command of the scheduler's that somebody called."""

    at: float  # seconds since 1970
    program: str
    arguments: str


@dataclass
class Calls:
    """What has been called, by a log that the programs of ``Cluster.environment`` keep."""

    log: Path

    def all(self, program: str = "") -> list[Call]:
        """The calls so far, of one program or of all."""
        if not self.log.exists():
            return []
        lines = [line.split(" ", 2) for line in self.log.read_text().splitlines()]
        found = [Call(float(at), name, arguments) for at, name, arguments in lines]
        return [call for call in found if program in ("", call.program)]
