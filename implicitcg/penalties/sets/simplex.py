"""The simplex and the l1 ball."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...base import while_loop
from ...nonsmooth.choice import choose
from ..closed_form import closed_form
from ..rounding import snapped
from .set import AbstractSet


class Simplex(AbstractSet):
    """The simplex `{x : x_j >= 0, sum_j x_j = radius}` for `radius >= 0`.

    `p = max(x - tau, 0)` with the threshold `tau` that makes the sum right: the root of a convex, decreasing,
    piecewise linear function, to which Newton's method climbs from below in finitely many steps (Michelot), about ten
    for large `n`, each a pass over the vector. On the support `S` the Jacobian is `I - 1 1^T / |S|`.

    Tie rule: a coordinate that reaches zero is zero, so not in `S`; at radius 0, where nothing is positive, `S` is the
    (first) largest entry.

    >>> import jax.numpy as jnp
    >>> Simplex(1.0).project(jnp.array([0.5, 1.0, -1.0])).tolist()
    [0.25, 0.75, 0.0]

    Source: Michelot, 1986; Condat, Fast projection onto the simplex and the l1 ball, 2016.
    """

    radius: Float[Array, "*batch"] | float = 1.0

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return _simplex(x, last_axis(self.radius, x))

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.radius) < 0)


class L1Ball(AbstractSet):
    """The ball `{x : sum_j |x_j| <= radius}` for `radius >= 0`.

    Outside, `p = sign(x) max(|x| - tau, 0)` with the threshold of the simplex for `|x|`; with the signs `s` on the
    support `S` the Jacobian is `I - s s^T / |S|`.

    Tie rule: on the sphere the Jacobian is the one outside; a coordinate that reaches zero is zero.

    >>> import jax.numpy as jnp
    >>> L1Ball(1.0).project(jnp.array([0.5, -1.0, 0.0])).tolist()
    [0.25, -0.75, 0.0]

    Source: Duchi, Shalev-Shwartz, Singer, Chandra, Efficient projections onto the l1-ball, ICML 2008.
    """

    radius: Float[Array, "*batch"] | float = 1.0

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return _l1_ball(x, last_axis(self.radius, x))

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.radius) < 0)


def last_axis(parameter: Any, x: Array) -> Array:
    """A parameter with one value, or one for every vector of the batch, as an array `(*batch, 1)`."""
    return jnp.broadcast_to(jnp.asarray(parameter, x.dtype), x.shape[:-1])[..., None]


def _largest(x: Array) -> Array:
    return jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf)


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)


def on_simplex(x: Array, radius: Array) -> Array:
    """The projection. Differences from the largest entry are taken first, so that a large common part does no harm."""
    y = x - _largest(x)

    def threshold(tau: Array) -> Array:
        above = y > tau
        return (_sum(jnp.where(above, y, 0)) - radius) / _sum(above.astype(y.dtype))

    def climbing(state: tuple[Array, Array]) -> Array:
        tau, following = state
        return jnp.any(following > tau)

    def climb(state: tuple[Array, Array]) -> tuple[Array, Array]:
        _, tau = state
        following = threshold(tau)
        return tau, jnp.where(following > tau, following, tau)  # an empty support, radius 0, gives NaN: no step

    start = -radius  # the largest entry alone has at most the whole sum
    tau = while_loop(climbing, climb, (jnp.full_like(start, -jnp.inf), start))[1]
    return jnp.maximum(y - tau, 0)


def _support(p: Array, x: Array, away: Array | float = 0.0) -> tuple[Array, Array]:
    """The weights of the support of the projection `p` of `x` on a simplex, and their sum.

    `away` is how far the simplex is from being used at all: no kink is nearer.
    """
    behind, height = _largest(x) - x, _largest(p)
    # what rounding leaves of a tie is a tie; a wider band would take small shares of a long support for zero
    noise = 8 * float(jnp.finfo(x.dtype).eps) * (behind + height)
    distance = jnp.where(p > 0, p, behind - height)
    distance = jnp.where(distance <= noise, 0, distance)
    distance = jnp.maximum(jnp.where((behind == 0) & (p > 0), jnp.inf, distance), away)
    weight = choose((p > noise).astype(x.dtype), distance, name="simplex")
    # radius 0: nothing is positive, and somebody must carry a radius that grows
    weight = jnp.where(_sum(weight) > 0, weight, first_true(behind == 0).astype(x.dtype))
    return weight, jnp.maximum(_sum(weight), jnp.finfo(x.dtype).tiny)


def first_true(mask: Array) -> Array:
    """The first true entry along the last axis alone."""
    size = mask.shape[-1]
    place = lax.broadcasted_iota(jnp.int32, mask.shape, mask.ndim - 1)
    return place == jnp.min(jnp.where(mask, place, size), axis=-1, keepdims=True, initial=size)


def _simplex_tangent(p: Array, primals: tuple, tangents: tuple) -> Array:
    (x, _), (dx, dradius) = primals, tangents
    weight, total = _support(lax.stop_gradient(p), lax.stop_gradient(x))
    return weight * (dx - (_sum(weight * dx) - dradius) / total)


_simplex = closed_form(on_simplex, _simplex_tangent)


def _in_l1_ball(x: Array, radius: Array) -> Array:
    size = jnp.abs(x)
    return jnp.where(_sum(size) <= radius, x, jnp.sign(x) * on_simplex(size, radius))


def _l1_ball_tangent(p: Array, primals: tuple, tangents: tuple) -> Array:
    p, (x, radius), (dx, dradius) = lax.stop_gradient(p), lax.stop_gradient(primals), tangents
    size = jnp.abs(x)
    room = radius - _sum(size)
    room = jnp.sign(room) * snapped(jnp.abs(room), radius)
    inside = choose((room > 0).astype(x.dtype), jnp.abs(room), name="l1 ball")
    weight, total = _support(jnp.abs(p), size, jnp.maximum(room, 0))
    # a coordinate at zero has two signs where the threshold is zero too, on the sphere
    threshold = jnp.maximum(jnp.abs(room), _largest(size) - _largest(jnp.abs(p)))
    sign = 2 * choose((jnp.sign(x) + 1) / 2, jnp.maximum(size, threshold), name="l1 ball") - 1
    surface = sign * weight * (sign * dx - (_sum(sign * weight * dx) - dradius) / total)
    return inside * dx + (1 - inside) * surface


_l1_ball = closed_form(_in_l1_ball, _l1_ball_tangent)
