"""The work behind `implicitcg tune`: search the penalty by cross-validation, then fit and certify on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..core import Certificate
from ..models import lasso
from ..solving import certify, solve
from ..tuning import CrossValidation, Outcome, TuneResult, tune

Split = tuple[NDArray[np.intp], NDArray[np.intp]]
Model = Callable[[Any, Any, Any], Any]


def _lasso(X: Any, y: Any, log_alpha: Any) -> Any:
    return lasso(X, y, jnp.exp(log_alpha), fit_intercept=True)


LASSO: Model = _lasso


class Tasks(NamedTuple):
    """The coefficients `(t, p)` and the intercepts `(t,)` of several responses."""

    coefs: NDArray[np.float64]
    intercepts: NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A tuned model on the design matrix: the search, the coefficients on all rows and their certificate.

    `seconds` is what the solve on all rows and the certificate took, most of it compilation. `alpha` is NaN where there
    is one for each feature; `hyperparameters` has all of them by name. Of several responses `coef` has the norms over
    them, and `tasks` the coefficients themselves.
    """

    search: TuneResult
    alpha: float
    coef: NDArray[np.float64]
    intercept: float
    certificate: Certificate
    seconds: float
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    tasks: Tasks | None = None

    @property
    def support(self) -> NDArray[np.intp]:
        """The indices of the coefficients that are not zero, the largest first."""
        order = np.argsort(-np.abs(self.coef), kind="stable")
        return order[: np.count_nonzero(self.coef)]


def folds(n: int, count: int, seed: int) -> list[Split]:
    """`count` folds of `n` shuffled rows, as scikit-learn's `KFold` deals them."""
    from sklearn.model_selection import KFold

    return list(KFold(count, shuffle=True, random_state=seed).split(np.zeros((n, 1))))


def penalty_for_nothing(X: NDArray, y: NDArray) -> float:
    """The smallest penalty at which every coefficient is zero: `max_j |x_j^T (y - mean y)| / n` for centred columns."""
    return float(np.max(np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))) / len(y))


def tuned(model: Model, X: NDArray, y: NDArray, splits: list[Split], *, progress: bool = False) -> Fit:
    """Search `log(alpha)` of a LASSO with an intercept over the splits, then fit all rows at the best value.

    The search covers four decades below the penalty at which every fold is empty, and seven when the error still falls
    there. Single precision stops at four: below, the rounding of the data exceeds the penalty.

    Raises:
        RuntimeError: a solve failed, with its advice.
    """
    from ..sklearn.exact import coefficients
    from ..sklearn.oracle import residual_at

    criterion = CrossValidation(model, X, y, cv=splits)
    highest = max(penalty_for_nothing(X[train], y[train]) for train, _ in splits) or 1.0
    start = jnp.asarray(np.log(0.1 * highest), X.dtype)
    for lowest in (1e-4, 1e-7):
        bounds = (float(np.log(lowest * highest)), float(np.log(1.05 * highest)))
        search = tune(criterion, start, bounds=bounds, progress=progress)
        if search.status is not Outcome.at_lower_end or X.dtype == np.float32:
            break
    if search.status is Outcome.inner_failure:
        raise RuntimeError(" ".join([search.reason, *search.notes]))
    begin = time.perf_counter()
    alpha = float(np.exp(search.theta))
    problem = model(X, y, search.theta)
    # the path of all rows ends at its solution, where a solver would first be compiled
    known = coefficients(X, y, np.ones(len(y)), True, alpha) if X.dtype == np.float64 else None
    if known is None:
        solution = solve(problem)
        coef, intercept = np.asarray(solution.value.coef, np.float64), float(solution.value.intercept)
        certificate = certify(problem, solution)
    else:
        coef, intercept = known
        certificate = problem.certificate(coef, float(residual_at(problem, coef)), None)
    seconds = time.perf_counter() - begin
    return Fit(search, alpha, coef, intercept, certificate, seconds, {"alpha": alpha})
