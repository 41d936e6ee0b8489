"""Where a person would look for a run."""

from motoko.reports.run_places import LONG, paths


def of(*rows, parameters=("x", "y")):
    made = paths("solve", parameters, rows)
    return {number: str(path) for number, path in made.items()}


def test_paths():
    assert of((1, "first", (1.5, "a")), (2, "first", (2.0, "a"))) == {
        1: "solve/first/x=1.5/run-1",
        2: "solve/first/x=2/run-2",
    }
    assert of((7, "first", (1, 2))) == {7: "solve/first/run-7"}
    assert of() == {}


def test_names_that_are_no_names():
    made = of((1, "a/b", ("../..", "x")), (2, "..", ("y" * 300, "\n")), (3, "", (None, [1, 2])))
    assert len(set(made.values())) == 3
    for path in made.values():
        parts = path.split("/")
        assert len(parts) == 5
        assert all(0 < len(part) <= LONG and not part.startswith(".") for part in parts)
    assert made[3].endswith("/x=None/y=[1, 2]/run-3")


def test_alike_names_stay_apart():
    made = of((1, "n", ("a/b", 1)), (2, "n", ("a_b", 1)), (3, "n", ("a:b", 1)))
    assert len({path.rpartition("/")[0] for path in made.values()}) == 3
