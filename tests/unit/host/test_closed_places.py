"""What keeps an account from reading a file, and who can change that."""

import os
import tempfile
from pathlib import Path

import pytest

from motoko.host.accounts import name_of
from motoko.host.closed_places import remedy

SOMEBODY = 65534


@pytest.fixture
def as_somebody():
    """Act as another account meanwhile, which is in no group of ours."""
    if os.geteuid():
        pytest.skip("only root can be another account")
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(SOMEBODY)
    os.seteuid(SOMEBODY)
    yield
    os.seteuid(0)
    os.setegid(0)
    os.setgroups(groups)


@pytest.fixture
def tree():
    """A file in directories that all can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "a" / "b").mkdir(parents=True)
        (directory / "a" / "b" / "file").touch()
        yield directory


@pytest.mark.parametrize(("closed", "rights"), [("a", "rx"), ("a/b", "rx"), ("a/b/file", "r")])
def test_of_others(tree, request, closed, rights):
    path = tree / closed
    path.chmod(0o700)
    request.getfixturevalue("as_somebody")
    me, owner = name_of(SOMEBODY), name_of(0)
    wanted = (
        f"{path} is closed to this account ({me}); {owner} can open it: chmod o+{rights} {path}"
    )
    assert remedy(tree / "a" / "b" / "file") == wanted


def test_ours(tree, request):
    request.getfixturevalue("as_somebody")
    path = tree / "a" / "b" / "file"
    assert "may not do that here" in remedy(path)  # it can be read
    assert "may not do that here" in remedy(tree / "none" / "file")
