"""What hosts do while jobs run on them; one thing a test, on the same kind of workflow."""

import pytest
from batch import executions
from host import STRANGER
from slurm_programs import Unavailable
from support import wait_until

# Each attempt waits for a word of its own, and says who has brought the result.
WAITING = 'until [ -e "go-$MOTOKO_ATTEMPT" ]; do sleep 0.05; done; python doIt.py'
BY = 'run.start(); run["by"] = int(os.environ["MOTOKO_ATTEMPT"]); run.finish()'
ON_N1 = "slurm_options: [nodelist=n1]\n"


def let_go(flow, *numbers, attempt=1):
    for number in numbers:
        (flow.place(number) / f"go-{attempt}").touch()


def executing(flow, number, count=1):
    """Wait until a run is executed for the ``count``th time; its last job."""

    def begun():
        jobs = executions(flow.place(number))
        assert len(jobs) == count, jobs
        return jobs[-1]

    return wait_until(begun, f"run {number} is executed", timeout=60)


def computing(flow, session, slurm, count=1):
    """Runs that are being executed, and the node of the first one."""
    numbers = session.create(WAITING, BY, count=count)
    jobs = [executing(flow, number) for number in numbers]
    return numbers, slurm.node_of(jobs[0])


def sockets(host):
    """The workflows' sockets on a host, as they are called there."""
    found = host.path("/tmp").glob("motoko-*/*/*")
    return {path.name: path for path in found if path.is_socket()}


def once(flow, numbers):
    assert [len(executions(flow.place(number))) for number in numbers] == [1] * len(numbers)


def test_a_node_is_rebooted(batch, lab, slurm):
    flow, session = batch(yaml="retries: 1\n")
    (number,), node = computing(flow, session, slurm)
    lab.reboot(node)
    executing(flow, number, 2)
    let_go(flow, number, attempt=2)
    entries = session.finished([number])[number]
    assert (entries["attempt"], entries["by"]) == (2, 2)
    assert not sockets(node)


def test_a_node_is_cut_off(batch, lab, slurm):
    """The scheduler gives it up. What still runs there cannot bring a result afterwards."""
    flow, session = batch(yaml="retries: 1\npatience: 10m\n")
    (number,), node = computing(flow, session, slurm)
    node.cut()
    executing(flow, number, 2)
    let_go(flow, number, attempt=2)
    session.finished([number])
    let_go(flow, number)
    node.mend()
    wait_until(lambda: not node.processes(str(flow.directory)), "the late one has ended", 60)
    entries = session.entries()[number]
    assert (entries["state"], entries["attempt"], entries["by"]) == ("FINISHED", 2, 2)


def test_a_cable_is_out_for_some_seconds(batch, lab, slurm):
    """Less than the scheduler minds: nobody notices."""
    flow, session = batch(yaml="patience: 10m\n")
    (number,), node = computing(flow, session, slurm)
    node.cut()
    let_go(flow, number)
    wait_until(lambda: node.processes("doIt.py"), "it wants to tell of its result")
    node.mend()
    assert session.finished([number])[number]["by"] == 1
    once(flow, [number])


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_is_wrong(batch, lab, slurm, seconds):
    flow, session = batch(yaml=ON_N1)
    try:
        lab.shift_clock(lab.nodes[0], seconds)
    except Unavailable as error:
        pytest.skip(str(error))
    now = "python -c 'import time; print(time.time())' > now; touch now-really; "
    numbers = session.create(now + "python doIt.py", BY)
    session.finished(numbers)
    place = flow.place(numbers[0])
    difference = float((place / "now").read_text()) - (place / "now-really").stat().st_mtime
    assert abs(difference - seconds) < 100
    once(flow, numbers)


@pytest.mark.parametrize("where", ["node", "head"])
def test_a_tmp_is_cleaned(batch, lab, slurm, where):
    flow, session = batch()
    numbers, node = computing(flow, session, slurm, count=2)
    host = node if where == "node" else lab.head
    before = set(sockets(host))
    assert "zeo-mult" in before
    host.clean_tmp()

    def again():
        assert "zeo-mult" in sockets(host), list(sockets(host))
        return True

    wait_until(again, "its sockets are there again", 60)
    let_go(flow, *numbers)
    session.finished(numbers)
    once(flow, numbers)


def test_jobs_of_a_node_begin_and_end_together(batch, lab, slurm):
    """Their sockets are the same: the end of one takes nothing from the others."""
    flow, session = batch(yaml=ON_N1)
    for _ in range(3):
        numbers, _ = computing(flow, session, slurm, count=4)
        let_go(flow, *numbers)
        session.finished(numbers)
        once(flow, numbers)

    def nothing():
        found = sockets(lab.nodes[0]), lab.nodes[0].processes("relay")
        assert not any(found), found
        return True

    wait_until(nothing, "nothing is left on the node")


def test_one_job_ends_as_the_next_begins(batch, lab, slurm):
    flow, session = batch(yaml=ON_N1)
    (first, *later), _ = computing(flow, session, slurm, count=2)
    for attempt in range(3):
        more, _ = computing(flow, session, slurm)
        let_go(flow, first)
        session.finished([first])
        first, later = later[0], [*later[1:], *more]
        assert attempt >= 0
    let_go(flow, first, *later)
    session.finished([first, *later])
    once(flow, [first, *later])


def test_the_head_has_another_address(batch, lab, slurm):
    """After a reboot, while a run computes."""
    flow, session = batch(yaml="patience: 10m\n")
    (number,), _ = computing(flow, session, slurm)
    lab.reboot(lab.head, address="10.231.7.77")
    flow.supervise()
    let_go(flow, number)
    assert session.finished([number])[number]["by"] == 1
    once(flow, [number])


def test_the_head_has_another_name(batch, lab, slurm):
    """After a reboot nothing says that it is the same one: somebody has to."""
    flow, session = batch(yaml="patience: 10m\n")
    (number,), _ = computing(flow, session, slurm)
    lab.reboot(lab.head, name="login7", address="10.231.7.77")
    refused = flow.motoko("supervise", "--detach")
    assert refused.returncode == 3 and "--takeover" in refused.stderr, refused
    flow.supervise("--takeover")
    let_go(flow, number)
    assert session.finished([number])[number]["by"] == 1
    once(flow, [number])


def test_two_workflows_on_a_node(batch, lab, slurm):
    flows = [batch(name=name, yaml=ON_N1) for name in ("one", "two")]
    running = [computing(flow, session, slurm, count=2)[0] for flow, session in flows]
    for (flow, session), numbers in zip(flows, running, strict=True):
        let_go(flow, *numbers)
        session.finished(numbers)
        once(flow, numbers)


def test_a_strangers_leftovers(batch, lab, slurm):
    """What is in the way is named; nothing of it is used or removed."""
    flow, session = batch(yaml=ON_N1)
    node, place = lab.nodes[0], next(lab.head.path("/tmp").glob("motoko-*")).name
    node.run("mkdir", "-m", "777", f"/tmp/{place}", user=STRANGER)
    numbers = session.create("python doIt.py", BY)
    entries = session.until(numbers, state="FAILED")[numbers[0]]
    assert f"/tmp/{place}" in entries["failure_reason"], entries
    assert not executions(flow.place(numbers[0]))
    node.run("rmdir", f"/tmp/{place}")
    (again,) = session.create("true; python doIt.py", BY)
    session.finished([again])


def test_our_own_leftovers(batch, lab, slurm):
    """Sockets that nobody listens at, as a reboot leaves them where /tmp is on a disk."""
    _, session = batch(yaml=ON_N1)
    node, path = lab.nodes[0], str(sockets(lab.head)["zeo-mult"]).partition("/root")[2]
    code = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    node.run("mkdir", "-m", "700", "-p", path.rpartition("/")[0].rpartition("/")[0])
    node.run("mkdir", "-m", "700", path.rpartition("/")[0])
    node.python(code, path)
    numbers = session.create("python doIt.py", BY)
    session.finished(numbers)
