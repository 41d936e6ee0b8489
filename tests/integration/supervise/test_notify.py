"""``notify:``: who is told what, once, while the supervisor and the notifier are killed."""

import base64
import contextlib
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from launching import Session, scripted
from support import kill9, wait_until

TELL = """\
#!/bin/sh
text=$(cat)
sleep 0.2
printf '%s\\n---\\n' "$MOTOKO_EVENT: $text" >> told
"""
SECRET = "hunter2hunter2"
KILLS = int(os.environ.get("MOTOKO_KILLS", "6"))


def write_tell(flow):
    tell = flow.directory / "tell"
    tell.write_text(TELL)
    tell.chmod(0o700)


def test_each_message_comes_once(workflow):
    flow = workflow(studies=("mult",), created=False)
    place = flow.directory
    scripted(flow, "notify: {command: [./tell, x], events: [failed, finished, given_up]}\n")
    write_tell(flow)
    told = place / "told"

    def events():
        text = told.read_text() if told.exists() else ""
        return [part.strip().partition(":")[0] for part in text.split("---\n") if part.strip()]

    done = flow.motoko("notify", "--test")
    assert done.stdout == "sent\n" and events() == ["test"], done.stderr
    flow.supervise()
    session = Session(flow)
    try:
        session.create("exit 3")
        for number in range(KILLS):
            daemons = flow.daemons()
            os.kill(flow.ps()["supervisor"]["pid"], signal.SIGKILL)
            if number % 3 == 2:
                os.kill(daemons["notifier"]["pid"], signal.SIGKILL)
            flow.supervise()
        wait_until(lambda: "finished" in events(), "the end is told", timeout=40)
        assert sorted(events()) == ["failed", "finished", "test"]
        assert "mult.1: launch.sh ended with exit code 3" in told.read_text()
    finally:
        session.close()


def test_what_fails_before_the_first_look(workflow):
    """It is told, unless it failed before the supervisor knew of ``notify:``."""
    flow = workflow(studies=("mult",), created=False)
    scripted(flow)
    write_tell(flow)
    told = flow.directory / "told"

    def fails(code):
        session = Session(flow)
        try:
            (failure,) = session.ends(session.create(f"exit {code}"))
            assert failure is not None
        finally:
            session.close()

    flow.supervise()
    fails(3)
    assert flow.motoko("kill").returncode == 0
    with flow.path.open("a") as file:
        file.write("notify: {command: [./tell, x], events: [failed, finished]}\n")
    flow.supervise()
    notifier = flow.pids()["notifier"]
    os.kill(notifier, signal.SIGSTOP)
    fails(4)
    # As if it had not looked, wherever it was stopped.
    (flow.directory / ".wf" / "notify.json").unlink(missing_ok=True)
    kill9(notifier)
    wait_until(lambda: told.exists() and told.read_text().count("---") == 2, "it is told")
    assert "finished: " in told.read_text()
    assert "mult.2: launch.sh" in told.read_text() and "mult.1: " not in told.read_text()


def test_one_message_in_five_minutes(workflow):
    """While the supervisor and the notifier are killed after each failure, and then once more."""
    flow = workflow(studies=("mult",), created=False)
    scripted(flow, "notify: {command: [./tell, x], events: [failed]}\n")
    write_tell(flow)
    told, saved = flow.directory / "told", flow.directory / ".wf" / "notify.json"

    def outbox():
        return json.loads(saved.read_text())

    def noted():
        return "\n".join(outbox()["waiting"].get("failed", [])).count("1 run of mult failed")

    flow.supervise()
    session = Session(flow)
    try:
        session.create("exit 3")
        wait_until(lambda: "failed" in outbox()["sent"], "the first one is told", timeout=40)
        for number in (1, 2):
            session.create(f"exit {number}")
            wait_until(lambda number=number: noted() == number, "it is noted", timeout=40)
            kill9(flow.ps()["supervisor"]["pid"])
            kill9(flow.pids()["notifier"])
            flow.supervise()
        wait_until(lambda: flow.daemons()["notifier"]["counts"] == {"sent": 1, "waiting": 2}, "w")
        assert told.read_text().count("---") == 1
    finally:
        session.close()
    assert flow.motoko("kill").returncode == 0
    assert told.read_text().count("---") == 1
    # Five minutes later.
    saved.write_text(json.dumps({**outbox(), "sent": {"failed": outbox()["sent"]["failed"] - 300}}))
    flow.supervise()
    wait_until(lambda: told.read_text().count("---") == 2, "the others are told")
    first, second, _ = told.read_text().split("---")
    assert "mult.1" in first and "mult.2" not in first
    assert all(second.count(f"mult.{number}:") == 1 for number in (2, 3)) and "mult.1" not in second


def test_addresses_are_shown_nowhere(workflow, tmp_path):
    flow = workflow(studies=("mult",), created=False)
    scripted(flow, "notify: {urls: [env:MY_ADDRESS, 'file:addresses'], events: [failed]}\n")
    address = f"json://me:{SECRET}@127.0.0.1:9/"
    (flow.directory / "addresses").write_text(f"# mine\n{address}\n")
    done = flow.motoko("notify", "--test", MY_ADDRESS=address)
    assert done.returncode == 1 and SECRET not in done.stdout + done.stderr
    if "apprise" not in done.stderr:  # it is installed
        assert "file:addresses: others may read it" in done.stderr
    flow.motoko("bug-report", "--output", str(tmp_path / "report.tar.gz"), MY_ADDRESS=address)
    written = [path for path in flow.directory.rglob("*") if path.is_file()]
    with_secret = [path.name for path in written if SECRET.encode() in path.read_bytes()]
    assert with_secret == ["addresses"]


@contextlib.contextmanager
def service():
    """A service at a port of this host; yields the port, and what it gets: names and titles."""
    got = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            got.append((key, message["title"], message["message"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, got
        finally:
            server.shutdown()
            thread.join()


def test_a_service_gets_the_messages(workflow, monkeypatch):
    """Apprise delivers, with secrets of the environment and a private file, shown nowhere."""
    pytest.importorskip("apprise", reason="Apprise (the extra `notify`) is not installed")
    flow = workflow(studies=("mult",), created=False)
    scripted(flow, "notify: {urls: [env:MY_ADDRESS, 'file:addresses'], events: [failed]}\n")
    with service() as (port, got):
        monkeypatch.setenv("MY_ADDRESS", f"json://one:{SECRET}@127.0.0.1:{port}/")
        addresses = flow.directory / "addresses"
        addresses.write_text(f"json://two:{SECRET}@127.0.0.1:{port}/\n")
        addresses.chmod(0o600)
        done = flow.motoko("notify", "--test")
        assert (done.returncode, done.stdout) == (0, "sent\n"), done.stderr
        assert [key for key, *_ in got] == [f"one:{SECRET}", f"two:{SECRET}"]
        got.clear()
        flow.supervise()
        session = Session(flow)
        try:
            session.create("exit 3")
            wait_until(lambda: len(got) == 2, "both addresses have got it", timeout=40)
        finally:
            session.close()
        assert [key for key, *_ in got] == [f"one:{SECRET}", f"two:{SECRET}"]
        assert all("mult" in title and "exit code 3" in text for _, title, text in got), got
        shown = [flow.motoko(*words.split()).stdout for words in ("ps --json", "logs", "validate")]
    assert flow.motoko("kill").returncode == 0
    assert not any(SECRET in text for text in shown)
    written = [path for path in flow.directory.rglob("*") if path.is_file()]
    assert [path.name for path in written if SECRET.encode() in path.read_bytes()] == ["addresses"]
