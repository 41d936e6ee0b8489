"""An optimiser that asks for points and is told values. It knows nothing of Motoko.

It lays a smooth surface through all values so far. The next points are where the surface is
lowest, and where little is known. The same values in the same order lead to the same points.
"""

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.optimize import differential_evolution
from scipy.stats import qmc

FIRST = 8  # points before there is a surface
DIGITS = 4  # of a point: the same job even if another machine computes further digits differently
CURIOSITY = (0.0, 1.0)  # one point at the lowest place, one where it could be lower


class Surrogate:
    """``bounds``: the lowest and highest value of each parameter."""

    def __init__(self, bounds, seed=1):
        self.low, self.high = np.array(list(bounds), dtype=float).T
        self.seed = seed
        self.points, self.values = [], []  # in the order in which they were told

    def ask(self):
        """The next points, each a tuple of numbers."""
        if not self.points:
            unit = qmc.LatinHypercube(d=len(self.low), seed=self.seed).random(FIRST)
            return [self._point(each) for each in unit]
        return list(dict.fromkeys(self._lowest(curiosity) for curiosity in CURIOSITY))

    def tell(self, points, values):
        """Take the values at some points; points that are known already are left out."""
        for point, value in zip(points, values, strict=True):
            if point not in self.points:
                self.points.append(point)
                self.values.append(value)

    def best(self):
        """The lowest value so far, and its point."""
        return min(zip(self.values, self.points, strict=True))

    def surface(self):
        """A function of an array of points: the logarithm of the value that is expected there."""
        smooth = RBFInterpolator(self._unit(self.points), np.log(self.values))
        return lambda points: smooth(self._unit(points))

    def _lowest(self, curiosity):
        surface, told = self.surface(), self._unit(self.points)

        def hope(unit):  # an array with a column for each point
            distance = np.linalg.norm(unit.T[:, None] - told[None], axis=2).min(axis=1)
            return surface(self.low + unit.T * (self.high - self.low)) - curiosity * distance

        bounds = [(0, 1)] * len(self.low)
        found = differential_evolution(
            hope,
            bounds,
            seed=self.seed,
            maxiter=60,
            polish=False,
            vectorized=True,
            updating="deferred",
        )
        return self._point(found.x)

    def _unit(self, points):
        return (np.array(points, dtype=float) - self.low) / (self.high - self.low)

    def _point(self, unit):
        return tuple(round(float(x), DIGITS) for x in self.low + unit * (self.high - self.low))
