"""`motoko publish`: what others read, replaced at once, and never half of it."""

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from colleagues import as_colleague, commands, open_place, why_impossible
from support import motoko_command, supervised, wait_until, write_workflow

SUM = "select sum(y) from mult where run_name = 'first'"
SECRET = "tk-4711-never-published"
CREATE = """\
import sys
from motoko.workflow import Workflow
flow = Workflow("motoko.yaml")
flow.run_name = sys.argv[1]
for value in sys.argv[2:]:
    flow.mult.createTask(x=float(value), commit=True)
"""


@pytest.fixture(scope="module")
def place():
    with open_place() as place:
        yield place


@pytest.fixture(scope="module")
def flow(place):
    flow = write_workflow(place / "wf", ("mult", "add"))
    flow.path.write_text(
        f"{flow.path.read_text()}environment: {{TOKEN: {SECRET}}}\naliases: {{twice: mult}}\n"
        f"notify: {{to: ['discord://4711/{SECRET}']}}\n"
    )
    for running in supervised(place / "wf", flow):
        done = running.motoko("orchestrator", "start", "--run_name", "first")
        assert done.returncode == 0, done.stderr
        yield running


@pytest.fixture
def public(place, request):
    """A place for a publication of the test's own."""
    return place / request.node.name


def published(flow, public):
    done = flow.motoko("publish", str(public))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((public / "publication.json").read_text())


def rows(public):
    with open(public / "tables" / "mult.csv") as file:
        return list(csv.DictReader(file))


def test_what_is_in_it(flow, public):
    """A report, tables, databases that cannot be changed; nothing that is private."""
    marker = published(flow, public)
    assert marker["workflow"] == str(flow.directory) and set(marker["studies"]) == {"mult", "add"}
    first = [(row["id"], row["y"]) for row in rows(public) if row["run_name"] == "first"]
    assert first == [("1", "2.0"), ("2", "4.0")]
    assert "<html" in (public / "report.html").read_text()
    assert (public / "tables" / "mult.parquet").stat().st_size
    for path in public.resolve().rglob("*"):
        assert not path.stat().st_mode & 0o222, path
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    names = {path.name for path in public.iterdir()}
    assert names == {
        *("publication.json", "report.html", "tables", "motoko.yaml", "orchestrator.py"),
        *("mult", "add", ".wf"),
    }
    assert {path.name for path in (public / ".wf").iterdir()} == {"mirror", "format"}
    assert {path.name for path in (public / "mult").iterdir()} == {
        *("bd.yaml", "launch.sh", "doIt.py", ".bd")
    }


@pytest.mark.skipif(why_impossible() is not None, reason=str(why_impossible()))
def test_for_others(flow, place, public):
    """Commands and Python work there for another account, also when the original is gone."""
    published(flow, public)
    code = (
        "from motoko.workflow import Workflow\n"
        f"flow = Workflow({str(public / 'motoko.yaml')!r}, read_only=True)\n"
        "print([run.y for run, job in flow.twice.select('x > 1 and run_name = first')])\n"
    )
    lines = [("info",), ("table", "mult"), ("sql", SUM), ("explain", "add.1")]
    flow.directory.chmod(0o700)
    try:
        shown = commands(*lines, cwd=public, place=place / "home")
        script = as_colleague(sys.executable, "-P", "-c", code, cwd=place, place=place / "home")
        (refused,) = commands(("supervise",), cwd=public, place=place / "home").values()
    finally:
        flow.directory.chmod(0o755)
    assert all(answer.code == 0 for answer in shown.values()), shown
    assert "read from the database" not in shown["table", "mult"].err
    assert shown["sql", SUM].out.split()[-1] == "6.0"
    assert script.stdout == "[4.0]\n", script.stderr
    assert refused.code == 1 and "[published]" in refused.err
    assert not list(public.resolve().rglob("*.sqlite-*"))


def test_at_one_transaction(flow, public, place):
    """Of a workflow that is written meanwhile: each table is that of the database's transaction."""
    writer = subprocess.Popen(
        [sys.executable, "-c", CREATE, "second", *map(str, range(100, 116))], cwd=flow.directory
    )
    try:
        for _ in range(2):
            tid = published(flow, public)["studies"]["mult"]
            here = rows(public)
            done = flow.motoko("table", "mult", "--at", tid, "-o", str(place / "then.csv"))
            assert done.returncode == 0, done.stderr
            with open(place / "then.csv") as file:
                then = list(csv.DictReader(file))
            assert here == then
    finally:
        assert writer.wait(60) == 0


def test_replaced_at_once(flow, public):
    """A reader finds all at any moment; one that has the version before open goes on."""
    published(flow, public)
    done, wrong, seen = threading.Event(), [], set()

    def read():
        while not done.is_set():
            try:
                version = public.resolve()
                rows(public)
                seen.add(json.loads((public / "publication.json").read_bytes())["made"])
                rows(version)
            except (OSError, ValueError) as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    held = os.open(public, os.O_RDONLY | os.O_DIRECTORY)
    reader.start()
    try:
        for _ in range(2):
            published(flow, public)
            os.close(os.open("tables/mult.csv", os.O_RDONLY, dir_fd=held))
            os.close(held)
            held = os.open(public, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        done.set()
        reader.join()
        os.close(held)
    assert not wrong and len(seen) >= 2, wrong
    versions = public.with_name(f".{public.name}-versions")
    assert len([path for path in versions.iterdir() if path.is_dir()]) == 2


def test_killed(flow, public):
    """kill -9 leaves what was published before, and the next publication is whole."""
    published(flow, public)
    before = public.resolve()
    versions = before.parent
    process = flow.begin("publish", str(public))
    wait_until(lambda: [*versions.glob("unfinished/*/mult")], "it is being made")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert public.resolve() == before and rows(public)
    assert published(flow, public) and public.resolve() != before
    assert not (versions / "unfinished").exists()


def test_refused(flow, place, public, workflow):
    """Whatever is in the place stays as it was."""
    public.mkdir()
    (public / "mine").write_text("x")
    other = place / "another"
    published(flow, other)
    (link := place / "link").symlink_to(public)
    for target, text in (
        (public, "no publication, and no empty directory"),
        (public / "mine", "no publication, and no empty directory"),
        (link, "no publication, and no empty directory"),
        (flow.directory / "public", "in the workflow's own directory"),
        (place / "missing-versions" / "x" / "y", None),
    ):
        done = flow.motoko("publish", str(target))
        if text is None:
            assert done.returncode == 0, done.stderr
            continue
        assert done.returncode == 2 and text in done.stderr, (target, done)
    assert [path.name for path in public.iterdir()] == ["mine"]
    assert not (flow.directory / "public").exists()
    stranger = workflow("other")
    done = stranger.motoko("publish", str(other))
    assert done.returncode == 2 and f"another workflow: {flow.directory}" in done.stderr, done
    (empty := place / "empty").mkdir()
    assert published(flow, empty) and empty.is_symlink()


def test_rights(flow, place, public):
    """By the umask, but nobody may write."""
    done = subprocess.run(
        motoko_command("publish", str(public)), cwd=flow.directory, umask=0o027, check=False
    )
    assert done.returncode == 0
    for path in public.resolve().rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o550 if path.is_dir() else 0o440), (path, oct(mode))


def test_nothing_is_executed_there(flow, public):
    """Not even for the superuser, who could write."""
    published(flow, public)
    for line in (["supervise"], ["run"], ["create"], ["retry", "mult.1"], ["clean", "mult.1"]):
        refused = flow.motoko("-C", str(public), *line)
        assert refused.returncode == 1 and "[published]" in refused.stderr, (line, refused)
    assert not list((public / ".wf").rglob("*.lock"))
