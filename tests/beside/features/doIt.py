"""What doIt.py does with a run: each function is a feature, which the job of its name executes.

It starts the run before, and finishes it afterwards unless the function returns UNFINISHED.
"""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import BlackDynamite as BD
import transaction

UNFINISHED = "unfinished"


def start_and_finish(run, job):
    """Nothing else."""


def item(run, job):
    run["y"] = job.x * 2


def attribute(run, job):
    run.y = job.x / 2
    run.kind = f"{job.label} {run.nproc}"


def item_of_job(run, job):
    run["y"] = job["x"] + job["n"]


def types(run, job):
    run["of_int"], run["of_float"], run["of_str"] = 2**70, 1e-300, "é\n\0"
    run["of_bool"], run["of_none"], run["of_bytes"] = True, None, b"\x00\xff"
    run["of_tuple"], run["of_list"], run["of_set"] = (1, "a"), [1, 2.0], {3}
    run["of_complex"], run["of_date"] = 1j, datetime.date(2020, 2, 29)


def nested(run, job):
    run["tree"] = {"a": [1, {"b": (2.5, None)}], "c": {"d": {"e": "f"}}}


def numpy(run, job):
    import numpy as np

    run["vector"], run["matrix"] = np.arange(3.0), np.eye(2, dtype=int)
    run["scalar"], run["truth"] = np.float64(1.5), np.bool_(True)


def entries_update(run, job):
    run.entries.update({"y": 3.0, "more": "entries"})


def update(run, job):
    run.update(y=4.0)


def overwritten(run, job):
    run["y"] = 1.0
    transaction.commit()
    run["y"] = 2.0
    run["word"] = "before"
    run["word"] = ["after"]


def deleted(run, job):
    run["word"] = 1
    del run.entries["word"]


def mixed_case(run, job):
    run["Energy"] = 1.0
    run["both"] = [run["energy"], run.Energy]


def state_on_the_way(run, job):
    run["state"] = "PHASE2"
    transaction.commit()


def state_of_its_own(run, job):
    run["state"] = "CONVERGED"
    transaction.commit()
    return UNFINISHED


def fails_in_a_state_of_its_own(run, job):
    run["state"] = "PHASE2"
    transaction.commit()
    sys.exit(4)


def never_ends(run, job):
    return UNFINISHED


def fails(run, job):
    run.fail("FAILED")
    return UNFINISHED


def raises(run, job):
    run["y"] = 5.0
    transaction.commit()
    raise RuntimeError("as it is meant")


def exits(run, job):
    sys.exit(3)


def scalar_quantity(run, job):
    for step in range(3):
        run.pushQuantity(step * job.x, step, "ekin")


def vector_quantity(run, job):
    run.pushQuantity([1.0, 2.0, 3.0], 0, "force")
    run.pushQuantity([4.0, 5.0, 6.0], 1, "force")


def text_quantity(run, job):
    run.pushQuantity("gas", 0, "phase")


def quantities_of_old(run, job):
    import numpy as np

    run.pushScalarQuantity(1.0, 1, "epot")
    run.pushVectorQuantity(np.ones(2), 1, "stress")


def reads_quantities(run, job):
    run.pushQuantity(1.5, 7, "ekin")
    transaction.commit()
    table = run.getQuantity("ekin")
    step, at = run.getLastStep()
    run["seen"] = [[str(name) for name in table], table.values.tolist(), int(step), str(type(at))]
    run["names"] = sorted(run.quantities)


def lists_files(run, job):
    Path("out.json").write_text("{}")
    run["files"] = run.listFiles()
    run["json_files"] = sorted(path.name for path in Path().glob("*.json"))


def gets_files(run, job):
    run["text"] = Path(run.getFile("template.dat")).read_text()
    run["name"] = os.path.relpath(run.getFullFileName("template.dat"))


def updated_config(run, job):
    files = {file.filename: file for file in run.getConfigFiles()}
    run["names"] = sorted(files)
    run["text"] = files["template.dat"]["file"]


def exec_file(run, job):
    file = run.getExecFile()
    run["name"] = file["filename"]
    run["text"] = file["file"]


def placeholders(run, job):
    run["text"] = Path("template.dat").read_text()


def parameters(run, job):
    run["seen"] = [run.nproc, run["machine_name"], run.run_name, run.job_id, run.settings, run.kind]
    run["of_job"] = sorted(job.entries)


def base(run, job):
    again = run.base.jobs[run.job_id]
    run["seen"] = [again.id == job.id, again.x, again["label"]]


def selects(run, job):
    pairs = BD.RunSelector(run.base).selectRuns([f"runs.id = {run.id}", "state = START"])
    run["seen"] = [(r.id == run.id, j.feature, r.state) for r, j in pairs]


def environment(run, job):
    run["names"] = sorted(name for name in os.environ if name.startswith("BLACKDYNAMITE_"))
    run["seen"] = [
        os.environ["BLACKDYNAMITE_RUN_ID"] == str(run.id),
        str(Path.cwd()) == run.run_path,
    ]
    run["study"] = os.environ["BLACKDYNAMITE_STUDY"]


def several_processes(run, job):
    transaction.commit()
    code = (
        "import BlackDynamite as BD\n"
        "run, job = BD.getRunFromScript()\n"
        "run['from_child'] = job.x\n"
        "import transaction\n"
        "transaction.commit()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    transaction.commit()
    run["seen"] = run["from_child"]


def attaches(run, job):
    another = run.base.Run()
    another.entries.update(
        {"machine_name": "nowhere", "nproc": 1, "run_name": "attached", "state": "CREATED"}
    )
    another.setExecFile("launch.sh")
    another.attachToJob(job)


def output(run, job):
    Path("out/put").mkdir(parents=True)
    Path("out/put/file").write_text("there\n")
    print("said")
    run["files"] = run.listFiles("out")


def in_the_shell(run, job):
    run["seen"] = run.kind


def main():
    run, job = BD.getRunFromScript()
    run.start()
    if globals()[job.feature](run, job) != UNFINISHED:
        run.finish()


if __name__ == "__main__":
    main()
