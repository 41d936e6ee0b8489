"""One run: the energy per atom of an fcc metal at one volume, with the EMT potential."""

import BlackDynamite as BD
from ase.build import bulk
from ase.calculators.emt import EMT

run, job = BD.getRunFromScript()
run.start()

# The primitive cell holds one atom, the cubic cell with edge a holds four.
atoms = bulk(job.metal, "fcc", a=(4 * job.volume) ** (1 / 3))
atoms.calc = EMT()
run["energy"] = float(atoms.get_potential_energy())  # eV

run.finish()
