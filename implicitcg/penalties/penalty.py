"""What a penalty must know, and the weighted l1 norm.

A penalty `g` enters a problem through its proximal map `prox_{step g}(u) = argmin_v g(v) + |v - u|^2 / (2 step)`. A
*separable* penalty, `g(v) = sum_j g_j(v_j)`, also knows its branches: a coordinate is **free** where its prox moves
with `u`, and **fixed** where the prox is locally constant. On the free branch `g_j` is smooth, so the optimality
condition there is the smooth equation `d_j f + g_j' = 0`; that is what makes derivatives live on a small face.
"""

from __future__ import annotations

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from ..base import kink_tolerance


class Branches(NamedTuple):
    """The scalar kinks of a separable penalty at `u`, one per coordinate.

    `free` is 1 on the free branch and 0 on the fixed one, with the tie rule of the penalty applied; `distance` is how
    far `u_j` is from the kink, in the units of the coefficient, and `scale` the size of the numbers compared there.
    """

    free: Float[Array, " p"]
    distance: Float[Array, " p"]
    scale: Float[Array, " p"]

    def on_kink(self, tolerance: Float[Array, ""] | float = 0.0) -> Bool[Array, " p"]:
        """Which coordinates sit on their kink: within `tolerance`, or within rounding of the numbers compared."""
        return self.distance <= jnp.maximum(tolerance, kink_tolerance(self.scale.dtype) * self.scale)


class AbstractPenalty(eqx.Module):
    """A penalty or set: its value and its proximal map."""

    @abc.abstractmethod
    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`g(z)`."""

    @abc.abstractmethod
    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """`argmin_v g(v) + sum_j (v_j - u_j)^2 / (2 step_j)`."""

    def invalid(self) -> Array:
        """Whether the parameters are outside the penalty's domain."""
        return jnp.asarray(False)


class AbstractSeparable(AbstractPenalty):
    """A sum of one-dimensional penalties, each with a free and a fixed branch.

    `anchor_moves` says whether the fixed values depend on the penalty's parameters: bounds do, the zero of l1 does not.
    """

    anchor_moves: ClassVar[bool] = True

    @abc.abstractmethod
    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """The branch that each coordinate is on at `u`, with the penalty's tie rule, and the distance to its kink."""

    @abc.abstractmethod
    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`g_j'(z_j)` on the free branch next to `u`, as a smooth function of `z` and the penalty's parameters."""

    def curvature(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`g_j''(z_j)` on the free branch; the slope acts by coordinate, so one product with ones is its diagonal."""
        return jax.jvp(lambda v: self.slope(v, u), (z,), (jnp.ones_like(z),))[1]

    @abc.abstractmethod
    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """The constant value of the prox on the fixed branch next to `u`."""


class L1(AbstractSeparable):
    """`g(z) = sum_j alpha_j |z_j|`, with `prox(u) = sign(u) max(|u| - step alpha, 0)`.

    Kinks lie at `|u_j| = step_j alpha_j`. Tie rule: a coordinate on its kink is fixed at 0, the smallest active set, so
    that the default derivative is a one-sided one. Ties are judged up to rounding, `eps^{3/4}` relative (1.8e-12 in
    float64), because a solution on a knot is only known so far.
    """

    alpha: Float[Array, "*p"]
    anchor_moves: ClassVar[bool] = False

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha_j |z_j|`."""
        return jnp.sum(self.alpha * jnp.abs(z))

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding at `step alpha`."""
        return jnp.sign(u) * jnp.maximum(jnp.abs(u) - step * self.alpha, 0)

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative."""
        return jnp.any(self.alpha < 0)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free where `|u| > step alpha` beyond rounding; an unpenalised coordinate is free and has no kink."""
        threshold = step * self.alpha
        size = jnp.abs(u)
        excess = size - threshold
        smooth = jnp.broadcast_to(threshold == 0, u.shape)
        free = smooth | (excess > kink_tolerance(u.dtype) * (size + threshold))
        return Branches(free.astype(u.dtype), jnp.where(smooth, jnp.inf, jnp.abs(excess)), size + threshold)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha sign(u)`."""
        del z
        return self.alpha * lax.stop_gradient(jnp.sign(u))

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)
