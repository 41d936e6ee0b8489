"""Backups: made while others write and are killed, restored as of any transaction."""

import json
import os
import random
import shutil

import pytest
from mirrors import stored
from runs import make_runs, states
from support import Flow, kill9, wait_until
from watching import Other, database

from motoko import Workflow
from motoko.config import load
from motoko.control.study_access import opened
from motoko.store.base import open_file
from motoko.store.log_end import last_tids
from motoko.store.transactions import commit_now

TIDS = int(os.environ.get("MOTOKO_TIDS", "4"))
WRITERS = int(os.environ.get("MOTOKO_WRITERS", "2"))
KILLS = int(os.environ.get("MOTOKO_SERVER_KILLS", "2"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
CREATING = 3  # a study is there after these transactions


def backed_up(flow, place, *options):
    done = flow.motoko("backup", str(place), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restored(flow, place, directory, *options):
    done = flow.motoko("restore", str(place), str(directory), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return Flow(directory, flow.studies)


def rows(flow, at=None):
    """All runs and jobs of a study, with what they hold, as BlackDynamite reads them."""
    return stored(flow, at=at)[1:]


def killed_at_work(flow, place):
    """kill -9 of a backup that has begun to write."""
    before = {*place.rglob("*")}
    process = flow.begin("backup", str(place))
    wait_until(lambda: {*place.rglob("*")} != before, "it writes")
    kill9(process.pid)
    process.wait()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "a place" / "for backups"  # repozo itself knows no spaces


def test_any_transaction_of_a_busy_study(workflow, place, tmp_path):
    rng = random.Random(SEED)
    flow = workflow()
    flow.supervise("--no-launchers")
    writers = [Other(flow) for _ in range(WRITERS)]
    stop = flow.directory.parent / "stop"
    try:
        for seed, writer in enumerate(writers):
            writer.begin("churn", "mult", seed, str(stop))
        log = database(flow, "mult")
        for round in range(KILLS + 1):
            size = log.stat().st_size
            wait_until(lambda size=size: log.stat().st_size > size + 100_000, "it is written")
            text = backed_up(flow, place)
            assert ("(all of it)" in text) == (round == 0), text
            if round < KILLS:
                killed_at_work(flow, place)
                pid = flow.pids()["zeo:mult"]
                kill9(pid)
                wait_until(lambda pid=pid: flow.pids().get("zeo:mult") not in (None, pid), "back")
    finally:
        stop.touch()
        for writer in writers:
            writer.end()
            writer.close()
    # One more, of a quiet study, and what it has besides its database.
    Workflow(flow.path).vars.note = [1, 2]
    backed_up(flow, place)
    # One that was killed may have been complete just before.
    text = flow.motoko("backup", str(place), "--verify").stdout
    assert KILLS + 2 <= int(text.split()[0]) <= 2 * KILLS + 2
    tids = [tid.hex() for tid in last_tids(log)][:-CREATING]
    for number, tid in enumerate([tids[0], *rng.sample(tids, TIDS - 1)]):
        again = restored(flow, place, tmp_path / f"again-{number}", "--at", tid)
        assert rows(again) == rows(flow, tid), f"SEED={SEED}: transaction {tid}"
        shutil.rmtree(again.directory)
    again = restored(flow, place, tmp_path / "last")
    assert rows(again) == rows(flow)
    assert Workflow(again.path).vars.note == [1, 2]


def test_packing_restoring_and_what_is_refused(workflow, place, tmp_path):
    flow = workflow()
    make_runs(flow, {"state": "FINISHED", "y": 1}, {"state": "CREATED"})
    runs = flow.directory / "mult" / "BD-mult-runs" / "run-1"
    runs.mkdir(parents=True)
    (runs / "out.txt").write_text("of a run")
    (flow.directory / "helper.py").write_text("ONE = 1\n")
    first = backed_up(flow, place)
    early = first.partition("transaction ")[2].split()[0]
    assert not list(place.rglob("out.txt"))
    with opened(load(flow.path), load(flow.path).studies["mult"]) as base:
        entries = base.runs.entries[2].entries
        commit_now(base, lambda: entries.update({"state": "FORWARDED"}))
    state = rows(flow)
    backed_up(flow, place)
    assert "freed" in flow.motoko("pack", "--days", "0").stdout
    assert "it was packed" in backed_up(flow, place, "--runs")
    helper = [path.stat() for path in sorted(place.rglob("helper.py"))]
    assert len(helper) == 3 and len({info.st_ino for info in helper}) == 1, "it was copied again"

    again = restored(flow, place, tmp_path / "again")
    assert rows(again) == state and states(again) == {1: "FINISHED", 2: "FORWARDED"}
    assert len(list(again.directory.rglob("out.txt"))) == 1
    before = restored(flow, place, tmp_path / "before", "--at", early)
    assert states(before) == {1: "FINISHED", 2: "CREATED"}
    assert before.motoko("validate").returncode == 0

    # Never over anything, unless told to; never over what is running.
    refused = flow.motoko("restore", str(place), str(again.directory))
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    assert refused.stderr.count("nothing was changed") == 1
    restored(flow, place, again.directory, "--overwrite", "--at", early)
    assert rows(again) == rows(before)
    study = load(again.path).studies["mult"]
    base = open_file(study)
    try:
        refused = flow.motoko("restore", str(place), str(again.directory), "--overwrite")
        assert refused.returncode == 2 and "is running" in refused.stderr
    finally:
        base.close()
    for options, code, text in [
        (("--at", "2001-01-01"), 0, "it had no database then"),
        (("--at", "2999-01-01"), 1, "the last backup was made at"),
    ]:
        done = flow.motoko("restore", str(place), str(tmp_path / options[1]), *options)
        assert done.returncode == code and text in done.stdout + done.stderr
    inside = flow.motoko("backup", str(flow.directory / "b"))
    assert inside.returncode == 2 and "own directory" in inside.stderr
    other = flow.motoko("backup", str(tmp_path))
    assert other.returncode == 2 and "not empty" in other.stderr
    other = again.motoko("backup", str(place))
    assert other.returncode == 2 and "another workflow" in other.stderr

    # What was damaged is found.
    copy = max(place.rglob("*.fs"))
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    damaged = flow.motoko("backup", str(place), "--verify")
    assert damaged.returncode == 1 and copy.name in damaged.stderr, damaged.stderr
    damaged = flow.motoko("restore", str(place), str(tmp_path / "damaged"))
    assert damaged.returncode == 1 and "checksum" in damaged.stderr
    # An unfinished backup, whose process was killed, is no obstacle.
    (copy.parent / "2026-01-01-00-00-00.deltafs").write_bytes(b"half")
    backed_up(flow, place, "--full")


def test_older_ones_are_removed(workflow, place, tmp_path):
    flow = workflow(created=False)
    backed_up(flow, place, "--keep", "1")  # of no database
    flow.create()
    make_runs(flow, {"state": "CREATED"})

    def changed(state):
        with opened(load(flow.path), load(flow.path).studies["mult"]) as base:
            entries = base.runs.entries[1].entries
            commit_now(base, lambda: entries.update({"state": state}))

    tids = []
    for number, options in enumerate([(), (), ("--full",), (), ("--keep", "9")]):
        changed(f"S{number}")
        text = backed_up(flow, place, *options)
        tids.append(text.partition("transaction ")[2].split()[0])
        assert "older backup" not in text
    chains = {path.stem for path in place.rglob("*.dat")}
    assert len(chains) == 2
    # What was interrupted, and what no backup needs any more, goes with the oldest ones.
    (place / "snapshots" / "2026-01-01T00-00-00-000000Z").mkdir()
    assert "removed 3 older backups" in backed_up(flow, place, "--keep", "4")
    assert {path.stem for path in place.rglob("*.dat")} == chains - {min(chains)} != chains
    assert len([path for path in place.glob("snapshots/*") if path.is_dir()]) == 4
    copies = {path.stem for path in place.glob("databases/mult/*")}
    assert min(copies) == max(chains), copies
    assert "4 backups, all" in flow.motoko("backup", str(place), "--verify").stdout
    for number in (2, 3, 4):
        again = restored(flow, place, tmp_path / f"again-{number}", "--at", tids[number])
        assert states(again) == {1: f"S{number}"}
    # The last copy is of all that there is: one backup with all earlier states is left.
    assert "removed 4" in backed_up(flow, place, "--keep", "1")
    again = restored(flow, place, tmp_path / "again", "--at", tids[2])
    assert states(again) == {1: "S2"}


def test_a_place_that_cannot_be_written(workflow, place, tmp_path):
    flow = workflow()
    backed_up(flow, place)
    (tmp_path / "file").write_text("")
    done = flow.motoko("restore", str(place), str(tmp_path / "file" / "again"))
    assert done.returncode == 1 and "not completely restored" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("wrong", ["../out", "link/out", "study"])
def test_names_that_lead_out_of_the_workflow(workflow, place, tmp_path, wrong):
    flow = workflow()
    (flow.directory / "link").symlink_to(tmp_path)
    backed_up(flow, place)
    (path,) = place.glob("snapshots/*.json")
    snapshot = json.loads(path.read_text())
    content = next(iter(place.glob("snapshots/*/motoko.yaml")))
    if wrong == "study":
        snapshot["databases"]["../mult"] = snapshot["databases"].pop("mult")
    else:
        target = content.parent / wrong
        target.parent.mkdir(exist_ok=True)
        shutil.copy(content, target)
        snapshot["files"][wrong] = snapshot["files"]["motoko.yaml"]
    path.write_text(json.dumps(snapshot))
    (tmp_path / "out").unlink(missing_ok=True)
    done = flow.motoko("restore", str(place), str(tmp_path / "again"))
    assert done.returncode == 1 and "is damaged" in done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "again").exists()
