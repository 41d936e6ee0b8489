"""The examples, as a newcomer runs them: one command, and nothing is left."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import crate_validator
import pytest
from browsers import check_layout, chromium, why_none
from support import Flow, processes_in, run_motoko, sockets_in, wait_until
from web_servers import addresses, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURES = EXAMPLES.parent / "docs" / "pictures"
LEFT_BEHIND = (".wf", ".bd", "BD-*", "__pycache__", "result.json", "report.*")


def copy(name, target):
    shutil.copytree(
        EXAMPLES / name,
        target,
        # `report` is also the name of a study.
        ignore=lambda place, names: {
            each
            for pattern in LEFT_BEHIND
            for each in shutil.ignore_patterns(pattern)(place, names)
        },
    )
    return target


@pytest.fixture
def long_directory(tmp_path):
    """A directory whose path has more than 200 characters and spaces."""
    place = tmp_path / ("a long name with spaces " * 10)[: max(30, 201 - len(str(tmp_path)))]
    assert len(str(place)) >= 200
    yield place
    if (place / "motoko.yaml").exists():
        run_motoko("kill", "--now", str(place))


class TestMinimal:
    RESULT = {"inputs": [3.0, 4.0, 12.0], "total": 169.0, "length": 13.0}  # noqa: RUF012

    def test_one_command_and_again(self, long_directory, tmp_path):
        copy("minimal", long_directory)
        done = run_motoko("run", cwd=long_directory)
        assert done.returncode == 0, done.stderr
        assert json.loads((long_directory / "result.json").read_text()) == self.RESULT
        assert "length of [3.0, 4.0, 12.0] = 13.0" in done.stdout
        for words in ("created: square, total, root", "supervisor started", "3 finished"):
            assert words in done.stderr
        assert "Traceback" not in done.stderr
        # It has waited for what it stopped.
        assert not list(processes_in(tmp_path))
        assert not sockets_in(Path(os.environ["TMPDIR"]), tmp_path)
        assert run_motoko("ps", str(long_directory)).returncode == 3
        # Again it goes on where it was.
        (long_directory / "result.json").unlink()
        started = sorted(long_directory.glob("*/BD-*-runs/*/.motoko/attempt-1"))
        times = [path.stat().st_mtime_ns for path in started]
        assert len(started) == 5
        # From elsewhere, and under the same run_name: all is there already.
        done = run_motoko("run", str(long_directory), cwd=long_directory.parent)
        assert done.returncode == 0, done.stderr
        assert json.loads((long_directory / "result.json").read_text()) == self.RESULT
        again = sorted(long_directory.glob("*/BD-*-runs/*/.motoko/attempt-*"))
        assert again == started and [path.stat().st_mtime_ns for path in again] == times

    def test_own_options_beside_a_supervisor_that_it_found(self, long_directory):
        copy("minimal", long_directory)
        assert "--inputs" in run_motoko("run", str(long_directory), "--help").stdout
        assert run_motoko("create", str(long_directory)).returncode == 0
        done = run_motoko("supervise", "--detach", str(long_directory))
        assert done.returncode == 0, done.stderr
        before = json.loads(run_motoko("ps", "--json", str(long_directory)).stdout)
        done = run_motoko("run", str(long_directory), "--run_name", "other", "--inputs", "5", "12")
        assert done.returncode == 0 and "supervisor found" in done.stderr, done.stderr
        result = json.loads((long_directory / "result.json").read_text())
        assert result == {"inputs": [5.0, 12.0], "total": 169.0, "length": 13.0}
        # It leaves the supervisor.
        after = json.loads(run_motoko("ps", "--json", str(long_directory)).stdout)
        assert [d["pid"] for d in after["daemons"]] == [d["pid"] for d in before["daemons"]]
        assert after["orchestrators"] == []

    def test_a_failing_run(self, long_directory, tmp_path):
        copy("minimal", long_directory)
        (long_directory / "square" / "launch.sh").write_text("echo oops >&2; exit 3\n")
        done = run_motoko("run", str(long_directory))
        assert done.returncode == 1
        assert "exit code 3" in done.stderr and "oops" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (long_directory / "result.json").exists()
        assert not list(processes_in(tmp_path))


def check_views(place, tmp_path):
    """The example's report and web page, on a screen and on a phone."""
    if why := why_none():
        warnings.warn(f"its report and page are not looked at: {why}", stacklevel=2)
        return

    def picture(name):
        keeps = os.environ.get("WRITE_SCREENS")
        return lambda w, h: PICTURES / f"{name}-{w}x{h}.png" if keeps else None

    page = tmp_path / "page.html"
    assert run_motoko("report", str(place), "-o", str(page)).returncode == 0
    with chromium(tmp_path / "profile") as driver, serving(place, "--port", "0") as out:
        driver.get(page.as_uri())
        check_layout(driver, picture("report"))
        ((port, token),) = addresses(out)
        driver.get(f"http://127.0.0.1:{port}/#{token}")
        runs = driver.find_element("id", "runs")
        wait_until(lambda: "FINISHED" in runs.text and "Al" in runs.text, "its runs")
        # Where this test has put the example is nothing to show.
        show = "document.getElementById('place').textContent = '~/eos/motoko.yaml'"
        driver.execute_script(show)
        check_layout(driver, picture("web"))
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def check_archive(place, tmp_path):
    """The example's archive is a valid RO-Crate, and shows the same table without the original."""
    studies = ("energy", "fit", "report")
    before = [run_motoko("table", study, cwd=place).stdout for study in studies]
    file = tmp_path / "eos.zip"
    done = run_motoko("archive", "--all", "-o", str(file), cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    place.rename(place.with_name("away"))
    done = run_motoko("unarchive", str(file), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    after = [run_motoko("table", study, cwd=tmp_path / "eos").stdout for study in studies]
    assert after == before and "Al" in after[0]
    if why := crate_validator.why_none():
        warnings.warn(f"its archive is not validated: {why}", stacklevel=2)
        return
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "crate")
    (tmp_path / "validated").mkdir()
    assert crate_validator.problems(tmp_path / "crate", tmp_path / "validated") == []
    # The validator finds what is missing.
    metadata = tmp_path / "crate" / "ro-crate-metadata.json"
    content = json.loads(metadata.read_text())
    for entity in content["@graph"]:
        entity.pop("license", None)
    metadata.write_text(json.dumps(content))
    (tmp_path / "again").mkdir()
    assert "license" in str(crate_validator.problems(tmp_path / "crate", tmp_path / "again"))


class TestEos:
    def test_agrees_with_the_direct_calculation(self, tmp_path):
        pytest.importorskip("ase")
        pytest.importorskip("matplotlib")
        metals = ["Al", "Cu"]
        place = copy("eos", tmp_path / "eos")
        direct = subprocess.run(
            [sys.executable, str(place / "direct.py"), *metals],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        expected = json.loads(direct.stdout)
        try:
            done = run_motoko("run", str(place), "--metals", *metals, timeout=240)
        finally:
            run_motoko("kill", "--now", str(place))
        assert done.returncode == 0, done.stderr
        report = json.loads((place / "report.json").read_text())
        assert list(report) == list(expected) == metals
        for metal in metals:
            assert report[metal].keys() == {"a0_angstrom", "bulk_modulus_gpa"}
            for name, value in expected[metal].items():
                assert report[metal][name] == pytest.approx(value, rel=0.01), (metal, name)
        # Far from each other, so that the comparison above can fail.
        assert report["Al"]["a0_angstrom"] / report["Cu"]["a0_angstrom"] > 1.05
        table = (place / "report.txt").read_text()
        assert table in done.stdout and all(metal in table for metal in metals)
        assert (place / "report.png").read_bytes().startswith(b"\x89PNG\r\n")
        check_views(place, tmp_path)
        check_archive(place, tmp_path)
        assert not list(processes_in(tmp_path))


class TestOptimise:
    def test_survives_being_killed(self, tmp_path):
        pytest.importorskip("scipy")
        pytest.importorskip("matplotlib")
        place = copy("optimise", tmp_path / "optimise")
        flow = Flow(place, ("peak",))
        assert flow.motoko("create").returncode == 0
        try:
            flow.supervise()
            killed = flow.begin("orchestrator", "start", "--run_name", "one")
            wait_until(lambda: len(points_of(flow)) > 10, "it is in its third round", 60)
            killed.kill()
            killed.communicate()
            done = flow.motoko("orchestrator", "start", "--run_name", "one")
            assert done.returncode == 0, done.stderr
            points = points_of(flow)
        finally:
            flow.motoko("kill", "--now")
        # As if nothing had happened: the same questions as without Motoko, each answered once.
        direct = asked_without_motoko(place)
        assert sorted((p["ratio"], p["damping"]) for p in points) == sorted(direct.points)
        assert {(p["state"], p["attempt"]) for p in points} == {("FINISHED", 1)}
        # Den Hartog: the lowest peak of a damper with this mass is about this one.
        best = min(p["peak"] for p in points)
        assert best == pytest.approx((1 + 2 / 0.05) ** 0.5, rel=0.01)
        assert f"{len(points)} points: peak {best:.3f}" in done.stdout
        assert (place / "report.png").stat().st_size > 10_000


def points_of(flow):
    """The points of the optimiser that are computed or being computed."""
    done = flow.motoko(
        *("table", "peak", "--format", "json", "--columns", "ratio,damping,peak,state,attempt")
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def asked_without_motoko(place):
    """The optimiser of the example when its questions are answered at once."""
    specification = importlib.util.spec_from_file_location("surrogate", place / "surrogate.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    # What doIt.py computes, with the job's parameters put in.
    body = (place / "peak" / "doIt.py").read_text().partition("run.start()")[2]
    code = "import numpy as np\nMASS = 0.05\n" + body.replace("run.finish()", "")
    optimiser = module.Surrogate([(0.7, 1.2), (0.02, 0.4)])
    for _ in range(12):
        points, values = optimiser.ask(), []
        for ratio, damping in points:
            run = {}
            exec(code, {"job": SimpleNamespace(ratio=ratio, damping=damping), "run": run})
            values.append(run["peak"])
        optimiser.tell(points, values)
    return optimiser


class TestProgram:
    def test_agrees_with_theory(self, tmp_path):
        special = pytest.importorskip("scipy.special")
        pytest.importorskip("matplotlib")
        if shutil.which("cc") is None:
            pytest.skip("there is no C compiler")
        place = copy("program", tmp_path / "program")
        subprocess.run(
            ["cc", "-O2", "-o", "pendulum", "pendulum.c", "-lm"], cwd=place, check=True, timeout=60
        )
        done = run_motoko("run", cwd=place)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines() if "degrees" in line]
        assert len(lines) == 5
        for amplitude, _, _, period, *_ in lines:
            exact = 4 * special.ellipk(math.sin(math.radians(float(amplitude)) / 2) ** 2)
            assert float(period) == pytest.approx(exact, rel=2e-3)
        table = run_motoko("table", "swing", "--format", "json", cwd=place)
        # Both results are there: of the output, and of the table that ends before the quarter.
        for row in json.loads(table.stdout):
            assert -1e-5 <= row["period"] / 4 - row["duration"] <= 1 / row["steps"]
        assert (place / "report.png").stat().st_size > 10_000
