"""Launchers: run directories as BlackDynamite writes them, failures, retries, slots."""

import signal

import pytest
from launched_scripts import Session


@pytest.fixture(autouse=True)
def deadline():
    def late(number, frame):
        raise AssertionError("it hangs: not done within 40 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(40)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def flow(workflow):
    """A workflow whose path has a space; nobody supervises it yet."""
    return workflow(name="work flow")


@pytest.fixture
def session(flow):
    """Connects to the flow once it is supervised: ``session("name")``."""
    made = []

    def make(run_name="r"):
        made.append(Session(flow, run_name))
        return made[-1]

    yield make
    for each in made:
        each.workflow.close()
