"""``motoko doctor``: each check finds the fault that is made here, and says what to do about it."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from support import motoko_command

from motoko.control import outdated_daemons
from motoko.health import examination, judgements
from motoko.health.check_findings import Finding, Level
from motoko.health.looked_at import place_of
from motoko.host.sizes import MB
from motoko.reports.status import collect

MB_OF_DATA = 6
ACCOUNT = 30000 + os.getpid() % 10000  # nobody else's
PRELOADED = {
    "locks": "#include <errno.h>\nint flock(int f, int o) { errno = ENOLCK; return -1; }\n",
    "clocks": (Path(__file__).parents[1] / "hosts" / "shifted_clock.c").read_text(),
}


def found(place, check):
    """What a check finds, by its name, of warnings and failures."""
    return [f for f in examination.guarded(check, place) if f.level is not Level.OK]


def one(place, check, level, *words):
    """The one thing that a check finds; every finding has a remedy."""
    findings = found(place, check)
    assert len(findings) == 1, findings
    (finding,) = findings
    assert finding.level == level and finding.remedy, finding
    for word in words:
        assert word in finding.text, finding
    return finding


LIMITED = """
import os, resource, sys
import psutil
import msgspec
from pathlib import Path
from motoko.health import examination
from motoko.health.looked_at import Place

check, directory, limit, value, account = sys.argv[1:]
if account:
    os.setgroups([])
    os.setgid(int(account))
    os.setuid(int(account))
resource.setrlimit(int(limit), (int(value), int(value)))
found = examination.guarded(getattr(examination, check), Place(Path(directory), None))
sys.stdout.buffer.write(msgspec.json.encode(list(found)))
"""


def limited(directory, check, limit, value):
    """What a check finds in a process with a limit, by name, of warnings and failures."""
    # No limit of processes binds root.
    account = ACCOUNT if limit == resource.RLIMIT_NPROC and os.getuid() == 0 else ""
    arguments = (directory, limit, value, account)
    done = subprocess.run(
        [*(sys.executable, "-P", "-c", LIMITED, check), *map(str, arguments)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    findings = msgspec.json.decode(done.stdout, type=list[Finding])
    return {f.check: f for f in findings if f.level is not Level.OK}


@pytest.fixture
def flow(workflow):
    return workflow()


@pytest.fixture
def place(flow):
    return place_of(flow.directory)


def test_a_good_place(flow):
    """All is well but what this machine lacks itself; with and without a workflow."""
    empty = flow.directory / "empty"
    empty.mkdir()
    for directory, name in ((flow.directory, "sockets"), (empty, "memory")):
        done = flow.motoko("doctor", str(directory), "--json")
        answer = json.loads(done.stdout)
        levels = {f["check"]: f["level"] for f in answer["findings"]}
        assert answer["directory"] == str(directory)
        assert levels["workflow"] == levels["locks"] == levels[name] == "ok", answer
        failed = "failure" in levels.values()
        assert done.returncode == (1 if failed else 0), done.stderr
    shown = flow.motoko("doctor").stdout
    assert "ok       locks" in shown and f"{flow.directory}: " in shown.splitlines()[-1]
    done = flow.motoko("doctor", "nowhere")
    assert done.returncode == 2 and "nowhere [config-error]" in done.stderr


def test_a_broken_workflow(flow):
    """The machine is looked at all the same."""
    text = flow.path.read_text()
    flow.path.write_text(f"{text}slots: many\n")
    done = flow.motoko("doctor")
    flow.path.write_text(text)
    assert done.returncode == 1, done.stdout
    assert "failure  workflow" in done.stdout and "slots" in done.stdout
    assert "remedy: " in done.stdout and "ok       locks" in done.stdout


def test_what_is_suspicious(flow):
    """What `supervise` warns of."""
    flow.path.write_text(f"{flow.path.read_text()}retires: 2\n")
    found_here = one(place_of(flow.directory), examination.workflow, "warning", "retires")
    assert msgspec.to_builtins(found_here)["level"] == "warning"


def test_not_created(flow):
    shutil.rmtree(flow.directory / "mult" / ".bd", ignore_errors=True)
    one(place_of(flow.directory), examination.workflow, "warning", "mult")


def test_versions(place, tmp_path, monkeypatch):
    """Another version comes first on the path."""
    info = tmp_path / "ZEO-5.4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ZEO\nVersion: 5.4.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    finding = one(place, examination.software, "failure", "ZEO 5.4.0")
    assert "pip install 'ZEO" in finding.remedy


@pytest.mark.parametrize("check", PRELOADED)
def test_of_the_c_library(flow, tmp_path, check):
    """A file system without locks, and a clock that is an hour ahead."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "fault.c", tmp_path / "fault.so"
    source.write_text(PRELOADED[check])
    options = ["-shared", "-fPIC", "-DSHIFT=3600"]
    subprocess.run([compiler, *options, "-o", library, source], check=True)
    done = subprocess.run(
        motoko_command("doctor", "--json"),
        cwd=flow.directory,
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (failure,) = (f for f in json.loads(done.stdout)["findings"] if f["level"] == "failure")
    assert failure["check"] == check and failure["remedy"], failure


def test_sockets(flow):
    for wrong in ("x" * 90, "open"):
        path = flow.directory / wrong
        path.mkdir(mode=0o755)
        text = flow.path.read_text()
        flow.path.write_text(f"{text}runtime_dir: {path}\n")
        one(place_of(flow.directory), examination.sockets, "failure", str(path))
        flow.path.write_text(text)


def test_privacy(flow, place):
    flow.directory.chmod(0o777)
    one(place, examination.privacy, "failure", str(flow.directory))
    flow.directory.chmod(0o700)
    key = flow.directory / ".wf" / "channel" / "key.pem"
    key.parent.mkdir(parents=True)
    key.write_text("no key")
    key.chmod(0o644)
    one(place, examination.privacy, "failure", "key.pem")


@pytest.mark.parametrize(
    ("limit", "value", "check"),
    [
        (resource.RLIMIT_NOFILE, 100, "open files"),
        (resource.RLIMIT_CPU, 600, "CPU time"),
        (resource.RLIMIT_FSIZE, 50 * MB, "file size"),
        (resource.RLIMIT_AS, 1500 * MB, "memory"),
        (resource.RLIMIT_NPROC, 20, "processes"),
    ],
)
def test_limits(tmp_path, limit, value, check):
    findings = limited(tmp_path, "limits", limit, value)
    assert check in findings and findings[check].remedy, findings


def test_disk(tmp_path):
    """A file that may not be written is noticed, and so is a small file system."""
    by_limit = limited(tmp_path, "disk", resource.RLIMIT_FSIZE, 1000)
    assert by_limit["disk"].level is Level.FAILURE and "too large" in by_limit["disk"].text
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=50", "tmpfs", str(mounted)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("to mount something needs root")
    try:
        findings = found(place_of(mounted), examination.disk)
        assert {f.check: f.level for f in findings} == {
            "disk": Level.FAILURE,
            "inodes": Level.FAILURE,
        }
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def test_capacity(flow):
    """More runs at a time than there are processors."""
    flow.path.write_text(f"{flow.path.read_text()}slots: 100000\n")
    finding = one(place_of(flow.directory), examination.capacity, "warning", "100000 runs")
    assert "slots: " in finding.remedy


def test_scheduler(flow, tmp_path, monkeypatch):
    """The scheduler's commands are missing, or fail."""
    flow.path.write_text(f"{flow.path.read_text()}generator: slurm\n")
    place = place_of(flow.directory)
    monkeypatch.setenv("PATH", str(tmp_path))
    one(place, examination.scheduler, "failure", "sbatch")
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    one(place, examination.scheduler, "failure", "squeue", "no controller")


def test_network(flow):
    text = flow.path.read_text()
    entry = "mult: {host: 'zeo://localhost:40123', insecure_tcp: true}"
    flow.path.write_text(text.replace("mult:", entry))
    one(place_of(flow.directory), examination.network, "warning", "zeo://localhost:40123")


def test_nodes_without_a_scheduler(flow):
    done = flow.motoko("doctor", "--nodes")
    assert done.returncode == 1 and "no study is handed to a batch system" in done.stdout


def test_daemons_and_databases(flow, monkeypatch):
    """Old daemons are named; so is a database whose records were written again and again."""
    import ZODB

    monkeypatch.setattr(judgements, "PACK_FROM", 5 * MB)
    flow.supervise()
    place = place_of(flow.directory)
    assert found(place, examination.daemons) == []
    monkeypatch.setattr(outdated_daemons, "installed_at", time.time)
    old = {f.text.split()[0] for f in found(place, examination.daemons)}
    (warning,) = collect(place.config).warnings
    assert set(re.findall("[a-z]+(?::mult)?", warning)) >= old
    monkeypatch.undo()
    monkeypatch.setattr(judgements, "PACK_FROM", 5 * MB)
    assert old == {"supervisor", *flow.daemons()}
    assert found(place, examination.databases) == []
    assert flow.motoko("kill").returncode == 0
    log = place.config.studies["mult"].database.transactions
    database = ZODB.DB(str(log))
    with database.transaction() as connection:
        connection.root()["large"] = b""
    for number in range(MB_OF_DATA):
        with database.transaction() as connection:
            connection.root()["large"] = bytes([number]) * 10**6
    database.close()
    remedy = one(place, examination.databases, "warning", "mult").remedy
    assert "`motoko pack mult`" in remedy
    packed = flow.motoko("pack", "mult", "--days", "0")
    assert packed.returncode == 0, packed.stderr
    assert found(place, examination.databases) == []
    assert flow.motoko("info").returncode == 0
