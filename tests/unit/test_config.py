"""motoko.yaml and bd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motoko.config import RESERVED_NAMES, TYPES, find, load
from motoko.errors import ConfigError
from motoko.policy import Policy

GOOD = "task_managers:\n  mult:\n  norm:\norchestrator: orchestrator.main\n"
ONLY_MULT = "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
JOB = "job:\n  x: float\n"


def make_study(directory: Path, text: str | None = None) -> Path:
    directory.mkdir(parents=True)
    (directory / "bd.yaml").write_text(text or f"study: {directory.name}\n{JOB}")
    (directory / "doIt.py").write_text("")
    (directory / "launch.sh").write_text("")
    return directory


def make_workflow(directory: Path) -> Path:
    make_study(directory / "mult")
    make_study(directory / "norm")
    (directory / "motoko.yaml").write_text(GOOD)
    return directory


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    return make_workflow(tmp_path / "w")


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def refused(workflow: Path, *parts: str, hint: str = "") -> ConfigError:
    """The error of a load that fails, names all the parts and changes nothing."""
    before = snapshot(workflow)
    with pytest.raises(ConfigError) as caught:
        load(workflow)
    assert snapshot(workflow) == before
    error = caught.value
    assert error.exit_code == 2
    for part in parts:
        assert part in str(error)
    assert "\n" not in str(error)
    assert error.hint and hint in error.hint
    return error


# What motoko.yaml holds, the key and what else is named, a part of the hint.
BAD_WORKFLOWS = {
    "empty": ("", ["is empty"], "key: value"),
    "only a comment": ("# nothing\n", ["is empty"], "key: value"),
    "null": ("---\n~\n", ["is empty"], "key: value"),
    "a list": ("- mult\n", ["a mapping", "['mult']", "a list"], "key: value"),
    "a string": ("mult\n", ["a mapping", "'mult'", "a string"], "key: value"),
    "tab": ("task_managers:\n\tmult:\n", ["line 2, column 1", "not valid YAML"], "spaces"),
    "unclosed": ("aliases: [a, b\n", ["line 2, column 1", "not valid YAML"], "indent"),
    "tag": ("a: !!python/object:os.x {}\n", ["line 1, column 4", "not valid YAML"], ""),
    "two documents": ("a: 1\n---\nb: 1\n", ["line 2", "not valid YAML"], ""),
    "impossible date": ("a: 2024-99-99\n", ["not valid YAML", "month"], ""),
    "duplicate key": (GOOD + "task_managers:\n  x:\n", ["line 5", "task_managers"], "remove"),
    "duplicate study": (
        "task_managers:\n  mult:\n  norm:\n  mult:\n",
        ["line 4", "mult", "twice", "line 2"],
        "remove",
    ),
    "duplicate in one line": ("a: {b: 1, b: 2}\n", ["line 1", "b", "twice"], "remove"),
    "duplicate in a list": ("a:\n- {b: 1}\n- c: 1\n  c: 2\n", ["line 4", "c", "twice"], ""),
    "no task_managers": ("orchestrator: a.b\n", ["task_managers", "missing"], "`name:`"),
    "null task_managers": ("task_managers:\n", ["task_managers", "empty"], "`name:`"),
    "no studies": ("task_managers: {}\n", ["task_managers", "empty"], "`name:`"),
    "list of studies": (
        "task_managers:\n- mult\n",
        ["task_managers", "a mapping", "['mult']", "a list"],
        "`name:`",
    ),
    "string of studies": (
        "task_managers: mult\n",
        ["task_managers", "a mapping", "'mult'", "a string"],
        "`name:`",
    ),
    "entry is a string": (
        "task_managers:\n  mult: zeo:///a\n",
        ["task_managers.mult", "a mapping", "'zeo:///a'", "a string"],
        "`mult:`",
    ),
    "entry is a list": ("task_managers:\n  mult: []\n", ["task_managers.mult", "a list"], "host"),
    "entry is false": ("task_managers:\n  mult: no\n", ["task_managers.mult", "False"], "host"),
    "name is a boolean": ("task_managers:\n  on:\n", ["task_managers.True", "a string"], "quotes"),
    "name is a number": ("task_managers:\n  1:\n", ["task_managers.1", "an integer"], "quotes"),
    "name is null": ("task_managers:\n  ~:\n", ["task_managers.None", "nothing"], "quotes"),
    "missing directory": (
        "task_managers:\n  multi:\n",
        ["task_managers.multi", "w/multi", "no such directory"],
        "did you mean 'mult'?",
    ),
    "missing directory, nothing similar": (
        "task_managers:\n  zzz:\n",
        ["task_managers.zzz", "w/zzz", "no such directory"],
        "create",
    ),
    "directory is a file": (
        "task_managers:\n  a-file:\n",
        ["task_managers.a-file", "w/a-file", "not a directory"],
        "create",
    ),
    "name too long": (f"task_managers:\n  {'a' * 300}:\n", ["aaa", "cannot be read"], ""),
    "no orchestrator": ("task_managers:\n  mult:\n", ["orchestrator", "missing"], "module."),
    "null orchestrator": ("task_managers: {mult: }\norchestrator:\n", ["orchestrator"], "module."),
}
BAD_KEYS = {
    "orchestrator, no function": ("orchestrator: main\n", ["orchestrator", "'main'"], "module."),
    "orchestrator, too many": ("orchestrator: a.b.c\n", ["orchestrator", "'a.b.c'"], "module."),
    "orchestrator, file": ("orchestrator: main.py()\n", ["orchestrator", "'main.py()'"], ""),
    "orchestrator, empty parts": ("orchestrator: .\n", ["orchestrator", "'.'"], "module."),
    "orchestrator, spaces": ("orchestrator: a. b\n", ["orchestrator", "'a. b'"], "module."),
    "orchestrator, number": (
        "orchestrator: 1.5\n",
        ["orchestrator", "a string", "1.5 (a number)"],
        "module.",
    ),
    "aliases, list": ("aliases: [a]\n", ["aliases", "a mapping", "a list"], "a mapping"),
    "aliases, key": ("aliases: {1: mult}\n", ["aliases.1", "a string", "an integer"], "quotes"),
    "aliases, value": ("aliases: {a: 1}\n", ["aliases.a", "a string", "an integer"], "study"),
    "aliases, null": ("aliases: {a: }\n", ["aliases.a", "a string", "nothing"], "study"),
    "aliases, chain to a list": (
        "aliases: {a: b, b: [mult]}\n",
        ["aliases.b", "a string", "a list"],
        "study",
    ),
    "aliases, nowhere": ("aliases: {a: mul}\n", ["aliases.a", "'mul'"], "did you mean 'mult'?"),
    "aliases, nowhere near": ("aliases: {a: zzz}\n", ["aliases.a", "'zzz'"], "studies: mult"),
    "aliases, chain to nowhere": ("aliases: {a: b, b: zzz}\n", ["aliases.a", "'zzz'"], ""),
    "aliases, circle": (
        "aliases: {a: b, b: c, c: b}\n",
        ["aliases.a", "b -> c -> b"],
        "name a study",
    ),
    "aliases, itself": ("aliases: {a: a}\n", ["aliases.a", "a -> a"], "name a study"),
    "aliases, a study": ("aliases: {mult: mult}\n", ["aliases.mult", "'mult'"], "another name"),
    "generator": (
        "generator: slrum\n",
        ["generator", "one of bash", "'slrum' (a string)"],
        "did you mean 'slurm'?",
    ),
    "generator, nothing near": ("generator: condor\n", ["generator", "'condor'"], "one of bash"),
    "generator, type": ("generator: [bash]\n", ["generator", "a string", "a list"], "a string"),
    "slots, zero": ("slots: 0\n", ["slots", "at least 1", "0 (an integer)"], "at least 1"),
    "slots, negative": ("slots: -3\n", ["slots", "at least 1", "-3"], "at least 1"),
    "slots, bool": ("slots: true\n", ["slots", "True (true or false)"], "at least 1"),
    "slots, string": ("slots: '4'\n", ["slots", "'4' (a string)"], "at least 1"),
    "slots, float": ("slots: 2.0\n", ["slots", "2.0 (a number)"], "at least 1"),
    "retries, negative": ("retries: -1\n", ["retries", "at least 0", "-1"], "at least 0"),
    "retries, bool": ("retries: no\n", ["retries", "False (true or false)"], "at least 0"),
    "retries, string": ("retries: many\n", ["retries", "'many' (a string)"], "at least 0"),
    "runtime_dir": ("runtime_dir: 7\n", ["runtime_dir", "a string", "an integer"], "a string"),
    "runtime_dir, no such user": (
        "runtime_dir: ~no-such-user-here/x\n",
        ["runtime_dir", "'~no-such-user-here/x'"],
        "no such user",
    ),
    "options, string": ("bash_options: --x\n", ["bash_options", "a list", "'--x'"], "[...]"),
    "options, number": ("slurm_options: [-n, 4]\n", ["slurm_options[1]", "4 (an int"], "quotes"),
}
BAD_ENTRIES = {
    "host, number": ("host: 8080", ["host", "a string", "8080 (an integer)"]),
    "host, path only": ("host: /data/mult", ["host", "zeo://", "'/data/mult'"]),
    "host, other scheme": ("host: http://a:80", ["host", "zeo://", "'http://a:80'"]),
    "host, empty": ("host: ''", ["host", "zeo://", "''"]),
    "host, nothing": ("host: zeo://", ["host", "zeo://"]),
    "host, one slash": ("host: zeo:/data", ["host", "zeo://", "'zeo:/data'"]),
    "host, no port": ("host: 'zeo://name:'", ["host", "'zeo://name:'"]),
    "host, port is no number": ("host: zeo://name:http", ["host", "'zeo://name:http'"]),
    "host, port 0": ("host: zeo://name:0", ["host", "'zeo://name:0'"]),
    "host, port too big": ("host: zeo://name:65536", ["host", "'zeo://name:65536'"]),
    "host, port far too big": ("host: zeo://name:1234567", ["host", "'zeo://name:1234567'"]),
    "retries, bool": ("retries: true", ["retries", "at least 0", "True"]),
    "retries, negative": ("retries: -1", ["retries", "at least 0", "-1"]),
    "insecure_tcp, string": ("insecure_tcp: 'no'", ["insecure_tcp", "true or false", "'no'"]),
}
BAD_STUDIES = {
    "empty": ("", ["is empty"], "key: value"),
    "a list": ("- job\n", ["a mapping", "a list"], "key: value"),
    "wrong YAML": ("job: {x: float\n", ["line 2, column 1", "not valid YAML"], "indent"),
    "duplicate key": (JOB + "  x: int\n", ["line 3", "x", "twice", "line 2"], "remove"),
    "study, number": (f"study: 7\n{JOB}", ["study", "a string", "7 (an integer)"], ""),
    "no job": ("study: mult\n", ["job", "missing"], "x: float"),
    "null job": ("study: mult\njob:\n", ["job", "empty"], "x: float"),
    "job, list": ("job: [x]\n", ["job", "a mapping", "a list"], "a mapping"),
    "job, name": ("job: {no: int}\n", ["job.False", "a string"], "quotes"),
    "job, type": (
        "job: {x: flaot}\n",
        ["job.x", "one of int, float", "'flaot' (a string)"],
        "did you mean 'float'?",
    ),
    "job, other type": ("job: {x: ndarray}\n", ["job.x", "'ndarray'"], "one of int"),
    "job, expression": ("job: {x: __import__('os')}\n", ["job.x", "__import__"], "one of int"),
    "job, no type": ("job: {x: }\n", ["job.x", "None (nothing)"], "one of int"),
    "job, default for a type": ("job: {x: 1.5}\n", ["job.x", "1.5 (a number)"], "one of int"),
    "job, list for a type": ("job: {x: [int]}\n", ["job.x", "a list"], "did you mean"),
    "job, twice": ("job: {x: int, X: int}\n", ["job.X", "twice"], "rename"),
    "run, list": (f"{JOB}run: [y]\n", ["run", "a mapping", "a list"], "a mapping"),
    "run, type": (f"{JOB}run: {{y: string}}\n", ["run.y", "'string'"], "did you mean 'str'?"),
    "run, twice": (f"{JOB}run: {{Y: int, y: int}}\n", ["run.y", "twice"], "rename"),
    "job_space": (f"{JOB}job_space: [1]\n", ["job_space", "a mapping", "a list"], "a mapping"),
    "job_space, name": (f"{JOB}job_space: {{1: 1}}\n", ["job_space.1", "a string"], "quotes"),
    "run_params": (f"{JOB}run_params: 3\n", ["run_params", "a mapping", "an integer"], ""),
    "config_files, string": (
        f"{JOB}config_files: a.txt\n",
        ["config_files", "a list", "'a.txt' (a string)"],
        "[...]",
    ),
    "config_files, number": (f"{JOB}config_files: [1]\n", ["config_files[0]", "a string"], ""),
    "config_files, missing": (
        f"{JOB}config_files: [sub/a.txt]\n",
        ["config_files", "mult/sub/a.txt", "no such file"],
        "create",
    ),
    "config_files, directory": (f"{JOB}config_files: [.]\n", ["config_files", "not a file"], ""),
}


@pytest.mark.parametrize("case", BAD_WORKFLOWS)
def test_bad_workflow(workflow: Path, case: str) -> None:
    text, parts, hint = BAD_WORKFLOWS[case]
    (workflow / "a-file").write_text("")
    (workflow / "motoko.yaml").write_text(text)
    refused(workflow, str(workflow), *parts, hint=hint)


@pytest.mark.parametrize("case", BAD_KEYS)
def test_bad_key(workflow: Path, case: str) -> None:
    text, parts, hint = BAD_KEYS[case]
    start = ONLY_MULT.replace("orchestrator: orchestrator.main\n", "")
    rest = "" if text.startswith("orchestrator") else "orchestrator: orchestrator.main\n"
    (workflow / "motoko.yaml").write_text(start + rest + text)
    refused(workflow, f"{workflow}/motoko.yaml: ", *parts, hint=hint)


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_bad_entry(workflow: Path, case: str) -> None:
    text, parts = BAD_ENTRIES[case]
    (workflow / "motoko.yaml").write_text(ONLY_MULT.replace("mult:", f"mult:\n    {text}"))
    refused(workflow, f"{workflow}/motoko.yaml: task_managers.mult.", *parts)


@pytest.mark.parametrize("case", BAD_STUDIES)
def test_bad_study(workflow: Path, case: str) -> None:
    text, parts, hint = BAD_STUDIES[case]
    (workflow / "mult/bd.yaml").write_text(text)
    refused(workflow, f"{workflow}/mult/bd.yaml: ", *parts, hint=hint)


NOT_NAMES = ["Mult", "_mult", "1mult", "-mult", "mult.a", "a b", "mült", "a/b", "..", "", "mult\n"]


@pytest.mark.parametrize("name", [*NOT_NAMES, *sorted(RESERVED_NAMES)])
def test_name_that_cannot_be_a_study(workflow: Path, name: str) -> None:
    quoted = '"' + name.replace("\n", "\\n") + '"'
    (workflow / "motoko.yaml").write_text(ONLY_MULT.replace("mult", quoted))
    with pytest.raises(ConfigError) as caught:
        load(workflow)
    assert f"{workflow}/motoko.yaml: task_managers.{name}: {name!r} is a name" in str(caught.value)
    assert "cannot be a study" in str(caught.value)
    assert caught.value.exit_code == 2 and caught.value.hint


@pytest.mark.parametrize("name", ["m", "my_study", "my-study", "a1", "step_", "__main__"[2:6]])
def test_name_that_can_be_a_study(tmp_path: Path, name: str) -> None:
    make_study(tmp_path / name)
    (tmp_path / "motoko.yaml").write_text(ONLY_MULT.replace("mult", name))
    assert list(load(tmp_path).studies) == [name]


@pytest.mark.parametrize("name", ["bd.yaml", "doIt.py", "launch.sh"])
@pytest.mark.parametrize("directory", [False, True])
def test_missing_file_of_a_study(workflow: Path, name: str, directory: bool) -> None:
    (workflow / "mult" / name).unlink()
    if directory:
        (workflow / "mult" / name).mkdir()
    found = "is not a file" if directory else "there is no such file"
    refused(workflow, "task_managers.mult", f"{workflow}/mult/{name}: {found}", hint=name)


def test_dangling_link_is_missing(workflow: Path) -> None:
    (workflow / "mult/launch.sh").unlink()
    (workflow / "mult/launch.sh").symlink_to("gone.sh")
    refused(workflow, "task_managers.mult", "launch.sh: there is no such file")


def test_not_text(workflow: Path) -> None:
    (workflow / "motoko.yaml").write_bytes(b"task_managers: \xff\xfe\x00")
    refused(workflow, f"{workflow}/motoko.yaml", "not valid YAML")


def test_nested_too_deeply(workflow: Path) -> None:
    (workflow / "motoko.yaml").write_text("a: " + "[" * 5000 + "]" * 5000)
    refused(workflow, f"{workflow}/motoko.yaml", "not valid YAML")


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything: be somebody else meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["motoko.yaml", "mult/bd.yaml", "mult", "."])
def test_unreadable(name: str) -> None:
    load(Path(__file__).parents[2] / "examples/minimal")  # everything is imported
    with tempfile.TemporaryDirectory() as base:
        workflow = make_workflow(Path(base) / "w")
        Path(base).chmod(0o755)
        (workflow / name).chmod(0)
        try:
            with unprivileged(), pytest.raises(ConfigError) as caught:
                load(workflow)
        finally:
            (workflow / name).chmod(0o700)
    assert str(workflow / name) in str(caught.value)
    assert "cannot be read: Permission denied" in str(caught.value)
    assert caught.value.exit_code == 2 and caught.value.hint


# --- find -----------------------------------------------------------------------------------


def test_find(workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workflow / "motoko.yaml"
    assert find(workflow) == find(path) == find(str(path)) == path
    monkeypatch.chdir(workflow / "mult")
    assert find("..") == find("../motoko.yaml") == path
    monkeypatch.chdir(workflow)
    assert find() == find("motoko.yaml") == find(Path()) == path
    other = path.rename(workflow / "other.yaml")
    assert find("other.yaml") == other
    assert load("other.yaml").path == other


def test_symbolic_links_are_not_resolved(workflow: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(workflow)
    config = load(tmp_path / "link")
    assert config.path == tmp_path / "link/motoko.yaml"
    assert config.studies["mult"].directory == tmp_path / "link/mult"


@pytest.mark.parametrize(
    ("where", "named", "hint"),
    [
        ("nowhere", "nowhere: there is no such file", "cd to"),
        ("nowhere/motoko.yaml", "nowhere/motoko.yaml: there is no such file", "cd to"),
        ("w/mult", "w/mult/motoko.yaml: there is no such file", "cd to"),
        ("w/motoko.yaml/x", "w/motoko.yaml/x: there is no such file", "cd to"),
        ("w/motoko.yml", "w/motoko.yml: there is no such file", "motoko.yaml"),
        ("w/pipe", "w/pipe: is not a file", "cd to"),
        ("loop", "loop: cannot be read: Too many levels", "check"),
        ("w/a\0b", "there is no such file", "cd to"),
    ],
)
def test_not_found(workflow: Path, where: str, named: str, hint: str) -> None:
    os.mkfifo(workflow / "pipe")
    (workflow.parent / "loop").symlink_to("loop")
    before = snapshot(workflow)
    for function in (find, load):
        with pytest.raises(ConfigError) as caught:
            function(workflow.parent / where)
        assert named in str(caught.value)
        assert caught.value.exit_code == 2
        assert caught.value.hint and hint in caught.value.hint
    assert snapshot(workflow) == before


def test_other_spelling_of_the_file_is_suggested(workflow: Path) -> None:
    (workflow / "motoko.yaml").rename(workflow / "Motoko.yml")
    refused(workflow, f"{workflow}/motoko.yaml", hint="there is a Motoko.yml: rename it")


def test_current_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="current directory is gone"):
        find()


# --- what is accepted -----------------------------------------------------------------------


def test_smallest_workflow(workflow: Path) -> None:
    before = snapshot(workflow)
    config = load(workflow)
    assert snapshot(workflow) == before
    assert config.directory == workflow
    assert list(config.studies) == ["mult", "norm"]
    assert config.orchestrator == ("orchestrator", "main")  # which does not exist
    assert (config.generator, config.slots, config.runtime_dir) == ("bash", None, None)
    assert config.aliases == {} and config.warnings == ()
    assert config.raw == {
        "task_managers": {"mult": None, "norm": None},
        "orchestrator": "orchestrator.main",
    }
    study = config.studies["mult"]
    assert (study.name, study.directory, study.host) == ("mult", workflow / "mult", None)
    assert study.jobs == {"x": float}
    assert study.runs == study.job_space == study.run_params == study.settings == {}
    assert (study.config_files, study.policy.retries) == ((), 0)
    assert study.is_local and not study.created


def test_everything(workflow: Path) -> None:
    (workflow / "mult/bd.yaml").write_text(
        "study: mult\n"
        "job: {B: int, a: list}\n"
        "run: {Tol: float}\n"
        "job_space: {B: [1, 2]}\n"
        "run_params: {Tol: 0.1, nproc: 2}\n"
        "config_files: [doIt.py, sub/mesh.txt, b.txt, sub/mesh.txt]\n"
        "exec_file: launch.sh\n"
        "generator: bashCoat\n"
        "whatever: else\n"
    )
    (workflow / "mult/sub").mkdir()
    (workflow / "mult/sub/mesh.txt").write_text("")
    (workflow / "mult/b.txt").write_text("")
    (workflow / "motoko.yaml").write_text(
        "task_managers:\n"
        "  norm: {retries: 0, timeout: 5, nproc: 2, environment: {}, finish: on-exit,\n"
        "         generator: bash, slurm_options: [mem=1G], modules: [gcc/12]}\n"
        "  mult: {host: 'zeo://node7:8765', insecure_tcp: true}\n"
        "aliases: {first: second, second: mult}\n"
        "orchestrator: steps.run\n"
        "generator: slurm\n"
        "bash_options: []\n"
        "slurm_options: ['--time=1']\n"
        "pbs_options:\n"
        "slots: 4\n"
        "retries: 2\n"
        "supervisor: {}\n"
    )
    config = load(workflow)
    assert config.warnings == ()
    assert list(config.studies) == ["norm", "mult"]
    assert config.aliases == {"first": "second", "second": "mult"}
    assert config.orchestrator == ("steps", "run")
    assert (config.generator, config.slots) == ("slurm", 4)
    assert config.raw["slurm_options"] == ["--time=1"]
    assert (config.studies["norm"].policy.retries, config.studies["mult"].policy.retries) == (0, 2)
    assert config.studies["norm"].policy == Policy(
        *(0, 5.0, 2, {}, "on-exit"),
        slurm_options={"time": "1", "mem": "1G"},
        modules=("gcc/12",),
    )
    assert [each.generator for each in config.studies.values()] == ["bash", "slurm"]
    study = config.studies["mult"]
    assert list(study.jobs.items()) == [("b", int), ("a", list)]
    assert study.runs == {"tol": float}
    assert study.job_space == {"B": [1, 2]}
    assert study.run_params == {"Tol": 0.1, "nproc": 2}
    assert study.config_files == ("sub/mesh.txt", "b.txt")
    assert study.host == "zeo://node7:8765"
    assert not study.is_local


def test_null_is_absent(workflow: Path) -> None:
    optional = "aliases generator slots retries runtime_dir bash_options supervisor"
    nulls = "".join(f"{key}:\n" for key in optional.split())
    entry = "mult: {host: , retries: , insecure_tcp: }"
    (workflow / "motoko.yaml").write_text(ONLY_MULT.replace("mult:", entry) + nulls)
    (workflow / "mult/bd.yaml").write_text(
        f"study: mult\n{JOB}run:\njob_space:\nrun_params:\nconfig_files:\n"
    )
    config = load(workflow)
    study = config.studies["mult"]
    assert config.warnings == () and config.aliases == {}
    assert (config.generator, config.slots, config.runtime_dir) == ("bash", None, None)
    assert (study.host, study.policy.retries, study.config_files) == (None, 0, ())
    assert study.runs == study.job_space == study.run_params == {}


def test_nothing_can_be_changed(workflow: Path) -> None:
    (workflow / "motoko.yaml").write_text(GOOD + "aliases: {a: mult}\n")
    config = load(workflow)
    study = config.studies["mult"]
    for value, name in ((config, "slots"), (study, "host")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
    for mapping in (config.studies, config.aliases, study.jobs, study.runs, study.settings):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]
    config.raw["aliases"]["b"] = "norm"  # workflow.config belongs to the user
    assert config.aliases == {"a": "mult"}


@pytest.mark.parametrize("name", ["bash", "slurm", "pbs", "sge"])
@pytest.mark.parametrize("ending", ["", "Coat"])
def test_generators(workflow: Path, name: str, ending: str) -> None:
    (workflow / "motoko.yaml").write_text(f"{GOOD}generator: {name}{ending}\n")
    assert load(workflow).generator == name


@pytest.mark.parametrize("name", TYPES)
def test_types(workflow: Path, name: str) -> None:
    (workflow / "mult/bd.yaml").write_text(f"job: {{x: {name}}}\nrun: {{y: {name}}}\n")
    study = load(workflow).studies["mult"]
    assert study.jobs["x"].__name__ == study.runs["y"].__name__ == name


def test_job_without_parameters(workflow: Path) -> None:
    (workflow / "mult/bd.yaml").write_text("study: mult\njob: {}\n")
    assert load(workflow).studies["mult"].jobs == {}


def test_merge_keys_are_no_duplicates(workflow: Path) -> None:
    (workflow / "motoko.yaml").write_text(
        "task_managers:\n"
        "  mult: &settings {retries: 1, nproc: 2}\n"
        "  norm: &more {<<: *settings, retries: 3}\n"
        "deep: {deeper: {deepest: {<<: *more, retries: 4}}}\n"
        "orchestrator: orchestrator.main\n"
    )
    config = load(workflow)
    assert config.studies["norm"].settings == {"retries": 3, "nproc": 2}
    assert config.raw["deep"]["deeper"]["deepest"] == {"retries": 4, "nproc": 2}


def test_runtime_dir(workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for text, expected in (
        ("run", workflow / "run"),
        ("../run", workflow.parent / "run"),
        ("/scratch/x", Path("/scratch/x")),
        ("~/x", Path("/home/me/x")),
    ):
        (workflow / "motoko.yaml").write_text(f"{GOOD}runtime_dir: {text}\n")
        assert load(workflow).runtime_dir == expected
    assert not (workflow / "run").exists()


def hosts(workflow: Path) -> Iterator[tuple[str, bool]]:
    yield f"zeo://{workflow}/mult", True
    yield f"zeo://{workflow}/mult/", True
    yield f"zeo://{workflow}/norm/../mult", True
    yield f"zeo://{workflow.parent}/link/mult", True
    yield "zeo://mult", True
    yield f"zeo://{workflow}/norm", False
    yield f"zeo://{workflow}", False
    yield "zeo:///elsewhere/mult", False
    yield "zeo:///else:where/mult", False
    yield "zeo://localhost:8765", True
    yield "zeo://[::1]:8765", True
    yield "zeo://nowhere.invalid:8765", False


def test_is_local(workflow: Path) -> None:
    (workflow.parent / "link").symlink_to(workflow)
    for host, expected in hosts(workflow):
        (workflow / "motoko.yaml").write_text(
            ONLY_MULT.replace("mult:", f"mult: {{host: '{host}'}}")
        )
        study = load(workflow).studies["mult"]
        assert (study.host, study.is_local) == (host, expected)


def test_created_is_looked_up_each_time(workflow: Path) -> None:
    study = load(workflow).studies["mult"]
    (workflow / "mult/.bd").mkdir()
    assert not study.created
    (workflow / "mult/.bd/bd.zeo").write_text("")
    assert study.created


def test_long_directory_with_spaces(tmp_path: Path) -> None:
    directory = make_workflow(tmp_path / ("with a space " * 15 + "ü") / "w")
    assert len(str(directory)) > 200
    config = load(directory)
    assert config.studies["norm"].directory == directory / "norm"
    (directory / "mult/doIt.py").unlink()
    refused(directory, f"{directory}/mult/doIt.py: there is no such file")


# --- warnings -------------------------------------------------------------------------------


def change(workflow: Path, name: str, text: str) -> None:
    (workflow / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "warning"),
    [
        ("motoko.yaml", GOOD + "slot: 4\n", "unknown key 'slot' (did you mean 'slots'?)"),
        ("motoko.yaml", GOOD + "Retries: 4\n", "unknown key 'Retries' (did you mean 'retries'?)"),
        ("motoko.yaml", GOOD + "temperature: 4\n", "unknown key 'temperature'"),
        ("motoko.yaml", GOOD + "retry: 4\n", "unknown key 'retry' (did you mean 'retries'?)"),
        ("motoko.yaml", GOOD + "7: 4\n", "unknown key 7"),
        (
            "motoko.yaml",
            GOOD.replace("mult:", "mult: {hots: x}"),
            "task_managers.mult: unknown key 'hots' (did you mean 'host'?)",
        ),
        (
            "motoko.yaml",
            GOOD + "aliases: {create: mult}\n",
            "aliases.create: hidden by workflow.create, another thing",
        ),
        (
            "mult/bd.yaml",
            f"study: other\n{JOB}",
            "study: is 'other', but its directory is 'mult'",
        ),
        ("mult/bd.yaml", JOB, "study: is missing, but its directory is 'mult'"),
    ],
)
def test_warning(workflow: Path, name: str, text: str, warning: str) -> None:
    change(workflow, name, text)
    assert load(workflow).warnings == (f"{name}: {warning}",)


def test_all_warnings_in_order(workflow: Path) -> None:
    change(workflow, "motoko.yaml", GOOD + "a_key: 1\nslot: 1\n")
    change(workflow, "norm/bd.yaml", JOB)
    first, second, third = load(workflow).warnings
    assert "a_key" in first and "slot" in second and third.startswith("norm/bd.yaml: ")


# --- how ------------------------------------------------------------------------------------


def test_imports_little(workflow: Path) -> None:
    code = (
        "import sys, motoko.config as c\n"
        "assert 'yaml' not in sys.modules\n"
        "c.load(sys.argv[1])\n"
        "heavy = {'BlackDynamite', 'ZODB', 'ZEO', 'numpy', 'difflib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(workflow)], check=True)


def test_works_without_libyaml(workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert list(load(workflow).studies) == ["mult", "norm"]
    (workflow / "motoko.yaml").write_text("a: [1\n")
    refused(workflow, "line 2, column 1", "not valid YAML")


def time_of(function: Callable[[], object]) -> float:
    import time

    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_is_fast(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(20)]
    for name in names:
        make_study(tmp_path / name)
    lines = "".join(f"  {name}:\n" for name in names)
    (tmp_path / "motoko.yaml").write_text(f"task_managers:\n{lines}orchestrator: a.b\n")
    assert min(time_of(lambda: load(tmp_path)) for _ in range(5)) < 0.1
