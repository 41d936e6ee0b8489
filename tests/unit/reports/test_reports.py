"""A report is one file and one line: a fictitious one is a command like all others."""

import json
import time

import pytest
from support import write_workflow

from motoko.bus.messages import Transition
from motoko.cli.events import tid
from motoko.cli.main import COMMANDS, SECTIONS, main
from motoko.cli.render import event_lines, log_sections
from motoko.reports.overview import COLUMNS, Overview, column, progress_column


@pytest.fixture
def fictitious(monkeypatch, tmp_path):
    """The output of a command line that has the fictitious report, in a workflow."""
    command = ("fictitious_report", "Where studies are served.")
    for commands in (COMMANDS, SECTIONS["Further"]):
        monkeypatch.setitem(commands, "fictitious", command)
    write_workflow(tmp_path / "flow")
    monkeypatch.chdir(tmp_path / "flow")

    def exit_code(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        return caught.value.code

    return exit_code


class TestFictitiousReport:
    def test_is_listed(self, fictitious, capsys):
        assert fictitious("--help") == 0
        words = " ".join(capsys.readouterr().out.split())
        assert "fictitious Where studies are served." in words

    def test_is_shown(self, fictitious, capsys):
        assert fictitious("fictitious") == 0
        head, *lines = capsys.readouterr().out.splitlines()
        assert head.split() == ["study", "local"] and ["mult", "True"] in map(str.split, lines)
        assert fictitious("fictitious", "--json") == 0
        assert {"study": "mult", "is_local": True} in json.loads(capsys.readouterr().out)

    def test_mistakes_end_it_as_others(self, fictitious, capsys, tmp_path):
        (tmp_path / "flow" / "motoko.yaml").unlink()
        assert fictitious("fictitious") == 2
        assert "motoko: error: " in capsys.readouterr().err


@pytest.fixture(params=["America/New_York", "Europe/Zurich", "UTC", "Asia/Kolkata"])
def zone(request, monkeypatch):
    """A time zone that this process is in."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


OFFSETS = {
    "America/New_York": ("-05:00", "-04:00"),
    "Europe/Zurich": ("+01:00", "+02:00"),
    "UTC": ("+00:00", "+00:00"),
    "Asia/Kolkata": ("+05:30", "+05:30"),
}


@pytest.mark.parametrize(("day", "summer"), [("2030-01-31", False), ("2030-07-31", True)])
def test_events_have_local_times(zone, day, summer):
    """Wherever one is: what --since means is what is shown."""
    event = Transition("mult", 3, None, "CREATED", tid(f"{day} 23:30:15.5"), "epoch", 1)
    text = event_lines.as_text(event, {"x": 1.5})
    assert text == f"{day} 23:30:15.500  mult.3 (x=1.5)  (new) -> CREATED"
    moment = json.loads(event_lines.as_json(event))["time"]
    assert moment.startswith(f"{day}T23:30:15.5") and moment.endswith(OFFSETS[zone][summer])


def test_an_event_s_moment_is_the_same_everywhere(zone):
    noon = tid("2030-01-31T12:00:00+00:00")
    local = {"America/New_York": "07:00", "Europe/Zurich": "13:00", "UTC": "12:00"}
    shown = event_lines.as_text(Transition("mult", 3, "A", None, noon, "epoch", 1), {})
    assert shown == f"2030-01-31 {local.get(zone, '17:30')}:00.000  mult.3  A -> (deleted)"


@pytest.mark.parametrize(
    ("state", "where", "progress"),
    [
        ("CREATED", "created", "created"),
        ("START", "running", "running"),
        ("FAILED", "failed", "failed"),
        ("TIMEOUT", "failed", "failed"),
        ("FINISHED", "finished", "finished"),
        ("MINE", "MINE", "finished"),
    ],
)
def test_state_columns(state, where, progress):
    assert (column(state), progress_column(state)) == (where, progress)
    assert progress in COLUMNS


class TestSections:
    def test_several_logs_have_their_path_above(self, capsys, tmp_path):
        paths = [tmp_path / name for name in ("a.log", "b.log", "missing.log")]
        paths[0].write_text("1\n2\n3\n")
        paths[1].write_text("4\n5")
        log_sections.show(paths, 2, follow=False)
        shown = f"==> {paths[0]} <==\n2\n3\n\n==> {paths[1]} <==\n4\n5\n"
        assert capsys.readouterr().out == shown

    def test_a_single_one_has_none(self, capsys, tmp_path):
        (tmp_path / "a.log").write_text("1\n2\n3\n")
        log_sections.show([tmp_path / "a.log"], 2, follow=False)
        assert capsys.readouterr().out == "2\n3\n"


def test_a_finished_run_is_no_failure_whatever_it_says():
    """An earlier version may have left the reason of an attempt before."""
    overview = Overview("mult")
    for number, state in enumerate(("FINISHED", "FAILED", "LOOKED_AT"), 1):
        entries = {"id": number, "job_id": number, "state": state, "failure_reason": "it said so"}
        overview.add(entries, directory=None, ended=None, now=time.time(), keep=False)
    assert [row.id for row in overview.failures] == [2, 3]
