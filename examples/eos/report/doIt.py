"""One run: write report.json, report.txt and report.png into the run's directory."""

import json
from pathlib import Path

import BlackDynamite as BD
import matplotlib
import numpy as np
from ase.eos import birchmurnaghan
from ase.units import GPa

matplotlib.use("Agg")  # no display on a compute node
import matplotlib.pyplot as plt

# Experiment: lattice constant in A, bulk modulus in GPa
EXPERIMENT = {
    "Al": (4.05, 76),
    "Cu": (3.61, 137),
    "Ag": (4.09, 101),
    "Au": (4.08, 173),
    "Ni": (3.52, 186),
    "Pd": (3.89, 181),
    "Pt": (3.92, 278),
}


def table(values):
    lines = [
        "fcc metals with the EMT potential, beside experiment",
        "",
        "metal      a0 [A]   exp.   diff.     B [GPa]   exp.   diff.",
    ]
    for metal, value in values.items():
        a0, b = value["a0_angstrom"], value["bulk_modulus_gpa"]
        a0_exp, b_exp = EXPERIMENT[metal]
        lines.append(
            f"{metal:5} {a0:11.3f} {a0_exp:6.2f} {a0 / a0_exp - 1:+7.1%}"
            f" {b:11.1f} {b_exp:6.0f} {b / b_exp - 1:+7.1%}"
        )
    return "\n".join(lines) + "\n"


def plot(job, path):
    """Draw one panel for each metal: the points and the curve fitted to them."""
    columns = min(4, len(job.metals))
    rows = -(-len(job.metals) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.8 * columns + 0.4, 2.5 * rows + 0.3),
        squeeze=False,  # always an array of panels, even for one metal
        sharey=True,  # stiff metals look stiff
        layout="constrained",
    )
    panels = axes.flatten()
    for panel in panels[len(job.metals) :]:
        panel.set_axis_off()

    data = zip(panels, job.metals, job.fits, job.volumes, job.energies, strict=False)
    for panel, metal, (v0, e0, b, bp), volumes, energies in data:
        curve = np.linspace(min(volumes), max(volumes), 101)
        panel.axvline(v0, color="0.8", linewidth=1)
        panel.plot(curve, 1000 * (birchmurnaghan(curve, e0, b, bp, v0) - e0), label="fit")
        panel.plot(volumes, 1000 * (np.array(energies) - e0), "o", markersize=4, label="EMT")
        panel.set_title(metal, loc="left", fontweight="bold")
        panel.set_title(f"$V_0$ = {v0:.2f} Å³", loc="right", fontsize="small")
        panel.locator_params(axis="x", nbins=4)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize="small")

    figure.supxlabel("volume per atom [Å³]", fontsize="medium")
    figure.supylabel("energy above $E_0$ [meV/atom]", fontsize="medium")
    figure.savefig(path, dpi=150)


run, job = BD.getRunFromScript()
run.start()

values = {
    metal: {"a0_angstrom": (4 * v0) ** (1 / 3), "bulk_modulus_gpa": b / GPa}
    for metal, (v0, _e0, b, _bp) in zip(job.metals, job.fits, strict=True)
}
Path("report.json").write_text(json.dumps(values, indent=2) + "\n")
Path("report.txt").write_text(table(values))
plot(job, "report.png")

run.finish()
