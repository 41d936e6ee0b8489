"""`motoko add`: a study for a program, or a message that says what to do, and nothing changed."""

import pytest

from motoko.config import load
from motoko.errors import ConfigError
from motoko.operations.file_warnings import file_warnings
from motoko.operations.study_adding import add_study

YAML = "# mine\ntask_managers:\n  first: # yes\norchestrator: orchestrator.main\n"


@pytest.fixture
def place(tmp_path):
    """A workflow of one study, with a program and its input."""
    add_study(tmp_path, "first", "echo {y}", {}, {})
    (tmp_path / "motoko.yaml").write_text(YAML.replace("first:", "first: {finish: on-exit}"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "prog").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "prog").chmod(0o755)
    (tmp_path / "in.dat").write_text("")
    return tmp_path


def contents(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_study_and_its_files(place):
    (place / "motoko.yaml").chmod(0o640)
    results = {"e": ("float", "e = (.*)"), "n": ("int", "n = (.*)")}
    command = "bin/prog -i in.dat -x {x} -k {k}"
    added = add_study(place, "sim", command, {"k": "int", "other": "str"}, results)
    assert added.files == ("sim/bd.yaml", "sim/launch.sh") and not added.warnings
    assert added.create == 'workflow.sim.createTask(x=[1.0], k=[1], other=["a"])'
    config = load(place)
    sim = config.studies["sim"]
    assert dict(sim.jobs) == {"x": float, "k": int, "other": str} and sim.policy.on_exit
    assert sim.policy.results["n"].type == "int"
    assert {*sim.files} == {"prog", "in.dat"} and not file_warnings(config)
    line = sim.launch_script.read_text().splitlines()[-1]
    assert line.startswith("./prog -i in.dat -x __BLACKDYNAMITE__x:sh__ -k ")
    text = (place / "motoko.yaml").read_text()
    assert "# mine" in text and "# yes" in text
    assert (place / "motoko.yaml").stat().st_mode & 0o777 == 0o640


def test_a_workflow_is_made_where_there_is_none(tmp_path):
    added = add_study(tmp_path / "new", "a-b", "true {x}", {}, {})
    assert added.is_new and 'task_managers["a-b"]' in added.create
    assert not load(tmp_path / "new").warnings
    compile((tmp_path / "new" / "orchestrator.py").read_text(), "orchestrator.py", "exec")


@pytest.mark.parametrize(
    ("study", "command", "types", "results", "words"),
    [
        ("first", "true {x}", {}, {}, ["motoko.yaml", "first already"]),
        ("Sim", "true {x}", {}, {}, ["'Sim'"]),
        ("vars", "true {x}", {}, {}, ["workflow.vars"]),
        ("bin", "true {x}", {}, {"x": ("float", "(.)")}, ["results.x", "parameter"]),
        ("sim", "true", {}, {}, ["no parameters"]),
        ("sim", "true {state}", {}, {}, ["'state'"]),
        ("sim", "true {lambda}", {}, {}, ["'lambda'", "Python"]),
        ("sim", "true {X}", {}, {}, ["'X'", "call it x"]),
        ("sim", "true {x}", {"x": "double"}, {}, ["'double'", "float, int, str, bool"]),
        ("sim", "true {x}", {}, {"e": ("float", "e")}, ["results.e", "group"]),
        ("sim", "./prog {x}", {}, {}, ["./prog", "no such file"]),
        ("sim", "./in.dat {x}", {}, {}, ["in.dat", "cannot be executed", "chmod"]),
        ("sim", "true {x} bin/../in.dat ./in.dat", {}, {}, ["same name"]),
        ("in.dat", "true {x}", {}, {}, ["'in.dat'"]),
    ],
)
def test_refused_before_anything_is_changed(place, study, command, types, results, words):
    before = contents(place)
    with pytest.raises(ConfigError) as info:
        add_study(place, study, command, types, results)
    text = f"{info.value} {info.value.hint}"
    assert all(word in text for word in words), text
    assert contents(place) == before


def test_studies_in_braces_get_a_text_to_paste(place):
    (place / "motoko.yaml").write_text(
        "task_managers: {first: {finish: on-exit}}\norchestrator: o.main\n"
    )
    before = contents(place)
    with pytest.raises(ConfigError) as info:
        add_study(place, "sim", "true {x}", {}, {"e": ("float", "e = (.*)")})
    assert "  sim:\n    finish: on-exit\n    results:\n      e: e = (.*)" in info.value.hint
    assert contents(place) == before


def test_a_program_that_is_not_there_is_warned_about(place):
    added = add_study(place, "sim", "no-such-program {x}", {}, {})
    assert added.warnings == ("no-such-program is not on PATH here: runs fail where it is not",)
