"""How strongly predictions follow the response they were fitted to: leverages and degrees of freedom.

The leverages are the diagonal of `J = d prediction / d y`, the degrees of freedom its trace. For least squares with a
separable penalty on a support `S`, with weights `s` that sum to one, centring `C`, `Z = C X_S` and ridge `D`,

    J = Z (Z^T diag(s) Z + D)^{-1} Z^T diag(s)    (+ 1 s^T with an intercept).

Both jump where a feature enters or leaves. A finite difference over a step of the size of the noise smooths the jumps.

Source: Stein, Estimation of the mean of a multivariate normal distribution, Annals of Statistics 1981; Zou, Hastie,
Tibshirani, On the degrees of freedom of the lasso, Annals of Statistics 2007; Deledalle et al., Stein Unbiased
GrAdient estimator of the Risk (SUGAR), SIAM J. Imaging Sciences 2014.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Float

from ...base import Status, code_of, jaxprs, worst
from ...core import AbstractProblem, Solution
from ...equations.forms import LassoForm, lasso_form
from ...penalties import LeastSquares
from ...solving import solve
from .losses import predict

Refit = Callable[[Array], AbstractProblem]


class AbstractDegrees(abc.ABC):
    """A way to compute the degrees of freedom of a fit."""

    @abc.abstractmethod
    def __call__(self, refit: Refit, X: Any, y: Array, solution: Solution) -> tuple[Float[Array, ""], Any]:
        """The trace of `d prediction / d y`, and the worst status of the solves it took.

        `refit` makes the problem of another response; `solution` is that of `y`.
        """


@final
@dataclass(frozen=True)
class Exact(AbstractDegrees):
    """The trace itself: in closed form for the LASSO, the elastic net and ridge, else by `n` derivatives of the fit."""

    def __call__(self, refit: Refit, X: Any, y: Array, solution: Solution) -> tuple[Float[Array, ""], Any]:
        return jnp.sum(leverages(refit, X, y, solution)), solution.status


@final
@dataclass(frozen=True)
class FiniteDifference(AbstractDegrees):
    """`mean_k d_k^T (prediction(y + step d_k) - prediction(y)) / step` for random signs `d_k`: continuous in `theta`.

    Args:
        step: of the size of the noise; by default `2 sigma / n^0.3` where the criterion knows `sigma`, else that with
            the standard deviation of `y`.
        samples: how many `d_k`; each costs a solve, warm-started.
        seed: of the signs, which stay the same for every `theta`.
    """

    step: float | None = None
    samples: int = 1
    seed: int = 0

    def __call__(self, refit: Refit, X: Any, y: Array, solution: Solution) -> tuple[Float[Array, ""], Any]:
        step = jnp.asarray(2 * jnp.std(y) / y.size**0.3 if self.step is None else self.step, y.dtype)
        signs = jax.random.rademacher(jax.random.key(self.seed), (self.samples, *y.shape), y.dtype)
        base = predict(solution.value, X)

        def one(sign: Array) -> tuple[Array, Any]:
            moved = solve(refit(y + step * sign), init=lax.stop_gradient(solution.root), throw=False)
            return jnp.sum(sign * (predict(moved.value, X) - base)) / step, code_of(moved.status)

        traces, codes = lax.map(one, signs)
        status = Status.where(jnp.all(codes == 0), Status.converged, Status.not_converged)
        return jnp.mean(traces), worst(solution.status, status)


def leverages(refit: Refit, X: Any, y: Array, solution: Solution) -> Float[Array, "*n"]:
    """The diagonal of `d prediction / d y`, of the shape of `y`."""
    form = lasso_form(refit(y))
    closed = form is not None and form.dense and form.loss.X.shape == X.shape
    if form is not None and closed and not penalised_by_response(refit, y):
        return _closed_form(form, solution)

    def refitted(flat: Array) -> Array:
        moved = solve(refit(flat.reshape(y.shape)), init=lax.stop_gradient(solution.root), throw=False)
        return predict(moved.value, X).reshape(-1)

    def entry(direction: Array) -> Array:
        return direction @ jax.jvp(refitted, (y.reshape(-1),), (direction,))[1]

    return lax.map(entry, jnp.eye(y.size, dtype=y.dtype)).reshape(y.shape)


def penalised_by_response(refit: Refit, y: Any) -> bool:
    """Whether the penalties, features or weights depend on the response, as those of an adaptive LASSO do.

    Then the fit follows the response through them as well, and no closed form knows how.
    """

    def others(y: Any) -> list[Any]:
        problem: Any = refit(y)
        return jax.tree.leaves((problem.penalty, problem.smooth.X, problem.smooth.sample_weight))

    program = jax.make_jaxpr(others)(y).jaxpr
    reached = set(program.invars)
    for step in program.eqns:
        if any(not jaxprs.is_literal(read) and read in reached for read in step.invars):
            reached.update(step.outvars)
    return any(not jaxprs.is_literal(out) and out in reached for out in program.outvars)


def _closed_form(form: LassoForm, solution: Solution) -> Float[Array, " n"]:
    smooth = form.loss
    n, p = smooth.X.shape
    weights = smooth.weights()
    s = jnp.full(n, 1 / n, smooth.X.dtype) if weights is None else weights
    active = lax.stop_gradient(solution.root) != 0
    share = s if smooth.fit_intercept else jnp.zeros_like(s)
    if form.ridge is None:
        return _on_support(smooth, s, active, jnp.zeros(p, s.dtype), min(n, p)) + share
    ridge = jnp.broadcast_to(form.ridge, (p,))
    if p <= n:
        return _on_support(smooth, s, active, ridge, p) + share
    return _by_rows(smooth, s, active, ridge) + share


def _on_support(smooth: LeastSquares, s: Array, active: Array, ridge: Array, room: int) -> Float[Array, " n"]:
    """`diag Z (Z^T S Z + D)^{-1} Z^T S`, on at most `room` active columns."""
    index = jnp.nonzero(active, size=room, fill_value=0)[0]
    used = jnp.arange(room) < jnp.sum(active)
    Z = jnp.where(used[None, :], smooth.centred(smooth.X.columns(index)), 0)
    block = Z.T @ (s[:, None] * Z) + jnp.diag(jnp.where(used, ridge[index], 1))
    half = solve_triangular(jnp.linalg.cholesky(block), Z.T, lower=True)
    return jnp.sum(jnp.square(half), axis=0) * s


def _by_rows(smooth: LeastSquares, s: Array, active: Array, ridge: Array) -> Float[Array, " n"]:
    """The same by `I - (I + K)^{-1}` with `K = S^{1/2} Z D^{-1} Z^T S^{1/2}`, for more features than samples.

    A ridge of zero is taken as a small one, 1e-8 of the curvature in double precision: an error of that size.
    """
    floor = lax.stop_gradient(smooth.curvature()) * jnp.sqrt(jnp.finfo(s.dtype).eps)
    scale = jnp.where(active, 1 / jnp.maximum(ridge, floor), 0)
    rows = jnp.sqrt(s)[:, None] * smooth.centred(smooth.X.entries)
    n = rows.shape[0]
    factor = jnp.linalg.cholesky(jnp.eye(n, dtype=s.dtype) + (rows * scale[None, :]) @ rows.T)
    return 1 - jnp.diagonal(cho_solve((factor, True), jnp.eye(n, dtype=s.dtype)))
