"""The Euclidean ball."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth.choice import choose, choose_ball
from ..closed_form import closed_form
from ..rounding import snapped
from .length import closed_scaled_square
from .set import AbstractSet
from .simplex import last_axis


class L2Ball(AbstractSet):
    """The ball `{x : ||x|| <= radius}` for `radius >= 0`.

    Outside, `p = radius u` with `u = x / ||x||`, and the Jacobian is `radius / ||x|| (I - u u^T)`.

    Tie rule: on the sphere the Jacobian is the one outside. At `x = 0` with radius 0 the direction `u` is 0.

    >>> import jax.numpy as jnp
    >>> L2Ball(1.0).project(jnp.array([3.0, 4.0])).round(6).tolist()
    [0.6000000238418579, 0.800000011920929]
    """

    radius: Float[Array, "*batch"] | float = 1.0

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return _l2_ball(x, last_axis(self.radius, x))[0]

    def invalid(self) -> Array:
        return jnp.any(jnp.asarray(self.radius) < 0)


def _value(x: Array, radius: Array) -> tuple[Array, Array]:
    """The projection, and the length of `x`."""
    square, scale = closed_scaled_square(x)
    root = jnp.sqrt(square)
    length = jnp.minimum(scale * root, jnp.finfo(x.dtype).max)
    # by the scale first: beside the largest numbers of the format `radius / length` is no number of it
    shrunk = (x / scale) * (radius / jnp.where(root == 0, 1, root))
    return jnp.where(length <= radius, x, shrunk), length


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (_, length), (x, radius), (dx, dradius) = result, primals, tangents
    room = snapped(lax.stop_gradient(jnp.abs(length - radius)), lax.stop_gradient(radius))
    inside = choose(((length < radius) & (room > 0)).astype(x.dtype), room, name="l2 ball")
    outside = 1 - inside
    # inside nothing is divided by: squares of a tiny length would overflow in second derivatives
    inverse = 1 / jnp.where((length > 0) & (outside > 0), length, 1)
    u = x * inverse
    # constant to `choose`, though the direction turns with x: its derivative is kept for second derivatives
    u = (
        u
        + choose_ball(lax.stop_gradient(u), jnp.maximum(length, radius)[..., 0], name="l2 ball")
        - lax.stop_gradient(u)
    )
    shrink = jnp.where(length > 0, jnp.minimum(radius * inverse, 1), 0)  # the ratio, where this piece is used
    dlength = jnp.sum(u * dx, axis=-1, keepdims=True)
    return (inside + outside * shrink) * dx + u * (outside * (dradius - shrink * dlength)), dlength


_l2_ball = closed_form(_value, _tangent)
