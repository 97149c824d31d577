"""A design matrix with centred and scaled columns, of which only the centres and scales are stored."""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from .abstract_design import AbstractDesign


class StandardisedDesign(AbstractDesign):
    """`Z = (X - 1 m^T) diag(1 / s)`, never formed: a sparse `X` stays sparse and a dense one is not copied."""

    X: AbstractDesign
    centre: Float[Array, " p"]
    scale: Float[Array, " p"]

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.X.shape

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X (w / s) - m^T (w / s)`."""
        scaled = w / self.scale
        return self.X @ scaled - jnp.vdot(self.centre, scaled)

    def combination(self, index: Int[Array, " c"], v: Float[Array, " c"]) -> Float[Array, " n"]:
        """As `product`, of a few columns."""
        inside = jnp.minimum(index, self.shape[1] - 1)
        scaled = jnp.where(index < self.shape[1], v / self.scale[inside], 0)
        return self.X.combination(index, scaled) - jnp.vdot(self.centre[inside], scaled)

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`(X^T r - (1^T r) m) / s`."""
        return (r @ self.X - jnp.sum(r) * self.centre) / self.scale

    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns, dense."""
        return (self.X.columns(index) - self.centre[None, index]) / self.scale[None, index]

    def column_squares(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i d_i (X_ij - m_j)^2 / s_j^2`: the variance, and the square of the mean."""
        weights = self.shares(weights)
        total = jnp.sum(weights)
        shift = self.X.column_means(weights / total) - self.centre
        variance = self.X.column_variances(weights / total)
        return total * (variance + jnp.square(shift)) / jnp.square(self.scale)

    def column_variances(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """Those of `X` over `s^2`."""
        return self.X.column_variances(weights) / jnp.square(self.scale)

    def gram(self, index: Int[Array, " c"], weights: Float[Array, " n"] | None, centred: bool) -> Float[Array, "c c"]:
        """The centred block of `X`, scaled; without centring, plus what the means of `Z` add."""
        weights = self.shares(weights)
        block = self.X.gram(index, weights, centred=True)
        if not centred:
            total = jnp.sum(weights)
            shift = (weights @ self.X)[index] / total - self.centre[index]
            block = block + total * jnp.outer(shift, shift)
        return block / jnp.outer(self.scale[index], self.scale[index])

    def cross_gram(
        self, index: Int[Array, " c"], other: Int[Array, " k"], weights: Float[Array, " n"] | None, centred: bool
    ) -> Float[Array, "c k"]:
        """As `gram`: the centred block of `X`, scaled, plus what the means of `Z` add."""
        weights = self.shares(weights)
        block = self.X.cross_gram(index, other, weights, centred=True)
        if not centred:
            total = jnp.sum(weights)
            shift = weights @ self.X / total - self.centre
            block = block + total * jnp.outer(shift[index], shift[other])
        return block / jnp.outer(self.scale[index], self.scale[other])

    def take_rows(self, index: Int[Array, " m"]) -> StandardisedDesign:
        """Those rows of `Z`, in the units of all rows: centres and scales stay."""
        return StandardisedDesign(self.X.take_rows(index), self.centre, self.scale)

    def astype(self, dtype: Any) -> Self:
        """The same matrix in another dtype."""
        parts = (self.X.astype(dtype), self.centre.astype(dtype), self.scale.astype(dtype))
        return eqx.tree_at(lambda Z: (Z.X, Z.centre, Z.scale), self, parts)

    @property
    def entries(self) -> Array:
        """Those of `X`."""
        return self.X.entries

    def on_host(self) -> np.ndarray:
        """A NumPy array, of a dense `X` only."""
        if not self.X.dense:
            raise TypeError(
                "A solver outside JAX would need the standardised sparse matrix filled. Use the default solver, or "
                "give `X` itself with one penalty a feature, `alpha * s`."
            )
        return (self.X.on_host() - np.asarray(self.centre)) / np.asarray(self.scale)

    def original_units(self, coef: Float[Array, "*k p"], intercept: Any = 0.0) -> tuple[Array, Array]:
        """`(coef / s, intercept - m^T coef / s)`: the same linear model, on the columns of `X`."""
        scaled = coef / self.scale
        return scaled, intercept - scaled @ self.centre
