"""``motoko info``: counts, times and failures, as a table, as columns and as JSON."""

import datetime
import json
import os
import pty
import re
import subprocess

import pytest
from runs import (
    all_are,
    ended,
    make_runs,
    release,
    run_directory,
    started,
    states,
    with_waiting_runs,
)
from support import Flow, motoko_command, wait_until

STUDIES = ("add", "mult")
COLUMNS = ("created", "running", "finished", "failed")


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


def rows(text):
    """The cells of plain columns, row by row; empty lines are left out."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines() if line.strip()]


def counts(text):
    """Column by column, those of each study."""
    head, *lines = rows(text)
    return {cells[0]: dict(zip(head[1:], cells[1:], strict=True)) for cells in lines}


def as_json(flow, *arguments):
    return json.loads(flow.motoko("info", "--json", *arguments).stdout)


def executed(flow, number, seconds, state="FINISHED", **entries):
    """The entries of a run that took some time, with its exit record."""
    record = run_directory(flow, number) / ".motoko" / "exit-1.json"
    record.write_text("{}")
    start = datetime.datetime(2030, 1, 31, 12, 0, 0)
    os.utime(record, (0, start.timestamp() + seconds))
    return ended(flow, number, state, start_time=start, **entries)


def test_supervised(workflow):
    flow = workflow(studies=STUDIES)
    flow.supervise()
    done = flow.motoko("orchestrator", "start", "--run_name", "test")
    assert done.returncode == 0, done.stderr
    all_are(flow, "FINISHED")
    all_are(flow, "FINISHED", "add")
    assert flow.motoko("ps").returncode == 0
    wait_until(lambda: as_json(flow)["studies"][1]["time"]["runs"] == 2, "both have ended")
    found = counts(flow.motoko("info").stdout)
    expected = {"jobs": "2", "runs": "2", "created": "0", "running": "0", "finished": "2"}
    assert list(found) == list(STUDIES)
    assert found["mult"].items() >= {**expected, "failed": "0"}.items()
    assert re.fullmatch(r"\d+\.\d+s", found["mult"]["median"])
    done = flow.motoko("info", "--verbose", "-bd", "mult").stdout
    assert ["mult.1", "test", "FINISHED", "1", "0"] in [cells[:5] for cells in rows(done)]
    assert "add" not in done and "created by" in done
    assert f"zeo:mult: ready, pid {flow.pids()['zeo:mult']}" in done
    assert "launcher:mult: ready" in done and "0 running, 0 queued" in done


def test_through_can_you_dig_it(workflow):
    """canYouDigIt is called in all studies or in one, with its own options."""
    flow = workflow(studies=STUDIES)
    for study in STUDIES:
        make_runs(flow, {"state": "FINISHED"}, {"state": "FINISHED"}, study=study)
    done = flow.motoko("info", "-", "runs", "info")
    assert done.returncode == 3 and "study add is not served" in done.stderr
    assert "motoko supervise" in done.stderr
    flow.supervise("--no-launchers")
    done = flow.motoko("info", "-", "runs", "info")
    assert done.returncode == 0 and done.stdout.count("FINISHED") == 4
    assert re.findall("TaskManager: (.*)", done.stderr) == ["add", "mult"]
    done = flow.motoko(
        *("info", "--bd_study", "mult", "-", "jobs", "info", "--job_id", "1"),
        BLACKDYNAMITE_HOST="zeo:///nowhere",
    )
    assert done.returncode == 0 and "x: 1.0" in done.stdout and "add" not in done.stderr
    done = flow.motoko("info", "-bd", "mult", "-", "runs", "info", "--constraints", "runs.id > 1")
    assert done.returncode == 0 and done.stdout.count("FINISHED") == 1
    assert flow.motoko("info", "-", "explode").returncode == 2


def test_not_supervised(flow):
    failed = {"state": "FAILED", "failure_reason": "no such file", "exit_code": 3}
    make_runs(flow, failed, {}, {"state": "MINE"}, {"state": "TIMEOUT", "run_name": "other"})
    done = flow.motoko("info")
    assert done.returncode == 0
    assert rows(done.stdout) == [
        ["study", "jobs", "runs", *COLUMNS, "MINE", "median", "longest"],
        ["mult", "4", "4", "1", "0", "0", "2", "1", "-", "-"],
        ["run", "run_name", "state", "exit", "parameters: reason"],
        ["mult.1", "test", "FAILED", "3", "x=1.0: no such file"],
        ["mult.4", "other", "TIMEOUT", "-", "x=4.0"],
    ]
    lines = done.stdout.splitlines()
    assert len(lines[0]) == len(lines[1])  # aligned, and nothing coloured
    assert "\x1b" not in done.stdout
    verbose = flow.motoko("info", "--verbose").stdout
    assert "launcher:mult: not running (`motoko launcher` starts it)" in verbose
    assert [cells[0] for cells in rows(verbose)[3:7]] == [f"mult.{n}" for n in (1, 2, 3, 4)]
    other = rows(flow.motoko("info", "--run_name", "other").stdout)
    assert other[1] == ["mult", "1", "1", "0", "0", "0", "1", "-", "-"]
    for wrong in (["runs", "info"], ["--byobu"], ["-bd"], ["-bd", "norm"]):
        assert flow.motoko("info", *wrong).returncode == 2


def test_json(workflow):
    flow = workflow(studies=STUDIES, created=False)
    assert flow.motoko("info").stdout == "add: not created\nmult: not created\n"
    # All of them may lack databases, but one that is named must have one.
    assert flow.motoko("pack").stdout == "add: not created\nmult: not created\n"
    for words in (
        ("info", "--bd_study", "mult"),
        ("table", "mult"),
        ("usage", "mult"),
        ("graph", "--bd_study", "mult"),
        ("view", "runs", "--bd_study", "mult"),
        ("lineage", "mult.1"),
        ("pack", "mult"),
    ):
        done = flow.motoko(*words)
        assert done.returncode == 2 and "[not-created]" in done.stderr, words
    assert not (flow.directory / "runs").exists()
    done = flow.motoko("info", "--bd_study", "mult")
    assert done.returncode == 2 and "no database yet" in done.stderr
    flow.create()
    make_runs(
        flow,
        executed(flow, 1, 1.0),
        executed(flow, 2, 4.0, state="FORWARDED", ended_state="FINISHED"),
        executed(flow, 3, 2.0),
        executed(flow, 4, 100.0, state="FAILED", failure_reason="why", exit_code=7),
        executed(flow, 5, -5.0),  # the record is an earlier attempt's
        {"state": "START", "start_time": datetime.datetime.now()},
    )
    found = as_json(flow)
    assert found["workflow"] == str(flow.path)
    add, mult = found["studies"]
    assert add["states"] == {} and add["failures"] == [] and add["time"]["median_s"] is None
    failure = mult.pop("failures")[0]
    assert mult == {
        "study": "mult",
        "created": True,
        "jobs": 6,
        "runs": 6,
        "states": {"FAILED": 1, "FINISHED": 3, "FORWARDED": 1, "START": 1},
        "time": {"runs": 3, "median_s": 2.0, "longest_s": 4.0, "longest_run": "mult.2"},
    }
    assert failure.items() >= {"run": "mult.4", "exit_code": 7, "reason": "why"}.items()
    assert failure["seconds"] == 100.0
    verbose = as_json(flow, "--verbose", "-bd", "mult")
    runs = verbose["studies"][0]["all_runs"]
    assert [run["state"] for run in runs].count("FINISHED") == 3 and verbose["daemons"] == []
    assert 0 <= runs[5]["seconds"] < 60


def of_all_kinds(flow):
    """Entries as runs may have them, whoever has written them."""
    start = datetime.datetime(2030, 1, 31, 12, 0, 0, 250_000, tzinfo=datetime.UTC)
    at = start.timestamp()
    own = {"motoko.attempt": 1, "run_path": "/nowhere", "start_time": start}
    return [
        {"state": "FINISHED", **own, "motoko.attempt_ended": at + 3.5},
        {"state": "FINISHED", **own, "motoko.attempt_ended": at + 40.0, "run_name": "a 'b' \"c\""},
        {"state": "FINISHED", **own, "motoko.attempt_ended": at - 1.0},  # of an attempt before
        {"state": "FINISHED", **own, "motoko.attempt_ended": None},
        {"state": "FINISHED", "attempt_ended": at + 900.0, "start_time": start},
        {"state": "FINISHED", **own, "motoko.attempt_ended": at + 1, "motoko.failure_reason": "no"},
        {"state": "MINE", **own, "motoko.attempt_ended": at + 5.0},
        {"state": "MINE", **own, "motoko.attempt_ended": at + 6.0, "motoko.failure_reason": "why"},
        {"state": "MINE", **own, "motoko.attempt_ended": at + 7.0, "motoko.batch_name": "job"},
        {"state": "TIMEOUT", **own, "motoko.attempt_ended": at + 8.0, "motoko.exit_code": 9},
        {"state": "START", **own, "motoko.attempt_ended": at + 9.0},
        {"state": "CREATED", "failure_reason": "a user's", "start_time": start},
        {"state": "FAILED", "failure_reason": "x" * 5_000},
        {"state": None},
        {"state": 3, "job_id": 1.5},
        executed(flow, 16, 12.0),
        executed(flow, 17, 13.0, state="it's mine"),
    ]


def test_as_looked_at_one_by_one(flow):
    """The counts by SQL equal those of `--verbose`, which reads each run."""
    make_runs(flow, *of_all_kinds(flow))
    for arguments in (
        [],
        ["--run_name", "test"],
        ["--run_name", "a 'b' \"c\""],
        ["--run_name", "-"],
    ):
        (counted,), (looked_at,) = (
            as_json(flow, *arguments, *more)["studies"] for more in ([], ["--verbose"])
        )
        rows = looked_at.pop("all_runs")
        assert counted == looked_at
        assert counted["runs"] == len(rows) == sum(counted["states"].values())
    whole = as_json(flow)["studies"][0]
    assert whole["time"] == {"runs": 8, "median_s": 6.5, "longest_s": 40.0, "longest_run": "mult.2"}
    assert [row["run"] for row in whole["failures"]] == ["mult.8", "mult.10", "mult.13"]
    assert (whole["states"]["MINE"], whole["states"]["None"], whole["states"]["3"]) == (3, 1, 1)


def test_many_failures(flow):
    make_runs(flow, *({"state": "FAILED", "failure_reason": f"no {n}"} for n in range(25)))
    done = flow.motoko("info").stdout
    assert "no 19" in done and "no 20" not in done
    assert "and 5 more: motoko info --verbose --bd_study mult" in done
    assert "no 24" in flow.motoko("info", "--verbose").stdout
    assert len(as_json(flow)["studies"][0]["failures"]) == 25


def test_on_a_terminal(flow):
    make_runs(flow, {"state": "FAILED", "failure_reason": "a [bold] reason " * 9}, {})
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        motoko_command("info"),
        cwd=flow.directory,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60"},
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 4096):
            text += chunk
    except OSError:  # nobody writes to it any more
        pass
    os.close(ours)
    assert process.wait(30) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text.decode())
    assert plain != text.decode() and plain.count("[bold]") == 9
    assert "finished" in plain and "mult.1" in plain


def test_running(flow):
    with_waiting_runs(flow)
    flow.supervise("--slots", "1")
    make_runs(flow, {}, {})
    wait_until(lambda: started(flow) == [1], "one is started")
    found = counts(flow.motoko("info").stdout)["mult"]
    assert (found["created"], found["running"]) == ("1", "1")
    release(flow)
    wait_until(lambda: set(states(flow).values()) == {"FINISHED"}, "both have ended")


def test_server_that_does_not_answer(workflow):
    """The others are shown all the same."""
    flow = workflow(studies=STUDIES)
    make_runs(flow, {}, study="add")
    text = flow.path.read_text().replace("  mult:\n", "  mult: {host: 'zeo://nowhere.invalid:1'}\n")
    flow.path.write_text(text)
    done = flow.motoko("info")
    assert done.returncode == 1 and "does not answer" in done.stderr
    assert counts(done.stdout)["add"]["created"] == "1"
