"""Dropping what large files contained that no run has any more.

Whoever creates runs holds the study's lock from reading a file to committing who refers to it, and
so does who drops. Others that give runs the present files mark what they use as used now: that is
left alone for a while, whether a run refers to it already or not.
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

SPARED_S = 600.0  # what was marked as used so short ago is left alone
_LOCK_S = 10.0


def drop_unused(base: StudyBase) -> int:
    """Drop the contents that no run of a study refers to; returns how many bytes these were.

    They stay until the next time if somebody creates runs just now, for seconds.
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
    """The checksums of all that runs refer to."""
    file_ids: set[str] = set()
    runs = base.all_runs()
    while batch := list(itertools.islice(runs, AT_ONCE)):
        base.prefetch([run.configfiles for run in batch])
        for run in batch:
            executed = run.entries.get("exec")  # a run may have spoilt it
            file_ids.update(run.configfiles, [executed] if isinstance(executed, str) else [])
    digests = {config_files.outside_digest(base, file_id) for file_id in file_ids}
    return {digest for digest in digests if digest is not None}


def _drop(path: Path) -> int:
    """Drop a file, unless it was marked as used lately; returns its size."""
    with contextlib.suppress(FileNotFoundError):
        info = path.stat()
        if time.time() - info.st_mtime >= SPARED_S:
            path.unlink()
            return info.st_size
    return 0
