"""The installed versions, and when they were installed."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path


def requirements() -> list[str]:
    """The packages that Motoko requires, by its package metadata."""
    return metadata.requires("motoko") or []


def versions() -> dict[str, str | None]:
    """The versions of Motoko and the packages that it requires; ``None``: not installed."""
    names = ["motoko"]
    for text in requirements():
        if ";" not in text:
            names.append(text.partition("<")[0].partition(">")[0].partition("=")[0].strip())
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, str]:
    """The versions of Python, the kernel, the system and libc."""
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "system": _system(),
        "libc": " ".join(platform.libc_ver()),
    }


def _system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return platform.system()


def installed_at() -> float:
    """When the code was last changed, in seconds since 1970: by an installation, or by hand."""
    specs = [find_spec(name) for name in ("motoko", "motoko.supervisor", "motoko.workers")]
    changed = [
        file.stat().st_mtime
        for spec in specs
        for place in (spec.submodule_search_locations if spec else None) or ()
        for file in Path(place).rglob("*.py")
    ]
    with contextlib.suppress(metadata.PackageNotFoundError, OSError):
        # Some installers keep the files' times; but the record of an installation is new.
        for file in metadata.distribution("motoko").files or []:
            if file.name == "RECORD":
                changed.append(Path(str(file.locate())).stat().st_mtime)
    return max(changed)
