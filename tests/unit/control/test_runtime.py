"""Where sockets, records and logs are."""

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motoko.control.daemon_records import living_orchestrators
from motoko.control.runtime_directories import prepare
from motoko.errors import MotokoError
from motoko.host.files import read_json, write_atomically
from motoko.host.identity import Identity
from motoko.layout import SOCKET_PATH_MAX, Runtime, file_name, locate


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    """A short directory in place of /tmp."""
    with tempfile.TemporaryDirectory(prefix="mt-", dir="/tmp") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield path


@pytest.fixture
def config(tmp_path):
    return config_in(tmp_path / "wf")


def config_in(directory, runtime_dir=None):
    directory.mkdir(parents=True)
    return SimpleNamespace(
        directory=directory, path=directory / "motoko.yaml", runtime_dir=runtime_dir
    )


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ["w", "x" * 200, "a b 'c' \"d\" é $e", "/".join(["y" * 200] * 4)])
@pytest.mark.parametrize("study", ["mult", "s" * 100])
def test_sockets_are_short_for_any_path(tmp, tmp_path, name, study):
    runtime = prepare(config_in(tmp_path / name))
    for path in (runtime.zeo(study), runtime.control, runtime.sockets / "bus-out"):
        assert len(os.fsencode(path)) <= SOCKET_PATH_MAX
    assert runtime.bus_publish != runtime.bus_subscribe
    assert locate(config_of(runtime)) == runtime


def config_of(runtime):
    return SimpleNamespace(
        directory=runtime.directory, path=runtime.directory / "motoko.yaml", runtime_dir=None
    )


def test_long_study_names_stay_distinct(tmp, config):
    runtime = prepare(config)
    names = ["s" * 100 + end for end in ("a", "b")]
    assert len({runtime.zeo(name) for name in names}) == 2


def test_private_and_recorded(tmp, config):
    assert locate(config) is None
    runtime = prepare(config)
    assert mode(runtime.sockets) == 0o700 and mode(runtime.sockets.parent) == 0o700
    assert str(runtime.sockets).startswith(tmp)
    assert (config.directory / ".wf" / "runtime").read_text().strip() == str(runtime.sockets)
    assert prepare(config) == runtime


def test_workflows_differ(tmp, tmp_path):
    assert prepare(config_in(tmp_path / "a")).sockets != prepare(config_in(tmp_path / "b")).sockets


@pytest.mark.parametrize("squatted", ["open", "file", "link"])
@pytest.mark.parametrize("which", ["parent", "own"])
def test_squatted_name(tmp, config, tmp_path, squatted, which):
    first = prepare(config).sockets
    place = first.parent if which == "parent" else first
    shutil.rmtree(first)
    if which == "parent":
        place.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    match squatted:
        case "open":
            place.mkdir()
            place.chmod(0o777)
        case "file":
            place.write_text("")
        case "link":
            place.symlink_to(elsewhere)
    assert locate(config) is None
    runtime = prepare(config)
    assert mode(runtime.sockets) == 0o700 and not runtime.sockets.is_symlink()
    assert runtime.sockets != first and first.parent not in runtime.sockets.parents
    assert not list(elsewhere.iterdir())
    assert locate(config) == runtime


def test_not_ours(tmp, config, monkeypatch):
    runtime = prepare(config)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert locate(config) is None
    monkeypatch.undo()
    assert locate(config) == runtime


def test_opened_to_others_later(tmp, config):
    runtime = prepare(config)
    runtime.sockets.chmod(0o755)
    assert locate(config) is None
    assert mode(prepare(config).sockets) == 0o700


class TestRuntimeDir:
    def test_used(self, tmp, tmp_path):
        wanted = tmp_path / "x" / "sockets"
        config = config_in(tmp_path / "wf", wanted)
        runtime = prepare(config)
        assert runtime.sockets == wanted and mode(wanted) == 0o700

    def test_changed_later(self, tmp, config, tmp_path):
        prepare(config)
        config.runtime_dir = tmp_path / "other"
        assert prepare(config).sockets == config.runtime_dir

    def test_open_to_others(self, tmp, tmp_path):
        wanted = tmp_path / "open"
        wanted.mkdir()
        wanted.chmod(0o755)
        with pytest.raises(MotokoError, match=r"can be entered by others") as caught:
            prepare(config_in(tmp_path / "wf", wanted))
        assert "chmod 700" in caught.value.hint

    def test_too_long(self, tmp, tmp_path):
        with pytest.raises(MotokoError, match="too long") as caught:
            prepare(config_in(tmp_path / "wf", tmp_path / ("z" * 100)))
        assert "runtime_dir" in caught.value.hint

    def test_cannot_be_made(self, tmp, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(MotokoError):
            prepare(config_in(tmp_path / "wf", tmp_path / "file" / "sockets"))


def test_file_where_wf_should_be(tmp, config):
    (config.directory / ".wf").write_text("")
    with pytest.raises(MotokoError, match=r"\.wf"):
        prepare(config)


class TestFileName:
    CLASHING = (
        "zeo:a", "zeo-a", "zeo/a", "zeo::a", "a:b:c", "a-b:c", "", ".", "..", ".hidden", "é", "e",
        "a b", "a/b", "a" * 99, "a" * 100, "a" * 300, "a" * 301, "A", "../../x", "a\0b", "a\nb",
    )  # fmt: skip

    def test_known_names_are_readable(self):
        runtime = Runtime(Path("/w"), Path("/s"))
        assert runtime.log("zeo:mult").name == "zeo-mult.log"
        assert runtime.log("bus").name == "bus.log"

    def test_usable(self, tmp_path):
        for name in self.CLASHING:
            path = tmp_path / f"{file_name(name)}.json"
            path.write_text("")
            assert path.parent == tmp_path and path.is_file()
            assert not path.name.startswith(".") or name == ""

    def test_distinct(self):
        assert len({file_name(name) for name in self.CLASHING}) == len(self.CLASHING)

    @given(st.text(max_size=150), st.text(max_size=150))
    def test_orchestrators_are_distinct(self, one, other):
        # run_names are arbitrary, and come with this prefix.
        lock = Runtime(Path("/w"), Path("/s")).lock
        assert (lock(f"orchestrator:{one}") == lock(f"orchestrator:{other}")) == (one == other)
        assert lock(f"orchestrator:{one}") not in (
            lock("bus"),
            lock("zeo:a"),
            lock("zeo:orchestrator"),
        )

    @example("a:b", "a-b")
    @given(st.text(max_size=150), st.text(max_size=150))
    def test_run_names_are_distinct(self, one, other):
        # Records of orchestrators are named after the run_name alone.
        assert (file_name(one) == file_name(other)) == (one == other)


class TestFiles:
    def test_atomic(self, tmp_path):
        path = tmp_path / "x.json"
        write_atomically(path, "1")
        with open(path) as reader:
            write_atomically(path, "2")
            assert reader.read() == "1"
        assert [each.name for each in tmp_path.iterdir()] == ["x.json"]

    @pytest.mark.parametrize("text", ["", "[]", '{"a"', "\x00", "null"])
    def test_no_object(self, tmp_path, text):
        (tmp_path / "x").write_text(text)
        assert read_json(tmp_path / "x") is None

    def test_object(self, tmp_path):
        (tmp_path / "x").write_text('{"a": 1}')
        assert read_json(tmp_path / "x") == {"a": 1}
        assert read_json(tmp_path / "y") is None

    def test_no_text(self, tmp_path):
        (tmp_path / "x").write_bytes(b"\xff\xfe")
        assert read_json(tmp_path / "x") is None


def test_living_orchestrators(tmp_path):
    runtime = Runtime(tmp_path, tmp_path)
    place = runtime.wf / "orchestrators"
    place.mkdir(parents=True)
    me = Identity.mine().to_dict()
    records = {
        "a": {"run_name": "a", **me},
        "b": {"run_name": "b", **me, "start_ticks": 1},  # dead
        "c": {"run_name": "c", **me, "host": "elsewhere"},  # cannot be known to be dead
        "d": {"run_name": "d"},
        "e": {"run_name": "e", **me, "pid": "x"},
    }
    for name, record in records.items():
        (place / f"{name}.json").write_text(json.dumps(record))
    (place / "f.json").write_text("{")
    assert [run_name for run_name, _ in living_orchestrators(runtime)] == ["a", "c"]


def test_where_relays_stand_nobody_else_does(tmp, config):
    """They serve the sockets of another host, from which this one takes over now."""
    before = prepare(config)
    (before.sockets / "relays").mkdir()
    before.owner.unlink()
    after = prepare(config)
    assert after.sockets != before.sockets and mode(after.sockets) == 0o700
    assert locate(config) == after == prepare(config)
    assert (before.sockets / "relays").is_dir() and not before.owner.exists()
