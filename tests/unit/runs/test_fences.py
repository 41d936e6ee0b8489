"""Attempts that were declared dead: files that outlast everything, and stay with the run."""

import pytest

from motoko.runs.fences import fence, fences, reason_of, remove_fences


@pytest.fixture
def workflow(tmp_path):
    (tmp_path / ".wf" / "channel").mkdir(parents=True)
    return tmp_path


def test_nobody_is_fenced_at_first(workflow):
    assert reason_of(workflow, "mult", 3, 1) is None
    assert fences(workflow, "mult") == {}


def test_an_attempt_is_fenced_and_no_other(workflow):
    fence(workflow, "mult", 3, 1, "its node failed")
    assert reason_of(workflow, "mult", 3, 1) == "its node failed"
    others = [("mult", 3, 2), ("mult", 31, 1), ("mult", 1, 3), ("final", 3, 1)]
    assert [reason_of(workflow, *other) for other in others] == [None] * 4
    assert fences(workflow, "mult").keys() == {(3, 1)}


def test_the_first_reason_stays(workflow):
    fence(workflow, "mult", 3, 1, "its node failed")
    before = fences(workflow, "mult")
    fence(workflow, "mult", 3, 1, "once more")
    assert fences(workflow, "mult") == before


def test_studies_may_have_any_name(workflow):
    for study in ("a/b", "..", "stress strain"):
        fence(workflow, study, 1, 1, study)
    assert [reason_of(workflow, s, 1, 1) for s in ("a/b", "..", "stress strain")] == [
        *("a/b", "..", "stress strain")
    ]


def test_a_run_that_is_gone_has_none(workflow):
    for run, attempt in ((3, 1), (3, 2), (4, 1)):
        fence(workflow, "mult", run, attempt, "lost")
    remove_fences(workflow, "mult", [1, 3])
    assert fences(workflow, "mult").keys() == {(4, 1)}


def test_without_a_channel_nothing_is_written(tmp_path):
    (tmp_path / ".wf").mkdir()
    fence(tmp_path, "mult", 3, 1, "its node failed")
    assert [*(tmp_path / ".wf").iterdir()] == []
    assert reason_of(tmp_path, "mult", 3, 1) is None


def test_what_is_no_fence_is_left_alone(workflow):
    fence(workflow, "mult", 3, 1, "lost")
    folder = workflow / ".wf" / "channel" / "fenced" / "mult"
    (folder / ".3-2.77").write_text("killed while it was written")
    assert fences(workflow, "mult").keys() == {(3, 1)}


def test_one_that_cannot_be_written_is_told(workflow):
    (workflow / ".wf" / "channel" / "fenced").write_text("")
    with pytest.raises(OSError):
        fence(workflow, "mult", 3, 1, "lost")
