"""Quotas of control groups, in the files of both versions of the kernel's interface."""

import pytest

from motoko.host.control_groups import Quota, quota


@pytest.fixture
def group(tmp_path):
    def write(directory, **files):
        place = tmp_path / directory
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / name.replace("__", ".")).write_text(text)

    return write


def test_version_2(group, tmp_path):
    """The least of all levels counts, and what files occupy is not lost."""
    group("", cpu__max="max 100000")
    group("a", memory__max="2000", memory__current="1500", cpu__max="150000 100000")
    group("a", memory__stat="anon 1\ninactive_file 200\n")
    group("a/b", memory__max="max", memory__current="1", pids__max="50", pids__current="20")
    assert quota("0::/a/b\n", tmp_path) == Quota(memory=700, cpus=1.5, processes=30)


def test_version_1(group, tmp_path):
    stat = "inactive_file 7\ntotal_inactive_file 100\n"
    group("memory/job", memory__limit_in_bytes="3000", memory__usage_in_bytes="1000")
    group("memory/job", memory__stat=stat)
    group("memory", memory__limit_in_bytes=str((1 << 63) - 4096), memory__usage_in_bytes="9")
    group("cpu/job", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    group("cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    lines = "4:memory:/job\n2:cpu:/job\n0::/\n"
    assert quota(lines, tmp_path) == Quota(memory=2100, cpus=2.0)


def test_a_container_that_sees_the_top_alone(group, tmp_path):
    group("", pids__max="10", pids__current="4")
    assert quota("0::/docker/1234\n", tmp_path) == Quota(processes=6)


def test_none(tmp_path):
    assert quota("", tmp_path) == quota("0::/\n", tmp_path) == Quota()
