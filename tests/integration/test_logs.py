"""`motoko logs`, what `motoko ps` shows of logs, and logs that are continued in fresh files."""

import os
import re
import select
import signal
import socket
import subprocess

import pytest
from support import Flow, kill9, motoko_command, wait_until
from ZEO.asyncio.marshal import encode

from motoko.config import load
from motoko.layout import locate

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ (\S+) ")
NAMES = ["supervisor", "zeo:mult", "bus", "watcher", "launcher:mult"]
FAILING = """\
async def main(workflow, **params):
    workflow.mult.createTask(x=[float(x) for x in range({count})])
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow) -> Flow:
    """A workflow that nobody supervises."""
    return workflow()


@pytest.fixture
def small(flow) -> Flow:
    """One with small log files, whose runs fail: the launcher logs a line for each."""
    text = flow.path.read_text()
    flow.path.write_text(f"{text}supervisor:\n  log_size: 1KB\n  log_files: 50\n")
    (flow.directory / "mult" / "launch.sh").write_text("exit 3\n")
    return flow


def fail(flow, count, run_name="first"):
    """Create runs that fail."""
    (flow.directory / "orchestrator.py").write_text(FAILING.format(count=count))
    done = flow.motoko("orchestrator", "start", "--run_name", run_name)
    assert done.returncode == 0, done.stderr


def logged_failures(flow):
    """The runs whose failure is in the launcher's log, in any of its files, in their order."""
    files = sorted((flow.directory / ".wf" / "log").glob("launcher-mult.log*"))
    text = "".join(file.read_text() for file in files)
    return sorted(int(number) for number in re.findall(r"run (\d+) \S+ failed: ", text))


def following(flow, *arguments):
    """A ``motoko logs -f``, and what it has printed so far, in a file."""
    output = flow.directory / "followed"
    with open(output, "w") as file:
        process = subprocess.Popen(
            motoko_command("logs", "-f", *arguments),
            cwd=flow.directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    flow.started.append(process)
    return process, output


class TestShowing:
    def test_all_in_the_order_of_time(self, flow):
        done = flow.motoko("logs")  # before there is any log
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not (flow.directory / ".wf").exists()  # it changes nothing
        flow.supervise()
        done = flow.motoko("logs", "-n", "1000")
        assert done.returncode == 0 and not done.stderr
        lines = done.stdout.splitlines()
        assert lines == sorted(lines, key=lambda line: line.split()[0])
        matches = [LINE.match(line) for line in lines]
        assert {match[1] for match in matches if match} == set(NAMES) and all(matches)
        pid = flow.pids()["bus"]
        assert any(line.endswith(f" INFO supervisor bus ready pid={pid}") for line in lines)

        # Some.
        done = flow.motoko("logs", "bus", "launcher:mult", "-n", "1000")
        assert {LINE.match(line)[1] for line in done.stdout.splitlines()} == {
            *("bus", "launcher:mult")
        }
        # The last twenty.
        for _ in range(3):
            assert flow.motoko("restart", "launcher:mult").returncode == 0
        everything = flow.motoko("logs", "-n", "1000").stdout.splitlines()
        assert len(everything) > 20
        assert flow.motoko("logs").stdout.splitlines() == everything[-20:]
        assert flow.motoko("logs", "-n", "4").stdout.splitlines() == everything[-4:]
        assert flow.motoko("logs", "-n", "0").stdout == ""
        # Without a supervisor.
        kill9(flow.ps()["supervisor"]["pid"])
        assert "bus ready" in flow.motoko("logs", "bus").stdout

    def test_unknown_name(self, flow):
        done = flow.motoko("logs", "bus", "launcher:mul")
        assert done.returncode == 2 and "there is no log of 'launcher:mul' in" in done.stderr
        possible = "supervisor, zeo:mult, bus, watcher, gate, launcher:mult"
        assert f"hint: the logs are: {possible}\n" in done.stderr
        assert flow.motoko("logs", "-n", "-1").returncode == 2

    def test_detached_orchestrators(self, flow):
        flow.supervise()
        (flow.directory / "orchestrator.py").write_text(
            "async def main(workflow, **params):\n"
            "    print('it says', params['run_name'], flush=True)\n"
            "    workflow.finished = True\n"
        )
        names = ("first", "a name: with é")
        for name in names:
            done = flow.motoko("orchestrator", "start", "--detach", "--run_name", name)
            assert done.returncode == 0, done.stderr
        for name in names:
            shown = wait_until(
                lambda name=name: flow.motoko("logs", f"orchestrator:{name}").stdout, "it says it"
            )
            assert LINE.match(shown) and f"Z INFO orchestrator:{name} it says {name}\n" in shown
        # Among others each line says whose it is, one way or another.
        several = flow.motoko("logs", "orchestrator:first", "bus").stdout.splitlines()
        assert any(line.endswith("INFO orchestrator:first it says first") for line in several)
        assert any(LINE.match(line) for line in several)
        done = flow.motoko("logs", "-n", "1000")
        assert " INFO orchestrator:first it says first\n" in done.stdout


class TestGivenUp:
    def test_ps_and_logs_show_why(self, flow):
        text = flow.path.read_text()
        flow.path.write_text(f"{text}supervisor:\n  attempts: 2\n  backoff_min: 0.1\n")
        (flow.directory / "mult" / ".bd" / "bd.zeo").write_bytes(b"this is no database at all")
        assert flow.motoko("supervise", "--detach").returncode == 1
        daemons = flow.daemons()
        server = daemons["zeo:mult"]
        assert (server["state"], server["restarts"]) == ("failed", 2)
        assert server["last_exit"] == "exited with 1"
        assert server["log_tail"] == flow.log("zeo:mult").splitlines()[-20:]
        assert len(server["log_tail"]) == 20 and daemons["bus"]["log_tail"] == []
        lines = flow.motoko("ps").stdout.splitlines()
        place = lines.index(f"zeo:mult was given up; the end of {server['log']}:")
        assert lines[place + 1 :] == [f"    {line}".rstrip() for line in server["log_tail"]]
        # The supervisor's log has it as one event, so the lines stay together.
        supervisor = flow.log("supervisor")
        assert "zeo:mult given up after 2 attempts (exited with 1)" in supervisor
        assert all(f"\n        {line}" in supervisor for line in server["log_tail"] if line)
        shown = flow.motoko("logs", "zeo:mult").stdout.splitlines()
        assert shown == server["log_tail"]
        both = flow.motoko("logs", "zeo:mult", "bus", "-n", "1000").stdout.splitlines()
        assert f"zeo:mult | {server['log_tail'][-1]}" in both


class TestContinued:
    def test_no_line_is_lost_even_without_a_supervisor(self, small):
        small.supervise()
        fail(small, 15)
        wait_until(lambda: len(logged_failures(small)) == 15, "all have failed")
        pids = small.pids()
        kill9(small.ps()["supervisor"]["pid"])
        wait_until(lambda: small.motoko("ps").returncode == 3, "the supervisor is dead")
        # The launcher goes on, and does it all by itself.
        code = "from motoko import Workflow\nw = Workflow('.')\nw.run_name = 'second'\n"
        code += "w.mult.createTask(x=[float(x) for x in range(100, 125)])\n"
        command = [motoko_command()[0], "-P", "-c", code]
        # Only from outside of runs would it start another supervisor.
        environment = {**os.environ, "BLACKDYNAMITE_RUN_ID": "1"}
        before = len(list((small.directory / ".wf" / "log").glob("launcher-mult.log.*")))
        subprocess.run(command, cwd=small.directory, check=True, timeout=60, env=environment)
        wait_until(lambda: len(logged_failures(small)) == 40, "all have failed")
        assert logged_failures(small) == list(range(1, 41))
        files = list((small.directory / ".wf" / "log").glob("launcher-mult.log.*"))
        assert len(files) > before > 0
        assert all(file.stat().st_size < 2000 for file in files)
        small.supervise()
        assert small.pids()["launcher:mult"] == pids["launcher:mult"]
        shown = small.motoko("logs", "launcher:mult", "-n", "10000").stdout
        assert shown.count(" failed: ") == 40

    def test_following_sees_each_line_once(self, small):
        small.supervise()
        process, output = following(small, "launcher:mult")
        wait_until(lambda: "ready: " in output.read_text(), "it shows the last lines")
        fail(small, 40)
        wait_until(
            lambda: output.read_text().count(" failed: ") >= 40, "it has seen all", timeout=40
        )
        found = re.findall(r"run (\d+) \S+ failed: ", output.read_text())
        assert sorted(map(int, found)) == list(range(1, 41))
        assert len(list((small.directory / ".wf" / "log").glob("launcher-mult.log.*"))) > 2
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "Traceback" not in output.read_text()

    def test_following_all_finds_new_ones(self, flow):
        process, output = following(flow, "-n", "0")
        flow.supervise()
        wait_until(
            lambda: all(f" INFO {name} " in output.read_text() for name in NAMES), "it sees all"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130

    def test_one_that_dies_at_once_does_not_fill_the_disk(self, small):
        """The supervisor begins fresh log files for a daemon that dies before it logs."""
        (small.directory / "mult" / ".bd" / "bd.zeo").write_bytes(b"this is no database at all")
        assert small.motoko("supervise", "--detach").returncode == 1
        logs = small.directory / ".wf" / "log"
        sizes = [file.stat().st_size for file in logs.glob("zeo-mult.log*")]
        assert len(sizes) == 5  # one for each attempt, since each is more than 1 kB
        assert small.daemons()["zeo:mult"]["log_tail"]


class TestConnections:
    def connect(self, place):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(place))
        return client

    def test_only_clients_that_have_said_something_are_logged_when_they_break_off(self, flow):
        """BlackDynamite's clients look whether somebody listens first; and each run is a client."""
        flow.supervise("--no-launchers")
        definition = load(flow.path)
        place, log = locate(definition).zeo("mult"), locate(definition).log("zeo:mult")
        for _ in range(3):
            self.connect(place).close()
        with self.connect(place) as client:
            assert client.recv(6) == b"\0\0\0\2Z5"
            call = encode(1, False, "register", ("1", True))
            for message in b"Z5", call:
                client.sendall(len(message).to_bytes(4, "big") + message)
            select.select([client], [], [])  # an answer, which it does not read
        wait_until(lambda: "Disconnected ConnectionResetError" in log.read_text(), "it is logged")
        assert log.read_text().count("Disconnected") == 1
