"""A study with a TCP ``host:`` of this host: its server listens there, for compute nodes."""

import socket
from pathlib import Path

import pytest
from support import wait_until

from motoko.config import load
from motoko.layout import locate
from motoko.store.server_address import address
from motoko.store.storage import open_storage
from motoko.store.zeo_conf import read_address


@pytest.fixture
def taken():
    """A socket that listens at a port of this host's own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def timers(port, side=1):
    """What the kernel waits for on the established connections of a port, on its side of them.

    On the other one with ``side=2``.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[5] for row in rows if row[side].endswith(f":{port:04X}") and row[3] == "01"]


def at_port(flow, port, more="insecure_tcp: true"):
    text = f"task_managers:\n  mult: {{host: 'zeo://127.0.0.1:{port}', {more}}}\n"
    flow.path.write_text(f"{text}orchestrator: orchestrator.main\n")
    flow.create()


def test_it_listens_there(workflow, taken, tmp_path):
    """BlackDynamite's clients find it by zeo.conf; on this host there is the socket as well."""
    port = taken.getsockname()[1]
    taken.close()
    flow = workflow(studies=("mult",), created=False)
    at_port(flow, port)
    flow.supervise()
    study = load(flow.path).studies["mult"]
    assert read_address(study.database.server_config) == f"127.0.0.1:{port}"
    assert address(study, locate(load(flow.path))) == str(locate(load(flow.path)).zeo("mult"))
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        length = int.from_bytes(client.recv(4), "big")
        assert client.recv(length).startswith((b"Z", b"M"))  # as a ZEO server greets
        # The server asks whether the other host is still there.
        wait_until(
            lambda: any(timer.startswith("02:") for timer in timers(port)),
            "the connection is kept alive",
        )
    storage = open_storage(("127.0.0.1", port), tmp_path / "blobs", read_only=True)
    wait_until(
        lambda: any(timer.startswith("02:") for timer in timers(port, side=2)),
        "a client of ours asks as well",
    )
    storage.close()
    assert "can run code" in flow.log("zeo:mult")
    warning = f"mult: whoever reaches zeo://127.0.0.1:{port} can run code"
    assert warning in flow.motoko("ps").stderr and warning in flow.ps()["warnings"][0]
    done = flow.motoko("orchestrator", "start", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    runs = flow.directory / "mult" / "BD-mult-runs"
    assert "export BLACKDYNAMITE_HOST=zeo://" + str(study.directory) in (
        (runs / "run-1" / "launch.sh").read_text()
    )


def test_a_port_that_is_taken(workflow, taken):
    """A port in use: the error names it and the remedy, and all that was started ends."""
    flow = workflow(studies=("mult",), created=False)
    at_port(flow, taken.getsockname()[1])
    with flow.path.open("a") as file:
        file.write("supervisor: {attempts: 1}\n")
    done = flow.motoko("supervise", "--detach")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "cannot listen at 127.0.0.1" in said, said
    assert "already in use" in said and "choose another port" in said


def test_it_has_to_be_asked_for(workflow):
    flow = workflow(studies=("mult",), created=False)
    at_port(flow, 18999, more="retries: 0")
    done = flow.motoko("supervise", "--detach")
    assert done.returncode == 2 and "insecure_tcp: true" in done.stderr
