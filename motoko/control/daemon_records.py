"""Finds a workflow's supervisor and its living daemons, by the records that they keep."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.batch.registry import LOCAL
from motoko.config import WorkflowConfig, daemon_kinds
from motoko.errors import AnotherAccount, Published
from motoko.host.accounts import name_of
from motoko.host.directories import DirectoryIdentity
from motoko.host.files import read_json
from motoko.host.identity import Identity
from motoko.host.living_processes import processes_with
from motoko.host.locks import is_locked
from motoko.layout import (
    Runtime,
    is_writable,
    locate,
    other_account,
    owns_wf,
    publication_path,
    seen,
)
from motoko.store.zeo_conf import read_address

EXIT_LOCKED = 75  # EX_TEMPFAIL: a daemon ends so if another process holds its lock


def record_text(runtime: Runtime, **content: str) -> str:
    """The record of the calling process: its identity, and the workflow that it works for."""
    directory = DirectoryIdentity.of(runtime.directory)
    return json.dumps({**content, **Identity.mine().to_dict(), "workflow": directory.to_dict()})


def read_record(runtime: Runtime, path: Path) -> dict[str, Any] | None:
    """The record in a file; ``None`` if no process that works for this workflow has written it.

    Records of early versions do not name their workflow: they belong to the one of their ``.wf``.
    """
    data = seen(read_json, path)
    if data is None:
        return None
    directory = DirectoryIdentity.from_dict(data.get("workflow"))
    is_ours = (
        owns_wf(runtime.directory) if directory is None else directory.is_at(runtime.directory)
    )
    return data if is_ours else None


def recorded_identity(runtime: Runtime, path: Path) -> Identity | None:
    """The process that has written the record in a file for this workflow; it may have ended."""
    try:
        return Identity.from_dict(read_record(runtime, path) or {})
    except (KeyError, ValueError):
        return None


def living_orchestrators(runtime: Runtime) -> Iterator[tuple[str, Identity]]:
    """The run_name and identity of each living orchestrator that has attached, by run_name.

    For an orchestrator on another host its lock tells whether it lives, if all hosts share locks.
    """
    for path in sorted((runtime.wf / "orchestrators").glob("*.json")):
        identity = recorded_identity(runtime, path)
        run_name = (read_json(path) or {}).get("run_name")
        if identity is None or run_name is None:
            continue
        lock = runtime.lock(f"run_name:{run_name}")
        if identity.alive or (identity.is_elsewhere and is_locked(lock)):
            yield str(run_name), identity


def unrecorded_daemons(runtime: Runtime) -> Iterator[tuple[str, Identity]]:
    """The name and identity of each living daemon, found by command lines, in no order.

    It is slow, and finds only daemons that a supervisor has started.
    """
    workers = {kind.worker: kind.name for kind in daemon_kinds.KINDS}
    for identity, (_, _, module, *rest) in processes_with("-P", "-m"):
        if (kind := workers.get(module)) and rest:
            path, *study = rest[:2]
            if Path(path).parent.resolve() == runtime.directory.resolve():
                yield ":".join([kind, *study]), identity


SUPERVISOR = "supervisor"


@dataclass(frozen=True)
class LivingDaemon:
    """A living daemon, whichever supervisor looks after it."""

    name: str
    identity: Identity

    @property
    def kind(self) -> str:
        """One of ``motoko.config.daemon_kinds``."""
        return daemon_kinds.kind_of(self.name)


def records(config: WorkflowConfig) -> Runtime:
    """The workflow's runtime for reading its records, even if its sockets are gone.

    Without sockets, no supervisor answers at the runtime's control socket.
    """
    return locate(config) or Runtime(config.directory, config.directory / ".wf")


def supervisor_identity(config: WorkflowConfig) -> Identity | None:
    """The living supervisor of the workflow on this host, or ``None``. It may be frozen."""
    identity = _supervisor(records(config))
    return identity if identity is not None and identity.alive else None


def supervisor_elsewhere(config: WorkflowConfig) -> Identity | None:
    """The supervisor that the records name, if it is on another host. It may be dead."""
    identity = _supervisor(records(config))
    return identity if identity is not None and identity.is_elsewhere else None


def is_elsewhere(runtime: Runtime) -> bool:
    """Whether the supervisor that the records name is on another host."""
    identity = _supervisor(runtime)
    return identity is not None and identity.is_elsewhere


def _supervisor(runtime: Runtime) -> Identity | None:
    return recorded_identity(runtime, runtime.record(SUPERVISOR))


def other_owner(config: WorkflowConfig) -> str | None:
    """The account whose workflow this one may only look at; ``None`` if it may change it, too.

    It is another account's, whose daemons obey only it, or whose files this one cannot write.
    """
    account = other_account(config.directory)
    if account is None or not is_writable(config.directory):
        return account
    is_alive = supervisor_identity(config) or living_daemons(records(config))
    return account if is_alive else None


def last_supervisor(config: WorkflowConfig) -> Identity | None:
    """The living supervisor on this host, or the one on another host, which may be dead."""
    return supervisor_identity(config) or supervisor_elsewhere(config)


def refuse_guests(config: WorkflowConfig) -> None:
    """Raise ``Published`` or ``AnotherAccount`` if this account may only look at the workflow."""
    if publication_path(config.directory).exists():  # the superuser could write there
        raise Published(
            f"{config.directory} is a publication: nothing is changed or executed there",
            hint="work in the workflow itself, or unpack an archive of it (motoko archive)",
        )
    account = other_owner(config)
    if account is None:
        return
    supervisor = last_supervisor(config)
    where = "" if supervisor is None else f", who supervises it on {supervisor.host}"
    raise AnotherAccount(
        f"{config.directory} belongs to {account}{where}: this account "
        f"({name_of(os.getuid())}) may only look at it",
        hint=f"ask {account}, or work in a copy of the directory",
    )


def living_daemons(runtime: Runtime) -> list[LivingDaemon]:
    """The workflow's living daemons on this host that have records, sorted by name.

    If the supervisor was killed, also those that it has started and that have no record yet.
    """
    supervisor = _supervisor(runtime)
    was_killed = supervisor is not None and supervisor.is_here and not supervisor.alive
    living = [LivingDaemon(*named) for named in unrecorded_daemons(runtime)] if was_killed else []
    for path in sorted((runtime.wf / "daemons").glob("*.json")):
        identity = recorded_identity(runtime, path)
        name = str((read_json(path) or {}).get("name", ""))
        if identity is not None and identity.alive and name not in ("", SUPERVISOR):
            living.append(LivingDaemon(name, identity))
    return sorted(set(living), key=lambda daemon: daemon.name)


def remove_leftovers(config: WorkflowConfig, runtime: Runtime) -> None:
    """Remove the records of daemons that have ended, and the sockets. The caller holds the lock."""
    living = {runtime.record(daemon.name) for daemon in living_daemons(runtime)}
    # Also the unfinished files of processes that were killed.
    ended = {*(runtime.wf / "daemons").glob("*.json*")} - living
    for path in ended if living else {*ended, *runtime.wf.glob(f"*{runtime.restarts.name}*")}:
        with contextlib.suppress(OSError):  # on a read-only disk they do no harm
            path.unlink()
    if living:
        return  # a daemon that cannot be killed (a hung file system) may still hold a socket
    leave_to_blackdynamite(config, runtime)
    remove_sockets(config, runtime)


def remove_sockets(config: WorkflowConfig, runtime: Runtime) -> None:
    """Remove the sockets of a workflow whose daemons have ended, and their directory."""
    with contextlib.suppress(OSError):  # a cleaner of temporary files was faster
        for path in runtime.sockets.iterdir():
            if path.is_socket():
                path.unlink(missing_ok=True)
        runtime.owner.unlink(missing_ok=True)
        # A directory that the user has named stays.
        if config.runtime_dir is None and not any(runtime.sockets.iterdir()):
            runtime.sockets.rmdir()


def leave_to_blackdynamite(config: WorkflowConfig, runtime: Runtime) -> None:
    """Remove zeo.conf where no server runs, so that BlackDynamite's commands start their own.

    It stays for studies whose runs are batch jobs: these may go on, and must not start a server.
    """
    for study in config.studies.values():
        conf = study.database.server_config
        with contextlib.suppress(OSError):
            address = read_address(conf)
            if address is None or not address.startswith("/"):
                continue
            # The address may be of an earlier boot.
            ours = (runtime.zeo(study.name), runtime.kept(study.name))
            is_gone = Path(address) in ours or not Path(address).exists()
            if study.is_local and study.generator == LOCAL and is_gone:
                conf.unlink()
