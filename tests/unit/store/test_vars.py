"""``workflow.vars`` of several processes, as far as one process can show it: two objects."""

import pytest

from motoko import ChangeConflict
from motoko.store.workflow_vars import WorkflowVars


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".wf" / "wf.db"


@pytest.fixture
def two(path):
    return WorkflowVars(path), WorkflowVars(path)


def test_seen_at_the_next_read(two):
    one, other = two
    for value in (1, "text", [1, [2]], {"a": None}, 0):
        one.x = value
        assert other.x == value
        other.x = [value]
        assert one.x == [value]
    del other.x
    assert not hasattr(one, "x")


def test_what_is_read_is_ones_own(two):
    one, other = two
    one.x = [1]
    one.x.append(2)
    assert one.x == other.x == [1]
    mine = one.x
    mine.append(2)
    one.x = mine
    assert other.x == [1, 2]


@pytest.mark.parametrize("read", [False, True])
def test_what_another_has_changed(two, read):
    one, other = two
    one.x = 1
    if read:
        assert other.x == 1
    one.x = 2
    if not read:
        other.x = 3  # it has never looked
        assert one.x == 3
        return
    with pytest.raises(ChangeConflict, match=r"'x' was set to 3 here and to 2 .* \(it was 1\)"):
        other.x = 3
    with pytest.raises(ChangeConflict, match="nothing here"):
        del other.x
    assert one.x == other.x == 2
    other.x = 3
    assert one.x == 3


def test_what_another_has_made_or_removed(two):
    one, other = two
    assert not hasattr(other, "x")
    one.x = 1
    with pytest.raises(ChangeConflict, match="it was nothing"):
        other.x = 2
    assert other.x == 1
    del one.x
    with pytest.raises(ChangeConflict, match="and to nothing by"):
        other.x = 2
    assert not hasattr(other, "x")
    other.x = 2
    assert one.x == 2


def test_equal_values_of_another_shape(two):
    """Two pickles of an equal value are no change."""
    one, other = two
    text = "abc"
    one.x = [text, text, {"b": 1, "a": 2}]
    assert one.x == other.x
    one.y = 1
    one.x = ["abc", "".join("abc"), {"a": 2, "b": 1}]
    assert one.x == other.x


def test_told_once_it_is_stored(path):
    told = []
    vars = WorkflowVars(path, lambda name: told.append((name, dict(WorkflowVars(path)._read()))))
    vars.x = 1
    del vars.x
    assert [(name, list(values)) for name, values in told] == [("x", ["x"]), ("x", [])]
