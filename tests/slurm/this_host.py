"""What of this host a private Slurm needs: free ports, names, and whose processes run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from slurm_programs import Unavailable

STEP = 10
_taken: list[socket.socket] = []  # held as long as this process lives


def free_ports(count: int) -> list[int]:
    """Ports in a row that nobody uses on this host, nor any other process of such tests.

    Those may not have bound them yet: who takes a row binds an abstract socket of its name.
    """
    assert count <= STEP, count
    for first in range(21000, 31000, STEP):
        taken = socket.socket(socket.AF_UNIX)
        try:
            taken.bind(f"\0motoko-tests-ports-{first}")
        except OSError:
            taken.close()
            continue
        _taken.append(taken)
        found = [socket.socket() for _ in range(count)]
        try:
            for offset, each in enumerate(found):
                each.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for each in found:
                each.close()
        return list(range(first, first + count))
    raise Unavailable("there are no free ports")


def host_name() -> str:
    name = socket.gethostname().partition(".")[0]
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        raise Unavailable(f"this host's name, {name}, has no address: {error}") from error
    if not address.startswith("127."):
        raise Unavailable(f"{name} resolves to {address}; the cluster would listen to the network")
    return name


def user_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def processes() -> Iterator[tuple[int, str, list[str]]]:
    """Pid, command line and environment of all processes that we may look into."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                environment = (entry / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            variables = environment.decode(errors="replace").split("\0")
            yield int(entry.name), command.decode(errors="replace"), variables
