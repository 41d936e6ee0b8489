"""When the installed Motoko was installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("motoko", "motoko.supervisor", "motoko.workers")


def installed_at() -> float:
    """When the code was last changed, in seconds since 1970: by an installation, or by hand."""
    return max(_changed())


def _changed() -> Iterator[float]:
    for name in _PACKAGES:
        spec = find_spec(name)
        for place in (spec.submodule_search_locations if spec else None) or ():
            for file in Path(place).rglob("*.py"):
                yield file.stat().st_mtime
            # Some installers keep the files' times; but the record of an installation is new.
            for record in Path(place).parent.glob("motoko-*.dist-info/RECORD"):
                with contextlib.suppress(OSError):
                    yield record.stat().st_mtime
