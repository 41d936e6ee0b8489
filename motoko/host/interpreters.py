"""The interpreter of a script: its first line, read as the kernel and ``env`` read it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIRST_LINE = re.compile(r"#![ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*")
# Shells that understand `export NAME='value'`, `case` and `${name-value}`.
_BOURNE_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "rbash", "zsh"})


class WrongFirstLine(ValueError):
    """The kernel cannot find the program that a script's first line names."""


@dataclass(frozen=True)
class Interpreter:
    """The interpreter that a script names in its first line.

    Attributes:
        path: the program.
        argument: all that follows the program, as one argument; empty if nothing follows.
    """

    path: str
    argument: str = ""

    @classmethod
    def of(cls, script: str) -> Interpreter | None:
        """The interpreter of a script's text; ``None`` if its first line names none.

        Raises ``WrongFirstLine`` for lines that end as on Windows or on old Macs.
        """
        line = script.partition("\n")[0]
        match = _FIRST_LINE.fullmatch(line)
        if match is None:
            return None
        if "\r" in line:
            raise WrongFirstLine(
                f"its lines end in CRLF or CR, as Windows' do: no program is called {line[2:40]!r}"
            )
        return cls(match[1], match[2])

    @property
    def words(self) -> tuple[str, ...]:
        """The program and its argument, as they are called."""
        return (self.path, self.argument) if self.argument else (self.path,)

    @property
    def line(self) -> str:
        """The first line of a script for this interpreter."""
        return " ".join([f"#!{self.path}", *self.words[1:]])

    @property
    def program(self) -> str:
        """The name of the program that reads the script; for ``env``, of what ``env`` starts."""
        names = [_name(self.path)]
        if names == ["env"]:
            words = self.argument.removeprefix("-S").split()
            names += [_name(w) for w in words if not w.startswith("-") and "=" not in w][:1]
        return names[-1]

    @property
    def is_bourne_shell(self) -> bool:
        """Whether it reads the language of ``sh``."""
        return self.program in _BOURNE_SHELLS

    @property
    def is_bash(self) -> bool:
        """Whether it is bash."""
        return self.program in {"bash", "rbash"}


def _name(path: str) -> str:
    return path.rpartition("/")[2]
