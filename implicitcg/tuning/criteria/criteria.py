"""Criteria: how good a hyperparameter is, as a path differentiable function of it.

Both criteria fit on some rows and judge on others. What distinguishes them is only where those rows come from, so the
search sees one thing: a list of folds.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import ArrayLike, Float

from ...core import AbstractProblem, AbstractSolver, Solution
from ...linear import design
from ...solving import solve
from .losses import Loss, named, predict


class Fold(NamedTuple):
    """Rows to fit on and rows to judge on, as index arrays."""

    train: np.ndarray
    test: np.ndarray


class AbstractCriterion(abc.ABC):
    """A mean over folds of the loss of the solution fitted on the other rows.

    `X` and `y` are the data that `Fold` indexes; `loss(prediction, target)` is a scalar. Where `batched`, a call solves
    folds of one shape together under `vmap`, else one after another. `solver` solves the inner problems; `None`: that
    of the problem.
    """

    batched: bool = False
    solver: AbstractSolver | None = None

    X: Array
    y: Array
    loss: Loss
    folds: list[Fold]

    @abc.abstractmethod
    def problem(self, X: Any, y: Any, theta: Any) -> AbstractProblem:
        """The inner problem on the training rows `X`, `y` at the hyperparameter `theta`."""

    def fold_loss(self, data: tuple[Any, Any], rows: tuple[Any, Any], theta: Any, init: Any, *, throw: bool) -> Any:
        """The loss of one fold and the inner `Solution`, for `rows = (train, test)`; traceable in everything."""
        X, y = data
        train, test = rows
        problem = self.checked_problem(design.take_rows(X, train), jnp.take(y, train, axis=0), theta)
        solution: Solution = solve(problem, self.solver, init, throw=throw)
        loss = self.loss(predict(solution.value, design.take_rows(X, test)), jnp.take(y, test, axis=0))
        if jnp.shape(loss) != ():
            raise ValueError(f"`loss` must return a scalar, and returned shape {jnp.shape(loss)}: take its mean.")
        return loss, solution

    def solved_by(self, solver: AbstractSolver | None) -> Self:
        """The same criterion, its inner problems solved by `solver` (one of `icg.solvers`)."""
        if solver is not None and not isinstance(solver, AbstractSolver):
            raise TypeError(f"`solver` must be one of icg.solvers, and is a {type(solver).__name__}.")
        other = copy.copy(self)
        other.solver = solver
        return other

    def checked_problem(self, X: Any, y: Any, theta: Any) -> AbstractProblem:
        """`problem`, or a `TypeError` where the model returns something else."""
        problem = self.problem(X, y, theta)
        if not isinstance(problem, AbstractProblem):
            raise TypeError(
                f"`model` must return a problem such as icg.lasso(...), and returned {type(problem).__name__}."
            )
        return problem

    def groups(self) -> list[tuple[list[int], np.ndarray, np.ndarray]]:
        """Folds of one shape together: their numbers, and their rows stacked, so that each shape compiles once."""
        shapes: dict[tuple[int, int], list[int]] = {}
        for k, fold in enumerate(self.folds):
            shapes.setdefault((len(fold.train), len(fold.test)), []).append(k)
        return [
            (ks, np.stack([self.folds[k].train for k in ks]), np.stack([self.folds[k].test for k in ks]))
            for ks in shapes.values()
        ]

    def fold_values(self, theta: Any) -> Float[Array, " k"]:
        """The loss of every fold at `theta`, differentiable; a failed inner solve raises with its advice."""
        values: list[Any] = [None] * len(self.folds)
        for ks, train, test in self.groups():
            if len(ks) == 1:
                values[ks[0]] = self.fold_loss((self.X, self.y), (train[0], test[0]), theta, None, throw=True)[0]
                continue
            over_folds = jax.vmap if self.batched else _mapped
            losses = over_folds(lambda rows: self.fold_loss((self.X, self.y), rows, theta, None, throw=True)[0])(
                (jnp.asarray(train), jnp.asarray(test))
            )
            for i, k in enumerate(ks):
                values[k] = losses[i]
        return jnp.stack(values)

    def __call__(self, theta: Any) -> Float[Array, ""]:
        """The criterion at `theta`; works under `jit`, `grad` and the like."""
        return jnp.mean(self.fold_values(theta))


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

    def problem(self, X: Any, y: Any, theta: Any) -> AbstractProblem:
        """The model's problem; it brings its own training data."""
        del X, y
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

    Raises:
        ValueError: data of wrong shape, or not finite; too many folds; an empty fold; an unknown loss.
    """

    def __init__(
        self,
        model: Callable[[Any, Any, Any], AbstractProblem],
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        cv: int | Any = 5,
        loss: str | Loss = "squared",
        *,
        batched: bool = False,
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
        if sparse and any(len(np.unique(rows)) < len(rows) for fold in self.folds for rows in fold):
            raise ValueError("A fold repeats a row, which a sparse X does not support. Use folds without repetition.")

    def problem(self, X: Any, y: Any, theta: Any) -> AbstractProblem:
        """The model on the training rows."""
        return self.model(X, y, theta)


def data_of(X: Any, y: Any) -> tuple[Array, Array]:
    """The data checked: `y` of shape `(n,)`, or `(n, t)` for several tasks."""
    made, y = design.with_responses(X, y) if np.ndim(y) == 2 else design.with_response(X, y)
    return design.as_given(made), y


def _mapped(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda rows: lax.map(function, rows)


def split(cv: int | Any, X: np.ndarray, y: np.ndarray) -> list[Fold]:
    """The folds that `cv` asks for.

    Raises:
        ValueError: fewer than two folds, more folds than rows, an empty or out-of-range fold.
    """
    n = len(y)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if not 2 <= cv <= n:
            raise ValueError(f"cv={cv} folds of {n} rows: choose between 2 and {n}.")
        tests: Iterable[np.ndarray] = np.array_split(np.arange(n), int(cv))
        return [Fold(np.setdiff1d(np.arange(n), test), test) for test in tests]
    pairs: Any = cv.split(X, y) if hasattr(cv, "split") else cv  # pyright: ignore[reportAttributeAccessIssue]
    try:
        folds = [Fold(np.arange(n)[train], np.arange(n)[test]) for train, test in pairs]
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"cv={cv!r} is neither a number of folds, nor a scikit-learn splitter, nor a list of (train, test) index "
            f"arrays of {n} rows: {error}"
        ) from error
    if not folds or any(len(fold.train) == 0 or len(fold.test) == 0 for fold in folds):
        raise ValueError("Some fold has no row to fit on or none to judge on; every fold needs both.")
    return folds
