"""The quadratic of the dual of a margin problem: half the square of the weights that its multipliers build."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, PyTree

from .smooth import AbstractSmooth


class DualQuadratic(AbstractSmooth):
    """`f(a) = 1/2 ||w||^2 - c^T a` with `w = sum_i sign_i a_i x_i`, in the multipliers `a` of the samples.

    Its value to a user is `w`; `a` is the dual.
    """

    X: Float[Array, "n p"]
    linear: Float[Array, " n"]
    sign: Float[Array, " n"]
    quadratic: ClassVar[bool] = True

    def primal(self, a: Float[Array, " n"]) -> Float[Array, " p"]:
        """`w`."""
        return (self.sign * a) @ self.X

    def value(self, z: Float[Array, " n"]) -> Float[Array, ""]:
        """`1/2 ||w||^2 - c^T a`."""
        return jnp.sum(jnp.square(self.primal(z))) / 2 - self.linear @ z

    def gradient(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """`sign_i x_i^T w - c_i`."""
        return self.sign * (self.X @ self.primal(z)) - self.linear

    def hessian_product(self, z: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """`sign_i x_i^T sum_k sign_k v_k x_k`."""
        return self.sign * (self.X @ self.primal(v))

    def hessian_block(self, z: Float[Array, " n"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """Products of a few rows."""
        rows = self.sign[index, None] * self.X[index]
        return rows @ rows.T

    def curvature(self) -> Float[Array, " n"]:
        """`||x_i||^2`, and 1 for an empty row."""
        X, sign = lax.stop_gradient((self.X, self.sign))
        squares = jnp.square(sign) * jnp.einsum("ij,ij->i", X, X)
        return jnp.where(squares > 0, squares, 1)

    def dimension(self) -> tuple[int, jnp.dtype]:
        """`(n, dtype of X)`."""
        return self.X.shape[0], self.X.dtype

    def rank(self) -> int:
        """`min(n, p)`."""
        return min(self.X.shape)

    def present(self, z: Float[Array, " n"]) -> tuple[PyTree, PyTree | None]:
        """The weights and the multipliers."""
        return self.primal(z), z
