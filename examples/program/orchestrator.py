"""The period of a pendulum as a function of its amplitude, with steps as small as necessary.

The program is in C, and knows nothing of Motoko: see motoko.yaml for how its results are read.
"""

import asyncio
from pathlib import Path

AMPLITUDES = [10.0, 50.0, 90.0, 130.0, 170.0]  # degrees
FIRST = 2  # steps in a unit of time
TOLERANCE = 1e-3  # relative change of the period, when the steps are halved


async def main(workflow, **params):
    periods = await asyncio.gather(*(period(workflow, each) for each in AMPLITUDES))
    for amplitude, (value, steps) in zip(AMPLITUDES, periods, strict=True):
        print(f"{amplitude:5.0f} degrees: period {value:.4f} with {steps} steps")
    draw([value for value, _ in periods], Path(workflow.directory) / "report.png")
    workflow.finished = True


async def period(workflow, amplitude):
    """Halve the time step until the period does not change any more; return period and steps."""
    before, steps = None, FIRST
    while True:
        ((run, _),) = await workflow.swing.createTask(amplitude=amplitude, steps=steps)
        if before is not None and abs(run.period - before) < TOLERANCE * before:
            return run.period, steps
        before, steps = run.period, 2 * steps


def draw(periods, path):
    import matplotlib

    matplotlib.use("Agg")  # no display on a head node
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(AMPLITUDES, periods, "o-")
    axes.set_xlabel("amplitude [degrees]")
    axes.set_ylabel("period")
    figure.savefig(path, dpi=150)
    plt.close(figure)
