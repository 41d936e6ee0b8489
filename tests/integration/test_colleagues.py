"""A colleague: another account, which may read a workflow's files, and nothing else."""

import json
import os
import pwd
import socket
import stat
import subprocess
import sys

import pytest
from colleagues import ACCOUNT, GROUP, as_colleague, commands, open_place, why_impossible
from live_views import LIVE
from support import kill9, motoko_command, supervised, wait_until, write_workflow

pytestmark = pytest.mark.skipif(why_impossible() is not None, reason=str(why_impossible()))

FAILING = """\
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
assert job.x < 2, "too large"
run["y"] = job.x * 2
run.finish()
"""
ME = pwd.getpwuid(os.getuid()).pw_name
HOST = socket.gethostname()
OWNERS = f"the workflow is {ME}'s"
# What each command shows, by its arguments.
VIEWS = {
    ("info",): "mult.2",
    ("info", "--verbose"): "mult.1",
    ("table", "mult"): "FINISHED",
    ("sql", "select count(*) from mult"): "2",
    ("explain", "mult.2"): f"for {ME} to do: motoko retry mult.2",
    ("logs",): "launcher:mult",
    ("logs", "mult.2"): "too large",
    ("graph",): "2 runs",
    ("usage",): "wall time",
    ("lineage", "mult.1"): "mult.1",
    ("diff", "mult.1", "mult.2"): "failure_reason",
    ("du",): "database",
    ("orchestrator", "status"): "no orchestrator",
}
SOME = [("table", "mult"), ("sql", "select count(*) from mult"), ("info",), ("graph",)]
CHANGES = [
    *(("cancel", "mult.1"), ("retry", "mult.2"), ("clean", "--delete", "--yes"), ("pack",)),
    *(("kill",), ("run",), ("supervise", "--detach"), ("launcher",), ("create", "--yes")),
    *(("orchestrator", "start", "--run_name", "x"), ("orchestrator", "stop"), ("upgrade",)),
    *(("restart", "bus"), ("upgrade-study", "mult", "--apply"), ("events",)),
    ("info", "-", "runs", "info"),
]


@pytest.fixture(scope="module")
def place():
    with open_place() as place:
        yield place


def written(directory):
    """A workflow whose second run fails."""
    flow = write_workflow(directory, ("mult", "add"))
    (directory / "mult" / "doIt.py").write_text(FAILING)
    return flow


def all_are_recorded(flow):
    """Wait until the launcher has recorded how each run has ended: nothing is written any more."""

    def recorded():
        done = flow.motoko("table", "mult", "--columns", "exit_code", "--format", "jsonl")
        codes = [json.loads(line)["exit_code"] for line in done.stdout.splitlines()]
        assert sorted(codes, key=str) == [0, 1], codes
        return True

    wait_until(recorded, "all is recorded")


@pytest.fixture(scope="module")
def flow(place):
    for flow in supervised(place / "wf", written(place / "wf")):
        assert flow.motoko("orchestrator", "start", "--run_name", "first").returncode == 1
        all_are_recorded(flow)
        yield flow


@pytest.fixture
def ask(flow, place):
    """What commands of the colleague's show, in the workflow's directory."""

    def ask(*lines, **options):
        return commands(*lines, cwd=flow.directory, place=place / "home", **options)

    return ask


def kept(directory):
    """All files, and what each write changes of them; logs apart."""
    return {
        str(path): (info.st_mode, info.st_ino, info.st_mtime_ns, info.st_size)
        for path in [directory, *directory.rglob("*")]
        if path.suffix != ".log"
        for info in [path.lstat()]
    }


def check_views(answers):
    for line, shown in answers.items():
        wanted = VIEWS[line]
        assert shown.code == 0, (line, shown)
        assert wanted in shown.out, (line, shown)
        assert "motoko: as of 20" in shown.err and OWNERS in shown.err, (line, shown)
        if line[0] == "logs":
            continue  # what was called is told there
        suggested = (shown.out + shown.err).replace(VIEWS[("explain", "mult.2")], "")
        for command in ("supervise", "retry", "create", "kill", "upgrade", "restart"):
            assert f"motoko {command}" not in suggested, (line, shown)
        assert "read from the database" not in shown.err, (line, shown)  # the mirror tells all


def test_views(flow, ask, place):
    """All is shown, with its age; nothing is written, and nothing is suggested."""
    before, daemons = kept(flow.directory), flow.pids()
    report = ("report", "-o", str(place / "home" / "report.html"))
    answers = ask(*VIEWS, report, ("report",), ("ps",), ("validate",), ("doctor",))
    check_views({line: answers[line] for line in VIEWS})
    assert f"whose supervisor on {HOST} answers only it" in answers["ps",].err
    assert "zeo:mult" in answers["ps",].out and answers["ps",].code == 1
    assert answers[report].code == 0 and (place / "home" / "report.html").stat().st_uid == ACCOUNT
    assert (
        answers["report",].code == 1 and "report.html cannot be written" in answers["report",].err
    )
    assert answers["validate",].code == 0
    assert answers["doctor",].code == 0 and OWNERS in answers["doctor",].out
    assert kept(flow.directory) == before
    assert flow.pids() == daemons and flow.state() == "ready"


def test_changes(flow, ask):
    """What needs the owner's account says whose workflow it is, and where."""
    before, daemons = kept(flow.directory), flow.pids()
    for line, shown in ask(*CHANGES).items():
        assert shown.code == 1, (line, shown)
        wanted = f"belongs to {ME}, who supervises it on {HOST}: this account"
        assert wanted in shown.err and "[another-account]" in shown.err, (line, shown)
        assert len(shown.err.splitlines()) == 2, (line, shown)
    assert kept(flow.directory) == before
    assert flow.pids() == daemons and flow.state() == "ready"


@pytest.mark.parametrize(
    "closed", ["mult/.bd/bd.zeo", ".wf/mirror", ".wf/daemons", "mult/BD-mult-runs/run-2"]
)
def test_closed(flow, ask, closed):
    """What cannot be read is named, with who can change that; all else is shown."""
    path = flow.directory / closed
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode & 0o700)
    try:
        answers = ask(("table", "mult"), ("info",), ("explain", "mult.2"), ("ps",))
    finally:
        path.chmod(mode)
    lacking = {
        "mult/.bd/bd.zeo": ["table mult", "info", "explain mult.2"],
        ".wf/daemons": ["ps"],
        "mult/BD-mult-runs/run-2": ["explain mult.2"],
    }.get(closed, [])
    for line, shown in answers.items():
        texts = shown.out + shown.err
        ends_so = line[0] == "explain" and "explain mult.2" not in lacking
        assert ("Traceback" in texts) == ends_so, (line, shown)
        rights = "rx" if path.is_dir() else "r"
        remedy = f"{path} is closed to this account"
        assert (remedy in texts) == (" ".join(line) in lacking), (line, shown)
        if remedy in texts:
            assert f"{ME} can open it: chmod o+{rights} {path}" in texts, (line, shown)
    assert "add" in answers["info",].out


def test_python(flow, place):
    """A script reads the results; what would change them is refused."""
    code = (
        "import sys; from motoko.workflow import Workflow\n"
        f"flow = Workflow({str(flow.path)!r}, read_only=True)\n"
        "print([run.y for run, job in flow.mult.select('state = FINISHED')])\n"
    )
    done = as_colleague(sys.executable, "-P", "-c", code, cwd=place, place=place / "home")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[2.0]\n"


def test_live_views(flow, place):
    """What top and web show: the files' last state, and that they cannot know more."""
    code = (sys.executable, "-P", "-c", LIVE, "untold", "mult.2")
    done = as_colleague(*code, cwd=flow.directory, place=place / "home")
    assert done.returncode == 0, done.stderr
    shown, _, page, detail = json.loads(done.stdout)
    notes = "\n".join(shown["notes"])
    assert "of another account" in notes, notes
    assert f"belongs to {ME}" in notes and "the files are looked at every 2 s" in notes, notes
    assert notes.count("may only look at it") == 1, notes
    assert "motoko supervise" not in notes, notes
    mult, add = shown["studies"]
    assert (mult["runs"], mult["states"]["failed"], mult["problem"], add["runs"]) == (2, 1, "", 0)
    assert mult["at"] is not None
    assert {one["state"] for one in shown["processes"]} == {"of another account", "unknown"}
    assert "only a supervisor knows" in shown["idle"]
    assert [run["state"] for run in page["runs"]] == ["FINISHED", "FAILED"]
    assert page["without"] is None
    assert "too large" in detail["explanation"] and detail["outputs"]


def test_unsupervised(flow, ask):
    """After kill -9 of all that writes, and after `motoko kill`: the same, from the files."""
    for name in ("supervisor", "watcher"):
        kill9(json.loads((flow.directory / ".wf" / "daemons" / f"{name}.json").read_text())["pid"])
    check_views(ask(*SOME))
    flow.supervise()
    assert flow.motoko("kill").returncode == 0
    before = kept(flow.directory)
    answers = ask(*SOME, ("ps",), *CHANGES)
    check_views({line: answers[line] for line in SOME})
    assert answers["ps",].code == 3
    for line in CHANGES:
        wanted = f"belongs to {ME}: this account"
        assert answers[line].code == 1 and wanted in answers[line].err, (line, answers[line])
    assert kept(flow.directory) == before


def test_umask(place):
    """What Motoko writes has the rights that the umask leaves; the group's members read it."""
    flow = written(place / "group")
    (private := place / "sockets").mkdir(mode=0o700)

    def owner(*arguments):
        environment = {**os.environ, "TMPDIR": str(private)}
        command = motoko_command(*arguments)
        return subprocess.run(
            command, umask=0o027, cwd=flow.directory, env=environment, check=False
        ).returncode

    made = set(flow.directory.rglob("*"))
    try:
        assert owner("create") == owner("supervise", "--detach") == 0
        assert owner("orchestrator", "start", "--run_name", "first") == 1
        all_are_recorded(flow)
        for path in set(flow.directory.rglob("*")) - made:
            is_program = path.is_dir() or path.name == "launch.sh"
            # Slots are locks, which nobody else may take. doIt.py is a copy, with its own rights.
            if path.parent.name != "slots" and path.name != "doIt.py":
                mode = stat.S_IMODE(path.stat().st_mode)
                assert mode == (0o750 if is_program else 0o640), (path, oct(mode))
        for path in [flow.directory, *flow.directory.rglob("*")]:
            os.chown(path, -1, GROUP)
            path.chmod(path.stat().st_mode & 0o770)
        lines = [("table", "mult"), ("explain", "mult.2")]
        check_views(commands(*lines, cwd=flow.directory, place=place / "home", group=GROUP))
        outside = ("-C", str(flow.directory), "info")
        stranger = commands(outside, cwd=place, place=place / "home")[outside]
        assert stranger.code == 2 and f"{flow.directory}' is not readable" in stranger.err, stranger
    finally:
        assert owner("kill", "--now") == 0
