"""Troubles of a machine that may pass: a full disk, too many processes."""

from __future__ import annotations

import errno

_PASSING = frozenset(
    {
        # No space, no inode, no quota, a read-only file system.
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
        # Too many files, processes or locks; no memory.
        *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS, errno.ENOLCK),
        # A device or a file server does not answer.
        *(errno.EIO, errno.ESTALE, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO),
        *(errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN),
    }
)


def passes(error: OSError) -> bool:
    """Whether the same call may work later, without anything else being changed."""
    return error.errno in _PASSING


def described(error: OSError) -> str:
    """The error in words, with the file if it is known."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
