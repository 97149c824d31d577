"""What a convex set must know: how to project on it. Its penalty is the indicator, whose prox is the projection."""

from __future__ import annotations

import abc

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...base import kink_tolerance
from ..penalty import AbstractPenalty


class AbstractSet(AbstractPenalty):
    """A closed convex set `C` in `R^n`, as the penalty that is 0 on `C` and infinite elsewhere.

    `project` acts along the last axis. **Tie rule of every set: the smallest face.** A point on the boundary is moved
    as the points outside next to it are: an inequality met with equality counts as active, a coordinate that reaches
    its bound stays there.
    """

    @abc.abstractmethod
    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """The nearest point of the set."""

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """The projection, for every step that is the same in all coordinates."""
        del step
        return self.project(u)

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """0 on the set, judged up to `eps^{3/4}` of the size of `z`, and infinity elsewhere."""
        return jnp.where(jnp.all(self.contains(z)), 0, jnp.inf).astype(z.dtype)

    def contains(self, z: Float[Array, "*batch n"]) -> Array:
        """Whether `z` lies in the set, up to `eps^{3/4}` of its size."""
        size = jnp.max(jnp.abs(z), axis=-1, initial=0.0)
        away = jnp.max(jnp.abs(z - self.project(z)), axis=-1, initial=0.0)
        return away <= kink_tolerance(z.dtype) * (1 + size)
