"""The models by name: which estimator of `implicitcg.sklearn` tunes each, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .features import Recipe
from .mistakes import Mistake, closest

ESTIMATORS = {
    "lasso": "GradientLassoCV",
    "elastic_net": "GradientElasticNetCV",
    "weighted_lasso": "GradientWeightedLassoCV",
    "linear_svr": "GradientLinearSVRCV",
    "sparse_logistic": "GradientSparseLogisticCV",
    "group_lasso": "GradientGroupLassoCV",
    "multitask_lasso": "GradientMultiTaskLassoCV",
}
NAMES = tuple(ESTIMATORS)


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
