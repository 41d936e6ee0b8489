"""What ``motoko archive`` writes about a workflow, and takes along: ``archive:`` in motoko.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from motoko.config.decoding import Hint, Written
from motoko.host.inner_paths import why_wrong

_Text = Annotated[str, Meta(min_length=1)]
_URL = re.compile(r"https?://[^\s<>\"]+")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_LICENCE_HINT = "write its SPDX name, such as CC-BY-4.0, or its address: https://..."
_ORCID_HINT = "write it as https://orcid.org shows it: 0000-0002-1825-0097"


def _licence(value: Any) -> str:
    if not isinstance(value, str) or not (_URL.fullmatch(value) or _SPDX.fullmatch(value)):
        raise ValueError
    return value


def _orcid(value: Any) -> str:
    match = _ORCID.fullmatch(value) if isinstance(value, str) else None
    if match is None or _check_digit(match[1]) != match[1][-1]:
        raise ValueError
    return match[1]


def _check_digit(orcid: str) -> str:
    """The last character that an ORCID must have, by ISO 7064 (MOD 11-2)."""
    total = 0
    for digit in orcid.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    last = (12 - total % 11) % 11
    return "X" if last == 10 else str(last)


def _patterns(value: Any) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)):
        raise ValueError
    for one in patterns:
        if not isinstance(one, str) or why_wrong(one.rstrip("/")):
            raise ValueError
        if any("**" in part and part != "**" for part in one.split("/")):  # pathlib knows none such
            raise ValueError
    return tuple(patterns)


class Author(Struct, frozen=True):
    """Who has made a workflow. ``orcid``: without the address in front of it."""

    name: _Text
    orcid: (
        Annotated[str, Written("an ORCID", "its last digit checks it", _orcid), Hint(_ORCID_HINT)]
        | None
    ) = None
    affiliation: _Text | None = None


class ArchiveSettings(Struct, frozen=True):
    """What an archive says of itself, and what is in it besides what always is.

    Attributes:
        title: what it is called; by default as the workflow's directory.
        description: what it is about.
        licence: the SPDX name of its licence, or the licence's address.
        authors: who has made it.
        files: patterns of further files in the workflow's directory.
        environment: the variables of ``environment:`` whose values are no secrets.
    """

    title: _Text | None = None
    description: _Text | None = None
    licence: (
        Annotated[str, Written("the name of a licence", "", _licence), Hint(_LICENCE_HINT)] | None
    ) = None
    authors: Annotated[
        tuple[Author, ...], Hint("write a list: - {name: Ada Lovelace, orcid: ...}")
    ] = ()
    files: Annotated[
        tuple[str, ...],
        Written("a list of patterns", "of files in the workflow's directory", _patterns),
        Hint("write a list such as [data/*.csv, mesh/**]"),
    ] = ()
    environment: Annotated[
        tuple[str, ...], Hint("write a list of variables' names: [OMP_NUM_THREADS]")
    ] = ()


NO_SETTINGS = ArchiveSettings()
