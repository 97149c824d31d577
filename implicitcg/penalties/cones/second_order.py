"""The second-order cone."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import norm
from ...nonsmooth.choice import choose, choose_ball
from ..closed_form import closed_form
from ..rounding import snapped
from .cone import AbstractCone


class SecondOrder(AbstractCone):
    """The cone `{(t, x) : ||x|| <= t}` in `R^d`, its own dual.

    With `r = ||x||`: the point itself inside (`r <= t`), 0 in the polar cone (`r <= -t`), and else
    `(t + r)/2 (1, x/r)`, with the Jacobian `1/2 [[1, w^T], [w, (1 + t/r) I - (t/r) w w^T]]`, `w = x/r`.

    Tie rule: on the boundary `r = t` the Jacobian is the one outside, on the boundary of the polar cone and at the apex
    it is 0. Cost: two passes over the vector.

    >>> import jax.numpy as jnp
    >>> SecondOrder(3).project(jnp.array([1.0, 3.0, 4.0])).round(6).tolist()
    [3.0, 1.7999999523162842, 2.4000000953674316]
    """

    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"A second-order cone has dimension at least 1 (t alone), and {self.size} was given.")

    @property
    def dimension(self) -> int:
        return self.size

    def project(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        return second_order_projection(self.checked(x))

    def dual(self) -> SecondOrder:
        """The cone itself."""
        return self

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        return self.project(v)


def _value(v: Array) -> Array:
    t, x = v[..., :1], v[..., 1:]
    r = norm(x, -1)[..., None]
    height = (t + r) / 2
    unit = x / jnp.where(r == 0, 1, r)
    outside = jnp.concatenate([height, height * unit], -1)
    return jnp.where(r <= t, v, jnp.where(r <= -t, 0, outside))


def _tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
    del result
    ((v,), (dv,)) = primals, tangents
    t, x, dt, dx = v[..., :1], v[..., 1:], dv[..., :1], dv[..., 1:]
    r = norm(x, -1)[..., None]
    at_apex = jnp.maximum(r, jnp.abs(t))
    unit = x / jnp.where(r == 0, 1, r)
    # a constant to `choose`, though the direction turns with x: its derivative is kept for second derivatives
    unit = unit + choose_ball(unit, at_apex[..., 0], name="second-order cone") - lax.stop_gradient(unit)
    depth, height = (snapped(jnp.abs(gap), r + jnp.abs(t)) for gap in (t - r, t + r))
    inside = choose(((r < t) & (depth > 0)).astype(v.dtype), depth, name="second-order cone")
    moving = choose(((r > -t) & (height > 0)).astype(v.dtype), height, name="second-order cone")
    slope = jnp.clip(t / jnp.where(r == 0, 1, r), -1, 1)  # |t| <= r wherever this piece is used
    slope = jnp.where(r == 0, 0, slope)
    along = (unit * dx).sum(-1, keepdims=True)
    surface = jnp.concatenate([dt + along, unit * dt + (1 + slope) * dx - slope * along * unit], -1) / 2
    return inside * dv + (1 - inside) * moving * surface


second_order_projection = closed_form(_value, _tangent)
