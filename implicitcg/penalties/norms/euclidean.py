"""The Euclidean norm, without a square."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import choose, norm
from ...nonsmooth.length import scaled_square
from ..closed_form import closed_form
from ..penalty import AbstractPenalty
from ..rounding import snapped
from .scale import per_vector


class L2(AbstractPenalty):
    """`g(z) = t ||z||`, with `prox(u) = max(1 - step t / ||u||, 0) u`.

    Outside the ball of radius `step t` the Jacobian is `(1 - t / r)(I - w w^T) + w w^T` with `r = ||u||`, `w = u / r`.

    Tie rule: on the sphere the vector is fixed at 0. At `t = 0` the prox is the identity, also at 0.

    >>> import jax.numpy as jnp
    >>> L2(1.0).prox(jnp.array([0.0, 3.0]), 1.0).tolist()
    [0.0, 2.0]
    """

    t: Float[Array, "*batch"] | float

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`t ||z||`."""
        return self.t * norm(z)

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, "*p"] | float) -> Float[Array, "*batch p"]:
        """The prox; `step` is a scalar, or the same in all coordinates."""
        return _prox(u, per_vector(self.t, step, u))[0]

    def invalid(self) -> Array:
        """Whether `t` is negative."""
        return jnp.any(jnp.asarray(self.t) < 0)


def _value(u: Array, t: Array) -> tuple[Array, Array]:
    """The prox, and the length of `u`."""
    square, scale = scaled_square(u)
    r = scale * jnp.sqrt(square)
    return jnp.where(r > t, (r - t) / jnp.where(r > t, r, 1), (t == 0).astype(u.dtype)) * u, r


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (_, r), (u, t), (du, dt) = result, primals, tangents
    distance = lax.stop_gradient(jnp.where(t == 0, jnp.inf, snapped(jnp.abs(r - t), t)))
    free = choose(((r > t) & (distance > 0) | (t == 0)).astype(u.dtype), distance, name="l2")
    inverse = 1 / jnp.where((r > 0) & (free > 0), r, 1)  # where nothing moves nothing overflows either
    shrink = jnp.where(t == 0, 1, jnp.maximum(1 - t * inverse, 0))
    along = jnp.sum(u * inverse * du, axis=-1, keepdims=True)
    return free * (shrink * du + u * (inverse * ((1 - shrink) * along - dt))), along


_prox = closed_form(_value, _tangent)
