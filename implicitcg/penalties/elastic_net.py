"""The elastic net: the weighted l1 norm plus half a weighted square."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from .penalty import L1, AbstractShrinkage


class ElasticNet(AbstractShrinkage):
    """`g(z) = sum_j alpha_j |z_j| + ridge_j / 2 z_j^2`.

    `prox(u) = sign(u) max(|u| - step alpha, 0) / (1 + step ridge)`. Kinks and tie rule are those of `L1`.
    """

    alpha: Float[Array, "*p"]
    ridge: Float[Array, "*p"]

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha_j |z_j| + ridge_j z_j^2 / 2`."""
        return jnp.sum(self.alpha * jnp.abs(z) + self.ridge * jnp.square(z) / 2)

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding at `step alpha`, shrunk by `1 + step ridge`."""
        return L1(self.alpha).prox(u, step) / (1 + step * self.ridge)

    def conjugate(self, v: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`sum_j max(|v_j| - alpha_j, 0)^2 / (2 ridge_j)`; a coordinate without ridge is that of `L1`."""
        ridged = self.ridge > 0
        inside = jnp.where(ridged, 1, jnp.maximum(jnp.abs(v), self.alpha) / jnp.where(self.alpha > 0, self.alpha, 1))
        tau = jnp.min(jnp.where(ridged | (self.alpha == 0), 1, 1 / inside))
        excess = jnp.maximum(tau * jnp.abs(v) - self.alpha, 0)
        return tau, jnp.sum(jnp.where(ridged, jnp.square(excess) / (2 * jnp.where(ridged, self.ridge, 1)), 0))

    def invalid(self) -> Array:
        """Whether some `alpha_j` or `ridge_j` is negative."""
        return jnp.any(self.alpha < 0) | jnp.any(self.ridge < 0)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha sign(u) + ridge z`."""
        return self.alpha * lax.stop_gradient(jnp.sign(u)) + self.ridge * z

    def l1_and_ridge(self) -> tuple[Float[Array, "*p"], Float[Array, "*p"] | None]:
        """`(alpha, ridge)`."""
        return self.alpha, self.ridge
