"""The contract of a smooth loss: value, gradient and the pieces of the Hessian that a face needs."""

from __future__ import annotations

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, PyTree


class AbstractSmooth(eqx.Module):
    """A twice differentiable loss `f(z)` on `R^p`. `quadratic` says that its Hessian is the same everywhere."""

    quadratic: ClassVar[bool] = False

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

    def rank(self) -> int:
        """A bound for how many coordinates the Hessian can be definite on; all of them where no other is known."""
        return self.dimension()[0]

    def fenchel(self, z: Float[Array, " p"], tau: Float[Array, ""]) -> Float[Array, ""]:
        """`f(z) + f*(tau grad f(z))`, what the loss adds to a duality gap; NaN if it is not known for `tau < 1`."""
        return jnp.where(tau == 1, z @ self.gradient(z), jnp.nan)

    def invalid(self) -> Array:
        """Whether the data are outside the loss's domain; finiteness is checked elsewhere."""
        return jnp.asarray(False)

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """What a user reads off the unknown: `(value, dual)`."""
        return z, None


class LinearModel(NamedTuple):
    """Coefficients and intercept of `x -> x^T coef + intercept`."""

    coef: Float[Array, " p"]
    intercept: Float[Array, ""]
