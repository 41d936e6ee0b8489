"""The installed versions, and when they were installed."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata


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
