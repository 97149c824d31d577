"""The maximum norm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import choose
from ..closed_form import closed_form
from ..penalty import AbstractPenalty
from ..rounding import snapped
from ..sets.simplex import on_simplex
from .scale import per_vector


class LInf(AbstractPenalty):
    """`g(z) = t max_j |z_j|`, with `prox(u) = u` held between `-level` and `level`.

    The level takes `sum_j max(|u_j| - level, 0) = step t` off, and is 0 where `sum_j |u_j| <= step t`. With the signs
    `s` of the set `S` of entries that are cut, `d level = (s_S^T du_S - d(step t)) / |S|`.

    Tie rule: an entry at the level is not cut. A vector on the boundary of the l1 ball is fixed at 0. At `t = 0` the
    prox is the identity, and the first of the largest entries answers for changes of `t`.

    >>> import jax.numpy as jnp
    >>> LInf(2.0).prox(jnp.array([3.0, -2.0, 0.5]), 1.0).tolist()
    [1.5, -1.5, 0.5]

    Source: Moreau's identity with the projection on the l1 ball; Duchi et al. 2008.
    """

    t: Float[Array, "*batch"] | float

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`t max_j |z_j|`."""
        return self.t * jnp.max(jnp.abs(z), initial=0.0)

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, "*p"] | float) -> Float[Array, "*batch p"]:
        """The prox; `step` is a scalar, or the same in all coordinates."""
        return _prox(u, per_vector(self.t, step, u))[0] if u.shape[-1] else u

    def invalid(self) -> Array:
        """Whether `t` is negative."""
        return jnp.any(jnp.asarray(self.t) < 0)


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)


def _value(u: Array, t: Array) -> tuple[Array, Array]:
    """The prox, and how much of each entry is cut."""
    size = jnp.abs(u)
    cut = jnp.minimum(on_simplex(size, t), size)
    return jnp.where(_sum(size) <= t, jnp.zeros_like(u), u - jnp.sign(u) * cut), cut


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple:
    (_, cut), (u, t), (du, dt) = *lax.stop_gradient((result, primals)), tangents
    size = jnp.abs(u)
    excess = _sum(size) - t
    away = jnp.where(t == 0, jnp.inf, snapped(jnp.abs(excess), t))
    alive = choose(((excess > 0) & (away > 0) | (t == 0)).astype(u.dtype), away, name="linf, zero")
    largest = jax.nn.one_hot(jnp.argmax(size, axis=-1), u.shape[-1], dtype=u.dtype) > 0
    level = jnp.max(size - cut, axis=-1, keepdims=True)
    distance = snapped(jnp.where(cut > 0, cut, level - size), jnp.max(size, axis=-1, keepdims=True))
    cutting = (cut > 0) & (distance > 0) | largest
    distance = jnp.where(largest | (t == 0), jnp.inf, distance)
    # inside the l1 ball there is no level, so no entry is near it
    distance = jnp.where(excess < 0, jnp.maximum(distance, -excess), distance)
    among = choose(cutting.astype(u.dtype), distance, name="linf, level")
    # at zero both signs count, where the level is zero too
    both = jnp.maximum(jnp.maximum(size, level), jnp.abs(excess))
    sign = 2 * choose((u >= 0).astype(u.dtype), both, name="linf, sign") - 1
    step = (_sum(among * sign * du) - dt) / _sum(among)
    return alive * (among * sign * step + (1 - among) * du), jnp.zeros_like(cut)


_prox = closed_form(_value, _tangent)
