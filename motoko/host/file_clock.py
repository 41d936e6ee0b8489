"""The clock of a file system: on a cluster it is a server's, and may differ from this host's."""

from __future__ import annotations

import os
import time
from pathlib import Path


def age(path: Path) -> float:
    """How long ago a file was changed, in seconds, by the clock that has stamped it.

    Raises ``OSError`` if the file is not there. Where nothing can be written beside it, this host's
    clock has to do.
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
