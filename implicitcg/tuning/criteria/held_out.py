"""Criteria on held-out rows: given ones, or those of every fold in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float

from ...base import checks
from ...core import AbstractProblem
from ...linear import design
from .criterion import AbstractCriterion
from .folds import Fold, split, weighted
from .losses import Loss, named


@final
class HoldOut(AbstractCriterion):
    """The loss on held-out data: `theta -> loss(X_val w(theta), y_val)`.

    Args:
        model: `theta -> problem`, for example `lambda t: icg.lasso(X, y, jnp.exp(t))`.
        X_val: held-out features `(n, p)`, dense or sparse.
        y_val: held-out targets `(n,)`, or `(n, t)` for several tasks.
        loss: `"squared"` (the mean of squared errors), `"absolute"`, `"huber"`, `"logistic"`, `"hinge"`, or a callable
            `(prediction, target) -> scalar`.

    Raises:
        ValueError: data of wrong shape, or not finite; an unknown loss.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> criterion = icg.tuning.HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X, y)
        >>> float(criterion(jnp.log(0.25)))
        0.25
    """

    of_predictions = True

    def __init__(
        self,
        model: Callable[[Any], AbstractProblem],
        X_val: Float[ArrayLike, "n p"],
        y_val: Float[ArrayLike, " n"],
        loss: str | Loss = "squared",
    ):
        if not callable(model):
            raise TypeError(f"`model` must be a function theta -> problem, and is a {type(model).__name__}.")
        self.model = model
        self.X, self.y = data_of(X_val, y_val)
        self.loss = named(loss)
        self.folds = [Fold(np.arange(0), np.arange(len(self.y)))]

    def problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        """The model's problem; it brings its own training data."""
        del X, y, weights
        return self.model(theta)


@final
class CrossValidation(AbstractCriterion):
    """The mean over folds of the loss on the fold, of the solution fitted on the others.

    Args:
        model: `(X, y, theta) -> problem`, for example `lambda X, y, t: icg.lasso(X, y, jnp.exp(t))`.
        X: features `(n, p)`, dense or sparse (a sparse one reaches `model` as one of `icg.designs`); y: targets `(n,)`.
        cv: a number of contiguous folds without shuffling (those of scikit-learn's `LassoCV`), a scikit-learn splitter,
            (repeated, stratified, grouped...), or the folds themselves, a list of `(train, test)` index arrays.
        batched: whether a call solves folds of one shape together under `vmap`; quicker on accelerators, slower on
            CPUs, where the slowest fold sets the number of steps of all. `tune` always solves them one by one, warm.
        loss: as in `HoldOut`. Folds count equally, as in `LassoCV(...).mse_path_.mean(axis=1)`.
        sample_weight: one for each row `(n,)`, nonnegative. They weigh rows in the losses of the folds, and in the fits
            through the model, which is then called with all rows, `(X, y, theta, weights) -> problem`; the weights are
            zero for rows that are held out.

    Raises:
        ValueError: data of wrong shape, or not finite; too many folds; an empty fold; an unknown loss.
    """

    of_predictions = True

    def __init__(
        self,
        model: Callable[..., AbstractProblem],
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        cv: int | Any = 5,
        loss: str | Loss = "squared",
        *,
        batched: bool = False,
        sample_weight: Float[ArrayLike, " n"] | None = None,
    ):
        if not callable(model):
            raise TypeError(f"`model` must be a function (X, y, theta) -> problem, and is a {type(model).__name__}.")
        self.model = model
        self.X, self.y = data_of(X, y)
        self.loss = named(loss)
        self.batched = batched
        sparse = not isinstance(self.X, Array)
        # splitters count rows and may read `y`; a column of zeros stands in for a matrix that is never filled
        self.folds = split(cv, np.zeros((len(self.y), 1)) if sparse else np.asarray(self.X), np.asarray(self.y))
        weights = checks.sample_weight(sample_weight, len(self.y), self.X.dtype)
        if weights is not None:
            self.folds = weighted(self.folds, np.asarray(weights))
        elif sparse and any(len(np.unique(rows)) < len(rows) for fold in self.folds for rows in fold):
            raise ValueError("A fold repeats a row, which a sparse X does not support. Use folds without repetition.")

    def problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        """The model on the training rows, and their weights where they have some."""
        return self.model(X, y, theta) if weights is None else self.model(X, y, theta, weights)


def data_of(X: Any, y: Any) -> tuple[Array, Array]:
    """The data checked: `y` of shape `(n,)`, or `(n, t)` for several tasks."""
    made, y = design.with_responses(X, y) if np.ndim(y) == 2 else design.with_response(X, y)
    return design.as_given(made), y
