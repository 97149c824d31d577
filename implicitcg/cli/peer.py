"""The same choice made by scikit-learn's `LassoCV`, on the same rows and folds."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fit import Split, penalty_for_nothing

PEER_GRID = 1000
RANGE = 1e-3  # of the penalty that leaves nothing, down to which the grid goes: scikit-learn's default
PEER_TOLERANCE = 1e-8  # its default, 1e-4, solves so loosely that its errors come out below those of the true solutions


@dataclass(frozen=True)
class Peer:
    """What `LassoCV` chose: its own numbers, and how many of its solves did not converge."""

    alpha: float
    error: float
    standard_error: float
    support: int
    solves: int
    unconverged: int
    seconds: float


def lasso_cv(X: NDArray, y: NDArray, splits: list[Split]) -> Peer:
    """Fit `LassoCV` on a geometric grid of `PEER_GRID` penalties, in double precision, to `PEER_TOLERANCE`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LassoCV

    X, y = X.astype(np.float64), y.astype(np.float64)
    highest = penalty_for_nothing(X, y)
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        grid: Any = np.geomspace(highest, RANGE * highest, PEER_GRID)
        found = LassoCV(alphas=grid, cv=splits, tol=PEER_TOLERANCE, max_iter=100_000).fit(X, y)
    seconds = time.perf_counter() - begin
    errors = found.mse_path_[np.argmin(found.mse_path_.mean(axis=1))]
    unconverged = sum(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return Peer(
        float(found.alpha_),
        float(errors.mean()),
        float(errors.std(ddof=1) / np.sqrt(len(errors))),
        int(np.count_nonzero(found.coef_)),
        PEER_GRID * len(splits) + 1,
        unconverged,
        seconds,
    )
