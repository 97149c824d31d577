"""Nonconvex penalties that do not shrink large coefficients: the minimax concave penalty and SCAD.

Both are piecewise quadratic in `|z|`, equal to `alpha |z|` near 0 and constant far out. A solver finds a stationary
point; the derivative is that of the stationary point found, and its certificate says so.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..nonsmooth import choose
from .penalty import L1, AbstractShrinkage
from .rounding import snapped


class MCP(AbstractShrinkage):
    """The minimax concave penalty: `sum_j g(z_j)` with `g'(z) = sign(z) max(alpha - |z| / gamma, 0)`, `gamma > 1`.

    For a step below `gamma`: `prox(u) = sign(u) max(|u| - step alpha, 0) / (1 - step / gamma)` where
    `|u| <= gamma alpha`, and `u` beyond. Kinks lie at `|u_j| = step alpha` (tie: fixed at 0, as for `L1`) and at
    `|u_j| = gamma alpha` (tie: the flat piece, on which the coefficient is not shrunk).

    Source: Zhang, Nearly unbiased variable selection under minimax concave penalty, Annals of Statistics 2010.
    """

    alpha: Float[Array, "*p"]
    gamma: Float[Array, ""]
    convex: ClassVar[bool] = False
    bends: ClassVar[bool] = True

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha |z_j| - z_j^2 / (2 gamma)` up to `|z_j| = gamma alpha`, `gamma alpha^2 / 2` beyond."""
        size = jnp.minimum(jnp.abs(z), self.gamma * self.alpha)
        return jnp.sum(self.alpha * size - jnp.square(size) / (2 * self.gamma))

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding, stretched back to the identity; for a step below `gamma`."""
        firm = L1(self.alpha).prox(u, step) / (1 - step / self.gamma)
        return jnp.where(jnp.abs(u) <= self.gamma * self.alpha, firm, u)

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """At most `gamma / 2`, where the prox has one value and does not stretch by more than 2."""
        return jnp.minimum(1 / curvature, lax.stop_gradient(self.gamma) / 2)

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative, or `gamma <= 1`."""
        return jnp.any(self.alpha < 0) | jnp.any(self.gamma <= 1)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`sign(u) (alpha - |z| / gamma)` on the bent piece, 0 on the flat one."""
        edge = lax.stop_gradient(self.gamma * self.alpha)
        bent = _piece(edge - jnp.abs(lax.stop_gradient(z)), edge, "MCP, end of the shrinkage")
        return bent * (self.alpha * lax.stop_gradient(jnp.sign(u)) - z / self.gamma)

    def bent(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> tuple[Array, Array, Array]:
        """`-1 / gamma` and 0 meet at `|z| = gamma alpha`."""
        here = self.curvature(z, u)
        edge = jnp.broadcast_to(self.gamma * self.alpha, z.shape)
        distance = jnp.where(edge > 0, jnp.abs(jnp.abs(z) - edge), jnp.inf)
        low = jnp.full_like(z, -1 / self.gamma)
        return jnp.where(here == low, 0, low), here, distance


class SCAD(AbstractShrinkage):
    """Smoothly clipped absolute deviation: `g'(z) = sign(z) min(alpha, max(a alpha - |z|, 0) / (a - 1))`, `a > 2`.

    For a step below `a - 1` the prox soft-thresholds up to `|u| = (1 + step) alpha`, is the identity from
    `|u| = a alpha` on, and affine between. Kinks lie at `|u_j| = step alpha` (tie: fixed at 0, as for `L1`), at
    `|z_j| = alpha` (tie: the l1 piece) and at `|z_j| = a alpha` (tie: the flat piece).

    Source: Fan, Li, Variable selection via nonconcave penalized likelihood and its oracle properties, JASA 2001.
    """

    alpha: Float[Array, "*p"]
    a: Float[Array, ""]
    convex: ClassVar[bool] = False
    bends: ClassVar[bool] = True

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`alpha |z|`, then a parabola, then `(a + 1) alpha^2 / 2`."""
        alpha, a, size = self.alpha, self.a, jnp.minimum(jnp.abs(z), self.a * self.alpha)
        middle = (2 * a * alpha * size - jnp.square(size) - jnp.square(alpha)) / (2 * (a - 1))
        return jnp.sum(jnp.where(size <= alpha, alpha * size, middle))

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding, an affine piece, the identity; for a step below `a - 1`."""
        alpha, a, size = self.alpha, self.a, jnp.abs(u)
        middle = ((a - 1) * u - step * a * alpha * jnp.sign(u)) / (a - 1 - step)
        inner = jnp.where(size <= (1 + step) * alpha, L1(alpha).prox(u, step), middle)
        return jnp.where(size <= a * alpha, inner, u)

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """At most `(a - 1) / 2`, where the prox has one value and does not stretch by more than 2."""
        return jnp.minimum(1 / curvature, (lax.stop_gradient(self.a) - 1) / 2)

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative, or `a <= 2`."""
        return jnp.any(self.alpha < 0) | jnp.any(self.a <= 2)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha sign(u)`, `(a alpha sign(u) - z) / (a - 1)`, 0: the three pieces."""
        sign, size = lax.stop_gradient(jnp.sign(u)), lax.stop_gradient(jnp.abs(z))
        near, far = lax.stop_gradient((self.alpha, self.a * self.alpha))
        shrunk = _piece(far - size, far, "SCAD, end of the shrinkage")
        bent = _piece(size - near, near, "SCAD, end of the l1 piece")
        l1, middle = self.alpha * sign, (self.a * self.alpha * sign - z) / (self.a - 1)
        return shrunk * (l1 + bent * (middle - l1))

    def bent(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> tuple[Array, Array, Array]:
        """0 and `-1 / (a - 1)` meet at `|z| = alpha` and at `|z| = a alpha`."""
        here = self.curvature(z, u)
        size, near = jnp.abs(z), jnp.broadcast_to(self.alpha, z.shape)
        distance = jnp.minimum(jnp.abs(size - near), jnp.abs(size - self.a * near))
        low = jnp.full_like(z, -1 / (self.a - 1))
        return jnp.where(here == 0, low, 0), here, jnp.where(near > 0, distance, jnp.inf)


def _piece(excess: Array, edge: Array, name: str) -> Array:
    """1 where `excess > 0` beyond rounding, 0 elsewhere and on the kink: a choice that the library sees."""
    edge = jnp.broadcast_to(edge, excess.shape)
    distance = snapped(jnp.abs(excess), edge)
    beyond = (excess > 0) & (distance > 0)
    return choose(beyond.astype(excess.dtype), jnp.where(edge > 0, distance, jnp.inf), name=name)
