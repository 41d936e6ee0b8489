"""An account that may have no more processes (`ulimit -u`): said, and nobody's failure."""

import os
import socket
import subprocess
import sys

import pytest

from motoko.host.process_limits import NO_ROOM, NoMoreProcesses
from motoko.workers.launcher import spawner, warm_pythons, wrapper

LIMITED = ("bash", "-c", 'ulimit -u 1; exec "$@"', "limited")
ACCOUNT = 40000 + os.getpid() % 20000  # nobody else's: the limit is of all processes of one


@pytest.fixture
def limited():
    """``limited(*command)``: its result, as an account that may have one process."""
    command = [*LIMITED]
    if os.getuid() == 0:  # whom no limit binds
        as_other = f"setpriv --reuid {ACCOUNT} --regid {ACCOUNT} --clear-groups"
        # It may read all, as far as Python is in a directory of root's.
        as_other += " --inh-caps +dac_read_search --ambient-caps +dac_read_search"
        command = [*as_other.split(), *command]

    def run(*arguments, **options):
        return subprocess.run(
            [*command, *arguments],
            **{"capture_output": True, "text": True, "check": False, "timeout": 60, **options},
        )

    if run(sys.executable, "-c", "").returncode:
        pytest.skip("this machine does not let us be another account, with Python")
    return run


def given(flow):
    """The workflow as the account's own: of another one's it may only look at."""
    for path in (flow.directory, *flow.directory.rglob("*")) if os.getuid() == 0 else ():
        os.chown(path, ACCOUNT, ACCOUNT)
    return flow


SOCKETS = """
import sys
from motoko.bus.publisher import Publisher
from motoko.errors import MotokoError

try:
    Publisher("ipc:///tmp/nobody-listens-here")
except MotokoError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_socket_of_the_bus(limited):
    """ZeroMQ would abort the process."""
    done = limited(sys.executable, "-c", SOCKETS)
    assert done.returncode == NoMoreProcesses.exit_code, done
    assert NO_ROOM in done.stdout and "ulimit -u" in done.stdout


def test_a_supervisor(limited, workflow):
    """A supervisor that may start no process is refused at once."""
    flow = given(workflow())
    said = limited(
        *(sys.executable, "-m", "motoko", "supervise"),
        cwd=flow.directory,
        env={**os.environ, "USER": "somebody"},
    )
    assert NO_ROOM in said.stderr and "Traceback" not in said.stderr, said
    assert said.returncode == NoMoreProcesses.exit_code


ATTEMPT = """
import runpy, socket, sys
parts = runpy.run_path(sys.argv[1])
attempt = dict(zip(parts["FIELDS"], sys.argv[2:]))
ours, theirs = socket.socketpair()
ours.send(b"\\n")
try:
    begun = parts["begun"](attempt, theirs.fileno())
    parts["started"](attempt, *begun, [], own_session=False)
except parts["Unstarted"] as error:
    sys.exit(error.code)
"""


def test_an_attempt(limited, tmp_path):
    """The wrapper runs and cannot start a process: launch.sh was not executed."""
    if os.getuid() == 0:
        os.chown(tmp_path, ACCOUNT, ACCOUNT)
    (tmp_path / "launch.sh").write_text("#!/bin/sh\ntrue > was-here\n")
    known = [*spawner.facts(tmp_path, 1, "out", "err").values(), "launch.sh", "start.sh"]
    done = limited(sys.executable, "-c", ATTEMPT, wrapper.__file__, *known)
    assert done.returncode == wrapper.UNFORKED, done
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("attempt-1", "err", "launch.sh", "out")
    ]


WARM = """
import os, runpy, socket, sys, types
template, parts = (types.SimpleNamespace(**runpy.run_path(path)) for path in sys.argv[1:3])
template.wrapper(parts, None, socket.socket(fileno=int(sys.argv[3])), None)
"""


def test_a_warm_attempt(limited, tmp_path):
    """It is not even claimed."""
    if os.getuid() == 0:
        os.chown(tmp_path, ACCOUNT, ACCOUNT)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send("\0".join([*spawner.facts(tmp_path, 1, "out", "err").values()]).encode())
        ours.send(b"\n")
        files, channel = (warm_pythons.PROGRAM, wrapper.__file__), theirs.fileno()
        limited(sys.executable, "-c", WARM, *files, str(channel), pass_fds=[channel])
        assert ours.recv(100) == str(wrapper.UNFORKED).encode()
    assert not [*tmp_path.iterdir()]


NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_an_account_without_a_name(limited, workflow):
    """BlackDynamite wants one: it is said before anything is changed."""
    if os.getuid():
        pytest.skip("our own account has one")
    flow = given(workflow(created=False))
    environment = {n: v for n, v in os.environ.items() if n not in NAMES}
    said = limited(*(sys.executable, "-m", "motoko", "create"), cwd=flow.directory, env=environment)
    assert said.returncode == 2 and "export USER=" in said.stderr, said
    assert "Traceback" not in said.stderr and not (flow.directory / "mult" / ".bd").exists()
