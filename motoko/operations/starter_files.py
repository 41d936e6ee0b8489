"""The files of the workflows that ``motoko init`` writes: they run as they are, and explain."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GIT_IGNORE = """\
# What Motoko and BlackDynamite make: logs, databases, run directories.
.wf/
.bd/
BD-*-runs/
__pycache__/
"""

MOTOKO_YAML = """\
# The workflow: which studies there are, and who decides what they compute.

task_managers: # each study is a directory of that name, with a bd.yaml and a launch.sh
  {study}:
{settings}
# The function main in orchestrator.py.
orchestrator: orchestrator.main
"""

_SQUARE_ORCHESTRATOR = '''\
"""Decides what is computed: creates runs, awaits them, uses their results."""


async def main(workflow, **params):
    # One run for each x. Runs that exist already are not executed again.
    runs = await workflow.square.createTask(x=[1.0, 2.0, 3.0])
    # The job holds a run's parameters, the run its results.
    for run, job in runs:
        print(f"x = {job.x}: y = {run.y}")
'''

_SQUARE = {
    "square/bd.yaml": """\
# The parameters of the study: each name with its type.
study: square
job:
  x: float
""",
    "square/launch.sh": """\
# What a run executes, in a directory of its own.
python doIt.py
""",
    "square/doIt.py": '''\
"""The calculation: replace it by yours."""

import BlackDynamite as BD

run, job = BD.getRunFromScript()  # which run is this, and with which parameters?
run.start()
run["y"] = job.x**2  # a result: run.y in orchestrator.py
run.finish()  # saves the results and wakes whoever awaits this run
''',
}

_THROW_ORCHESTRATOR = '''\
"""Finds the angle at which a stone flies furthest: first coarsely, then close to the best."""


def populate_arg_parser(parser):
    """Options of this workflow: `motoko run --drag 0.1`."""
    parser.add_argument("--drag", type=float, default=0.05)


async def main(workflow, drag, **params):
    # A list stands for several values: one run for each of them.
    best = await furthest(workflow, drag, angles=[15.0, 30.0, 45.0, 60.0, 75.0])
    # What is computed next depends on these results.
    best = await furthest(workflow, drag, angles=[best + step for step in (-5.0, 0.0, 5.0)])
    print(f"with a drag of {drag:g} a stone flies furthest at {best:g} degrees")


async def furthest(workflow, drag, angles):
    runs = await workflow.throw.createTask(angle=angles, drag=drag)
    for run, job in runs:
        print(f"{job.angle:g} degrees: {run.distance:.3f} m")
    run, job = max(runs, key=lambda pair: pair[0].distance)
    return job.angle
'''

_THROW = {
    "throw/bd.yaml": """\
study: throw
job: # parameters, each with its type
  angle: float
  drag: float
config_files: # further files that each run gets a copy of
  - model.py
""",
    "throw/launch.sh": """\
# What a run executes, in a directory of its own.
python doIt.py
""",
    "throw/doIt.py": '''\
"""Between Motoko and the calculation: parameters in, results out."""

import BlackDynamite as BD
from model import distance

run, job = BD.getRunFromScript()  # which run is this, and with which parameters?
run.start()
run["distance"] = distance(job.angle, job.drag)  # run.distance in orchestrator.py
run.finish()  # saves the results and wakes whoever awaits this run
''',
    "throw/model.py": '''\
"""The calculation itself, which knows nothing of Motoko: replace it by yours."""

from math import cos, hypot, radians, sin


def distance(angle, drag, speed=20.0, step=1e-3):
    """How far a stone flies: angle in degrees, drag in 1/m, speed in m/s, step in s."""
    x = y = 0.0
    u, v = speed * cos(radians(angle)), speed * sin(radians(angle))
    while y >= 0.0:
        x, y = x + u * step, y + v * step
        slowing = drag * hypot(u, v) * step
        u, v = u - slowing * u, v - slowing * v - 9.81 * step
    return x
''',
}

_INTEGRAL_ORCHESTRATOR = '''\
"""Refines until the results no longer change."""


async def main(workflow, **params):
    steps, before = 4, None
    while True:
        # Runs that exist already are not executed again.
        [(run, job)] = await workflow.integral.createTask(steps=steps)
        print(f"{steps} steps: {run.value}")  # the result `value` of motoko.yaml
        if before is not None and abs(run.value - before) < 1e-4:
            return
        steps, before = 2 * steps, run.value
'''

_INTEGRAL = {
    "integral/bd.yaml": """\
study: integral
job: # parameters, each with its type
  steps: int
config_files: # further files that each run gets a copy of
  - program.awk
""",
    "integral/launch.sh": """\
# What a run executes, in a directory of its own: any program, compiled or not.
# A parameter's value replaces its name with the underscores; `:sh` quotes it for the shell.
awk -v steps=__BLACKDYNAMITE__steps:sh__ -f program.awk
""",
    "integral/program.awk": """\
# The program, which knows nothing of Motoko: replace it by yours.
BEGIN {
    for (i = 0; i < steps; i++) {
        x = (i + 0.5) / steps
        sum += 4 / (1 + x * x)
    }
    printf "value = %.8f\\n", sum / steps
}
""",
}

_READ_RESULTS = """\
    # A program that knows nothing of Motoko: launch.sh ending with exit code 0 means FINISHED.
    finish: on-exit
    # What is read from its output: here the number after "value = ", in the last such line.
    # It may also be in a file, as in `energy: {json: total.energy, file: out.json}`.
    results:
      value: 'value = (\\S+)'
"""

_RETRIES = """\
    # A run that fails is executed once more; each attempt may take ten minutes.
    retries: 1
    timeout: 10m
"""

_SLURM = """\
    # Each run is a job of Slurm, with these options of sbatch: ten minutes, one task.
    # Partition and account: add what your cluster wants, such as `partition=debug`.
    generator: slurm
    slurm_options: [time=10, ntasks=1]
"""


def _workflow(
    study: str, settings: str, orchestrator: str, files: Mapping[str, str]
) -> Mapping[str, str]:
    return {
        ".gitignore": GIT_IGNORE,
        "orchestrator.py": orchestrator,
        **files,
        # motoko.yaml comes last: it makes the directory a workflow.
        "motoko.yaml": MOTOKO_YAML.format(study=study, settings=settings),
    }


# By template name: the files' texts by their paths, in the order in which they are written.
TEMPLATES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "minimal": _workflow("square", "", _SQUARE_ORCHESTRATOR, _SQUARE),
        "python": _workflow("throw", _RETRIES, _THROW_ORCHESTRATOR, _THROW),
        "program": _workflow("integral", _READ_RESULTS, _INTEGRAL_ORCHESTRATOR, _INTEGRAL),
        "slurm": _workflow("square", _SLURM, _SQUARE_ORCHESTRATOR, _SQUARE),
    }
)
