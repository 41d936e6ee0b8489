"""What figures mean: each threshold from both sides."""

from pathlib import Path

import pytest

from motoko.health import judgements as judge
from motoko.health.check_findings import Finding, Level, ok
from motoko.health.judgements import Limits
from motoko.health.node_examination import NodeAnswer, judged
from motoko.host.sizes import MB

HERE = Path("/here")


def levels(findings):
    return {finding.check: str(finding.level) for finding in findings}


@pytest.mark.parametrize(
    ("version", "limits", "fits"),
    [
        ("6.2", "<7,>=6.1", True),
        ("6.0.9", "<7,>=6.1", False),
        ("7", "<7,>=6.1", False),
        ("1.3.9", ">=1.3.9", True),
        ("1.3.10", ">=1.3.9,<2", True),
        ("2.0.dev1", "<2", False),
        ("3.1", "==3.1.0,!=3.2", True),
    ],
)
def test_versions(version, limits, fits):
    assert judge.fits(version, limits) is fits


def test_requirements():
    asked = ["ZEO<7,>=6.1", "click>=8", "gone>=1", "ase>=3; extra == 'examples'"]
    found = list(judge.versions(asked, {"ZEO": "5.4", "click": "8.1", "gone": None}))
    assert [(f.level, f.text.split()[0]) for f in found] == [
        (Level.FAILURE, "ZEO"),
        (Level.FAILURE, "gone"),
        (Level.OK, "click"),
    ]
    assert found[0].remedy == "pip install 'ZEO<7,>=6.1'"


@pytest.mark.parametrize(
    ("limits", "check", "level"),
    [
        (Limits(), "open files", "ok"),
        (Limits(files=500), "open files", "warning"),
        (Limits(files=100), "open files", "failure"),
        (Limits(processes=1000, used=10), "processes", "ok"),
        (Limits(processes=1000, used=900), "processes", "warning"),
        (Limits(processes=1000, used=960), "processes", "failure"),
        (Limits(cpu_s=7 * 86400), "CPU time", "warning"),
        (Limits(cpu_s=3600), "CPU time", "failure"),
        (Limits(file_size=1000 * MB), "file size", "warning"),
        (Limits(file_size=1 * MB), "file size", "failure"),
        (Limits(address_space=1000 * MB), "memory", "warning"),
        (Limits(address_space=100 * MB), "memory", "failure"),
    ],
)
def test_limits(limits, check, level):
    assert levels(judge.limits(limits, daemons=5)) == {"open files": "ok", check: level}


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (judge.memory(10**9, None, 5), "ok"),
        (judge.memory(10**9, 300 * MB, 5), "warning"),
        (judge.memory(10**9, 10 * MB, 5), "failure"),
        (judge.cpus(8, None, 8), "ok"),
        (judge.cpus(8, 1.5, None), "warning"),
        (judge.clock(HERE, -2.0), "ok"),
        (judge.clock(HERE, 30.0), "warning"),
        (judge.clock(HERE, -3600.0), "failure"),
        (judge.logout("me", ended=True), "warning"),
        (judge.kept_locks(HERE, "nfs4", frozenset({"rw"})), "ok"),
        (judge.kept_locks(HERE, "nfs", frozenset({"local_lock=all"})), "warning"),
        (judge.packing("mult", 40 * MB, 39 * MB), "ok"),
        (judge.packing("mult", 90 * MB, 20 * MB), "ok"),
        (judge.packing("mult", 90 * MB, 60 * MB), "warning"),
    ],
)
def test_single_figures(finding, level):
    assert finding.level == level
    assert bool(finding.remedy) == (level != "ok")


def test_disk():
    assert levels(judge.disk(HERE, 10**10, None)) == {"disk": "ok"}
    assert levels(judge.disk(HERE, 500 * MB, 10**6)) == {"disk": "warning"}
    assert levels(judge.disk(HERE, MB, 10)) == {"disk": "failure", "inodes": "failure"}
    assert levels(judge.disk(HERE, 10**10, 1000)) == {"disk": "ok", "inodes": "warning"}
    (full,) = judge.disk(HERE, 10**10, None, "Disk quota exceeded")
    assert full.level is Level.FAILURE and "Disk quota exceeded" in full.text


def test_processes_of_a_control_group():
    assert list(judge.group_processes(None, 5)) == []
    assert levels(judge.group_processes(20, 5)) == {"processes": "failure"}
    assert levels(judge.group_processes(1000, 5)) == {"processes": "ok"}


def test_daemons():
    old = judge.age("bus")
    assert old.level is Level.WARNING and "bus" in old.text


def test_a_node():
    answer = NodeAnswer("n1", {"motoko": "0.1", "ZEO": "6.2"}, [ok("locks", "fine")])
    here = {"motoko": "0.2", "ZEO": "6.2"}
    different, locks = judged(answer, here)
    assert different.level is Level.FAILURE and "motoko 0.1 there and 0.2 here" in different.text
    assert locks == Finding("nodes: locks", Level.OK, "n1: fine")
    assert [f.level for f in judged(answer, answer.versions)] == [Level.OK, Level.OK]
