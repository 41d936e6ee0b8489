"""The pages of runs that `motoko top` reads as they come into sight."""

from motoko.bus.messages import Transition
from motoko.cli.render.top.run_window import PAGE, PAGES_MAX, RunWindow
from motoko.reports.run_pages import PagedRun, RunPage, RunQuery


def page(number, total, state="CREATED", tid=5):
    first = number * PAGE
    runs = [PagedRun(run, state, "a", ()) for run in range(first + 1, min(first + PAGE, total) + 1)]
    return RunPage(total, first, (), runs, f"{tid:016x}")


def change(run, new, tid):
    return Transition("mult", run, "CREATED", new, f"{tid:016x}", "epoch", tid)


def shown(window, row):
    cells = window.row(row)
    return cells and cells[1][0][0]


def test_only_what_is_seen_is_read():
    window = RunWindow("mult", RunQuery())
    assert window.needed(0, 20) == 0
    window.read(0, page(0, 100_000))
    assert window.needed(0, 20) is None
    assert window.needed(PAGE - 5, 20) == 1, "a part of it is on the next page"
    assert window.needed(99_990, 20) == 999
    assert shown(window, 3) == "CREATED" and window.row(PAGE) is None


def test_a_change_is_seen_before_it_is_read():
    window = RunWindow("mult", RunQuery())
    window.read(0, page(0, 10))
    window.take(change(4, "START", 9))
    assert shown(window, 3) == "START" and window.needed(0, 10) == 0
    window.read(0, page(0, 10, tid=8))
    assert shown(window, 3) == "START", "what was read is older"
    assert window.needed(0, 10) == 0, "so it is read again"
    window.read(0, page(0, 10, "FINISHED", tid=9))
    assert shown(window, 3) == "FINISHED" and window.needed(0, 10) is None


def test_rows_that_have_moved_are_read_again():
    window = RunWindow("mult", RunQuery())
    window.read(0, page(0, 150))
    window.read(1, page(1, 150))
    window.read(0, page(0, 151))
    assert window.needed(0, PAGE) is None and window.needed(PAGE, 10) == 1


def test_few_pages_are_remembered():
    window = RunWindow("mult", RunQuery())
    for number in range(PAGES_MAX + 1):
        window.read(number, page(number, 100_000))
    assert window.needed(0, 10) == 0


def test_no_runs():
    window = RunWindow("mult", RunQuery())
    window.read(0, page(0, 0))
    assert window.needed(0, 20) is None


def test_what_cannot_be_read_is_not_tried_for_ever():
    window = RunWindow("mult", RunQuery())
    window.problem = "not created"
    assert window.needed(0, 20) is None
    window.outdate()
    assert window.needed(0, 20) == 0 and not window.problem
