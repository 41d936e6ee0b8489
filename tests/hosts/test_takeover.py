"""`motoko supervise --takeover`: only over a dead host, and none of its runs beside themselves."""

import signal

from batch import claims
from lab_flow import LabSession
from launching import GATE
from support import wait_until

SLOW = f"echo on $(hostname) >> places\n{GATE}python doIt.py"


def said(done, code=0):
    """What a command has printed, which has to end with an exit code."""
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def go(flow, number):
    (flow.place(number) / "go").touch()


def places(flow, number):
    return (flow.place(number) / "places").read_text().split("\n")[:-1]


def begun(flow, session, count=1):
    """Runs that are executed on the head."""
    numbers = session.create(SLOW, count=count)
    session.until(numbers, state="launched")
    for number in numbers:
        wait_until(lambda n=number: places(flow, n) == ["on head"], "launch.sh is executed")
    return numbers


def taken_over(lab, flow):
    """The workflow, taken over by another host from the head, which is off."""
    there = flow.on(lab.nodes[0])
    text = said(there.motoko("supervise", "--detach"), 3)
    assert "on head" in text and "is no longer alive" in text and "--takeover" in text
    assert "taken over from head" in said(
        there.motoko("supervise", "--detach", "--takeover", "--slots", "2")
    )
    flow.host = there.host
    return there, LabSession(there)


def test_a_host_that_was_rebooted(lab, placed):
    """Its runs are interrupted as soon as it says so: by whatever is called there."""
    flow, session = placed("--slots", "2")
    number, cancelled = begun(flow, session, 2)
    lab.head.power_off()
    there, afar = taken_over(lab, flow)
    text = said(there.motoko("explain", f"mult.{number}"))
    assert "it was started on head" in text and f"retry --lost mult.{number}" in text
    other = afar.create("python doIt.py")
    afar.finished(other)
    afar.until([number], state="launched", attempt=1)
    assert "still launched" in said(there.motoko("cancel", f"mult.{cancelled}", timeout=60), 1)
    lab.power_on(lab.head)
    text = said(flow.on(lab.head).motoko("supervise", "--detach"), 1)
    assert "is supervised on n1" in text
    go(flow, number)
    afar.until([number], attempt=2, ended_state="FINISHED", last_failure="host rebooted")
    assert places(flow, number) == ["on head", "on n1"]
    afar.until([cancelled], attempt=1, state="FAILED", failure_reason="cancelled by root")
    assert places(flow, cancelled) == ["on head"]
    afar.close()


def test_a_host_that_is_gone_for_good(lab, placed):
    flow, session = placed("--slots", "2")
    (number,) = begun(flow, session)
    lab.head.power_off()
    there, afar = taken_over(lab, flow)
    here = afar.create(f"{SLOW}\n")
    afar.until(here, state="launched")
    text = said(there.motoko("retry", "--lost", f"mult.{here[0]}", f"mult.{number}"), 2)
    assert f"mult.{here[0]} is not lost" in text and "nothing was changed" in text
    afar.until([number], state="launched", attempt=1)
    text = said(there.motoko("retry", "--lost", "--yes"))
    assert text == f"mult.{number}: lost on head, CREATED again\n"
    afar.until([number], state="launched", attempt=2)
    for run in (number, *here):
        go(flow, run)
    afar.finished([number, *here])
    assert places(flow, number) == ["on head", "on n1"] and claims(flow.place(number)) == [1, 2]
    assert "no run is lost" in said(there.motoko("retry", "--lost", "--yes"))
    afar.close()


def test_a_run_that_ends_on_the_other_host(lab, placed):
    """Its supervisor and its daemons are gone, and its host is not: its record ends it."""
    flow, session = placed("--slots", "2")
    (number,) = session.create(f"{GATE}exit 3")
    session.until([number], state="launched")
    claim = flow.place(number) / ".motoko" / "attempt-1"
    wait_until(claim.exists, "it was started")
    there = flow.on(lab.nodes[0])
    for what in ("supervisor", "others"):
        for process in lab.head.processes():
            is_supervisor = "motoko.supervisor" in process.command
            is_daemon = "motoko.workers." in process.command
            if is_supervisor if what == "supervisor" else is_daemon:
                process.identity.signal(signal.SIGKILL)
        left = wait_until(
            lambda: (done := there.motoko("supervise", "--takeover")).returncode == 3 and done,
            "what is left there is in the way",
        )
        assert "is no longer alive, but other processes there are" in left.stderr
        assert "ssh head" in left.stderr
    assert "are: runs" in left.stderr
    go(flow, number)
    taken_over(lab, flow)
    afar = LabSession(flow)
    entries = afar.until([number], state="FAILED", exit_code=3)
    assert entries[number]["attempt"] == 1
    afar.close()
    lab.reboot(lab.head)  # sockets of those that were killed are left there


def test_a_host_that_lives(lab, placed):
    """Frozen, or cut off from the network but not from the files: nobody takes it over."""
    flow, session = placed("--slots", "2", yaml="remote: true\n")
    (number,) = begun(flow, session)
    there = flow.on(lab.nodes[0])
    lab.head.cut()
    for options in ((), ("--takeover",)):
        text = said(there.motoko("supervise", "--detach", *options), 1)
        assert "is supervised on head" in text and "cannot be reached" in text
    lab.head.mend()
    pid = flow.ps()["supervisor"]["pid"]
    supervisor = next(p for p in lab.head.processes() if p.inner_pid == pid)
    supervisor.identity.signal(signal.SIGSTOP)
    text = said(there.motoko("supervise", "--detach", "--takeover"), 1)
    assert "is supervised on head" in text
    supervisor.identity.signal(signal.SIGCONT)
    go(flow, number)
    session.finished([number])


def test_one_that_was_taken_over_after_all(lab, placed):
    """Where hosts do not share locks: it ends what it has, and leaves all that is the other's."""
    flow, session = placed("--slots", "2")
    (number,) = begun(flow, session)
    daemons = flow.directory / ".wf" / "daemons"
    record = daemons / "supervisor.json"
    theirs = record.read_text().replace('"host": "head"', '"host": "n1"').replace("boot_id", "_")
    theirs = theirs.replace("{", '{"boot_id": "of n1", ', 1)
    (daemons / "zeo-mult.json").write_text(theirs)
    record.write_text(theirs)
    session.close()

    def ended():
        return not [p for p in lab.head.processes() if "motoko.workers" in p.command]

    wait_until(lambda: "n1 has taken the workflow over" in flow.log("supervisor"), "it sees that")
    wait_until(ended, "its daemons have ended", timeout=40)
    assert record.read_text() == theirs == (daemons / "zeo-mult.json").read_text()
    assert places(flow, number) == ["on head"]  # and goes on
    for path in (record, daemons / "zeo-mult.json"):
        path.unlink()
    flow.supervise("--slots", "2")
    go(flow, number)
    LabSession(flow).finished([number])
