"""Launchers: run directories as BlackDynamite writes them, failures, retries, slots."""

import asyncio
import getpass
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import all_are, make_runs, runs_of
from support import Flow, wait_until

from motoko import RunFailed, Workflow

CAN_YOU_DIG_IT = Path(sys.executable).parent / "canYouDigIt"
REPORT = """\
import json, os, subprocess, sys
import BlackDynamite as BD

run, job = BD.getRunFromScript()
seen = {
    "state": run.state,
    "run_path": run.run_path,
    "version": run.blackdynamite_version,
    "cwd": os.getcwd(),
    "env": {k: v for k, v in os.environ.items() if k.startswith("BLACKDYNAMITE_")},
    "path": os.environ["PATH"],
    # As BlackDynamite's client does it that misses its server.
    "server": subprocess.run("zdaemon -C x start", shell=True, stderr=-1, text=True).stderr,
}
run.start()
seen["started"] = run.state
with open("seen.json", "w") as file:
    json.dump(seen, file)
run["y"] = job.x * 2
run.finish()
"""


@pytest.fixture(autouse=True)
def deadline():
    def late(number, frame):
        raise AssertionError("it hangs: not done within 40 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(40)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def flow(workflow):
    """A workflow whose path has a space; nobody supervises it yet."""
    return workflow(name="work flow")


def change(flow: Flow, *, yaml="", bd="", **files):
    """Append to motoko.yaml and bd.yaml, replace files of the study (``launch_sh="..."``)."""
    study = flow.directory / "mult"
    with open(flow.path, "a") as file:
        file.write(yaml)
    with open(study / "bd.yaml", "a") as file:
        file.write(bd)
    for name, text in files.items():
        (study / name.replace("_", ".")).write_text(text)


class Session:
    """A workflow object in this process."""

    def __init__(self, flow, run_name):
        self.workflow = Workflow(flow.path)
        self.workflow.run_name = run_name
        self.mult = self.workflow.mult

    def wait(self, *runs):
        """Await runs, in one loop; the pairs of all."""

        async def main():
            try:
                return [pair for each in runs for pair in await each]
            finally:
                self.workflow._execution.close()

        return asyncio.run(main())

    def failure(self, runs):
        with pytest.raises(RunFailed) as caught:
            self.wait(runs)
        return caught.value


@pytest.fixture
def session(flow):
    """Connects to the flow once it is supervised: ``session("name")``."""
    made = []

    def make(run_name="r"):
        made.append(Session(flow, run_name))
        return made[-1]

    yield make
    for each in made:
        each.workflow._close()


def read(run, name):
    return Path(run.run_path, name).read_text()


class TestRunDirectory:
    def test_as_the_contract_says(self, flow, session):
        change(
            flow,
            bd="config_files: [input.in]\nrun:\n  depth: int\nrun_params: {depth: 4}\n",
            doIt_py=REPORT,
            input_in="x=__BLACKDYNAMITE__x__ d=__BLACKDYNAMITE__depth__ id=__BLACKDYNAMITE__id__\n"
            "n=__BLACKDYNAMITE__run_name__ run=__BLACKDYNAMITE__run_id__ q=__BLACKDYNAMITE__q__\n"
            "host=__BLACKDYNAMITE__dbhost__ study=__BLACKDYNAMITE__study__\n",
            launch_sh="echo out; echo err >&2\npython doIt.py\n",
        )
        flow.create()
        flow.supervise()
        mult = session("a name").mult
        # So that the ids of runs and jobs differ.
        other = session("other")
        other.wait(other.mult.createTask(x=1.0))
        mine = session("a name")
        ((run, job),) = mine.wait(mine.mult.createTask(x=1.0))
        assert mult.study == "mult" and (run.id, job.id) == (2, 1)
        assert run.y == 2.0 and run.state == "FINISHED"

        study = flow.directory / "mult"
        directory = study / "BD-mult-runs" / f"run-{run.id}"
        assert run.run_path == str(directory)
        names = {path.name for path in directory.iterdir()}
        out, err = f"a name.o{run.id}", f"a name.e{run.id}"
        assert {"doIt.py", "input.in", "launch.sh", out, err, "seen.json"} <= names
        assert (directory / out).read_text() == "out\n"
        assert (directory / err).read_text().startswith("err\n")
        assert (directory / "launch.sh").stat().st_mode & 0o777 == 0o700
        launch = (directory / "launch.sh").read_text()
        assert launch.startswith("#!/bin/bash\n")
        assert launch.endswith((study / "launch.sh").read_text())
        host, schema = f"zeo://{study}", f"{getpass.getuser()}_mult"
        assert (directory / "input.in").read_text() == (
            f"x=1.0 d=4 id=1\nn=a name run=2 q=__BLACKDYNAMITE__q__\nhost={host} study={schema}\n"
        )

        seen = json.loads((directory / "seen.json").read_text())
        assert seen["env"] == {
            "BLACKDYNAMITE_HOST": host,
            "BLACKDYNAMITE_STUDY": schema,
            "BLACKDYNAMITE_SCHEMA": schema,
            "BLACKDYNAMITE_RUN_ID": str(run.id),
            "BLACKDYNAMITE_USER": getpass.getuser(),
        }
        assert (seen["state"], seen["started"]) == ("launched", "START")
        assert seen["cwd"] == seen["run_path"] == str(directory)
        assert seen["path"].split(os.pathsep)[1] == str(Path(sys.executable).parent)
        assert seen["server"].startswith("a run starts no ZEO server")
        assert seen["version"] == run.blackdynamite_version
        assert run.start_time is not None
        requirements = run.base.configfiles[run.python_requirements].file
        assert "blackdynamite==" in requirements.lower()

    def test_sources_as_they_were_at_creation(self, flow, session):
        flow.supervise("--no-launchers")
        one = session()
        runs = one.mult.createTask(x=1.0)
        change(flow, doIt_py="raise SystemExit(3)\n", launch_sh="exit 4\n")
        flow.motoko("supervise")
        ((run, _),) = one.wait(runs)
        assert run.y == 2.0

    def test_quantities(self, flow, session):
        change(
            flow,
            doIt_py="import BlackDynamite as BD\nrun, job = BD.getRunFromScript()\nrun.start()\n"
            "for step in range(3): run.pushScalarQuantity(step * job.x, step, 'energy')\n"
            "run.finish()\n",
        )
        flow.supervise()
        one = session()
        ((run, _),) = one.wait(one.mult.createTask(x=2.0))
        path = Path(run.run_path, "energy.csv")
        assert path.is_file()
        assert str(path) in str(dict(run.quantities.items()))

    def test_unset_placeholder(self, flow, session):
        change(
            flow,
            bd="run:\n  depth: int\nrun_params: {depth: null}\nconfig_files: [input.in]\n",
            input_in="__BLACKDYNAMITE__depth__",
        )
        flow.create()
        flow.supervise()
        one = session()
        error = one.failure(one.mult.createTask(x=1.0))
        assert "input.in" in error.reason and "depth" in error.reason
        # The launcher goes on.
        ((run, _),) = one.wait(one.mult.createTask({"depth": 3}, x=1.0))
        assert run.y == 2.0 and flow.daemons()["launcher:mult"]["restarts"] == 0


class TestFailures:
    @pytest.mark.parametrize(
        ("launch", "code", "words"),
        [
            ("echo oops >&2; exit 1\n", 1, "exit code 1: oops"),
            ("set -e\nfalse\npython doIt.py\n", 1, "exit code 1"),
            ("true\n", 0, "never called finish()"),
            ("", 0, "never called finish()"),
            ("kill -9 $$\n", 137, "SIGKILL"),
            ("no-such-program-here\n", 127, "exit code 127"),
            ("exec python -c 'raise ValueError(7)'\n", 1, "ValueError: 7"),
            ("if\n", 2, "exit code 2"),
        ],
        ids=["exit", "set-e", "no-finish", "empty", "killed", "not-found", "exec", "syntax"],
    )
    def test_reason_and_code(self, flow, session, launch, code, words):
        change(flow, launch_sh=launch)
        flow.supervise()
        one = session()
        runs = one.mult.createTask(x=1.0)
        error = one.failure(runs)
        ((run, _),) = runs
        assert words in error.reason
        assert (run.state, run.exit_code, run.failure_reason) == ("FAILED", code, error.reason)
        assert error.run_path == run.run_path and run.run_path in str(error)
        if "oops" in words:
            assert "oops" in error.stderr and "end of its stderr" in str(error)
        assert flow.daemons()["launcher:mult"]["restarts"] == 0

    def test_own_failure(self, flow, session):
        change(
            flow,
            doIt_py="import BlackDynamite as BD\nrun, job = BD.getRunFromScript()\n"
            "run.start()\nrun.fail()\n",
        )
        flow.supervise()
        one = session()
        error = one.failure(one.mult.createTask(x=1.0))
        assert error.state in ("FAILED", "FAILURE") and error.reason

    def test_finished_wins_over_the_exit_code(self, flow, session):
        change(flow, launch_sh="python doIt.py\nexit 3\n")
        flow.supervise()
        one = session()
        ((run, _),) = one.wait(one.mult.createTask(x=1.0))
        base = run.base

        def settled():
            from motoko.bd.session import session

            session().refresh(base)
            return run.entries.get("exit_code") == 3

        wait_until(settled, "the end of the run is recorded")
        assert run.state == "FINISHED"

    def test_files_that_are_gone(self, flow, session):
        """Another run is not harmed by one whose directory cannot be made."""
        flow.supervise()
        one = session()
        ((run, _),) = one.wait(one.mult.createTask(x=1.0))
        place = Path(run.run_path).with_name("run-2")
        place.write_text("a file where a directory should be")
        error = one.failure(one.mult.createTask(x=2.0))
        assert error.reason and error.state == "FAILED"
        place.unlink()
        assert one.wait(one.mult.createTask(x=3.0))


class TestRetries:
    def test_succeeds_at_last(self, flow, session):
        change(
            flow,
            yaml="retries: 2\n",
            launch_sh='echo "attempt" >> tries\nn=$(wc -l < tries)\necho "out $n"; '
            'echo "err $n" >&2\n[ "$n" -ge 3 ] || exit 7\npython doIt.py\n',
        )
        flow.supervise()
        one = session("r/1")
        ((run, _),) = one.wait(one.mult.createTask(x=1.0))
        assert run.y == 2.0 and run.attempt == 3 and "exit code 7" in run.last_failure
        stem = "r_1"
        outputs = {f"{stem}.o1.1": "1", f"{stem}.o1.2": "2", f"{stem}.o1": "3"}
        for name, number in outputs.items():
            assert read(run, name) == f"out {number}\n"
            assert read(run, name.replace(".o", ".e")).startswith(f"err {number}\n")
        assert read(run, "tries") == "attempt\n" * 3

    def test_only_the_last_failure_is_one(self, flow, session):
        change(flow, yaml="retries: 1\n", launch_sh="exit 7\n")
        flow.supervise()
        one = session()
        calls, states = [], []

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda runs, **rest: calls.append(len(list(runs))))
            workflow._execution.dispatcher.listeners.append(lambda t: states.append(t.new))
            await workflow.mult.createTask(x=1.0)

        async def first(workflow, **params):
            await workflow._execution.attached()
            await main(workflow, **params)

        one.workflow.orchestrator_function = first
        with pytest.raises(RunFailed, match="exit code 7"):
            one.workflow.execute()
        assert calls == [1]
        # The last is read in the database, perhaps before the bus tells of it.
        passed = ["CREATED", "launched", "CREATED", "launched", "FAILED"]
        assert states in (passed, passed[:-1])
        ((run, _),) = one.mult.select()
        assert run.attempt == 2


class TestSlots:
    SLEEPER = (
        "import time\nimport BlackDynamite as BD\nrun, job = BD.getRunFromScript()\n"
        "run.start()\nrun['began'] = time.monotonic()\ntime.sleep(1)\n"
        "run['ended'] = time.monotonic()\nrun.finish()\n"
    )

    def overlap(self, runs):
        """The largest number of runs that were between their recorded start and end at once."""
        events = sorted([(run.began, 1) for run, _ in runs] + [(run.ended, -1) for run, _ in runs])
        running, most = 0, 0
        for _, step in events:
            running += step
            most = max(most, running)
        return most

    def test_eight_runs_on_four_slots(self, flow, session):
        change(flow, doIt_py=self.SLEEPER)
        flow.supervise("--slots", "4")
        one = session()
        runs = one.wait(one.mult.createTask(x=[float(x) for x in range(8)]))
        assert len(runs) == 8
        # In a ring of 4 slots, runs of a second each that start within it overlap.
        assert 2 <= self.overlap(runs) <= 4

    def test_wide_runs(self, flow, session):
        change(flow, yaml="slots: 2\n", doIt_py=self.SLEEPER.replace("sleep(1)", "sleep(0.3)"))
        flow.supervise()
        one = session()
        wide = one.mult.createTask({"nproc": 2}, x=1.0)
        narrow = one.mult.createTask(x=[2.0, 3.0])
        runs = one.wait(wide, narrow)
        ((first, _), *others) = runs
        for run, _ in others:
            assert run.began >= first.ended or run.ended <= first.began

    def test_wide_runs_are_not_starved_by_another_study(self, workflow):
        flow = workflow(name="two", studies=("add", "mult"))
        with open(flow.path, "a") as file:
            file.write("slots: 2\n")
        for study in ("add", "mult"):
            text = self.SLEEPER.replace("sleep(1)", "sleep(0.3)")
            (flow.directory / study / "doIt.py").write_text(text)
        flow.supervise()
        one = Session(flow, "r")
        try:
            narrow = one.workflow.add.createTask(x=[float(x) for x in range(12)])

            async def main():
                await one.workflow.add.select("state = START")
                # First come, first served: ten of the others have not started yet.
                wide = one.mult.createTask({"nproc": 2}, x=1.0)
                try:
                    return await wide, await narrow
                finally:
                    one.workflow._execution.close()

            wide, others = asyncio.run(main())
            later = [run.id for run, _ in others if run.began > wide[0][0].began]
            assert len(later) >= 6, f"{len(later)} of 12 runs came after the wide one"
        finally:
            one.workflow._close()

    def test_more_than_there_are(self, flow, session):
        change(flow, yaml="slots: 2\n")
        flow.supervise()
        one = session()
        error = one.failure(one.mult.createTask({"nproc": 3}, x=1.0))
        assert "3 slots" in error.reason and "2" in error.reason
        assert one.wait(one.mult.createTask(x=1.0))


def test_those_that_the_released_launcher_has_left_behind(flow):
    """0.1.4 was killed between TOBELAUNCHED and `launched`: their launch.sh was never started."""
    path = str(flow.directory / "mult" / "BD-mult-runs" / "run-1")
    make_runs(flow, {"state": "TOBELAUNCHED", "run_path": path}, {"state": "TOBELAUNCHED"})
    flow.supervise()
    all_are(flow, "FINISHED")
    for run in runs_of(flow).values():
        claims = [claim.name for claim in Path(run["run_path"]).glob("attempt-*")]
        assert (claims, run["attempt"]) == (["attempt-1"], 1)


class TestCanYouDigIt:
    def dig(self, flow, *arguments):
        return subprocess.run(
            [CAN_YOU_DIG_IT, *arguments],
            cwd=flow.directory / "mult",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def test_while_supervised(self, flow, session):
        flow.supervise()
        one = session("seven")
        one.wait(one.mult.createTask(x=[0.125, 4.5]))
        before = flow.pids()
        for arguments, words in (
            (["runs", "info"], ["FINISHED", "seven"]),
            (["jobs", "info"], ["0.125", "4.5"]),
            (["info"], ["seven", "FINISHED"]),
        ):
            done = self.dig(flow, *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            text = done.stdout + done.stderr
            assert all(word in text for word in words), text
        assert flow.pids() == before

    def test_through_motoko_info(self, flow, session):
        flow.supervise()
        one = session("seven")
        one.wait(one.mult.createTask(x=0.125))
        done = flow.motoko("info", "-", "runs", "info")
        assert done.returncode == 0 and "FINISHED" in done.stdout, done.stderr
        (study,) = json.loads(flow.motoko("info", "--json").stdout)["studies"]
        assert study["states"] == {"FINISHED": 1}
