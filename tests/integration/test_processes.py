"""Processes of others and of our own, as they really are: names that are no text, hidden ones,
children that outlive what they come from."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
from support import wait_until

from motoko.host.identity import Identity
from motoko.host.living_processes import processes_with, session_members
from motoko.host.locks import locked, try_lock

NO_TEXT = b"\xff\xfe run"


@pytest.fixture
def nameless(tmp_path):
    """A process whose name and arguments are no UTF-8."""
    program = tmp_path / os.fsdecode(NO_TEXT)
    program.symlink_to(sys.executable)
    command = [os.fsencode(program), b"-P", b"-c", b"input()", b"\xff\xfe argument"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process
        process.kill()


def test_name_that_is_no_text(nameless):
    identity = Identity.of(nameless.pid)
    assert identity.alive
    assert session_members(nameless.pid) == [(identity, nameless.pid)]
    wait_until(lambda: processes_with("-P", "-c"), "its command line is there")
    ((_, arguments),) = [
        entry for entry in processes_with("-P", "-c") if entry[0].pid == nameless.pid
    ]
    assert os.fsencode(arguments[-1]) == b"\xff\xfe argument"


def test_commands_beside_a_name_that_is_no_text(nameless, workflow):
    flow = workflow()
    flow.supervise()
    # Commands look at all processes where a supervisor has been killed.
    supervisor = flow.ps()["supervisor"]["pid"]
    os.kill(supervisor, 9)
    wait_until(lambda: Identity.of(supervisor) is None, "the supervisor is dead")
    for command in (["ps"], ["supervise", "--detach"], ["info"], ["kill", "--now"]):
        done = flow.motoko(*command)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0 or command == ["ps"], done.stdout + done.stderr
    assert nameless.poll() is None


# In a mount namespace of its own, where /proc shows a user nothing of others.
HIDDEN = """
import os, subprocess, sys, time
from pathlib import Path
from motoko.config import load
from motoko.control import daemon_records
from motoko.host.identity import Identity
from motoko.host.living_processes import processes, processes_with, session_members

records = daemon_records.records(load(sys.argv[2]))
mount = ["mount", "-t", "proc", "-o", f"hidepid={sys.argv[1]}", "proc", "/proc"]
if subprocess.run(mount).returncode:
    sys.exit(77)
stranger = Identity.of(1)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    Path("/proc/1/stat").read_bytes()
except OSError as error:
    print("hidden:", type(error).__name__)
assert Identity.of(1) is None and not stranger.alive and stranger.open_pidfd() is None
assert Identity.mine().alive
with subprocess.Popen(["sleep", "3"], start_new_session=True) as ours:
    while Identity.of(ours.pid) is None:  # hidden until it has executed its program
        time.sleep(0.01)
    assert 1 not in [process.identity.pid for process in processes()]
    assert session_members(ours.pid) == [(Identity.of(ours.pid), ours.pid)]
    ours.kill()
processes_with("-P", "-c")
assert list(daemon_records.unrecorded_daemons(records)) == []
"""


@pytest.mark.parametrize(("hidepid", "error"), [(1, "PermissionError"), (2, "FileNotFoundError")])
def test_hidden_by_the_system(workflow, hidepid, error):
    flow = workflow(created=False)
    program = [sys.executable, "-P", "-c", HIDDEN, str(hidepid), str(flow.path)]
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can hide processes, with unshare")
    done = subprocess.run(["unshare", "-m", *program], capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"/proc cannot be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"hidden: {error}\n"


def test_forked_child_keeps_no_lock(tmp_path):
    path = tmp_path / "lock"
    reading, writing = os.pipe()
    with contextlib.ExitStack() as held:
        held.enter_context(locked(path))
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # until the test is over
            os._exit(0)
    try:
        os.close(wait_until(lambda: try_lock(path), "the child has let go of it"))
    finally:
        os.close(writing)
        os.close(reading)
        assert os.waitpid(child, 0)[1] == 0


def test_child_that_leaves_the_block(tmp_path):
    with locked(tmp_path / "lock"):
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert try_lock(tmp_path / "lock") is None, "the child's end has freed it"
    if child == 0:
        os._exit(0)
