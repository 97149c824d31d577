"""The exact path of a LASSO on weighted folds: the global minimum, without compiling anything."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from ..tuning.criteria.losses import CONVEX, Loss
from ..tuning.exact.fold_path import FoldPath
from ..tuning.exact.one_strength import tune_exactly
from ..tuning.exact.path import LassoPath, PathBroken
from ..tuning.exact.recognise import OneStrength
from ..tuning.exact.strength import Strength
from ..tuning.exact.two_strengths import tune_elastic_net
from ..tuning.result import TuneResult
from ..tuning.search.coordinates import Coordinates
from ..tuning.search.journal import Journal
from .families import DECADES
from .folds import Folds

TOLERANCE = 5e-7
GAP = 1e-10  # relative duality gap that the end of a path must reach to be taken as the solution


class CentredRows:
    """Rows with weights as rows without: centred at the weighted mean, and scaled by the root of the weight."""

    def __init__(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, fit_intercept: bool):
        used = weights > 0
        shares = weights[used] / weights.sum()
        X, y = X[used], y[used]
        self.x_mean = shares @ X if fit_intercept else np.zeros(X.shape[1])
        self.y_mean = float(shares @ y) if fit_intercept else 0.0
        roots = np.sqrt(shares * len(y))
        centred = X - self.x_mean
        # a constant column leaves nothing but the rounding of its own mean
        constant = np.linalg.norm(centred, axis=0) <= 1e-14 * np.sqrt(len(y)) * np.abs(self.x_mean)
        centred[:, constant] = 0.0
        self.X, self.y = roots[:, None] * centred, roots * (y - self.y_mean)

    def path(self) -> LassoPath:
        """The path of the LASSO on these rows."""
        return LassoPath(self.X, self.y, np.ones(self.X.shape[1]), False)


def applies(loss: Loss, folds: Folds) -> bool:
    """Whether the exact path knows the criterion: it takes weights within a fold for a squared loss only."""
    return loss is CONVEX["squared"] or all(np.ptp(row[row > 0]) == 0 for side in folds for row in side)


def tune_lasso(
    X: np.ndarray, y: np.ndarray, folds: Folds, loss: Loss, fit_intercept: bool, n_jobs: int | None, journal: Journal
) -> TuneResult:
    """The best `log(alpha)` over all penalties below the one that empties every fold.

    Raises:
        PathBroken: a degenerate knot; the caller searches by solves instead.
    """
    walk = partial(_walked, X, y, loss, fit_intercept)
    pairs = list(zip(folds.train, folds.test, strict=True))
    if n_jobs is None:
        paths: Any = [walk(*pair) for pair in pairs]
    else:
        paths = Parallel(n_jobs=n_jobs)(delayed(walk)(*pair) for pair in pairs)
    top = max(path.path.c_max for path in paths)
    start = Coordinates(np.log(top) if top > 0 else 0.0)
    known = OneStrength(Strength(True, 0.0, 1.0), paths, lambda theta: [])
    return tune_exactly(known, loss, None, start, TOLERANCE, journal)


def tune_net(
    X: np.ndarray, y: np.ndarray, folds: Folds, fit_intercept: bool, tol: float, n_jobs: int | None, journal: Journal
) -> TuneResult | None:
    """`(log(alpha), l1_ratio)` of least squared error, or `None` where no feature correlates with the response.

    With `n_jobs` the paths of ridges a decade apart are walked in that many processes.

    Raises:
        PathBroken: a degenerate knot; the caller searches by solves instead.
    """
    pairs = zip(folds.train, folds.test, strict=True)
    paths = [fold_path(X, y, CONVEX["squared"], fit_intercept, train, test) for train, test in pairs]
    if max(path.path.c_max for path in paths) <= 0:
        return None

    def spread(walk: Any, ridges: Any) -> Any:
        return Parallel(n_jobs=n_jobs)(delayed(walk)(ridge) for ridge in ridges)

    return tune_elastic_net(paths, tol, journal, None if n_jobs is None else spread)


def _walked(
    X: np.ndarray, y: np.ndarray, loss: Loss, fit_intercept: bool, train: np.ndarray, test: np.ndarray
) -> FoldPath:
    """The path of one fold down four decades; a task for another process."""
    path = fold_path(X, y, loss, fit_intercept, train, test)
    if path.path.c_max > 0:
        path.extend(path.path.c_max * 10.0**-DECADES)
    return path


def fold_path(
    X: np.ndarray, y: np.ndarray, loss: Loss, fit_intercept: bool, train: np.ndarray, test: np.ndarray
) -> FoldPath:
    """One fold at the top of its path."""
    judged = test > 0
    if loss is CONVEX["squared"]:  # a weighted mean of squares is a plain mean of scaled squares
        rows = CentredRows(X, y, train, fit_intercept)
        scale = np.sqrt(test[judged] * judged.sum())
        return FoldPath(rows.path(), scale[:, None] * (X[judged] - rows.x_mean), scale * (y[judged] - rows.y_mean))
    fitted = train > 0
    return FoldPath(LassoPath(X[fitted], y[fitted], np.ones(X.shape[1]), fit_intercept), X[judged], y[judged])


def coefficients(
    X: np.ndarray, y: np.ndarray, weights: np.ndarray, fit_intercept: bool, alpha: float, ridge: float = 0.0
) -> tuple[np.ndarray, float] | None:
    """Coefficients and intercept of the LASSO on all rows at `alpha`, or `None` where the path does not reach there.

    With a `ridge`, of the elastic net.
    """
    rows = CentredRows(X, y, weights, fit_intercept)
    path = rows.path().with_ridge(ridge)
    try:
        coef = np.zeros(X.shape[1]) if alpha >= path.c_max else path.advance(alpha)[-1].coef
    except PathBroken:
        return None
    if path.gap(coef, alpha) > GAP:
        return None
    return coef, rows.y_mean - float(rows.x_mean @ coef)
