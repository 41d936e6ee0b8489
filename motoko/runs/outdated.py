"""Results that were made with other files than the present ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outdated:
    """The finished runs of a study that were made with other files than the present ones.

    Attributes:
        study: the study's name.
        names: the files that differ, by their names in run directories.
        runs: how many runs there are.
    """

    study: str
    names: tuple[str, ...]
    runs: int

    def __str__(self) -> str:
        have = "has" if len(self.names) == 1 else "have"
        if self.runs == 1:
            runs, stand, them = "1 finished run was made", "Its result stands", "it"
        else:
            runs, stand = f"{self.runs} finished runs were made", "Their results stand"
            them = "them"
        return (
            f"study {self.study}: {', '.join(self.names)} {have} changed since {runs}. {stand}:"
            f" `motoko retry --changed -bd {self.study}` has {them} executed again, another run"
            " name makes new runs"
        )
