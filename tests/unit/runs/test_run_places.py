"""Whose directory a process works in."""

from types import SimpleNamespace

import pytest

from motoko.runs.paths import run_directory, run_of, runs_directory


@pytest.fixture
def study(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    study = SimpleNamespace(name="mult", bd_name="mult", directory=tmp_path / "linked")
    (run_directory(study, 12) / "sub").mkdir(parents=True)
    return study


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_of_a_run(study, below):
    assert run_of(study, run_directory(study, 12).resolve() / below) == 12


@pytest.mark.parametrize(
    "place", ["", "..", "../run-12", "run-", "run-x", "runs-12", "other/run-12"]
)
def test_of_none(study, place):
    assert run_of(study, (runs_directory(study) / place).resolve()) is None
