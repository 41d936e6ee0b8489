"""Examines a machine and a workflow, one check after the other. Leaves no changes.

:mod:`motoko.health.judgements` says what the figures mean.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from motoko.errors import MotokoError, NotCreated
from motoko.health import judgements
from motoko.health.check_findings import Finding, failure, ok, warning
from motoko.health.installation import requirements, versions
from motoko.health.judgements import Limits
from motoko.health.looked_at import Place
from motoko.host import cpus, file_clock
from motoko.host.accounts import own_name
from motoko.host.control_groups import quota
from motoko.host.durations import counted
from motoko.host.file_systems import mount_of
from motoko.host.identity import check_kernel
from motoko.host.locks import check_locks
from motoko.host.login_sessions import are_ended
from motoko.host.machine_troubles import described
from motoko.host.private_places import is_private, keeps_names
from motoko.host.process_limits import check_threads

_WRITTEN = 1 << 20  # a file of this many bytes must fit


Check = Callable[[Place], Iterable[Finding]]


def examine(place: Place, also: Iterable[Check] = ()) -> list[Finding]:
    """The findings of all checks, in their order.

    Args:
        place: the place to examine.
        also: further checks, after those that are always made.
    """
    checks = (*CHECKS, *also) if _owner(place) is None else _FOR_GUESTS
    return [finding for check in checks for finding in guarded(check, place)]


def _owner(place: Place) -> str | None:
    """The account whose workflow is examined, if this one may only look at it."""
    from motoko.control.daemon_records import other_owner

    return None if place.config is None else other_owner(place.config)


def guarded(check: Check, place: Place) -> Iterator[Finding]:
    """A check's findings; if it raises an error, that is a failure of the check."""
    name = (check.__doc__ or "").partition(":")[0].lower()
    try:
        yield from check(place)
    except MotokoError as error:
        cure = error.hint or f"see {error.short_name} in docs/troubleshooting.md"
        yield failure(name, str(error), cure)
    except OSError as error:
        yield failure(name, described(error), "see what is wrong with that file or file system")


def workflow(place: Place) -> Iterator[Finding]:
    """Workflow: motoko.yaml and what it names can be read."""
    if place.error is not None:
        yield failure("workflow", str(place.error), place.error.hint or "correct that file")
    elif place.config is None:
        yield ok("workflow", f"there is none in {place.directory}: only the machine is examined")
    else:
        from motoko.operations.file_warnings import file_warnings

        lines = [str(line) for line in (*place.config.warnings, *file_warnings(place.config))]
        for line in lines:
            yield warning("workflow", line, "correct that file")
        missing = [s.name for s in place.config.studies.values() if s.is_local and not s.created]
        if missing:
            error = NotCreated(f"no database yet: {', '.join(missing)}")
            yield warning("workflow", str(error), f"motoko create {place.directory}")
        if not lines:
            studies = counted(len(place.config.studies), "study")
            yield ok("workflow", f"{place.config.path}: {studies}")


def owner(place: Place) -> Iterator[Finding]:
    """Owner: the workflow is another account's."""
    text = f"the workflow is {_owner(place)}'s, and what needs its account is not examined"
    yield warning("owner", text, f"{_owner(place)} can call `motoko doctor`")


def software(place: Place) -> Iterator[Finding]:
    """Versions: Linux, Python and the packages are what Motoko relies on."""
    check_kernel()
    yield from judgements.versions(requirements(), versions())
    import motoko.store.zeo_server  # noqa: F401 (both note what they rely on)
    from motoko.store.internals import self_check

    self_check.check()


def account(place: Place) -> Iterator[Finding]:
    """Account: it has a name, and its processes live on at logout."""
    name = own_name()
    yield judgements.logout(name, ended=os.getuid() != 0 and are_ended(name))


def locks(place: Place) -> Iterator[Finding]:
    """Locks: files can be locked where the workflow is."""
    for directory in place.directories:
        check_locks(directory)
    mount = mount_of(place.directory)
    yield judgements.kept_locks(place.directory, mount.kind, mount.options)


def sockets(place: Place) -> Iterator[Finding]:
    """Sockets: their place is short enough, private, and on a file system that supports them."""
    from motoko.control.runtime_directories import is_too_long, socket_place

    if place.config is None:
        return
    path, cure = socket_place(place.config), "`export TMPDIR=/tmp`, or runtime_dir in motoko.yaml"
    if is_too_long(path):
        yield failure("sockets", f"{path} is too long for Unix sockets", cure)
        return
    there = next(parent for parent in (path, *path.parents) if parent.is_dir())
    try:
        _bind(there)
    except OSError as error:
        yield failure("sockets", f"no socket can be made in {there}: {error.strerror}", cure)
        return
    if there == path and not is_private(path):
        yield failure("sockets", f"others can enter {path}", f"chmod 700 {path}")
    elif not keeps_names(there if there != path else path.parent):
        yield failure("sockets", f"others can replace what is in {there}", cure)
    else:
        yield ok("sockets", f"{path}: short enough and private")


def _bind(directory: Path) -> None:
    """Make a socket in a directory, however long its path is, and remove it. Raises ``OSError``."""
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix=".motoko-") as made,
        socket.socket(socket.AF_UNIX) as probe,
    ):
        descriptor = os.open(made, os.O_PATH)
        try:
            probe.bind(f"/proc/self/fd/{descriptor}/s")
        finally:
            os.close(descriptor)


def privacy(place: Place) -> Iterator[Finding]:
    """Privacy: no other account can change the workflow's files, or read its key."""
    from motoko.channel.key_file import check_private, key_path
    from motoko.layout import channel_directory

    open_to_others = [path for path in place.directories if path.stat().st_mode & 0o002]
    for path in open_to_others:
        text = f"everybody can write into {path}, and so make you execute what they like"
        yield failure("privacy", text, f"chmod o-w {path}")
    key = key_path(channel_directory(place.directory))
    if key.exists():
        check_private(key)
    if not open_to_others:
        yield ok("privacy", "nobody else can change the workflow's files")


def limits(place: Place) -> Iterator[Finding]:
    """Limits: of open files, processes, CPU time and sizes."""
    import psutil

    me, is_root = os.getuid(), os.getuid() == 0
    used = sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == me
    )
    have = Limits(
        files=_hard(resource.RLIMIT_NOFILE),
        processes=None if is_root else _hard(resource.RLIMIT_NPROC),
        used=used,
        cpu_s=_hard(resource.RLIMIT_CPU),
        file_size=_hard(resource.RLIMIT_FSIZE),
        address_space=_hard(resource.RLIMIT_AS),
    )
    yield from judgements.limits(have, place.daemons)
    yield from judgements.group_processes(quota().processes, place.daemons)
    if have.address_space is None:  # if a thread's stack does not fit, Python waits for ever
        check_threads(judgements.DAEMON_PROCESSES)


def _hard(limit: int) -> int | None:
    """The hard limit, to which a process can raise its own."""
    _, hard = resource.getrlimit(limit)
    return None if hard == resource.RLIM_INFINITY else hard


def capacity(place: Place) -> Iterator[Finding]:
    """Memory: there is enough for the daemons, and a processor for each run."""
    import psutil

    have = quota()
    yield judgements.memory(psutil.virtual_memory().available, have.memory, place.daemons)
    slots = place.config.slots if place.config else None
    yield judgements.cpus(cpus.usable_cpus(), have.cpus, slots)


def disk(place: Place) -> Iterator[Finding]:
    """Disk: there is room for data and files."""
    figures = os.statvfs(place.directory)
    inodes = figures.f_favail if figures.f_files else None  # btrfs has no limit
    yield from judgements.disk(
        place.directory, figures.f_bavail * figures.f_frsize, inodes, _written(place.directory)
    )


def _written(directory: Path) -> str:
    """Why no file can be written in a directory; empty if it can. Only this reveals a quota."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(_WRITTEN))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def clocks(place: Place) -> Iterator[Finding]:
    """Clocks: those of the file system and of this host agree."""
    yield judgements.clock(place.directory, file_clock.ahead(place.directory))


def scheduler(place: Place) -> Iterator[Finding]:
    """Scheduler: the batch system that runs are handed to exists, answers, and is understood."""
    if place.config is None:
        return
    import asyncio

    from motoko.batch import registry
    from motoko.batch.commands import Commands
    from motoko.operations.generator_check import check_generators

    check_generators(place.config)
    wanted = {registry.generator(study.generator) for study in place.config.studies.values()}
    for name, system in registry.systems().items():
        if name in wanted:
            jobs = asyncio.run(system.scheduler(Commands()).query())
            yield ok("scheduler", f"{system.title} answers: {counted(len(jobs), 'job')} of yours")


def daemons(place: Place) -> Iterator[Finding]:
    """Daemons: the running ones are of the installed version."""
    from motoko.control.daemon_records import living_daemons, records, supervisor_identity
    from motoko.control.outdated_daemons import outdated
    from motoko.host.clock import started_at

    if place.config is None:
        return
    running = [(d.name, d.identity) for d in living_daemons(records(place.config))]
    if (supervisor := supervisor_identity(place.config)) is not None:
        running.insert(0, ("supervisor", supervisor))
    old = outdated({name: started_at(who) for name, who in running})
    yield from map(judgements.age, old)
    if not old:
        are = "is" if len(running) == 1 else "are"
        yield ok("daemons", f"{len(running)} {are} running, of the installed version")


def databases(place: Place) -> Iterator[Finding]:
    """Databases: they hold few outdated revisions."""
    from motoko.store.log_end import NoEnd, superseded

    for study in place.config.studies.values() if place.config else ():
        if not (study.is_local and study.created):
            continue
        log = study.database.transactions
        size = log.stat().st_size
        if size < judgements.PACK_FROM:
            yield judgements.packing(study.name, size, 0)
            continue
        try:
            yield judgements.packing(study.name, *superseded(log))
        except NoEnd:  # the database is just being written
            yield ok("databases", f"{study.name}: it is being written")


def network(place: Place) -> Iterator[Finding]:
    """Network: no study is served without authentication."""
    from motoko.reports.status import tcp_warnings

    if place.config is not None:
        for line in (lines := tcp_warnings(place.config)):
            yield warning("network", line, "remove `host:` and `insecure_tcp:` from motoko.yaml")
        if not lines:
            yield ok("network", "no study is served by plain TCP")


CHECKS: tuple[Check, ...] = (
    *(workflow, software, account, locks, sockets, privacy, limits, capacity, disk, clocks),
    *(scheduler, daemons, databases, network),
)
# These need nothing but files that can be read.
_FOR_GUESTS: tuple[Check, ...] = (workflow, owner, software, daemons, databases, network)
