"""launch.sh is the user's: it is executed as it is at the prompt, by a launcher and as a job."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import spawning
from launching import deadline, place, process_in, supervising
from support import wait_until

from motoko.batch import registry
from motoko.config.policy import Policy
from motoko.runs import job_script, launch_script
from motoko.runs.run_directory import RunFile, write
from motoko.workers.launcher.spawner import environment

SHEBANGS = {
    "bash": ("", "shopt -q expand_aliases; echo $0 ${BASH_VERSION:+bash}", "./launch.sh bash"),
    "errexit": ("#!/bin/bash -e", "echo before\nfalse\necho after", "before"),
    "login": ("#!/bin/bash -l", "shopt -q login_shell && echo login", "login"),
    "sh": ("#!/bin/sh", 'echo "sh ${BASH_VERSION-}"', "sh"),
    "env": ("#!/usr/bin/env -S bash -u", "echo a\necho $nothing_of_that_name\necho b", "a"),
    "python": (
        "#! /usr/bin/env python3",
        "import os, sys\nprint(sys.argv, os.environ['BLACKDYNAMITE_RUN_ID'], sys.prefix)",
        f"['./launch.sh'] 7 {sys.prefix}",
    ),
    "awk": ("#!/usr/bin/awk -f", 'BEGIN { print "awk", ENVIRON["A"] }', "awk b c"),
    "crlf": ("", "true\r\necho x\r", "x\r"),
}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "spool").mkdir()
    return tmp_path / "run 7"


def execute(directory, script, how, finish="self", **variables):
    """Execute a launch.sh, as a launcher's wrapper or as a job; returns its exit code."""
    client = launch_script.client_variables(host="h", schema="s", run_id=7, user="u")
    policy = Policy(environment={"A": "b c"}, finish=finish)
    files = launch_script.files(script, client, policy)
    write(directory, [RunFile(name, text.encode(), 0o700) for name, text in files.items()])
    if how == "job":
        path = job_script.write(
            directory.parent, directory.parent / "channel", registry.named("slurm")
        )
        spool = directory.parent / "spool"
        arguments = job_script.arguments(directory, 1, ("r.o7", "r.e7"), spool, 7, "name")
        path.chmod(0o700)
        held = {**os.environ, **variables}
        return subprocess.run([path, *arguments], env=held, timeout=20, check=False).returncode
    with spawning.spawner({**environment(), **variables}) as spawner:
        return spawning.execute(spawner, directory).record["code"]


@pytest.mark.parametrize("how", ["wrapper", "job"])
@pytest.mark.parametrize("name", SHEBANGS)
def test_its_first_line(directory, name, how):
    first, text, said = SHEBANGS[name]
    execute(directory, f"{first}\n{text}\n" if first else f"{text}\n", how)
    assert (directory / "r.o7").read_bytes().decode().rstrip(" \n") == said, (
        directory / "r.e7"
    ).read_text()


@pytest.mark.parametrize("how", ["wrapper", "job"])
def test_what_the_environment_holds(directory, how):
    """Functions that bash exports, names that are no shell's, and those that Motoko uses itself."""
    held = {"BASH_FUNC_module%%": "() { echo module $1; }", "a.b": "dots"}
    own = {name: "user's" for name in ("host", "name", "nodes", "job", "code", "boot", "run")}
    names = " ".join(own)
    script = (
        f'module load\nenv | grep a.b=\nfor n in {names}; do echo "${{!n}}"; done\ncd() {{ :; }}'
    )
    functions = {"BASH_FUNC_cd%%": "() { echo wrong; }", "BASH_FUNC_read%%": "() { exit 9; }"}
    assert execute(directory, script, how, **held, **own, **functions) == 0
    lines = (directory / "r.o7").read_text().splitlines()
    assert lines == ["module load", "a.b=dots", *["user's"] * len(own)]


@pytest.mark.parametrize("how", ["wrapper", "job"])
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("false\necho on", 1),
        ("false | cat\necho on", 1),
        ("set +e\nfalse\necho on", 0),
        ("false || true\nif false; then :; fi\necho on", 0),
        ("#!/bin/sh\nfalse\necho on", 1),
        ("#!/bin/bash\nset +o pipefail\nfalse | cat\necho on", 0),
    ],
)
def test_a_line_that_fails(directory, script, code, how):
    """A failing line ends launch.sh with `finish: on-exit`, unless launch.sh says otherwise."""
    assert execute(directory, script, how, "on-exit") == code
    assert (directory / "r.o7").read_text() == ("on\n" if code == 0 else "")


@pytest.mark.parametrize("how", ["wrapper", "job"])
def test_an_interpreter_that_is_missing(directory, how):
    assert execute(directory, "#!/no/such/bash\ntrue", how) == 127
    assert "/no/such/bash" in (directory / "r.e7").read_text()


def test_where_nothing_may_be_executed(directory, request):
    """A file system that is mounted noexec."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", directory]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", directory], check=True))
    for script in ("echo yes", "#!/usr/bin/env python3\nprint('yes')"):
        assert execute(directory, script, "wrapper") == 0
        assert (directory / "r.o7").read_text() == "yes\n"
        (directory / ".motoko" / "attempt-1").unlink()


def test_path(directory):
    """PATH keeps the user's order; Motoko's own directory is added only if it is missing."""
    own = str(Path(sys.executable).parent)
    for before, after in (
        (f"/user:{own}:/bin:/usr/bin", f"/user:{own}:/bin:/usr/bin"),
        ("/bin:/usr/bin", f"{own}:/bin:/usr/bin"),
    ):
        assert execute(directory, 'echo "$PATH"', "wrapper", PATH=before) == 0
        assert (directory / "r.o7").read_text().partition(":")[2] == f"{after}\n"
        (directory / ".motoko" / "attempt-1").unlink()


def test_last_words_of_python(workflow):
    """The output file of a killed run has all that the run printed."""
    with deadline(60), supervising(workflow) as make:
        flow, session = make()
        run = session.create("echo $$ > pid\nexec python -c 'print(7); input()' < <(sleep 1000)")
        output = place(flow, run) / f"r.o{run.id}"
        wait_until(lambda: output.read_text() == "7\n", "it has spoken")
        assert process_in(place(flow, run) / "pid").signal(signal.SIGKILL)
        (error,) = session.ends(run)
        assert "SIGKILL" in error.reason and output.read_text() == "7\n"
        own = session.create("echo $PYTHONUNBUFFERED", environment={"PYTHONUNBUFFERED": ""})
        session.ends(own)
        assert (place(flow, own) / f"r.o{own.id}").read_text() == "\n"
