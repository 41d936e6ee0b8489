"""Keys of YAML files that are read as if they were absent, to find further errors. Pure logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# It replaces a type that does not exist, as every value is of it: else all defaults would be wrong.
_ANY = "any"
_DECLARATIONS = frozenset({"job", "run"})


@dataclass(frozen=True)
class Without:
    """Keys of files, as errors name them."""

    keys: Mapping[Path, frozenset[str]] = field(default_factory=dict)

    def and_without(self, path: Path, key: str) -> Without:
        """The same, and one more key."""
        return Without({**self.keys, path: self.keys.get(path, frozenset()) | {key}})

    def has(self, path: Path, key: str) -> bool:
        """Whether a key, or a key below it, is left out."""
        return any(f"{left}.".startswith(f"{key}.") for left in self.keys.get(path, ()))

    def of(self, path: Path, content: dict[str, Any]) -> dict[str, Any]:
        """The content of a file without these keys."""
        for key in self.keys.get(path, ()):
            content = _removed(content, key.partition("[")[0], top=True)
        return content


def _removed(content: dict[str, Any], key: str, *, top: bool) -> dict[str, Any]:
    rest = dict(content)
    for name in content:
        if str(name) == key:
            del rest[name]
        elif key.startswith(f"{name}.") and isinstance(content[name], dict):
            below = key.removeprefix(f"{name}.")
            rest[name] = _removed(content[name], below, top=False)
            if top and name in _DECLARATIONS and below in content[name]:
                rest[name][below] = _ANY
    return rest


NOTHING = Without()
