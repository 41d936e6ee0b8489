"""Since when hosts are up that a workflow has been on: as each of them has noted of itself.

``.wf/hosts/<host>.json``. Nobody can see from another host whether a process lives there. But what
ran in an earlier boot of its host has gone, and that the host itself says, as soon as anything of
Motoko is called there.
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

from motoko.host.files import read_json, write_atomically
from motoko.host.identity import Identity
from motoko.host.proc_files import boot_id
from motoko.layout import file_name


def note_boot(directory: Path, *, new: bool = False) -> None:
    """Have this host say since when it is up, where it has been asked for that before.

    Args:
        directory: the workflow's.
        new: also where it has not: the workflow is supervised here from now on.
    """
    path = _path(directory, socket.gethostname())
    present = noted_boot(directory, socket.gethostname())
    if present == boot_id() or (present is None and not new):
        return
    with contextlib.suppress(OSError):  # a disk that is full, or for reading only
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps({"host": socket.gethostname(), "boot_id": boot_id()}))


def noted_boot(directory: Path, host: str) -> str | None:
    """The boot that a host has noted last; ``None`` if it has not, or that cannot be read now."""
    try:
        data = read_json(_path(directory, host)) or {}
    except OSError:
        return None
    boot = data.get("boot_id")
    return boot if isinstance(boot, str) else None


def has_rebooted(directory: Path, process: Identity) -> bool:
    """Whether a process's host says that it was started again since: then it has gone."""
    boot = noted_boot(directory, process.host)
    return process.is_elsewhere and boot is not None and boot != process.boot_id


def _path(directory: Path, host: str) -> Path:
    return directory / ".wf" / "hosts" / f"{file_name(host)}.json"
