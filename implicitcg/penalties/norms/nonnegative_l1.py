"""The l1 norm on the nonnegative orthant."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...base import kink_tolerance
from ...nonsmooth import positive_part
from ..penalty import AbstractSeparable, Branches


class NonnegativeL1(AbstractSeparable):
    """`g(z) = sum_j alpha_j z_j` for `z >= 0`, infinite elsewhere, with `prox(u) = max(u - step alpha, 0)`.

    Kinks lie at `u_j = step_j alpha_j`. Tie rule: a coordinate on its kink is fixed at 0, up to rounding as for `L1`.

    >>> import jax.numpy as jnp
    >>> NonnegativeL1(jnp.array(1.0)).prox(jnp.array([3.0, 1.0]), 1.0).tolist()
    [2.0, 0.0]
    """

    alpha: Float[Array, "*p"]
    anchor_moves: ClassVar[bool] = False

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha_j z_j`, or infinity."""
        return jnp.where(jnp.all(z >= 0), jnp.sum(self.alpha * z), jnp.inf)

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, "*p"]) -> Float[Array, "*batch p"]:
        """Thresholding at `step alpha`, and at 0."""
        return positive_part(u - step * self.alpha)

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative."""
        return jnp.any(self.alpha < 0)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free where `u > step alpha` beyond rounding."""
        threshold = jnp.broadcast_to(step * self.alpha, u.shape)
        excess, scale = u - threshold, jnp.abs(u) + threshold
        free = excess > kink_tolerance(u.dtype) * scale
        return Branches(free.astype(u.dtype), jnp.abs(excess), scale)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha`."""
        del u
        return jnp.broadcast_to(self.alpha, z.shape)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)
