"""The l1 norm between bounds: the penalty of the duals of support vector machines."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..base import kink_tolerance
from .penalty import AbstractSeparable, Branches


class BoxedL1(AbstractSeparable):
    """`g(z) = sum_j alpha_j |z_j|` on `lower <= z <= upper`, with `lower <= 0 <= upper`, and infinite elsewhere.

    `prox(u) = clip(sign(u) max(|u| - step alpha, 0), lower, upper)`. It is fixed at the bounds, and at 0 where `alpha`
    is positive. Kinks lie at `|u_j| = step alpha_j`, `u_j = upper_j + step alpha_j` and `u_j = lower_j - step alpha_j`.
    Tie rule: a coordinate on a kink is fixed, the smallest set of free coordinates, up to rounding as for `L1`.
    """

    alpha: Float[Array, "*p"]
    lower: Float[Array, "*p"]
    upper: Float[Array, "*p"]
    anchor_moves: ClassVar[bool] = True
    flat: ClassVar[bool] = True

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha_j |z_j|`, infinite outside the bounds beyond rounding."""
        slack = kink_tolerance(z.dtype) * (self.upper - self.lower)
        inside = jnp.all((z >= self.lower - slack) & (z <= self.upper + slack))
        return jnp.where(inside, jnp.sum(self.alpha * jnp.abs(z)), jnp.inf)

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding, then the bounds."""
        soft = jnp.sign(u) * jnp.maximum(jnp.abs(u) - step * self.alpha, 0)
        return jnp.clip(soft, self.lower, self.upper)

    def conjugate(self, v: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`sum_j max(upper_j (v_j - alpha_j), lower_j (v_j + alpha_j), 0)`, finite everywhere."""
        best = jnp.maximum(self.upper * (v - self.alpha), self.lower * (v + self.alpha))
        return jnp.ones((), v.dtype), jnp.sum(jnp.maximum(best, 0))

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative, or 0 is not between the bounds."""
        return jnp.any(self.alpha < 0) | jnp.any(self.lower > 0) | jnp.any(self.upper < 0)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free strictly between two neighbouring kinks that bound a moving piece."""
        alpha, lower, upper = (jnp.broadcast_to(x, u.shape) for x in (self.alpha, self.lower, self.upper))
        threshold = step * alpha
        dead = alpha > 0
        near = jnp.stack(  # a place that is no kink is infinitely far
            [
                jnp.abs(u - upper - threshold),
                jnp.where(lower < 0, jnp.abs(u - lower + threshold), jnp.inf),
                jnp.where((upper > 0) & (dead | (lower == 0)), jnp.abs(u - threshold), jnp.inf),
                jnp.where((lower < 0) & (dead | (upper == 0)), jnp.abs(u + threshold), jnp.inf),
            ]
        )
        distance = jnp.min(near, axis=0)
        scale = jnp.abs(u) + threshold + upper - lower
        above = (u > threshold) & (u < upper + threshold)
        below = (u < -threshold) & (u > lower - threshold)
        free = (above | below | (~dead & (u > lower) & (u < upper))) & (distance > kink_tolerance(u.dtype) * scale)
        return Branches(free.astype(u.dtype), distance, scale)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha sign(u)`."""
        del z
        return self.alpha * lax.stop_gradient(jnp.sign(u))

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """As `anchor_at` a small step."""
        return self.anchor_at(u, jnp.zeros_like(u))

    def anchor_at(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Float[Array, " p"]:
        """A bound, where `u` has passed the middle between it and the dead zone around 0; 0 otherwise."""
        upper, lower, alpha = lax.stop_gradient((self.upper, self.lower, self.alpha))
        above, below = u > step * alpha + upper / 2, u < -step * alpha + lower / 2
        return jnp.where(above, self.upper, jnp.where(below, self.lower, 0))
