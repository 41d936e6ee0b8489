"""The length of a vector, sqrt(x1^2 + x2^2 + ...), computed by three small studies.

    square   y = x * x          one run for each input: a fan-out
    total    y = sum(terms)     needs every square: a chain
    root     y = sqrt(x)        follows each finished total: an action

Each arithmetic operation stands for a simulation; what matters is how they are connected.
"""

import json
from pathlib import Path

from motoko.workflow import event


def populate_arg_parser(parser):
    """Add this workflow's own options; Motoko hands their values to `main` and to the handlers."""
    parser.add_argument(
        "--inputs",
        type=float,
        nargs="+",
        default=[3.0, 4.0, 12.0],
        help="components of the vector (default: 3 4 12, whose length is 13)",
    )


@event
async def take_root(runs=None, workflow=None, **params):
    """Create a root for each finished total.

    An action fires again for as long as its condition is true. So a handler ends by changing
    what triggered it, here the state of the run. Until then it may be called a second time (after
    an interruption, say), which does no harm: createTask returns the existing run.
    """
    for run, _job in runs:
        roots = await workflow.root.createTask(x=run.y)
        # `run["name"] = value` stores anything on a run, `run.name` reads it back.
        run["dependencies"] = [f"root.{root.id}" for root, _ in roots]
        run["state"] = "FORWARDED"  # a state of our own: no longer FINISHED


async def main(workflow, inputs, **params):
    # An action: a condition on the runs of a study, and what to do with those that meet it.
    # Its handler is called whenever a total finishes, while `main` continues.
    workflow.add_action("total_finished", task="total", event="state = FINISHED", f=take_root)

    # A fan-out: a list given to a parameter of type float makes one run for each element.
    # `await` waits until all of them are FINISHED; they come back in the order of the list.
    squares = await workflow.square.createTask(x=inputs)

    # A chain: results of those runs are the input of the next. `terms` is declared as a list
    # in total/bd.yaml, so the whole list goes to one run. That run is not awaited here: the
    # action takes care of it.
    total = workflow.total.createTask(terms=[run.y for run, _ in squares])

    # Wait until the handler has set the state, and follow the dependencies that it has noted.
    await workflow.total.select().all(["state = FORWARDED"])
    ((total_run, _),) = total.runs
    (root,) = workflow.get_runs(total_run.dependencies)["root"]

    result = {"inputs": inputs, "total": total_run.y, "length": root.y}
    write_json(Path(workflow.directory) / "result.json", result)
    print(f"length of {inputs} = {root.y}  (see result.json)")

    # As long as an action is registered, something may still happen. Now nothing will.
    workflow.finished = True


def write_json(path, value):
    """Write under another name first, so that nobody ever reads half a file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)
