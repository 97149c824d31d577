"""The work behind `implicitcg tune`: search the penalty by cross-validation, then fit and certify on all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..core import Certificate, certify, solve
from ..problems import lasso
from ..tuning import CrossValidation, TuneResult, tune
from .mistakes import Mistake, closest

Split = tuple[NDArray[np.intp], NDArray[np.intp]]
Model = Callable[[Any, Any, Any], Any]


def _lasso(X: Any, y: Any, log_alpha: Any) -> Any:
    return lasso(X, y, jnp.exp(log_alpha), fit_intercept=True)


MODELS: dict[str, Model] = {"lasso": _lasso}


@dataclass(frozen=True)
class Fit:
    """A tuned model on the design matrix: the search, the coefficients on all rows and their certificate."""

    search: TuneResult
    alpha: float
    coef: NDArray[np.float64]
    intercept: float
    certificate: Certificate

    @property
    def support(self) -> NDArray[np.intp]:
        """The indices of the coefficients that are not zero, the largest first."""
        order = np.argsort(-np.abs(self.coef), kind="stable")
        return order[: np.count_nonzero(self.coef)]


def model_named(name: str) -> Model:
    """The model `name`, or a `Mistake` that lists those there are."""
    if name not in MODELS:
        raise Mistake(f"There is no model {name!r}.{closest(name, MODELS)} Models: {', '.join(MODELS)}.")
    return MODELS[name]


def folds(n: int, count: int, seed: int) -> list[Split]:
    """`count` folds of `n` shuffled rows, as scikit-learn's `KFold` deals them."""
    from sklearn.model_selection import KFold

    return list(KFold(count, shuffle=True, random_state=seed).split(np.zeros((n, 1))))


def penalty_for_nothing(X: NDArray, y: NDArray) -> float:
    """The smallest penalty at which every coefficient is zero: `max_j |x_j^T (y - mean y)| / n` for centred columns."""
    return float(np.max(np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))) / len(y))


def tuned(model: Model, X: NDArray, y: NDArray, splits: list[Split], *, progress: bool = False) -> Fit:
    """Search `log(alpha)` over the splits, then solve on all rows at the best value.

    Raises:
        SolveError: the solve on all rows failed.
    """
    criterion = CrossValidation(model, X, y, cv=splits)
    start = jnp.log(jnp.asarray(0.1 * penalty_for_nothing(X, y), X.dtype))
    search = tune(criterion, start, progress=progress)
    problem = model(X, y, search.theta)
    solution = solve(problem)
    coef = np.asarray(solution.value.coef, np.float64)
    certificate = certify(problem, solution)
    return Fit(search, float(np.exp(search.theta)), coef, float(solution.value.intercept), certificate)
