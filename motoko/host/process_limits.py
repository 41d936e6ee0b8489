"""Limits of processes: on open files and on processes, and one limit that marks them."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from motoko.errors import MotokoError

_RAISED = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
# RLIMIT_LOCKS: Linux keeps, inherits and shows it, but has not enforced it since 2.4.25.
_INERT = 10
_INERT_SHOWN = b"Max file locks"

_OPEN = Path("/proc/self/fd")
NO_ROOM = "it may start no more processes or threads now (see `ulimit -u`)"


class NoMoreProcesses(MotokoError):
    """This process may start no more threads now, because of the machine: that may pass."""

    exit_code = 71  # EX_OSERR: a daemon that ends so is started again later


def check_threads(number: int) -> None:
    """Raise ``NoMoreProcesses`` unless this process may start ``number`` threads now.

    Libraries that start their own threads abort the process if they cannot.
    """
    over = threading.Event()
    threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(number)]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError as error:
        raise NoMoreProcesses(
            f"the limit of processes is reached: {NO_ROOM}",
            hint="end other processes of this account, or have the limit raised",
        ) from error
    finally:
        over.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


@cache
def raise_soft_limits() -> tuple[int, int]:
    """Raise the soft limits to the hard ones; returns the earlier limits of open files.

    It is done once in the life of a process.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in _RAISED:
        _, hard = resource.getrlimit(limit)
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(limit, (hard, hard))
    return before


def restore_for(pid: int) -> None:
    """Give a child the limit of open files that this process had at its start.

    Programs that use ``select`` fail with file descriptors beyond 1023.
    """
    with suppress(OSError, ValueError):  # it has ended
        resource.prlimit(pid, resource.RLIMIT_NOFILE, raise_soft_limits())


def spare_files() -> int:
    """How many more files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    # Since Linux 6.2 the directory's size is the number of its entries; before, it is 0.
    used = _OPEN.stat().st_size or sum(1 for _ in _OPEN.iterdir())
    return max(0, soft - used)


@cache
def may_stamp() -> bool:
    """Whether processes can be given numbers: not if an administrator has set a hard limit."""
    return resource.getrlimit(_INERT)[1] == resource.RLIM_INFINITY


def stamp(pid: int, number: int) -> None:
    """Give a process a number that all its descendants carry from now on, for ever.

    The number survives ``setsid``, ``exec``, another environment and closed files: it is a soft
    limit that no kernel enforces. If it may not be set, nothing is done.
    """
    with suppress(OSError, ValueError):  # it has ended; or an administrator has set a hard limit
        _, hard = resource.prlimit(pid, _INERT)
        resource.prlimit(pid, _INERT, (number, hard))


def stamp_of(pid: int) -> int | None:
    """The number that :func:`stamp` has given to a process of our user, or to its ancestor.

    A limit that another program has set looks the same. ``None`` if there is no limit, or if the
    process has ended.
    """
    try:
        soft, _ = resource.prlimit(pid, _INERT)
    except PermissionError:
        return _stamp_shown(pid)  # it has another group: `newgrp` and `sg` start such processes
    except (OSError, ValueError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def _stamp_shown(pid: int) -> int | None:
    directory = Path(f"/proc/{pid}")
    with suppress(OSError):  # it has ended
        if directory.stat().st_uid == os.getuid():
            for line in (directory / "limits").read_bytes().splitlines():
                soft = line.removeprefix(_INERT_SHOWN).split()[:1]
                if line.startswith(_INERT_SHOWN) and soft and soft[0].isdigit():
                    return int(soft[0])
    return None
