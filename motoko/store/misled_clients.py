"""Clients that a copied zeo.conf has led to the original's server: they would write into it.

BlackDynamite's clients look for ``.bd/zeo.conf`` above the directory where they work, or in the one
that BLACKDYNAMITE_HOST names. In a copy of a study it names the server of the original.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from motoko.config.database_files import DatabaseFiles
from motoko.host.living_processes import working_directory
from motoko.host.proc_files import variable

_SCHEME = "zeo://"


def forget_copied_conf(pid: int, files: DatabaseFiles) -> str:
    """Remove the copy of a database's zeo.conf by which a process has found its server.

    Without one BlackDynamite starts a server of the copy.

    Returns:
        What to tell the process; empty if it has not come by a copy.
    """
    conf = _conf_of(pid)
    try:
        if conf is None or conf.parent.samefile(files.directory):
            return ""
        if conf.read_bytes() != files.server_config.read_bytes():
            return ""
    except OSError:
        return ""
    with contextlib.suppress(OSError):  # a read-only copy: it is not served all the same
        conf.unlink()
    return (
        f"{conf} was copied from {files.directory}, and led to the server there. It has been "
        "removed: call again, and BlackDynamite starts a server of the copy"
    )


def _conf_of(pid: int) -> Path | None:
    """The zeo.conf that a client of BlackDynamite goes by; ``None`` if there is none."""
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
