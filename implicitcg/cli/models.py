"""The models beside the LASSO: tuned by the estimators of `implicitcg.sklearn`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Recipe
from .fit import Fit, Split, Tasks
from .mistakes import Mistake, closest

ESTIMATORS = {
    "elastic_net": "GradientElasticNetCV",
    "weighted_lasso": "GradientWeightedLassoCV",
    "linear_svr": "GradientLinearSVRCV",
    "sparse_logistic": "GradientSparseLogisticCV",
    "group_lasso": "GradientGroupLassoCV",
    "multitask_lasso": "GradientMultiTaskLassoCV",
}
NAMES = ("lasso", *ESTIMATORS)


def check_model(name: str, *, float32: bool, also: Sequence[str], groups: Sequence[str]) -> None:
    """Raise a `Mistake` where there is no such model, or it cannot do what else is asked for."""
    if name not in NAMES:
        raise Mistake(f"There is no model {name!r}.{closest(name, NAMES)} Models: {', '.join(NAMES)}.")
    if also and name != "multitask_lasso":
        raise Mistake(f"--also names further targets, and {name} has one. Several are for --model multitask_lasso.")
    if name == "multitask_lasso" and not also:
        raise Mistake("multitask_lasso predicts several columns: name the others with --also COLUMN, once for each.")
    if groups and name != "group_lasso":
        raise Mistake(f"--group is for --model group_lasso, and the model is {name}.")
    if name == "group_lasso" and not groups:
        raise Mistake("group_lasso needs groups: --group A,B,C for each; without any it is --model lasso.")
    if float32 and name != "lasso":
        raise Mistake(f"The model {name} is fitted in double precision: leave --float32 out.")


def groups_of(recipe: Recipe, groups: Sequence[str]) -> NDArray[np.intp] | None:
    """A label for every term: that of the group of all its factors, else one of its own; `None` without groups.

    Raises:
        Mistake: a name that is no feature, or that is in two groups.
    """
    if not groups:
        return None
    owner: dict[str, int] = {}
    for g, group in enumerate(groups):
        for name in filter(None, map(str.strip, group.split(","))):
            if name not in recipe.inputs:
                raise Mistake(f"--group {group}: {name!r} is no feature.{closest(name, recipe.inputs)}")
            if owner.setdefault(name, g) != g:
                raise Mistake(f"--group {group}: {name!r} is in another group already.")
    labels = []
    for t, factors in enumerate(recipe.factors):
        owners = {owner.get(recipe.inputs[j], -1) for j in factors}
        labels.append(owners.pop() if len(owners) == 1 and -1 not in owners else len(groups) + t)
    return np.unique(labels, return_inverse=True)[1]


def tuned_by_estimator(
    name: str,
    X: NDArray,
    y: NDArray,
    splits: list[Split],
    *,
    seed: int,
    progress: bool = False,
    groups: NDArray[np.intp] | None = None,
) -> Fit:
    """Search the hyperparameters of the model `name` over the splits, and fit it on all rows.

    Raises:
        Mistake: a target with other values than 0 and 1 where there are classes. RuntimeError: a solve failed.
    """
    if name == "sparse_logistic" and not np.array_equal(np.unique(y), [0, 1]):
        raise Mistake("sparse_logistic needs a target of 0 and 1, both present. Another model predicts numbers.")
    from .. import sklearn as estimators

    begin = time.perf_counter()
    options = {} if groups is None else {"groups": groups}
    estimator = getattr(estimators, ESTIMATORS[name])(cv=splits, random_state=seed, verbose=progress, **options)
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
