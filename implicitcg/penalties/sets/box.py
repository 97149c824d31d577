"""Boxes."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...nonsmooth import clip
from ..penalty import AbstractSeparable, Branches
from .set import AbstractSet


class Box(AbstractSet, AbstractSeparable):
    """The box `{x : lower <= x <= upper}`; bounds may be infinite, or equal.

    Tie rule: a coordinate on a bound is fixed at it and moves with it; where both bounds are equal, with the lower one
    if it is at or below it, else with the upper one.

    >>> import jax.numpy as jnp
    >>> Box(0.0, 1.0).project(jnp.array([0.5, 2.0, -1.0])).tolist()
    [0.5, 1.0, 0.0]
    """

    lower: Float[Array, "*n"] | float
    upper: Float[Array, "*n"] | float

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """`min(max(x, lower), upper)`."""
        return clip(x, *self._bounds(x))

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.lower) > jnp.asarray(self.upper))

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free strictly between the bounds; equal bounds have no free branch and no kink."""
        del step
        lower, upper = self._bounds(u)
        free = (lower < u) & (u < upper)
        distance = jnp.minimum(jnp.abs(u - lower), jnp.abs(u - upper))
        distance = jnp.where(lower == upper, jnp.inf, distance)
        return Branches(free.astype(u.dtype), distance, jnp.abs(u) + jnp.abs(self.anchor(u)))

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero: inside the set there is no cost."""
        del u
        return jnp.zeros_like(z)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """The bound that is nearer."""
        lower, upper = self._bounds(u)
        return jnp.where(jnp.abs(u - lower) <= jnp.abs(u - upper), lower, upper)

    def _bounds(self, x: Array) -> tuple[Array, Array]:
        lower, upper = jnp.asarray(self.lower, x.dtype), jnp.asarray(self.upper, x.dtype)
        return jnp.broadcast_to(lower, x.shape), jnp.broadcast_to(upper, x.shape)
