"""The living processes of attempts: what their wrappers have started, wherever that has gone.

They are in the session that the wrapper has begun, or carry its mark, or are descendants of such.
So who leaves the session (``setsid``, a daemon) is one of them, whatever else it gives up. Only
what others start on a run's behalf (``systemd-run``, ``at``, a container's daemon) is none.

A session has the number of the process that began it. As long as one of its processes lives, no
other process gets that number; afterwards somebody may, and begin a session of strangers.
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
    """What lives of some attempts: processes with the wrapper each belongs to. One scan of /proc.

    Args:
        wrappers: they, or the claims that they have left: processes of this host's present boot.
    """
    wrappers = tuple(wrapper for wrapper in wrappers if wrapper.pid)
    return belonging(wrappers, processes(), wrapper_in) if wrappers else []


def belonging(
    wrappers: Sequence[Identity],
    table: Sequence[Process],
    marked: Callable[[Process], Identity | None],
) -> list[tuple[Identity, Identity]]:
    """Of processes, those that belong to wrappers, with these. Pure, but for ``marked``.

    That says which wrapper's mark a process carries.
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
    """Of processes, with their sessions, those that belong to wrappers. Pure.

    Strangers are those whose session's number belongs to another process than the wrapper now, and
    those that are older than the wrapper.
    """
    processes = list(processes)
    newest: dict[int, Identity] = {}  # who had the number before has nothing left
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
    """What lives in the session of an attempt: launch.sh, and what has not left it."""
    members = session_members(wrapper.pid) if wrapper.pid else []
    return [process for process, _ in without_strangers([wrapper], members)]


def left_in(directory: Path) -> set[Identity]:
    """The wrappers that have gone, of attempts below a directory of which something lives."""
    runs = f"{os.path.realpath(directory)}/"
    gone: set[Identity] = set()
    nameless: set[Identity] = set()
    for process in processes():
        wrapper = wrapper_in(process)
        if wrapper is None or wrapper in gone or wrapper.alive:
            continue
        mark = Mark.of(process)
        if mark is None or mark.wrapper != wrapper:
            nameless.add(wrapper)  # any workflow's
        elif mark.claim.startswith(runs):
            gone.add(wrapper)
    if nameless:
        gone |= nameless & _wrappers_below(directory)
    return {wrapper for wrapper in gone if not in_session(wrapper)}


def _wrappers_below(directory: Path) -> set[Identity]:
    """Those of all attempts there: every run's directory is looked into."""
    wrappers = set()
    for run in directory.glob("run-*"):
        with contextlib.suppress(OSError):  # it has just been deleted
            for path in own_folder(run).glob(f"{CLAIM}*"):
                wrappers.add(parse_claim(path.read_text(errors="replace")).wrapper)
    return wrappers


def group_lives(session: int) -> bool:
    """Whether anybody is left in the process group that a run begins with. It is cheap."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
