"""Variables for runs: values as written, with other variables named in them. Pure logic.

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

# By these the processes of a run are known. (BlackDynamite's variables nobody can replace.)
_OF_EACH_RUN = {"MOTOKO_RUN", "MOTOKO_ATTEMPT"}


class WrongVariable(ValueError):
    """A value that cannot be.

    Attributes:
        name, expected: whose value, and what it must be.
    """

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name} must be {expected}")
        self.name, self.expected = name, expected


def as_text(value: Any) -> str:
    """A value from Python as a variable holds it: ``True`` as the word that shells know."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(environment: Mapping[str, str]) -> None:
    """Raise ``WrongVariable`` for the first value in which something is not right."""
    for name, text in environment.items():
        if name in _OF_EACH_RUN:
            raise WrongVariable(name, "left away: each run has its own")
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
    """Both: a later value replaces an earlier one, which it may name by its variable."""
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
    """The lines of bash that set the variables, those first that others name.

    What a value names and nobody has set ends the script with an error that says so; but for the
    variable itself, which is empty then.
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
    """The variables, each behind those that it names; ``CycleError`` if that cannot be."""
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
    """A text, part by part, with something else for variables, dollars and what is between."""
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
