"""What the user's functions are called with."""

import functools
from functools import partial

import pytest

from motoko.api.passed_arguments import check_main, taken
from motoko.errors import ConfigError

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


async def takes_all(workflow, **params): ...


async def takes_nothing(workflow): ...


def is_not_async(workflow, **params):
    print(workflow)


def gives_a_coroutine(workflow, **params):
    return takes_all(workflow, **params)


@functools.wraps(is_not_async)
def wraps(*arguments, **params):
    return takes_all(*arguments, **params)


@pytest.mark.parametrize("function", [takes_all, gives_a_coroutine, wraps, len])
def test_a_function_that_may_be_an_orchestrators(function):
    check_main("orchestrator.main", function, {"run_name": "a"} if function is not len else {})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_nothing, "cannot be called: got an unexpected keyword argument 'run_name'"),
        (is_not_async, "is not an async function"),
    ],
)
def test_a_function_that_cannot_be(function, message):
    with pytest.raises(ConfigError, match=message) as info:
        check_main("orchestrator.main", function, {"run_name": "a"})
    assert "async def main(workflow, **params)" in info.value.hint
