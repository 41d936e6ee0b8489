"""motoko.yaml and bd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from configs import GOOD, JOB, ONLY_MULT, make_study, make_workflow, refused

from motoko.config import RESERVED_NAMES, load
from motoko.errors import ConfigError

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
    "study, a path": (f"study: a/b\n{JOB}", ["study", "a name", "a/b"], "study: mult"),
    "no job": ("study: mult\n", ["job", "missing"], "x: float"),
    "null job": ("study: mult\njob:\n", ["job", "empty"], "x: float"),
    "job, list": ("job: [x]\n", ["job", "a mapping", "a list"], "a mapping"),
    "job, name": ("job: {no: int}\n", ["job.False", "a string"], "quotes"),
    "job, type": (
        "job: {x: flaot}\n",
        ["job.x", "one of int, float", "'flaot' (a string)"],
        "did you mean 'float'?",
    ),
    "job, reserved name": (
        "job: {x: float, Types: int}\n",
        ["mult/bd.yaml", "job.Types", "BlackDynamite's own"],
        "rename it",
    ),
    "job, hidden name": ("job: {x: int, key_x: int}\n", ["job.key_x", "job.x"], "rename it"),
    "run, reserved name": (JOB + "run: {attempt: int}\n", ["run.attempt", "Motoko"], "rename it"),
    "run_params, reserved name": (
        JOB + "run_params: {state: CREATED}\n",
        ["run_params.state", "write it on runs"],
        "rename it",
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


@pytest.mark.parametrize(
    ("whole", "of_study", "of_runs", "place"),
    [
        ("finish: later\n", "", "", "motoko.yaml: finish: "),
        ("", "    finish: later\n", "", "task_managers.mult.finish: "),
        ("", "", "run_params: {finish: later}\n", "mult/bd.yaml: run_params.finish: "),
    ],
)
def test_handed_over_twice(
    workflow: Path, whole: str, of_study: str, of_runs: str, place: str
) -> None:
    text = GOOD.replace("  mult:\n", f"  mult:\n{of_study}") + whole
    (workflow / "motoko.yaml").write_text(text)
    (workflow / "mult" / "bd.yaml").write_text(f"study: mult\n{JOB}{of_runs}")
    load(workflow)
    (workflow / "motoko.yaml").write_text(f"{text}generator: slurm\n")
    refused(workflow, place, "must be self or on-exit where generator: slurm")


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
    load(Path(__file__).parents[3] / "examples/minimal")  # everything is imported
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
