"""The least-squares loss, with an intercept and sample weights."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, PyTree

from ..base.checks import flag
from ..linear import AbstractDesign, design_matrix
from .smooth import AbstractSmooth, LinearModel


class LeastSquares(AbstractSmooth):
    """`f(w) = 1/2 sum_i s_i (y_i - x_i^T w - b)^2`, with `b` minimised out when `fit_intercept` (and 0 otherwise).

    The weights `s` are the sample weights divided by their sum, and `1/n` where none are given. Minimising over `b`
    centres the residual at its weighted mean. Columns are never centred in memory: with `S = diag(s)` and a residual
    centred by `s`, `(X - 1 m^T)^T S r = X^T S r`.
    """

    X: AbstractDesign = eqx.field(converter=design_matrix)
    y: Float[Array, " n"]
    fit_intercept: bool = eqx.field(static=True, default=False, converter=partial(flag, name="fit_intercept"))
    sample_weight: Float[Array, " n"] | None = None
    quadratic: ClassVar[bool] = True

    def weights(self) -> Float[Array, " n"] | None:
        """`s`, summing to one; `None` stands for `1/n` each."""
        return None if self.sample_weight is None else self.sample_weight / jnp.sum(self.sample_weight)

    def weighted(self, r: Float[Array, "n *c"]) -> Float[Array, "n *c"]:
        """`S r`, by rows."""
        s = self.weights()
        return r / r.shape[0] if s is None else s.reshape(-1, *[1] * (r.ndim - 1)) * r

    def centred(self, r: Float[Array, "n *c"]) -> Float[Array, "n *c"]:
        """`r` minus its weighted mean by column, where an intercept is fitted."""
        return r - jnp.sum(self.weighted(r), axis=0, keepdims=True) if self.fit_intercept else r

    def residuals(self, z: Float[Array, " p"]) -> Float[Array, " n"]:
        """`y - X w - b`."""
        return self.centred(self.y - self.X @ z)

    def intercept(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """The best `b` for the coefficients `w`."""
        return jnp.sum(self.weighted(self.y - self.X @ z)) if self.fit_intercept else jnp.zeros((), z.dtype)

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`1/2 r^T S r`."""
        r = self.residuals(z)
        return jnp.sum(self.weighted(jnp.square(r))) / 2

    def value_at_zero(self) -> Float[Array, ""]:
        """`f(0)`, without a look at `X`."""
        return jnp.sum(self.weighted(jnp.square(self.centred(self.y)))) / 2

    def gradient(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`-X^T S r`."""
        return -(self.weighted(self.residuals(z)) @ self.X)

    def hessian_product(self, z: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`X^T S C X v`, with `C` the centring."""
        return self.weighted(self.centred(self.X @ v)) @ self.X

    def hessian_block(self, z: Float[Array, " p"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """`(C X_I)^T S (C X_I)` for the columns `I`."""
        return self.X.gram(index, self.weights(), self.fit_intercept)

    def curvature(self) -> Float[Array, " p"]:
        """`x_j^T S C x_j`, and 1 for a constant column, whose coefficient stays 0."""
        X, s = lax.stop_gradient((self.X, self.weights()))
        squares = X.column_squares(s)
        if self.fit_intercept:
            centred = squares - jnp.square(X.column_means(s))
            # a constant column leaves rounding of size eps * squares
            squares = jnp.where(centred > 8 * X.shape[0] * jnp.finfo(X.dtype).eps * squares, centred, 0)
        return jnp.where(squares > 0, squares, 1)

    def fenchel(self, z: Float[Array, " p"], tau: Float[Array, ""]) -> Float[Array, ""]:
        """`tau w^T grad f(w) + (1 - tau)^2 f(w)`."""
        return tau * (z @ self.gradient(z)) + jnp.square(1 - tau) * self.value(z)

    def invalid(self) -> Array:
        """Whether a sample weight is negative, or all are zero."""
        s = self.sample_weight
        return jnp.asarray(False) if s is None else jnp.any(s < 0) | ~(jnp.sum(s) > 0)

    def dimension(self) -> tuple[int, jnp.dtype]:
        """`(p, dtype of X)`."""
        return self.X.shape[1], self.X.dtype

    def rank(self) -> int:
        """`min(n, p)`."""
        return min(self.X.shape)

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """The coefficients (with the intercept, where one is fitted) and the dual `S r`."""
        dual = self.weighted(self.residuals(z))
        return (LinearModel(z, self.intercept(z)), dual) if self.fit_intercept else (z, dual)
