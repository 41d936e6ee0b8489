"""Runs that the workflow's own end has ended are executed again at the next start."""

from command_workflows import STUDIES
from runs import all_are, make_runs, release, runs_of, started, states, with_waiting_runs
from support import wait_until


def test_kill_and_go_on(workflow):
    flow = workflow(studies=STUDIES)
    text = flow.path.read_text().replace("  add:", "  add:\n    interrupted: fail")
    flow.path.write_text(text)
    for study in STUDIES:
        with_waiting_runs(flow, study)
    flow.supervise("--slots", "3")
    make_runs(flow, {}, {})
    make_runs(flow, {}, study="add")
    wait_until(lambda: len(started(flow)) == 2 and started(flow, "add"), "the runs are started")
    done = flow.motoko("kill")
    assert done.returncode == 0, done.stderr
    assert "2 runs were interrupted; the next start executes them\n" in done.stdout
    assert "add: 1 interrupted and failed (`interrupted: fail`)\n" in done.stdout
    assert states(flow) == {1: "CREATED", 2: "CREATED"} and states(flow, "add") == {1: "FAILED"}
    assert runs_of(flow, "add")[1]["failure_reason"] == "stopped by `motoko kill`"
    # One study alone: the others go on, and the launcher that was stopped starts nothing.
    flow.supervise("--slots", "3")
    wait_until(lambda: sorted(started(flow)) == [1, 1, 2, 2], "they are executed again")
    assert flow.motoko("kill", "-bd", "mult").returncode == 0
    assert states(flow) == {1: "CREATED", 2: "CREATED"}
    assert flow.motoko("launcher").returncode == 0
    wait_until(lambda: sorted(started(flow)) == [1, 1, 1, 2, 2, 2], "and once more")
    release(flow)
    all_are(flow, "FINISHED")
    for entries in runs_of(flow).values():
        assert (entries["attempt"], entries["interruptions"]) == (3, 2)
        assert entries["y"]
