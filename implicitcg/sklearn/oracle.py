"""Compiled evaluations of a family on weighted folds, shared between fits of one shape."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.utils.parallel import Parallel, delayed

from ..base import Status
from ..core import solve
from ..linear import AbstractDesign
from ..tuning.checkpoint import EvaluationLog
from ..tuning.journal import Journal
from ..tuning.losses import Loss
from ..tuning.oracle import AbstractOracle, Point, record_of
from .families import AbstractFamily, Groups
from .folds import Folds

COLUMNS = 32  # up to here data are small, and filled up so that one program serves them all


class Data(NamedTuple):
    """What a program takes: a design `(n, p)`, responses, groups; filled up where it is small.

    `rows` and `columns` are the true sizes. Rows that fill up have weight zero everywhere, columns are zero. `together`
    says whether all folds are solved in one call.
    """

    X: Any
    y: Any
    groups: Groups | None
    rows: int
    columns: int
    together: bool

    def rows_filled(self, weights: np.ndarray) -> np.ndarray:
        """Weights `(..., rows)`, zero for the rows that fill up."""
        return np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, self.X.shape[0] - self.rows)])

    def theta_filled(self, family: AbstractFamily, theta: np.ndarray) -> np.ndarray:
        """`theta` for the design as it is filled up."""
        return np.pad(theta, (0, self.X.shape[1] - self.columns)) if family.per_feature() else theta


def filled(family: AbstractFamily, X: Any, y: np.ndarray, groups: Groups | None, filler: float) -> Data:
    """The data, filled up to one of few sizes where they are small and dense; `filler` is a valid response."""
    n, p = X.shape
    if isinstance(X, AbstractDesign) or n > family.rows[-1] or p > COLUMNS:
        return Data(_on_device(X), jnp.asarray(y), groups, n, p, False)
    more_rows, more_columns = min(room for room in family.rows if room >= n) - n, COLUMNS - p
    X = np.pad(X, ((0, more_rows), (0, more_columns)))
    y = np.pad(y, [(0, more_rows)] + [(0, 0)] * (y.ndim - 1), constant_values=filler)
    if groups is not None:  # every column may be a group; groups without columns have weight one and no effect
        weights = np.pad(groups.weights, (0, X.shape[1] - len(groups.weights)), constant_values=1.0)
        labels = np.pad(groups.labels, (0, more_columns), constant_values=X.shape[1] - 1)
        groups = Groups(jnp.asarray(labels), jnp.asarray(weights))
    return Data(jnp.asarray(X), jnp.asarray(y), groups, n, p, family.together)


def _on_device(X: Any) -> Any:
    return X if isinstance(X, AbstractDesign) else jnp.asarray(X)


def evaluate(
    family: AbstractFamily,
    loss: Loss,
    X: Any,
    y: Array,
    groups: Any,
    theta: Array,
    train: Array,
    test: Array,
    init: Any,
) -> tuple[Array, Array, Array, Status]:
    """The loss of one fold, its gradient by `theta`, the root of the inner equation and its status."""

    def judged(theta: Array) -> tuple[Array, Any]:
        solution = solve(family.problem(X, y, theta, train, groups), init=init, throw=False)
        losses = jax.vmap(lambda p, t: loss(p[None], t[None]))(family.predict(solution.value, X), y)
        return test @ losses, (solution.root, solution.status)

    if theta.size == 1:
        value, slope, (root, status) = jax.jvp(judged, (theta,), (jnp.ones_like(theta),), has_aux=True)
        return value, jnp.reshape(slope, 1), root, status
    (value, (root, status)), gradient = jax.value_and_grad(judged, has_aux=True)(theta)
    return value, gradient, root, status


_one_fold = partial(jax.jit, static_argnums=(0, 1))(evaluate)


@partial(jax.jit, static_argnums=(0, 1))
def _all_folds(
    family: AbstractFamily, loss: Loss, X: Any, y: Any, groups: Any, theta: Any, train: Any, test: Any, inits: Any
) -> Any:
    one = partial(evaluate, family, loss, X, y, groups, theta)
    return jax.vmap(one)(train, test, inits)


@partial(jax.jit, static_argnums=0)
def finish(
    family: AbstractFamily, X: Any, y: Any, groups: Any, theta: Any, weights: Any, init: Any
) -> tuple[Any, Any, Any, Any, Status]:
    """The model on all rows: coefficients, intercept, root, norm of the residual and status."""
    solution = solve(family.problem(X, y, theta, weights, groups), init=init, throw=False)
    return (*family.parts(solution.value), solution.root, solution.residual, solution.status)


@partial(jax.jit, static_argnums=0)
def posed(family: AbstractFamily, X: Any, y: Any, groups: Any, theta: Any, weights: Any) -> tuple[Any, Any]:
    """The problem, and where a solve begins without a neighbour."""
    problem = family.problem(X, y, theta, weights, groups)
    return problem, problem.initial()


@jax.jit
def residual_at(problem: Any, root: Any) -> Any:
    """The norm of the equation's residual."""
    return jnp.linalg.norm(problem.residual(root))


class WeightedFoldsOracle(AbstractOracle):
    """A family on weighted folds: small data with all folds in one call, others fold by fold, in `n_jobs` threads."""

    def __init__(
        self,
        family: AbstractFamily,
        loss: Loss,
        data: Data,
        folds: Folds,
        start: np.ndarray,
        n_jobs: int | None,
        journal: Journal,
    ):
        super().__init__(np.dtype(np.float64), journal, EvaluationLog(None, {}), len(folds.train))
        self.family, self.loss, self.data, self.n_jobs = family, loss, data, n_jobs
        self.train, self.test = (jnp.asarray(data.rows_filled(side)) for side in folds)
        theta = jnp.asarray(data.theta_filled(family, start))
        _, cold = posed(family, data.X, data.y, data.groups, theta, self.train[0])
        self._cold = np.tile(np.asarray(cold), (len(self.train), 1))

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        warm = near is not None and near.usable and near.roots is not None
        inits = near.roots if warm and near is not None and near.roots is not None else self._cold
        theta = jnp.asarray(self.data.theta_filled(self.family, flat))
        common = (self.family, self.loss, self.data.X, self.data.y, self.data.groups, theta)
        if self.data.together:
            values, gradients, roots, status = _all_folds(*common, self.train, self.test, jnp.asarray(inits))
            status = jax.tree.map(np.asarray, status)  # on the host, where indexing is quick
            statuses = [jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), status) for k in range(len(inits))]
        else:
            calls = [(*common, *fold) for fold in zip(self.train, self.test, inits, strict=True)]
            values, gradients, roots, statuses = zip(*self._in_threads(calls), strict=True)
        values, gradients, roots = (np.asarray(part) for part in (values, gradients, roots))
        return record_of(values, gradients[:, : flat.size], roots, list(statuses))

    def _in_threads(self, calls: list[tuple]) -> list[tuple]:
        if self.n_jobs is None:
            return [_on_one_fold(*call) for call in calls]
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(_on_one_fold)(*call) for call in calls)  # type: ignore[return-value]


def _on_one_fold(*arguments: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Status]:
    with jax.enable_x64(True):  # the precision is a property of the thread
        *rest, init = arguments
        value, gradient, root, status = _one_fold(*rest, jnp.asarray(init))
        return np.asarray(value), np.asarray(gradient), np.asarray(root), status
