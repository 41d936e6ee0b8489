"""Archives of real workflows: made while others write, and workflows again without the original."""

import csv
import io
import json
import os
import socket
import zipfile

from runs import make_runs, study_base
from support import Flow, wait_until
from watching import Other, database

from motoko import Workflow
from motoko.config import load
from motoko.operations.archive_file import ABOUT, CRATE, FOLDER
from motoko.store import database_copies
from motoko.store.log_end import last_tids, written_before

SECRET = "sesame-open-1234"
SETTINGS = """
notify: {command: [mail, nobody@example.org]}
environment: {WORKERS_TOKEN: sesame-open-1234, OMP_NUM_THREADS: "4"}
archive:
  title: A title
  licence: CC-BY-4.0
  authors: [{name: Ada Lovelace, orcid: 0000-0002-1825-0097, affiliation: London}]
  files: [data/*.csv]
  environment: [OMP_NUM_THREADS]
"""
DO_IT = """
import os
from pathlib import Path
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
assert os.environ["WORKERS_TOKEN"] and os.environ["OMP_NUM_THREADS"]
run["y"] = job.x * 2
run.pushScalarQuantity(job.x, 3, "ekin")
Path("field.dat").write_text("1 2 3")
run.finish()
"""
STUDY = "my_study"


def archived(flow, *arguments, output="a.zip", code=0, **environment):
    done = flow.motoko("archive", *arguments, "-o", output, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    left = [path.name for path in flow.directory.iterdir() if path.name.endswith(".part")]
    assert not left
    return done.stdout + done.stderr


def members(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def unarchived(path, directory):
    flow = Flow(directory, (STUDY,))
    done = Flow(path.parent, ()).motoko("unarchive", str(path), str(directory))
    assert done.returncode == 0, done.stdout + done.stderr
    return flow, done.stdout + done.stderr


def table(flow, study, *options):
    done = flow.motoko("table", study, *options, "--format", "csv")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_of_a_workflow_that_is_written(workflow, tmp_path):
    flow = workflow(studies=(STUDY,), created=False)
    study = flow.directory / STUDY
    (study / "bd.yaml").write_text(
        "study: other\njob: {x: float}\nconfig_files: [../../mesh.msh]\n"
    )
    (study / "doIt.py").write_text(DO_IT)
    (study / "helper.py").write_text("ONE = 1\n")
    (flow.directory.parent / "mesh.msh").write_text("a mesh")
    (flow.directory / "data").mkdir()
    (flow.directory / "data" / "points.csv").write_text("x\n1\n")
    (flow.directory / "private.txt").write_text(SECRET)
    flow.path.write_text(flow.path.read_text() + SETTINGS)
    flow.create()
    flow.supervise()
    done = flow.motoko("orchestrator", "start", "--run_name", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert flow.motoko("stop", f"launcher:{STUDY}").returncode == 0  # runs are the writer's now
    Workflow(flow.path).vars.note = [1, 2]
    stop = flow.directory.parent / "stop"
    writer = Other(flow)
    try:
        writer.begin("churn", STUDY, 1, str(stop))
        log = database(flow, STUDY)
        size = log.stat().st_size
        wait_until(lambda: log.stat().st_size > size + 50_000, "it is written")
        text = archived(flow, STUDY)
        size = log.stat().st_size
        wait_until(lambda: log.stat().st_size > size, "it is still written")
    finally:
        stop.touch()
        writer.end()
        writer.close()
    files = members(flow.directory / "a.zip")
    about = json.loads(files[ABOUT])
    tid = about["studies"][STUDY]["tid"]
    assert f"as of transaction {tid}" in text and "environment: WORKERS_TOKEN" in text
    newest = [one.hex() for one in last_tids(log)]
    assert newest[0] > tid and tid in newest
    # All of it is of that transaction.
    at_tid = table(flow, STUDY, "--at", tid)
    assert files[f"{FOLDER}/tables/{STUDY}.csv"].decode() == at_tid
    assert f"{FOLDER}/tables/{STUDY}.parquet" in files
    assert flow.motoko("kill", "--now").returncode == 0
    flow.directory.rename(flow.directory.with_name("away"))

    wanted = {"motoko.yaml", "orchestrator.py", "data/points.csv", ".wf/wf.db", CRATE}
    wanted |= {f"{STUDY}/{name}" for name in ("bd.yaml", "doIt.py", "launch.sh", "helper.py")}
    assert wanted <= files.keys() and "private.txt" not in files
    assert {f"{STUDY}/BD-other-runs/run-{number}/ekin.csv" for number in (1, 2)} <= files.keys()
    assert not any(SECRET.encode() in content for content in files.values())
    assert not any(name.endswith(("field.dat", ".lock", "zeo.conf")) for name in files)
    graph = json.loads(files[f"{FOLDER}/graph.json"])
    assert graph["studies"][STUDY]["FINISHED"] >= 2
    assert (
        b"A title" not in files[f"{FOLDER}/graph.svg"] and b"<svg" in files[f"{FOLDER}/graph.svg"]
    )
    crate = {one["@id"]: one for one in json.loads(files[CRATE])["@graph"]}
    assert crate["./"]["name"] == "A title"
    assert crate["https://orcid.org/0000-0002-1825-0097"]["name"] == "Ada Lovelace"
    assert crate["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert crate[f"#{STUDY}/job/x"]["additionalType"] == "Float"
    assert crate[f"#{STUDY}/result/y"]["@type"] == "FormalParameter"

    away = flow.directory.with_name("away")
    again, text = unarchived(away / "a.zip", tmp_path / "elsewhere" / "again")
    assert "WORKERS_TOKEN" in text and "cannot be used" not in text
    assert table(again, STUDY) == at_tid
    ekin = table(again, STUDY, "--quantity", "ekin", "--run_name", "first")
    assert [row["value"] for row in csv.DictReader(io.StringIO(ekin))] == ["1.0", "2.0"]
    assert "has finished" in again.motoko("explain", f"{STUDY}.1").stdout
    info = again.motoko("info")
    assert info.returncode == 0 and STUDY in info.stdout
    read = Workflow(again.path, read_only=True)
    runs = read.task_managers[STUDY].select(["run_name = first"])
    assert [run["y"] for run, _ in runs] == [2.0, 4.0] and read.vars.note == [1, 2]
    assert (again.directory / STUDY / "mesh.msh").read_text() == "a mesh"

    # It is supervised again, and executes runs.
    config = again.path.read_text()
    assert config.count('"***"') == 1 and "nobody@" not in config and '"4"' in config
    again.path.write_text(config.replace('"***"', "mine"))
    (again.directory / "orchestrator.py").write_text(
        "async def main(workflow, **params):\n"
        f"    runs = await workflow.task_managers['{STUDY}'].createTask(x=7.0)\n"
        "    assert [run['y'] for run, _ in runs] == [14.0]\n"
    )
    done = again.motoko("run", "--run_name", "second")
    assert done.returncode == 0, done.stdout + done.stderr


def test_outputs_and_what_is_refused(workflow, tmp_path, monkeypatch):
    flow = workflow(studies=("mult", "norm"))
    make_runs(flow, {"state": "FINISHED", "y": 1}, {"state": "FAILED"})
    runs = flow.directory / "mult" / "BD-mult-runs"
    run = runs / "run-2"
    (run / "deep").mkdir(parents=True)
    (run / ".motoko").mkdir()
    for name in ("deep/a.csv", "b.csv", "field.dat", "test.o2", ".motoko/exit-1.json", "launch.sh"):
        (run / name).write_text(name)
    os.mkfifo(run / "pipe")
    (run / "to").symlink_to(tmp_path)
    (runs / "notes").mkdir()
    (runs / "notes" / "mine.csv").write_text("no run's")
    monkeypatch.chdir(run)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("sock")

    def outputs(*options):
        text = archived(flow, "mult", "--overwrite", *options)
        names = members(flow.directory / "a.zip")
        place = "mult/BD-mult-runs/run-2/"
        return {name.removeprefix(place) for name in names if "/BD-" in name}, text

    with listening:
        assert outputs("--outputs", "none")[0] == set()
        assert outputs()[0] == set()
        assert outputs("--outputs", "*.csv")[0] == {"deep/a.csv", "b.csv"}
        assert outputs("--outputs", "field*", "--outputs", "results")[0] == {"field.dat"}
        every, text = outputs("--outputs", "all")
    (run / "sock").unlink()
    assert every == {"deep/a.csv", "b.csv", "field.dat", "test.o2"}
    for name, why in (("pipe", "regular"), ("to", "a link to"), ("sock", "")):
        assert f"left out: mult/BD-mult-runs/run-2/{name}: " in text and why in text
    assert "names no licence" in text and "norm" not in text
    text = archived(flow, "mult", "--outputs", "all", "--outputs", "*.csv", output="b.zip", code=2)
    assert "contradict" in text

    # Nothing is overwritten, and the same workflow makes the same archive.
    text = archived(flow, "--all", code=2)
    assert "--overwrite" in text and "nothing was changed" in text
    for name in ("b.zip", "c.zip"):
        text = archived(flow, "--all", output=name, SOURCE_DATE_EPOCH="1700000000")
        assert "norm: 0 runs" in text
    one, other = (members(flow.directory / name) for name in ("b.zip", "c.zip"))
    assert [name for name in one if one[name] != other[name]] == [] and one.keys() == other.keys()
    assert (flow.directory / "b.zip").read_bytes() == (flow.directory / "c.zip").read_bytes()
    assert json.loads(one[ABOUT])["written"].startswith("2023-11-14")

    # Never what is Motoko's own, whatever is asked for.
    (flow.directory / ".hidden").write_text("no")
    (flow.directory / "data").mkdir()
    (flow.directory / "data" / "deep.txt").write_text("yes")
    flow.path.write_text(flow.path.read_text() + "archive: {files: ['**/*']}\n")
    archived(flow, "mult", output="f.zip")
    more = members(flow.directory / "f.zip").keys() - one.keys()
    assert more == {"data/deep.txt", "a.zip", "b.zip", "c.zip"}
    flow.path.write_text(flow.path.read_text().rpartition("archive:")[0])

    # A secret in a script, and in a database.
    flow.path.write_text(flow.path.read_text() + f"environment: {{TOKEN: {SECRET}}}\n")
    (flow.directory / "norm" / "helper.py").write_text(f"TOKEN = '{SECRET}'\n")
    text = archived(flow, "mult", output="d.zip", code=2)
    assert "norm/helper.py holds a secret" in text and "TOKEN" in text and SECRET not in text
    (flow.directory / "norm" / "helper.py").unlink()
    make_runs(flow, {"state": "FINISHED", "note": SECRET})
    text = archived(flow, "mult", output="d.zip", code=2)
    assert "mult/.bd/bd.zeo holds a secret" in text and SECRET not in text
    assert not (flow.directory / "d.zip").exists()
    flow.path.write_text(flow.path.read_text() + "archive: {environment: [TOKEN]}\n")
    archived(flow, "mult", output="d.zip")

    for arguments, words in (((), "--all"), (("mult", "--all"), "--all"), (("x",), "no study")):
        assert words in archived(flow, *arguments, output="e.zip", code=2)
    assert "no such directory" in archived(flow, "mult", output="no/e.zip", code=2)
    missing = tmp_path / "missing" / "rocrate"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError('none')\n")
    text = archived(flow, "mult", output="e.zip", code=2, PYTHONPATH=str(missing.parent))
    assert "motoko[archive]" in text and "Traceback" not in text
    assert not (flow.directory / "e.zip").exists()


def test_of_a_database_elsewhere(workflow, tmp_path):
    flow = workflow()
    make_runs(flow, {"state": "FINISHED", "y": 1.5}, {"state": "FAILED"})
    guest = tmp_path / "guest"
    (guest / "mult").mkdir(parents=True)
    for name in ("orchestrator.py", "mult/bd.yaml", "mult/launch.sh", "mult/doIt.py"):
        (guest / name).write_bytes((flow.directory / name).read_bytes())
    (guest / "motoko.yaml").write_text(
        f"task_managers: {{mult: {{host: 'zeo://{flow.directory}/mult'}}}}\n"
        "orchestrator: orchestrator.main\n"
    )
    archived(Flow(guest, ("mult",)), "--all")
    again, _ = unarchived(guest / "a.zip", tmp_path / "again")
    assert table(again, "mult") == table(flow, "mult")
    assert "host: null" in again.path.read_text()

    # What cannot be reached is left out, and named.
    config = (guest / "motoko.yaml").read_text().replace(str(flow.directory), "/nowhere")
    (guest / "motoko.yaml").write_text(config)
    text = archived(Flow(guest, ("mult",)), "mult", output="b.zip", code=2)
    assert "no database to archive: mult: " in text and "/nowhere" in text

    # Through its server, where its files are not in reach.
    flow.supervise("--no-launchers")
    with study_base(flow) as base:
        tid = database_copies.copy_served(base.db.storage, tmp_path / "copy")
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]
    assert tid == next(last_tids(load(flow.path).studies["mult"].database.transactions)).hex()
    (again.directory / "mult" / ".bd" / "bd.zeo").write_bytes((tmp_path / "copy").read_bytes())
    assert table(again, "mult") == table(flow, "mult")


def test_of_a_database_whose_writer_was_killed(workflow, tmp_path):
    flow = workflow()
    make_runs(flow, {"state": "FINISHED", "y": 1.5})
    log = load(flow.path).studies["mult"].database.transactions
    tid, before = next(last_tids(log)).hex(), log.read_bytes()
    start = next(written_before(log)).start
    with open(log, "ab") as file:
        file.write(before[start:-20])  # of a transaction, all but its end
    files = load(flow.path).studies["mult"].database
    assert database_copies.copy_now(files, tmp_path / "a") == tid
    assert (tmp_path / "a").read_bytes() == before
    log.write_text("no database")
    text = archived(flow, "mult", code=1)
    assert "cannot be read" in text and "Traceback" not in text
