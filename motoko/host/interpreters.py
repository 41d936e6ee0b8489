"""What executes a script: its first line, read as the kernel and ``env`` read it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIRST_LINE = re.compile(r"#![ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*")
# What understands `export NAME='value'`, `case` and `${name-value}`.
_BOURNE_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "rbash", "zsh"})


class WrongFirstLine(ValueError):
    """No kernel finds what a script's first line names."""


@dataclass(frozen=True)
class Interpreter:
    """What a script names in its first line.

    Attributes:
        path: the program.
        argument: all that follows it, which is one argument; empty if nothing does.
    """

    path: str
    argument: str = ""

    @classmethod
    def of(cls, script: str) -> Interpreter | None:
        """From a script's text; ``None`` if its first line names nothing.

        Raises ``WrongFirstLine`` for lines that end as Windows' or old Macs' do.
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
        """The program and its argument, as it is called."""
        return (self.path, self.argument) if self.argument else (self.path,)

    @property
    def line(self) -> str:
        """The first line of a script for it."""
        return " ".join([f"#!{self.path}", *self.words[1:]])

    @property
    def program(self) -> str:
        """The name of what reads the script: of what ``env`` starts, if it is that."""
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
