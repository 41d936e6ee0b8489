"""Where a workflow's sockets, records, locks and logs live.

Sockets live in a private directory of this host, short enough for ``sun_path`` whatever the
workflow's own path is; everything else lives in ``.wf/`` beside ``motoko.yaml``. Which socket
directory is in use is recorded in ``.wf/runtime``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig
from motoko.errors import MotokoError
from motoko.identity import Identity, processes_with

# Linux allows 107 bytes in a Unix socket's path.
SOCKET_PATH_MAX = 107
EXIT_LOCKED = 75  # EX_TEMPFAIL: a daemon ends so if another process holds its lock
_LONGEST_NAME = len("zeo-0123456789abcdef")


@dataclass(frozen=True)
class Runtime:
    """The places of one workflow. Knows paths only; creating them is :func:`prepare`'s work."""

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
    def control(self) -> Path:
        """The supervisor's control socket."""
        return self.sockets / "control"

    def zeo(self, study: str) -> Path:
        """The socket of a study's ZEO server."""
        path = self.sockets / f"zeo-{study}"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        return self.sockets / f"zeo-{_digest(study)}"

    def log(self, daemon: str) -> Path:
        """The log file of a daemon, of the supervisor or of an orchestrator."""
        return self.wf / "log" / f"{_daemon_file_name(daemon)}.log"

    @property
    def restarts(self) -> Path:
        """The file in which the supervisor counts its daemons' deaths."""
        return self.wf / "restarts.json"

    def record(self, daemon: str) -> Path:
        """The file in which a daemon notes its identity."""
        return self.wf / "daemons" / f"{_daemon_file_name(daemon)}.json"

    def lock(self, name: str) -> Path:
        """The file whose lock says that its holder is alive."""
        return self.wf / "locks" / _daemon_file_name(name)


def file_name(name: str) -> str:
    """A run_name as a file name: distinct names stay distinct."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    if safe == name and len(os.fsencode(name)) < 100 and not name.startswith("."):
        return safe
    return f"{safe[:40].lstrip('.')}-{_digest(name)}"


def _daemon_file_name(name: str) -> str:
    """``zeo:mult`` as ``zeo-mult``: what precedes the colon is one of our own words."""
    kind, colon, rest = name.partition(":")
    return f"{kind}-{file_name(rest)}" if colon else kind


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _is_private(path: Path) -> bool:
    """Whether a directory is ours alone (not a link, nor somebody else's squatting the name)."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def locate(config: WorkflowConfig) -> Runtime | None:
    """The workflow's runtime as its last supervisor recorded it. Changes nothing.

    Returns ``None`` if there is no record, or if the recorded directory is gone or not private.
    """
    try:
        sockets = Path((config.directory / ".wf" / "runtime").read_text().strip())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Runtime(config.directory, sockets) if _is_private(sockets) else None


def prepare(config: WorkflowConfig) -> Runtime:
    """Make the workflow's runtime directories, and record where the sockets are.

    Returns the recorded place if it still serves. Raises ``MotokoError`` if no place can be made.
    """
    wanted = config.runtime_dir
    runtime = locate(config)
    if runtime is None or (wanted is not None and runtime.sockets != wanted):
        runtime = Runtime(config.directory, _make_socket_directory(config))
    try:
        for path in (runtime.wf, runtime.wf / "log", runtime.wf / "daemons", runtime.wf / "locks"):
            path.mkdir(exist_ok=True)
        (runtime.wf / "orchestrators").mkdir(exist_ok=True)
        write_atomically(runtime.wf / "runtime", f"{runtime.sockets}\n")
    except OSError as error:
        raise unwritable(runtime, error) from error
    return runtime


def unwritable(runtime: Runtime, error: OSError) -> MotokoError:
    """What to raise if ``.wf`` cannot be written."""
    return MotokoError(
        f"cannot write into {runtime.wf}: {error.strerror}",
        hint="make the workflow's directory writable, and check quota and free space",
    )


def remake_sockets(runtime: Runtime) -> bool:
    """Make the sockets' directory again where it was; whether it is there, and ours alone."""
    with contextlib.suppress(FileExistsError):
        runtime.sockets.parent.mkdir(mode=0o700, parents=True)
    with contextlib.suppress(FileExistsError):
        runtime.sockets.mkdir(mode=0o700)
    return _is_private(runtime.sockets)


def _make_socket_directory(config: WorkflowConfig) -> Path:
    if config.runtime_dir is not None:
        path = config.runtime_dir
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MotokoError(
                f"runtime_dir {path} cannot be made: {error.strerror}",
                hint="name another directory in motoko.yaml",
            ) from error
        if not _is_private(path):
            raise MotokoError(
                f"runtime_dir {path} can be entered by others",
                hint=f"chmod 700 {path}, or name another directory in motoko.yaml",
            )
    else:
        try:
            path = _make_temporary(_digest(str(config.path.resolve())))
        except OSError as error:
            raise MotokoError(
                f"no directory for sockets can be made: {error}",
                hint="set TMPDIR, or runtime_dir in motoko.yaml, to a place on a local disk that "
                "you can write to",
            ) from error
    if len(os.fsencode(path)) + 1 + _LONGEST_NAME > SOCKET_PATH_MAX:
        raise MotokoError(
            f"the directory for sockets is too long for Unix sockets: {path}",
            hint="set runtime_dir in motoko.yaml to a short path on a local disk",
        )
    return path


def _make_temporary(name: str) -> Path:
    parent = Path(tempfile.gettempdir()) / f"motoko-{os.getuid()}"
    path = parent / name
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    if _is_private(parent):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if _is_private(path):
            return path
    # Somebody else holds the name: take a fresh one that nobody can guess.
    return Path(tempfile.mkdtemp(prefix=f"motoko-{os.getuid()}-"))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content: readers see the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or ``None`` if there is none (missing, cut short, no object)."""
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def living_orchestrators(runtime: Runtime) -> Iterator[tuple[str, Identity]]:
    """The run_name and identity of each orchestrator that has attached and lives, by run_name."""
    for path in sorted((runtime.wf / "orchestrators").glob("*.json")):
        data = read_json(path)
        if data is None:
            continue
        with contextlib.suppress(KeyError, ValueError):
            identity = Identity.from_dict(data)
            if identity.alive or identity.host != Identity.mine().host:
                yield str(data["run_name"]), identity


def unrecorded_daemons(runtime: Runtime) -> Iterator[tuple[str, Identity]]:
    """The name and identity of each living daemon, by their command lines, in no order.

    Slow, and it does not see those that were started in another way than by a supervisor.
    """
    for identity, (_, _, module, *rest) in processes_with("-P", "-m"):
        package, _, kind = module.rpartition(".")
        if package == "motoko.workers" and rest:
            path, *study = rest[:2]
            if Path(path).parent.resolve() == runtime.directory.resolve():
                yield ":".join([kind, *study]), identity
