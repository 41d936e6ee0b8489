"""One run: how strongly a machine vibrates, at worst, that carries a small mass on a spring.

The machine has mass 1 and stiffness 1, and is shaken by a force of amplitude 1 at any frequency.
"""

import BlackDynamite as BD
import numpy as np

MASS = 0.05  # of the damper

run, job = BD.getRunFromScript()
run.start()

frequency = np.linspace(0.6, 1.4, 4001)
spring = MASS * job.ratio**2 + 2j * job.damping * MASS * job.ratio * frequency
inertia = MASS * frequency**2
amplitude = 1 / np.abs(1 - frequency**2 - spring * inertia / (spring - inertia))
run["peak"] = float(amplitude.max())

run.finish()
