"""Which features a path looks at from knot to knot, while all of them are looked at in one product a stretch.

Finding the next knot takes the correlations of every feature with two residuals, and memory is the price of that where
features are many. So a path goes a stretch of knots as if only the features nearest to joining existed. Then it looks
at all of them at every knot of the stretch, in one product of matrices, which is much quicker than one after another.
On a piece `|h_j|` is convex and the penalty `c v_j` affine, so what holds at both ends holds between. Where a feature
should have joined, the path returns to where the stretch began and goes it again with that feature: the knots are those
of the whole problem.

Source: Tibshirani et al., Strong rules for discarding predictors in lasso-type problems, JRSS B 2012, for guessing
first and checking the optimality conditions afterwards.
"""

from __future__ import annotations

import numpy as np

STRETCH = 16  # knots between two looks at all features
SPARE = 100  # features looked at beyond twice the number of samples
MARGIN = 1 - 1e-9  # of a penalty: a correlation beyond it may be one that joins


class Nearby:
    """The features `index` that a path looks at, sorted, with their columns `X` and penalties `v`.

    Few features are all near. Of many the nearest to joining are, twice as many as there are samples.
    """

    def __init__(self, X: np.ndarray, v: np.ndarray):
        self._all, self._v = X, v
        self.n, self.p = X.shape
        self._most = 2 * self.n + SPARE
        self._choose(np.ones(self.p, bool))

    @property
    def everything(self) -> bool:
        """Whether all features are near."""
        return len(self.index) == self.p

    def look(self, correlations: np.ndarray, active: list[int]) -> None:
        """Choose the nearest features by their correlations with the present residual; `active` are among them."""
        if self.p <= 2 * self._most:
            return
        chosen = self._v == 0
        nearness = np.abs(correlations) / np.where(self._v > 0, self._v, 1.0)
        chosen[np.argpartition(-nearness, self._most)[: self._most]] = True
        chosen[active] = True
        self._choose(chosen)

    def missing(self, correlations: np.ndarray, c: np.ndarray) -> np.ndarray:
        """The features that are not near and yet reach their penalty, by correlations `(m, p)` at the strengths `c`."""
        reach: np.ndarray = np.any(np.abs(correlations) >= MARGIN * c[:, None] * self._v, axis=0)
        reach[self.index] = False
        return np.flatnonzero(reach)

    def add(self, features: np.ndarray) -> None:
        """Let these be near too."""
        chosen = np.zeros(self.p, bool)
        chosen[self.index] = chosen[features] = True
        self._choose(chosen)

    def add_all(self) -> None:
        """Let all features be near."""
        self._choose(np.ones(self.p, bool))

    def restore(self, index: np.ndarray) -> None:
        """Go back to what a checkpoint kept."""
        chosen = np.zeros(self.p, bool)
        chosen[index] = True
        self._choose(chosen)

    def _choose(self, chosen: np.ndarray) -> None:
        self.index = np.flatnonzero(chosen)
        self.X = self._all if chosen.all() else np.asfortranarray(self._all[:, self.index])
        self.v = self._v[self.index]
        self.place = np.cumsum(chosen) - 1  # of a near feature among them
