"""A relay: the workflow's sockets on a host that is not its head."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from relays import (
    all_ended,
    client_of,
    connect,
    received,
    relay,
    relay_command,
    says_again,
    start_relay,
)
from support import wait_until

from motoko.channel import greeting as greetings
from motoko.channel.relaying import NoRelay, relayed, send_away
from motoko.host.proc_files import boot_id


def log_of(gate):
    return (gate.directory / "relay.log").read_text()


def test_both_ways(gate):
    with relay(gate, "7", "--run=3", "--study=mult", "--attempt=2", "--job=17"):
        with connect(gate) as client:
            assert says_again(client)
        assert gate.greeted == [greetings.Greeting(3, "mult", 2, "17", socket.gethostname())]
        mode = gate.sockets.stat().st_mode & 0o777
        assert mode == 0o700
    assert not gate.sockets.parent.exists()


def test_much_of_it(gate):
    """60 MB, which nobody keeps in memory: who does not receive has the other wait."""
    size = 60 << 20
    with relay(gate) as started, connect(gate) as client:
        client.settimeout(120)
        sender = threading.Thread(target=client.sendall, args=(b"x" * size,))
        sender.start()
        assert received(client, size) == b"x" * size
        sender.join()
        status = Path(f"/proc/{started.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        assert peak < 40_000, "kB in memory"


def test_many_at_once(gate):
    with relay(gate), contextlib.ExitStack() as opened:
        clients = [opened.enter_context(connect(gate)) for _ in range(200)]
        assert all(map(says_again, clients))


def test_both_sides_end_together(gate):
    with relay(gate):
        client = connect(gate)
        assert says_again(client)
        client.close()
        all_ended(gate, 1)
        gate.serve = lambda connection: connection.sendall(b"last words")
        with connect(gate) as client:
            assert received(client, 100) == b"last words"


def test_half_a_connection_is_none(gate):
    with relay(gate), connect(gate) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        all_ended(gate, 1)


def test_the_head_at_another_port(gate):
    with relay(gate), connect(gate) as before:
        assert says_again(before)
        gate.close()
        gate.listen()
        with connect(gate) as after:
            assert says_again(after) and says_again(before)


def test_no_head(gate):
    with relay(gate):
        gate.close()
        with connect(gate) as client:
            assert client.recv(1) == b""
        assert "zeo-mult: " in log_of(gate) and "refused" in log_of(gate)
        gate.listen()
        with connect(gate) as client:
            assert says_again(client)


def test_a_socket_more(gate):
    with relay(gate):
        gate.names = (*gate.names, "zeo-norm")
        gate.record()
        wait_until((gate.sockets / "zeo-norm").is_socket, "it is there")
        with connect(gate, "zeo-norm") as client:
            assert says_again(client)


def test_sockets_elsewhere_on_the_head(gate):
    """After a reboot of the head, clients that know the earlier place are served, too."""
    with relay(gate):
        before, gate.sockets = gate.sockets, gate.sockets.with_name("fedcba9876543210")
        gate.record()
        wait_until((gate.sockets / "zeo-mult").is_socket, "it is there")
        with connect(gate) as client:
            assert says_again(client)
        gate.sockets = before
        with connect(gate) as client:
            assert says_again(client)
    assert not gate.sockets.parent.exists()


@pytest.mark.parametrize("what", ["a socket", "all of it"])
def test_a_cleaner(gate, what):
    with relay(gate, "7"), relay(gate, "8"):
        if what == "a socket":
            (gate.sockets / "zeo-mult").unlink()
        else:
            subprocess.run(["rm", "-r", gate.sockets.parent], check=True)
        wait_until((gate.sockets / "zeo-mult").is_socket, "it is there again")
        relays = gate.sockets / "relays"
        wait_until(
            lambda: len([path for path in relays.iterdir() if path.is_socket()]) == 2,
            "both relays are there again",
        )
        with connect(gate) as client:
            assert says_again(client)


def test_left_sockets(gate):
    """Sockets that no process serves are replaced."""
    gate.sockets.mkdir(parents=True, mode=0o700)
    gate.sockets.parent.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(gate.sockets / "zeo-mult"))
    with relay(gate), connect(gate) as client:
        assert says_again(client)


@pytest.mark.parametrize("place", ["a server", "no socket", "open to others"])
def test_a_place_that_is_taken(gate, place):
    gate.sockets.mkdir(parents=True, mode=0o700)
    gate.sockets.parent.chmod(0o700)
    path = gate.sockets / "zeo-mult"
    with socket.socket(socket.AF_UNIX) as server:
        if place == "a server":
            server.bind(str(path))
            server.listen()
            reason = "is served by another process of this host"
        elif place == "no socket":
            path.touch()
            reason = "is no socket"
        else:
            gate.sockets.chmod(0o755)
            reason = "can be entered by others"
        started = start_relay(gate)
        assert reason in started.reason and str(gate.sockets) in started.reason
        assert started.end() == 1
        started.process.stdout.close()
    subprocess.run(["rm", "-r", gate.sockets.parent], check=True)


def test_on_the_head(gate):
    gate.record(boot_id())
    started = start_relay(gate)
    assert started.answer == "head" and started.end() == 0
    started.process.stdout.close()
    assert not gate.sockets.exists()


def test_the_workflow_comes_to_this_host(gate):
    """This host's servers get the places of the relay's sockets."""
    with relay(gate) as started, connect(gate) as client:
        assert says_again(client)
        gate.record(boot_id())
        wait_until(lambda: not (gate.sockets / "zeo-mult").exists(), "they are left")
        assert says_again(client)
        assert started.process.poll() is None


def test_relays_are_sent_away(gate):
    """The supervisor that starts here, on the new head, ends this host's relays."""
    with relay(gate, "7"), relay(gate, "8"), connect(gate) as client:
        assert says_again(client)
        send_away(gate.sockets)
        assert not (gate.sockets / "zeo-mult").exists()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(gate.sockets / "zeo-mult"))
        assert says_again(client)
    assert (gate.sockets / "zeo-mult").exists() and not (gate.sockets / "relays").exists()
    subprocess.run(["rm", "-r", gate.sockets.parent], check=True)


def test_each_job_is_served_by_its_own(gate):
    with relay(gate, "7", "--job=7") as first, relay(gate, "8", "--job=8") as second:
        for started in (first, second, first):
            with client_of(gate, started.name) as client:
                assert client.stdout.readline() == "word\n"
        assert [greeting.job for greeting in gate.greeted] == ["7", "8", "7"]
        # Another workflow's job is nobody's here.
        with client_of(gate, "0000dead-7") as client:
            assert client.stdout.readline() == "word\n"


def test_a_job_is_ended_with_its_relay(gate):
    with relay(gate, "7") as first:
        with relay(gate, "8") as second, client_of(gate, second.name) as client:
            assert client.stdout.readline() == "word\n"
        with connect(gate) as client:
            assert says_again(client)
        assert first.process.poll() is None


def test_signals_do_not_end_it(gate):
    with relay(gate) as started:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            started.process.send_signal(number)
            os.kill(started.pid, number)
        with connect(gate) as client:
            assert says_again(client)


def test_a_fenced_attempt_is_ended(gate):
    gate.answer = greetings.refusal("n1 did not answer", fenced=True)
    with relay(gate, "7") as started, client_of(gate, started.name) as client:
        assert client.wait(20) == -signal.SIGTERM
    assert "n1 did not answer" in log_of(gate)


def test_a_refusal_is_no_end(gate):
    gate.answer = greetings.refusal("no such study", fenced=False)
    with relay(gate, "7") as started, client_of(gate, started.name) as client:
        assert client.stdout.readline() == "cut\n"
        assert client.poll() is None


def test_for_a_command(gate):
    """A command's relay serves the command and the processes that it starts."""
    with relay(gate, "7", "--job=7"), relayed(gate.directory, {"job": "mine"}) as is_needed:
        assert is_needed
        with connect(gate) as client:
            assert says_again(client)
        with client_of(gate, "") as started:
            assert started.stdout.readline() == "word\n"
        assert [greeting.job for greeting in gate.greeted] == ["mine", "mine"]


def test_for_a_command_on_the_head(gate):
    gate.record(boot_id())
    with relayed(gate.directory) as is_needed:
        assert not is_needed


def test_for_a_command_that_cannot_have_one(gate):
    (gate.directory / "gate.json").write_text("{}")
    with pytest.raises(NoRelay, match="another version"), relayed(gate.directory):
        pass


def test_what_it_imports(gate):
    """Nothing that is installed: it starts beside each job."""
    code = (
        "import sys; sys.argv = sys.argv[1:]; import runpy\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import json; print(json.dumps(sorted(sys.modules)))"
    )
    gate.record(boot_id())
    words = relay_command(gate, "7")
    command = [*words[:3], "-c", code, *words[3:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    rooms = {name.split(".")[1] for name in modules if name.startswith("motoko.")}
    assert {"dataclasses", "asyncio", "subprocess", "argparse"}.isdisjoint(modules)
    assert rooms == {"channel", "errors", "host"}
