"""The present boot of each host that has supervised a workflow, as the host itself has noted it.

It is noted in ``.wf/hosts/<host>.json``. One cannot see from another host whether a process lives.
But a process of an earlier boot of its host is gone, and the host notes a new boot as soon as any
Motoko command is called there.
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
    """Note this host's present boot, if it has noted one before.

    Args:
        directory: the workflow's directory.
        new: note it even if it has noted none: the workflow is supervised here from now on.
    """
    path = _path(directory, socket.gethostname())
    present = noted_boot(directory, socket.gethostname())
    if present == boot_id() or (present is None and not new):
        return
    with contextlib.suppress(OSError):  # a disk that is full or read-only
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps({"host": socket.gethostname(), "boot_id": boot_id()}))


def noted_boot(directory: Path, host: str) -> str | None:
    """The boot that a host noted last; ``None`` if it noted none, or if it cannot be read now."""
    try:
        data = read_json(_path(directory, host)) or {}
    except OSError:
        return None
    boot = data.get("boot_id")
    return boot if isinstance(boot, str) else None


def has_rebooted(directory: Path, process: Identity) -> bool:
    """Whether a process's host has noted a later boot: then the process is gone."""
    boot = noted_boot(directory, process.host)
    return process.is_elsewhere and boot is not None and boot != process.boot_id


def _path(directory: Path, host: str) -> Path:
    return directory / ".wf" / "hosts" / f"{file_name(host)}.json"
