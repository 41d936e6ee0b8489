"""Detached orchestrators: when one is started again, and what is kept of it."""

import pytest

from motoko.config.supervision import RESTARTS
from motoko.control import detached_requests
from motoko.control.detached_requests import End, Request, goes_on
from motoko.host.identity import Identity
from motoko.layout import Runtime
from motoko.supervisor.table import Decision, Entry, State, overall

REQUEST = Request("a", ("-n", "a"), "/somewhere", {"PATH": "/bin"}, "on-kill")


@pytest.fixture
def runtime(tmp_path):
    (tmp_path / ".wf").mkdir()
    return Runtime(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("code", "policies"),
    [
        (None, {"on-kill", "on-failure"}),
        (0, set()),
        (1, {"on-failure"}),
        (2, set()),
        (3, {"on-kill", "on-failure"}),  # the supervisor had gone
        (4, set()),
        (5, set()),
        (7, {"on-failure"}),
    ],
)
def test_goes_on(code, policies):
    assert {restart for restart in RESTARTS if goes_on(restart, code)} == policies


def test_requests_are_kept(runtime):
    names = ("a", "a.ended", "with / and é", "b")
    for name in names:
        request = Request(name, *list(vars(REQUEST).values())[1:])
        path = detached_requests.propose(runtime, request)
        assert detached_requests.requests(runtime) == [] or path.exists()
        path.replace(detached_requests.request_path(runtime, name))
        detached_requests.note_end(runtime, name, End(1, 2, 0, 3.0))
    assert {each.run_name for each in detached_requests.requests(runtime)} == set(names)
    detached_requests.not_wanted(runtime, lambda name: name == "b")
    assert [r.run_name for r in detached_requests.requests(runtime) if not r.wanted] == ["b"]
    detached_requests.not_wanted(runtime)
    assert not any(each.wanted for each in detached_requests.requests(runtime))


def test_garbage_is_no_request(runtime):
    detached_requests.propose(runtime, REQUEST)
    for number, text in enumerate(("", "[]", "{}", '{"run_name": 1}', "nonsense")):
        (detached_requests.directory(runtime) / f"{number}.json").write_text(text)
        detached_requests.end_path(runtime, str(number)).write_text(text)
        assert detached_requests.end_of(runtime, str(number)) is None
    assert detached_requests.requests(runtime) == []


def test_whose_end_it_is():
    end = End(10, 20, 1, 3.0)
    assert end.is_of(Identity(10, 20, "boot", "host"))
    assert not end.is_of(Identity(10, 21, "boot", "host"))


def test_an_end_is_final_and_nobody_misses_it():
    entry = Entry("orchestrator:a")
    entry.spawned(0.0, 100)
    entry.became_ready(1.0)
    assert entry.died(2.0, "exited with 0", final=True) is Decision.NOTHING
    assert (entry.state, entry.restarts, entry.pid) == (State.ENDED, 0, None)
    assert entry.over and entry.tick(1000.0) is Decision.NOTHING
    assert overall([entry]) == "ready"
