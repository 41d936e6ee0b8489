"""The language of constraints, row by row, and against a naive evaluation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from motoko.errors import ConstraintError
from motoko.store.constraints import compile_constraints
from motoko.store.predicates import Predicate

JOB_TYPES = {
    "id": int,
    "n": int,
    "x": float,
    "flag": bool,
    "name": str,
    "xs": list,
    "opts": dict,
    "both": int,
}


RUN_TYPES = {
    "id": int,
    "job_id": int,
    "state": str,
    "run_name": str,
    "exec": str,
    "start_time": datetime,
    "both": int,
}


def compiled(constraints: Any, study: str = "") -> Predicate:
    return compile_constraints(constraints, job_types=JOB_TYPES, run_types=RUN_TYPES, study=study)


def holds(
    constraints: Any, run: Mapping[str, Any] | None = None, job: Mapping[str, Any] | None = None
) -> bool:
    answer = compiled(constraints)(run or {}, job or {})
    assert type(answer) is bool
    return answer


def refused(constraints: Any) -> ConstraintError:
    with pytest.raises(ConstraintError) as caught:
        compiled(constraints)
    assert caught.value.hint
    return caught.value
