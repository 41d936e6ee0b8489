"""The living processes of attempts: all that their wrappers have started.

A process belongs to an attempt if it carries the mark of the attempt's wrapper and its turn, or is
a descendant of such a process. So a process that leaves its session (``setsid``, a daemon) still
belongs to the attempt. Only processes that a service starts on a run's behalf (``systemd-run``,
``at``, a container's daemon) do not. The wrapper itself belongs to the attempt until its turn ends.

If a wrapper has one turn only, all processes of its session belong to the attempt, too. A session
has the number of the process that began it. As long as one of its processes lives, no other process
gets that number. Afterwards another process may get it, and begin a session that has nothing to do
with the attempt.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from motoko.host.identity import Identity
from motoko.host.living_processes import Process, processes
from motoko.runs.claims import parse_claim
from motoko.runs.marks import Mark, wrapper_in
from motoko.runs.paths import CLAIM, own_folder
from motoko.runs.wrappers import NO_SESSION, Wrapper


def members_of(*wrappers: Wrapper) -> list[tuple[Identity, Wrapper]]:
    """The living processes of some attempts, each with its wrapper. Scans /proc once.

    Args:
        wrappers: the attempts' wrappers, living or not, of this host's present boot.
    """
    wrappers = tuple(wrapper for wrapper in wrappers if wrapper.pid)
    if not wrappers:
        return []
    oldest = min(wrapper.process.start_ticks for wrapper in wrappers)
    return belonging(wrappers, processes(since=oldest), wrapper_in)


def belonging(
    wrappers: Sequence[Wrapper],
    table: Sequence[Process],
    marked: Callable[[Process], Wrapper | None],
) -> list[tuple[Identity, Wrapper]]:
    """The processes of ``table`` that belong to wrappers, with these. Pure but for ``marked``.

    ``marked`` says which wrapper's mark a process carries.
    """
    sessions = [(process.identity, process.session) for process in table]
    owners = dict(without_strangers(wrappers, sessions))
    known, oldest = set(wrappers), min(wrapper.process.start_ticks for wrapper in wrappers)
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
    wrappers: Iterable[Wrapper], processes: Iterable[tuple[Identity, int]]
) -> list[tuple[Identity, Wrapper]]:
    """The processes, given with their sessions, that are in wrappers' own sessions. Pure.

    Strangers are left out: processes whose session's number now belongs to another process than the
    wrapper, and processes that are older than the wrapper. A wrapper that has several turns is
    alone in its session.
    """
    processes = list(processes)
    newest: dict[int, Wrapper] = {}  # earlier wrappers with the same pid have no processes left
    for wrapper in wrappers:
        if wrapper.turn:
            continue
        known = newest.get(wrapper.pid)
        if known is None or wrapper.start > known.start:
            newest[wrapper.pid] = wrapper
    reused = {
        process.pid
        for process, session in processes
        if process.pid == session
        and session in newest
        and process.start_ticks != newest[session].process.start_ticks
    }
    return [
        (process, newest[session])
        for process, session in processes
        if session in newest
        and session not in reused
        and process.start_ticks >= newest[session].process.start_ticks
    ]


def survivors(*wrappers: Wrapper) -> list[Identity]:
    """The living processes of attempts."""
    return [process for process, _ in members_of(*wrappers)]


def kill(process: Identity, wrapper: Wrapper) -> None:
    """Kill a process of an attempt; the wrapper itself only if its turn is not over by now."""
    if process == wrapper.process:
        wrapper.kill()
    else:
        process.signal(signal.SIGKILL)


def in_session(wrapper: Wrapper) -> list[Identity]:
    """The living processes in an attempt's session: launch.sh, and those that have not left it.

    If the session is not known, since the wrapper was killed as it started launch.sh: all.
    """
    session = wrapper.session if wrapper.turn else wrapper.pid
    table = [process for process in processes() if session is None or process.session == session]
    return [identity for identity, _ in belonging([wrapper], table, wrapper_in)]


def left_in(directory: Path) -> set[Wrapper]:
    """The wrappers that are gone, of those attempts below a directory that have left processes."""
    runs = f"{os.path.realpath(directory)}/"
    gone: set[Wrapper] = set()
    nameless: set[Wrapper] = set()
    for process in processes():
        wrapper = wrapper_in(process)
        if wrapper is None or wrapper in gone or wrapper.alive:
            continue
        mark = Mark.of(process)
        if mark is None or mark.wrapper != wrapper:
            nameless.add(wrapper)  # may belong to any workflow
        elif mark.claim.startswith(runs):
            gone.add(_as_claimed(wrapper, Path(mark.claim)))
    if nameless:
        gone |= {wrapper for wrapper in _wrappers_below(directory) if wrapper in nameless}
    return {wrapper for wrapper in gone if not in_session(wrapper)}


def _as_claimed(wrapper: Wrapper, claim: Path) -> Wrapper:
    """A wrapper with the session that its claim tells: none, if the run directory is gone."""
    with contextlib.suppress(OSError):
        claimed = parse_claim(claim.read_text(errors="replace")).wrapper
        return claimed if claimed == wrapper else wrapper
    return replace(wrapper, session=NO_SESSION)


def _wrappers_below(directory: Path) -> set[Wrapper]:
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
