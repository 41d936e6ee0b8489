"""A command with ``{names}`` of parameters, as a line of launch.sh.

No shell interprets it: each word of the command is one word of the script, whatever is in it. Pure
logic.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping
from dataclasses import dataclass

from motoko.errors import ConfigError
from motoko.runs.placeholders import PREFIX

_OPERATORS = "();<>|&"
# What a shell would expand; it is refused, since nothing is expanded here.
_EXPANDED = re.compile(r"[$`*?~]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EDIT = "write the plain command, and add that in the study's launch.sh, which is a shell script"


@dataclass(frozen=True)
class Word:
    """A word of a command: texts, and names of parameters, in turn.

    ``parts`` are pairs of a text and the name that follows it, if one does.
    """

    parts: tuple[tuple[str, str | None], ...]

    @property
    def text(self) -> str | None:
        """The word, if it has no names."""
        if any(name is not None for _, name in self.parts):
            return None
        return "".join(text for text, _ in self.parts)


def parsed(command: str) -> list[Word]:
    """The words of a command. ``{{`` and ``}}`` are braces.

    Raises ``ConfigError`` if it is no command, and for what only a shell understands.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = [*lexer]
    except ValueError as error:
        raise _wrong(command, str(error).lower(), "close what is opened") from None
    if not words:
        raise _wrong(command, "it is empty", "write what starts the program: './sim -x {x}'")
    for word in words:
        if word and set(word) <= set(_OPERATORS):
            raise _wrong(command, f"{word} is the shell's", _EDIT)
        # The caller expands a path in the home directory.
        if match := _EXPANDED.search(word.removeprefix("~/")):
            raise _wrong(command, f"{match[0]} in {word} is the shell's", _EDIT)
    return [_word(command, word) for word in words]


def names(words: list[Word]) -> list[str]:
    """The names of the parameters, each once, in their order."""
    return [*dict.fromkeys(name for word in words for _, name in word.parts if name is not None)]


def line(words: list[Word]) -> str:
    """The line of launch.sh: each value is one word, or a part of one, for the shell."""
    return " ".join(_quoted(word) for word in words)


def _word(command: str, text: str) -> Word:
    try:
        fields = [*string.Formatter().parse(text)]
    except ValueError as error:
        hint = "a parameter is {name}; write {{ and }} for braces"
        raise _wrong(command, f"{text}: {error}", hint) from None
    for _, name, form, conversion in fields:
        if name is not None and (form or conversion or not _NAME.fullmatch(name)):
            hint = "a parameter is a name in braces, {x}; write {{ and }} for braces"
            raise _wrong(command, f"{{{name}}} is no name of a parameter", hint)
    return Word(tuple((literal, name) for literal, name, _, _ in fields))


def _quoted(word: Word) -> str:
    return "".join(map(_quoted_part, word.parts)) or "''"


def _quoted_part(part: tuple[str, str | None]) -> str:
    text, name = part
    placeholder = "" if name is None else f"{PREFIX.decode()}{name.lower()}:sh__"
    return (shlex.quote(text) if text else "") + placeholder


def _wrong(command: str, problem: str, hint: str) -> ConfigError:
    return ConfigError(f"--command {command!r}: {problem}", hint=hint)


def replaced(word: Word, texts: Mapping[str, str]) -> Word:
    """The word; if its text is a key of ``texts``, with the text there instead."""
    text = word.text
    return Word(((texts[text], None),)) if text is not None and text in texts else word
