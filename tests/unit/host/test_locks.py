"""Locks between processes, where locks are as strict as on NFS, and where there are none."""

import errno
import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support import write_workflow

from motoko.config import load
from motoko.control.daemon_records import SUPERVISOR
from motoko.control.registration import registered
from motoko.control.supervisor_lock import (
    AlreadySupervised,
    SupervisorLost,
    refuse_elsewhere,
    supervisor_lock,
)
from motoko.errors import MotokoError, OrchestratorRunning
from motoko.host.identity import Identity
from motoko.host.locks import is_locked, lock_in_time, locked, locked_if_free, try_lock
from motoko.layout import Runtime
from motoko.store.workflow_vars import WorkflowVars


@pytest.fixture
def like_nfs(monkeypatch):
    """``flock`` as NFS has it; gives the operations that were asked for."""
    flock, operations = fcntl.flock, []

    def strict(file, operation):
        descriptor = file if isinstance(file, int) else file.fileno()
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        needed = os.O_RDONLY if operation & fcntl.LOCK_SH else os.O_WRONLY
        if mode not in (needed, os.O_RDWR):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        operations.append(operation)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", strict)
    return operations


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def config(tmp_path):
    return load(write_workflow(tmp_path / "wf").path)


@pytest.fixture
def runtime(config):
    for name in ("locks", "daemons", "orchestrators"):
        (config.directory / ".wf" / name).mkdir(parents=True)
    return Runtime(config.directory, config.directory / ".wf")


def supervised_elsewhere(runtime):
    elsewhere = replace(Identity.mine(), host="login2", boot_id="its own")
    runtime.record(SUPERVISOR).write_text(json.dumps(elsewhere.to_dict()))


def test_held_or_free(like_nfs, tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        assert try_lock(path) is None
        with locked_if_free(path) as is_ours:
            assert not is_ours
    with locked_if_free(path) as is_ours:
        assert is_ours and try_lock(path) is None
    lock = lock_in_time(path, 0.0)
    assert try_lock(path) is None
    lock.release()
    lock.release()
    os.close(try_lock(path))
    with locked(path):
        assert lock_in_time(path, 0.01) is None


def test_shared(like_nfs, tmp_path):
    path = tmp_path / "lock"
    with locked(path, shared=True), locked(path, shared=True):
        assert try_lock(path) is None
    os.close(try_lock(path))


def test_asking(like_nfs, tmp_path):
    """Whoever asks needs to read the file only, and does not keep others who ask from knowing."""
    path = tmp_path / "lock"
    assert not is_locked(path) and not path.exists()
    os.close(try_lock(path))
    path.chmod(0o400)
    assert not is_locked(path)
    with locked(path, shared=True):  # as somebody holds it who asks at the same time
        assert not is_locked(path)
    descriptor = try_lock(path)
    assert is_locked(path)
    os.close(descriptor)


def test_file_is_made_only_if_wanted(tmp_path):
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "lock", create=False)
    assert not list(tmp_path.iterdir())
    os.close(try_lock(tmp_path / "lock", mode=0o600))
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_supervisor(like_nfs, runtime):
    with supervisor_lock(runtime):
        assert try_lock(runtime.lock(SUPERVISOR)) is None
    assert like_nfs


def test_supervisor_elsewhere(like_nfs, config, runtime):
    supervised_elsewhere(runtime)
    with pytest.raises(SupervisorLost, match="login2"):
        refuse_elsewhere(config)  # it has never held the lock
    with locked(runtime.lock(SUPERVISOR)), pytest.raises(AlreadySupervised, match="login2"):
        refuse_elsewhere(config)
    with pytest.raises(SupervisorLost, match="login2"):
        refuse_elsewhere(config)
    assert len(like_nfs) == 3


def test_orchestrators(like_nfs, runtime):
    with (
        registered(runtime, "r"),
        registered(runtime, "another"),
        pytest.raises(OrchestratorRunning),
        registered(runtime, "r"),
    ):
        pass
    with registered(runtime, "r"):
        pass
    assert len(like_nfs) == 4


def test_workflow_vars(like_nfs, tmp_path):
    values = WorkflowVars(tmp_path / "wf" / "wf.db")
    values.x = 1
    assert values.x == 1
    assert {fcntl.LOCK_EX, fcntl.LOCK_SH} <= set(like_nfs)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks(monkeypatch, tmp_path, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = open_files()
    with pytest.raises(MotokoError, match="cannot be locked") as raised, locked(tmp_path / "lock"):
        pass
    assert str(tmp_path / "lock") in str(raised.value) and "flock" in raised.value.hint
    with pytest.raises(MotokoError):
        try_lock(tmp_path / "lock")
    with pytest.raises(MotokoError):
        lock_in_time(tmp_path / "lock", 1.0)
    assert open_files() == before
