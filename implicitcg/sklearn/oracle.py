"""Compiled evaluations of a family on weighted folds, shared between fits of one shape."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jax.flatten_util import ravel_pytree
from sklearn.utils.parallel import Parallel, delayed

from ..base import Status
from ..linear import AbstractDesign, design_matrix
from ..solving import solve
from ..tuning.criteria.losses import Loss
from ..tuning.search.checkpoint import EvaluationLog
from ..tuning.search.journal import Journal
from ..tuning.search.oracle import AbstractOracle, Point, record_of
from .families import AbstractFamily, Groups
from .folds import Folds

COLUMNS = 32  # up to here data are small, and filled up so that one program serves them all


class Data(NamedTuple):
    """What a program takes: a design `(n, p)`, responses, groups; filled up where it is small.

    `rows` and `columns` are the true sizes. Rows that fill up have weight zero everywhere, columns are zero.
    """

    X: AbstractDesign
    y: Any
    groups: Groups | None
    rows: int
    columns: int

    def rows_filled(self, weights: np.ndarray) -> np.ndarray:
        """Weights `(..., rows)`, zero for the rows that fill up."""
        return np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, self.X.shape[0] - self.rows)])

    def theta_filled(self, family: AbstractFamily, theta: np.ndarray) -> np.ndarray:
        """`theta` for the design as it is filled up."""
        return np.pad(theta, (0, self.X.shape[1] - self.columns)) if family.per_feature() else theta


def filled(family: AbstractFamily, X: Any, y: np.ndarray, groups: Groups | None, filler: float) -> Data:
    """The data, filled up to one of few sizes where they are small and dense; `filler` is a valid response."""
    n, p = X.shape
    sparse = scipy.sparse.issparse(X)
    if sparse or n > family.rows[-1] or p > COLUMNS:
        return Data(design_matrix(X if sparse else jax.device_put(X)), jax.device_put(y), groups, n, p)
    more_rows, more_columns = min(room for room in family.rows if room >= n) - n, COLUMNS - p
    X = np.pad(X, ((0, more_rows), (0, more_columns)))
    y = np.pad(y, [(0, more_rows)] + [(0, 0)] * (y.ndim - 1), constant_values=filler)
    if groups is not None:  # every column may be a group; groups without columns have weight one and no effect
        weights = np.pad(groups.weights, (0, X.shape[1] - len(groups.weights)), constant_values=1.0)
        labels = np.pad(groups.labels, (0, more_columns), constant_values=X.shape[1] - 1)
        groups = Groups(jax.device_put(labels), jax.device_put(weights))
    return Data(design_matrix(jax.device_put(X)), jax.device_put(y), groups, n, p)


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


@partial(jax.jit, static_argnums=0)
def posed(family: AbstractFamily, X: Any, y: Any, groups: Any, theta: Any, weights: Any) -> tuple[Any, Any]:
    """The problem, and where a solve begins without a neighbour."""
    problem = family.problem(X, y, theta, weights, groups)
    return problem, problem.initial()


def solved(family: AbstractFamily, loss: Loss, data: Data, theta: Array, rows: Array, init: Array) -> Any:
    """The root on weighted rows, by the program of the folds, and its status."""
    return _one_fold(family, loss, data.X, data.y, data.groups, theta, rows, rows, init)[2:]


@partial(jax.jit, static_argnums=0)
def read(family: AbstractFamily, problem: Any, root: Any) -> tuple[Any, Any, Any]:
    """Coefficients, intercept, and the norm of the equation's residual at a root."""
    return *family.parts(problem.present(root)[0]), residual_at(problem, root)


@jax.jit
def residual_at(problem: Any, root: Any) -> Array:
    """The norm of the equation's residual."""
    return jnp.linalg.norm(ravel_pytree(problem.residual(root))[0])


class WeightedFoldsOracle(AbstractOracle):
    """A family on weighted folds, fold by fold, in `n_jobs` threads.

    One program serves all folds and the fit on all rows. On a CPU folds solved together would compile to half as much
    again, and wait for the slowest of them.
    """

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
        self.train, self.test = (jax.device_put(list(data.rows_filled(side))) for side in folds)
        theta = jax.device_put(data.theta_filled(family, start))
        _, cold = posed(family, data.X, data.y, data.groups, theta, self.train[0])
        self._cold = np.tile(np.asarray(cold), (len(self.train), 1))

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        warm = near is not None and near.usable and near.roots is not None
        inits = near.roots if warm and near is not None and near.roots is not None else self._cold
        theta = jax.device_put(self.data.theta_filled(self.family, flat))
        common = (self.family, self.loss, self.data.X, self.data.y, self.data.groups, theta)
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
        value, gradient, root, status = _one_fold(*rest, jax.device_put(init))
        return np.asarray(value), np.asarray(gradient), np.asarray(root), status
