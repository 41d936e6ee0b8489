"""What is executed again takes the present files; results of other files are told."""

import json
from pathlib import Path

import launching
import pytest
from launched_scripts import change

from motoko.runs.placeholders import UnsetPlaceholder

MADE = "import BlackDynamite as BD\nrun, job = BD.getRunFromScript()\nrun.start()\n"


@pytest.fixture(autouse=True)
def deadline():
    with launching.deadline(120):
        yield


def do_it(flow, value, end="run.finish()"):
    change(flow, doIt_py=f"{MADE}run['y'] = {value} + float(open('in.dat').read())\n{end}\n")


def put(flow, text):
    (flow.directory / "mult" / "in.dat").write_text(text)


def results(session, name="r"):
    one = session(name)
    return sorted(run.y for run, _ in one.wait(one.mult.createTask(x=[1.0, 2.0])))


def test_present_files(flow, session, caplog):
    change(flow, bd="config_files: [in.dat]\n", launch_sh="python doIt.py\n")
    put(flow, "0.5")
    do_it(flow, 1)
    flow.create()
    flow.supervise("--no-launchers")
    waiting = session()
    both = waiting.mult.createTask(x=[1.0, 2.0])
    do_it(flow, 2)  # before they were executed
    waiting.mult.createTask(x=1.0)
    flow.motoko("launcher")
    # The other is as it was created.
    assert sorted(run.y for run, _ in waiting.wait(both)) == [1.5, 2.5]
    assert not caplog.records or "has changed" not in caplog.text

    # What is found is told, with what to do; once.
    assert results(session) == [1.5, 2.5]
    told = [r.getMessage() for r in caplog.records if "motoko retry --changed" in r.getMessage()]
    assert told == [
        "study mult: doIt.py has changed since 1 finished run was made. Its result stands:"
        " `motoko retry --changed -bd mult` has it executed again, another run name makes new runs"
    ]
    put(flow, "0.25")
    info = flow.motoko("info")
    assert "doIt.py, in.dat have changed since 2 finished runs were made" in info.stdout
    ((study),) = json.loads(flow.motoko("info", "--json").stdout)["studies"]
    assert study["made_with_other_files"] == {"files": ["doIt.py", "in.dat"], "runs": 2}

    done = flow.motoko("retry", "--changed", "-bd", "mult")
    assert done.stdout == "mult: reset 2 runs\n", done.stderr
    assert results(session) == [2.25, 2.25]
    assert flow.motoko("retry", "--changed", "-bd", "mult").stdout == "mult: reset 0 runs\n"
    assert "changed" not in flow.motoko("info").stdout

    # Cleaned, and changed after that.
    assert flow.motoko("kill", "--now").returncode == 0
    flow.motoko("clean", "--yes")
    do_it(flow, 3)
    flow.supervise()
    assert results(session) == [3.25, 3.25]


def test_retry(flow, session):
    change(flow, bd="config_files: [in.dat]\n", launch_sh="python doIt.py\n")
    put(flow, "0")
    do_it(flow, 1, end="raise SystemExit(3)")
    flow.create()
    flow.supervise()
    one = session()
    runs = one.mult.createTask(x=[1.0, 2.0])
    for run in runs:
        one.failure(type(runs)([run], engine=one.workflow.motoko_engine))
    do_it(flow, 2)
    flow.motoko("stop", "launcher:mult")
    assert flow.motoko("retry", "mult.1").returncode == 0
    assert flow.motoko("retry", "--same-files", "mult.2").returncode == 0
    two = session()
    found = two.mult.createTask(x=[1.0, 2.0])
    flow.motoko("start", "launcher:mult")
    two.wait(type(found)([found[0]], engine=two.workflow.motoko_engine))
    error = two.failure(type(found)([found[1]], engine=two.workflow.motoko_engine))
    assert "exit code 3" in error.reason
    kept = Path(found[1][0].run_path, "doIt.py").read_text()
    assert (
        "SystemExit" in kept
        and "SystemExit" not in Path(found[0][0].run_path, "doIt.py").read_text()
    )


def test_names_and_texts_in_scripts(flow, session, caplog):
    change(
        flow,
        bd="  s: str\nrun:\n  Depth: int\nrun_params: {Depth: 4}\nconfig_files: [in.dat]\n",
        launch_sh="echo __BLACKDYNAMITE__s__ __BLACKDYNAMITE__s:sh__\npython doIt.py\n",
    )
    put(flow, "__BLACKDYNAMITE__x__\n__BLACKDYNAMITE__Depth__ __BLACKDYNAMITE__extra__\n")
    for command in (("create", "--validated"), ("supervise", "--detach")):
        done = flow.motoko(*command)
        assert done.returncode == 0
        assert "mult/in.dat, line 2: bd.yaml declares no parameter 'extra'" in done.stderr
        assert "mult/launch.sh, line 1: the shell reads the text of 's'" in done.stderr
        assert "__BLACKDYNAMITE__s:sh__ is the text as one word" in done.stderr
    one = session()
    with pytest.raises(
        UnsetPlaceholder, match=r"mult/in\.dat, line 2: there is no parameter 'extra'"
    ):
        one.mult.createTask(x=1.0, s="a")
    assert not list(one.mult.base.runs.entries) and UnsetPlaceholder.exit_code == 2
    assert "launch.sh, line 1: the shell reads the text of 's'" in caplog.text
    ((run, _),) = one.wait(one.mult.createTask({"extra": 7}, x=1.0, s="$(echo a) 'b'"))
    assert Path(run.run_path, "in.dat").read_text() == "1.0\n4 7\n"
    (output,) = Path(run.run_path).glob("*.o1")
    assert output.read_text() == "a b $(echo a) 'b'\n"
