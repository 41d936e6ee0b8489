"""Jobs follow a changed bd.yaml, in a study without a server."""

from dataclasses import replace

import pytest
import transaction
from bare_studies import study_with_files

import motoko.store.session  # noqa: F401 (what is written is noted from then on)
from motoko.config.declared_types import Unfit, converted
from motoko.store import study_upgrade
from motoko.store.base import open_file
from motoko.store.study_database import create_study


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        *((value, object, value) for value in (1, "a", None, [1], {"a": 1}, True)),
        ([1, 2], set, {1, 2}),
        ((1, 2), frozenset, frozenset({1, 2})),
        ([1], tuple, (1,)),
        ("3", int, 3),
        ("1e-3", float, 1e-3),
        ("1+2j", complex, 1 + 2j),
        ("Yes", bool, True),
        (0, bool, False),
        (True, int, 1),
        (False, str, "False"),
        (2.0, int, 2),
        (2, float, 2),
        (3, str, "3"),
    ],
)
def test_conversions(value, kind, expected):
    made = converted(value, kind)
    assert made == expected and type(made) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1, 1], set),
        ([[1]], set),
        ("ab", list),
        ("ab", set),
        (2.5, int),
        ("2.5", int),
        (float("nan"), int),
        (2, bool),
        ("maybe", bool),
        ([1], int),
        ({}, list),
        (1, bytes),
        ("x", complex),
        (1, dict),
    ],
)
def test_what_would_be_lost(value, kind):
    with pytest.raises(Unfit):
        converted(value, kind)


def test_jobs_that_blackdynamite_has_made_follow(tmp_path):
    """Their entries are a dict, which is stored with the job."""
    study = study_with_files(tmp_path, jobs={"x": int})
    create_study(study)
    base = open_file(study)
    job = base.Job()
    job.entries = {"id": None, "x": 1}  # as its createParameterSpace does it
    base.insert(job)
    transaction.commit()
    base.close()
    renamed = replace(study, jobs={"y": int})
    base = open_file(renamed)
    study_upgrade.apply(base, {"x": "y"}, [])
    transaction.commit()
    base.close()
    base = open_file(renamed)
    assert dict(base.jobs.entries[1].entries) == {"id": 1, "y": 1}
    base.close()
