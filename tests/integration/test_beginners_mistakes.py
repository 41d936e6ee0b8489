"""What beginners get wrong: `motoko validate` names file, line and remedy of each, all at once."""

import json

import pytest
from support import Flow, run_motoko, write_workflow

YAML = "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
BD = "study: mult\njob:\n  x: float\n"
MAIN = "async def main(workflow, **params):\n"


def text(name, content):
    return lambda place: (place / name).write_text(content)


def data(name, content):
    return lambda place: (place / name).write_bytes(content)


def remove(name):
    return lambda place: (place / name).unlink()


def below(line):
    return text("motoko.yaml", YAML.replace("  mult:\n", f"  mult:\n    {line}\n"))


# By name: what is done to the workflow; the file and line that are named; words of the problem, and
# of the remedy.
MISTAKES = {
    "a tab in YAML": (
        text("motoko.yaml", "task_managers:\n\tmult:\n"),
        ("motoko.yaml", 2), "not valid YAML", "indent with spaces",
    ),
    "a misspelt key": (
        below("retrys: 2"), ("motoko.yaml", 3), "unknown key 'retrys'", "did you mean 'retries'",
    ),
    "a key twice": (
        below("retries: 1\n    retries: 2"),
        ("motoko.yaml", 4), "retries: is there twice", "remove",
    ),
    "a value of another type": (
        below("retries: two"), ("motoko.yaml", 3), "an integer", "make retries an integer",
    ),
    "a misspelt study": (
        text("motoko.yaml", YAML.replace("mult", "multi")),
        ("motoko.yaml", 2), "no such directory", "did you mean 'mult'",
    ),
    "a missing launch.sh": (
        remove("mult/launch.sh"),
        ("motoko.yaml", 2), "launch.sh: there is no such file", "create it",
    ),
    "a missing config file": (
        text("mult/bd.yaml", f"{BD}config_files: [a.dat, in.dat]\n"),
        ("mult/bd.yaml", 4), "in.dat: there is no such file", "create it",
    ),
    "a type that does not exist": (
        text("mult/bd.yaml", BD.replace("float", "flaot")),
        ("mult/bd.yaml", 3), "'flaot'", "did you mean 'float'",
    ),
    "a default of another type": (
        text("mult/bd.yaml", f"{BD}job_space:\n  x: many\n"),
        ("mult/bd.yaml", 5), "of the declared type float", "write the values themselves",
    ),
    "no finish()": (
        text("mult/doIt.py", "import BlackDynamite as BD\nrun, job = BD.getRunFromScript()\n"),
        ("mult/doIt.py", None), "never calls finish()", "call `run.finish()`",
    ),
    "a syntax error in doIt.py": (
        text("mult/doIt.py", "x = 1\nif x = 1:\n    pass\n"),
        ("mult/doIt.py", 2), "not Python", "mend its syntax",
    ),
    "a module that is missing": (
        text("mult/doIt.py", "import os\nimport nmupy  # finish\n"),
        ("mult/doIt.py", 2), "no module 'nmupy'", "install it",
    ),
    "a file that hides a module": (
        lambda place: (
            text("mult/random.py", "")(place),
            text("mult/bd.yaml", f"{BD}config_files: [random.py]\n")(place),
        ),
        ("mult/random.py", None), "hides the module random", "rename it",
    ),
    "python not found": (
        text("mult/launch.sh", "# first\npyhton doIt.py\n"),
        ("mult/launch.sh", 2), "pyhton is not on PATH", "correct its name",
    ),
    "an interpreter that is not there": (
        text("mult/launch.sh", "#!/bin/bahs\npython doIt.py\n"),
        ("mult/launch.sh", 1), "/bin/bahs, which is not there", "#!/bin/bash",
    ),
    "a syntax error in launch.sh": (
        text("mult/launch.sh", "if true; then\npython doIt.py\n"),
        ("mult/launch.sh", 3), "syntax error", "mend it",
    ),
    "CRLF in launch.sh": (
        data("mult/launch.sh", b"cd .\r\npython doIt.py\r\n"),
        ("mult/launch.sh", 1), "CRLF", "dos2unix",
    ),
    "CRLF below its first line": (
        data("mult/launch.sh", b"#!/bin/bash\r\npython doIt.py\r\n"),
        ("mult/launch.sh", 1), "CRLF", "dos2unix",
    ),
    "a placeholder without a parameter": (
        text("mult/launch.sh", "python doIt.py\necho __BLACKDYNAMITE__y__\n"),
        ("mult/launch.sh", 2), "no parameter 'y'", "unless run_params has it",
    ),
    "a program that is not copied": (
        text("mult/launch.sh", "python doIt.py\n./sim\n"),
        ("mult/launch.sh", 2), "./sim is not in run directories", "config_files: [../sim]",
    ),
    "an umlaut that is no UTF-8": (
        data("motoko.yaml", f"# one\n# {'Größe'}\n{YAML}".encode("latin-1")),
        ("motoko.yaml", 2), "UTF-8", "save it as UTF-8",
    ),
    "an umlaut in doIt.py that is no UTF-8": (
        data("mult/doIt.py", "x = 1\n# Größe, finish\n".encode("latin-1")),
        ("mult/doIt.py", 2), "not Python", "mend",
    ),
    "a study with an umlaut": (
        text("motoko.yaml", YAML.replace("mult", "größe")),
        ("motoko.yaml", 2), "cannot be a study", "rename it",
    ),
    "the orchestrator as a path": (
        text("motoko.yaml", YAML.replace("orchestrator.main", "orchestrator.py")),
        ("motoko.yaml", 3), "no function 'py'", "define `async def",
    ),
    "an orchestrator that is not there": (
        remove("orchestrator.py"), ("motoko.yaml", 4), "no orchestrator.py", "create it",
    ),
    "await in a function that is not async": (
        text("orchestrator.py", f"{MAIN[6:]}    await workflow.mult.createTask(x=1)\n"),
        ("orchestrator.py", 2), "await", "mend",
    ),
    "main without **params": (
        text("orchestrator.py", "\nasync def main(workflow):\n    pass\n"),
        ("orchestrator.py", 2), "does not take run_name", "async def main(workflow, **params)",
    ),
    "a forgotten await": (
        text(
            "orchestrator.py",
            f"{MAIN}    runs = workflow.mult.createTask(x=1)\n    for run, job in runs:\n"
            "        print(run.y)\n",
        ),
        ("orchestrator.py", 2), "never awaited", "write `await`",
    ),
    "a result without a group": (
        below("finish: on-exit\n    results:\n      e: 'e = .*'"),
        ("motoko.yaml", 5), "one group", "put ( ) around",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def correct(tmp_path_factory) -> Flow:
    return write_workflow(tmp_path_factory.mktemp("correct") / "wf")


def findings(place):
    done = run_motoko("validate", "--json", str(place))
    assert not done.stderr
    found = json.loads(done.stdout)["findings"]
    errors = [finding for finding in found if finding["severity"] == "error"]
    assert done.returncode == (2 if errors else 0)
    return found


def contents(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def is_named(finding, place, file, line, problem, remedy):
    words = f"{finding['problem']} {finding['remedy']}"
    where = finding["file"] == str(place / file) and finding["line"] == line
    return where and problem in finding["problem"] and remedy in words


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(tmp_path, mistake):
    make, (file, line), problem, remedy = MISTAKES[mistake]
    place = write_workflow(tmp_path / "wf").directory
    make(place)
    before = contents(place)
    found = findings(place)
    assert any(is_named(f, place, file, line, problem, remedy) for f in found), found
    assert len(found) == 1, found  # and nothing else: no mistake is told twice
    assert contents(place) == before


def test_what_is_right(correct):
    assert findings(correct.directory) == []
    done = correct.motoko("validate")
    assert (done.stdout, done.returncode) == ("0 errors, 0 warnings\n", 0)
    assert {path.name for path in correct.directory.iterdir()} == {
        *("motoko.yaml", "orchestrator.py", "mult")
    }


def test_all_at_once(tmp_path):
    place = write_workflow(tmp_path / "wf", ("mult", "add", "norm")).directory
    (place / "motoko.yaml").write_text(
        "task_managers:\n  mult: {retries: -1, nproc: 0}\n  add:\n  norm:\n  gone:\nslots: none\n"
        "aliases: {a: mult, b: nothing, c: gone}\norchestrator: orchestrator.main\n"
    )
    (place / "add" / "bd.yaml").write_text("job: {x: float\n")
    (place / "add" / "doIt.py").write_text("(")
    (place / "norm" / "bd.yaml").write_text("study: norm\njob: {x: flaot}\njob_space: {x: 1}\n")
    (place / "orchestrator.py").write_text("import nmupy\nasync def main(workflow, **params): 0\n")
    done = run_motoko("validate", cwd=place)
    assert done.returncode == 2
    told = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    places = [line.partition(": ")[0] for line in told[:-1]]
    assert places == [
        *("add/bd.yaml:2", "add/doIt.py:1"),
        *("motoko.yaml:2", "motoko.yaml:2", "motoko.yaml:5", "motoko.yaml:6", "motoko.yaml:7"),
        *("norm/bd.yaml:2", "orchestrator.py:1"),
    ], done.stdout
    assert told[-1] == "9 errors, 0 warnings"


def test_an_exception_in_main_names_its_line(workflow):
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(f"{MAIN}    print(params['mesh'])\n")
    done = flow.motoko("run")
    assert done.returncode == 1
    assert f'"{flow.directory}/orchestrator.py", line 2' in done.stderr
    assert "KeyError: 'mesh'" in done.stderr
