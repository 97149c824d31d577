"""Which features a path looks at from knot to knot, while all of them are looked at in one product a stretch.

Finding the next knot takes the correlations of every feature with two residuals, and memory is the price of that where
features are many. So a path goes a stretch of knots as if only the features nearest to joining existed. Then it looks
at all of them at every knot of the stretch, in one product of matrices, which is much quicker than one after another.
On a piece `|h_j|` is convex and the penalty `c v_j` affine, so what holds at both ends holds between. That product is
made in single precision; what its rounding leaves in doubt is looked at in double, so the answer is the same. Where a
feature should have joined, the path returns to where the stretch began and goes it again with that feature: the knots
are those of the whole problem.

Source: Tibshirani et al., Strong rules for discarding predictors in lasso-type problems, JRSS B 2012, for guessing
first and checking the optimality conditions afterwards.
"""

from __future__ import annotations

import numpy as np

from ..thresholds import THRESHOLDS

MARGIN = 1 - 1e-9  # of a penalty: a correlation beyond it may be one that joins


class Nearby:
    """The features `index` that a path looks at, sorted: their columns `X`, penalties `v`, correlations `b` with `y`.

    Few features are all near. Of many the nearest to joining are, twice as many as there are samples.

    Args:
        X: the columns of all features; size: their lengths; v: penalties; b: correlations with `y`.
        rounding: what of a correlation is rounding.
    """

    def __init__(self, X: np.ndarray, size: np.ndarray, v: np.ndarray, b: np.ndarray, rounding: np.ndarray):
        self._all, self._v, self._b, self._rounding = X, v, b, rounding
        self.n, self.p = X.shape
        self._most = 2 * self.n + THRESHOLDS.spare
        self._choose(np.ones(self.p, bool))
        if self.p > 2 * self._most:
            self._size = np.where(size > 0, size, 1.0)
            self._single = np.divide(X, self._size, out=np.empty(X.shape, np.float32), casting="same_kind")

    @property
    def everything(self) -> bool:
        """Whether all features are near."""
        return len(self.index) == self.p

    def look(self, correlations: np.ndarray, active: np.ndarray) -> None:
        """Choose the nearest features by their correlations with the present residual, whatever their unit.

        The `active` are among them.
        """
        if self.p <= 2 * self._most:
            return
        chosen = self._v == 0
        nearness = np.abs(correlations) / np.where(self._v > 0, self._v, 1.0)
        chosen[np.argpartition(-nearness, self._most)[: self._most]] = True
        chosen[active] = True
        self._choose(chosen)

    def missing(self, residuals: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The features that are not near and yet reach their penalty, by residuals `(m, n)` at the strengths `c`.

        Also the correlations `(p,)` of all with the last residual, in single precision.
        """
        if c.min() <= 0:
            return np.setdiff1d(np.arange(self.p), self.index), residuals[-1] @ self._all / self.n
        duals = residuals / (self.n * c[:, None])
        top = max(float(np.sqrt(np.square(duals).sum(axis=1).max())), np.finfo(float).tiny)
        cosines = (duals / top).astype(np.float32) @ self._single
        largest = np.maximum(cosines.max(axis=0), -cosines.min(axis=0))
        # of a sum of n products, by the bound of Higham, Accuracy and stability of numerical algorithms, 3.5
        error = (self.n + 4) * float(np.finfo(np.float32).eps)
        reach = ~(largest + error < (MARGIN / top) * self._v / self._size)
        reach[self.index] = False
        doubtful = np.flatnonzero(reach)
        exact = np.abs(residuals @ self._all[:, doubtful]) / self.n >= MARGIN * c[:, None] * self._v[doubtful]
        return doubtful[exact.any(axis=0)], cosines[-1] * self._size

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
        self.v, self.b, self.rounding = (values[self.index] for values in (self._v, self._b, self._rounding))
        self.free = np.flatnonzero(self.v == 0)  # among them
        self.place = np.cumsum(chosen) - 1  # of a near feature among them
