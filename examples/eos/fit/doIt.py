"""One run: fit a Birch-Murnaghan equation of state to some energies."""

import BlackDynamite as BD
from ase.eos import EquationOfState

run, job = BD.getRunFromScript()
run.start()

eos = EquationOfState(job.volumes, job.energies, eos="birchmurnaghan")
eos.fit()
e0, b, bp, v0 = (float(p) for p in eos.eos_parameters)
if not min(job.volumes) < v0 < max(job.volumes):
    raise ValueError(f"{job.metal}: the minimum, {v0:.3f} A^3, is outside of the scan")

# numpy's numbers became plain floats above: anyone can read them back without numpy.
run["v0"] = v0  # A^3 per atom
run["e0"] = e0  # eV per atom
run["b"] = b  # eV / A^3
run["bp"] = bp  # derivative of b by the pressure

run.finish()
