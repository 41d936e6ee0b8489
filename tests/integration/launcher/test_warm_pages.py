"""What a waiting run copies of the memory that it shares: pages written in a rehearsal."""

import mmap
import os
import resource

import pytest

from motoko.workers.launcher.warm_pages import copy, written_by

COUNT, SIZE = 300, mmap.PAGESIZE


def in_child(action):
    """What it returns in a forked process: a number."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(sending, str(action()).encode())
        finally:
            os._exit(0)
    os.close(sending)
    with open(receiving) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return int(text)


def test_they_are_those_that_will_be_written():
    memory = mmap.mmap(-1, COUNT * SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[:] = b"1" * len(memory)

    def write():
        for number in range(0, COUNT, 3):
            memory[number * SIZE] = 50

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        write()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def faults_after_copying():
        copy(pages)
        assert memory[0] == memory[SIZE] == 49
        return faults()

    pages = written_by(write)
    assert sum(size for _, size in pages) >= COUNT // 3 * SIZE
    assert all(start % SIZE == 0 == size % SIZE for start, size in pages)
    assert sum(size == SIZE for _, size in pages) >= COUNT // 3 - 2, "not those in between"
    assert in_child(faults) >= COUNT // 3
    if in_child(lambda: copy([(0, SIZE)]) or int(os.uname().release.split(".")[0])) < 6:
        pytest.skip("this kernel does not copy ahead")
    assert in_child(faults_after_copying) < COUNT // 10


def test_a_rehearsal_that_fails():
    def fail():
        raise ValueError

    assert written_by(fail)
