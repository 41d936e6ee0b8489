"""Removing old backups, and what nothing else needs than they."""

from __future__ import annotations

import shutil

from motoko.operations.backup_directory import BackupDirectory


def keep_last(target: BackupDirectory, count: int) -> int:
    """Remove all backups but the last ones; returns how many. The caller holds the lock.

    What backups have left that were interrupted is removed, too.

    Raises ``BadBackup`` if one of them cannot be read; then all of them stay.
    """
    from motoko.store import database_copies

    backups = target.all()
    old, kept = backups[:-count], backups[-count:]
    for snapshot in old:
        target.description(snapshot).unlink()  # from now on it does not count
    names = {snapshot.name for snapshot in kept}
    for path in target.snapshots.iterdir():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path)
    for place in target.databases.iterdir() if target.databases.is_dir() else ():
        copies = [one.databases[place.name] for one in kept if place.name in one.databases]
        database_copies.remove_others(place, {copy.name for copy in copies})
    return len(old)
