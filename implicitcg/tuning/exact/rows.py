"""Rows with weights as rows without, and the fit on them by the end of a path: nothing is compiled."""

from __future__ import annotations

import numpy as np

from .path import LassoPath, PathBroken

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

    def path(self, penalties: np.ndarray | None = None) -> LassoPath:
        """The path of the LASSO on these rows, with weights of the `penalties` by feature, or equal ones."""
        return LassoPath(self.X, self.y, np.ones(self.X.shape[1]) if penalties is None else penalties, False)


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
