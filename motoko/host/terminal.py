"""Asks the user at the terminal."""

from __future__ import annotations

import sys

from motoko.errors import NotConfirmed


def is_on_terminal() -> bool:
    """Whether there is a user to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answered_yes(question: str) -> bool:
    """Whether the user answers a question with yes; no is the default."""
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def confirmed(what_is_lost: str, question: str, hint: str) -> bool:
    """Whether the user answers a question, shown after some lines, with yes.

    Raises ``NotConfirmed`` if there is no user to ask; the hint says how to go on without asking.
    """
    if not is_on_terminal():
        raise NotConfirmed(f"{what_is_lost}\nnothing was changed", hint=hint)
    print(what_is_lost, file=sys.stderr)
    return answered_yes(question)
