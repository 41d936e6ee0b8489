"""The living processes of attempts: all that their wrappers have started.

A process belongs to an attempt if it is in the session that the wrapper has begun, carries the
wrapper's mark, or is a descendant of such a process. So a process that leaves the session
(``setsid``, a daemon) still belongs to it. Only processes that a service starts on a run's behalf
(``systemd-run``, ``at``, a container's daemon) do not.

A session has the number of the process that began it. As long as one of its processes lives, no
other process gets that number. Afterwards another process may get it, and begin a session that has
nothing to do with the attempt.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from motoko.host.identity import Identity
from motoko.host.living_processes import Process, processes, session_members
from motoko.runs.claims import parse_claim
from motoko.runs.marks import Mark, wrapper_in
from motoko.runs.paths import CLAIM, own_folder


def members_of(*wrappers: Identity) -> list[tuple[Identity, Identity]]:
    """The living processes of some attempts, each with its wrapper. Scans /proc once.

    Args:
        wrappers: the attempts' wrappers, living or not, of this host's present boot.
    """
    wrappers = tuple(wrapper for wrapper in wrappers if wrapper.pid)
    return belonging(wrappers, processes(), wrapper_in) if wrappers else []


def belonging(
    wrappers: Sequence[Identity],
    table: Sequence[Process],
    marked: Callable[[Process], Identity | None],
) -> list[tuple[Identity, Identity]]:
    """The processes of ``table`` that belong to wrappers, with these. Pure but for ``marked``.

    ``marked`` says which wrapper's mark a process carries.
    """
    sessions = [(process.identity, process.session) for process in table]
    owners = dict(without_strangers(wrappers, sessions))
    known, oldest = set(wrappers), min(wrapper.start_ticks for wrapper in wrappers)
    children: dict[int, list[Identity]] = {}
    for process in table:
        identity = process.identity
        children.setdefault(process.parent, []).append(identity)
        if identity not in owners and identity.start_ticks >= oldest:
            wrapper = marked(process)
            if wrapper in known:
                owners[identity] = wrapper
    parents = list(owners)
    while parents:
        parent = parents.pop()
        for child in children.get(parent.pid, ()):
            if child not in owners:
                owners[child] = owners[parent]
                parents.append(child)
    return list(owners.items())


def without_strangers(
    wrappers: Iterable[Identity], processes: Iterable[tuple[Identity, int]]
) -> list[tuple[Identity, Identity]]:
    """The processes, given with their sessions, that are in the sessions of wrappers. Pure.

    Strangers are left out: processes whose session's number now belongs to another process than the
    wrapper, and processes that are older than the wrapper.
    """
    processes = list(processes)
    newest: dict[int, Identity] = {}  # earlier wrappers with the same pid have no processes left
    for wrapper in wrappers:
        known = newest.get(wrapper.pid)
        if known is None or wrapper.start_ticks > known.start_ticks:
            newest[wrapper.pid] = wrapper
    reused = {
        process.pid
        for process, session in processes
        if process.pid == session
        and session in newest
        and process.start_ticks != newest[session].start_ticks
    }
    return [
        (process, newest[session])
        for process, session in processes
        if session in newest
        and session not in reused
        and process.start_ticks >= newest[session].start_ticks
    ]


def survivors(*wrappers: Identity) -> list[Identity]:
    """The living processes of attempts."""
    return [process for process, _ in members_of(*wrappers)]


def in_session(wrapper: Identity) -> list[Identity]:
    """The living processes in an attempt's session: launch.sh, and those that have not left it."""
    members = session_members(wrapper.pid) if wrapper.pid else []
    return [process for process, _ in without_strangers([wrapper], members)]


def left_in(directory: Path) -> set[Identity]:
    """The wrappers that are gone, of those attempts below a directory that have left processes."""
    runs = f"{os.path.realpath(directory)}/"
    gone: set[Identity] = set()
    nameless: set[Identity] = set()
    for process in processes():
        wrapper = wrapper_in(process)
        if wrapper is None or wrapper in gone or wrapper.alive:
            continue
        mark = Mark.of(process)
        if mark is None or mark.wrapper != wrapper:
            nameless.add(wrapper)  # may belong to any workflow
        elif mark.claim.startswith(runs):
            gone.add(wrapper)
    if nameless:
        gone |= nameless & _wrappers_below(directory)
    return {wrapper for wrapper in gone if not in_session(wrapper)}


def _wrappers_below(directory: Path) -> set[Identity]:
    """The wrappers of all attempts below a directory: every run directory is looked into."""
    wrappers = set()
    for run in directory.glob("run-*"):
        with contextlib.suppress(OSError):  # it has just been deleted
            for path in own_folder(run).glob(f"{CLAIM}*"):
                wrappers.add(parse_claim(path.read_text(errors="replace")).wrapper)
    return wrappers


def group_lives(session: int) -> bool:
    """Whether any process is left in the process group that a run begins with. A cheap check."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
