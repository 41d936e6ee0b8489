"""A tree of links is kept; nothing else is touched."""

from pathlib import PurePosixPath

import pytest

from motoko.errors import CannotWrite, ConfigError
from motoko.operations.linked_tree import LinkChanges, keep


def test_links_come_and_go(tmp_path):
    runs = {number: tmp_path / f"run-{number}" for number in range(3)}
    for directory in runs.values():
        directory.mkdir()
    view = tmp_path / "a" / "view"
    wanted = {PurePosixPath(f"x={number}/run-{number}"): at for number, at in runs.items()}
    assert keep(view, wanted) == LinkChanges(made=3)
    assert keep(view, wanted) == LinkChanges(kept=3)
    assert (view / "x=1" / "run-1").resolve() == runs[1]
    (view / "x=1" / "notes").write_text("mine")
    del wanted[PurePosixPath("x=1/run-1")], wanted[PurePosixPath("x=2/run-2")]
    wanted[PurePosixPath("x=0/run-0")] = runs[2]
    assert keep(view, wanted) == LinkChanges(made=1, removed=3)
    assert (view / "x=1" / "notes").read_text() == "mine"
    assert not (view / "x=2").exists()
    assert (view / "x=0" / "run-0").resolve() == runs[2]
    assert all(directory.is_dir() for directory in runs.values())
    # Moved together, the links still lead to the runs.
    (tmp_path / "a").rename(tmp_path / "b")
    assert (tmp_path / "b" / "view" / "x=0" / "run-0").resolve() == runs[2]


def test_a_directory_that_is_elsewhere(tmp_path):
    run = tmp_path / "flow" / "run-1"
    run.mkdir(parents=True)
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "near").symlink_to("far/away")
    (tmp_path / "same").symlink_to("flow")
    wanted = {PurePosixPath("x=1/run-1"): tmp_path / "same" / "run-1"}
    for view in (tmp_path / "near" / "view", tmp_path / "same" / "view"):
        assert keep(view, wanted) == LinkChanges(made=1)
        assert (view / "x=1" / "run-1").resolve() == run
        assert keep(view, wanted) == LinkChanges(kept=1)
    (tmp_path / "flow").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "view" / "x=1" / "run-1").is_dir()


def test_a_directory_of_others(tmp_path):
    (tmp_path / "data").write_text("precious")
    with pytest.raises(ConfigError):
        keep(tmp_path, {PurePosixPath("run-1"): tmp_path})
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_something_in_the_way(tmp_path):
    view = tmp_path / "view"
    keep(view, {})
    (view / "x=1").write_text("a file")
    with pytest.raises(CannotWrite):
        keep(view, {PurePosixPath("x=1/run-1"): tmp_path})
    assert (view / "x=1").read_text() == "a file"
