"""Dropping the contents of large files that no run has any more.

A process that creates runs holds the study's lock from reading a file to committing a reference to
it; a process that drops contents holds it, too. Processes that give existing runs the present files
mark the contents as used now: these are left alone for a while, referred to or not.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

from motoko.host.locks import lock_in_time
from motoko.store import config_files
from motoko.store.base import AT_ONCE, StudyBase
from motoko.store.transactions import renew

SPARED_S = 600.0  # contents that were marked as used within this time are left alone
_LOCK_S = 10.0


def drop_unused(base: StudyBase) -> int:
    """Drop the contents that no run of a study refers to; returns how many bytes these had.

    They stay until the next time if other processes hold the study's lock for too long.
    """
    directory = base.study.contents_directory
    if directory is None or not _files(directory):
        return 0
    lock = lock_in_time(base.study.database.creation_lock, _LOCK_S)
    if lock is None:
        return 0
    try:
        renew(base)
        used = _used(base)
        dropped = 0
        for path in _files(directory):
            if path.name not in used:
                dropped += _drop(path)
        return dropped
    finally:
        lock.release()


def _files(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _used(base: StudyBase) -> set[str]:
    """The checksums of all contents that runs refer to."""
    file_ids: set[str] = set()
    runs = base.all_runs()
    while batch := list(itertools.islice(runs, AT_ONCE)):
        base.prefetch([run.configfiles for run in batch])
        for run in batch:
            executed = run.entries.get("exec")  # a program may have overwritten it
            file_ids.update(run.configfiles, [executed] if isinstance(executed, str) else [])
    digests = {config_files.outside_digest(base, file_id) for file_id in file_ids}
    return {digest for digest in digests if digest is not None}


def _drop(path: Path) -> int:
    """Drop a file, unless it was marked as used lately; returns how many bytes this frees."""
    with contextlib.suppress(FileNotFoundError):
        info = path.stat()
        if time.time() - info.st_mtime >= SPARED_S:
            path.unlink()
            return info.st_size
    return 0
