"""Asking whoever sits at the terminal."""

from __future__ import annotations

import sys

from motoko.errors import NotConfirmed


def is_on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answered_yes(question: str) -> bool:
    """Whether a question is answered with yes; no is the default."""
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def confirmed(what_is_lost: str, question: str, hint: str) -> bool:
    """Whether a question behind some lines is answered with yes.

    Raises ``NotConfirmed`` if there is nobody to ask; the hint says how to do without.
    """
    if not is_on_terminal():
        raise NotConfirmed(f"{what_is_lost}\nnothing was changed", hint=hint)
    print(what_is_lost, file=sys.stderr)
    return answered_yes(question)
