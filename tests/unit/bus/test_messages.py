"""Messages on the bus: what goes in comes out, and nothing else does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motoko.bus.messages import (
    BadMessage,
    Beat,
    DaemonStatus,
    OrchestratorStatus,
    Replay,
    ReplayRequest,
    Resync,
    SlotsFreed,
    Transition,
    UnknownType,
    VarChanged,
    decode,
    encode,
    run_topic,
    topic,
)

TRANSITION = Transition("mult", 3, "START", "FINISHED", "00" * 8, "e1", 5, "é.1", 2)
MESSAGES = [
    TRANSITION,
    Transition("mult", 3, None, "CREATED", "00" * 8, "e1", 6),
    Transition("mult", 3, "FINISHED", None, "00" * 8, "e1", 7),
    Beat("mult", "00" * 8, "e1", 7, 3, connected=False),
    Resync("mult", "00" * 8, "e1", "packed"),
    DaemonStatus("launcher:mult", 17, detail="2 running", counts={"running": 2}),
    SlotsFreed("launcher:mult", 2),
    ReplayRequest("mult", "token", 3, "00" * 8),
    Replay("mult", "token", 3, "x", 0, [TRANSITION] * 300),
    Replay("mult", "token", 3, "x", 1, [], True, False, "00" * 8, "e1", 7),
    OrchestratorStatus("a.b", 17, "host", ["mult.1"], 1, 3.5, {"gaps": 1}),
    VarChanged("count", 17, "host"),
]
names = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
class TestRoundTrip:
    def test_same(self, message):
        assert decode(list(encode(message))) == message

    def test_is_json_that_names_its_type(self, message):
        first, second = encode(message)
        assert first == topic(message)
        assert isinstance(json.loads(second)["type"], str)

    def test_unknown_fields_are_ignored(self, message):
        first, second = encode(message)
        newer = json.dumps({**json.loads(second), "of_a_newer_version": [1]}).encode()
        assert decode([first, newer]) == message


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"run.mult.a."],
        [b"run.mult.a.", b"{}", b"{}"],
        [b"", b""],
        [b"x", b"garbage"],
        [b"x", b"\xff\xfe\x00"],
        [b"x", b"null"],
        [b"x", b"[]"],
        [b"x", b"{}"],
        [b"x", b'{"type": "nothing.of.ours"}'],
        [b"x", b'{"type": "run/1"}'],
        [b"x", b'{"type": "run/1", "study": "\xff"}'],
        [b"x", encode(TRANSITION)[1].replace(b'"run_id":3', b'"run_id":"3"')],
        [b"x", encode(TRANSITION)[1][:-1]],
        [b"x", b'{"type": "slots/1", "launcher": "a", "x": ' + b"[" * 100_000],
    ],
    ids=range(15),
)
def test_garbage(frames):
    with pytest.raises(BadMessage):
        decode(frames)


def test_brackets_in_names_are_no_depth():
    message = transition("[{" * 300 + '\\"[')
    assert decode(list(encode(message))) == message


@pytest.mark.parametrize("kind", ["run/2", "run", "nothing.of.ours"])
def test_other_types_and_versions(kind):
    with pytest.raises(UnknownType, match=kind) as caught:
        decode([b"x", json.dumps({"type": kind, "study": 3}).encode()])
    assert caught.value.type == kind


class TestTopics:
    def test_a_run_name_is_a_level(self):
        for other in ("a.b", "ab", "a%2eb", "", "a.", ".a"):
            assert not topic(transition(other)).startswith(run_topic("mult", "a"))
        assert topic(transition("a")).startswith(run_topic("mult", "a"))

    @given(names, names)
    def test_prefixes_are_exact(self, one, other):
        matches = topic(transition(other)).startswith(run_topic("mult", one))
        assert matches == (one == other)

    def test_a_study_is_a_level(self):
        assert topic(transition("a")).startswith(run_topic("mult"))
        assert not topic(transition("a", "multi")).startswith(run_topic("mult"))

    def test_without_run_name(self):
        assert topic(transition(None)).startswith(run_topic("mult"))


def transition(run_name, study="mult"):
    return Transition(study, 1, None, "CREATED", "00" * 8, "e", 1, run_name)
