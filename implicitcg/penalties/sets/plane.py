"""Hyperplanes and halfspaces."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import positive_part
from .length import closed_scaled_square
from .set import AbstractSet
from .simplex import last_axis


class Hyperplane(AbstractSet):
    """The hyperplane `{x : a^T x = b}` for `a != 0`: `p = x - a (a^T x - b) / ||a||^2`. It has no kinks.

    >>> import jax.numpy as jnp
    >>> Hyperplane(jnp.array([0.0, 2.0]), 2.0).project(jnp.array([1.0, 2.0])).tolist()
    [1.0, 1.0]
    """

    a: Float[Array, "*batch n"]
    b: Float[Array, "*batch"] | float

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        unit, excess = _excess(x, self.a, self.b)
        return x - unit * excess

    def invalid(self) -> Array:
        return jnp.any(jnp.all(self.a == 0, axis=-1))


class Halfspace(AbstractSet):
    """The halfspace `{x : a^T x <= b}` for `a != 0`: `p = x - a max(a^T x - b, 0) / ||a||^2`.

    Tie rule: on the boundary the Jacobian is the one outside, `I - a a^T / ||a||^2`.

    >>> import jax.numpy as jnp
    >>> Halfspace(jnp.array([0.0, 2.0]), 2.0).project(jnp.array([1.0, 2.0])).tolist()
    [1.0, 1.0]
    """

    a: Float[Array, "*batch n"]
    b: Float[Array, "*batch"] | float

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        unit, excess = _excess(x, self.a, self.b)
        return x - unit * positive_part(excess, tie=1.0)

    def invalid(self) -> Array:
        return jnp.any(jnp.all(self.a == 0, axis=-1))


def _excess(x: Array, a: Array, b: Array | float) -> tuple[Array, Array]:
    """The unit normal and the signed distance to the plane."""
    a = jnp.asarray(a, x.dtype)
    square, scale = closed_scaled_square(a)
    scale = lax.stop_gradient(scale)  # a constant; its square may leave the range of the format
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    unit = a / scale * (1 / length)  # one normal for all is made a unit once, not once for each vector
    height = (x @ unit)[..., None] if a.ndim == 1 else jnp.sum(jnp.broadcast_to(unit, x.shape) * x, -1, keepdims=True)
    offset = last_axis(b, x) / jnp.broadcast_to(scale * length, (*x.shape[:-1], 1))
    return jnp.broadcast_to(unit, x.shape), height - offset
