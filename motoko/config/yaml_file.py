"""A YAML file that was read, and errors about it: the file, the key, the problem and a hint."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from motoko.config.decoding import WrongValue, decoded, unknown_keys
from motoko.errors import ConfigError, Place
from motoko.host.closed_places import remedy

T = TypeVar("T")


class Remark(str):
    """A warning of one line, which knows the place that it is about."""

    __slots__ = ("place",)
    place: Place

    def __new__(cls, text: str, place: Place) -> Remark:
        remark = super().__new__(cls, text)
        remark.place = place
        return remark


@dataclass(frozen=True)
class YamlFile:
    """The content of a YAML file, and the warnings about it."""

    path: Path
    name: str  # in warnings
    content: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    line_of: Callable[[str], int | None] = lambda key: None  # from 1

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        """The error that something is wrong with a key."""
        place = Place(self.path, f"{key}: {problem}", self.line_of(key), key)
        return ConfigError(f"{self.path}: {key}: {problem}", hint=hint, place=place)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        """The error that a value must be something else."""
        return self.refusal(WrongValue.of(key, value, expected, hint))

    def refusal(self, wrong: WrongValue, below: str = "") -> ConfigError:
        """The error about a value that is not allowed; ``below`` is put before its name."""
        return self.error(below + wrong.name, wrong.problem, wrong.hint)

    def warn(self, key: str, problem: str) -> None:
        """Add a warning about a key."""
        self._warn(key, f"{key}: {problem}")

    def _warn(self, key: str, text: str) -> None:
        place = Place(self.path, text, self.line_of(key), key)
        self.warnings.append(Remark(f"{self.name}: {text}", place))

    def warn_unknown(
        self, kind: type[msgspec.Struct], others: Collection[str], content: Any, key: str = ""
    ) -> None:
        """Warn of the keys below a key that are neither fields of a struct nor in ``others``."""
        for name, line in unknown_keys(kind, content, key, others):
            self._warn(name, line)

    def decoded(self, kind: type[T], content: Any, key: str = "") -> T:
        """The value at a key, as one of a type; ``ConfigError`` for the first wrong part."""
        try:
            return decoded(kind, content, key)
        except WrongValue as wrong:
            raise self.refusal(wrong) from None

    def require_files(self, key: str, hints: Mapping[Path, str]) -> None:
        """Raise ``ConfigError`` unless all files that a key names exist; each has its hint."""
        modes = {path: mode_of(path) for path in hints}
        missing = [path for path, mode in modes.items() if not stat.S_ISREG(mode)]
        if missing:
            problems = [
                f"{path}: {'is not a file' if modes[path] else 'there is no such file'}"
                for path in missing
            ]
            raise self.error(key, "; ".join(problems), hints[missing[0]])


def mode_of(path: Path) -> int:
    """The ``st_mode`` of a path; 0 if nothing is there."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ConfigError:
    """The error that a file cannot be read."""
    problem = f"cannot be read: {error.strerror}"
    place = Place(path, problem)
    hint = remedy(path) if isinstance(error, PermissionError) else "check its permissions"
    return ConfigError(f"{path}: {problem}", hint=hint, place=place)
