"""Clients that a copied zeo.conf leads to the original's server: they would write there.

BlackDynamite's clients look for ``.bd/zeo.conf`` in their working directory or in that which
BLACKDYNAMITE_HOST names, and above. In a copy of a study this file names the original's server.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from motoko.config.database_files import DatabaseFiles
from motoko.host.living_processes import working_directory
from motoko.host.proc_files import variable

_SCHEME = "zeo://"


def forget_copied_conf(pid: int, files: DatabaseFiles) -> str:
    """Remove the copy of a database's zeo.conf by which a process has found the server.

    Without a zeo.conf, BlackDynamite starts a server for the copy.

    Returns:
        What to tell the process; empty if no copy has led it to the server.
    """
    conf = _conf_of(pid)
    if conf is None or conf == files.server_config:  # as nearly always: there is no need to look
        return ""
    try:
        if conf.parent.samefile(files.directory):
            return ""
        if conf.read_bytes() != files.server_config.read_bytes():
            return ""
    except OSError:
        return ""
    with contextlib.suppress(OSError):  # a read-only copy: its client is not served either
        conf.unlink()
    return (
        f"{conf} was copied from {files.directory}, and led to the server there. It has been "
        "removed: call again, and BlackDynamite starts a server of the copy"
    )


def _conf_of(pid: int) -> Path | None:
    """The zeo.conf that a client of BlackDynamite uses; ``None`` if there is none."""
    host = variable(pid, "BLACKDYNAMITE_HOST") or ""
    directory = working_directory(pid)
    if directory is None:
        return None
    place = Path(directory)
    if host.startswith(_SCHEME):
        place /= host.removeprefix(_SCHEME)
    for above in (place, *place.parents):
        files = DatabaseFiles.of(above)
        if files.directory.is_dir():
            return files.server_config
    return None
