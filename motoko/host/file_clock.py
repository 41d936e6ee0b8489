"""The clock of a file system, which on a cluster is a server's and may differ from this host's."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

_TICK_S = 0.02


def age(path: Path) -> float:
    """How long ago a file was changed, in seconds, by the clock that has stamped it.

    Raises ``OSError`` if the file does not exist. If its directory cannot be written to, this
    host's clock is used instead.
    """
    changed = path.stat().st_mtime
    return max(0.0, _now(path) - changed)


def _now(path: Path) -> float:
    probe = path.with_name(f".{path.name}.now-{os.getpid()}")
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError:
        return time.time()


def ahead(directory: Path) -> float:
    """By how many seconds a file system's clock is ahead of this host's; negative if behind.

    Raises ``OSError`` if no file can be made in the directory.
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".motoko-clock-") as file:
        before = time.time()
        file.write(b".")
        file.flush()
        stamped = os.fstat(file.fileno()).st_mtime
        after = time.time()
    # A file's stamp may be as old as the kernel's last tick.
    if before - _TICK_S <= stamped <= after:
        return 0.0
    return stamped - (after if stamped > after else before)
