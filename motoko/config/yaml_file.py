"""A YAML file that was read, and the errors about it: file, key, what is wrong, what to do."""

from __future__ import annotations

import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from motoko.config.decoding import WrongValue, decoded, unknown_keys
from motoko.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class YamlFile:
    """What is in a YAML file, and what is said about it."""

    path: Path
    name: str  # in warnings
    content: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        """The error that something is wrong with a key."""
        return ConfigError(f"{self.path}: {key}: {problem}", hint=hint)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        """The error that a value must be something else."""
        return self.refusal(WrongValue.of(key, value, expected, hint))

    def refusal(self, wrong: WrongValue, below: str = "") -> ConfigError:
        """The error about a value that cannot be, whose name counts from below some keys."""
        return self.error(below + wrong.name, wrong.problem, wrong.hint)

    def warn(self, key: str, problem: str) -> None:
        """Add a warning about a key."""
        self.warnings.append(f"{self.name}: {key}: {problem}")

    def warn_unknown(
        self, kind: type[msgspec.Struct], others: Collection[str], content: Any, key: str = ""
    ) -> None:
        """Warn of the keys at a key that neither a struct nor somebody else knows."""
        self.warnings.extend(
            f"{self.name}: {line}" for line in unknown_keys(kind, content, key, others)
        )

    def decoded(self, kind: type[T], content: Any, key: str = "") -> T:
        """What is at a key, as one of a type; ``ConfigError`` for the first part that cannot be."""
        try:
            return decoded(kind, content, key)
        except WrongValue as wrong:
            raise self.refusal(wrong) from None

    def require_file(self, key: str, path: Path, hint: str) -> None:
        """Raise ``ConfigError`` unless a file is there that a key names."""
        if not stat.S_ISREG(mode := mode_of(path)):
            problem = "is not a file" if mode else "there is no such file"
            raise self.error(key, f"{path}: {problem}", hint)


def mode_of(path: Path) -> int:
    """What a path is, as in ``st_mode``; 0 if there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ConfigError:
    """The error that a file cannot be read."""
    return ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check its permissions")
