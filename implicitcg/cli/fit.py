"""The work behind `implicitcg tune`: search the penalty by cross-validation, then fit and certify on all rows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import implicitcg  # whose room of estimators is opened, and scikit-learn with it, when it is asked for

from ..core import Certificate
from ..tuning import TuneResult
from .mistakes import Mistake
from .models import ESTIMATORS

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


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


def tuned(
    name: str,
    X: NDArray,
    y: NDArray,
    splits: list[Split],
    *,
    seed: int,
    progress: bool = False,
    groups: NDArray[np.intp] | None = None,
) -> Fit:
    """Search the hyperparameters of the model `name` over the splits by its estimator, fit all rows, and certify.

    Raises:
        Mistake: a target with other values than 0 and 1 where there are classes. RuntimeError: a solve failed.
    """
    if name == "sparse_logistic" and not np.array_equal(np.unique(y), [0, 1]):
        raise Mistake("sparse_logistic needs a target of 0 and 1, both present. Another model predicts numbers.")
    begin = time.perf_counter()
    options = {} if groups is None else {"groups": groups}
    estimator = getattr(implicitcg.sklearn, ESTIMATORS[name])(cv=splits, random_state=seed, verbose=progress, **options)
    found: Any = estimator.fit(X, y.astype(int) if name == "sparse_logistic" else y)
    names = [name for name in ("alpha_", "l1_ratio_", "C_", "epsilon_") if name in vars(found)]
    hyperparameters = {name.removesuffix("_"): np.asarray(getattr(found, name)).tolist() for name in names}
    several = y.ndim == 2
    coefs = np.atleast_2d(found.coef_).astype(np.float64)
    return Fit(
        search=found.tuning_,
        alpha=float(found.alpha_) if np.ndim(found.alpha_) == 0 else float("nan"),
        coef=np.linalg.norm(coefs, axis=0) if several else coefs[0],
        intercept=float(np.ravel(found.intercept_)[0]),
        certificate=found.certificate_,
        seconds=time.perf_counter() - begin - found.tuning_.seconds,
        hyperparameters=hyperparameters,
        tasks=Tasks(coefs, np.asarray(found.intercept_, np.float64)) if several else None,
    )
