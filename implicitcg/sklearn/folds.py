"""The folds and the loss that an estimator's arguments mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import check_cv

from ..tuning.criteria.folds import Fold, weighted
from ..tuning.criteria.losses import CONVEX, Loss


class Scoring(NamedTuple):
    """The loss that is minimised, and whether it is divided by the variance of each fold (for R^2)."""

    loss: Loss
    per_variance: bool = False


SCORERS = {
    "neg_mean_squared_error": "squared",
    "neg_mean_absolute_error": "absolute",
    "neg_log_loss": "logistic",
}


def scoring_of(scoring: Any, default: str) -> Scoring:
    """The loss behind `scoring`.

    Raises:
        ValueError: a scorer without useful derivatives, such as accuracy. TypeError: neither name nor callable.
    """
    if scoring is None:
        return Scoring(CONVEX[default])
    if isinstance(scoring, str):
        if scoring == "r2":
            return Scoring(CONVEX["squared"], per_variance=True)
        name = SCORERS.get(scoring, scoring)
        if name in CONVEX:
            return Scoring(CONVEX[name])
        raise ValueError(
            f"scoring={scoring!r} is not a loss that can be differentiated. Choose one of {', '.join(CONVEX)}, "
            f"{', '.join(SCORERS)}, r2, or pass a function (prediction, target) -> scalar of JAX arrays; for any other "
            "scorer take GridSearchCV."
        )
    if callable(scoring):
        return Scoring(scoring)  # pyright: ignore[reportArgumentType]
    raise TypeError(f"scoring is {scoring!r}; give the name of a loss, or (prediction, target) -> scalar.")


def folds_of(cv: Any, y: np.ndarray, weights: np.ndarray, *, classifier: bool, per_variance: bool) -> list[Fold]:
    """The folds that scikit-learn deals for `cv`, weighted.

    Raises:
        ValueError: too few rows, or a fold without weight on one of its sides.
    """
    splitter: Any = check_cv(5 if cv is None else cv, y, classifier=classifier)
    folds = weighted(splitter.split(np.zeros((len(y), 1)), y), weights)
    if classifier and any(np.ptp(y[fold.train > 0]) == 0 for fold in folds):
        raise ValueError(
            "Some fold leaves only one class to fit on. Use fewer folds, or a stratified splitter (the default) with "
            "at least as many samples of each class as folds."
        )
    return [_per_variance(fold, y) for fold in folds] if per_variance else folds


def _per_variance(fold: Fold, y: np.ndarray) -> Fold:
    variance = float(fold.test @ np.square(y) - np.square(fold.test @ y))
    return Fold(fold.train, fold.test / max(variance, np.finfo(float).tiny))
