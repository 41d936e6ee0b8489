"""What was changed in motoko.yaml or said on the command line, and from when on it counts."""

import signal

from launching import place
from support import wait_until

from motoko.config import load
from motoko.control.daemon_records import supervisor_identity
from motoko.runs.entries import DocumentedEntries

LONG = 'echo "$GIVEN" > given\nsleep 2\npython doIt.py\n'


def replaced(flow, old, new) -> None:
    text = flow.path.read_text()
    assert old in text
    flow.path.write_text(text.replace(old, new))


def said(flow, *arguments) -> str:
    done = flow.motoko(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_raised_limit_counts_at_a_retry(supervised):
    """A raised limit counts for the launcher and in `explain`; a run's own limit counts most."""
    flow, session = supervised(below={"mult": "    timeout: 0:01\n"})
    run, other = session.create(LONG), session.create(LONG + "# 2", timeout="1s", nproc=2)
    assert None not in session.ends(run, other)

    replaced(flow, "timeout: 0:01", "timeout: 10:00")
    told = said(flow, "explain", "mult.1")
    assert "task_managers.mult.timeout: counts after `motoko restart launcher:mult`" in told
    assert "task_managers.mult.timeout: counts from now on" in said(flow, "retry", "mult.1")
    assert "counts after" not in said(flow, "explain", "mult.1")
    assert session.ends(run) == [None] and run.attempt == 2

    refused = flow.motoko("retry", "--timeout", "10:75", "--nproc", "1", "mult.2")
    assert refused.returncode == 2 and "study mult: timeout must be a time" in refused.stderr
    refused = flow.motoko("retry", "--slurm-option", "mem=1G", "--nproc", "1", "mult.2")
    assert refused.returncode == 2 and "slurm_options would have no effect" in refused.stderr
    options = ["--timeout=10:00", "--nproc=1", "--environment=GIVEN=a b"]
    assert "counts from now on" not in said(flow, "retry", *options, "mult.2")
    assert session.ends(other) == [None]
    entries = DocumentedEntries(other.entries)
    assert (entries["attempt"], entries["nproc"], entries["timeout"]) == (2, 1, "10:00")
    assert (place(flow, other) / "given").read_text() == "a b\n"
    # It is the run that was asked for, all the same.
    assert session.create(LONG + "# 2", timeout="1s", nproc=2).id == other.id


def test_slots_of_a_running_workflow(supervised):
    """Launchers are restarted with what is said; without a word they keep it."""
    flow, session = supervised("--slots=1")
    wide = session.create("python doIt.py", nproc=2)
    assert "restarting launcher:mult with" in said(flow, "supervise", "--slots", "3")
    assert "ready: 3 slots" in flow.log("launcher:mult")
    assert "restarting" not in said(flow, "supervise", "--slots", "3")
    assert "restarting" not in said(flow, "supervise")
    (_, after) = session.ends(wide, session.create("python doIt.py # 2", nproc=2))
    assert after is None
    # The next supervisor takes over launchers that have other options.
    identity = supervisor_identity(load(flow.path))
    identity.signal(signal.SIGKILL)
    wait_until(lambda: not identity.alive, "the supervisor is dead")
    said(flow, "supervise", "--detach", "--slots", "2")
    wait_until(lambda: "ready: 2 slots" in flow.log("launcher:mult"), "the launcher has two slots")
    for option in ("--slots=2", "--generator=bash"):
        assert flow.motoko("supervise", "--no-launchers", option).returncode == 2
    assert flow.motoko("supervise", "--detach", "--generator", "nonsense").returncode == 2
