"""Launchers: run directories as BlackDynamite writes them, failures, retries, slots."""

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launched_scripts import change
from support import wait_until

from motoko import RunFailed
from motoko.runs.entries import DocumentedEntries

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


# What launch.sh does, its exit code, and what of it is told.
ENDS = (
    ("echo oops >&2; exit 1\n", 1, "exit code 1: oops"),
    ("set -e\nfalse\npython doIt.py\n", 1, "exit code 1"),
    ("true\n", 0, "never called finish()"),
    ("", 0, "never called finish()"),
    ("kill -9 $$\n", 137, "SIGKILL"),
    ("no-such-program-here\n", 127, "exit code 127"),
    ("exec python -c 'raise ValueError(7)'\n", 1, "ValueError: 7"),
    ("if\n", 2, "exit code 2"),
)


def read(run, name):
    return Path(run.run_path, name).read_text()


class TestRunDirectory:
    def test_as_the_contract_says(self, flow, session):
        change(
            flow,
            bd="config_files: [input.in]\nrun:\n  depth: int\nrun_params: {depth: 4}\n",
            doIt_py=REPORT,
            input_in="x=__BLACKDYNAMITE__x__ d=__BLACKDYNAMITE__depth__ id=__BLACKDYNAMITE__id__\n"
            "n=__BLACKDYNAMITE__run_name__ run=__BLACKDYNAMITE__run_id__\n"
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
        mask = os.umask(0)
        os.umask(mask)
        assert (directory / "launch.sh").stat().st_mode & 0o777 == 0o777 & ~mask
        launch = (directory / "launch.sh").read_text()
        assert launch.startswith("#!/bin/bash\n")
        assert launch.endswith((study / "launch.sh").read_text())
        host, schema = f"zeo://{study}", f"{getpass.getuser()}_mult"
        assert (directory / "input.in").read_text() == (
            f"x=1.0 d=4 id=1\nn=a name run=2\nhost={host} study={schema}\n"
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
    def test_reason_and_code(self, flow, session):
        flow.supervise()
        for number, (launch, code, words) in enumerate(ENDS):
            change(flow, launch_sh=launch)
            one = session()
            runs = one.mult.createTask(x=float(number))
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
            from motoko.store.session import session

            session().refresh(base)
            return DocumentedEntries(run.entries).get("exit_code") == 3

        wait_until(settled, "the end of the run is recorded")
        assert run.state == "FINISHED"

    def test_files_that_are_gone(self, flow, session):
        """A run whose directory cannot be made harms no other run."""
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
            workflow.motoko_engine.dispatcher.listeners.append(lambda t: states.append(t.new))
            await workflow.mult.createTask(x=1.0)

        async def first(workflow, **params):
            await workflow.motoko_engine.attached()
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
        # Through motoko info.
        done = flow.motoko("info", "-", "runs", "info")
        assert done.returncode == 0 and "FINISHED" in done.stdout, done.stderr
        (study,) = json.loads(flow.motoko("info", "--json").stdout)["studies"]
        assert study["states"] == {"FINISHED": 2}
