"""The models behind the estimators: what is tuned, where it is looked for, and the inner problem.

A family is hashable and holds no data, so that compiled programs are shared between fits.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array

from ..core import AbstractProblem
from ..equations import Composite
from ..linear import design
from ..models import elastic_net, lasso, multitask_lasso, sparse_logistic, svr
from ..penalties import GroupL2, LeastSquares
from ..tuning.criteria.criterion import DeclaredLasso
from ..tuning.exact.fold_path import DECADES
from .thresholds import THRESHOLDS

FLOOR, CEILING = 1e-2, 1e2  # of the best common penalty: what one feature of a weighted LASSO may have


class Groups(NamedTuple):
    """Labels of the features `(p,)` and the weight of each group, the root of its size `(g,)`."""

    labels: Any
    weights: Any


class SearchBox(NamedTuple):
    """Where a search begins and the box it stays in, in its own coordinates, each `(d,)`."""

    start: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class AbstractFamily(abc.ABC):
    """A model in its search coordinates `theta` `(d,)`, such as logarithms of penalties."""

    fit_intercept: bool
    rows: ClassVar[tuple[int, ...]] = THRESHOLDS.rows  # small data are filled up to the next of these

    @abc.abstractmethod
    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        """The inner problem on rows with `weights`; traceable."""

    @abc.abstractmethod
    def attributes(self, theta: np.ndarray) -> dict[str, Any]:
        """The fitted attributes that name the hyperparameters."""

    @abc.abstractmethod
    def box(self, empty: float, X: Any, y: np.ndarray, weights: np.ndarray) -> SearchBox:
        """The start and the bounds; `empty` is the penalty beyond which every coefficient is zero."""

    def per_feature(self) -> bool:
        """Whether `theta` has one entry for each feature."""
        return False

    def declared(self) -> DeclaredLasso | None:
        """What `tune` may take for granted: that this is a LASSO or an elastic net in its usual strengths."""
        return None

    def l1_and_ridge(self, theta: np.ndarray) -> tuple[float, float] | None:
        """The strengths of a LASSO or an elastic net, equal for all features; `None` for any other model."""
        del theta
        return None

    def parts(self, value: Any) -> tuple[Array, Array]:
        """Coefficients and intercept of a solution's value."""
        return (value.coef, value.intercept) if self.fit_intercept else (value, jnp.zeros(value.shape[1:], value.dtype))

    def predict(self, value: Any, X: Any) -> Array:
        """`X coef + intercept`."""
        coef, intercept = self.parts(value)
        return X @ coef + (intercept[None] if intercept.ndim else intercept)

    def origin(self, X: Any, y: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
        """What may be taken off features and responses, since the intercept takes it up: their means, else zeros.

        Far from its origin a Gram matrix keeps few digits of what varies. Sparse features stay, and their zeros.
        """
        if not self.fit_intercept:
            return 0.0, 0.0
        features = 0.0 if scipy.sparse.issparse(X) else np.average(X, axis=0, weights=weights)
        return features, np.average(y, axis=0, weights=weights)

    def null_residual(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Minus the gradient of the loss by the prediction, where all coefficients are zero."""
        return y - np.average(y, axis=0, weights=weights) if self.fit_intercept else y

    def strengths(self, correlations: np.ndarray, groups: Groups | None) -> np.ndarray:
        """The penalty at which each block of coefficients becomes zero, from `X^T S r`."""
        del groups
        return np.abs(correlations)


@dataclass(frozen=True)
class OnePenalty(AbstractFamily):
    """A model with one penalty, searched by its logarithm."""

    def attributes(self, theta: np.ndarray) -> dict[str, Any]:
        return {"alpha_": float(np.exp(theta[0]))}

    def box(self, empty: float, X: Any, y: np.ndarray, weights: np.ndarray) -> SearchBox:
        top = np.log(empty)
        return SearchBox(np.array([top]), np.array([top - DECADES * np.log(10)]), np.array([top]))


@final
@dataclass(frozen=True)
class LassoFamily(OnePenalty):
    """The LASSO."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        return lasso(X, y, jnp.exp(theta[0]), fit_intercept=self.fit_intercept, sample_weight=weights)

    def declared(self) -> DeclaredLasso | None:
        return DeclaredLasso(False, self.fit_intercept)

    def l1_and_ridge(self, theta: np.ndarray) -> tuple[float, float] | None:
        return float(np.exp(theta[0])), 0.0


@final
@dataclass(frozen=True)
class GroupLassoFamily(OnePenalty):
    """The group LASSO."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        assert groups is not None
        X, y = design.with_response(X, y)
        penalty = GroupL2(jnp.exp(theta[0]), groups.labels, groups.weights)
        return Composite(LeastSquares(X, y, self.fit_intercept, weights), penalty)

    def strengths(self, correlations: np.ndarray, groups: Groups | None) -> np.ndarray:
        assert groups is not None
        squares = np.bincount(groups.labels, correlations**2, minlength=len(groups.weights))
        return np.sqrt(squares) / groups.weights


@final
@dataclass(frozen=True)
class MultiTaskLassoFamily(OnePenalty):
    """The LASSO of several responses."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        return multitask_lasso(X, y, jnp.exp(theta[0]), fit_intercept=self.fit_intercept, sample_weight=weights)

    def strengths(self, correlations: np.ndarray, groups: Groups | None) -> np.ndarray:
        return np.linalg.norm(correlations, axis=1)


@final
@dataclass(frozen=True)
class SparseLogisticFamily(OnePenalty):
    """Logistic regression with an l1 penalty; labels -1 and 1."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        return sparse_logistic(X, y, jnp.exp(theta[0]), fit_intercept=self.fit_intercept, sample_weight=weights)

    def origin(self, X: Any, y: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
        return super().origin(X, y, weights)[0], 0.0  # labels are no numbers

    def null_residual(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        share = np.average(y > 0, weights=weights) if self.fit_intercept else 0.5
        return (y > 0) - share


@final
@dataclass(frozen=True)
class WeightedLassoFamily(AbstractFamily):
    """The LASSO with one penalty per feature."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        return lasso(X, y, jnp.exp(theta), fit_intercept=self.fit_intercept, sample_weight=weights)

    def attributes(self, theta: np.ndarray) -> dict[str, Any]:
        return {"alpha_": np.exp(theta)}

    def box(self, empty: float, X: Any, y: np.ndarray, weights: np.ndarray) -> SearchBox:
        start = np.full(X.shape[1], np.log(0.1 * empty))
        return SearchBox(start, start + np.log(FLOOR), start + np.log(CEILING))

    def per_feature(self) -> bool:
        return True


@final
@dataclass(frozen=True)
class ElasticNetFamily(AbstractFamily):
    """The elastic net: the logarithm of its penalty, and its share of the l1 norm from 1/100 to 1 as it is."""

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        return elastic_net(X, y, jnp.exp(theta[0]), theta[1], fit_intercept=self.fit_intercept, sample_weight=weights)

    def attributes(self, theta: np.ndarray) -> dict[str, Any]:
        return {"alpha_": float(np.exp(theta[0])), "l1_ratio_": float(theta[1])}

    def declared(self) -> DeclaredLasso | None:
        return DeclaredLasso(True, self.fit_intercept)

    def l1_and_ridge(self, theta: np.ndarray) -> tuple[float, float] | None:
        alpha, share = float(np.exp(theta[0])), float(theta[1])
        return alpha * share, alpha * (1 - share)

    def box(self, empty: float, X: Any, y: np.ndarray, weights: np.ndarray) -> SearchBox:
        top = np.log(empty)
        low = top - (DECADES + 1) * np.log(10)
        # the l1 part decides what is empty: a share of 1/100 takes two decades more
        return SearchBox(np.array([top + np.log(0.1), 0.5]), np.array([low, 0.01]), np.array([top + np.log(100), 1.0]))


@final
@dataclass(frozen=True)
class LinearSVRFamily(AbstractFamily):
    """Support vector regression: the logarithms of `C` and `epsilon`.

    An intercept is the coefficient of a constant column, penalised like the rest, as in scikit-learn's `LinearSVR`.
    """

    rows: ClassVar[tuple[int, ...]] = THRESHOLDS.rows_of_vectors

    def problem(self, X: Any, y: Array, theta: Array, weights: Array, groups: Groups | None) -> AbstractProblem:
        if self.fit_intercept:
            X = jnp.concatenate([X, jnp.ones((X.shape[0], 1), X.dtype)], axis=1)
        return svr(X, y, jnp.exp(theta[0]), jnp.exp(theta[1]), sample_weight=weights)

    def origin(self, X: Any, y: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
        return 0.0, 0.0  # its intercept is penalised

    def parts(self, value: Any) -> tuple[Array, Array]:
        return (value[:-1], value[-1]) if self.fit_intercept else (value, jnp.zeros((), value.dtype))

    def attributes(self, theta: np.ndarray) -> dict[str, Any]:
        C = float(np.exp(theta[0]))
        return {"C_": C, "epsilon_": float(np.exp(theta[1])), "alpha_": 1 / C}

    def box(self, empty: float, X: Any, y: np.ndarray, weights: np.ndarray) -> SearchBox:
        spread = float(np.sqrt(np.average(np.square(y - np.average(y, weights=weights)), weights=weights))) or 1.0
        # w is C times a sum of rows at most, so below this C predictions cannot reach the size of y
        reach = float(weights @ np.sum(np.square(X), axis=1)) or 1.0
        unit = np.log(spread / reach)
        return SearchBox(
            np.array([unit + np.log(10.0), np.log(0.1 * spread)]),
            np.array([unit - np.log(10.0), np.log(1e-3 * spread)]),
            np.array([unit + np.log(1e4), np.log(2 * spread)]),
        )
