"""A real terminal for commands that need one: a session of tmux, with a server of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import motoko_command, wait_until

TMUX = shutil.which("tmux")


class Session:
    """A command in a terminal of 80x24.

    Attributes:
        pid: the command's process.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._socket = directory / "tmux"
        self._directory = directory
        command = shlex.join(motoko_command(*arguments))
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        environment.pop("TMUX", None)
        started = self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", f"exec {command}"),
            env=environment,
        )
        assert started.returncode == 0, started.stderr
        self.pid = int(self._tmux("list-panes", "-F", "#{pane_pid}").stdout)

    def _tmux(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [str(TMUX), "-S", str(self._socket), *arguments],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            **options,
        )

    @property
    def screen(self) -> str:
        """What is shown; empty if the command has ended."""
        return self._tmux("capture-pane", "-p").stdout

    def press(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        self._tmux("send-keys", *keys)

    def until(self, *words: str, timeout: float = 20.0) -> str:
        """Wait until all of these words are shown; the screen."""

        def shown() -> str:
            screen = self.screen
            missing = [each for each in words if each not in screen]
            if missing:
                raise AssertionError(f"{missing} missing in\n{screen}")
            return screen

        return wait_until(shown, f"{words} are shown", timeout)

    def close(self) -> None:
        """End the command and the server."""
        self._tmux("kill-server")
        self._socket.unlink(missing_ok=True)


@contextlib.contextmanager
def session(directory: Path, *arguments: str) -> Iterator[Session]:
    """A Motoko command in a terminal; skips the test where there is no tmux."""
    if TMUX is None:
        pytest.skip("tmux is not installed: no real terminal to look at")
    opened = Session(directory, *arguments)
    try:
        yield opened
    finally:
        opened.close()
