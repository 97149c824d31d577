"""What the LASSO solvers see of a problem: a least-squares loss with a ridge, and its duality gap."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from ...equations import Composite
from ...equations.forms import lasso_form
from ...penalties import LeastSquares


class QuadraticLoss(eqx.Module):
    """`f(w) + sum_j ridge_j w_j^2 / 2`, with thresholds `t_j` beside it: `min_w f(w) + ridge + sum_j t_j |w_j|`.

    `unit_j = 1 / sqrt(L_j)` with the curvature `L_j`: coefficients in these units have Hessians of diagonal one.
    Duality gaps are relative to `zero_value`, the objective at zero.
    """

    smooth: LeastSquares
    ridge: Float[Array, " p"] | None
    threshold: Float[Array, " p"]
    curvature: Float[Array, " p"]
    unit: Float[Array, " p"]
    zero_value: Float[Array, ""]

    @classmethod
    def of(cls, problem: Composite) -> QuadraticLoss:
        """The loss and thresholds of a problem that has the form of a LASSO or an elastic net."""
        form = lasso_form(problem)
        if form is None:
            raise TypeError(f"{type(problem.smooth).__name__} plus {type(problem.penalty).__name__} is no LASSO.")
        p, dtype = form.loss.dimension()
        ridge = None if form.ridge is None else jnp.broadcast_to(form.ridge, (p,)).astype(dtype)
        curvature = form.loss.curvature()
        curvature = curvature if ridge is None else curvature + ridge
        threshold = jnp.broadcast_to(form.alpha, (p,)).astype(dtype)
        zero_value = form.loss.value_at_zero()
        return cls(form.loss, ridge, threshold, curvature, 1 / jnp.sqrt(curvature), zero_value)

    def shrunk(self, w: Float[Array, " p"]) -> Float[Array, " p"]:
        """The gradient of the ridge."""
        return jnp.zeros_like(w) if self.ridge is None else self.ridge * w

    def gradient(self, w: Float[Array, " p"]) -> Float[Array, " p"]:
        """`grad f(w) + ridge w`."""
        return self.smooth.gradient(w) + self.shrunk(w)

    def value(self, w: Float[Array, " p"]) -> Float[Array, ""]:
        """`f(w) + sum_j ridge_j w_j^2 / 2`."""
        return self.smooth.value(w) + jnp.sum(self.shrunk(w) * w) / 2

    def hessian_block(self, w: Float[Array, " p"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """The Hessian on a few coordinates."""
        block = self.smooth.hessian_block(w, index)
        return block if self.ridge is None else block + jnp.diag(self.ridge[index])


def relative_gap(
    loss: QuadraticLoss,
    w: Float[Array, " p"],
    gradient: Float[Array, " p"],
    value: Float[Array, ""],
    strength: Float[Array, ""] | float = 1.0,
) -> Float[Array, ""]:
    """The duality gap at `w` for `strength` times the thresholds, relative to the objective at zero.

    It is written without cancellation.

    The residual scaled by `tau = min_j t_j / max(|g_j|, t_j)` is dual feasible, and the gap is
    `(1 - tau)^2 f(w) + sum_j (t_j |w_j| + tau w_j g_j)`, with `f = ||r||^2 / (2n)`; a ridge is `p` more rows of the
    design. A gradient exceeds its threshold only by what goes beyond the rounding of its own evaluation, which matters
    when `t_j` is of that size. An unpenalised coordinate adds what moving it alone would gain, `g_j^2 / (2 L_j)`.
    """
    threshold, curvature, zero_value = strength * loss.threshold, loss.curvature, loss.zero_value
    tiny = float(jnp.finfo(w.dtype).tiny)
    size = jnp.sqrt(curvature)
    rounding = 4 * jnp.finfo(w.dtype).eps * size * (jnp.sqrt(2 * zero_value) + jnp.sum(size * jnp.abs(w)))
    penalised = threshold > 0
    excess = jnp.maximum(jnp.abs(gradient) - threshold - rounding, 0)
    tau = jnp.min(jnp.where(penalised, threshold / jnp.maximum(threshold + excess, tiny), 1))
    slack = jnp.where(penalised, threshold * jnp.abs(w) + tau * w * gradient, 0)
    free = jnp.where(penalised, 0, jnp.square(gradient) / (2 * curvature))
    gap = jnp.square(1 - tau) * value + jnp.sum(slack) + jnp.sum(free)
    return jnp.abs(gap) / jnp.maximum(zero_value, tiny)


def violation(
    threshold: Float[Array, " p"], gradient: Float[Array, " p"], *, unpenalised: float | None = None
) -> Float[Array, " p"]:
    """`|g_j| / t_j`: the strength of the penalties at which feature `j` would just stay outside the support.

    Where `t_j = 0` it is the value given as `unpenalised`, by default a very large one, or 0 with `g_j`.
    """
    size = jnp.abs(gradient)
    without = size / jnp.finfo(size.dtype).tiny if unpenalised is None else unpenalised
    return jnp.where(threshold > 0, size / jnp.where(threshold > 0, threshold, 1), without)


def needed_strength(threshold: Float[Array, " p"], gradient: Float[Array, " p"]) -> Float[Array, ""]:
    """The smallest strength of the penalties at which all penalised features stay outside the support."""
    return jnp.max(violation(threshold, gradient, unpenalised=0.0))


def gap_tolerance(tolerance: float | None, dtype: Any) -> float:
    """The relative duality gap to reach: `1e-10`, and `50 eps` where that is larger, unless told otherwise."""
    return max(1e-10, 50 * float(jnp.finfo(dtype).eps)) if tolerance is None else tolerance
