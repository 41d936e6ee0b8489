"""What people write and read: names of runs, sizes, reasons."""

import pytest

from motoko.host.durations import counted
from motoko.host.sizes import as_written, megabytes, size
from motoko.runs.ends import cancelled_reason, was_cancelled
from motoko.runs.references import reference


@pytest.mark.parametrize(
    ("text", "run"),
    [("mult.3", ("mult", 3)), ("a.b.12", ("a.b", 12)), ("mult.007", ("mult", 7))],
)
def test_references(text, run):
    assert reference(text) == run


@pytest.mark.parametrize("text", ["", "mult", "mult.", ".1", "mult.one", "mult.-1", "mult.1 ", "3"])
def test_no_references(text):
    assert reference(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [("500MB", 500_000_000), ("1.5 GB", 1_500_000_000), ("1KB", 1000), ("2TB", 2 * 10**12)],
)
def test_sizes(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "500", "500 Mo", "MB", "-1MB", "1e3MB", "1MB "])
def test_no_sizes(text):
    with pytest.raises(ValueError, match="is no size"):
        size(text)


def test_sizes_as_people_read_them():
    assert (megabytes(12_400_000), megabytes(0)) == ("12 MB", "0 MB")
    assert (as_written(10_000_000), as_written(1000)) == ("10MB", "1KB")


@pytest.mark.parametrize(
    ("thing", "things"),
    [(("slot",), "slots"), (("process", "es"), "processes"), (("study",), "studies")],
)
def test_counts_as_people_read_them(thing, things):
    counts = [counted(number, *thing) for number in (0, 1, 2)]
    assert counts == [f"0 {things}", f"1 {thing[0]}", f"2 {things}"]


def test_cancelled_runs_are_recognised():
    assert cancelled_reason("me") == "cancelled by me"
    assert was_cancelled({"failure_reason": cancelled_reason("me")})
    others = ({}, {"failure_reason": None}, {"failure_reason": "no"}, {"failure_reason": 3})
    assert not any(was_cancelled(run) for run in others)
