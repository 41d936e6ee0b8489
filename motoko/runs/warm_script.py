"""Reading a launch.sh that no shell executes: variables, and one call of doIt.py. Pure logic.

A run with ``python: warm`` is executed by a Python that runs already. So its launch.sh is not
executed but read: comments, ``set``, ``export NAME=value`` and the line that calls doIt.py.
Anything else is refused, since leaving it out would give other results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from motoko.config.environment import NAME
from motoko.config.run_files import DO_IT

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_REFERENCE = re.compile(
    r"\$(?:(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?P<rest>[-?][^{}$`\"'\\]*)?\})",
    re.ASCII,
)
_OPTION = re.compile("[-+][a-zA-Z]+|[a-z]+")
# Characters that have a meaning to a shell outside of quotes.
_SPECIAL = frozenset("|&;<>()*?[]{}!")
_CALL = "python doIt.py"


class NotWarm(ValueError):
    """A line that only a shell understands.

    Attributes:
        number, line: the line and its number, from 1 on; 0 if a line is missing.
        why: what is wrong with it.
    """

    def __init__(self, number: int, line: str, why: str) -> None:
        super().__init__(f"line {number}: {line!r}: {why}" if number else why)
        self.number, self.line, self.why = number, line, why


class _Wrong(Exception):
    """What is wrong with a line."""


class Unset(ValueError):
    """A variable is not set, but must be. The text says why."""


@dataclass(frozen=True)
class _Variable:
    """A variable in a word; ``rest``, as in a shell: ``-`` and a default, or ``?`` and a text."""

    name: str
    rest: str = ""

    def value(self, environment: Mapping[str, str]) -> str:
        text = environment.get(self.name)
        if text is None and self.rest.startswith("?"):
            raise Unset(f"{self.name}: {self.rest[1:]}")
        return self.rest[1:] if text is None else text


_Word = tuple["str | _Variable", ...]


@dataclass(frozen=True)
class WarmScript:
    """The content of a launch.sh.

    Attributes:
        python: the word that names the Python.
        options: its options.
        script: the word that names doIt.py.
    """

    python: str
    options: tuple[str, ...]
    script: str
    _exports: tuple[tuple[str, _Word], ...]
    _arguments: tuple[_Word, ...]

    def export_to(self, environment: MutableMapping[str, str]) -> None:
        """Set its variables, one after the other. Raises ``Unset``."""
        for name, word in self._exports:
            environment[name] = _expanded(word, environment)

    def arguments(self, environment: Mapping[str, str]) -> list[str]:
        """The arguments that doIt.py is called with, without its name."""
        return [_expanded(word, environment) for word in self._arguments]


def read(script: str) -> WarmScript:
    """Read the user's launch.sh, whose placeholders may be filled. Raises ``NotWarm``."""
    exports: list[tuple[str, _Word]] = []
    call: tuple[str, tuple[str, ...], str, tuple[_Word, ...]] | None = None
    for number, line in _lines(script):
        try:
            words = list(_words(line))
            if not words or _is_set(words):
                continue
            if call is not None:
                raise _Wrong("nothing can follow the call of doIt.py")
            if words[0] == ("export",):
                exports += map(_export, words[1:])
            else:
                call = _call(words)
        except _Wrong as error:
            raise NotWarm(number, line.strip(), str(error)) from None
    if call is None:
        raise NotWarm(0, "", f"no line calls doIt.py, as `{_CALL}` does")
    python, options, doit, arguments = call
    return WarmScript(python, options, doit, tuple(exports), arguments)


def export(lines: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """Set the variables of lines that are ``export NAME=value``. Raises ``Unset``."""
    for line in lines:
        for word in list(_words(line))[1:]:
            name, value = _export(word)
            environment[name] = _expanded(value, environment)


def _lines(script: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; a line that ends in a backslash is joined with the next."""
    number, whole = 1, ""
    for here, line in enumerate(script.split("\n"), 1):
        whole += line
        if whole.endswith("\\") and not whole.endswith("\\\\"):
            if "#" in whole:
                raise NotWarm(number, whole.strip(), "a comment does not go on in the next line")
            whole = whole[:-1]
            continue
        yield number, whole
        number, whole = here + 1, ""
    if whole:
        yield number, whole


def _is_set(words: list[_Word]) -> bool:
    if words[0] != ("set",):
        return False
    options = [word[0] for word in words[1:]]
    if not all(isinstance(option, str) and _OPTION.fullmatch(option) for option in options):
        raise _Wrong("of `set`, only options are understood")
    return True


def _export(word: _Word) -> tuple[str, _Word]:
    first = word[0] if word else ""
    name, equals, value = first.partition("=") if isinstance(first, str) else ("", "", "")
    if not (equals and NAME.fullmatch(name)):
        raise _Wrong("it must be `export NAME=value`")
    return name, ((value, *word[1:]) if value else word[1:])


def _call(words: list[_Word]) -> tuple[str, tuple[str, ...], str, tuple[_Word, ...]]:
    if words[0] == ("exec",):
        words = words[1:]
    plain = [word[0] if len(word) == 1 and isinstance(word[0], str) else "" for word in words]
    if not plain or not _PYTHON.fullmatch(plain[0].rpartition("/")[2]):
        raise _Wrong(
            f"`python: warm` starts no shell: only comments, `set`, `export NAME=value` and "
            f"`{_CALL}` can be there"
        )
    options = tuple(word for word in plain[1:2] if word == "-u")
    at = 1 + len(options)
    if plain[at : at + 1] not in ([DO_IT], [f"./{DO_IT}"]):
        raise _Wrong(f"it must call doIt.py: `{_CALL}`")
    return plain[0], options, plain[at], tuple(words[at + 1 :])


def _expanded(word: _Word, environment: Mapping[str, str]) -> str:
    return "".join(part if isinstance(part, str) else part.value(environment) for part in word)


def _words(line: str) -> Iterator[_Word]:
    """The words of a line, as a shell splits it."""
    position, end = 0, len(line)
    while position < end:
        if line[position] in " \t":
            position += 1
        elif line[position] == "#":
            return
        else:
            word, position = _word(line, position)
            yield word


def _word(line: str, position: int) -> tuple[_Word, int]:
    parts: list[str | _Variable] = []
    text = ""
    quote = ""
    is_assignment = bool(re.match(r"[A-Za-z_]\w*=", line[position:], re.ASCII))
    start = position
    while position < len(line):
        char = line[position]
        if quote == "'" or char in "'\"":
            if char == quote or (not quote and char in "'\""):
                quote = "" if quote else char
            else:
                text += char
            position += 1
        elif char == "\\":
            following = line[position + 1 : position + 2]
            keeps = quote and following not in ("$", "`", '"', "\\")
            text += f"\\{following}" if keeps else following
            position += 2
        elif char == "`":
            raise _Wrong("it executes a command")
        elif char == "$":
            position = _dollar(line, position, parts, text, is_safe=bool(quote) or is_assignment)
            text = ""
        elif not quote and char in " \t":
            break
        elif not quote and char in _SPECIAL:
            raise _Wrong(f"{char} means something to a shell; write it in quotes if it is a text")
        elif not quote and char == "~" and (position == start or line[position - 1] in "=:"):
            raise _Wrong("write $HOME for ~")
        else:
            text += char
            position += 1
    if quote:
        raise _Wrong("a quote is not closed")
    if text or not parts:
        parts.append(text)
    return tuple(parts), position


def _dollar(
    line: str, position: int, parts: list[str | _Variable], text: str, *, is_safe: bool
) -> int:
    """Append the text before a variable and the variable to ``parts``; returns where it ends."""
    match = _REFERENCE.match(line, position)
    if match is None:
        raise _Wrong("of what begins with $, only $NAME, ${NAME} and ${NAME-text} are understood")
    if not is_safe:
        raise _Wrong('write it in quotes, "$NAME": a shell would make several words of it')
    if text:
        parts.append(text)
    parts.append(_Variable(match["name"] or match["braced"], match["rest"] or ""))
    return match.end()
