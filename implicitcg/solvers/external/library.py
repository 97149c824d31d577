"""What the solvers of other libraries have in common: plain data in, coefficients out, and our own judgement."""

from __future__ import annotations

import abc
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jaxtyping import Float

from ...base import Status, needs
from ...core import AbstractSolver, Found
from ...equations import Composite
from ...linear import StandardisedDesign
from ...penalties import L1, ElasticNet, GroupL2, LeastSquares, Logistic
from .host import on_host


@dataclass(frozen=True)
class PlainProblem:
    """`loss(X w + b) + sum_j alpha_j |w_j| + ridge_j w_j^2 / 2`, or `sum_g alpha_g ||w_g||`, in float64.

    The loss is `||y - X w - b||^2 / (2n)`, or the mean of `log(1 + exp(-y_i (x_i^T w + b)))`. `groups` holds the label
    of each feature, or `None`.
    """

    X: Any
    y: np.ndarray
    logistic: bool
    fit_intercept: bool
    alpha: np.ndarray
    ridge: np.ndarray
    groups: np.ndarray | None

    def per_column(self, values: np.ndarray) -> PlainProblem:
        """The same problem in `v = values w`, for positive `values`."""
        scale = 1 / values
        X = self.X @ scipy.sparse.diags(scale) if scipy.sparse.issparse(self.X) else self.X * scale
        return PlainProblem(
            X, self.y, self.logistic, self.fit_intercept, self.alpha * scale, self.ridge * scale**2, self.groups
        )


class AbstractLibrary(AbstractSolver[Composite]):
    """A solver of another library, by callback: usable inside `jit`, `vmap` and derivatives like our own.

    It is not trusted. A point counts as converged when one proximal step from it cannot gain more than `tolerance^2`
    of the objective at zero, `max_j F_j^2 / (2 step_j) <= tolerance^2 (f + g)(0)`, which holds wherever the relative
    duality gap is at most `tolerance^2`; that gap is what the library is asked for.
    """

    tolerance: eqx.AbstractVar[float | None]
    module: ClassVar[str]
    extra: ClassVar[str | None] = "external"

    @abc.abstractmethod
    def lacks(self, problem: Composite) -> str | None:
        """Why this library cannot solve a problem made of pieces that some library here knows, or `None`."""

    @abc.abstractmethod
    def fit(self, plain: PlainProblem, gap: float) -> tuple[np.ndarray, float]:
        """Coefficients and intercept, to a relative duality gap."""

    def refuses(self, problem: Composite) -> str | None:
        """What no library here knows, and what this one `lacks`."""
        return _foreign(problem) or self.lacks(problem)

    def run(self, problem: Composite, init: Float[Array, " p"]) -> Found:
        """See `AbstractSolver.run`.

        Raises:
            ImportError: the library is not installed.
        """
        self.load()
        eps = float(jnp.finfo(init.dtype).eps)
        tolerance = max(1e-7, eps**0.5) if self.tolerance is None else self.tolerance

        def fit(problem: Composite) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of convergence: that is judged below
                coef, intercept = self.fit(_plain(problem), tolerance**2)
            separate = isinstance(problem.smooth, Logistic) and problem.smooth.fit_intercept
            return np.append(coef, intercept) if separate else coef

        z = on_host(fit, problem, init)
        residual = problem.residual(z)
        gain = jnp.max(jnp.square(residual) / (2 * problem.step()), initial=0.0)
        close = gain <= tolerance**2 * jnp.abs(problem.objective(jnp.zeros_like(z)))
        status = Status.where(close, Status.converged, Status.not_converged)
        return Found(z, Status.where(jnp.isfinite(gain), status, Status.diverged), jnp.ones((), jnp.int32))

    def load(self) -> Any:
        """The library, imported when it is used."""
        return needs(self.module, self.extra, f"icg.solvers.external.{type(self).__name__}")


def _foreign(problem: Composite) -> str | None:
    smooth, penalty = problem.smooth, problem.penalty
    if not isinstance(smooth, LeastSquares | Logistic) or not isinstance(penalty, L1 | ElasticNet | GroupL2):
        return f"{type(smooth).__name__} with {type(penalty).__name__} is none of the models it knows"
    if isinstance(smooth.X, StandardisedDesign) and not smooth.X.X.dense:
        return "it would need the standardised sparse matrix filled; give X itself, with one penalty a feature"
    sparse = not (smooth.X.dense or isinstance(smooth.X, StandardisedDesign))
    if smooth.sample_weight is not None and isinstance(smooth, LeastSquares) and smooth.fit_intercept and sparse:
        return "sample weights with an intercept would need the sparse matrix filled"
    return None


def _plain(problem: Composite) -> PlainProblem:
    """Sample weights and, for a dense matrix, the intercept of least squares are taken into the data."""
    smooth, penalty = problem.smooth, problem.penalty
    X, y, p = smooth.X.on_host().astype(np.float64), np.asarray(smooth.y, np.float64), smooth.X.shape[1]
    sparse, logistic, intercept = scipy.sparse.issparse(X), isinstance(smooth, Logistic), smooth.fit_intercept
    if smooth.sample_weight is not None:
        weights = np.asarray(smooth.sample_weight, np.float64)
        weights = weights / weights.sum()
        if not logistic and intercept:
            X, y, intercept = X - weights @ X, y - weights @ y, False
        root = np.sqrt(len(y) * weights)
        X, y = scipy.sparse.diags(root) @ X if sparse else root[:, None] * X, root * y
    elif not logistic and intercept and not sparse:
        X, y, intercept = X - X.mean(axis=0), y - y.mean(), False
    X = scipy.sparse.csc_matrix(X) if sparse else np.asfortranarray(X)
    groups = np.asarray(penalty.labels) if isinstance(penalty, GroupL2) else None
    strength = penalty.alpha * penalty.weights if isinstance(penalty, GroupL2) else penalty.alpha
    size = p if groups is None else len(penalty.weights)
    separate = logistic and smooth.fit_intercept and np.ndim(strength) == 1
    alpha = np.broadcast_to(np.asarray(strength, np.float64)[:-1] if separate else strength, size)
    ridge = np.broadcast_to(penalty.ridge, p) if isinstance(penalty, ElasticNet) else np.zeros(p)
    return PlainProblem(X, y, logistic, intercept, np.array(alpha, np.float64), np.array(ridge, np.float64), groups)
