"""The content of a YAML file, in which plain words are read by the keys that lead to them.

``1e-3`` is a number, as in YAML 1.2. Words that YAML 1.1, as BlackDynamite reads it, takes for
octal or sexagesimal numbers (``010``, ``10:00``) are refused, except where a text or a time is
expected.
"""

from __future__ import annotations

import codecs
import enum
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from motoko.config.decoding import described
from motoko.config.yaml_file import unreadable
from motoko.errors import ConfigError, Place


class Reading(enum.Enum):
    """How a plain word, which is one without quotes, is read."""

    VALUE = enum.auto()  # as what it looks like
    TIME = enum.auto()  # as for VALUE, but 10:00 is a text
    TEXT = enum.auto()  # as a text, just as it is written


Keys = tuple[str, ...]
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_TAG = "tag:yaml.org,2002:"
_STR, _NULL, _MAP, _MERGE = (_TAG + name for name in ("str", "null", "map", "merge"))
_OCTAL, _SIXTIES = "!octal", "!sixties"
# The patterns, in the order in which they are tried.
_WORDS = (
    (_NULL, "~|null|Null|NULL|", ["~", "n", "N", ""]),
    (
        _TAG + "bool",
        "yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE",
        list("yYnNoOtTfF"),
    ),
    (_SIXTIES, r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*", list("-+0123456789")),
    (_SIXTIES, r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+", list("-+123456789")),
    (_OCTAL, r"[-+]?0[0-9_]*[0-9_][0-9_]|[-+]?0[89_]", list("-+0")),
    (
        _TAG + "int",
        "[-+]?(0|[1-9][0-9_]*|0[0-7]|0b[01_]+|0x[0-9a-fA-F_]+)",
        list("-+0123456789"),
    ),
    (
        _TAG + "float",
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    (
        _TAG + "timestamp",
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}"
        r":[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?",
        list("0123456789"),
    ),
    (_MERGE, "<<", ["<"]),
)


class YamlDocument:
    """The one document in a YAML file, which is a mapping; no key is there twice.

    Raises ``ConfigError`` if the file cannot be read, or is something else.
    """

    def __init__(self, path: Path) -> None:
        import yaml  # here, because not every command reads a workflow

        self.path = path
        try:
            data = path.read_bytes()
            _refuse_other_encodings(path, data)
            self._loader = _loader_class()(data)
            self._node = self._loader.get_single_node()
            _refuse_duplicates(path, self._node, set())
        except OSError as error:
            raise unreadable(path, error) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._invalid(error) from error
        self._empty = self._node is None or self._node.tag == _NULL
        if self._empty or self._node.tag != _MAP:
            problem = "is empty"
            if not self._empty:
                problem = f"must be a mapping, and is {described(self._constructed())}"
            hint = "write `key: value` lines into it"
            raise ConfigError(f"{path}: {problem}", hint=hint, place=Place(path, problem, 1))

    def words(self, key: str) -> dict[str, str]:
        """The words in the mapping at a key, by name; empty if there is no such mapping."""
        for name, node in self._node.value:
            if name.value == key and node.tag == _MAP:
                return _entries(node)
        return {}

    def content(self, reading: Callable[[Keys], Reading]) -> dict[str, Any]:
        """The content of the mapping.

        ``reading`` says how a word is read, by the keys that lead to it; the items of a list have
        the list's keys.
        """
        try:
            words = list(_words(self._node, (), set()))
        except RecursionError as error:
            raise self._invalid(error) from error
        # An anchor may stand in two places: if one of them expects a text, it is a text in both.
        for keys, node in words:
            kind = reading(keys)
            is_time = kind is Reading.TIME and node.tag == _SIXTIES
            if is_time or (kind is Reading.TEXT and node.tag != _NULL):
                node.tag = _STR
        for keys, node in words:
            if node.tag in (_OCTAL, _SIXTIES):
                raise self._ambiguous(keys, node)
        content: dict[str, Any] = self._constructed()
        return content

    def _constructed(self) -> Any:
        import yaml

        try:
            return self._loader.construct_document(self._node)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._invalid(error) from error

    def _invalid(self, error: Exception) -> ConfigError:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        hint = "look there and just above: indent with spaces, and quote what is special"
        place = Place(self.path, f"not valid YAML: {problem}", mark.line + 1 if mark else None)
        return ConfigError(f"{self.path}: {where}{place.problem}", hint=hint, place=place)

    def _ambiguous(self, keys: Keys, node: Any) -> ConfigError:
        word, line = node.value, node.start_mark.line + 1
        other = _in_sixties(word) if node.tag == _SIXTIES else _as_octal(word)
        key = ".".join(keys)
        place = Place(self.path, f"{key}: {word} is not clear: {other}", line)
        return ConfigError(
            f"{self.path}: line {line}: {place.problem}",
            hint=f'write the number itself, or "{word}" in quotes if it is a text',
            place=place,
        )

    def line_of(self, key: str) -> int | None:
        """The line, from 1, of the deepest name in a key that exists in the file.

        ``key`` has dots between the names, as in errors; ``[0]`` is an item of a list.
        """
        node, rest, line = self._node, key, None
        while node is not None and node.tag == _MAP and rest:
            for name, value in node.value:
                after = rest.removeprefix(str(name.value))
                if after != rest and after[:1] in ("", ".", "["):
                    line, node, rest = name.start_mark.line + 1, value, after.removeprefix(".")
                    break
            else:
                break
        return line


@cache
def _loader_class() -> Any:
    import yaml

    class WordLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """PyYAML's loader, with these patterns for plain words."""

        yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 (PyYAML's own way)

    for tag, pattern, first in _WORDS:
        WordLoader.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), first)
    for tag in (_OCTAL, _SIXTIES):
        WordLoader.add_constructor(tag, lambda loader, node: node.value)
    return WordLoader


def _entries(mapping: Any) -> dict[str, str]:
    entries: dict[str, str] = {}
    for name, node in mapping.value:
        if name.tag == _MERGE:
            merged = [node] if node.tag == _MAP else node.value
            for source in merged:
                entries = {**_entries(source), **entries}
        elif isinstance(name.value, str) and isinstance(node.value, str):
            entries[name.value] = node.value
    return entries


def _words(node: Any, keys: Keys, above: set[int]) -> Iterator[tuple[Keys, Any]]:
    """The words in a node, and the names in its mappings, with the keys that lead to them."""
    if isinstance(node.value, str):
        yield keys, node
        return
    if id(node) in above:  # an anchor can have it contain itself
        return
    above.add(id(node))
    for item in node.value:
        if not isinstance(item, tuple):
            yield from _words(item, keys, above)
        elif item[0].tag == _MERGE:
            yield from _words(item[1], keys, above)
        else:
            name, value = item
            below = (*keys, str(name.value))
            yield from _words(name, below, above)
            yield from _words(value, below, above)
    above.discard(id(node))


def _in_sixties(word: str) -> str:
    total, sign = 0.0, -1 if word.startswith("-") else 1
    for part in word.lstrip("+-").replace("_", "").split(":"):
        total = total * 60 + float(part)
    return f"YAML 1.1 reads {sign * total:g}, YAML 1.2 a text"


def _as_octal(word: str) -> str:
    digits = word.replace("_", "")
    try:
        return f"YAML 1.1 reads {int(digits, 8)}, YAML 1.2 reads {int(digits)}"
    except ValueError:
        return "YAML 1.1 reads a text, YAML 1.2 a number"


def _refuse_other_encodings(path: Path, data: bytes) -> None:
    """Raise for bytes that are neither UTF-8 nor, by their first two, UTF-16."""
    if data.startswith(_UTF_16):
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = Place(path, "not valid YAML: it has bytes that are no UTF-8", line)
        problem = f"{path}: line {line}: {place.problem}"
        raise ConfigError(problem, hint="save it as UTF-8", place=place) from None


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
            problem = f"{key[1]}: is there twice, first in line {lines[key]}"
            hint = "remove or rename one of them: YAML would silently take the last"
            place = Place(path, problem, line)
            raise ConfigError(f"{path}: line {line}: {problem}", hint=hint, place=place)
        lines[key] = line
