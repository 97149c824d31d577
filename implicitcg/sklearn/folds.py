"""Folds as weights of rows: one weight to fit with and one to judge with, for every fold and row.

A row outside a fold has weight zero, so that all folds have one shape and one compiled program serves them all, sample
weights included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import check_cv

from ..tuning.criteria.losses import CONVEX, Loss


class Folds(NamedTuple):
    """Weights `(k, n)`: `train` to fit with, `test` to judge with; a criterion is `mean_k sum_i test_ki loss_i`."""

    train: np.ndarray
    test: np.ndarray


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


def folds_of(cv: Any, X: Any, y: np.ndarray, weights: np.ndarray, *, classifier: bool, per_variance: bool) -> Folds:
    """The folds that scikit-learn deals for `cv`, weighted.

    Raises:
        ValueError: too few rows, or a fold without weight on one of its sides.
    """
    n = len(y)
    splitter: Any = check_cv(5 if cv is None else cv, y, classifier=classifier)
    splits = list(splitter.split(np.zeros((n, 1)), y))
    train, test = np.zeros((len(splits), n)), np.zeros((len(splits), n))
    for k, (fit, judge) in enumerate(splits):
        # a row that a splitter repeats counts as often
        np.add.at(train[k], fit, weights[fit])
        np.add.at(test[k], judge, weights[judge])
    empty = (train.sum(axis=1) <= 0) | (test.sum(axis=1) <= 0)
    if empty.any():
        raise ValueError(
            f"Fold {int(np.argmax(empty))} of {len(splits)} has no weight to fit or to judge with: its rows have "
            "sample_weight 0. Leave such rows out, or shuffle the folds with cv=KFold(..., shuffle=True)."
        )
    if classifier and any(np.ptp(y[row > 0]) == 0 for row in train):
        raise ValueError(
            "Some fold leaves only one class to fit on. Use fewer folds, or a stratified splitter (the default) with "
            "at least as many samples of each class as folds."
        )
    test /= test.sum(axis=1, keepdims=True)
    if per_variance:
        means = test @ y
        variances = np.maximum(test @ np.square(y) - np.square(means), np.finfo(float).tiny)
        test /= variances[:, None]
    return Folds(train, test)
