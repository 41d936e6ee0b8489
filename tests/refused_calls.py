"""``python refused_calls.py CALL ERROR COMMAND...``: a command to which the kernel refuses a call.

As a kernel that does not know it would (``pidfd_open ENOSYS``), or a file system that has no locks
(``flock ENOLCK``). A seccomp filter does it, which all children inherit.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {
    "x86_64": {"flock": 73, "pidfd_open": 434},
    "aarch64": {"flock": 32, "pidfd_open": 434},
}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(call: str, number: int) -> None:
    """Have this process and its children get an error for a call. ``OSError`` if that cannot be."""
    steps = (
        (_LOAD, 0, 0, 0),
        (_EQUAL, 0, 1, CALLS[platform.machine()][call]),
        (_RETURN, 0, 0, _ERROR | number),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = _Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    library = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if library.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse(sys.argv[1], getattr(errno, sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])
