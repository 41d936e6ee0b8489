"""motoko.yaml and bd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from configs import GOOD, JOB, ONLY_MULT, make_study, make_workflow, refused, snapshot

from motoko.config import TYPES, find, load
from motoko.config.policy import Policy
from motoko.errors import ConfigError


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
        batch_options={"slurm": {"time": "1", "mem": "1G"}},
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
    assert study.jobs["x"] is study.runs["y"] is TYPES[name]


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
            "aliases.create: is hidden by workflow.create, which is something else",
        ),
        ("mult/bd.yaml", JOB, "study: is missing: it is taken for 'mult'"),
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
