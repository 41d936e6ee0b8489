"""Troubles of a machine that pass, and are nobody's fault: a full disk, too many processes."""

from __future__ import annotations

import errno

_PASSING = frozenset(
    {
        # No space, no inode, no quota, nobody may write.
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
        # Too many files, processes or locks; no memory.
        *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS, errno.ENOLCK),
        # A device, or a server of files, gives no answer.
        *(errno.EIO, errno.ESTALE, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO),
        *(errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN),
    }
)


def passes(error: OSError) -> bool:
    """Whether the same may work later, without anything else being changed."""
    return error.errno in _PASSING


def described(error: OSError) -> str:
    """What the trouble is, and with which file, if that is known."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
