"""``motoko web`` for tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support import wait_until


@contextlib.contextmanager
def serving(directory: Path, *options: str) -> Iterator[Path]:
    """``motoko web``; yields the file that has what it prints."""
    out = directory / "web.out"
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "motoko", "web", *options],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        wait_until(lambda: "/#" in out.read_text(), "an address")
        # What it shows goes first.
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.nice(0) + 10)
        yield out
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert "Traceback" not in out.read_text(), out.read_text()


def addresses(out: Path) -> list[tuple[str, str]]:
    """The ports and tokens that were printed."""
    return re.findall(r"http://127\.0\.0\.1:(\d+)/#(\S+)", out.read_text())
