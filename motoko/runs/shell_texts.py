"""What a shell reads differently than users expect: texts of parameters, line ends. Pure logic."""

from __future__ import annotations

import re
from collections.abc import Mapping

from motoko.config.run_files import LAUNCH
from motoko.host.interpreters import Interpreter, WrongFirstLine
from motoko.runs.placeholders import Placeholder, placeholders

_HERE_DOCUMENT = re.compile(rb"<<-?[ \t]*(['\"\\]?)(\w+)")


def is_shell_script(name: str, data: bytes) -> bool:
    """Whether a file of a study is a shell script, by its first line or its name."""
    first = data.partition(b"\n")[0].decode(errors="replace")
    try:
        interpreter = Interpreter.of(first)
    except WrongFirstLine:
        return False  # nothing can execute it
    if interpreter is not None:
        return interpreter.is_bourne_shell
    return name == LAUNCH or name.endswith((".sh", ".bash"))


def unquoted_texts(name: str, data: bytes, types: Mapping[str, type]) -> list[Placeholder]:
    """Placeholders whose text a shell interprets: blanks, quotes and ``$(...)`` in it count.

    Those in comments, between single quotes, and in here-documents with a quoted delimiter are not
    among them.

    Args:
        name: the file's name.
        data: what it contains.
        types: the types of the declared parameters.
    """
    texts = [
        place
        for place in placeholders(data, types)
        if place.is_known and not place.quoted and types[place.name.lower()] is str
    ]
    if not texts or not is_shell_script(name, data):
        return []
    literal = _literal_lines(data)
    return [
        place
        for place in texts
        if place.line not in literal and not _is_in_single_quotes(data, place.start)
    ]


def line_with_crlf(name: str, data: bytes) -> int | None:
    """The first line of a shell script that ends in CRLF, from 1; ``None`` if none does."""
    position = data.find(b"\r\n")
    if position < 0 or not is_shell_script(name, data):
        return None
    return data.count(b"\n", 0, position) + 1


def _literal_lines(data: bytes) -> set[int]:
    """The lines that are comments, or in here-documents with a quoted delimiter; from 1."""
    literal: set[int] = set()
    delimiter: bytes | None = None
    quoted = False
    for number, line in enumerate(data.split(b"\n"), 1):
        if delimiter is not None:
            if line.strip() == delimiter:
                delimiter = None
            elif quoted:
                literal.add(number)
        elif line.lstrip().startswith(b"#"):
            literal.add(number)
        elif match := _HERE_DOCUMENT.search(line):
            quoted, delimiter = bool(match[1]), match[2]
    return literal


def _is_in_single_quotes(data: bytes, position: int) -> bool:
    """Whether a single quote is open at a position, judged from its line alone."""
    line = data[data.rfind(b"\n", 0, position) + 1 : position]
    opened = b""
    for index in range(len(line)):
        character = line[index : index + 1]
        if opened:
            opened = b"" if character == opened else opened
        elif character in (b"'", b'"') and line[index - 1 : index] != b"\\":
            opened = character
    return opened == b"'"
