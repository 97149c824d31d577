"""The contract of criteria: how good a hyperparameter is, as a path differentiable function of it.

Every criterion fits on some rows and judges on others. What distinguishes them is where those rows come from, so a
search sees one thing: a list of folds.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from ...base.programs import Shared
from ...core import AbstractProblem, AbstractSolver, Solution
from ...solving import solve
from .folds import Fold, taken
from .losses import Loss, predict
from .workers import AbstractWorkers, InTurn

BUDGET = 1000  # inner solves to spend at most, where nobody says otherwise
FoldProgram = Callable[[Any, Array, Any], tuple[Any, Any, tuple[Any, Any]]]


class DeclaredLasso(NamedTuple):
    """A LASSO or an elastic net with one penalty for all features, on the weighted rows of the criterion.

    `theta` is `(log alpha, l1_ratio)` where it is an elastic net, else `log alpha`.
    """

    elastic_net: bool
    fit_intercept: bool


class AbstractCriterion(abc.ABC):
    """A mean over folds of the loss of the solution fitted on the other rows.

    Where `batched`, a call solves folds of one shape together under `vmap`, else one after another. `solver` solves the
    inner problems; `None`: that of the problem.

    What a criterion declares of itself, for searches to use:

    - `of_predictions`: the value of a fold is the `loss` (or a `score`) of the predictions of the inner solution, and
      depends on nothing else. An exact path knows such a criterion wherever it knows the solutions.
    - `declared`: it is a LASSO or an elastic net on its own rows, in which strengths; nothing need be read then.
    - `span`: the range worth searching for a single hyperparameter, in coordinates of the search, where it is known.
    - `workers`: who solves the folds.
    - `at_once`: exact paths are walked down their usual range in one go, one fold a worker; nothing is reported, kept
      or cut short on the way.
    """

    batched: bool = False
    solver: AbstractSolver | None = None
    of_predictions: bool = False
    declared: DeclaredLasso | None = None
    span: tuple[float, float] | None = None
    workers: AbstractWorkers = InTurn()
    at_once: bool = False

    X: Array
    y: Array
    loss: Loss
    folds: list[Fold]

    @abc.abstractmethod
    def problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        """The inner problem on the training rows `X`, `y` at the hyperparameter `theta`; `weights` of the rows."""

    def predict(self, value: Any, X: Any) -> Array:
        """What the inner solution `value` predicts for the rows `X`."""
        return predict(value, X)

    def fold_loss(self, data: tuple[Any, Any], rows: tuple[Any, Any], theta: Any, init: Any, *, throw: bool) -> Any:
        """The loss of one fold and the inner `Solution`, for `rows = (train, test)`; traceable in everything."""
        train, test = rows
        X, y, weights = taken(*data, train)
        solution: Solution = solve(self.checked_problem(X, y, theta, weights), self.solver, init, throw=throw)
        X, y, weights = taken(*data, test)
        prediction = self.predict(solution.value, X)
        if weights is None:
            loss = self.loss(prediction, y)
        else:  # a mean over one row is the loss of that row
            loss = weights @ jax.vmap(lambda p, t: self.loss(p[None], t[None]))(prediction, y)
        if jnp.shape(loss) != ():
            raise ValueError(f"`loss` must return a scalar, and returned shape {jnp.shape(loss)}: take its mean.")
        return loss, solution

    def evaluator(self, natural: Callable[[Array], Any]) -> FoldProgram:
        """The compiled evaluation of one fold; `natural` makes the hyperparameter of a flat theta."""
        program = Shared(partial(evaluate_fold, self, natural))
        return lambda rows, theta, init: program((self.X, self.y), rows, theta, init)

    def concrete(self, k: int, rows: tuple[Any, Any, Any], theta: Any) -> AbstractProblem:
        """The inner problem of fold `k`, whose training rows, responses and weights are `rows`, at a known `theta`."""
        del k
        X, y, weights = rows
        return self.problem(X, y, theta, weights)

    def initial(self, k: int, theta: Any) -> Any:
        """Where a solve of fold `k` begins that knows of no solution nearby."""
        X, y, weights = taken(self.X, self.y, jnp.asarray(self.folds[k].train))
        return self.problem(X, y, theta, weights).initial()

    def filled(self) -> AbstractCriterion:
        """The same criterion for compiled programs, on data of one of few sizes where that lets searches share them."""
        return self

    def nearer(self, start: np.ndarray) -> np.ndarray:
        """A better place to begin a descent than `start`, in coordinates of the search, where the criterion has one."""
        return start

    def budget(self, several: bool) -> int:
        """Inner solves to spend at most, by default; `several` hyperparameters."""
        del several
        return BUDGET

    def solved_by(self, solver: AbstractSolver | None) -> Self:
        """The same criterion, its inner problems solved by `solver` (one of `icg.solvers`)."""
        if solver is not None and not isinstance(solver, AbstractSolver):
            raise TypeError(f"`solver` must be one of icg.solvers, and is a {type(solver).__name__}.")
        other = copy.copy(self)
        other.solver = solver
        return other

    def checked_problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        """`problem`, or a `TypeError` where the model returns something else."""
        problem = self.problem(X, y, theta, weights)
        if not isinstance(problem, AbstractProblem):
            raise TypeError(
                f"`model` must return a problem such as icg.lasso(...), and returned {type(problem).__name__}."
            )
        return problem

    def alike(self) -> list[tuple[list[int], np.ndarray, np.ndarray]]:
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
        for ks, train, test in self.alike():
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


class FoldLoss(Protocol):
    """What `evaluate` asks of a criterion."""

    def fold_loss(self, data: Any, rows: Any, theta: Any, init: Any, *, throw: bool) -> tuple[Array, Solution]:
        """The loss of one fold and the inner solution; traceable."""
        ...


def evaluate_fold(
    criterion: FoldLoss, natural: Callable[[Array], Any], data: Any, rows: Any, theta: Array, init: Any
) -> tuple[Array, Array, tuple[Array, Any]]:
    """The loss of one fold, its gradient by the flat `theta`, the flat root of the inner equation and its status."""

    def loss(flat: Array) -> Any:
        value, solution = criterion.fold_loss(data, rows, natural(flat), init, throw=False)
        return value, (ravel_pytree(solution.root)[0], solution.status)

    if theta.size == 1:
        value, slope, aux = jax.jvp(loss, (theta,), (jnp.ones_like(theta),), has_aux=True)
        return value, jnp.reshape(slope, 1), aux
    (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(theta)
    return value, gradient, aux


def _mapped(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda rows: lax.map(function, rows)
