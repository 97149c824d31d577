"""One fold along the strength of its penalty: predictions on every piece of the exact path."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from .path import LassoPath
from .piece import Knot
from .rows import CentredRows

DECADES = 4  # below the strength at which every solution is empty


class FoldData(NamedTuple):
    """What the path of a fold is made of, in NumPy: rows to fit on and to judge on, perhaps weighted.

    `penalties` are the weights of the features in the penalty. With `squares` the loss is a mean of squares, else any.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    fit_intercept: bool
    penalties: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    shares: np.ndarray | None
    squares: bool

    def known(self) -> bool:
        """Whether a path knows the loss: weights that differ within a side are for squares only."""
        sides = [side for side in (self.weights, self.shares) if side is not None]
        return self.squares or all(np.ptp(side[side > 0]) == 0 for side in sides)

    def path(self) -> FoldPath:
        """The fold at the top of its path."""
        judged = slice(None) if self.shares is None else self.shares > 0
        X_test, y_test = self.X_test[judged], self.y_test[judged]
        if self.weights is not None and self.squares:
            # a weighted mean of squares is a plain mean of scaled squares
            rows = CentredRows(self.X, self.y, self.weights, self.fit_intercept)
            X_test, y_test = X_test - rows.x_mean, y_test - rows.y_mean
            path = rows.path(self.penalties)
        else:
            fitted = slice(None) if self.weights is None else self.weights > 0
            path = LassoPath(self.X[fitted], self.y[fitted], self.penalties, self.fit_intercept)
        if self.shares is not None and self.squares:
            scale = np.sqrt(self.shares[judged] * len(y_test))
            X_test, y_test = scale[:, None] * X_test, scale * y_test
        return FoldPath(path, X_test, y_test)

    def walked(self) -> FoldPath:
        """Its path down four decades; a task for another process."""
        path = self.path()
        if path.path.c_max > 0:
            path.extend(path.path.c_max * 10.0**-DECADES)
        return path


class FoldPath:
    """The predictions of one fold along `c`: `P(c) = P_i + (c - c_i) D_i` on the piece below knot `i`.

    Above the first knot only unpenalised features are fitted, and predictions are constant.
    """

    def __init__(self, path: LassoPath, X_test: np.ndarray, y_test: np.ndarray):
        self.path = path
        self.X = np.asarray(X_test, np.float64) - path.x_mean
        self.target = np.asarray(y_test, np.float64)
        self._begin()

    def _begin(self) -> None:
        self.knots: list[Knot] = []
        self.c = np.empty(0)
        self.predictions = np.empty((0, len(self.target)))
        self.directions = np.empty((0, len(self.target)))
        self.active = np.empty(0, int)

    def with_ridge(self, ridge: float) -> FoldPath:
        """The same fold with another ridge, at the top of its path."""
        other = copy.copy(self)
        other.path = self.path.with_ridge(ridge)
        other._begin()
        return other

    def by_ridge(self, c: float, below: bool) -> np.ndarray:
        """The derivative of the predictions `(n_test,)` by the ridge, on one side of `c`."""
        i = int(self.piece(np.array([c]), below)[0])
        if i < 0:
            return np.zeros(len(self.target))
        knot = self.knots[i]
        return self.X @ self.path.ridge_direction(self.path.solution(c, knot), knot.active)

    def extend(self, c_end: float) -> None:
        """Walk the path down to `c_end`."""
        if self.knots and c_end >= self.knots[-1].c:
            return
        # the old end is no kink; the walk starts by reporting it again
        known = max(len(self.knots) - 1, 0)
        new = self.path.advance(min(c_end, self.path.c_max))
        self.knots = self.knots[:known] + new
        self.c = np.array([knot.c for knot in self.knots])
        moves = np.zeros(self.path.p, bool)
        moves[np.concatenate([knot.active for knot in new])] = True
        place = np.cumsum(moves) - 1
        both = np.zeros((2, len(new), np.count_nonzero(moves)))  # values and slopes of the features that move at all
        for i, knot in enumerate(new):
            both[:, i, place[knot.active]] = knot.values, knot.slopes
        ahead = both @ self.X[:, moves].T
        self.predictions = np.concatenate([self.predictions[:known], ahead[0] + self.path.y_mean])
        self.directions = np.concatenate([self.directions[:known], ahead[1]])
        self.active = np.concatenate([self.active[:known], [len(knot.active) for knot in new]])

    def kinks(self) -> np.ndarray:
        """The `c` of every kink found so far."""
        return np.array([knot.c for knot in self.knots if knot.kink])

    def piece(self, c: np.ndarray, below: bool) -> np.ndarray:
        """The index of the knot above each `c` (-1 above the path); on a knot, of the piece below it or above it."""
        count = np.searchsorted(-self.c, -c, side="right" if below else "left")
        return np.minimum(count, len(self.c)) - 1

    def at(self, c: np.ndarray, below: bool) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and their derivative by `c`, of shape `(m, n_test)`, from the piece on one side of each `c`."""
        i = self.piece(c, below)
        inside = np.maximum(i, 0)
        direction = np.where((i >= 0)[:, None], self.directions[inside], 0.0)
        return self.predictions[inside] + (c - self.c[inside])[:, None] * direction, direction

    def degrees(self, c: np.ndarray, below: bool) -> np.ndarray:
        """The degrees of freedom on one side of each `c`: active features, and the intercept."""
        i = self.piece(c, below)
        unpenalised = np.count_nonzero(self.path.v[np.flatnonzero(self.knots[0].coef)] == 0)
        return np.where(i >= 0, self.active[np.maximum(i, 0)], unpenalised) + float(self.path.fit_intercept)

    def coefficients(self, c: float) -> np.ndarray:
        """The solution at `c`."""
        i = int(self.piece(np.array([c]), True)[0])
        return self.path.solution(c, self.knots[i]) if i >= 0 else self.knots[0].coef
