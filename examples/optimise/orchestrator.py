"""The best damper for a machine: an optimiser asks for points, runs give the values.

Kill it at any moment and start it again under the same run name: the optimiser asks for the same
points again, and `createTask` finds the runs at those that were computed before.
"""

from pathlib import Path

from surrogate import Surrogate

BOUNDS = {"ratio": (0.7, 1.2), "damping": (0.02, 0.4)}


def populate_arg_parser(parser):
    parser.add_argument("--rounds", type=int, default=12, help="how often it asks (default: 12)")


async def main(workflow, rounds, **params):
    optimiser = Surrogate(BOUNDS.values())
    for _ in range(rounds):
        points = optimiser.ask()
        runs = await workflow.peak.createTask(
            points=[dict(zip(BOUNDS, point, strict=True)) for point in points]
        )
        optimiser.tell(points, [run.peak for run, _ in runs])
    peak, (ratio, damping) = optimiser.best()
    print(f"{len(optimiser.points)} points: peak {peak:.3f} at ratio {ratio}, damping {damping}")
    draw(optimiser, Path(workflow.directory) / "report.png")
    workflow.finished = True


def draw(optimiser, path):
    """Draw the optimiser's surface, with the points that it has asked for."""
    import matplotlib

    matplotlib.use("Agg")  # no display on a head node
    import matplotlib.pyplot as plt
    import numpy as np

    x, y = np.meshgrid(*(np.linspace(low, high, 80) for low, high in BOUNDS.values()))
    values = optimiser.surface()(np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    levels = np.geomspace(np.exp(values.min()), np.exp(values.max()), 20)
    colours = axes.contourf(x, y, np.exp(values), levels=levels, norm="log")
    figure.colorbar(colours, label="largest amplitude", format="%.0f")
    axes.plot(*zip(*optimiser.points, strict=True), "o", color="white", markersize=4)
    _, best = optimiser.best()
    axes.plot(*best, "*", color="red", markersize=12)
    axes.set_xlabel("frequency of the damper")
    axes.set_ylabel("its damping")
    figure.savefig(path, dpi=150)
    plt.close(figure)
