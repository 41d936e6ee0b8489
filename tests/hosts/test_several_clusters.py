"""One workflow, several places: a study on Slurm, one here, one that another host serves."""

import json

ORCHESTRATOR = """\
import asyncio, json


async def main(workflow, **params):
    managers = workflow.task_managers
    script = "hostname > where; python doIt.py"
    runs = [manager.createTask(script=script) for manager in managers.values()]
    done = await asyncio.gather(*runs)
    names = {}
    for name, pairs in zip(managers, done):
        ((run, _),) = pairs
        names[name] = (run.run_path + "/where", run.state)
    with open("result.json", "w") as file:
        json.dump(names, file)
    workflow.finished = True
"""


def written(flow):
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)


def result(flow, lab):
    names = json.loads((flow.directory / "result.json").read_text())
    assert {state for _, state in names.values()} == {"FINISHED"}
    return {name: lab.head.run("cat", path).stdout.strip() for name, (path, _) in names.items()}


def test_slurm_and_slots(placed, lab, slurm):
    below = {"jobs": "    generator: slurm\n", "slots": "    generator: bash\n"}
    flow, _ = placed(
        studies=("jobs", "slots"), below=below, yaml="batch: {poll_interval: 5s}\n", edit=written
    )
    done = flow.motoko("orchestrator", "start", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    where = result(flow, lab)
    assert where["slots"] == "head" and where["jobs"] in {node.name for node in lab.nodes}


def test_one_is_served_elsewhere(placed, lab, slurm):
    """By a workflow that another login node supervises: ``host:`` names its study's directory."""
    other, _ = placed(
        name="other", studies=("far",), yaml="remote: true\ngenerator: bash\n", host=lab.nodes[2]
    )
    below = {
        "jobs": "    generator: slurm\n",
        "slots": "    generator: bash\n",
        "far": f"    host: zeo://{other.directory}/far\n",
    }
    flow, _ = placed(
        studies=("jobs", "slots", "far"),
        below=below,
        yaml="batch: {poll_interval: 5s}\n",
        edit=written,
    )
    done = flow.motoko("orchestrator", "start", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    where = result(flow, lab)
    assert where["slots"] == "head" and where["far"] == lab.nodes[2].name
    assert where["jobs"] in {node.name for node in lab.nodes}
