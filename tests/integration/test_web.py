"""``motoko web``: whom it answers, and what a real browser shows."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import check_layout, chromium
from runs import ended, make_runs, run_directory
from supervised import frozen
from support import Flow, kill9, wait_until
from watching import Other
from web_servers import addresses, serving

EVIL = "<img src=x onerror=document.title='evil'>"


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask(connection, method, path, body=None, **headers):
    """The status and the body of an answer."""
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def test_who_is_answered(workflow, tmp_path):
    flow = workflow(studies=("mult",))
    make_runs(flow, ended(flow, 1, "FAILED", failure_reason="no licence"))
    with serving(flow.directory) as out:
        ((port, token),) = addresses(out)
        path = re.search(r"ssh -N -L 8000:(\S+) \S+@", out.read_text())[1]
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
        if os.geteuid() == 0:
            other = f"import os, socket; os.setuid(65534); socket.socket(1).connect({path!r})"
            done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
            assert "PermissionError" in done.stderr
        web = OverSocket(path)
        here = {"Host": f"localhost:{port}"}
        own = {**here, "Origin": f"http://localhost:{port}"}
        # The page has no data; all else needs a key.
        status, page, headers = ask(web, "GET", "/", **here)
        assert status == 200
        assert "mult" not in page
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        for wanted in ("/api/runs?study=mult", "/api/run/mult.1", "/api/stream"):
            assert ask(web, "GET", wanted, **here)[0] == 401
            assert ask(web, "GET", wanted, **here, Authorization="Bearer no")[0] == 401
        assert ask(web, "POST", "/api/session", "wrong", **own)[0] == 401
        # A page from elsewhere cannot even use the token.
        for wrong in (
            {"Host": "evil.example"},
            {"Host": "localhost.evil.example"},
            {"Host": f"evil@localhost:{port}"},
            {**here, "Origin": "http://evil.example"},
            {**here, "Origin": "null"},
            {**here, "Origin": "http://localhost:1"},
            {**own, "Sec-Fetch-Site": "cross-site"},
            here,
        ):
            assert ask(web, "POST", "/api/session", token, **wrong)[0] == 403, wrong
        status, body, _ = ask(web, "POST", "/api/session", token, **own)
        assert status == 200
        key = {"Authorization": f"Bearer {json.loads(body)['key']}"}
        # A token is good for one tab; then there is another one.
        assert ask(web, "POST", "/api/session", token, **own)[0] == 401
        assert len(wait_until(lambda: addresses(out)[1:], "another address")) == 1
        status, body, _ = ask(web, "GET", "/api/runs?study=mult", **here, **key)
        assert (status, json.loads(body)["runs"][0]["reason"]) == (200, "no licence")
        assert ask(web, "GET", "/api/runs?study=mult", Host="evil.example", **key)[0] == 403
        for wanted, wrong in (
            ("/api/runs?study=no", 404),
            ("/api/run/..%2F..", 404),
            ("/api/runs?study=mult&first=-1&count=x", 200),
            ("/guard.py", 404),
        ):
            assert ask(web, "GET", wanted, **here, **key)[0] == wrong, wanted
        for wanted in (
            "run/mult.7",
            "runs?study=mult&constraints=x+%3C%3C",
            "runs?study=mult&sort=no",
        ):
            assert "error" in json.loads(ask(web, "GET", f"/api/{wanted}", **here, **key)[1])
        # It only shows.
        status, body, _ = ask(web, "POST", "/api/retry/mult.1", "", **own, **key)
        assert (status, "--control" in body) == (403, True)
        web.close()
    assert not Path(path).parent.exists()


def test_a_port_that_is_taken(workflow):
    flow = workflow(studies=("mult",))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = flow.motoko("web", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot be used" in done.stderr


@pytest.fixture
def shown(workflow, tmp_path) -> tuple[Flow, Other]:
    flow = workflow(studies=("mult", "add"))
    make_runs(
        flow,
        ended(flow, 1, "FINISHED", energy=1.23456789, note=EVIL),
        ended(flow, 2, "FAILED", failure_reason=f"no licence {EVIL}"),
        {"state": "CREATED"},
    )
    (run_directory(flow, 2) / "test.o2").write_text(f"printed {EVIL}\n")
    flow.supervise("--no-launchers")
    return flow


def detail_requests(driver):
    """How often the page has read the run that is open, and those before it."""
    requests = "performance.getEntriesByType('resource').map(one => one.name)"
    return driver.execute_script(f"return {requests}.filter(u => u.includes('/api/run/')).length")


def test_in_a_browser(shown, tmp_path):
    flow, profile = shown, tmp_path / "profile"
    with (
        contextlib.closing(Other(flow)) as other,
        chromium(profile) as driver,
        serving(flow.directory, "--port", "0", "--control") as out,
    ):
        ((port, token),) = addresses(out)
        driver.get(f"http://127.0.0.1:{port}/#{token}")

        def text(name):
            return driver.find_element("id", name).text

        def shows(name, *wanted):
            wait_until(lambda: all(one in text(name) for one in wanted), f"{name}: {wanted}")

        shows("studies", "mult", "add")
        shows("runs", "FINISHED", EVIL, "no licence", "1.23457")
        assert "1.234567" not in text("runs")
        shows("processes", "watcher", "zeo")
        assert "#" not in driver.current_url
        assert text("notes") == "no launcher: created runs are not started"
        # A change appears by itself.
        other.play("mult", [3], "START")
        shows("runs", "START")
        shows("events", "mult.3", "START")
        # Filters.
        box = driver.find_element("id", "constraints")
        box.send_keys("energy > 1\n")
        wait_until(lambda: text("found").startswith("1 runs"), "one run")
        box.clear()
        box.send_keys("energy >\n")
        shows("found", "energy >")
        box.clear()
        box.send_keys("\n")
        # One run.
        shows("runs", "START", "no licence")
        driver.find_element("xpath", "//table[@id='runs']//button[text()='2']").click()
        shows("run", "no licence", f"printed {EVIL}")
        driver.find_element("xpath", "//p[@id='run-actions']/button[text()='retry']").click()
        driver.switch_to.alert.accept()
        shows("run-done", "CREATED again")
        driver.find_element("xpath", "//button[text()='Close']").click()
        # It is not read again each time that another one changes, but when it changes itself.
        driver.find_element("xpath", "//table[@id='runs']//button[text()='1']").click()
        shows("run", "FINISHED")
        before = detail_requests(driver)
        states = ["FINISHED", "START", "FINISHED"]
        for count, state in enumerate(states, 2):
            other.play("mult", [3], state)
            wait_until(lambda count=count: text("events").count("mult.3") == count, "it is told")
        assert detail_requests(driver) < before + len(states)
        other.play("mult", [1], "CREATED")
        shows("run", "CREATED")
        driver.find_element("xpath", "//button[text()='Close']").click()
        # The supervisor freezes, and goes on.
        supervisor = frozen(flow)
        shows("notes", "the supervisor is not answering")
        other.play("mult", [1], "START")
        shows("events", "CREATED \u2192 START")
        os.kill(supervisor, signal.SIGCONT)
        wait_until(lambda: "not answering" not in text("notes"), "it answers")
        # The supervisor dies, and comes back.
        kill9(supervisor)
        shows("notes", "the supervisor has died")
        other.play("mult", [2], "FINISHED")
        wait_until(lambda: text("runs").count("FINISHED") == 2, "still told")
        flow.supervise("--no-launchers")
        wait_until(lambda: "died" not in text("notes"), "it is back")
        check_layout(driver, lambda width, height: None)
        # Markup in values stays text, and the console has no errors.
        assert driver.title == flow.directory.name
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
        # A used address is of no use in another tab.
        driver.switch_to.new_window("tab")
        driver.get(f"http://127.0.0.1:{port}/#{token}")
        shows("state", "this address was used already")
    shutil.rmtree(profile, ignore_errors=True)
