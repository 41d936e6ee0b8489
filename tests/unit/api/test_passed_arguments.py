"""What the user's functions are called with."""

from functools import partial

import pytest

from motoko.api.passed_arguments import taken

ARGUMENTS = {"workflow": 1, "alpha": 2, "runs": 3, "command": "orchestrator", "wait": 5}


def everything(workflow, **params): ...


def nothing_else(workflow, alpha): ...


def some(workflow, alpha, runs, *, wait): ...


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (everything, {*ARGUMENTS}),
        (nothing_else, {"workflow", "alpha"}),
        (some, {"workflow", "alpha", "runs", "wait"}),
        (partial(some, alpha=1), {"workflow", "alpha", "runs", "wait"}),
        (print, {*ARGUMENTS} - {"runs", "command", "wait"}),
    ],
)
def test_optional_arguments_go_to_functions_that_take_them(function, names):
    assert taken(function, ARGUMENTS).keys() == names


def test_a_parameter_of_the_workflow_is_passed_in_any_case():
    """So a misspelt one is an error."""
    assert "alpha" in taken(lambda workflow: None, ARGUMENTS)
