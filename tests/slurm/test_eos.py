"""examples/eos on Slurm: by changing motoko.yaml alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_motoko, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "eos"
STUDIES = ("energy", "fit", "report")
METALS = ("Al",)


def test_by_changing_motoko_yaml_alone(cluster, calls, tmp_path):
    pytest.importorskip("ase")
    pytest.importorskip("matplotlib")
    place = tmp_path / "eos"
    place.mkdir()
    for name in ("direct.py", "orchestrator.py", "motoko.yaml"):
        shutil.copy(EXAMPLE / name, place)
    for study in STUDIES:
        (place / study).mkdir()
        for name in ("bd.yaml", "doIt.py", "launch.sh"):
            shutil.copy(EXAMPLE / study / name, place / study)
    with open(place / "motoko.yaml", "a") as file:
        file.write("generator: slurm\nbatch: {poll_interval: 5s}\n")
    direct = [sys.executable, str(place / "direct.py"), *METALS]
    expected = json.loads(
        subprocess.run(direct, capture_output=True, timeout=120, check=True).stdout
    )
    try:
        done = run_motoko("run", str(place), "--metals", *METALS, timeout=170)
    finally:
        run_motoko("kill", "--now", str(place))
    assert done.returncode == 0, done.stderr
    report = json.loads((place / "report.json").read_text())
    assert list(report) == list(expected) == list(METALS)
    for metal in METALS:
        for name, value in expected[metal].items():
            assert report[metal][name] == pytest.approx(value, rel=0.01), (metal, name)
    runs = sum(1 for _ in place.glob("*/BD-*-runs/run-*"))
    assert runs >= 13
    assert len(calls.all("sbatch")) < runs, "those that were created together are arrays"
    # The last one may still be COMPLETING.
    wait_until(
        lambda: [job["state"] for job in cluster.jobs()].count("COMPLETED") >= runs,
        "Slurm calls all of them COMPLETED",
    )
