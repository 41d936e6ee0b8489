"""Makes and keeps a workflow's directories for sockets, records, locks and logs.

:mod:`motoko.layout` says where they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from motoko.channel.relay.shared_sockets import FOLDER
from motoko.config import WorkflowConfig
from motoko.config.workflow_format import note_format
from motoko.control.daemon_records import refuse_guests
from motoko.errors import CannotWrite, MotokoError, NoPlaceForSockets
from motoko.host.digests import digest
from motoko.host.directories import DirectoryIdentity
from motoko.host.files import read_json, write_atomically
from motoko.host.locks import locked
from motoko.host.private_places import is_private, keeps_names
from motoko.layout import (
    SOCKET_PATH_MAX,
    Runtime,
    is_owned,
    locate,
    owns_wf,
    recorded_directory,
    recorded_sockets,
)

_LONGEST_NAME = len("kept-0123456789abcdef")


def _ignore(line: str) -> None:
    """The default of ``say``."""


def prepare(config: WorkflowConfig, say: Callable[[str], None] = _ignore) -> Runtime:
    """Make the workflow's runtime directories, and record where the sockets are.

    Returns the recorded place if it can still be used. If this directory is a copy of another one,
    what belongs to the original is removed from ``.wf``, except its logs. Raises ``MotokoError`` if
    no place can be made.

    Args:
        config: the workflow.
        say: gets a line if the directory was copied, or moved.
    """
    refuse_guests(config)
    wanted = config.runtime_dir
    wf = config.directory / ".wf"
    try:
        for path in (wf, wf / "locks"):
            path.mkdir(exist_ok=True)
        with locked(wf / "locks" / "place"):
            _settle(config.directory, say)
            runtime = locate(config)
            if runtime is not None and _is_relays(runtime.sockets):
                runtime = None
            if runtime is None or wanted not in (None, runtime.sockets, runtime.sockets.parent):
                runtime = _make_socket_directory(config)
            for name in ("log", "daemons", "orchestrators"):
                (wf / name).mkdir(exist_ok=True)
            _record(runtime)
            own(runtime)
            note_format(wf)
    except OSError as error:
        raise unwritable(Runtime(config.directory, wf), error) from error
    return runtime


def _record(runtime: Runtime) -> None:
    write_atomically(runtime.wf / "runtime", f"{runtime.sockets}\n")


def keep_record(runtime: Runtime) -> bool:
    """Record again where the sockets are, if the record was lost; returns whether it was.

    Raises ``OSError``.
    """
    lost = recorded_sockets(runtime.directory) is None
    if lost:
        _record(runtime)
    return lost


def _settle(directory: Path, say: Callable[[str], None]) -> None:
    """Make ``.wf`` belong to the directory that it is in."""
    wf, here = directory / ".wf", DirectoryIdentity.of(directory)
    recorded = recorded_directory(directory)
    copied = not owns_wf(directory)
    if copied or (recorded is not None and recorded.path != here.path):
        before = recorded.path if recorded else "another directory"
        if not copied:
            what = f"was moved (from {before})"
        elif before == here.path:
            what = "was restored, or made again"
        else:
            what = f"is a copy of {before}"
        detached = any((wf / "detached").glob("*.json"))
        also = ", and detached orchestrators are not started again" if detached else ""
        say(f"{directory} {what}: its workflow starts afresh{also}")
        _forget(wf, copied=copied)
    if recorded != here:
        write_atomically(wf / "directory.json", json.dumps(here.to_dict()))


def _forget(wf: Path, *, copied: bool) -> None:
    """Remove what is true only of another directory; in a copy, also records of its processes.

    A copy also gets its own key: with the original's it would reach the original's studies.
    """
    for name in ("detached", *(("daemons", "orchestrators", "channel") if copied else ())):
        shutil.rmtree(wf / name, ignore_errors=True)
    for name in ("config.json", "restarts.json", "paused.json", *(("runtime",) if copied else ())):
        (wf / name).unlink(missing_ok=True)


def own(runtime: Runtime) -> None:
    """Record in the sockets' directory which workflow owns it, unless that is recorded.

    Raises ``MotokoError`` if another workflow was faster, ``OSError`` if the record cannot be
    written.
    """
    owned, here = is_owned(runtime), DirectoryIdentity.of(runtime.directory)
    text = json.dumps(here.to_dict())
    if owned is not None:
        if read_json(runtime.owner) != here.to_dict():  # another owner, or an earlier path
            write_atomically(runtime.owner, text)
    else:
        runtime.owner.unlink(missing_ok=True)  # an unfinished record
        draft = runtime.owner.with_name(f".{runtime.owner.name}.{os.getpid()}")
        draft.write_text(text)
        with contextlib.suppress(FileExistsError):
            os.link(draft, runtime.owner)
        draft.unlink()
        if not is_owned(runtime):
            raise NoPlaceForSockets(
                f"{runtime.sockets} was taken by another workflow just now", hint="call it again"
            )


def keep_for(directory: Path, runtime: Runtime) -> None:
    """Keep the sockets' directory for a workflow that was moved, if possible."""
    with contextlib.suppress(OSError):
        runtime.sockets.mkdir(mode=0o700, exist_ok=True)
        if is_private(runtime.sockets) and not runtime.owner.exists():
            text = json.dumps(DirectoryIdentity.of(directory).to_dict())
            write_atomically(runtime.owner, text)


def unwritable(runtime: Runtime, error: OSError) -> MotokoError:
    """The error that ``.wf`` cannot be written."""
    return CannotWrite(
        f"cannot write into {runtime.wf}: {error.strerror}",
        hint="make the workflow's directory writable, and check quota and free space",
    )


def remake_sockets(runtime: Runtime) -> bool:
    """Make the sockets' directory again where it was; whether it exists and is private."""
    with contextlib.suppress(FileExistsError):
        runtime.sockets.parent.mkdir(mode=0o700, parents=True)
    if not keeps_names(runtime.sockets.parent):
        return False
    with contextlib.suppress(FileExistsError):
        runtime.sockets.mkdir(mode=0o700)
    if not is_private(runtime.sockets) or is_owned(runtime) is False:
        return False
    own(runtime)
    return True


def socket_place(config: WorkflowConfig) -> Path:
    """Where the sockets are, or would be if the place is free. Makes nothing."""
    if (runtime := locate(config)) is not None:
        return runtime.sockets
    return config.runtime_dir or _temporary_parent() / _name_of(config.directory)


def is_too_long(sockets: Path) -> bool:
    """Whether the paths of sockets in a directory would be longer than Linux allows."""
    return len(os.fsencode(sockets)) + 1 + _LONGEST_NAME > SOCKET_PATH_MAX


def _temporary_parent() -> Path:
    return Path(tempfile.gettempdir()) / f"motoko-{os.getuid()}"


def _name_of(directory: Path) -> str:
    """The name of the place for a workflow's sockets, by the workflow's directory."""
    here = DirectoryIdentity.of(directory)
    return digest(f"{here.device} {here.inode}")


def _make_socket_directory(config: WorkflowConfig) -> Runtime:
    """A place for sockets that is this workflow's alone, once it is recorded as the owner.

    It is named after the directory itself, not after its path: if the directory is moved, its runs
    find their server again there, and never that of another directory at the old path.
    """
    named = _name_of(config.directory)
    if config.runtime_dir is not None:
        path = _made(config.runtime_dir)
        if not _can_be_owned(Runtime(config.directory, path)):
            # Another workflow has the same runtime_dir: each has its own folder in it.
            path = _made(path / named[:8])
    else:
        try:
            path = _make_temporary(config.directory, named)
        except OSError as error:
            raise NoPlaceForSockets(
                f"no directory for sockets can be made: {error}",
                hint="set TMPDIR, or runtime_dir in motoko.yaml, to a place on a local disk that "
                "you can write to",
            ) from error
    if is_too_long(path):
        raise NoPlaceForSockets(
            f"the directory for sockets is too long for Unix sockets: {path}",
            hint="set runtime_dir in motoko.yaml to a short path on a local disk",
        )
    return Runtime(config.directory, path)


def _made(path: Path) -> Path:
    """The directory that the user has named for sockets, made if it is missing."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoPlaceForSockets(
            f"runtime_dir {path} cannot be made: {error.strerror}",
            hint="name another directory in motoko.yaml",
        ) from error
    if not is_private(path):
        raise NoPlaceForSockets(
            f"runtime_dir {path} can be entered by others",
            hint=f"chmod 700 {path}, or name another directory in motoko.yaml",
        )
    return path


def _is_relays(sockets: Path) -> bool:
    """Whether relays serve a place for sockets, in the name of another host's servers."""
    return (sockets / FOLDER).is_dir()


def _can_be_owned(runtime: Runtime) -> bool:
    """Whether a place for sockets is free; an owner whose directory is gone does not count."""
    if _is_relays(runtime.sockets):
        return False
    owner = DirectoryIdentity.from_dict(read_json(runtime.owner))
    if owner is None or owner.is_at(runtime.directory):
        return True
    if owner.is_at(Path(owner.path)):
        return False
    return not any(path.is_socket() for path in runtime.sockets.iterdir())


def _make_temporary(directory: Path, name: str) -> Path:
    parent = _temporary_parent()
    path = parent / name
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    if is_private(parent):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if is_private(path) and _can_be_owned(Runtime(directory, path)):
            return path
    # The name is taken: make a fresh one that nobody can guess.
    return Path(tempfile.mkdtemp(prefix=f"motoko-{os.getuid()}-"))
