"""Motoko's files of a run where versions before have written them."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from motoko.runs.claims import read_claim, read_exit
from motoko.runs.earlier_layout import make_own_folder
from motoko.runs.job_script import close
from motoko.runs.paths import EARLIER_ENVIRONMENT, claim_path, own_folder

CLAIM = "11111111-2222-3333-4444-555555555555\n10 (sh) S 1\nlogin1\n\n"
RECORD = '{"attempt": 2, "code": 3}\n'
# Files and folders of a user, by names that were Motoko's.
USERS = {"exit.json": '{"energy": 1.0}', "attempt-7": "x = 1\n", "closed-form.txt": "E = mc2"}


@pytest.fixture(params=[False, True], ids=["shell", "other"])
def earlier(request, tmp_path):
    """A run directory of a version before, whose launch.sh is a shell script or is none."""
    directory = tmp_path / "run-1"
    directory.mkdir()
    for name, text in {"attempt-1": "", "attempt-2": CLAIM, "exit.json": RECORD}.items():
        (directory / name).write_text(text)
    (directory / "closed-s.1.1-abc").touch()
    os.utime(directory / "attempt-2", (0, 1000.5))
    (directory / "attempt-3").mkdir()
    if request.param:
        (directory / EARLIER_ENVIRONMENT).parent.mkdir()
        (directory / EARLIER_ENVIRONMENT).touch()
    return directory


def read_all(directory):
    """What is known of the run's attempts."""
    claims = [read_claim(directory, attempt) is not None for attempt in (1, 2, 4)]
    return claims, claim_path(directory, 2).stat().st_mtime, read_exit(directory, 2)


KNOWN = ([True, True, False], 1000.5, 3)


def test_it_is_read_there_and_moved_before_the_next_attempt(earlier):
    assert own_folder(earlier) == earlier
    assert read_all(earlier) == KNOWN
    for _ in range(2):
        make_own_folder(earlier)
        assert own_folder(earlier) == earlier / ".motoko"
        assert read_all(earlier) == KNOWN
        left = sorted(path.name for path in earlier.iterdir())
        # A job that such a version has submitted looks for what closes it there.
        assert left == [".motoko", "attempt-3", "closed-s.1.1-abc"]


@pytest.mark.parametrize("call", [(shutil, "copy2"), (Path, "rename"), (Path, "unlink")])
@pytest.mark.parametrize("times", range(3))
def test_somebody_is_killed_in_the_midst_of_it(earlier, monkeypatch, call, times):
    where, name = call
    real, calls = getattr(where, name), []

    def dying(*arguments, **options):
        calls.append(1)
        if len(calls) > times:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, dying)
        with contextlib.suppress(KeyboardInterrupt):
            make_own_folder(earlier)
    assert read_all(earlier) == KNOWN
    make_own_folder(earlier)
    assert own_folder(earlier) == earlier / ".motoko" and read_all(earlier) == KNOWN


def test_files_of_users_stay(tmp_path):
    """Also where BlackDynamite or motoko 0.1.4 has executed the run."""
    for name, text in USERS.items():
        (tmp_path / name).write_text(text)
    make_own_folder(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == USERS
    assert read_claim(tmp_path, 7) is None and read_exit(tmp_path, 1) is None
    assert [*(tmp_path / ".motoko").iterdir()] == []


def test_a_job_of_a_version_before_is_closed_where_it_looks(earlier):
    assert close(earlier, 4, "s.1.4-abc") and (earlier / "closed-s.1.4-abc").exists()
    make_own_folder(earlier)
    assert close(earlier, 4, "s.1.5-abc") and (earlier / ".motoko" / "closed-s.1.5-abc").exists()
