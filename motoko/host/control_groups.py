"""How much memory, processor time and processes a control group leaves to its processes.

Batch systems, containers and systemd set such quotas, on each level of a tree; the least one
counts. Both versions of the kernel's interface are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

N = TypeVar("N", int, float)

ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60  # version 1 writes a huge number for "no limit"


@dataclass(frozen=True)
class Quota:
    """What is left; ``None`` where nothing limits it.

    Attributes:
        memory: how many bytes may still be taken; file caches that can be given back are free.
        cpus: how many processors' worth of time may be used.
        processes: how many more processes and threads may be started.
    """

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


def quota(membership: str | None = None, root: Path = ROOT) -> Quota:
    """The quotas of this process.

    Args:
        membership: the text of /proc/self/cgroup, by default its present content.
        root: where control groups are mounted.
    """
    if membership is None:
        with contextlib.suppress(OSError):
            membership = Path("/proc/self/cgroup").read_text()
    quotas = []
    for line in (membership or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        tree = root / controllers if controllers else root
        quotas += [
            _quota_of(directory, unified=not controllers) for directory in _levels(tree, path)
        ]
    return Quota(
        _least(q.memory for q in quotas),
        _least(q.cpus for q in quotas),
        _least(q.processes for q in quotas),
    )


def _least(values: Iterable[N | None]) -> N | None:
    return min((value for value in values if value is not None), default=None)


def _levels(tree: Path, path: str) -> Iterator[Path]:
    """The directories from a group's up to the top; a container may see only the top."""
    directory = tree / path.lstrip("/")
    for level in (directory, *directory.parents):
        if level.is_relative_to(tree):
            yield level


def _quota_of(group: Path, *, unified: bool) -> Quota:
    pids = _left(group, "pids.max", "pids.current")
    if not unified:
        limit = "memory.limit_in_bytes"
        period = _numbers(group / "cpu.cfs_period_us")
        share = _numbers(group / "cpu.cfs_quota_us")
        is_limited = bool(share and period and share[0] > 0)
        cpus = share[0] / period[0] if is_limited else None
        memory = _left(group, limit, "memory.usage_in_bytes", "total_inactive_file")
        return Quota(memory, cpus, pids)
    share = _numbers(group / "cpu.max")
    cpus = share[0] / share[1] if len(share) == 2 else None
    return Quota(_left(group, "memory.max", "memory.current", "inactive_file"), cpus, pids)


def _left(group: Path, limit: str, used: str, given_back: str = "") -> int | None:
    most, taken = _numbers(group / limit), _numbers(group / used)
    if not most or not taken or most[0] >= _UNLIMITED:
        return None
    free = 0
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text().splitlines() if given_back else ():
            name, _, value = line.partition(" ")
            free = int(value) if name == given_back else free
    return max(most[0] - taken[0] + free, 0)


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; none if it is missing, or says ``max``."""
    try:
        words = file.read_text().split()
    except OSError:
        return []
    return [] if "max" in words else [int(word) for word in words]
