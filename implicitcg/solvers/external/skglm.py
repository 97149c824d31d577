"""skglm, by callback."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from ...equations import Composite
from ...penalties import ElasticNet, GroupL2, Logistic
from .celer import common, require_positive
from .library import AbstractLibrary, PlainProblem


class Skglm(AbstractLibrary):
    """skglm's coordinate descent with working sets and Anderson acceleration.

    It solves the LASSO with one penalty a feature, the elastic net with one penalty for all, the group LASSO of a dense
    matrix, and logistic regression, with an intercept too. Its numba code is compiled for half a minute at first use.

    Args:
        tolerance: see `AbstractLibrary`; `None` means 1e-7 in float64 and 3e-4 in float32.
        max_steps: outer iterations.

    Raises:
        ImportError: skglm is not installed. TypeError: a problem it does not solve.

    Source: Bertrand et al., Beyond L1: faster and better sparse models with skglm, NeurIPS 2022.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    module: ClassVar[str] = "skglm"

    def lacks(self, problem: Composite) -> str | None:
        smooth, penalty = problem.smooth, problem.penalty
        if isinstance(smooth, Logistic) and isinstance(penalty, ElasticNet | GroupL2):
            return "skglm's solver is used for the plain l1 norm of logistic regression only"
        if isinstance(smooth, Logistic) and smooth.sample_weight is not None:
            return "skglm's logistic loss has no sample weights"
        return None

    def fit(self, plain: PlainProblem, gap: float) -> tuple[np.ndarray, float]:
        skglm = self.load()
        datafits, penalties, solvers = skglm.datafits, skglm.penalties, skglm.solvers

        n = len(plain.y)
        # skglm stops on the violation of optimality, of the size of a gradient: a hundredth of the gap's root, in the
        # units of the columns
        scale = np.sqrt(_column_squares(plain.X).max() / n) * (
            1.0 if plain.logistic else np.sqrt(plain.y @ plain.y / n)
        )
        options = {"tol": 0.01 * float(np.sqrt(gap)) * float(scale), "max_iter": self.max_steps}
        options["fit_intercept"] = plain.fit_intercept
        if plain.groups is not None:
            order = np.argsort(plain.groups, kind="stable").astype(np.int32)
            starts = np.concatenate([[0], np.cumsum(np.bincount(plain.groups))]).astype(np.int32)
            loss = datafits.QuadraticGroup(starts, order)
            penalty = penalties.WeightedGroupL2(1.0, plain.alpha, starts, order)
            solver = solvers.GroupBCD(max_epochs=10_000, **options)
        else:
            loss = datafits.Logistic() if plain.logistic else datafits.Quadratic()
            penalty = _penalty(penalties, plain)
            solver = solvers.ProxNewton(**options) if plain.logistic else solvers.AndersonCD(**options)
        if plain.logistic and plain.fit_intercept:
            return _logistic_with_intercept(plain, solver, loss, penalties.L1(1.0))
        found: Any = solver.solve(plain.X, plain.y, loss, penalty)
        w = found[0]
        return (w[:-1], float(w[-1])) if plain.fit_intercept else (w, 0.0)


def _logistic_with_intercept(plain: PlainProblem, solver: Any, loss: Any, penalty: Any) -> tuple[np.ndarray, float]:
    """In scaled columns: skglm 0.5 evaluates a weighted penalty on the intercept, too, and fails on its shape."""
    require_positive(plain.alpha, "skglm")
    found: Any = solver.solve(plain.per_column(plain.alpha).X, plain.y, loss, penalty)
    w = found[0]
    return w[:-1] / plain.alpha, float(w[-1])


def _penalty(penalties: Any, plain: PlainProblem) -> Any:
    if not np.any(plain.ridge > 0):
        return penalties.WeightedL1(1.0, plain.alpha)
    total = plain.alpha + plain.ridge
    if np.ptp(total) > 1e-12 * total[0]:
        raise ValueError("skglm's elastic net has one alpha for all features; use the default solver.")
    return penalties.L1_plus_L2(float(total[0]), common(plain.alpha / total))


def _column_squares(X: Any) -> np.ndarray:
    return np.asarray(X.multiply(X).sum(axis=0)).ravel() if not isinstance(X, np.ndarray) else (X**2).sum(axis=0)
