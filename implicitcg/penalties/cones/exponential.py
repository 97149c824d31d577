"""The exponential cone."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth.choice import choose
from ..closed_form import closed_form
from ..search import bracketed_newton
from .cone import AbstractCone, Dual
from .surface import on_surface, unit


class Exponential(AbstractCone):
    """The closure of `{(x, y, z) : y > 0, y exp(x / y) <= z}` in `R^3`; its dual is a cone of another shape.

    Outside the cone, its polar and the octant `x, y <= 0` (where the projection is `(x, 0, max(z, 0))`), the point is
    `v = A d(s) - B m(s)` with a ray `d(s) = (s, 1, e^s)` of the cone and a ray `m(s) = (-1, s - 1, e^{-s})` of its
    dual, orthogonal to it. The first two coordinates give `A(s)` and `B(s)`, and `s` is the root of an increasing
    function, found by Newton's method inside a bracket to the last bit at every magnitude.

    Tie rule: on the boundary of the cone the Jacobian is the one outside, on that of the polar cone and at the apex 0,
    and at `y = 0, x < 0` that of the octant. Cost: about a dozen evaluations of `exp`.

    >>> import jax.numpy as jnp
    >>> Exponential().project(jnp.array([1.0, 1.0, 1.0])).round(4).tolist()
    [0.4262999892234802, 0.7516999840736389, 1.3253999948501587]

    Source: Friberg, Projection onto the exponential cone: a univariate root-finding problem, 2023.
    """

    @property
    def dimension(self) -> int:
        """3."""
        return 3

    def project(self, x: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
        return exponential_projection(self.checked(x))

    def dual(self) -> Dual:
        """`{(x, y, z) : x < 0, -x exp(y/x - 1) <= z}` and its closure."""
        return Dual(self)


def exponential_projection(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """The projection of `v = (x, y, z)`."""
    return _projection(v)[0]


def _octant(x: Array, y: Array) -> Array:
    return (x <= 0) & (y <= 0)


def _weights(s: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """`A` and `B` with `x = A s + B` and `y = A - B (s - 1)`."""
    square = s * s - s + 1
    return (y + (s - 1) * x) / square, (x - s * y) / square


def _below(a: Array, b: Array, s: Array) -> Array:
    """Whether `a e^s <= b`, without overflow."""
    decay = jnp.exp(-jnp.abs(s))
    return jnp.where(s >= 0, a <= b * decay, a * decay <= b)


def _value(v: Array) -> tuple[Array, Array]:
    """The projection, and the parameter `s` of its ray."""
    size = jnp.max(jnp.abs(v), axis=-1, keepdims=True)
    unscaled = jnp.where(size > 0, size, 1)
    x, y, z = jnp.moveaxis(v / unscaled, -1, 0)
    octant = _octant(x, y)
    far = -1.1 * math.log(float(jnp.finfo(v.dtype).tiny))  # exp(-far) is zero: every root is nearer than this
    some_x, some_y = jnp.where(octant, 1, x), jnp.where(octant, 1, y)
    from_polar = 1 - some_y / jnp.where(x > 0, x, 1)
    from_cone = some_x / jnp.where(y > 0, y, 1)
    low = jnp.where(x > 0, from_polar, jnp.minimum(from_cone, 0) - far)
    high = jnp.where(y > 0, from_cone, jnp.maximum(from_polar, 0) + far)

    def excess(s: Array) -> Array:
        """`A e^s - B e^{-s} - z`, over the larger of the two exponentials."""
        A, B = _weights(s, some_x, some_y)
        decay = jnp.exp(-jnp.abs(s))
        return jnp.where(s >= 0, A - B * decay * decay, A * decay * decay - B) - z * decay

    # the signs of `excess` at the two ends, where B = 0 and A = y, and where A = 0 and B = x
    inside = ~octant & (y > 0) & _below(y, z, from_cone)
    polar = ~octant & (x > 0) & _below(x, -z, -from_polar)
    settled = octant | inside | polar
    middle = jnp.where(octant, 0, jnp.where(inside, from_cone, from_polar))
    s = bracketed_newton(excess, jnp.where(settled, middle, low), jnp.where(settled, middle, jnp.maximum(low, high)))
    A, B = _weights(s, some_x, some_y)
    decay = jnp.exp(-jnp.abs(s))
    # of two equal expressions the one without cancellation: A e^s = z + B e^{-s}
    height = jnp.where(s >= 0, z + B * decay, A * decay)
    A = jnp.maximum(jnp.where(s >= 0, height * decay, A), 0)
    ray = jnp.stack([s * A, A, jnp.maximum(height, 0)], -1)
    flat = jnp.stack([x, jnp.zeros_like(x), jnp.maximum(z, 0)], -1)
    octant, inside, polar = octant[..., None], inside[..., None], polar[..., None]
    p = unscaled * jnp.where(octant, flat, jnp.where(polar, 0, ray))
    return jnp.where(inside, v, p), s


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    ((v,), (dv,), (p, s)) = primals, tangents, result
    name = "exponential cone"
    x, y, z = jnp.split(v, 3, axis=-1)
    octant, near_y = _octant(x, y), jnp.abs(y) < jnp.abs(x)
    # in the octant the ray that lies on its nearer side: towards x = 0 or towards y = 0
    limit = jnp.asarray(float(jnp.finfo(v.dtype).max) ** 0.25, v.dtype)
    ray = jnp.clip(jnp.where(octant, jnp.where(near_y, -limit, limit), s[..., None]), -limit, limit)
    long, decay = jnp.maximum(jnp.abs(ray), 1), jnp.exp(-jnp.abs(ray))
    one = jnp.ones_like(ray)
    along = unit(jnp.where(ray >= 0, _three(ray * decay, decay, one), _three(ray / long, 1 / long, decay / long)))
    normal = unit(
        jnp.where(ray >= 0, _three(-1 / long, (ray - 1) / long, decay / long), _three(-decay, (ray - 1) * decay, one))
    )
    across = jnp.cross(along, normal)
    # distance times curvature is (B / A) (t_x - s t_y)^2, see `on_surface`
    A = jnp.where(octant, 0, p[..., 1:2])
    B = jnp.where(octant, 0, jnp.maximum(_weights(ray, x, y)[1], 0))
    bent = B * jnp.square(across[..., :1] - ray * across[..., 1:2])
    total = A + bent
    bend = jnp.where(total > 0, A / jnp.where(total > 0, total, 1), near_y.astype(v.dtype))
    surface = on_surface(along, normal, bend, dv)

    size = jnp.max(jnp.abs(v), axis=-1, keepdims=True)
    depth, height = jnp.sum(normal * v, -1, keepdims=True), jnp.sum(along * v, -1, keepdims=True)
    to_octant = jnp.where(octant, jnp.minimum(-x, -y), jnp.hypot(jnp.maximum(x, 0), jnp.maximum(y, 0)))
    inside = jnp.where(octant, near_y & (z > 0), depth > 0)
    moving = jnp.where(octant, near_y | (z > 0), height > 0)
    to_inside = jnp.where(octant, jnp.where(near_y, jnp.maximum(jnp.abs(z), -y), size), jnp.abs(depth))
    to_polar = jnp.where(octant, jnp.where(near_y, size, jnp.maximum(jnp.abs(z), -x)), jnp.abs(height))
    w_octant = _choice(octant & (x < 0), to_octant, name)
    w_inside, w_moving = _choice(inside, to_inside, name), _choice(moving, to_polar, name)
    w_z = _choice(z > 0, jnp.where(octant, jnp.abs(z), jnp.maximum(jnp.abs(z), to_octant)), name)
    flat = dv * _three(one, jnp.zeros_like(one), w_z)
    dp = w_octant * flat + (1 - w_octant) * (w_inside * dv + (1 - w_inside) * w_moving * surface)
    some = jnp.where(A > 0, A, 1)
    ds = jnp.where(A > 0, (dp[..., :1] - ray * dp[..., 1:2]) / some, 0)
    return dp, ds[..., 0]


def _three(*parts: Array) -> Array:
    return jnp.concatenate(parts, axis=-1)


def _choice(default: Array, distance: Array, name: str) -> Array:
    return choose(default.astype(distance.dtype), lax.stop_gradient(distance), name=name)


_projection = closed_form(_value, _tangent)
