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
        them = "it" if self.runs == 1 else "them"
        return (
            f"{self.fact}: `motoko retry --changed -bd {self.study}` has {them} executed again,"
            " another run name makes new runs"
        )

    @property
    def fact(self) -> str:
        """What is so, without what can be done about it."""
        have = "has" if len(self.names) == 1 else "have"
        if self.runs == 1:
            runs, stand = "1 finished run was made", "Its result stands"
        else:
            runs, stand = f"{self.runs} finished runs were made", "Their results stand"
        names = ", ".join(self.names)
        return f"study {self.study}: {names} {have} changed since {runs}. {stand}"
