"""Placeholders in the files of a study: ``__BLACKDYNAMITE__name__``, replaced by values.

They are replaced as by BlackDynamite, for every existing name, even ``a__b`` or ``a_``. If two
names fit, the longer one counts. Case does not matter, as everywhere in names of parameters.
``__BLACKDYNAMITE__name:sh__`` is the value as one word of a shell script. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from motoko.config.reserved_names import OF_BLACKDYNAMITE, OF_MOTOKO
from motoko.errors import MotokoError

PREFIX = b"__BLACKDYNAMITE__"
# Names that every run has: the database's address, the study's name there, the run's number.
ALWAYS = ("dbhost", "study", "run_id")

# If a quote, a brace or a blank follows the prefix, it is no placeholder: the file is a program
# that handles placeholders itself.
_BEGINS = re.compile(PREFIX + rb"[\w\x80-\xff]")
_NAME = re.compile(PREFIX + rb"([^\s\"'`<>(){}\[\],;]*?)(:sh)?__(?!_)")
_REST = re.compile(PREFIX + rb"([\w.:-]*)")


class UnsetPlaceholder(MotokoError):
    """A file asks for a parameter that has no value, or that does not exist."""

    exit_code = 2


@dataclass(frozen=True)
class Placeholder:
    """A placeholder in a file: its place, its name as written, and whether it quotes the value."""

    line: int
    name: str
    quoted: bool
    is_known: bool
    start: int  # where it is in the file, in bytes
    end: int


def names_of(job: Iterable[str], run: Iterable[str]) -> frozenset[str]:
    """The names that can be replaced for runs with these job parameters and run parameters."""
    own = {*ALWAYS, *OF_BLACKDYNAMITE, *OF_MOTOKO}
    return frozenset({*own, *(name.lower() for name in (*job, *run))})


def is_binary(data: bytes) -> bool:
    """Whether a file is not text: nothing is replaced in it."""
    return b"\0" in data


def placeholders(data: bytes, names: Iterable[str]) -> list[Placeholder]:
    """The placeholders in a file, in their order.

    Args:
        data: what the file contains.
        names: the names that can be replaced.
    """
    if PREFIX not in data or is_binary(data):
        return []
    known = _pattern(frozenset(names))
    line, counted = 1, 0
    placed = []
    position = 0
    while (start := data.find(PREFIX, position)) >= 0:
        position = start + len(PREFIX)
        whole = known.match(data, start)
        if whole is None and not _BEGINS.match(data, start):
            continue
        shown = whole or _NAME.match(data, start) or _REST.match(data, start)
        assert shown is not None
        line, counted = line + data.count(b"\n", counted, start), start
        name = shown[1].decode(errors="replace")
        quoted = whole is not None and whole[2] is not None
        placed.append(Placeholder(line, name, quoted, whole is not None, start, shown.end()))
        position = shown.end()
    return placed


def unknown(file_name: str, placeholder: Placeholder, names: Iterable[str]) -> UnsetPlaceholder:
    """The error about a placeholder that matches nothing."""
    own = {*OF_BLACKDYNAMITE, *OF_MOTOKO}
    return UnsetPlaceholder(
        f"{file_name}, line {placeholder.line}: there is no parameter {placeholder.name!r} for"
        f" {PREFIX.decode()}{placeholder.name}__",
        hint=f"names that can be replaced: {', '.join(sorted({*names} - own))}",
    )


def fill(data: bytes, values: Mapping[str, Any], file_name: str) -> bytes:
    """Replace all placeholders by values, each encoded as UTF-8.

    The keys of ``values`` are lower-case names. Raises ``UnsetPlaceholder`` for a name that is not
    among them, or whose value is ``None``.
    """
    parts: list[bytes] = []
    position = 0
    for place in placeholders(data, values):
        if not place.is_known:
            raise unknown(file_name, place, values)
        value = values[place.name.lower()]
        if value is None:
            raise UnsetPlaceholder(
                f"{file_name}, line {place.line}: the parameter {place.name!r} has no value"
            )
        text = shlex.quote(str(value)) if place.quoted else str(value)
        parts += [data[position : place.start], text.encode()]
        position = place.end
    return b"".join([*parts, data[position:]]) if parts else data


@lru_cache(maxsize=64)
def _pattern(names: frozenset[str]) -> re.Pattern[bytes]:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    choices = b"|".join(re.escape(name.encode(errors="replace")) for name in longest_first)
    # The end of a placeholder must not take the first underscores of one that follows at once.
    end = rb"__(?!_BLACKDYNAMITE__)"
    return re.compile(PREFIX + b"(" + choices + b")(:sh)?" + end, re.IGNORECASE)
