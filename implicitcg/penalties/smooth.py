"""Smooth losses: value, gradient and the pieces of the Hessian that a face needs."""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, PyTree


class AbstractSmooth(eqx.Module):
    """A twice differentiable loss `f(z)` on `R^p`."""

    @abc.abstractmethod
    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`f(z)`."""

    @abc.abstractmethod
    def gradient(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`grad f(z)`."""

    @abc.abstractmethod
    def hessian_product(self, z: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`H(z) v`."""

    @abc.abstractmethod
    def hessian_block(self, z: Float[Array, " p"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """`H(z)[index][:, index]`."""

    @abc.abstractmethod
    def curvature(self) -> Float[Array, " p"]:
        """Upper bounds of the diagonal of the Hessian, one per coordinate."""

    @abc.abstractmethod
    def dimension(self) -> tuple[int, jnp.dtype]:
        """`p` and the dtype of the unknown."""

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """What a user reads off the unknown: `(value, dual)`."""
        return z, None


class LinearModel(NamedTuple):
    """Coefficients and intercept of `x -> x^T coef + intercept`."""

    coef: Float[Array, " p"]
    intercept: Float[Array, ""]


class LeastSquares(AbstractSmooth):
    """`f(w) = 1/(2n) ||y - X w - b||^2`, with `b` minimised out when `fit_intercept` (and 0 otherwise).

    Minimising over `b` centres the residual: `f(w) = 1/(2n) ||C (y - X w)||^2` with `C = I - 1 1^T / n`. Columns are
    never centred in memory: `X_c^T r = X^T r` for a centred `r`.
    """

    X: Float[Array, "n p"]
    y: Float[Array, " n"]
    fit_intercept: bool = eqx.field(static=True, default=False)

    def residuals(self, z: Float[Array, " p"]) -> Float[Array, " n"]:
        """`y - X w - b`."""
        return self._centre(self.y - self.X @ z)

    def intercept(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """The best `b` for the coefficients `w`."""
        return jnp.mean(self.y - self.X @ z) if self.fit_intercept else jnp.zeros((), z.dtype)

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`1/(2n) ||r||^2`."""
        return jnp.sum(jnp.square(self.residuals(z))) / (2 * self.X.shape[0])

    def gradient(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`-X^T r / n`."""
        return -(self.residuals(z) @ self.X) / self.X.shape[0]

    def hessian_product(self, z: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`X^T C X v / n`."""
        return (self._centre(self.X @ v) @ self.X) / self.X.shape[0]

    def hessian_block(self, z: Float[Array, " p"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """`(C X_I)^T (C X_I) / n` for the columns `I`."""
        columns = jnp.take(self.X, index, axis=1)
        if self.fit_intercept:
            columns = columns - jnp.mean(columns, axis=0)[None, :]
        return columns.T @ columns / self.X.shape[0]

    def curvature(self) -> Float[Array, " p"]:
        """`||C X_j||^2 / n`, and 1 for a constant column, whose coefficient stays 0."""
        X = lax.stop_gradient(self.X)
        n = X.shape[0]
        squares = jnp.einsum("ij,ij->j", X, X) / n
        if self.fit_intercept:
            centred = squares - jnp.square(jnp.mean(X, axis=0))
            # a constant column leaves rounding of size eps * squares
            squares = jnp.where(centred > 8 * n * jnp.finfo(X.dtype).eps * squares, centred, 0)
        return jnp.where(squares > 0, squares, 1)

    def dimension(self) -> tuple[int, jnp.dtype]:
        """`(p, dtype of X)`."""
        return self.X.shape[1], self.X.dtype

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """The coefficients (with the intercept, where one is fitted) and the dual `r / n`."""
        dual = self.residuals(z) / self.X.shape[0]
        return (LinearModel(z, self.intercept(z)), dual) if self.fit_intercept else (z, dual)

    def _centre(self, r: Array) -> Array:
        return r - jnp.mean(r) if self.fit_intercept else r
