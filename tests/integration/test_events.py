"""The command `motoko events`: what it prints, what it refuses, and how it ends."""

import itertools
import json
import signal
import subprocess
from datetime import datetime

import pytest
from oracle import first_difference, transitions
from support import kill9, motoko_command, wait_until
from watching import ROUND, Events, Other

from motoko.config import load

FIELDS = {
    "study", "run_id", "old", "new", "tid", "time", "run_name", "job_id", "event_name",
}  # fmt: skip
END_S = 20.0


@pytest.fixture
def flow(workflow):
    """Two studies, one of which has an alias."""
    flow = workflow(studies=("mult", "add"))
    flow.path.write_text(flow.path.read_text() + "aliases:\n  product: mult\n")
    flow.supervise("--no-launchers")
    return flow


@pytest.fixture
def other(flow):
    other = Other(flow)
    yield other
    other.close()


def until_live(events, play):
    """Have something happen until the command tells of it; from then on it tells of all."""

    def told():
        play()
        return events.lines

    wait_until(told, "it prints")


def test_as_it_happens(flow, other):
    """Live: without options, for a study, for its alias, for a run_name."""
    first = other.create("mult", [1.0], run_name="first")
    second = other.create("mult", [1.0], run_name="second")
    added = other.create("add", [1.0], run_name="first")
    commands = {
        (): {"mult": [*first, *second], "add": added},
        ("--study", "add"): {"add": added},
        ("--bd_study", "product"): {"mult": [*first, *second]},
        ("--run_name", "second"): {"mult": second},
    }
    started = [Events(flow, *options, "--json") for options in commands]

    def play():
        for study, numbers in (("mult", [*first, *second]), ("add", added)):
            other.play(study, numbers, "STEP", "NEXT")

    for events in started:
        until_live(events, play)
    other.play("mult", [*first, *second], *ROUND)
    other.play("add", added, *ROUND)
    for events, wanted in zip(started, commands.values(), strict=True):
        expected = {(s, n) for s, numbers in wanted.items() for n in numbers}

        def complete(events=events, expected=expected):
            seen = [(e["study"], e["run_id"]) for e in map(json.loads, events.lines)
                    if e["new"] == "FORWARDED"]  # fmt: skip
            return sorted(seen) == sorted(expected)

        wait_until(complete, f"{events.process.args} tells of {expected}")
        for study, number in expected:
            told = [
                e
                for e in map(json.loads, events.lines)
                if (e["study"], e["run_id"]) == (study, number)
            ]
            assert [each["new"] for each in told][-3:] == list(ROUND)
            assert all(one["new"] == two["old"] for one, two in itertools.pairwise(told))


def test_fields(flow, other):
    (number,) = other.create("mult", [3.0], run_name="a name")
    other.play("mult", [number], "START")
    other.delete("mult", [number])
    events = Events(flow, "--since", "0", "--json")
    plain = Events(flow, "--since", "0")
    created, started, deleted = map(json.loads, events.printed(3))
    for event in (created, started, deleted):
        assert set(event) == FIELDS and event["study"] == "mult" and event["run_id"] == number
        then = datetime.fromisoformat(event["time"])
        assert then.tzinfo and abs((datetime.now().astimezone() - then).total_seconds()) < 60
    names = {"run_name": "a name", "job_id": 1, "event_name": "create"}
    assert created.items() >= {"old": None, "new": "CREATED", **names}.items()
    assert started.items() >= {"old": "CREATED", "new": "START", **names}.items()
    nobody = dict.fromkeys(names)
    assert deleted.items() >= {"old": "START", "new": None, **nobody}.items()
    assert created["tid"] < started["tid"] < deleted["tid"]

    when = [
        event["time"][:10] + " " + event["time"][11:23] for event in (created, started, deleted)
    ]
    assert plain.printed(3) == [
        f"{when[0]}  mult.{number} (x=3.0)  (new) -> CREATED  (a name)",
        f"{when[1]}  mult.{number} (x=3.0)  CREATED -> START  (a name)",
        f"{when[2]}  mult.{number}  START -> (deleted)",
    ]


def test_since(flow, other):
    (number,) = other.create("mult", [1.0])
    other.play("mult", [number], "START")
    tid, moment = other.tid("mult"), datetime.now()
    other.play("mult", [number], "FINISHED", "FORWARDED")
    states = ["CREATED", "START", "FINISHED", "FORWARDED"]
    expected = {
        "0": states,
        tid: states[2:],
        tid.upper(): states[2:],
        moment.isoformat(" "): states[2:],
        datetime.now().isoformat(): [],
    }
    commands = {since: Events(flow, "--since", since, "--json") for since in expected}
    for since, events in commands.items():
        events.printed(len(expected[since]))
    other.play("mult", [number], "MORE")
    for since, events in commands.items():
        events.printed(len(expected[since]) + 1)
        told = [json.loads(line)["new"] for line in events.lines]
        assert told == [*expected[since], "MORE"], since


def test_refused(workflow):
    flow = workflow(created=False)
    for arguments, code, said in (
        (["--study", "nosuch"], 2, "there is no study 'nosuch'"),
        (["--since", "yesterday"], 2, "--since yesterday: neither a transaction id nor a time"),
        (["--since", "03"], 2, "--since 03: neither"),
        (["--since", ""], 2, "--since': it is empty"),
        (["--since", "0001-01-01"], 2, "neither a transaction id nor a time"),
        (["--nosuch"], 2, "No such option"),
        ([], 3, "no bus runs for"),
    ):
        done = flow.motoko("events", *arguments)
        assert done.returncode == code and said in done.stderr, (arguments, done)
        assert "Traceback" not in done.stderr and not done.stdout
        assert "hint: " in done.stderr or arguments in (["--nosuch"], ["--since", ""])


def test_past_and_present(flow, other, tmp_path):
    """A writer goes on while the command begins: nothing between past and present is missing."""
    numbers = other.create("mult", [1.0, 2.0])
    other.play("mult", numbers, *ROUND, times=60)
    other.begin("play_until", "mult", numbers, ROUND, str(tmp_path / "enough"))
    past = [Events(flow, "--since", "0", "--json", "--study", "mult") for _ in range(2)]
    for events in past:
        events.printed(600)
    (tmp_path / "enough").touch()
    other.end()
    true = transitions(load(flow.path).studies["mult"])
    for events in past:
        events.printed(len(true))
        assert events.history() == true, first_difference(events.history(), true)


def test_killed_watcher_and_bus(flow, other, tmp_path):
    """Nothing is lost, doubled or out of order; and nothing is said of it."""
    numbers = other.create("mult", [1.0, 2.0])
    events = Events(flow, "--since", "0", "--json", "--study", "mult")
    other.begin("play_until", "mult", numbers, ROUND, str(tmp_path / "enough"))
    for daemon in ("watcher", "bus", "watcher", "bus"):
        events.printed(len(events.lines) + 50)
        kill9(flow.pids()[daemon])
    events.printed(len(events.lines) + 50)
    (tmp_path / "enough").touch()
    other.end()
    true = transitions(load(flow.path).studies["mult"])
    events.printed(len(true))
    assert events.history() == true, first_difference(events.history(), true)
    assert not events.said and events.process.poll() is None


def closed_pipe(flow, other, options):
    """As in `motoko events | head -1`: it leaves quietly when it has something more to say."""
    numbers = other.create("mult", [1.0])
    other.play("mult", numbers, *ROUND)
    with subprocess.Popen(
        motoko_command("events", "--since", "0", *options),
        cwd=flow.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "CREATED" in process.stdout.readline()
        process.stdout.close()

        def gone():
            other.play("mult", numbers, "STEP", "NEXT")
            return process.poll() is not None

        wait_until(gone, "it leaves")
        assert process.returncode == 1 and process.stderr.read() == ""


def test_how_it_ends(flow, other):
    for options in ([], ["--json"]):
        closed_pipe(flow, other, options)

    # By Ctrl-C.
    events = Events(flow)
    (number,) = other.create("mult", [1.0])
    until_live(events, lambda: other.play("mult", [number], "STEP", "NEXT"))
    events.process.send_signal(signal.SIGINT)
    assert events.process.wait(END_S) == 130
    assert events.said.strip() == ""  # click ends the line in which ^C stands

    # With the workflow.
    other.create("mult", [1.0], run_name="alone")
    events = Events(flow, "--since", "0", "--run_name", "alone")
    events.printed(1)
    assert flow.motoko("kill").returncode == 0
    assert events.process.wait(END_S) == 0
    assert events.said == "motoko: the workflow was stopped\n" and len(events.lines) == 1
