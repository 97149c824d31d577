"""The power cone."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth.choice import choose
from ..closed_form import closed_form
from ..domain import require
from ..search import bracketed_newton
from .cone import AbstractCone, Dual
from .surface import on_surface, unit


class Power(AbstractCone):
    """The cone `{(x, y, z) : x^a y^{1-a} >= |z|, x, y >= 0}` in `R^3` for `0 < a < 1`.

    Its dual is `{(x, y, z) : (x/a)^a (y/(1-a))^{1-a} >= |z|, x, y >= 0}`. Outside both the cone and its polar, the
    projection has `|z| = r` and `x = (x_0 + sqrt(x_0^2 + 4 a r (|z_0| - r))) / 2` (and `y` with `1 - a`), with `r` the
    root of `log r = a log x + (1 - a) log y`. It is searched in `log(r / (|z_0| - r))`, so that both ends of
    `(0, |z_0|)` are resolved to the last bit.

    Tie rule: on the boundary of the cone the Jacobian is the one outside; on that of the polar cone and at the apex 0.
    Cost: about a dozen evaluations of two logarithms.

    Args:
        a: the exponent of the first coordinate, a parameter: it is differentiated.

    >>> import jax.numpy as jnp
    >>> Power(0.5).project(jnp.array([0.0, 0.0, 3.0])).round(4).tolist()
    [1.0, 1.0, 1.0]

    Source: Hien, Differential properties of Euclidean projection onto power cone, 2015, for the equation in `r`.
    """

    a: Float[Array, ""]

    def __init__(self, a: Any):
        self.a = require(jnp.asarray(a), _inside_interval, _MESSAGE)

    @property
    def dimension(self) -> int:
        """3."""
        return 3

    def project(self, x: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
        return power_projection(self.checked(x), self.a.astype(x.dtype))

    def dual(self) -> Dual:
        return Dual(self)

    def invalid(self) -> Array:
        return ~_inside_interval(self.a)


_MESSAGE = "The exponent of a power cone must lie strictly between 0 and 1: at the ends the cone is half of space."


def _inside_interval(a: Any) -> Any:
    return ((a > 0) & (a < 1)).all()


def power_projection(v: Float[Array, "*batch 3"], a: Float[Array, "*batch"]) -> Float[Array, "*batch 3"]:
    """The projection of `v = (x, y, z)`, with one exponent or one for every vector."""
    return _projection(v, jnp.broadcast_to(a, v.shape[:-1])[..., None])[0]


def _value(v: Array, a: Array) -> tuple[Array, Array]:
    """The projection, and the multiplier `|z_0| - r`."""
    size = jnp.max(jnp.abs(v), axis=-1, keepdims=True)
    unscaled = jnp.where(size > 0, size, 1)
    x, y, z = jnp.split(v / unscaled, 3, axis=-1)
    height = jnp.abs(z)
    inside = (x >= 0) & (y >= 0) & (_mean(x, y, a) >= height)
    polar = (x <= 0) & (y <= 0) & (_mean(-x / a, -y / (1 - a), a) >= height)
    flat = ~inside & ~polar & (height == 0)
    some = jnp.where(inside | polar | flat, 1, height)

    def parts(q: Array) -> tuple[Array, Array, Array]:
        """`log r`, `log x` and `log y` at `r = |z_0| / (1 + e^{-q})`."""
        low, high = -jax.nn.softplus(-q), -jax.nn.softplus(q)  # logarithms of r and |z_0| - r over |z_0|

        def coordinate(start: Array, share: Array) -> Array:
            product = share * jnp.exp(low + high) * some * some
            root = jnp.sqrt(start * start + 4 * product)
            positive = jnp.where(start > 0, (start + root) / 2, 1)
            tail = jnp.log(2 * share) + low + high + 2 * jnp.log(some)
            negative = tail - jnp.log(jnp.where(start > 0, 1, jnp.maximum(root - start, jnp.finfo(v.dtype).tiny)))
            return jnp.where(start > 0, jnp.log(positive), negative)

        return low + jnp.log(some), coordinate(x, a), coordinate(y, 1 - a)

    def excess(q: Array) -> Array:
        log_r, log_x, log_y = parts(q)
        return log_r - a * log_x - (1 - a) * log_y

    far = jnp.full_like(x, -1.0 * math.log(float(jnp.finfo(v.dtype).tiny)))
    settled = inside | polar | flat
    q = bracketed_newton(excess, jnp.where(settled, 0, -far), jnp.where(settled, 0, far))
    log_r, log_x, log_y = parts(q)
    surface = jnp.concatenate([jnp.exp(log_x), jnp.exp(log_y), jnp.sign(z) * jnp.exp(log_r)], -1)
    face = jnp.concatenate([jnp.maximum(x, 0), jnp.maximum(y, 0), jnp.zeros_like(z)], -1)
    p = unscaled * jnp.where(polar, 0, jnp.where(flat, face, surface))
    multiplier = unscaled * jnp.where(inside | flat, 0, jnp.where(polar, height, some * jax.nn.sigmoid(-q)))
    return jnp.where(inside, v, p), multiplier


def _mean(x: Array, y: Array, a: Array) -> Array:
    """`x^a y^{1-a}`, and 0 where an argument is not positive."""
    positive = (x > 0) & (y > 0)
    return jnp.where(positive, jnp.where(positive, x, 1) ** a * jnp.where(positive, y, 1) ** (1 - a), 0)


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (p, multiplier), (v, a), (dv, da) = result, primals, tangents
    name = "power cone"
    size = jnp.max(jnp.abs(v), axis=-1, keepdims=True)
    scale = lax.stop_gradient(jnp.where(size > 0, size, 1))
    x, y, z = jnp.split(v / scale, 3, axis=-1)
    sign = jnp.where(z < 0, -jnp.ones_like(z), jnp.ones_like(z))
    zero = lax.stop_gradient(jnp.all(p == 0, axis=-1, keepdims=True))
    settled = lax.stop_gradient(jnp.all(p == v, axis=-1, keepdims=True))
    X, Y, r = jnp.split(p / scale, 3, axis=-1)
    r = jnp.where(settled, _mean(X, Y, a), jnp.abs(r))
    # at 0 the ray that would be reached first: the one that the nearest boundary point of the polar cone exposes
    dual = _mean(-x / a, -y / (1 - a), a)
    edge = (x == 0) | (y == 0)
    reached = (a * -y * dual, (1 - a) * -x * dual, x * y)
    X, Y, r = (
        jnp.where(zero, jnp.where(edge, e, q), s)
        for q, s, e in zip(reached, (X, Y, r), ((x == 0).astype(x.dtype), (y == 0).astype(x.dtype), 0), strict=True)
    )
    X, Y, r, length = _ray(X, Y, r, zero)
    ray = jnp.concatenate([X, Y, sign * r], -1)
    some_r = jnp.where(r > 0, r, 1)
    slope = jnp.concatenate([-a * Y, -(1 - a) * X, jnp.where(r > 0, sign * X * (Y / some_r), 0)], -1)
    along, normal = unit(ray), unit(slope)
    # distance times curvature is a (1 - a) (|z_0| - r) r |ray|^2 / |r slope|^2
    steep = length * r * jnp.sum(slope * slope, -1, keepdims=True)
    bent = a * (1 - a) * multiplier / scale * jnp.sum(ray * ray, -1, keepdims=True)
    total = steep + bent
    bend = jnp.where(total > 0, steep / jnp.where(total > 0, total, 1), _bend_on_face(x, y, X, Y, a))
    in_exponent = _in_exponent(along, normal, bend, (X, Y, r, sign), length, multiplier / scale, total, a)
    dp = on_surface(along, normal, bend, dv) + scale * in_exponent * da

    depth, height = jnp.sum(normal * v, -1, keepdims=True), jnp.sum(along * v, -1, keepdims=True)
    inside = choose((depth < 0).astype(v.dtype), lax.stop_gradient(jnp.abs(depth)), name=name)
    moving = choose((height > 0).astype(v.dtype), lax.stop_gradient(jnp.abs(height)), name=name)
    dp = inside * dv + (1 - inside) * moving * dp
    return dp, jnp.where(settled, 0, sign * (dv[..., 2:] - dp[..., 2:]))


def _bend_on_face(x: Array, y: Array, X: Array, Y: Array, a: Array) -> Array:
    """The slope of `z` at `z_0 = 0` beside the cone, where it meets the plane `x = 0` or `y = 0` in a ray.

    With `x_0 < 0 < y_0` and small `z_0` the equation is `(a r (|z_0| - r) / |x_0|)^a y_0^{1-a} = r`: for `a < 1/2` its
    root is `r ~ |z_0|`, for `a > 1/2` it is `o(z_0)`, and for `a = 1/2` a fixed share of `|z_0|`.
    """
    power = jnp.where(X > 0, 1 - a, a)
    distance, length = jnp.where(X > 0, -y, -x), jnp.where(X > 0, X, Y)
    share = length / jnp.where(length > 0, length + 2 * distance, 1)
    beside = jnp.where(power < 0.5, 1, jnp.where(power > 0.5, 0, share))
    return jnp.where(distance > 0, beside, 1)


def _ray(X: Array, Y: Array, r: Array, zero: Array) -> tuple[Array, Array, Array, Array]:
    """A point of the cone as a ray of size one and a length, 0 at the apex.

    A point within `tiny^{1/2}` of the apex has a direction, but not one whose derivative the format could hold.
    """
    size = jnp.maximum(jnp.maximum(X, Y), r)
    some = jnp.where(size > 0, size, 1)
    X, Y, r = X / some, Y / some, r / some
    near = size < float(jnp.finfo(size.dtype).tiny) ** 0.5
    X, Y, r, size = (jnp.where(near, lax.stop_gradient(part), part) for part in (X, Y, r, size))
    return X, Y, r, jnp.where(zero, 0, size)


def _in_exponent(
    along: Array,
    normal: Array,
    bend: Array,
    ray: tuple[Array, Array, Array, Array],
    length: Array,
    multiplier: Array,
    total: Array,
    a: Array,
) -> Array:
    """The derivative in `a`, from `p - v + m grad g = 0`, `g(p; a) = |z| - x^a y^{1-a} = 0` with `m = |z_0| - r`."""
    X, Y, r, sign = ray
    regular = (X > 0) & (Y > 0) & (r > 0) & (total > 0)
    X, Y, r, total = (jnp.where(regular, part, 1) for part in (X, Y, r, total))
    log = jnp.log(X) - jnp.log(Y)
    across = jnp.cross(along, normal)
    moved = jnp.concatenate([-r / X * (1 + a * log), r / Y * (1 - (1 - a) * log), jnp.zeros_like(r)], -1)
    pushed = -multiplier * on_surface(along, normal, bend, moved)
    # and back on the surface: g falls by r log(x / y), made good along M^{-1} grad g with M = I + m Hess g. With
    # w = (1/x, -1/y, 0) and t across the ray, bend (t^T w)(n^T w) is this ratio, in which nothing overflows
    gradient = jnp.sqrt(jnp.square(a * r / X) + jnp.square((1 - a) * r / Y) + 1)
    size = sign * jnp.sqrt(X * X + Y * Y + r * r)
    tilt = size * ((1 - a) * X * (r / Y) - a * Y * (r / X)) / total
    back = normal - multiplier * a * (1 - a) * tilt * across
    return jnp.where(regular, pushed + length * r * log / gradient * back, 0)


_projection = closed_form(_value, _tangent)
