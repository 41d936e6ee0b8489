"""Where a workflow's sockets, records, locks and logs live.

Sockets live in a private directory of this host, whose path is short enough for ``sun_path``
however long the workflow's own path is. Everything else lives in ``.wf/`` next to ``motoko.yaml``.
``.wf/runtime`` records which socket directory is in use.

``.wf/directory.json``, and ``workflow.json`` next to the sockets, say which directory these files
belong to: files that were copied, cloned or restored from another directory are ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from motoko.config import WorkflowConfig
from motoko.host.accounts import name_of
from motoko.host.digests import digest
from motoko.host.directories import DirectoryIdentity
from motoko.host.files import contents, read_json
from motoko.host.private_places import is_private

T = TypeVar("T")
# Linux allows 107 bytes in a Unix socket's path.
SOCKET_PATH_MAX = 107


@dataclass(frozen=True)
class Runtime:
    """The places of one workflow. Knows paths only; making them is
    :mod:`motoko.control.runtime_directories`'s work."""

    directory: Path
    sockets: Path

    @property
    def wf(self) -> Path:
        """``.wf``: records, locks, logs, ``wf.db``."""
        return self.directory / ".wf"

    @property
    def bus_publish(self) -> str:
        """The address that publishers connect to."""
        return f"ipc://{self.sockets}/bus-in"

    @property
    def bus_subscribe(self) -> str:
        """The address that subscribers connect to."""
        return f"ipc://{self.sockets}/bus-out"

    @property
    def owner(self) -> Path:
        """The file next to the sockets that says which workflow directory they belong to."""
        return self.sockets / "workflow.json"

    @property
    def control(self) -> Path:
        """The supervisor's control socket."""
        return self.sockets / "control"

    def zeo(self, study: str) -> Path:
        """The socket of a study's ZEO server."""
        path = self.sockets / f"zeo-{study}"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        return self.sockets / f"zeo-{digest(study)}"

    def accepted(self, study: str) -> Path:
        """The socket at which a study's ZEO server takes over connections from the gate."""
        return self.sockets / f"tls-{self.zeo(study).name.removeprefix('zeo-')}"

    def kept(self, study: str) -> Path:
        """The socket of the relay that keeps a study's clients while its ZEO server is away."""
        path = self.sockets / f"kept-{study}"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        return self.sockets / f"kept-{digest(study)}"

    def log(self, daemon: str) -> Path:
        """The log file of a daemon, of the supervisor or of an orchestrator."""
        return self.wf / "log" / f"{_daemon_file_name(daemon)}.log"

    @property
    def channel(self) -> Path:
        """The directory of the files that other hosts need to connect: see ``motoko.channel``."""
        return channel_directory(self.directory)

    @property
    def snapshot(self) -> Path:
        """The file with the configuration that daemons use: see ``motoko.config.snapshot``."""
        return snapshot_path(self.directory)

    @property
    def restarts(self) -> Path:
        """The file in which the supervisor counts its daemons' deaths."""
        return self.wf / "restarts.json"

    def mirror(self, study: str) -> Path:
        """The study's mirror: the copy of its runs and jobs that queries read."""
        return mirror_path(self.directory, study)

    def record(self, daemon: str) -> Path:
        """The file in which a daemon notes its identity."""
        return self.wf / "daemons" / f"{_daemon_file_name(daemon)}.json"

    def lock(self, name: str) -> Path:
        """The file whose lock shows that the lock's holder is alive."""
        return lock_path(self.directory, name)


def snapshot_path(directory: Path) -> Path:
    """Where the configuration that daemons use is, in a workflow's directory."""
    return directory / ".wf" / "config.json"


def channel_directory(directory: Path) -> Path:
    """Where a workflow's keys and the other files for other hosts are, if it has a channel."""
    return directory / ".wf" / "channel"


def publication_path(directory: Path) -> Path:
    """The file that makes a directory a publication: see :mod:`motoko.operations.publishing`."""
    return directory / "publication.json"


def mirror_path(directory: Path, study: str) -> Path:
    """Where a study's mirror is, whether the workflow has a supervisor or not."""
    return directory / ".wf" / "mirror" / f"{file_name(study)}.sqlite"


def lock_path(directory: Path, name: str) -> Path:
    """Where a daemon's lock is, whether the workflow has a supervisor or not."""
    return directory / ".wf" / "locks" / _daemon_file_name(name)


def file_name(name: str) -> str:
    """A run_name as a file name: distinct names stay distinct."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    if safe == name and len(os.fsencode(name)) < 100 and not name.startswith("."):
        return safe
    return f"{safe[:40].lstrip('.')}-{digest(name)}"


def _daemon_file_name(name: str) -> str:
    """``zeo:mult`` as ``zeo-mult``: the part before the colon is one of Motoko's own words."""
    kind, colon, rest = name.partition(":")
    return f"{kind}-{file_name(rest)}" if colon else kind


def seen(read: Callable[[Path], T | None], path: Path) -> T | None:
    """What a file in ``.wf`` says; ``None`` if another account keeps it from this one."""
    try:
        return read(path)
    except PermissionError:
        if _owner(path.parents[1]) == os.getuid() or _owner(path.parent) == os.getuid():
            raise
        return None


def are_closed(directory: Path) -> bool:
    """Whether another account keeps the records of its workflow's processes from this one."""
    places = (directory / ".wf", directory / ".wf" / "daemons")
    return any(
        _owner(place) is not None and not os.access(place, os.R_OK | os.X_OK) for place in places
    )


def recorded_directory(directory: Path) -> DirectoryIdentity | None:
    """The directory that a workflow's ``.wf`` says it belongs to; ``None`` if it does not say."""
    return DirectoryIdentity.from_dict(seen(read_json, directory / ".wf" / "directory.json"))


def owns_wf(directory: Path) -> bool:
    """Whether the ``.wf`` in a workflow's directory is its own, and not a copy of another one's.

    Older versions did not record the directory: the name of their sockets is made of its path.
    """
    recorded = recorded_directory(directory)
    if recorded is not None:
        return recorded.is_at(directory)
    sockets = recorded_sockets(directory)
    if sockets is None or not _is_default(sockets):
        return True
    return sockets.name in {digest(str(path.resolve())) for path in directory.glob("*.y*ml")}


def recorded_sockets(directory: Path) -> Path | None:
    """The path in ``.wf/runtime``; ``None`` if the file is missing or incomplete."""
    data = seen(contents, directory / ".wf" / "runtime") or b""
    text = os.fsdecode(data.rstrip(b"\n"))
    return Path(text) if text.startswith("/") and "\0" not in text else None


def _is_default(sockets: Path) -> bool:
    """Whether a socket directory has the default name, which is derived from a workflow's path."""
    named = re.fullmatch("[0-9a-f]{16}", sockets.name)
    return named is not None and sockets.parent.name == f"motoko-{os.getuid()}"


def locate(config: WorkflowConfig) -> Runtime | None:
    """The workflow's runtime as its last supervisor recorded it. Changes nothing.

    Returns ``None`` if there is no record, if the record was copied from another directory, or if
    the recorded socket directory is gone, is not private, or belongs to another workflow.
    """
    sockets = recorded_sockets(config.directory)
    if sockets is None or not is_private(sockets) or not owns_wf(config.directory):
        return None
    runtime = Runtime(config.directory, sockets)
    return runtime if is_owned(runtime) in (True, None) else None


def other_account(directory: Path) -> str | None:
    """The other account whose workflow this is; ``None`` if it is ours.

    It is the one that supervises, or has supervised it. If there is none that is known, it is the
    owner of files that this account cannot write.
    """
    wf = directory / ".wf"
    owner = _owner(wf / "runtime")
    if owner is None and not is_writable(directory):
        owner = _owner(wf) or _owner(directory)
    return None if owner in (None, os.getuid()) else name_of(owner)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def is_writable(directory: Path) -> bool:
    """Whether this account can write into a workflow's directory, and change its records."""
    wf = directory / ".wf"
    return os.access(directory, os.W_OK) and (os.access(wf, os.W_OK) or not os.path.lexists(wf))


def is_owned(runtime: Runtime) -> bool | None:
    """Whether a workflow's sockets are its own; ``None`` if nothing says whose they are."""
    owner = DirectoryIdentity.from_dict(read_json(runtime.owner))
    return None if owner is None else owner.is_at(runtime.directory)
