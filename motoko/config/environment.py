"""Environment variables for runs, whose values may name other variables. Pure logic.

``$NAME`` and ``${NAME}`` stand for a variable, ``$$`` for a dollar; ``~`` stands for ``$HOME`` at
the beginning of a value and after a colon, alone or before a slash, as in a shell's assignment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>\w+)|\{(?P<braced>\w*)\}|(?P<wrong>))", re.ASCII)
_TILDE = re.compile(r"(?:(?<=:)|^)~(?=[/:]|$)")
_USERS_TILDE = re.compile(r"(?:(?<=:)|^)~[A-Za-z_][A-Za-z0-9_.-]*(?=[/:]|$)")

# Motoko recognizes the processes of a run by these. (BlackDynamite's cannot be replaced anyway.)
_OF_EACH_RUN = {"MOTOKO_RUN", "MOTOKO_ATTEMPT"}


class WrongVariable(ValueError):
    """A variable whose value is not allowed.

    Attributes:
        name, expected: the variable, and what its value must be.
    """

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name} must be {expected}")
        self.name, self.expected = name, expected


def as_text(value: Any) -> str:
    """The text of a value from Python in a variable: ``True`` becomes ``true``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(environment: Mapping[str, str]) -> None:
    """Raise ``WrongVariable`` for the first value that is wrong."""
    for name, text in environment.items():
        if name in _OF_EACH_RUN:
            raise WrongVariable(name, "left out: each run has its own")
        for match in _PART.finditer(text):
            named = match["name"] if match["name"] is not None else match["braced"]
            if match["dollar"] is None and not NAME.fullmatch(named or ""):
                raise WrongVariable(
                    name, "a text where a dollar begins $NAME, ${NAME} or $$, which is a dollar"
                )
        if user := _USERS_TILDE.search(text):
            raise WrongVariable(name, f"a text without {user[0]}: write the path itself")
    try:
        _in_order(environment)
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise WrongVariable(error.args[1][0], f"defined without itself: {circle}") from None


def layered(earlier: Mapping[str, str], later: Mapping[str, str]) -> dict[str, str]:
    """Both layers: a later value replaces an earlier one, and may name it by its variable."""
    both = dict(earlier)
    for name, text in later.items():
        if name in earlier:
            before = _with_home(earlier[name])

            def put(named: str, name: str = name, before: str = before) -> str:
                return before if named == name else f"${{{named}}}"

            text = _replaced(_with_home(text), put, "$$", lambda plain: plain)
        both[name] = text
    return both


def shell_lines(environment: Mapping[str, str]) -> list[str]:
    """The lines of bash that set the variables, in an order in which each may name earlier ones.

    A value that names a variable that is not set ends the script with an error that says so. If a
    value names its own variable, and that is not set, it stands for an empty text.
    """

    def put(owner: str) -> Callable[[str], str]:
        def written(name: str) -> str:
            if name == owner:
                return f'"${{{name}-}}"'
            problem = f"is not set, but environment: {owner} names it"
            return f'"${{{name}?{problem}}}"'

        return written

    return [
        f"export {name}="
        + (
            _replaced(_with_home(environment[name]), put(name), r"\$", shlex.quote)
            or shlex.quote("")
        )
        for name in _in_order(environment)
    ]


def _in_order(environment: Mapping[str, str]) -> list[str]:
    """The variables, each after those that it names; ``CycleError`` if there is no such order."""
    graph = {
        name: [other for other in _names(text) if other in environment and other != name]
        for name, text in environment.items()
    }
    return list(TopologicalSorter(graph).static_order())


def _names(text: str) -> Iterator[str]:
    for match in _PART.finditer(_with_home(text)):
        if name := match["name"] or match["braced"]:
            yield name


def _with_home(text: str) -> str:
    return _TILDE.sub("${HOME}", text)


def _replaced(
    text: str, variable: Callable[[str], str], dollar: str, plain: Callable[[str], str]
) -> str:
    """A text with its variables, its dollars and the text between them replaced."""
    pieces, position = [], 0
    for match in _PART.finditer(text):
        if match.start() > position:
            pieces.append(plain(text[position : match.start()]))
        name = match["name"] or match["braced"]
        pieces.append(dollar if name is None else variable(name))
        position = match.end()
    if position < len(text):
        pieces.append(plain(text[position:]))
    return "".join(pieces)
