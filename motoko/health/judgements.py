"""What the figures of a machine mean for a workflow. Pure: ``examination`` finds the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from motoko.health.check_findings import Finding, failure, ok, warning
from motoko.host.durations import counted
from motoko.host.sizes import MB, megabytes

# What a daemon takes: memory, open files, processes and threads.
DAEMON_MEMORY = 50 * MB
DAEMON_FILES = 128
DAEMON_PROCESSES = 10
FILES_GOOD = 1024
CLOCK_WARN_S, CLOCK_FAIL_S = 5.0, 120.0
DISK_FAIL, DISK_WARN = 100 * MB, 1000 * MB
INODES_FAIL, INODES_WARN = 200, 5_000
FILE_FAIL, FILE_WARN = 100 * MB, 4000 * MB
PACK_FROM = 50 * MB
DAY_S = 86400.0

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+?)\s*(?:\[.*?\])?\s*(?P<limits>[<>=!~][^;]*)?(?P<if>;.*)?"
)
_LIMIT = re.compile(r"(>=|<=|==|!=|<|>)\s*([\w.]+)")


@dataclass(frozen=True)
class Limits:
    """The hard limits of a process, which its children inherit; ``None``: unlimited.

    Attributes:
        files: how many open files a process may have.
        processes: how many processes and threads the account may have; ``None`` also for root.
        used: how many processes and threads the account has now.
        cpu_s: the CPU time in seconds after which a process is killed.
        file_size: the largest size of a file in bytes.
        address_space: the largest address space in bytes.
    """

    files: int | None = None
    processes: int | None = None
    used: int = 0
    cpu_s: int | None = None
    file_size: int | None = None
    address_space: int | None = None


def versions(requirements: list[str], installed: Mapping[str, str | None]) -> Iterator[Finding]:
    """Whether the installed packages are those that Motoko requires.

    Args:
        requirements: as in package metadata: ``ZEO<7,>=6.1``; those of extras are ignored.
        installed: the version of each package; ``None`` if it is not installed.
    """
    good = []
    for text in requirements:
        match = _REQUIREMENT.fullmatch(text.strip())
        if match is None or match["if"]:
            continue
        name, limits = match["name"], (match["limits"] or "").strip()
        version = installed.get(name)
        cure = f"pip install '{name}{limits}'"
        if version is None:
            yield failure("versions", f"{name} is not installed", cure)
        elif not fits(version, limits):
            yield failure("versions", f"{name} {version} is installed, and not {limits}", cure)
        else:
            good.append(f"{name} {version}")
    yield ok("versions", ", ".join(good))


def fits(version: str, limits: str) -> bool:
    """Whether a version is within limits such as ``<7,>=6.1``."""
    ours = _numbers(version)
    for sign, text in _LIMIT.findall(limits):
        other = _numbers(text)
        length = max(len(ours), len(other))
        a, b = (tuple([*part, *[0] * length][:length]) for part in (ours, other))
        holds = {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, "<": a < b, ">": a > b}[
            sign
        ]
        if not holds:
            return False
    return True


def _numbers(version: str) -> list[int]:
    number = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in number[0].split(".")] if number else []


def limits(have: Limits, daemons: int) -> Iterator[Finding]:
    """Whether this many daemons, and their runs, have enough files, processes and time."""
    if have.files is not None and have.files < FILES_GOOD:
        judge = failure if have.files < DAEMON_FILES else warning
        text = f"a process may open {have.files} files"
        yield judge("open files", text, f"ulimit -n {FILES_GOOD}, or more in limits.conf")
    else:
        yield ok("open files", f"a process may open {_shown(have.files)} files")
    if have.processes is not None:
        left = have.processes - have.used
        text = f"this account may have {have.processes} processes and threads, and has {have.used}"
        yield _room("processes", left, daemons, text, "raise `ulimit -u`, or end other processes")
    if have.cpu_s is not None:
        text = f"processes are killed after {have.cpu_s} s of CPU time"
        cure = "`ulimit -t unlimited`, or a machine that allows it: daemons live for weeks"
        yield (failure if have.cpu_s < DAY_S else warning)("CPU time", text, cure)
    if have.file_size is not None and have.file_size < FILE_WARN:
        judge = failure if have.file_size < FILE_FAIL else warning
        text = f"no file may be longer than {megabytes(have.file_size)}"
        yield judge("file size", text, "`ulimit -f unlimited`: a database is one file")
    need = 10 * DAEMON_MEMORY
    if have.address_space is not None and have.address_space < 4 * need:
        judge = failure if have.address_space < need else warning
        text = f"a process may have {megabytes(have.address_space)} of addresses"
        yield judge("memory", text, "`ulimit -v unlimited`: libraries map more than they use")


def _room(check: str, left: int, daemons: int, text: str, cure: str) -> Finding:
    need = daemons * DAEMON_PROCESSES
    if left < need:
        return failure(check, f"{text}: {daemons} daemons need {need}", cure)
    return warning(check, text, cure) if left < 3 * need else ok(check, text)


def group_processes(left: int | None, daemons: int) -> Iterator[Finding]:
    """Whether the control group allows this many daemons."""
    if left is not None:
        text = f"the control group allows {left} more processes and threads"
        cure = "have `pids.max` (TasksMax= of the user's slice) raised"
        yield _room("processes", left, daemons, text, cure)


def memory(free: int, quota: int | None, daemons: int) -> Finding:
    """Whether there is memory for this many daemons.

    Args:
        free: the machine's free memory in bytes.
        quota: the memory that the control group leaves in bytes; ``None`` if it sets no limit.
        daemons: how many daemons there will be.
    """
    need, left = daemons * DAEMON_MEMORY, free if quota is None else min(free, quota)
    whose = "free" if left == free else "left by the control group"
    text = f"{megabytes(left)} {whose}; {daemons} daemons take about {megabytes(need)}, runs more"
    cure = "use a machine with more memory, or another session or job with a larger quota"
    if left < need:
        return failure("memory", text, cure)
    return warning("memory", text, cure) if left < 2 * need else ok("memory", text)


def cpus(usable: int, quota: float | None, slots: int | None) -> Finding:
    """Whether there is a processor for each run that is executed here at the same time."""
    have = float(usable) if quota is None else min(quota, usable)
    runs = slots or usable
    processors = "1 processor" if have == 1 else f"{have:g} processors"
    text = f"the time of {processors} for {counted(runs, 'run')} at the same time"
    if runs > have:
        cure = f"`slots: {max(int(have), 1)}` in motoko.yaml: this many run at full speed"
        return warning("CPUs", text, cure)
    return ok("CPUs", text)


def disk(path: Path, free: int, inodes: int | None, problem: str = "") -> Iterator[Finding]:
    """Whether there is room where a workflow's files are.

    Args:
        path: a directory of the workflow.
        free: how many bytes are free for this account.
        inodes: how many files may still be made; ``None`` where the file system has no limit.
        problem: why a file cannot be written there.
    """
    if problem:
        cure = "make it writable, and check quota and free space: `df -h`, `df -i`, `quota`"
        yield failure("disk", f"{path} cannot be written: {problem}", cure)
        return
    text = f"{path}: {megabytes(free)} free"
    cure = "remove what you no longer need (`motoko clean`)"
    if free < DISK_WARN:
        yield (failure if free < DISK_FAIL else warning)("disk", text, cure)
    else:
        yield ok("disk", text)
    if inodes is not None and inodes < INODES_WARN:
        judge = failure if inodes < INODES_FAIL else warning
        yield judge("inodes", f"{path}: {counted(inodes, 'more file')} can be made", cure)


def clock(path: Path, ahead: float) -> Finding:
    """Whether a file system's clock agrees with this host's; ``ahead`` is the difference in s."""
    if abs(ahead) < CLOCK_WARN_S:
        return ok("clocks", f"{path}: its file system's clock agrees with this host's")
    text = f"{path}: its file system's clock is {abs(ahead):.0f} s "
    text += "ahead of this host's" if ahead > 0 else "behind this host's"
    cure = "have this host's clock set by NTP (`timedatectl`)"
    return (failure if abs(ahead) > CLOCK_FAIL_S else warning)("clocks", text, cure)


def logout(user: str, *, ended: bool) -> Finding:
    """Whether a supervisor lives on after its user has logged out."""
    if not ended:
        return ok("logout", "processes live on after logging out")
    return warning(
        "logout",
        "systemd ends your processes when you log out (KillUserProcesses=yes)",
        f"`loginctl enable-linger {user}`, then `systemd-run --user --scope motoko supervise "
        "--detach`",
    )


def kept_locks(path: Path, kind: str, options: frozenset[str]) -> Finding:
    """Whether other hosts see the locks of a file system that supports locks."""
    keeping = options & {"local_lock=all", "local_lock=flock", "nolock", "localflock"}
    if not keeping:
        return ok("locks", f"{path} ({kind or 'unknown'}): files can be locked")
    return warning(
        "locks",
        f"{path} ({kind}, {', '.join(sorted(keeping))}): other hosts do not see locks",
        "supervise on one host only, or have it mounted without that option",
    )


def packing(study: str, total: int, superseded: int) -> Finding:
    """Whether a database should be packed, because most of it is outdated revisions."""
    text = f"{study}: {megabytes(total)}, of which {megabytes(superseded)} are outdated"
    if total < PACK_FROM or 2 * superseded < total:
        return ok("databases", text)
    return warning(
        "databases",
        text,
        f"`motoko pack {study}` (`--days 0`: without a day of history)",
    )


def age(daemon: str) -> Finding:
    """A daemon that is older than the installed version."""
    return warning(
        "daemons",
        f"{daemon} was started before this version of Motoko was installed",
        "`motoko upgrade`: no run is lost",
    )


def _shown(number: int | None) -> str:
    return "any number of" if number is None else str(number)
