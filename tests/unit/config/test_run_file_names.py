"""Which files go into run directories, and under which names."""

import os

import pytest
from configs import JOB, make_workflow, refused

from motoko.config import load, run_files
from motoko.config.run_files import is_ours, name_in_run


@pytest.fixture
def workflow(tmp_path):
    return make_workflow(tmp_path)


def list_files(workflow, *names):
    for name in names:
        path = workflow / "mult" / name
        path.parent.is_dir() or path.parent.mkdir()
        path.touch()
    text = "".join(f"- {name!r}\n" for name in names)
    (workflow / "mult" / "bd.yaml").write_text(f"study: mult\n{JOB}config_files:\n{text}")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("in.dat", "in.dat"),
        ("./a//b/../in.dat", "a/in.dat"),
        ("../common/in.dat", "in.dat"),
        ("a/../../in.dat", "in.dat"),
        ("/data/mesh.msh", "mesh.msh"),
        ("..in.dat", "..in.dat"),
    ],
)
def test_name_in_run(path, name):
    assert name_in_run(path) == name


@pytest.mark.parametrize("name", ["a b.e3", "slurm-7.out", ".motoko/x"])
def test_names_of_motoko(workflow, name):
    assert is_ours(name)
    list_files(workflow, name)
    refused(workflow, "mult/bd.yaml: config_files", name.partition("/")[0], hint="rename")


@pytest.mark.parametrize("name", ["attempt-1", "exit.json", "x.o", "mesh.oo3", "sub/.motoko"])
def test_names_of_users(workflow, name):
    assert not is_ours(name)
    list_files(workflow, name)
    assert name in load(workflow).studies["mult"].files


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["in.dat", "../other/in.dat"], ["../other/in.dat", "is taken by in.dat"]),
        (["../other/launch.sh"], ["is taken by launch.sh"]),
        (["../other/doIt.py"], ["is taken by doIt.py"]),
        (["a/b", "../other/a"], ["../other/a", "is taken by a/b"]),
    ],
)
def test_taken_names(workflow, names, parts):
    list_files(workflow, *names)
    refused(workflow, "config_files", *parts, hint="rename")


def test_the_same_file_twice_is_one(workflow):
    (workflow / "mult" / "a").mkdir()
    again = ["./in.dat", "a/../in.dat", "./doIt.py", "launch.sh"]
    list_files(workflow, "in.dat", *again, "sub/doIt.py")
    study = load(workflow).studies["mult"]
    assert study.config_files == ("in.dat", "sub/doIt.py")
    assert [*study.files] == ["doIt.py", "in.dat", "sub/doIt.py"]


def test_too_large(workflow, monkeypatch):
    assert run_files.SIZE_MAX == 10**9  # of which a test would read every byte
    monkeypatch.setattr(run_files, "SIZE_MAX", 10**6)
    list_files(workflow, "mesh.bin")
    os.truncate(workflow / "mult" / "mesh.bin", 10**6)
    load(workflow)
    os.truncate(workflow / "mult" / "mesh.bin", 10**6 + 1)
    refused(workflow, "mesh.bin", "at most 1 MB", hint="leave it where it is")


def test_doit_that_is_listed_has_to_be_there(workflow):
    list_files(workflow, "doIt.py")
    (workflow / "mult" / "doIt.py").unlink()
    with open(workflow / "motoko.yaml", "a") as file:
        file.write("finish: on-exit\n")
    refused(workflow, "doIt.py", "no such file")
