"""Reading a YAML file: each error names the file, the key, what is wrong and what to do."""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from motoko.errors import ConfigError

_KINDS: Mapping[type, str] = MappingProxyType(
    {dict: "a mapping", list: "a list", str: "a string", int: "an integer"}
    | {float: "a number", bool: "true or false", type(None): "nothing"}
)


@dataclass(frozen=True)
class Section:
    """A mapping in a YAML file, and the errors about it."""

    path: Path
    name: str  # the file's, in warnings
    warnings: list[str]
    content: dict[str, Any]
    at: str = ""  # precedes keys in messages

    def error(self, key: str, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.path}: {self.at}{key}: {problem}", hint=hint)

    def wrong(self, key: str, value: Any, expected: str, hint: str | None = None) -> ConfigError:
        problem = f"must be {expected}, and is {described(value)}"
        return self.error(key, problem, hint or f"make {key} {expected}")

    def warn_unknown(self, known: Collection[str]) -> None:
        for key in self.content:
            if key not in known:
                near = nearest(key, known, 0.65)  # 0.6 takes temperature for generator
                text = f"unknown key {key!r}" + (f" (did you mean {near!r}?)" if near else "")
                self.warnings.append(": ".join(filter(None, (self.name, self.at[:-1], text))))

    def value(self, key: str, kind: type, hint: str | None = None) -> Any:
        """The value of a key if it is of that very type, ``None`` if it is absent or null."""
        value = self.content.get(key)
        if value is not None and type(value) is not kind:
            raise self.wrong(key, value, _KINDS[kind], hint)
        return value

    def integer(self, key: str, least: int) -> int | None:
        value: int | None = self.content.get(key)
        if value is not None and (type(value) is not int or value < least):
            raise self.wrong(key, value, f"an integer of at least {least}")
        return value

    def number(self, key: str, least: float) -> float | None:
        value = self.content.get(key)
        if value is not None and (type(value) not in (int, float) or not value >= least):
            raise self.wrong(key, value, f"a number of at least {least:g}")
        return None if value is None else float(value)

    def section(self, key: str, hint: str) -> Section:
        """The mapping at a key as a section of its own; an empty one if it is absent or null."""
        content = dict(self.mapping(key, hint))
        return Section(self.path, self.name, self.warnings, content, f"{self.at}{key}.")

    def choice(self, key: str, value: Any, choices: Collection[str]) -> None:
        if not isinstance(value, str) or value not in choices:
            near = nearest(value, choices)
            hint = f"did you mean {near!r}?" if near else None
            raise self.wrong(key, value, f"one of {', '.join(choices)}", hint)

    def mapping(self, key: str, hint: str | None = None) -> Mapping[str, Any]:
        """The mapping at a key, all of whose own keys are strings; empty if absent or null."""
        found = self.value(key, dict, hint) or {}
        for name in found:
            if not isinstance(name, str):
                hint = "names that YAML takes for something else (yes, no, on, off, 1) need quotes"
                raise self.wrong(f"{key}.{name}", name, "a string", hint)
        return MappingProxyType(dict(found))

    def strings(self, key: str) -> list[str]:
        found: list[str] = self.value(key, list, f"write `{key}: [...]`") or []
        for position, item in enumerate(found):
            if not isinstance(item, str):
                raise self.wrong(f"{key}[{position}]", item, "a string", "put it in quotes")
        return found

    def require_file(self, key: str, path: Path, hint: str) -> None:
        if not stat.S_ISREG(mode := mode_of(path)):
            problem = "is not a file" if mode else "there is no such file"
            raise self.error(key, f"{path}: {problem}", hint)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a key that is there twice is an error."""
    import yaml  # here, since not every command reads a workflow

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_bytes())
        node = loader.get_single_node()
        _refuse_duplicates(path, node, set())
        content = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise unreadable(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        hint = "look there and just above: indent with spaces, and quote what is special"
        raise ConfigError(f"{path}: {place}not valid YAML: {problem}", hint=hint) from error
    if not isinstance(content, dict):
        problem = (
            "is empty" if content is None else f"must be a mapping, and is {described(content)}"
        )
        raise ConfigError(f"{path}: {problem}", hint="write `key: value` lines into it")
    return content


def _refuse_duplicates(path: Path, node: Any, seen: set[int]) -> None:
    """Raise for a key that is twice in a mapping; overriding a merged one (``<<``) is fine."""
    if node is None or id(node) in seen or isinstance(node.value, str):
        return
    seen.add(id(node))
    lines: dict[tuple[str, str], int] = {}
    for item in node.value:
        for child in item if isinstance(item, tuple) else (item,):
            _refuse_duplicates(path, child, seen)
        if not isinstance(item, tuple) or not isinstance(item[0].value, str):
            continue
        key, line = (item[0].tag, item[0].value), item[0].start_mark.line + 1
        if key in lines:
            problem = f"line {line}: {key[1]}: is there twice, first in line {lines[key]}"
            hint = "remove or rename one of them: YAML would silently take the last"
            raise ConfigError(f"{path}: {problem}", hint=hint)
        lines[key] = line


def mode_of(path: Path) -> int:
    """What a path is, as in ``st_mode``; 0 if there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check its permissions")


def nearest(name: Any, names: Collection[str], cutoff: float = 0.6) -> str | None:
    import difflib  # only wrong names come here

    lower = {other.lower(): other for other in names if other != name}
    found = difflib.get_close_matches(str(name).lower(), lower, 1, cutoff)
    return lower[found[0]] if found else None


def described(value: Any) -> str:
    text, kind = repr(value), _KINDS.get(type(value), type(value).__name__)
    return f"{text[:80]}{'...' if len(text) > 80 else ''} ({kind})"
