"""When a study's runs were submitted in packs: kept in a file, for a launcher that is killed."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict
from pathlib import Path

from motoko.host.files import read_json, write_atomically
from motoko.workers.launcher.gathering import Submitted


def read(path: Path) -> Submitted:
    """The times in the file; unknown ones if it cannot be read, or is of another boot."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        data = read_json(path) or {}
        times = Submitted(float(data["first"]), float(data["last"]))
        if times.first <= times.last <= time.monotonic():
            return times
    return Submitted()


def write(path: Path, times: Submitted) -> None:
    """Write the times. Raises ``OSError``."""
    write_atomically(path, json.dumps(asdict(times)))
