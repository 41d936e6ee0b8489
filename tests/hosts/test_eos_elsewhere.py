"""examples/eos on nodes that are other hosts, by changing one line of motoko.yaml."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "eos"
FILES = {"direct.py", "orchestrator.py", "motoko.yaml", "bd.yaml", "doIt.py", "launch.sh"}
METALS = ("Al",)


def copied(place):
    for path in EXAMPLE.rglob("*"):
        if path.name in FILES:
            target = place / path.relative_to(EXAMPLE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def test_one_line_is_changed(lab, slurm):
    pytest.importorskip("ase")
    pytest.importorskip("matplotlib")
    place = lab.shared / "eos"
    copied(place)
    with open(place / "motoko.yaml", "a") as file:
        file.write("generator: slurm\n")
    direct = [sys.executable, str(place / "direct.py"), *METALS]
    expected = json.loads(
        subprocess.run(direct, capture_output=True, timeout=120, check=True).stdout
    )
    try:
        done = lab.head.motoko("run", str(place), "--metals", *METALS, timeout=250)
    finally:
        lab.head.motoko("kill", "--now", str(place))
    assert done.returncode == 0, done.stderr
    report = json.loads((place / "report.json").read_text())
    assert list(report) == list(expected) == list(METALS)
    for metal in METALS:
        for name, value in expected[metal].items():
            assert report[metal][name] == pytest.approx(value, rel=0.01), (metal, name)
    runs = sum(1 for _ in place.glob("*/BD-*-runs/run-*"))

    def completed():
        # Other tests' jobs are still in the queue's list for a while.
        own = [job for job in slurm.jobs() if Path(job["directory"]).is_relative_to(place)]
        return [job for job in own if job["state"] == "COMPLETED"]

    assert runs >= 13
    wait_until(lambda: len(completed()) >= runs, "Slurm calls all of them COMPLETED")
    assert {job["node"] for job in completed()} <= {node.name for node in lab.nodes}
