"""What is advised, by what runs have used."""

from datetime import UTC, datetime

import pytest

from motoko.config.policy import Policy
from motoko.reports.used_resources import StudyUsage

START = datetime(2030, 1, 1, tzinfo=UTC)
MIB = 1 << 20


def usage(generator="bash", *, runs=3, wall=100.0, cpu=100.0, memory=100 * MIB, **policy):
    """Runs that have each used a little more than the one before; the last one exactly this."""
    made = StudyUsage("s", generator, Policy().changed(policy))
    for number in range(1, runs + 1):
        share = number / runs
        end = START.timestamp() + wall * share
        nproc = policy.get("nproc", 1)
        made.add(number, nproc, START, end, cpu * share, round(memory * share))
    return made


def advised(made, slots=2, memory=1 << 40):
    return {advice.key: advice.value for advice in made.advice(slots, memory)}


def test_figures():
    made = usage(runs=4)
    assert (made.wall_s.mean, made.wall_s.most, made.wall_s.run) == (62.5, 100.0, 4)
    assert made.memory.most == 100 * MIB and made.cores.most == pytest.approx(1.0)
    made.add(5, "two", "yesterday", None, None, None)  # it runs, or is an earlier version's
    assert made.runs == 5 and made.wall_s.count == 4 and made.nproc == (1, 1)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({"timeout": 300}, {}),
        ({}, {"timeout": "4m"}),
        ({"timeout": 110}, {"timeout": "4m"}),
        ({"timeout": 86400}, {"timeout": "4m"}),
        ({"wall": 5000.0, "cpu": 5000.0}, {"timeout": "3h"}),
        ({"timeout": 300, "nproc": 4}, {"nproc": "1"}),
        ({"timeout": 300, "cpu": 390.0}, {"nproc": "4"}),
        ({"timeout": 300, "cpu": 110.0}, {}),
        ({"runs": 2}, {}),
        ({"wall": 0.5, "cpu": 2.0, "timeout": 60}, {}),  # too short to tell
        ({"generator": "slurm", "timeout": 300}, {"slurm_options": "[time=4, mem=130M]"}),
    ],
)
def test_advice(given, lines):
    assert advised(usage(**given)) == lines


def test_slots_that_do_not_fit_into_the_memory():
    made = usage(timeout=300, memory=1000 * MIB)
    assert advised(made, slots=8, memory=4096 * MIB) == {"slots": "3"}


def test_nothing_is_known():
    assert advised(StudyUsage("s", "bash", Policy())) == {}
