"""Lattice constants and bulk moduli of fcc metals, from equations of state.

For each metal: a coarse scan of the energy over the volume, a fit, a fine scan around the
fitted minimum, a fit, and so on until the minimum stays where it was. How many scans a metal
needs is known only from its results. The metals proceed independently of each other; the report
is made when all metals are done.
"""

import asyncio
import shutil
from pathlib import Path

METALS = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")

COARSE_VOLUMES = [10.0, 12.5, 15.0, 17.5, 20.0]  # A^3/atom, wide enough for every metal here
FINE_STEPS = (-0.03, -0.015, 0.0, 0.015, 0.03)  # relative to the volume at the minimum
TOLERANCE = 0.01  # a minimum that moved by less is accepted
MAX_FINE_SCANS = 4


def populate_arg_parser(parser):
    parser.add_argument(
        "--metals",
        nargs="+",
        choices=METALS,
        default=list(METALS),
        metavar="METAL",
        help=f"which metals (default: {' '.join(METALS)})",
    )


async def main(workflow, metals, **params):
    metals = list(dict.fromkeys(metals))  # each once, in the order given
    minima = await asyncio.gather(*(find_minimum(workflow, metal) for metal in metals))

    # Plain numbers go into the report's job, not ids: the same results make the same job.
    ((report, _job),) = await workflow.report.createTask(
        metals=metals,
        fits=[[fit.v0, fit.e0, fit.b, fit.bp] for fit, _ in minima],
        volumes=[job.volumes for _, job in minima],
        energies=[job.energies for _, job in minima],
    )

    for name in ("report.json", "report.png", "report.txt"):
        copy(Path(report.run_path) / name, Path(workflow.directory) / name)
    print(Path(workflow.directory, "report.txt").read_text())
    print(f"plot: {Path(workflow.directory, 'report.png')}")
    workflow.finished = True


async def find_minimum(workflow, metal):
    """Refine the scan until the minimum stays in its middle; return the last fit and its job."""
    fit, _job = await scan(workflow, metal, COARSE_VOLUMES)
    for _ in range(MAX_FINE_SCANS):
        # Rounded, so that after a restart the volumes, and with them the jobs, are the same even
        # if another machine computes the last digits of the fit differently.
        centre = round(fit.v0, 3)
        fit, job = await scan(workflow, metal, [round(centre * (1 + s), 4) for s in FINE_STEPS])
        if abs(fit.v0 - centre) < TOLERANCE * centre:
            return fit, job
    raise RuntimeError(f"{metal}: no stable minimum after {MAX_FINE_SCANS} fine scans")


async def scan(workflow, metal, volumes):
    """Compute the energies at these volumes, side by side, then fit them."""
    points = await workflow.energy.createTask(metal=metal, volume=volumes)
    ((fit, job),) = await workflow.fit.createTask(
        metal=metal, volumes=volumes, energies=[run.energy for run, _ in points]
    )
    return fit, job


def copy(source, target):
    """Copy under another name first, so that nobody ever sees half a file."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
