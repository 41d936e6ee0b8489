"""When runs were submitted: the next launcher knows it."""

import time

import pytest

from motoko.workers.launcher import submission_times
from motoko.workers.launcher.gathering import Submitted


def test_kept(tmp_path):
    now = time.monotonic()
    submission_times.write(tmp_path / "times", Submitted(now - 100.25, now))
    assert submission_times.read(tmp_path / "times") == Submitted(now - 100.25, now)


@pytest.mark.parametrize("text", [None, "", "[1]", '{"first": 1.0}', '{"first": "a", "last": 1}'])
def test_nothing_is_known(tmp_path, text):
    if text is not None:
        (tmp_path / "times").write_text(text)
    assert submission_times.read(tmp_path / "times") == Submitted()


def test_of_another_boot(tmp_path):
    """This host's clock has not come that far."""
    submission_times.write(tmp_path / "times", Submitted(1.0, time.monotonic() + 1000.0))
    assert submission_times.read(tmp_path / "times") == Submitted()


def test_a_disk_that_fails(tmp_path):
    (tmp_path / "times").mkdir()
    assert submission_times.read(tmp_path / "times") == Submitted()
