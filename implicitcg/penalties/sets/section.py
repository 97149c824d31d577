"""Sections of a box by a hyperplane; the capped simplex is the one by `sum x = total`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...base import only_where, while_loop
from ...nonsmooth.choice import choose, choose_index
from ..batches import one_after_the_other
from ..closed_form import closed_form
from ..search import bracketed_newton
from .set import AbstractSet
from .simplex import first_true, last_axis

LONG = 10000  # from this length on, vectors are taken one after the other on a CPU


class BoxSection(AbstractSet):
    """The section `{x : lower <= x <= upper, w^T x = c}` of a box; bounds may be infinite, weights of any sign.

    `p = clip(x + tau w, lower, upper)`, where `w^T p` is a nondecreasing, piecewise linear function of the multiplier
    `tau`: Newton's method inside a bracket finds the piece, on which the root is exact. With the free coordinates
    `F = {j : lower_j < p_j < upper_j}` the Jacobian is `I_F - w_F w_F^T / ||w_F||^2`.

    Tie rule: a coordinate on a bound is fixed at it. At a vertex, where nothing is free, the coordinate that a larger
    `c` would free first carries the change of `c` (that of a smaller `c` at the largest possible `c`).

    >>> import jax.numpy as jnp
    >>> BoxSection(0.0, 1.0, jnp.ones(3), 1.5).project(jnp.array([2.0, 0.5, 0.25])).tolist()
    [1.0, 0.375, 0.125]
    """

    lower: Float[Array, "*n"] | float
    upper: Float[Array, "*n"] | float
    w: Float[Array, "*n"] | float
    c: Float[Array, "*batch"] | float

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        # one bound or weight for all stays one number: read, it costs no pass over the memory
        lower, upper, w = (jnp.asarray(part, x.dtype) for part in (self.lower, self.upper, self.w))
        return _each(x, lower, upper, w, last_axis(self.c, x))

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.lower) > jnp.asarray(self.upper))


class CappedSimplex(AbstractSet):
    """The capped simplex `{x : 0 <= x_j <= 1, sum_j x_j = total}` for `0 <= total <= n`: soft choices of `total` items.

    The section of the unit box by `sum x = total`; algorithm and tie rule are those of `BoxSection`.

    >>> import jax.numpy as jnp
    >>> CappedSimplex(2.0).project(jnp.array([3.0, 0.5, 0.25])).tolist()
    [1.0, 0.625, 0.375]
    """

    total: Float[Array, "*batch"] | float

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return BoxSection(0.0, 1.0, 1.0, self.total).project(x)

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.total) < 0)


def _each(x: Array, *parts: Array) -> Array:
    """The projection of every vector, with its part of the parameters that have one for each."""
    if x.ndim == 1:
        return _section(x, *parts)[0]
    parts = tuple(part[0] if part.ndim == x.ndim and part.shape[0] < x.shape[0] else part for part in parts)
    axes = tuple(0 if part.ndim == x.ndim else None for part in parts)
    return jax.vmap(_each, (0, *axes))(x, *parts)


def reach(x: Array, lower: Array, upper: Array, w: Array) -> tuple[Array, Array]:
    """The smallest and the largest value of `w^T x` on the box."""
    first, second = jnp.where(w == 0, 0, w * lower), jnp.where(w == 0, 0, w * upper)
    ends = jnp.minimum(first, second), jnp.maximum(first, second)
    least, most = (_sum(jnp.broadcast_to(end, x.shape)) for end in ends)
    return least, most


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)


def _breaks(x: Array, lower: Array, upper: Array, w: Array) -> tuple[Array, Array]:
    """For every coordinate the `tau` at which it leaves its first bound, and at which it reaches the second one."""
    safe = jnp.where(w == 0, 1, w)
    at_lower, at_upper = (lower - x) / safe, (upper - x) / safe
    return jnp.minimum(at_lower, at_upper), jnp.maximum(at_lower, at_upper)


def _value(x: Array, lower: Array, upper: Array, w: Array, c: Array) -> tuple[Array, Array]:
    """The projection, and the multiplier `tau`."""
    least, most = reach(x, lower, upper, w)
    target = jnp.clip(c, least, most)
    enters, leaves = _breaks(x, lower, upper, w)
    finite = lambda t: jnp.where(jnp.isfinite(t) & (w != 0), t, 0)  # noqa: E731
    low = jnp.min(finite(enters), axis=-1, keepdims=True, initial=0.0)
    high = jnp.max(finite(leaves), axis=-1, keepdims=True, initial=0.0)

    def clipped(tau: Array) -> Array:
        return jnp.minimum(jnp.maximum(x + tau * w, lower), upper)

    def excess(tau: Array) -> Array:
        return _sum(jnp.where(w == 0, 0, w * clipped(tau))) - target

    # infinite bounds: beyond all breaks the sum grows without bound, so that doubling the bracket ends
    width = jnp.maximum(high - low, 1) + jnp.abs(target)
    endless = ~(jnp.all(jnp.isfinite(lower)) & jnp.all(jnp.isfinite(upper)))

    def short(state: tuple) -> Array:
        low, high, width = state
        return jnp.any((excess(low) > 0) | (excess(high) < 0)) & jnp.all(jnp.isfinite(width))

    def widen(state: tuple) -> tuple:
        low, high, width = state
        low = jnp.where(excess(low) > 0, low - width, low)
        return low, jnp.where(excess(high) < 0, high + width, high), 2 * width

    low, high = only_where(endless, lambda: while_loop(short, widen, (low, high, width))[:2], (low, high))
    tau = bracketed_newton(excess, low, high)
    raised = x + tau * w
    free = (lower < raised) & (raised < upper) & (w != 0)
    # on its piece the equation is linear: one exact step; on a flat piece, a vertex, the middle is as good as any point
    bound = jnp.where(raised <= lower, lower, upper)
    slope = _sum(jnp.where(free, w * w, 0))
    rest = target - _sum(jnp.where(w == 0, 0, w * jnp.where(free, x, bound)))

    def middle() -> Array:
        before, after = _neighbours(tau, enters, leaves, w)
        return jnp.where(jnp.isfinite(before + after), before / 2 + after / 2, tau)

    tau = only_where(slope <= 0, middle, rest / jnp.where(slope > 0, slope, 1))
    return clipped(tau), tau


def _neighbours(tau: Array, enters: Array, leaves: Array, w: Array) -> tuple[Array, Array]:
    """The last break before `tau` and the first one after it at which a coordinate is or becomes free."""
    before = jnp.max(jnp.where((leaves <= tau) & (w != 0), leaves, -jnp.inf), axis=-1, keepdims=True, initial=-jnp.inf)
    after = jnp.min(jnp.where((enters >= tau) & (w != 0), enters, jnp.inf), axis=-1, keepdims=True, initial=jnp.inf)
    return before, after


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (p, tau), (x, lower, upper, w, _), (dx, dlower, dupper, dw, dc) = result, primals, tangents
    here = lax.stop_gradient((x, lower, upper, w, tau))
    weight, at_upper = _free(*here)
    bound = jnp.where(at_upper, dupper, dlower)
    moved = weight * (dx + tau * dw) + (1 - weight) * bound
    slope = _sum(weight * w * w)
    dtau = (dc - _sum(w * moved) - _sum(dw * p)) / jnp.where(slope > 0, slope, 1)
    dtau = jnp.where(slope > 0, dtau, 0)
    return moved + weight * w * dtau, dtau


def _free(x: Array, lower: Array, upper: Array, w: Array, tau: Array) -> tuple[Array, Array]:
    """The weights of the free coordinates, and which of the others are at their upper bound."""
    name = "box section"
    raised = x + tau * w
    at_upper = upper - raised <= raised - lower
    inside = (lower < raised) & (raised < upper)
    distance = jnp.minimum(jnp.abs(raised - lower), jnp.abs(raised - upper))
    # what rounding leaves of a tie is a tie
    distance = jnp.where(distance <= 8 * float(jnp.finfo(x.dtype).eps) * (jnp.abs(x) + jnp.abs(tau * w)), 0, distance)
    inside = inside & (distance > 0)
    weight = choose(inside.astype(x.dtype), jnp.where(lower == upper, jnp.inf, distance), name=name)
    enters, leaves = _breaks(x, lower, upper, w)
    movable = jnp.where(lower == upper, 0, w)
    before, after = _neighbours(tau, enters, leaves, movable)
    vertex = _sum(weight * w * w) == 0
    ends = jnp.concatenate([after, before], -1)
    exists = jnp.isfinite(ends)
    default = jnp.concatenate([exists[..., :1], ~exists[..., :1]], -1).astype(x.dtype)
    far = jnp.where(exists & vertex, jnp.zeros_like(ends), jnp.inf)
    pick = choose_index(default, far, name=name)
    opens = jnp.where(first_true((enters == after) & (movable != 0)), pick[..., :1], 0)
    opens = opens + jnp.where(first_true((leaves == before) & (movable != 0)), pick[..., 1:], 0)
    return jnp.where(vertex, jnp.minimum(opens, 1), weight), at_upper


def _long(x: Array, *parts: Array) -> tuple[Array, Array]:
    """A long vector stays in the cache until it is done, a batch of short ones goes side by side."""
    return (one_after_the_other(_value) if x.shape[-1] >= LONG else _value)(x, *parts)


_section = closed_form(_long, _tangent)
