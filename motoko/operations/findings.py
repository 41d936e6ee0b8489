"""The findings in a workflow's files, errors and warnings: each with its place and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motoko.config.yaml_file import Remark
from motoko.errors import ConfigError, MotokoError


@dataclass(frozen=True)
class Finding:
    """One error or warning.

    Attributes:
        file: the file that the finding is about.
        line: the line's number, from 1; ``None`` if the finding is about the whole file.
        problem: what is wrong.
        remedy: what to do; empty if the problem says it.
        is_error: whether it keeps the workflow from running; otherwise it is a warning.
    """

    file: Path
    line: int | None
    problem: str
    remedy: str = ""
    is_error: bool = True

    @classmethod
    def of_error(cls, error: MotokoError, file: Path) -> Finding:
        """The finding of an error; it is about ``file``, unless the error knows its place."""
        place = error.place if isinstance(error, ConfigError) else None
        if place is None:
            return cls(file, None, str(error), error.hint or "")
        return cls(place.file, place.line, place.problem, error.hint or "")

    @classmethod
    def of_remark(cls, remark: Remark) -> Finding:
        """The finding of a warning."""
        place = remark.place
        return cls(place.file, place.line, place.problem, is_error=False)
