"""What is found wrong, or suspicious, in a workflow's files: each with place and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motoko.config.yaml_file import Remark
from motoko.errors import ConfigError, MotokoError


@dataclass(frozen=True)
class Finding:
    """One thing.

    Attributes:
        file: the file that it is about.
        line: from 1; ``None`` if it is about the whole file.
        problem: what is wrong.
        remedy: what to do; empty if the problem says it.
        is_error: whether the workflow cannot run so; else it is a warning.
    """

    file: Path
    line: int | None
    problem: str
    remedy: str = ""
    is_error: bool = True

    @classmethod
    def of_error(cls, error: MotokoError, file: Path) -> Finding:
        """What an error says; about ``file``, unless it knows its place."""
        place = error.place if isinstance(error, ConfigError) else None
        if place is None:
            return cls(file, None, str(error), error.hint or "")
        return cls(place.file, place.line, place.problem, error.hint or "")

    @classmethod
    def of_remark(cls, remark: Remark) -> Finding:
        """What a warning says."""
        place = remark.place
        return cls(place.file, place.line, place.problem, is_error=False)
