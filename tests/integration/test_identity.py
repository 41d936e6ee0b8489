"""A process's identity: never the pid alone."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest

from motoko.host.identity import Identity
from motoko.host.living_processes import session_members
from motoko.host.proc_files import boot_id, start_ticks


@pytest.fixture
def child():
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_mine():
    me = Identity.mine()
    assert me.pid == os.getpid() and me.alive and me.is_here
    assert Identity.of(os.getpid()) == me


def test_as_mapping():
    me = Identity.mine()
    assert Identity.from_dict(me.to_dict()) == me


@pytest.mark.parametrize("key", ["pid", "start_ticks", "boot_id", "host"])
def test_mapping_without(key):
    data = Identity.mine().to_dict()
    del data[key]
    with pytest.raises(KeyError):
        Identity.from_dict(data)


def test_mapping_with_rubbish():
    with pytest.raises(ValueError):
        Identity.from_dict({**Identity.mine().to_dict(), "pid": "x"})


def test_end_of_a_process(child):
    identity = Identity.of(child.pid)
    assert identity.alive
    assert identity.signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # A zombie is dead already.
    assert not identity.alive and Identity.of(child.pid) is None
    child.wait()
    assert not identity.alive and not identity.signal() and identity.open_pidfd() is None


@pytest.mark.parametrize(
    "other",
    [{"start_ticks": 1}, {"boot_id": "another"}, {"boot_id": "another", "host": "elsewhere"}],
    ids=["reused pid", "before a reboot", "another host"],
)
def test_same_pid_of_another(child, other):
    stranger = dataclasses.replace(Identity.of(child.pid), **other)
    assert not stranger.alive
    assert stranger.open_pidfd() is None
    assert not stranger.signal(signal.SIGKILL)
    assert child.poll() is None and Identity.of(child.pid).alive


def test_pidfd_is_of_that_process(child):
    descriptor = Identity.of(child.pid).open_pidfd()
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM
    finally:
        os.close(descriptor)


def test_strange_command_name(tmp_path):
    # The kernel shows the name in parentheses, unescaped.
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    code = "print('up', flush=True); input()"
    with subprocess.Popen(
        [program, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        ticks = start_ticks(process.pid)
        assert ticks is not None and abs(ticks - start_ticks(os.getpid())) < 100 * 86400
        assert ticks >= start_ticks(os.getpid())
        process.kill()


def test_nobody():
    assert start_ticks(2**22 + 1) is None and Identity.of(2**22 + 1) is None
    assert boot_id() == Identity.mine().boot_id


def test_session_members(child):
    members = session_members(child.pid, 2**22 + 1)
    assert [(member.pid, session) for member, session in members] == [(child.pid, child.pid)]
    assert session_members(2**22 + 1) == []
