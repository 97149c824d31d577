"""Least squares with several responses."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, PyTree

from ..linear import AbstractDesign, design_matrix
from .least_squares import LeastSquares
from .smooth import AbstractSmooth, LinearModel


class MultitaskLeastSquares(AbstractSmooth):
    """`f(W) = 1/2 sum_i s_i ||y_i - W^T x_i - b||^2` for a matrix `W` of `p` rows and `t` tasks.

    The unknown of the equation is `W` row by row, a vector of `p t` entries. Weights and intercept are those of
    `LeastSquares`, one intercept per task.
    """

    X: AbstractDesign = eqx.field(converter=design_matrix)
    Y: Float[Array, "n t"]
    fit_intercept: bool = eqx.field(static=True, default=False)
    sample_weight: Float[Array, " n"] | None = None
    quadratic: ClassVar[bool] = True

    def single(self) -> LeastSquares:
        """The design, its weights and centring, as the loss of the first task."""
        return LeastSquares(self.X, self.Y[:, 0], self.fit_intercept, self.sample_weight)

    def matrix(self, z: Float[Array, " d"]) -> Float[Array, "p t"]:
        """`W`."""
        return z.reshape(self.X.shape[1], self.Y.shape[1])

    def back(self, R: Float[Array, "n t"]) -> Float[Array, " d"]:
        """`X^T R`, row by row."""
        return (R.T @ self.X).T.reshape(-1)

    def residuals(self, z: Float[Array, " d"]) -> Float[Array, "n t"]:
        """`Y - X W - b`."""
        return self.single().centred(self.Y - self.X @ self.matrix(z))

    def value(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """`1/2 sum_i s_i ||r_i||^2`."""
        return jnp.sum(self.single().weighted(jnp.square(self.residuals(z)))) / 2

    def gradient(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """`-X^T S R`."""
        return -self.back(self.single().weighted(self.residuals(z)))

    def hessian_product(self, z: Float[Array, " d"], v: Float[Array, " d"]) -> Float[Array, " d"]:
        """`X^T S C X V`."""
        single = self.single()
        return self.back(single.weighted(single.centred(self.X @ self.matrix(v))))

    def hessian_block(self, z: Float[Array, " d"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """Products of columns of `X` within a task; tasks do not interact."""
        tasks = self.Y.shape[1]
        same = (index % tasks)[:, None] == (index % tasks)[None, :]
        block = self.X.gram(index // tasks, self.single().weights(), self.fit_intercept)
        return jnp.where(same, block, 0)

    def curvature(self) -> Float[Array, " d"]:
        """Those of the single tasks, which are equal."""
        return jnp.repeat(self.single().curvature(), self.Y.shape[1])

    def fenchel(self, z: Float[Array, " d"], tau: Float[Array, ""]) -> Float[Array, ""]:
        """As for `LeastSquares`."""
        return tau * (z @ self.gradient(z)) + jnp.square(1 - tau) * self.value(z)

    def invalid(self) -> Array:
        """Whether a sample weight is negative, or all are zero."""
        return self.single().invalid()

    def dimension(self) -> tuple[int, jnp.dtype]:
        """`(p t, dtype of X)`."""
        return self.X.shape[1] * self.Y.shape[1], self.X.dtype

    def present(self, z: Float[Array, " d"]) -> tuple[PyTree, PyTree | None]:
        """`W` (with the intercepts, where they are fitted) and the dual `S R`."""
        single, W, R = self.single(), self.matrix(z), self.residuals(z)
        if not self.fit_intercept:
            return W, single.weighted(R)
        intercept = jnp.sum(single.weighted(self.Y - self.X @ W), axis=0)
        return LinearModel(W, intercept), single.weighted(R)
