"""Spearman's rank correlation, by soft ranks."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base.checks import floating
from ..penalties.domain import vectors
from .soft import soft_rank


def spearman(
    x: Float[ArrayLike, "*batch n"], y: Float[ArrayLike, "*batch n"], strength: Float[ArrayLike, "*batch"] = 1.0
) -> Float[Array, "*batch"]:
    """Pearson's correlation of the soft ranks of `x` and of `y`: a loss that rewards the right order.

    Args:
        x: vectors `(*batch, n)`, predictions say; these are ranked with `strength`.
        y: vectors `(*batch, n)` to compare with; these are ranked exactly.
        strength: of the ranks of `x`, as in `soft_rank`; 0 gives Spearman's correlation itself, with derivative 0.

    Returns:
        Numbers in [-1, 1]; 0 where all entries of `x` or of `y` are equal.

    Raises:
        ValueError: shapes that differ, or a negative strength.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([1.0, 3.0, 2.0, 5.0]), jnp.array([10.0, 20.0, 30.0, 40.0])
        >>> spearman(x, y, 0.0)
        Array(0.8, dtype=float32)
        >>> jax.grad(spearman)(x, y, 2.0).round(3)
        Array([-0.06 , -0.099,  0.147,  0.013], dtype=float32)

    Source: Spearman 1904; Blondel, Teboul, Berthet, Djolonga 2020.
    """
    x, y = vectors(x), floating(y, "y")
    if x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; pairs are needed, so the same shape.")
    a, b = soft_rank(x, strength), soft_rank(y, 0.0).astype(x.dtype)
    a, b = (ranks - jnp.mean(ranks, axis=-1, keepdims=True) for ranks in (a, b))
    square = jnp.sum(a * a, axis=-1) * jnp.sum(b * b, axis=-1)
    known = square > 0
    return jnp.where(known, jnp.sum(a * b, axis=-1) / jnp.sqrt(jnp.where(known, square, 1)), 0)
