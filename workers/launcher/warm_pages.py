"""Pages of memory that each warm run is the first to write: a run that waits has copied them.

A part of warm_template.py. It stands alone, as that does.

A forked process shares its memory with the process that it was forked from, and the kernel copies
each page that one of them writes. These copies take a third of the time of a short run. So what
waits for a run makes them ahead: of those pages that were written in a rehearsal.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import mmap
import os
from collections.abc import Callable

_POPULATE_WRITE = 23  # of `madvise`: since Linux 5.14, others refuse it
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56
_REGION_MAX = 1 << 32  # of larger ones nothing is read

Pages = list[tuple[int, int]]  # addresses and sizes


def written_by(rehearsal: Callable[[], object]) -> Pages:
    """The pages that are written, in a forked process, by something that is done there."""
    receiving, sending = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        pid = -1
    if pid == 0:
        try:
            with contextlib.suppress(Exception, SystemExit):
                rehearsal()
            with open(sending, "w") as file:
                json.dump(_own(), file)
        finally:
            os._exit(0)
    os.close(sending)
    with open(receiving) as file:
        text = file.read()
    if pid > 0:
        os.waitpid(pid, 0)
    return [(start, size) for start, size in json.loads(text or "[]")]


def _own() -> list[list[int]]:
    """The pages that this process shares with no other one."""
    pages: list[list[int]] = []
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        for line in lines:
            region, permissions, *_ = line.split()
            start, end = (int(text, 16) for text in region.split("-"))
            if not (permissions.startswith("rw") and permissions.endswith("p")):
                continue
            if end - start > _REGION_MAX:
                continue
            size = mmap.PAGESIZE
            states = os.pread(file.fileno(), (end - start) // size * 8, start // size * 8)
            for number, state in enumerate(array.array("Q", states)):
                if state & _PRESENT and state & _EXCLUSIVE:
                    address = start + number * size
                    if pages and sum(pages[-1]) == address:
                        pages[-1][1] += size
                    else:
                        pages.append([address, size])
    return pages


def copy(pages: Pages) -> None:
    """Have copies of these pages, as if this process had written them."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, size in pages:
        madvise(start, size, _POPULATE_WRITE)
