"""The models beside the LASSO: tuned by the estimators of `implicitcg.sklearn`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fit import Fit, Split
from .mistakes import Mistake, closest

ESTIMATORS = {
    "elastic_net": "GradientElasticNetCV",
    "weighted_lasso": "GradientWeightedLassoCV",
    "linear_svr": "GradientLinearSVRCV",
    "sparse_logistic": "GradientSparseLogisticCV",
}
NAMES = ("lasso", *ESTIMATORS)


def check_model(name: str, *, plot: bool, float32: bool) -> None:
    """Raise a `Mistake` where there is no such model, or it cannot do what else is asked for."""
    if name not in NAMES:
        raise Mistake(f"There is no model {name!r}.{closest(name, NAMES)} Models: {', '.join(NAMES)}.")
    if name == "lasso":
        return
    if plot:
        raise Mistake(
            f"--plot draws the path of a LASSO; {name} has none. In Python, `model.tuning_.plot()` draws its search."
        )
    if float32:
        raise Mistake(f"The model {name} is fitted in double precision: leave --float32 out.")


def tuned_by_estimator(
    name: str, X: NDArray, y: NDArray, splits: list[Split], *, seed: int, progress: bool = False
) -> Fit:
    """Search the hyperparameters of the model `name` over the splits, and fit it on all rows.

    Raises:
        Mistake: a target with other values than 0 and 1 where there are classes. RuntimeError: a solve failed.
    """
    if name == "sparse_logistic" and not np.array_equal(np.unique(y), [0, 1]):
        raise Mistake("sparse_logistic needs a target of 0 and 1, both present. Another model predicts numbers.")
    from .. import sklearn as estimators

    begin = time.perf_counter()
    estimator = getattr(estimators, ESTIMATORS[name])(cv=splits, random_state=seed, verbose=progress)
    found: Any = estimator.fit(X, y.astype(int) if name == "sparse_logistic" else y)
    names = [name for name in ("alpha_", "l1_ratio_", "C_", "epsilon_") if name in vars(found)]
    hyperparameters = {name.removesuffix("_"): np.asarray(getattr(found, name)).tolist() for name in names}
    return Fit(
        search=found.tuning_,
        alpha=float(found.alpha_) if np.ndim(found.alpha_) == 0 else float("nan"),
        coef=np.ravel(found.coef_).astype(np.float64),
        intercept=float(np.ravel(found.intercept_)[0]),
        certificate=found.certificate_,
        seconds=time.perf_counter() - begin - found.tuning_.seconds,
        hyperparameters=hyperparameters,
    )
