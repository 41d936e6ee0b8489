"""How a run is executed, from its study's policies and its own parameters."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from bare_studies import bare_study

from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy, names
from motoko.errors import ParameterError
from motoko.operations.retrying import changed_policy
from motoko.runs.run_policy import policy_of

STUDY = bare_study(Path("/nowhere"), policy=Policy(retries=1))


def test_parameters_are_policies():
    policy = policy_of(STUDY, {"retries": 3, "timeout": "2m", "id": 1, "nproc": 2})
    assert (policy.retries, policy.timeout, policy.nproc) == (3, 120.0, 2)


@pytest.mark.parametrize("name", sorted(names() - {"nproc"}))
@pytest.mark.parametrize("value", ["newton-2", 7, [1], numpy.array([1, 2])])
def test_a_declared_parameter_is_the_studys_own(name, value):
    study = replace(STUDY, runs={name: type(value)})
    assert policy_of(study, {name: value}) == STUDY.policy


def test_handed_over_once():
    slurm = replace(STUDY, generator="slurm")
    assert policy_of(STUDY, {"finish": "later"}).finish == "later"
    with pytest.raises(WrongValue, match="finish must be self or on-exit where generator: slurm"):
        policy_of(slurm, {"finish": "later"})


def test_options_of_a_retry():
    changed = {"slurm_options": ["mem=1G"]}
    handed = {"attempt": 1, "batch_system": "slurm"}
    for study, entries in ((replace(STUDY, generator="slurm"), {}), (STUDY, handed)):
        assert changed_policy(study, entries, changed) == changed
        before = {**entries, "slurm_options": ["time=1"]}
        assert changed_policy(study, before, changed) == {"slurm_options": ["time=1", "mem=1G"]}
    with pytest.raises(ParameterError, match="slurm_options would have no effect"):
        changed_policy(STUDY, {}, changed)


def test_nproc_is_both():
    assert policy_of(replace(STUDY, runs={"nproc": int}), {"nproc": 3}).nproc == 3


@pytest.mark.parametrize("name", sorted(names()))
@pytest.mark.parametrize("value", [object(), numpy.array([1, 2]), [[]], {"a b": 1}, -1])
def test_whatever_it_is_it_is_a_wrong_policy(name, value):
    with pytest.raises(WrongValue, match=name):
        policy_of(STUDY, {name: value})
