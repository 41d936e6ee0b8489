"""A package that is no longer what Motoko relies on is named, and what to install instead."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from BlackDynamite.run_zeo import RunZEO
from packaging.requirements import Requirement
from ZEO.asyncio.client import ClientIO
from ZEO.ClientStorage import ClientStorage
from ZODB.Connection import Connection
from ZODB.mvccadapter import MVCCAdapterInstance

# So that all that is relied on is registered.
import motoko.store.task_creator  # noqa: F401
import motoko.store.zeo_server  # noqa: F401
from motoko.errors import UnsupportedPackage
from motoko.store.internals import self_check, tree_nodes
from motoko.store.internals.self_check import check, imported
from motoko.store.storage import open_storage


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """As at a process's start."""
    monkeypatch.setattr(self_check, "_checked", 0)


def test_what_is_installed():
    check()
    assert self_check._checked == len(self_check._needs) > 40


def test_nothing_is_checked_twice(monkeypatch):
    check()
    monkeypatch.setattr(self_check, "_missing", lambda need: f"{need} again")
    check()


def a_register_of_other_arguments(self, transaction, obj): ...


def a_constructor_without_oids(self, addr, *args, **kwargs): ...


@pytest.mark.parametrize(
    "cls, name, value, package, missing",
    [
        (ClientIO, "call_async", None, "ZEO", "ZEO.asyncio.client.ClientIO.call_async"),
        (ClientIO, "call_async", 3, "ZEO", "ClientIO.call_async is no function"),
        (ClientStorage, "__init__", a_constructor_without_oids, "ZEO", "__init__() sets no _"),
        (Connection, "register", a_register_of_other_arguments, "ZODB", "does not take self, obj"),
        (MVCCAdapterInstance, "poll_invalidations", None, "ZODB", "poll_invalidations"),
        (RunZEO, "__init__", lambda self: None, "BlackDynamite", "sets no configfiles"),
    ],
)
def test_what_has_changed(monkeypatch, cls, name, value, package, missing):
    if value is None:
        monkeypatch.delattr(cls, name)
    else:
        monkeypatch.setattr(cls, name, value)
    for _ in range(2):  # and again, whoever goes on in spite of it
        with pytest.raises(UnsupportedPackage) as raised:
            check()
        assert missing in str(raised.value)
        assert f"{package} {version(package)} " in str(raised.value)
        assert f"pip install '{package}==" in raised.value.hint


def test_nothing_is_opened_then(monkeypatch, tmp_path):
    monkeypatch.delattr(ClientIO, "call_async")
    with pytest.raises(UnsupportedPackage, match="call_async"):
        open_storage(str(tmp_path / "no.sock"), tmp_path, wait=0.1)


def test_another_shape(monkeypatch):
    monkeypatch.setattr(tree_nodes, "OOBucket", dict)
    with pytest.raises(UnsupportedPackage, match="the state of an OOBTree has another shape"):
        check()


def test_a_missing_module():
    with pytest.raises(UnsupportedPackage, match=r"ZODB.gone.thing is not there"):
        imported("ZODB", "ZODB.gone", "thing")


def test_pins():
    """The next major version of whatever is below may have changed: it has to be tried first."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    assert len(wanted) > 5
    for each in wanted:
        major = int(version(each.name).partition(".")[0])
        assert version(each.name) in each.specifier
        assert f"{major + 1}.0" not in each.specifier, f"{each} has no upper bound"
    for package, tested in self_check.TESTED.items():
        assert all(tested in each.specifier for each in wanted if each.name == package)
