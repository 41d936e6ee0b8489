"""Unit tests are pure logic: what would start a process or serve others fails."""

import os
import socket
import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse processes and listening sockets; a test that needs them belongs to integration/."""

    def refuse(*args: object, **options: object) -> None:
        pytest.fail(f"a unit test starts a process, or serves others: {args[1:]}")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "listen", refuse)
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execve"):
        monkeypatch.setattr(os, name, refuse)
