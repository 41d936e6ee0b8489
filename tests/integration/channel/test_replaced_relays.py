"""Relays that are killed or suspended: those of the other jobs, and their successors."""

import contextlib
import os
import signal
from pathlib import Path

from relays import (
    child_of,
    client_of,
    connect,
    keeper_pid,
    relay,
    says_again,
    start_relay,
)
from support import wait_until

from motoko.channel.relaying import relayed
from motoko.host.identity import Identity, gone


def test_a_killed_relay_is_waited_for(gate):
    """Until a killed relay is replaced, no other relay serves its job."""
    with relay(gate, "7", "--job=7"):
        killed = start_relay(gate, "8", "--job=8")
        killed.kill()
        with client_of(gate, killed.name) as client, relay(gate, "8", "--job=8"):
            assert client.stdout.readline() == "word\n"
        assert [greeting.job for greeting in gate.greeted] == ["8"]


def test_a_stopped_relay(gate):
    """A suspended job: the others of its node go on, and it does when it is continued."""
    with relay(gate, "7") as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            with relay(gate, "8") as going, client_of(gate, going.name, 3) as client:
                assert [client.stdout.readline() for _ in range(3)] == ["word\n"] * 3
            # What the other one has made is this one's, though it has not looked yet.
            early = connect(gate)
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        with early:
            assert says_again(early)
        with client_of(gate, stopped.name) as client:
            assert client.stdout.readline() == "word\n"


def test_killed_alone_and_replaced(gate):
    killed = start_relay(gate)
    killed.kill()
    with relay(gate), connect(gate) as client:
        assert says_again(client)
    assert not gate.sockets.parent.exists()


def test_one_that_is_killed_is_replaced_for_a_command(gate):
    with relayed(gate.directory):
        keeper = keeper_pid(gate.directory)
        relay = child_of(keeper)
        os.kill(keeper, signal.SIGKILL)
        os.kill(relay, signal.SIGKILL)
        wait_until(lambda: keeper_pid(gate.directory) not in (None, keeper), "another one is there")

        def connected():
            with connect(gate) as client:
                return says_again(client)

        wait_until(connected, "it serves")


def test_whoever_connects_while_a_relay_is_replaced(gate):
    """At each moment some relay listens at each socket, for each job."""
    with relay(gate, "7", "--job=7") as killed, relay(gate, "8", "--job=8") as other:
        before = killed.pid
        os.kill(other.pid, signal.SIGSTOP)
        os.kill(killed.process.pid, signal.SIGSTOP)
        os.kill(before, signal.SIGKILL)
        with client_of(gate, killed.name) as its, connect(gate) as nobodys:
            os.kill(other.pid, signal.SIGCONT)
            assert says_again(nobodys)
            os.kill(killed.process.pid, signal.SIGCONT)
            assert its.stdout.readline() == "word\n"
        assert killed.pid != before
        assert "7" in [greeting.job for greeting in gate.greeted]


def test_a_relay_is_replaced_again_and_again(gate):
    with relay(gate) as started:
        listening = (gate.sockets / "zeo-mult").stat().st_ino
        for _ in range(5):
            before = started.pid
            os.kill(before, signal.SIGKILL)
            with connect(gate) as client:
                assert says_again(client)
            assert started.pid != before
        assert (gate.sockets / "zeo-mult").stat().st_ino == listening
        kept = len(list(Path(f"/proc/{started.process.pid}/fd").iterdir()))
        gate.names = (*gate.names, "zeo-norm")
        gate.record()
        wait_until((gate.sockets / "zeo-norm").is_socket, "it is there")
        os.kill(started.pid, signal.SIGKILL)
        with connect(gate, "zeo-norm") as client:
            assert says_again(client)
        assert len(list(Path(f"/proc/{started.process.pid}/fd").iterdir())) == kept + 1
    assert not gate.sockets.parent.exists()


def test_without_its_keeper_a_relay_goes_on(gate):
    """It goes on until the job's next relay has the sockets; connections are kept."""
    alone = start_relay(gate)
    relay_of_it = Identity.of(alone.pid)
    with connect(gate) as client:
        assert says_again(client)
        listening = (gate.sockets / "zeo-mult").stat().st_ino
        alone.process.kill()
        alone.process.wait()
        with connect(gate) as another:
            assert says_again(another)
        with relay(gate) as following:
            assert (gate.sockets / "zeo-mult").stat().st_ino == listening
            own = (gate.sockets / "relays" / following.name).stat().st_ino
            assert says_again(client)
            with connect(gate) as another:
                assert says_again(another)
            alone.process.communicate()
            assert gone([relay_of_it], 20)
            assert (gate.sockets / "relays" / following.name).stat().st_ino == own
            with connect(gate) as another:
                assert says_again(another)
    assert not gate.sockets.parent.exists()


def test_jobs_that_begin_and_end_all_the_time(gate):
    """Ended or killed at any moment: those of the others are served, nobody is sent away."""
    count = 20
    with relay(gate, "stays") as stays, contextlib.ExitStack() as opened:
        clients = [opened.enter_context(client_of(gate, stays.name, 60)) for _ in range(4)]
        running = []
        for number in range(count):
            running.append(start_relay(gate, f"job-{number}"))
            if len(running) > 3:
                _end(running.pop(number % 3), kill=number % 2)
        for number, started in enumerate(running):
            _end(started, kill=number % 2)
        answers = [client.stdout.readline() for client in clients for _ in range(60)]
        # One that a killed relay has just accepted cannot be given to another.
        assert set(answers) <= {"word\n", "cut\n"} and answers.count("cut\n") <= count // 2
        assert stays.process.poll() is None
    assert not gate.sockets.parent.exists()


def _end(started, *, kill):
    if kill:
        started.kill()
    else:
        assert started.end() == 0
        started.process.stdout.close()
