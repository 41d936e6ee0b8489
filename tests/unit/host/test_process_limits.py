"""Soft limits, what is left of them, and the one that is a stamp."""

import os
import resource
from pathlib import Path

import pytest

from motoko.host import process_limits


@pytest.fixture
def limited():
    """A soft limit of open files below the hard one, for this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = sum(1 for _ in Path("/proc/self/fd").iterdir()) + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    process_limits.raise_soft_limits.cache_clear()
    yield soft, before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    process_limits.raise_soft_limits.cache_clear()


def test_raised_and_given_back(limited):
    assert process_limits.raise_soft_limits() == limited
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limited[1], limited[1])
    assert process_limits.raise_soft_limits() == limited, "as it was at the start"
    process_limits.restore_for(os.getpid())
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limited


def test_of_a_process_that_has_gone():
    process_limits.restore_for(2**22 - 1)


def test_spare_files(limited):
    spare = process_limits.spare_files()
    assert 30 <= spare <= 45
    with open(os.devnull) as first, open(os.devnull) as second:
        assert process_limits.spare_files() == spare - 2, (first, second)


def test_a_stamp():
    """It is handed on, and is none of a process that has gone, or was given none."""
    resource_before = resource.getrlimit(process_limits._INERT)
    assert process_limits.stamp_of(os.getpid()) == process_limits._stamp_shown(os.getpid())
    try:
        process_limits.stamp(os.getpid(), 2**62 + 1)
        assert process_limits.stamp_of(os.getpid()) == 2**62 + 1
        assert process_limits._stamp_shown(os.getpid()) == 2**62 + 1
    finally:
        resource.setrlimit(process_limits._INERT, resource_before)
    process_limits.stamp(2**22 - 1, 1)
    assert process_limits.stamp_of(2**22 - 1) is None
    assert process_limits._stamp_shown(2**22 - 1) is None
