"""When a directory is to be looked through again."""

import os

import pytest

from motoko.host import directory_changes
from motoko.host.directory_changes import SETTLED_S, DirectoryChanges


@pytest.fixture
def clock(monkeypatch):
    """This host's monotonic clock, which stands."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    monkeypatch.setattr(directory_changes, "time", Clock())
    return directory_changes.time


def change(path, at):
    os.utime(path, (at, at))


@pytest.mark.parametrize("at", [1.0, 4_000_000_000.0])  # a file server's clock may say anything
def test_it_is_due_when_it_has_changed_and_once_more_when_that_is_over(tmp_path, clock, at):
    changes = DirectoryChanges(tmp_path)
    change(tmp_path, at)
    assert changes.are_due()
    clock.now += SETTLED_S / 2
    assert changes.are_due(), "more may have come in the same tick"
    clock.now += SETTLED_S
    assert changes.are_due() and not changes.are_due()
    clock.now += 1000 * SETTLED_S
    assert not changes.are_due()
    change(tmp_path, at + 1)
    assert changes.are_due()


def test_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        DirectoryChanges(tmp_path / "none").are_due()
