"""Bad input gets a clear error, exit code 2, and nothing is changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import states
from support import Flow, processes_in, run_motoko, write_workflow

YAML = "task_managers:\n  mult:\norchestrator: orchestrator.main\n"


@pytest.fixture
def flow(tmp_path, nothing_left) -> Flow:
    """A workflow of one study that is not created."""
    return write_workflow(tmp_path / "wf")


def snapshot(directory):
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def remove(*parts):
    def change(directory):
        directory.joinpath(*parts).unlink()

    return change


def write(name, text):
    def change(directory):
        directory.joinpath(name).write_text(text)

    return change


def move_study(directory):
    (directory / "mult").rename(directory / "mul")


BAD = {
    "missing file": (remove("motoko.yaml"), ["motoko.yaml", "no such file"]),
    "not YAML": (
        write("motoko.yaml", "task_managers: [a\norchestrator: x"),
        ["motoko.yaml", "line 2", "YAML"],
    ),
    "tabs": (write("motoko.yaml", "task_managers:\n\tmult:\n"), ["motoko.yaml", "line 2"]),
    "empty": (write("motoko.yaml", ""), ["motoko.yaml", "empty"]),
    "a list": (write("motoko.yaml", "- a\n"), ["motoko.yaml", "mapping"]),
    "no text": (lambda d: (d / "motoko.yaml").write_bytes(b"\xff\xfe\x00x"), ["motoko.yaml"]),
    "no studies": (
        write("motoko.yaml", "orchestrator: orchestrator.main\n"),
        ["motoko.yaml", "task_managers", "missing"],
    ),
    "wrong type of task_managers": (
        write("motoko.yaml", "task_managers: [mult]\norchestrator: orchestrator.main\n"),
        ["motoko.yaml", "task_managers", "mapping", "list"],
    ),
    "wrong type of a study": (
        write("motoko.yaml", YAML.replace("mult:", "mult: 3")),
        ["motoko.yaml", "task_managers.mult", "3"],
    ),
    "wrong slots": (write("motoko.yaml", YAML + "slots: many\n"), ["slots", "integer", "many"]),
    "no slots": (write("motoko.yaml", YAML + "slots: 0\n"), ["motoko.yaml", "slots", "0"]),
    "wrong retries": (write("motoko.yaml", YAML + "retries: -1\n"), ["motoko.yaml", "retries"]),
    "wrong generator": (
        write("motoko.yaml", YAML + "generator: slrum\n"),
        ["motoko.yaml", "generator", "slrum", "did you mean 'slurm'"],
    ),
    "missing study": (move_study, ["motoko.yaml", "task_managers.mult", "mult", "mul"]),
    "study is a file": (
        lambda d: (move_study(d), (d / "mult").write_text("")),
        ["task_managers.mult", "not a directory"],
    ),
    "missing bd.yaml": (remove("mult", "bd.yaml"), ["task_managers.mult", "bd.yaml"]),
    "missing launch.sh": (remove("mult", "launch.sh"), ["task_managers.mult", "launch.sh"]),
    "missing doIt.py": (remove("mult", "doIt.py"), ["task_managers.mult", "doIt.py"]),
    "bad bd.yaml": (write("mult/bd.yaml", "job: [x\n"), ["mult/bd.yaml", "YAML"]),
    "bd.yaml without job": (write("mult/bd.yaml", "study: mult\n"), ["mult/bd.yaml", "job"]),
    "wrong type in bd.yaml": (
        write("mult/bd.yaml", "study: mult\njob: {x: flaot}\n"),
        ["mult/bd.yaml", "job.x", "flaot", "did you mean 'float'"],
    ),
    "missing config file": (
        write("mult/bd.yaml", "study: mult\njob: {x: float}\nconfig_files: [in.dat]\n"),
        ["mult/bd.yaml", "config_files", "in.dat"],
    ),
    "no orchestrator": (
        write("motoko.yaml", "task_managers:\n  mult:\n"),
        ["motoko.yaml", "orchestrator", "module.function"],
    ),
    "orchestrator without function": (
        write("motoko.yaml", YAML.replace("orchestrator.main", "main")),
        ["motoko.yaml", "orchestrator", "'main'", "module.function"],
    ),
    "orchestrator as a path": (
        write("motoko.yaml", YAML.replace("orchestrator.main", "dir/orchestrator.py")),
        ["motoko.yaml", "orchestrator", "module.function"],
    ),
    "upper-case study": (write("motoko.yaml", YAML.replace("mult", "Mult")), ["'Mult'", "a-z"]),
    "study with a dot": (write("motoko.yaml", YAML.replace("mult", "a.b")), ["'a.b'"]),
    "study with a space": (write("motoko.yaml", YAML.replace("mult", "a b")), ["'a b'"]),
    "study called _x": (write("motoko.yaml", YAML.replace("mult", "_x")), ["'_x'"]),
    "study called like an attribute": (
        write("motoko.yaml", YAML.replace("mult", "vars")),
        ["'vars'", "workflow.vars"],
    ),
    "study called yes": (write("motoko.yaml", YAML.replace("mult", "yes")), ["task_managers"]),
    "alias of nothing": (
        write("motoko.yaml", YAML + "aliases: {product: mul}\n"),
        ["aliases.product", "'mul'", "did you mean 'mult'"],
    ),
    "aliases in a circle": (
        write("motoko.yaml", YAML + "aliases: {a: b, b: a}\n"),
        ["aliases.a", "circle"],
    ),
    "a key twice": (write("motoko.yaml", YAML + YAML), ["task_managers", "twice", "line 4"]),
    "bad host": (
        write("motoko.yaml", YAML.replace("mult:", "mult: {host: somewhere}")),
        ["task_managers.mult.host", "zeo://"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_supervise(flow, case):
    change, words = BAD[case]
    change(flow.directory)
    before = snapshot(flow.directory)
    done = flow.motoko("supervise")
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "motoko: error: " in done.stderr and "\nhint: " in done.stderr, done.stderr
    missing = [word for word in words if word not in done.stderr]
    assert not missing, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert snapshot(flow.directory) == before
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["supervise", "--detach"],
        ["create"],
        ["run"],
        ["orchestrator", "start", "--run_name", "a"],
        ["info"],
        ["ps"],
        ["kill"],
    ],
    ids=" ".join,
)
def test_every_command(flow, arguments):
    """Each of them says the same."""
    flow.path.write_text(YAML + "slots: many\n")
    before = snapshot(flow.directory)
    done = flow.motoko(*arguments)
    assert done.returncode == 2, done.stderr
    assert "motoko.yaml: slots: " in done.stderr and "hint: " in done.stderr
    assert "Traceback" not in done.stderr and snapshot(flow.directory) == before


def test_bad_orchestrator_reference(flow):
    """A bad orchestrator reference is an error of `orchestrator start`, not of `supervise`."""
    flow.create()
    for reference, words in (("nowhere.main", "nowhere.py"), ("orchestrator.mian", "'mian'")):
        flow.path.write_text(YAML.replace("orchestrator.main", reference))
        done = flow.motoko("run")
        assert done.returncode == 2 and words in done.stderr and "hint: " in done.stderr
        assert "Traceback" not in done.stderr
        assert flow.motoko("ps").returncode == 3


@pytest.mark.parametrize("reference", ["nowhere.main", "orchestrator.mian"])
def test_bad_orchestrator_reference_changes_nothing(flow, reference):
    flow.path.write_text(YAML.replace("orchestrator.main", reference))
    before = snapshot(flow.directory)
    done = flow.motoko("run", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 2 and "motoko.yaml: orchestrator: " in done.stderr
    assert snapshot(flow.directory) == before


def test_not_created(flow):
    before = snapshot(flow.directory)
    done = flow.motoko("supervise")
    assert done.returncode == 2 and "mult" in done.stderr
    assert "hint: motoko create" in done.stderr
    assert snapshot(flow.directory) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("slot: 3\n", ["'slot'", "did you mean 'slots'"]),
        ("generatr: bash\n", ["'generatr'", "did you mean 'generator'"]),
        ("temperature: 3\n", ["'temperature'"]),
    ],
)
def test_unknown_key_is_a_warning(flow, line, words):
    flow.path.write_text(YAML + line)
    done = flow.motoko("create")
    assert done.returncode == 0
    assert "warning" in done.stderr and all(word in done.stderr for word in words)
    assert ("did you mean" in done.stderr) == (len(words) == 2)
    done = flow.motoko("supervise", "--detach")
    try:
        assert done.returncode == 0
        assert "warning" in done.stderr and all(word in done.stderr for word in words)
    finally:
        assert flow.motoko("kill").returncode == 0


class TestCreate:
    """`motoko create` never loses anything unasked."""

    RUN = """\
from motoko import Workflow

workflow = Workflow("motoko.yaml")
workflow.run_name = "a"
workflow.mult.createTask(x=[1.0, 2.0, 3.0])
workflow.close()
"""

    @pytest.fixture
    def filled(self, flow, tmp_path):
        flow.create()
        flow.supervise("--no-launchers")
        subprocess.run(
            [sys.executable, "-P", "-c", self.RUN], cwd=flow.directory, check=True, timeout=60
        )
        (flow.directory / "mult" / "BD-mult-runs" / "run-1").mkdir(parents=True)
        yield flow
        assert flow.motoko("kill").returncode == 0

    def test_without_a_terminal(self, filled):
        filled.motoko("kill")
        before = snapshot(filled.directory)
        done = filled.motoko("create")
        assert done.returncode != 0
        assert "mult: 3 jobs, 3 runs" in done.stderr
        assert "--validated" in done.stderr and "Traceback" not in done.stderr
        assert snapshot(filled.directory) == before

    def test_while_it_is_supervised(self, filled):
        pids = filled.pids()
        done = filled.motoko("create")
        assert done.returncode != 0 and "mult: 3 jobs, 3 runs" in done.stderr
        assert filled.pids() == pids
        assert states(filled) == dict.fromkeys((1, 2, 3), "CREATED")

    def test_validated_resets(self, filled, tmp_path):
        done = filled.motoko("create", "--validated")
        assert done.returncode == 0, done.stderr
        assert "mult: 3 jobs, 3 runs" in done.stdout
        # What served the old one is gone, and nothing runs.
        assert not list(processes_in(tmp_path))
        assert states(filled) == {}
        assert not (filled.directory / "mult" / "BD-mult-runs").exists()
        filled.supervise("--no-launchers")
        assert states(filled) == {}

    def test_nothing_there(self, flow, tmp_path):
        done = run_motoko("create", str(flow.directory), cwd=tmp_path)
        assert done.returncode == 0 and "created: mult" in done.stdout
        assert (flow.directory / "mult" / ".bd" / "bd.zeo").exists()

    def test_only_the_missing(self, flow, tmp_path):
        """A study without a database beside one that has one: no reset is asked for."""
        flow.create()
        other = write_workflow(tmp_path / "two", ("mult", "norm"))
        (flow.directory / "mult" / ".bd").rename(other.directory / "mult" / ".bd")
        database = other.directory / "mult" / ".bd" / "bd.zeo"
        before = database.read_bytes()
        done = other.motoko("create")
        assert "mult: 0 jobs, 0 runs" in done.stderr and "--missing" in done.stderr
        assert not (other.directory / "norm" / ".bd").exists()
        for said in ("created: norm\n", "nothing was missing"):
            done = other.motoko("create", "--missing")
            assert done.returncode == 0 and said in done.stdout
        assert (other.directory / "norm" / ".bd" / "bd.zeo").exists()
        assert database.read_bytes() == before
