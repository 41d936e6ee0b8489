"""What a copied or moved directory's files say of the original, and what is made of that."""

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

from motoko.channel import keys
from motoko.config.database_files import DatabaseFiles
from motoko.control.daemon_records import read_record, record_text
from motoko.control.runtime_directories import keep_record, prepare
from motoko.host.directories import DirectoryIdentity
from motoko.host.files import write_atomically
from motoko.layout import Runtime, locate, owns_wf
from motoko.runs.claims import Where, disown, read_claim
from motoko.runs.paths import present_directory
from motoko.store.zeo_conf import forget_foreign, read_address, render


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="mt-", dir="/tmp") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield path


def config_in(directory):
    directory.mkdir(exist_ok=True)
    (directory / "motoko.yaml").touch()
    return SimpleNamespace(
        directory=directory, path=directory / "motoko.yaml", runtime_dir=None, studies={}
    )


@pytest.fixture
def original(tmp, tmp_path):
    return config_in(tmp_path / "original")


@pytest.fixture
def runtime(tmp, original):
    runtime = prepare(original)
    write_atomically(runtime.record("bus"), record_text(runtime, name="bus"))
    (runtime.wf / "detached").mkdir()
    (runtime.wf / "detached" / "r.json").write_text("{}")
    (runtime.wf / "log" / "bus.log").write_text("")
    return runtime


def copied(original, to):
    shutil.copytree(original.directory, to)
    return config_in(to)


def as_before(config, runtime):
    """A runtime as the version before has left it: its sockets are named after its path."""
    name = hashlib.sha256(bytes(config.path.resolve())).hexdigest()[:16]
    (runtime.wf / "directory.json").unlink()
    runtime.owner.unlink()
    sockets = runtime.sockets.rename(runtime.sockets.with_name(name))
    (runtime.wf / "runtime").write_text(f"{sockets}\n")
    return Runtime(config.directory, sockets)


def test_a_copy_has_not_the_original_s_key(original, runtime, tmp_path):
    """It would reach the original's studies with it."""
    made = keys.ensure(runtime.channel)
    copy = prepare(copied(original, tmp_path / "copy"))
    assert not copy.channel.exists()
    assert keys.read(runtime.channel) == made
    moved = original.directory.rename(tmp_path / "moved")
    assert keys.read(prepare(config_in(moved)).channel) == made


def test_identity(tmp_path):
    one = DirectoryIdentity.of(tmp_path)
    assert DirectoryIdentity.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert one.is_at(tmp_path) and one.is_same(replace(one, path="/elsewhere"))
    assert not one.is_same(replace(one, inode=one.inode + 1))
    assert not one.is_same(replace(one, device=one.device + 1))
    # Device numbers hold until the host is started again.
    assert one.is_same(replace(one, device=one.device + 1, boot_id="another"))
    assert not one.is_at(tmp_path / "nowhere")
    for data in ({}, None, [], {**one.to_dict(), "inode": "x"}):
        assert DirectoryIdentity.from_dict(data) is None


@pytest.mark.parametrize("version", ["this", "the one before"])
def test_copy(original, runtime, tmp_path, version):
    if version == "the one before":
        runtime = as_before(original, runtime)
    other, said = copied(original, tmp_path / "other"), []
    assert locate(original) == runtime and locate(other) is None
    assert owns_wf(original.directory) and not owns_wf(other.directory)
    started = prepare(other, said.append)
    was = original.directory if version == "this" else "another directory"
    text = f"{other.directory} is a copy of {was}: its workflow starts afresh"
    assert said == [f"{text}, and detached orchestrators are not started again"]
    assert started.sockets != runtime.sockets and locate(original) == runtime
    assert not started.record("bus").exists() and not (started.wf / "detached").exists()
    assert (started.wf / "log" / "bus.log").exists() and runtime.record("bus").exists()
    said.clear()
    assert prepare(other, said.append) == started and said == []


def test_records_of_a_copy_are_nobodys(original, runtime, tmp_path):
    other = prepare(copied(original, tmp_path / "other"))
    text = runtime.record("bus").read_text()
    other.record("bus").write_text(text)
    assert read_record(runtime, runtime.record("bus")) == json.loads(text)
    assert read_record(other, other.record("bus")) is None


def test_moved(original, runtime, tmp_path):
    moved, said = tmp_path / "moved", []
    original.directory.rename(moved)
    config = config_in(moved)
    # Its processes are its own, until it starts afresh.
    assert locate(config).sockets == runtime.sockets
    prepare(config, said.append)
    assert "was moved (from" in said[0] and "starts afresh" in said[0]
    # Another one takes its place.
    again = prepare(config_in(original.directory), said.append)
    assert again.sockets != runtime.sockets and len(said) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"\n", b"relative/path", b"/\0\0"])
def test_a_lost_record(original, runtime, content):
    (runtime.wf / "runtime").write_bytes(content)
    assert locate(original) is None
    assert keep_record(runtime) and not keep_record(runtime)
    assert locate(original) == runtime
    (runtime.wf / "runtime").write_bytes(content)
    assert prepare(original) == runtime


def test_server_config(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / ".bd").mkdir(parents=True)
        (tmp_path / name / ".bd" / "bd.zeo").touch()
    one, two = (DatabaseFiles.of(tmp_path / name) for name in ("one", "two"))
    one.server_config.write_text(render(one, tmp_path / "socket"))
    two.server_config.write_text(one.server_config.read_text())
    assert read_address(one.server_config) == str(tmp_path / "socket")
    assert read_address(two.server_config) is None
    forget_foreign(one)
    forget_foreign(two)
    assert one.server_config.exists() and not two.server_config.exists()


@pytest.mark.parametrize(
    ("path", "present"),
    [
        ("/gone/mult/BD-mult-runs/run-3", "/w/mult/BD-mult-runs/run-3"),
        ("/gone/mult/BD-other-runs/run-3", "/w/mult/BD-other-runs/run-3"),
        ("/gone/mult/BD-mult-runs/run-4", "/gone/mult/BD-mult-runs/run-4"),
        ("/gone/add/BD-mult-runs/run-3", "/gone/add/BD-mult-runs/run-3"),
        ("/scratch/run-3", "/scratch/run-3"),  # BlackDynamite's mvRuns
        (None, None),
    ],
)
def test_present_directory(tmp_path, path, present):
    study = SimpleNamespace(name="mult", bd_name="other", directory=tmp_path / "w" / "mult")
    found = present_directory(study, {"id": 3, "run_path": path})
    expected = present and present.replace("/w/", f"{tmp_path}/w/")
    assert (None if found is None else str(found)) == expected


def test_disowned_claim(tmp_path):
    disown(tmp_path, 1)
    assert read_claim(tmp_path, 1) is None
    (tmp_path / "attempt-1").write_text("whatever")
    disown(tmp_path, 1)
    claim = read_claim(tmp_path, 1)
    assert claim.where is Where.COPIED and not claim.is_here
