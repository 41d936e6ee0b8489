"""Points from files: values of the declared types, and errors that say where."""

import json
import math

import pytest
from configs import make_workflow

from motoko.config import load
from motoko.errors import ConfigError, MotokoError, expected_errors
from motoko.operations.point_files import assigned, from_text, read_points

BD = """\
study: mult
job:
  x: float
  n: int
  is_on: bool
  mesh: str
  xs: list
  any: any
run:
  y: float
"""


@pytest.fixture
def study(tmp_path):
    place = make_workflow(tmp_path / "w")
    name = next(iter(load(place).studies))
    (place / name / "bd.yaml").write_text(BD.replace("mult", name))
    return load(place).studies[name]


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def errors(path, study):
    with pytest.raises((MotokoError, ExceptionGroup)) as caught:
        read_points(path, study)
    return [str(error).replace(str(path), "FILE") for error in expected_errors(caught.value)]


def test_csv(tmp_path, study):
    text = '\ufeffX, n ,is_on,mesh,xs,any\r\n1,3.0,true,"a, ""b""\nc","[1, 2]",1\r\n\r\n'
    text += "-inf, -7,0,,[],q\r\n"
    file = read_points(written(tmp_path / "p.CSV", text), study)
    first, second = file.points
    assert first == {
        **{"x": 1.0, "n": 3, "is_on": True, "mesh": 'a, "b"\nc', "xs": [1, 2], "any": 1}
    }
    assert [type(first[name]) for name in ("x", "n", "is_on")] == [float, int, bool]
    assert second == {"x": -math.inf, "n": -7, "is_on": False, "mesh": "", "xs": [], "any": "q"}
    assert file.places == ["line 2", "line 5"] and file.place(1).endswith("p.CSV: line 5")


def test_what_is_wrong_in_csv(tmp_path, study):
    text = 'x,n,xs,mesh\n1.5x,2,[],a\n1,2.5,[],a\n1,,[],a\n1,2,(1),a\n1,2\n1,1_000,{},"b\n"\n'
    assert errors(written(tmp_path / "p.csv", text), study) == [
        "FILE: line 2, column 'x': '1.5x' is no float",
        "FILE: line 3, column 'n': '2.5' is no int",
        "FILE: line 4, column 'n': there is no value",
        "FILE: line 5, column 'xs': '(1)' is no JSON of a list",
        "FILE: line 6: 2 values, of 4 columns",
        "FILE: line 7, column 'n': '1_000' is no int",
        "FILE: line 7, column 'xs': '{}' is no JSON of a list",
    ]
    many = written(tmp_path / "many.csv", "n\n" + "q\n" * 100)
    with pytest.raises(ExceptionGroup) as caught:
        read_points(many, study)
    told = expected_errors(caught.value)
    assert len(told) == 10 and told[-1].hint == "90 more are wrong; nothing was created"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("x,y\n", "column 'y' is no job parameter"),
        ("x,X\n", "column 'x' is there twice"),
        ("x;n\n1;2\n", "column 'x;n'"),
        ('x\n"1\n', "line 2"),
        (b"x\n\xff\n", "UTF-8"),
    ],
)
def test_what_is_no_csv_of_points(tmp_path, study, text, said):
    (error,) = errors(written(tmp_path / "p.csv", text), study)
    assert said in error


def test_files_of_other_kinds(tmp_path, study):
    points = [{"x": 1, "n": 2.0, "xs": [1]}, {"X": 2.5, "n": 3, "xs": [2]}]
    wanted = [{"x": 1, "n": 2, "xs": [1]}, {"x": 2.5, "n": 3, "xs": [2]}]
    file = read_points(written(tmp_path / "p.json", json.dumps(points)), study)
    assert file.points == wanted and file.places[1] == "element 2"
    lines = "\n\n".join(map(json.dumps, points))
    file = read_points(written(tmp_path / "p.jsonl", lines), study)
    assert file.points == wanted and file.places == ["line 1", "line 3"]
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "p.parquet"
    pandas.DataFrame(wanted).to_parquet(path)
    assert read_points(path, study).points == wanted
    path.write_text("q")
    assert "FILE" in errors(path, study)[0]


def test_what_is_wrong_in_them(tmp_path, study):
    text = '{"x": "1", "n": null}\n3\n{"q": 1}\n{\n{"x": 1, "X": 1}\n'
    assert errors(written(tmp_path / "p.jsonl", text), study) == [
        "FILE: line 1, column 'x': '1' is no float",
        "FILE: line 1, column 'n': there is no value",
        "FILE: line 2: 3 is no object with a value for each parameter",
        f"FILE: line 3, column 'q': study {study.name} has no such job parameter",
        "FILE: line 4: Expecting property name enclosed in double quotes",
        "FILE: line 5, column 'X': it is there twice",
    ]
    assert "no array" in errors(written(tmp_path / "p.json", "{}"), study)[0]
    assert "line 2" in errors(written(tmp_path / "p.json", "[\nq"), study)[0]


def test_files_that_cannot_be_read(tmp_path, study):
    for path in (tmp_path / "none.csv", tmp_path / "p.txt", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            read_points(path, study)
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(ConfigError, match=r"d\.csv cannot be read"):
        read_points(tmp_path / "d.csv", study)


def test_assigned_values(study):
    assert assigned("N=3", study.jobs) == ("n", 3)
    assert assigned("mesh=a=b", study.jobs) == ("mesh", "a=b")
    assert assigned("nproc=4", study.runs, undeclared=True) == ("nproc", 4)
    assert assigned("note=a b", study.runs, undeclared=True) == ("note", "a b")
    for text, said in (("n=q", "'q' is no int"), ("q=1", "no parameter 'q'"), ("n", "NAME=VALUE")):
        with pytest.raises(MotokoError, match=said):
            assigned(text, study.jobs)


def test_texts_of_all_types():
    assert from_text("1+2j", complex) == 1 + 2j
    assert from_text("[1, 2]", tuple) == (1, 2) and from_text("[1, 2]", set) == {1, 2}
    assert from_text('{"a": 1}', dict) == {"a": 1}
    assert from_text(" yes", bool) is True
