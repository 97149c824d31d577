"""celer, by callback."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import numpy as np

from ...equations import Composite
from ...penalties import ElasticNet, GroupL2, Logistic
from .library import AbstractLibrary, PlainProblem


class Celer(AbstractLibrary):
    """celer's coordinate descent with working sets and dual extrapolation, as a second opinion or to compare with.

    It solves the LASSO and the elastic net with one positive penalty a feature, the group LASSO, and logistic
    regression without intercept and sample weights; dense and sparse.

    Args:
        tolerance: see `AbstractLibrary`; `None` means 1e-7 in float64 and 3e-4 in float32.
        max_steps: outer iterations.

    Raises:
        ImportError: celer is not installed. TypeError: a problem it does not solve.

    Source: Massias, Gramfort, Salmon, Celer: a fast solver for the lasso with dual extrapolation, ICML 2018.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    module: ClassVar[str] = "celer"

    def lacks(self, problem: Composite) -> str | None:
        if not isinstance(problem.smooth, Logistic):
            return None
        if isinstance(problem.penalty, ElasticNet | GroupL2):
            return "celer has logistic regression with the plain l1 norm only"
        if problem.smooth.fit_intercept or problem.smooth.sample_weight is not None:
            return "celer's logistic regression has no intercept and no sample weights"
        return None

    def fit(self, plain: PlainProblem, gap: float) -> tuple[np.ndarray, float]:
        celer = self.load()
        require_positive(plain.alpha, "celer")
        if plain.logistic:
            scaled = plain.per_column(plain.alpha)
            model = celer.LogisticRegression(C=1 / len(plain.y), tol=gap, max_iter=self.max_steps)
            return model.fit(scaled.X, plain.y).coef_.ravel() / plain.alpha, 0.0
        options = {"fit_intercept": plain.fit_intercept, "tol": gap, "max_iter": self.max_steps}
        if plain.groups is not None:
            groups = [list(np.flatnonzero(plain.groups == g)) for g in range(len(plain.alpha))]
            model = celer.GroupLasso(groups=groups, alpha=1.0, weights=plain.alpha, **options)
        elif np.any(plain.ridge > 0):
            total = plain.alpha + plain.ridge
            model = celer.ElasticNet(alpha=1.0, l1_ratio=common(plain.alpha / total), weights=total, **options)
        else:
            model = celer.Lasso(alpha=1.0, weights=plain.alpha, **options)
        model.fit(plain.X, plain.y)
        return model.coef_, float(model.intercept_)


def require_positive(alpha: np.ndarray, library: str) -> None:
    """Raise `ValueError` for a penalty of zero."""
    if np.any(alpha <= 0):
        raise ValueError(f"{library} needs every penalty alpha to be positive; use the default solver for alpha = 0.")


def common(ratios: np.ndarray) -> float:
    """The one `l1_ratio` of all features, or `ValueError`."""
    if np.ptp(ratios) > 1e-12:
        raise ValueError("The outside elastic nets have one l1_ratio for all features; use the default solver.")
    return float(ratios[0])
