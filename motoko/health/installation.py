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


def homepage(name: str) -> str | None:
    """The address of an installed package's own pages, if its metadata has one."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    addresses = [text.partition(",")[2].strip() for text in about.get_all("Project-URL") or ()]
    return next((text for text in (about["Home-page"], *addresses) if text), None)


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
