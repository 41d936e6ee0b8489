"""What differs between two runs."""

import numpy as np

from motoko.reports.run_differences import LINES_MAX, ComparedFile, ComparedRun, differences


def run(name="a.1", parameters=(), results=(), execution=(), files=()):
    return ComparedRun(name, dict(parameters), dict(results), dict(execution), dict(files))


def file(text, *, executable=False):
    return ComparedFile(str(hash(text)), executable, text)


def found(first, second):
    return [(one.kind, one.name, one.before, one.after) for one in differences(first, second)]


def test_values():
    first = run(parameters={"x": 1, "y": 2.0, "z": float("nan")}, results={"e": 1.5})
    second = run(parameters={"x": 1.0, "y": 2.0, "z": float("nan")}, results={"f": "long " * 20})
    assert found(first, second) == [
        ("parameter", "x", "1", "1.0"),
        ("result", "e", "1.5", "-"),
        ("result", "f", "-", "long long long long long ..."),
    ]
    assert found(first, first) == []


def test_arrays():
    one, other = np.zeros(3), np.ones(3)
    assert found(run(results={"a": one}), run(results={"a": one.copy()})) == []
    assert len(found(run(results={"a": one}), run(results={"a": other}))) == 1
    assert len(found(run(results={"a": one}), run(results={"a": np.zeros(4)}))) == 1


def test_files():
    first = run(files={"a": file("1\n2\n3\n"), "b": file("x"), "c": file("")})
    second = run(files={"a": file("1\n5\n3\n"), "b": file("x", executable=True), "d": file("")})
    a, b, c, d = differences(first, second)
    assert a.lines == ["@@ -1,3 +1,3 @@", " 1", "-2", "+5", " 3"]
    assert (b.before, b.after) == ("not executable", "executable")
    assert (c.before, c.after) == ("there", "-")
    assert (d.before, d.after) == ("-", "there")
    (binary,) = differences(
        run(files={"a": ComparedFile("1" * 64, False, None)}), run(files={"a": file("x")})
    )
    assert (binary.before, binary.lines) == ("1" * 12, [])
    (long,) = differences(run(files={"a": file("1\n" * 999)}), run(files={"a": file("2\n" * 999)}))
    assert len(long.lines) == LINES_MAX + 1
