"""Runs that BlackDynamite's own launcher, or motoko 0.1.4, has left in START."""

import json
import os
import subprocess

import transaction
from digging import dig
from support import wait_until

from motoko.config import load
from motoko.store.base import open_file


def explained(flow, run):
    """What ``motoko explain`` knows of a run."""
    return json.loads(flow.motoko("explain", run, "--json").stdout)


def test_they_are_not_started_again_nor_beside_themselves(flow):
    study = load(flow.path).studies["example"]
    dig(flow, "jobs", "create")
    dig(flow, "runs", "create", "--run_name", "old")
    dig(flow, "server", "stop")
    base = open_file(study)
    for number, run in base.runs.entries.items():
        directory = study.directory / "BD-bd_study-runs" / f"run-{number}"
        directory.mkdir(parents=True)
        (directory / f"old.o{number}").write_text("what it has said")
        run.entries["state"], run.entries["run_path"] = "START", str(directory)
    transaction.commit()
    base.close()
    # It has left its directory; what BlackDynamite has told it is in its environment.
    told = {"BLACKDYNAMITE_HOST": f"zeo://{study.directory}", "BLACKDYNAMITE_RUN_ID": "2"}
    with subprocess.Popen(["sleep", "1000"], cwd="/", env={**os.environ, **told}) as process:
        flow.supervise()
        try:
            gone = wait_until(
                lambda: (e := explained(flow, "example.1"))["state"] == "FAILED" and e,
                "what is gone has failed",
            )
            assert "motoko 0.1.4" in str(gone) and "motoko retry example.1" in str(gone)
            runs = explained(flow, "example.2")
            assert runs["state"] == "START" and "its processes are gone" not in str(runs)
            assert f"pid {process.pid}" in flow.log("launcher:example")
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: explained(flow, "example.2")["state"] == "FAILED", "it is gone, too")
        assert flow.motoko("retry", "example.3").returncode == 0
        wait_until(lambda: explained(flow, "example.3")["state"] == "FINISHED", "it is run again")
        output = study.directory / "BD-bd_study-runs" / "run-3" / "old.o3.0"
        assert output.read_text() == "what it has said"
