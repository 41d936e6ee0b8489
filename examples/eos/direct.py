"""The same quantities without Motoko, to check the workflow: `python direct.py Al Cu`.

This deliberately works in another way: in one process, with dense scans, and with a minimum that
is located before it is fitted. Prints JSON like report.json.
"""

import json
import sys

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.units import GPa

METALS = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")


def energy(metal, volume):
    atoms = bulk(metal, "fcc", a=(4 * volume) ** (1 / 3))
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def equilibrium(metal):
    wide = np.linspace(9.0, 21.0, 121)  # A^3 per atom
    lowest = min(wide, key=lambda volume: energy(metal, volume))
    dense = lowest * np.linspace(0.98, 1.02, 41)
    eos = EquationOfState(dense, [energy(metal, v) for v in dense], eos="birchmurnaghan")
    v0, _e0, b = eos.fit()
    return {"a0_angstrom": float((4 * v0) ** (1 / 3)), "bulk_modulus_gpa": float(b / GPa)}


if __name__ == "__main__":
    metals = sys.argv[1:] or METALS
    print(json.dumps({metal: equilibrium(metal) for metal in metals}, indent=2))
