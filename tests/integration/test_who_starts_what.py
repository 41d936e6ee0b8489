"""CONTRACT.md, "Who starts what", row by row."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import kill9, processes_in, run_script, sockets_in, wait_until

INSIDE = {"BLACKDYNAMITE_RUN_ID": "1"}

HEAD = """
import asyncio, sys
from motoko import Workflow
workflow = Workflow("motoko.yaml")
workflow.run_name = "script"
"""

AWAIT = """
async def main():
    await workflow.mult.createTask(x=1.0)
asyncio.run(main())
"""

NO_MAIN = "async def main(workflow, **params): ...\n"

WAITING = """\
async def main(workflow, **params):
    ((run, _),) = await workflow.mult.createTask(x=3.0)
    print("got", run.y)
"""

# What a run may do that looks at its own workflow.
DO_IT = """\
import sys
import BlackDynamite as BD
from motoko import Workflow

run, job = BD.getRunFromScript()
run.start()
for stream in (sys.stdout, sys.stderr):
    print("---", file=stream, flush=True)  # BlackDynamite has said something before
workflow = Workflow(run.workflow)
workflow.run_name = run.run_name
run["seen"] = [other.id for other, _ in workflow.mult.select()]
run.finish()
"""


def script(flow, code, **environment):
    """Run a user's script in the workflow's directory, to its end."""
    return run_script(HEAD + code, cwd=flow.directory, **environment)


def kinds(flow):
    """What is running, by kind."""
    return sorted({daemon["kind"] for daemon in flow.daemons().values() if daemon["pid"]})


def supervisor(flow):
    return flow.ps()["supervisor"]["pid"]


def files(flow):
    """All files, and when they were changed."""
    return {
        str(path.relative_to(flow.directory)): path.lstat().st_mtime_ns
        for path in flow.directory.rglob("*")
    }


def nothing_runs(flow):
    left = list(processes_in(flow.directory))
    assert not left and not sockets_in(flow.directory, Path(os.environ["TMPDIR"]))
    assert flow.state() == "not running" and supervisor(flow) is None


@pytest.fixture
def flow(workflow):
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(NO_MAIN)
    return flow


class TestCreate:
    @pytest.mark.parametrize(
        "code",
        [
            None,
            "workflow.create(validated=True)",
            "from motoko.bd_study import create_bd_study; create_bd_study(workflow.mult)",
            "from motoko.bd_study import create_bd_studies; create_bd_studies(workflow, True)",
            "from argparse import Namespace; from motoko.scripts import create_studies\n"
            "create_studies.main(Namespace(directory='.', validated=True))",
        ],
        ids=["command", "Workflow", "create_bd_study", "create_bd_studies", "create_studies"],
    )
    def test_leaves_nothing_running(self, workflow, code):
        flow = workflow(created=False)
        done = script(flow, code) if code else flow.motoko("create")
        assert done.returncode == 0, done.stderr
        nothing_runs(flow)
        assert (flow.directory / "mult" / ".bd" / "bd.zeo").exists()
        # What was created is good.
        done = script(flow, "print(len(workflow.mult.createTask(x=[1.0, 2.0])))")
        assert done.returncode == 0 and done.stdout == "2\n", done.stderr

    def test_stops_what_is_supervised(self, flow):
        """The files are replaced: whoever serves them must not go on."""
        flow.supervise()
        done = flow.motoko("create", "--validated")
        assert done.returncode == 0, done.stderr
        nothing_runs(flow)


class TestFirstUse:
    @pytest.mark.parametrize(
        "code", ["workflow.mult.createTask(x=1.0)", "list(workflow.mult.select())"]
    )
    def test_starts_a_supervisor(self, flow, code):
        done = script(flow, code)
        assert done.returncode == 0, done.stderr
        # One line says so, on stderr, and names what adds launchers.
        (line,) = done.stderr.splitlines()
        assert "no supervisor" in line and "starting one" in line
        assert "motoko supervise" in line and str(flow.path) in line
        assert done.stdout == ""
        # It has outlived the script, is nobody's child, and has no launchers.
        pid = supervisor(flow)
        assert flow.state() == "ready" and kinds(flow) == ["bus", "watcher", "zeo"]
        assert os.getsid(pid) != os.getsid(0)
        # The next one finds it, and says nothing.
        done = script(flow, code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert supervisor(flow) == pid

    def test_of_an_orchestrator(self, flow):
        done = flow.motoko("orchestrator", "start", "--run_name", "first")
        assert done.returncode == 0, done.stderr
        line, warning = done.stderr.splitlines()
        assert "starting one" in line and "no launcher runs" in warning
        assert flow.state() == "ready" and kinds(flow) == ["bus", "watcher", "zeo"]

    def test_two_at_once(self, flow):
        """Two scripts that start at once make one supervisor, and both work."""
        code = "print(workflow.mult.createTask(x=1.0)[0][0].id)"
        command = [sys.executable, "-P", "-c", HEAD + code]
        both = [
            subprocess.Popen(
                command, cwd=flow.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        found = [process.communicate(timeout=60) for process in both]
        assert [process.returncode for process in both] == [0, 0], found
        assert {out for out, _ in found} == {b"1\n"}
        assert flow.state() == "ready"

    @pytest.mark.parametrize(
        "code", ["", "workflow.vars.n = 1; assert workflow.vars.n == 1; workflow.task_managers"]
    )
    def test_of_something_else_starts_nothing(self, flow, code):
        done = script(flow, code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        nothing_runs(flow)

    def test_without_databases(self, workflow):
        flow = workflow(created=False)
        done = script(flow, "workflow.mult.select()")
        assert "NotCreated" in done.stderr and "motoko create" not in done.stdout
        nothing_runs(flow)

    def test_after_the_supervisor_was_killed(self, flow):
        """The daemons go on; the next script's supervisor takes them over."""
        script(flow, "workflow.mult.createTask(x=1.0)")
        pids = flow.pids()
        kill9(supervisor(flow))
        wait_until(lambda: flow.state() == "not running", "the supervisor is gone")
        done = script(flow, "print(len(workflow.mult.select()))")
        assert done.stdout == "1\n" and len(done.stderr.splitlines()) == 1, done.stderr
        assert flow.pids() == pids and flow.state() == "ready"


class TestLaunchers:
    @pytest.mark.parametrize(
        "how", ["start_launcher_daemons", "motoko launcher", "motoko supervise"]
    )
    @pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
    def test_are_added(self, flow, how, supervised):
        if supervised:
            flow.supervise("--no-launchers")
            assert "launcher" not in kinds(flow)
            pid = supervisor(flow)
        if how == "start_launcher_daemons":
            done = script(flow, "workflow.start_launcher_daemons()")
        else:
            options = ["--detach"] if how == "motoko supervise" else []
            done = flow.motoko(how.split()[1], *options)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: flow.state() == "ready", "the launchers are ready")
        assert kinds(flow) == ["bus", "launcher", "watcher", "zeo"]
        if supervised:
            assert supervisor(flow) == pid
        done = script(flow, AWAIT)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_twice_is_once(self, flow):
        for _ in range(2):
            done = script(flow, "workflow.start_launcher_daemons()")
            assert done.returncode == 0, done.stderr
        wait_until(lambda: flow.state() == "ready", "the launchers are ready")
        assert [name for name in flow.pids() if name.startswith("launcher")] == ["launcher:mult"]

    @pytest.mark.parametrize("kind", ["orchestrator", "script"])
    def test_waiting_without_one_warns(self, flow, kind):
        """Waiting without a launcher warns and names the command that starts one."""
        (flow.directory / "orchestrator.py").write_text(WAITING)
        flow.supervise("--no-launchers")
        if kind == "orchestrator":
            process = flow.begin("orchestrator", "start", "--run_name", "r")
        else:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", HEAD + AWAIT],
                cwd=flow.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            flow.started.append(process)
        line = process.stdout.readline()
        assert "no launcher runs" in line and "`motoko launcher`" in line
        assert flow.motoko("launcher").returncode == 0
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0, rest
        assert "launcher" not in rest, "it is said once"

    def test_waiting_with_one_does_not(self, flow):
        (flow.directory / "orchestrator.py").write_text(WAITING)
        flow.supervise()
        done = flow.motoko("orchestrator", "start", "--run_name", "r")
        assert (done.returncode, done.stdout, done.stderr) == (0, "got 6.0\n", "")


class TestInsideARun:
    def test_the_object_alone(self, flow):
        """Making a Workflow prints, starts, locks and writes nothing."""
        before = files(flow)
        code = """
import os
from pathlib import Path

here = str(Path.cwd())
fds = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
       if os.path.exists(f"/proc/self/fd/{fd}")]
assert not [fd for fd in fds if fd.startswith(here)], fds
assert f" {os.getpid()} " not in Path("/proc/locks").read_text()
"""
        done = script(flow, code, **INSIDE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert files(flow) == before
        nothing_runs(flow)

    @pytest.mark.parametrize(
        "code",
        [
            "workflow.mult.createTask(x=1.0)",
            "workflow.mult.select()",
            "workflow.start_launcher_daemons()",
            "workflow.execute()",
        ],
    )
    def test_nothing_is_started(self, flow, code):
        before = files(flow)
        guarded = f"""
from motoko import NoSupervisor
try:
    {code}
except NoSupervisor as error:
    assert error.exit_code == 3 and error.hint and str(error)
    print("refused")
"""
        done = script(flow, guarded, **INSIDE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
        nothing_runs(flow)
        changed = {name for name, time in files(flow).items() if before.get(name) != time}
        assert not [name for name in changed if "__pycache__" not in name and name != "."]

    @pytest.mark.parametrize(
        "arguments",
        [
            ("supervise", "--detach"),
            ("supervise",),
            ("launcher",),
            ("launcher", "--bd_study", "mult"),
            ("orchestrator", "start", "--run_name", "r"),
            ("run",),
        ],
        ids=" ".join,
    )
    def test_nor_by_a_command(self, flow, arguments):
        done = flow.motoko(*arguments, **INSIDE)
        assert done.returncode == 3, done.stdout + done.stderr
        nothing_runs(flow)

    def test_while_supervised(self, flow):
        """A real run looks at its own workflow, and its output stays its own."""
        (flow.directory / "mult" / "doIt.py").write_text(DO_IT)
        flow.supervise()
        code = """
async def main():
    ((run, _),) = await workflow.mult.createTask(x=1.0)
    import json
    print(json.dumps([run.id, run.seen, run.run_path]))
asyncio.run(main())
"""
        done = script(flow, code)
        assert done.returncode == 0, done.stderr
        number, seen, place = json.loads(done.stdout)
        assert seen == [number]
        for kind in "oe":
            said = (Path(place) / f"script.{kind}{number}").read_text()
            assert said.partition("---\n")[1:] == ("---\n", ""), said

    def test_after_the_supervisor_was_killed(self, flow):
        """The servers go on without it, and with them whoever is inside a run."""
        flow.supervise("--no-launchers")
        kill9(supervisor(flow))
        wait_until(lambda: flow.state() == "not running", "the supervisor is gone")
        done = script(flow, "print(len(workflow.mult.createTask(x=1.0)))", **INSIDE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
        assert supervisor(flow) is None
