"""Locks between processes: a file each, locked with ``flock``.

A lock belongs to an open file: it is free once every process that has the file open has closed it
or ended, even if it was killed. The files stay where they are.

The context managers' locks, and those of :func:`lock_in_time`, are this process's own: a forked
child closes its copies. The caller owns descriptors from :func:`try_lock`, and hands them on or
closes them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from motoko.errors import MotokoError

_UNKNOWN_TO = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class NoLocks(MotokoError):
    """The file system does not support locks."""

    exit_code = 2


class FileLock:
    """A lock that this process alone holds: a forked child lets go of its copy at once.

    Args:
        descriptor: the descriptor of the file; :meth:`release` closes it.
    """

    _all: ClassVar[set[FileLock]] = set()

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._all.add(self)

    def release(self) -> None:
        """Release the lock. May be called twice, and in a forked child, where it does nothing."""
        if self in self._all:
            self._all.remove(self)
            os.close(self.descriptor)

    @classmethod
    def drop_copies(cls) -> None:
        """Close the parent's locks in a forked child, which may live longer than the parent."""
        for lock in cls._all:
            with contextlib.suppress(OSError):
                os.close(lock.descriptor)
        cls._all.clear()


os.register_at_fork(after_in_child=FileLock.drop_copies)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs; waits for it as long as it takes.

    Args:
        path: the file, which is made if it is missing.
        shared: whether other processes may hold the lock at the same time, if shared, too.
    """
    lock = FileLock(descriptor := _opened(path))
    try:
        _flock(path, descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock while the block runs, if it is free; yields whether it was."""
    descriptor = try_lock(path)
    if descriptor is None:
        yield False
        return
    lock = FileLock(descriptor)
    try:
        yield True
    finally:
        lock.release()


def try_lock(path: Path, *, create: bool = True, mode: int = 0o666) -> int | None:
    """The descriptor of a file that is locked until it is closed; ``None`` if the lock is taken.

    Args:
        path: the file.
        create: whether to make a missing file. Otherwise ``FileNotFoundError`` is raised.
        mode: its permissions, if it is made.
    """
    descriptor = _opened(path, create=create, mode=mode)
    try:
        _flock(path, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock, on whichever host; also true if that cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # A shared lock: those who ask do not take each other for its holder. To read the file is
        # enough for it.
        _flock(path, descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (OSError, NoLocks):
        return True
    finally:
        os.close(descriptor)
    return False


def lock_in_time(path: Path, timeout: float) -> FileLock | None:
    """Lock a file, which is made if it is missing; ``None`` if that takes more than ``timeout`` s.

    The lock is handed over at once, in the order of asking.
    """
    lock = FileLock(descriptor := _opened(path))
    try:
        _flock(path, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _waited_for(descriptor, lock, timeout)
    except BaseException:
        lock.release()
        raise
    return lock


def check_locks(directory: Path) -> None:
    """Raise ``NoLocks`` if the file system of a directory has no locks. Leaves nothing behind."""
    # If no file can be made there, another check will say so.
    if not os.access(directory, os.W_OK):
        return
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=directory) as file:
        _flock(directory, file.fileno(), fcntl.LOCK_EX)


def _opened(path: Path, *, create: bool = True, mode: int = 0o666) -> int:
    """A file, opened for reading and writing.

    NFS gives exclusive locks only to files that are open for writing, and shared locks only to
    files that are open for reading.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_CREAT if create else flags, mode)
    except FileNotFoundError:
        raise
    except OSError as error:
        # A file that cannot be written may still be locked.
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise error


def _flock(path: Path, descriptor: int, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in _UNKNOWN_TO:
            raise
        raise NoLocks(
            f"{path} cannot be locked: {error.strerror}",
            hint="its file system does not support flock: mount it with locks, or move the "
            "workflow",
        ) from error


def _waited_for(descriptor: int, lock: FileLock, timeout: float) -> FileLock | None:
    # The kernel queues waiting processes, but has no timeout: so another thread waits.
    decision = threading.Lock()
    granted = threading.Event()
    given_up = False

    def wait() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with decision:
            if given_up:
                lock.release()
            granted.set()

    threading.Thread(target=wait, name="file lock", daemon=True).start()
    if granted.wait(timeout):
        return lock
    with decision:
        given_up = not granted.is_set()
    return None if given_up else lock
