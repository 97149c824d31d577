"""The Huber function as a penalty: quadratic near zero, linear far out."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...nonsmooth import choose
from ..closed_form import closed_form
from ..penalty import AbstractPenalty
from ..rounding import snapped


class Huber(AbstractPenalty):
    """`g(z) = t sum_j h(z_j)` with `h(z) = z^2 / 2` up to `|z| = delta`, `delta |z| - delta^2 / 2` beyond.

    With `s = step t`, `prox(u) = u / (1 + s)` where `|u| <= (1 + s) delta`, and `u - s delta sign(u)` beyond: it never
    fixes an entry, and its kink is where these two pieces meet.

    Tie rule: the quadratic piece, on which the prox moves less.

    >>> import jax.numpy as jnp
    >>> Huber(1.0, 1.0).prox(jnp.array([1.0, 4.0]), 1.0).tolist()
    [0.5, 3.0]

    Source: Huber, Robust estimation of a location parameter, 1964.
    """

    t: Float[Array, "*p"] | float
    delta: Float[Array, "*p"] | float = 1.0

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`t sum_j h(z_j)`."""
        delta = jnp.asarray(self.delta, z.dtype)
        inner = jnp.minimum(jnp.abs(z), delta)
        return jnp.sum(self.t * inner * (jnp.abs(z) - inner / 2))

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, "*p"] | float) -> Float[Array, "*batch p"]:
        """The prox, entry by entry."""
        strength, delta = (jnp.broadcast_to(jnp.asarray(a, u.dtype), u.shape) for a in (step * self.t, self.delta))
        return _prox(u, strength, delta)

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """Any steps will do."""
        return 1 / curvature

    def invalid(self) -> Array:
        """Whether `t` or `delta` is negative."""
        return jnp.any(jnp.asarray(self.t) < 0) | jnp.any(jnp.asarray(self.delta) < 0)


def _value(u: Array, s: Array, delta: Array) -> Array:
    return jnp.where(jnp.abs(u) <= (1 + s) * delta, u / (1 + s), u - s * delta * jnp.sign(u))


def _tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
    del result
    (u, s, delta), (du, ds, ddelta) = primals, tangents
    excess = jnp.abs(u) - (1 + s) * delta
    # without strength both pieces are the identity; without a quadratic piece at 0, the entry there does not move
    distance = jnp.where(s == 0, jnp.inf, snapped(jnp.abs(excess), jnp.abs(u)))
    linear = choose(((excess > 0) & (distance > 0)).astype(u.dtype), distance, name="huber")
    near = (du - u / (1 + s) * ds) / (1 + s)
    far = du - jnp.sign(u) * (delta * ds + s * ddelta)
    return linear * far + (1 - linear) * near


_prox = closed_form(_value, _tangent)
