"""What plain words in motoko.yaml and bd.yaml are taken for."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from configs import GOOD, JOB, ONLY_MULT, refused

from motoko.api.parameters import check
from motoko.config import load
from motoko.config.study_config import StudyConfig
from motoko.errors import ParameterError


def mult(workflow: Path, bd: str, top: str = "") -> StudyConfig:
    (workflow / "motoko.yaml").write_text(ONLY_MULT + top)
    (workflow / "mult/bd.yaml").write_text("study: mult\n" + bd)
    return load(workflow).studies["mult"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10:00", 600), ('"10:00"', 600), ("0:30", 30), ("1:30:00", 5400), ("1-00:00", 86400),
        ("90", 90), ('"90"', 90), ("1.5", 1.5), ("1e3", 1000), ("2h", 7200),
    ],
)  # fmt: skip
def test_one_reading_of_times(workflow: Path, written: str, expected: float) -> None:
    """With and without quotes; for all studies, one study, a study's runs, and daemons."""
    study = mult(workflow, JOB + f"run_params: {{timeout: {written}}}\n", f"timeout: {written}\n")
    assert study.policy.timeout == expected
    assert study.policy.changed(study.run_params).timeout == expected
    (workflow / "motoko.yaml").write_text(GOOD.replace("mult:", f"mult: {{timeout: {written}}}"))
    assert load(workflow).studies["mult"].policy.timeout == expected
    (workflow / "motoko.yaml").write_text(GOOD + f"supervisor: {{start_timeout: {written}}}\n")
    assert load(workflow).supervision.start_timeout == expected


@pytest.mark.parametrize("written", ["0:30", "00:30", '"30"', "30s", "0.5m"])
def test_time_between_queries(workflow: Path, written: str) -> None:
    (workflow / "motoko.yaml").write_text(GOOD + f"batch: {{poll_interval: {written}}}\n")
    assert load(workflow).batch.poll_interval == 30


# What stands in motoko.yaml, and what else is named.
UNCLEAR = {
    "slots: 010": ["slots", "010", "reads 8", "reads 10"],
    "retries: 0_10": ["retries", "0_10"],
    "timeout: 010": ["timeout", "010"],
    "slots: 08": ["slots", "08"],
    "own: 1:30": ["own", "1:30", "90"],
    "own: {deep: [1, -12:30:45.5]}": ["own.deep", "-12:30:45.5"],
    "own: {10:20: 1}": ["own.10:20", "620"],
    "slots: 1:30": ["slots", "1:30"],
    "slurm_options: [time=10, 10:00]": ["slurm_options", "10:00"],
}


@pytest.mark.parametrize("line", UNCLEAR)
def test_what_is_not_clear(workflow: Path, line: str) -> None:
    (workflow / "motoko.yaml").write_text(GOOD + line + "\n")
    refused(workflow, "line 5", "not clear", *UNCLEAR[line], hint="quotes")


def test_keys_of_ones_own(workflow: Path) -> None:
    own = (
        "a: 1e-3\nb: 2.5E4\nc: 'on'\nd: yes\ne: 2024-02-03\nf: 0x1f\ng: 1_000\nh: '010'\ni: ~\n"
        "j: 05\nk: 1.\nl: -.5\nm: .inf\nn: '10:00'\no: 0:30\np: 0\nq: =\nr: 1-00:00\ns: e5\n"
    )
    (workflow / "motoko.yaml").write_text(GOOD + own)
    raw = load(workflow).raw
    assert [raw[name] for name in "abcdefghijklmnopqrs"] == [
        0.001, 25000.0, "on", True, datetime.date(2024, 2, 3), 31, 1000, "010", None, 5, 1.0, -0.5,
        float("inf"), "10:00", "0:30", 0, "=", "1-00:00", "e5",
    ]  # fmt: skip


ENVIRONMENT = (
    "{A: 3.10, B: 12:30, C: 010, D: yes, E: True, F: 1e-3, G: 0x1F, H: 2024-02-03, I: 1_000, "
    "J: '~', K: 0.1e0, L: =, M: 0o17, NO: 1, ON: off}"
)


def test_environment_is_texts_as_written(workflow: Path) -> None:
    study = mult(
        workflow,
        JOB + f"run_params: {{environment: {ENVIRONMENT}}}\n",
        f"environment: {ENVIRONMENT}",
    )
    expected = {
        **{"A": "3.10", "B": "12:30", "C": "010", "D": "yes", "E": "True", "F": "1e-3"},
        **{"G": "0x1F", "H": "2024-02-03", "I": "1_000", "J": "~", "K": "0.1e0", "L": "="},
        "M": "0o17",
        **{"NO": "1", "ON": "off"},
    }
    assert study.policy.environment == study.run_params["environment"] == expected
    common = f"common: &c {ENVIRONMENT}\n" + ONLY_MULT
    below = common.replace("mult:", "mult: {environment: {<<: *c, A: 3.20}}")
    (workflow / "motoko.yaml").write_text(below)
    assert load(workflow).studies["mult"].policy.environment == {**expected, "A": "3.20"}


@pytest.mark.parametrize("value", ["", "~", "null"])
def test_nothing_in_the_environment_is_not_clear(workflow: Path, value: str) -> None:
    (workflow / "motoko.yaml").write_text(f"{GOOD}environment: {{A: {value}}}\n")
    refused(workflow, "environment.A", '"~"', "nothing")


DECLARED = "job: {x: float, n: int, s: str, c: complex, t: tuple, l: list, B: bool}\n"


def test_expressions_are_blackdynamite_s(workflow: Path) -> None:
    """Its command that creates jobs evaluates them; createTask takes them for no default."""
    study = mult(workflow, DECLARED + 'job_space: {x: "np.linspace(0, 1, 5)", n: "[*range(3)]"}\n')
    assert study.job_space == {"x": "np.linspace(0, 1, 5)", "n": "[*range(3)]"}
    with pytest.raises(ParameterError):
        check("mult", "job", {"x": study.job_space["x"]}, {"x": float})


def test_defaults_are_of_the_declared_types(workflow: Path) -> None:
    study = mult(
        workflow,
        DECLARED
        + "run: {tol: float, tag: str, timeout: str}\n"
        + "job_space: {X: [1e-3, 2, .5], n: [1_000, 1e3], S: [3.10, yes, 010, 12:30, a], "
        + "c: [1 + 2j, 1], t: [[1, 2], [3, 4]], l: [1e-3, [yes]], b: [no, 0]}\n"
        + "run_params: {tol: 1e-8, tag: 2024-01-01, timeout: 010, other: 1e-3}\n",
    )
    assert study.job_space == {
        **{"X": [0.001, 2, 0.5], "n": [1000, 1000], "S": ["3.10", "yes", "010", "12:30", "a"]},
        **{"c": [1 + 2j, 1 + 0j], "t": [(1, 2), (3, 4)], "l": [0.001, [True]], "b": [False, False]},
    }
    assert study.run_params == {"tol": 1e-8, "tag": "2024-01-01", "timeout": "010", "other": 0.001}
    assert study.policy.timeout is None


# What stands in bd.yaml, and what is named.
UNFIT = {
    "job_space: {x: a}": ["job_space.x", "float", "'a'"],
    "job_space: {x: [1, [2]]}": ["job_space.x", "float", "[2]"],
    "job_space: {x: yes}": ["job_space.x", "float", "True"],
    "job_space: {n: 1.5}": ["job_space.n", "int"],
    "job_space: {n: [1, on]}": ["job_space.n", "int", "True"],
    "job_space: {N: 010}": ["job_space.N", "not clear", "010"],
    "job_space: {x: 10:00}": ["job_space.x", "not clear", "10:00"],
    "job_space: {l: 3}": ["job_space.l", "list"],
    "job_space: {l: [10:00]}": ["job_space.l", "not clear"],
    "job_space: {B: 2}": ["job_space.B", "bool", "2"],
    "job_space: {s: {a: 1}}": ["job_space.s", "str"],
    "job_space: {c: 1+2k}": ["job_space.c", "complex"],
    "job_space: {t: [1, 2]}": ["job_space.t", "tuple"],
    "job_space: {y: 1}": ["job_space.y", "no job parameter"],
    "job_space: {x: 1, X: 2}": ["job_space.X", "twice"],
    "run_params: {tol: tight}": ["run_params.tol", "float", "'tight'"],
    "run_params: {tol: 1, Tol: 2}": ["run_params.Tol", "twice"],
    "run_params: {timeout: soon}": ["run_params.timeout", "a time", "'soon'"],
    "run_params: {Retries: -1}": ["run_params.retries", "at least 0", "-1"],
    "run_params: {environment: {A: $(date)}}": ["run_params.environment.A", "$NAME"],
}


@pytest.mark.parametrize("line", UNFIT)
def test_defaults_that_do_not_fit(workflow: Path, line: str) -> None:
    (workflow / "mult/bd.yaml").write_text(f"study: mult\n{DECLARED}run: {{tol: float}}\n{line}\n")
    refused(workflow, str(workflow / "mult/bd.yaml"), *UNFIT[line])
