"""The criterion of an estimator: a family on weighted folds, with compiled programs that all fits share.

What a `CrossValidation` of a user's function cannot know is known here: a family holds no data and compares by value,
so a program compiled for one fit serves the next; and small data are filled up with rows and columns of no weight, so
that one program serves all their sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ..core import AbstractProblem
from ..linear import design
from ..solving import solve
from ..tuning.criteria.criterion import AbstractCriterion, FoldProgram, evaluate_fold
from ..tuning.criteria.folds import Fold
from ..tuning.criteria.losses import Loss
from ..tuning.criteria.workers import InTurn
from ..tuning.tune import exactly
from .families import AbstractFamily, Groups, LassoFamily
from .thresholds import THRESHOLDS
from .workers import Joblib


class FamilyFolds(AbstractCriterion):
    """The mean over weighted folds of the loss of a family fitted to the other rows; `theta` is flat.

    Args:
        family: the model.
        X: features `(n, p)`, of NumPy or SciPy; y: responses; groups: of the features, where the family has some.
        weights: of the rows; folds: the same, on either side; loss: of a prediction.
        filler: a valid response, for rows that fill up.
        evaluations: the budget for one hyperparameter and for several; n_jobs: workers, `None` for none.
    """

    of_predictions = True
    at_once = True

    def __init__(
        self,
        family: AbstractFamily,
        X: Any,
        y: np.ndarray,
        groups: Groups | None,
        weights: np.ndarray,
        folds: list[Fold],
        loss: Loss,
        filler: float,
        evaluations: tuple[int, int] = THRESHOLDS.evaluations,
        n_jobs: int | None = None,
    ):
        self.family, self.groups, self.weights, self.folds, self.loss = family, groups, weights, folds, loss
        self.host, self.y = X, jax.device_put(y)
        self.X: Any = jax.device_put(X) if self.dense else design.design_matrix(X)
        self.declared = family.declared()
        self.evaluations, self.filler = evaluations, filler
        self.workers = InTurn() if n_jobs is None else Joblib(n_jobs)
        self.start_nearby: Callable[[], np.ndarray | None] = lambda: None
        self._filled: FamilyFolds | None = None

    def problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        return self.family.problem(X, y, jnp.reshape(theta, -1), weights, self.groups)

    @property
    def dense(self) -> bool:
        """Whether the features are an array."""
        return isinstance(self.host, np.ndarray)

    def predict(self, value: Any, X: Any) -> Array:
        return self.family.predict(value, X)

    def budget(self, several: bool) -> int:
        return self.evaluations[several] * len(self.folds)

    def nearer(self, start: np.ndarray) -> np.ndarray:
        found = self.start_nearby()
        return start if found is None else found

    def filled(self) -> FamilyFolds:
        if self._filled is None:
            self._filled = self._fill()
        return self._filled

    def _fill(self) -> FamilyFolds:
        n, p = self.X.shape
        if not self.dense or n > self.family.rows[-1] or p > THRESHOLDS.columns:
            return self
        other = copy.copy(self)
        rows, columns = min(room for room in self.family.rows if room >= n) - n, THRESHOLDS.columns - p
        y = np.pad(self.y, [(0, rows)] + [(0, 0)] * (self.y.ndim - 1), constant_values=self.filler)
        other.X, other.y = jax.device_put((np.pad(self.X, ((0, rows), (0, columns))), y))
        other.folds = [Fold(*(np.pad(side, (0, rows)) for side in fold)) for fold in self.folds]
        if self.groups is not None:  # every column may be a group; groups without columns have weight one and no effect
            weights = np.pad(
                self.groups.weights, (0, THRESHOLDS.columns - len(self.groups.weights)), constant_values=1.0
            )
            labels = np.pad(self.groups.labels, (0, columns), constant_values=THRESHOLDS.columns - 1)
            other.groups = Groups(*jax.device_put((labels, weights)))
        other._filled = other
        return other

    def theta_filled(self, theta: Any) -> np.ndarray:
        """`theta` for the design as it is filled up."""
        flat = np.reshape(np.asarray(theta), -1)
        return np.pad(flat, (0, self.X.shape[1] - flat.size)) if self.family.per_feature() else flat

    def evaluator(self, natural: Callable[[Array], Any]) -> FoldProgram:
        """The program of the family; one serves all folds, all fits and the fit on all rows."""
        del natural  # coordinates of a family are flat

        def one(rows: Any, theta: Any, init: Any) -> Any:
            with jax.enable_x64(True):  # the precision is a property of the thread
                value, gradient, rest = self._on_fold(rows, theta, init)
                return np.asarray(value), np.asarray(gradient)[: theta.size], rest

        return one

    def _on_fold(self, rows: Any, theta: Any, init: Any) -> Any:
        known = FamilyLoss(self.family, self.loss)
        return _program(known, _same, (self.X, self.y, self.groups), rows, self.theta_filled(theta), init)

    def concrete(self, k: int, rows: Any, theta: Any) -> AbstractProblem:
        data = self.filled()
        return data.posed(theta, data.folds[k].train)[0]

    def initial(self, k: int, theta: Any) -> Any:
        return self.posed(theta, self.folds[k].train)[1]

    def posed(self, theta: Any, weights: np.ndarray) -> tuple[Any, Any]:
        """The problem on rows with `weights`, and where a solve begins without a neighbour."""
        weights = np.pad(weights, (0, self.X.shape[0] - len(weights)))
        return _posed(self.family, self.X, self.y, self.groups, *jax.device_put((self.theta_filled(theta), weights)))

    def solved(self, theta: Any, weights: np.ndarray, init: Any) -> tuple[Any, Any]:
        """The root on rows with `weights`, by the program of the folds, and its status."""
        rows = jax.device_put(np.pad(weights, (0, self.X.shape[0] - len(weights))))
        return self._on_fold((rows, rows), theta, init)[2]

    def read(self, problem: AbstractProblem, root: Any) -> tuple[Any, Any, Any]:
        """Coefficients, intercept, and the norm of the equation's residual at a root."""
        return _read(self.family, problem, root)

    def empty_from(self) -> float:
        """The penalty at which every coefficient is zero in every fold; 1 where no feature correlates."""
        strongest, y = 0.0, np.asarray(self.y)
        for train, _ in self.folds:
            residual = self.family.null_residual(y, train)
            weighted = (train / train.sum()).reshape(-1, *[1] * (residual.ndim - 1)) * residual
            strongest = max(
                strongest, float(np.max(self.family.strengths(np.asarray(self.host.T @ weighted), self.groups)))
            )
        return strongest or 1.0


def lasso_place(criterion: FamilyFolds) -> float | None:
    """The logarithm of the best penalty of a LASSO on the same folds, where its exact path is known: for relatives."""
    lasso = copy.copy(criterion)
    lasso.family, lasso._filled = LassoFamily(criterion.family.fit_intercept), None
    lasso.declared = lasso.family.declared()
    found = exactly(lasso, np.log(criterion.empty_from()))
    return None if found is None or found.place is None else float(found.place[0])


@dataclass(frozen=True)
class FamilyLoss:
    """The loss of one fold of a family; holds no data, so that equal ones share a compiled program."""

    family: AbstractFamily
    loss: Loss

    def fold_loss(self, data: Any, rows: Any, theta: Any, init: Any, *, throw: bool) -> Any:
        """The loss and the inner `Solution`, on data with their groups."""
        (X, y, groups), (train, test) = data, rows
        solution = solve(self.family.problem(X, y, theta, train, groups), init=init, throw=throw)
        losses = jax.vmap(lambda p, t: self.loss(p[None], t[None]))(self.family.predict(solution.value, X), y)
        return test @ losses, solution


def _same(theta: Array) -> Array:
    return theta


_program = partial(jax.jit, static_argnums=(0, 1))(evaluate_fold)


@partial(jax.jit, static_argnums=0)
def _posed(family: AbstractFamily, X: Any, y: Any, groups: Any, theta: Any, weights: Any) -> tuple[Any, Any]:
    problem = family.problem(X, y, theta, weights, groups)
    return problem, problem.initial()


@partial(jax.jit, static_argnums=0)
def _read(family: AbstractFamily, problem: AbstractProblem, root: Any) -> tuple[Any, Any, Any]:
    residual = jnp.linalg.norm(ravel_pytree(problem.residual(root))[0])
    return *family.parts(problem.present(root)[0]), residual
