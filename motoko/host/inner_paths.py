"""Paths that lead into a directory and nowhere else, whoever has written them down. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import accumulate


def why_wrong(name: str) -> str | None:
    """Why a relative path, with slashes, may lead out of its directory; ``None`` if it cannot."""
    if not name or "\0" in name:
        return "names no file"
    if name.startswith("/"):
        return "is an absolute path"
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        return "may lead out of the directory"
    return None


def first_wrong(names: Iterable[str], links: Collection[str] = ()) -> str | None:
    """The first path that may lead out of a directory, and why; ``None`` if all stay in it.

    Args:
        names: relative paths, with slashes, of all files.
        links: those of them that are symbolic links: no file can be below one.
    """
    for name in names:
        if (why := why_wrong(name)) is not None:
            return f"{name!r} {why}"
        if links:
            above = accumulate(name.split("/")[:-1], lambda one, other: f"{one}/{other}")
            for folder in above:
                if folder in links:
                    return f"{name!r} is below {folder!r}, which is a link"
    return None
