"""The findings of checks, as typed values."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How a check has ended."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(msgspec.Struct, frozen=True):
    """What a check has found.

    Attributes:
        check: the name of the check, which may have several findings.
        level: how serious it is.
        text: what was seen, with its value.
        remedy: what to do about it; empty if all is well.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Motoko works here, but may fail or be slow later."""
    return Finding(check, Level.WARNING, text, remedy)


def failure(check: str, text: str, remedy: str) -> Finding:
    """Part of Motoko does not work here."""
    return Finding(check, Level.FAILURE, text, remedy)
