"""What can be asked on the control socket, and what is wrong with a request."""

import json
import time

import pytest
from msgspec.structs import replace

from motoko.control.protocol import (
    COMMANDS,
    AddLaunchersRequest,
    DaemonInfo,
    RequestRefused,
    RestartDaemonsRequest,
    Status,
    StatusRequest,
    StopDaemonsRequest,
    SupervisorInfo,
    decoded_answer,
    decoded_request,
    encoded,
)

WRONG = {
    b"": "no JSON",
    b"\xff": "no JSON",
    b"3": 'an object with a "command"',
    b'{"command": 3}': 'an object with a "command"',
    b'{"command": "explode"}': "unknown command: explode",
    b'{"command": "add_launchers", "slots": "many"}': "$.slots",
    b'{"command": "add_launchers", "slots": true}': "$.slots",
    b'{"command": "add_launchers", "studies": "mult"}': "$.studies",
    b'{"command": "stop_daemons", "names": ["bus", 3]}': "$.names[1]",
    b'{"command": "restart_daemons"}': "`names`",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_named(line):
    with pytest.raises(RequestRefused) as caught:
        decoded_request(line)
    assert WRONG[line] in str(caught.value)


@pytest.mark.parametrize(
    "request_", [StatusRequest(), AddLaunchersRequest(slots=2), StopDaemonsRequest(["bus"])]
)
def test_there_and_back(request_):
    assert decoded_request(encoded(request_)) == request_


def test_both_ends_ignore_what_they_do_not_know():
    line = json.dumps({"command": "restart_daemons", "names": ["bus"], "gently": True}).encode()
    assert decoded_request(line) == RestartDaemonsRequest(["bus"])
    supervisor = {"pid": 1, "host": "h", "state": "ready", "uptime_s": 1.0, "mood": "good"}
    answer = {"workflow": "w", "supervisor": supervisor, "daemons": [], "more": 1}
    status = decoded_answer(json.dumps(answer).encode(), StatusRequest())
    assert isinstance(status, Status) and status.supervisor.state == "ready"


def test_a_refusal_is_raised():
    with pytest.raises(RequestRefused, match="not today"):
        decoded_answer(b'{"error": "not today"}', StatusRequest())


def test_commands_are_those_of_the_version_before_and_more():
    old = "status stop add_launchers retry_failed start_daemons stop_daemons restart_daemons"
    assert {*old.split(), "start_orchestrator"} < set(COMMANDS)


def test_when_daemons_were_started_does_not_depend_on_when_that_is_asked():
    daemons = [
        DaemonInfo("bus", "bus", 7, "ready", 5.0, 0, None, ""),
        DaemonInfo("watcher", "watcher", None, "backoff", None, 0, None, ""),
    ]
    status = Status("w", SupervisorInfo(1, "h", "ready", 6.0), daemons, at=1000.0)
    assert status.started == {"supervisor": 994.0, "bus": 995.0}
    # Earlier versions do not say when.
    earlier = replace(status, at=None)
    assert abs(earlier.started["bus"] - (time.time() - 5.0)) < 60
