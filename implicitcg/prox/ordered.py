"""Penalties about the order of entries: sorted l1 and total variation."""

from __future__ import annotations

from jax import Array
from jaxtyping import ArrayLike, Float

from ..penalties.domain import require, row_each, vectors
from ..penalties.ordered import SortedL1, TotalVariation
from .strength import at_strength, with_strength


def sorted_l1(x: Float[ArrayLike, "*batch n"], weights: Float[ArrayLike, "*#batch n"]) -> Float[Array, "*batch n"]:
    """The prox of the sorted l1 norm `sum_i w_i |p|_(i)` with `|p|_(1) >= |p|_(2) >= ...` (OWL, SLOPE).

    Args:
        x: vectors `(*batch, n)`.
        weights: `(n,)` in decreasing order, `>= 0`; or one row for each vector.

    Returns:
        Of the shape and dtype of `x`; entries of similar size become equal in size.

    Raises:
        ValueError: weights that are negative, not in decreasing order, or of another length.

    Example:
        >>> import jax.numpy as jnp
        >>> sorted_l1(jnp.array([3.0, -2.5, 0.5]), jnp.array([2.0, 1.0, 1.0]))
        Array([ 1.25, -1.25,  0.  ], dtype=float32)

    Source: Bogdan et al. 2015.
    """
    x = vectors(x)
    weights = require(
        row_each(weights, "weights", x, "one weight"),
        lambda w: ((w >= 0) & (w[..., :1] >= 0)).all(-1) & (w[..., 1:] <= w[..., :-1]).all(-1),
        "weights must be nonnegative and in decreasing order, the largest first: `jnp.sort(weights)[::-1]`.",
    )
    return at_strength(SortedL1(weights), x)


def total_variation(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """The prox of `t sum_i |p_{i+1} - p_i|` (fused lasso signal): piecewise constant, in linear time.

    Args:
        x: signals `(*batch, n)`.
        t: strength `>= 0`, one number, or one for each signal.

    Returns:
        Of the shape and dtype of `x`: the mean of `x` over each run, moved by `t` over its length for each neighbour
        above, and back for each below.

    Raises:
        ValueError: a negative strength, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> total_variation(jnp.array([0.0, 0.0, 6.0, 6.0]), 1.0)
        Array([0.5, 0.5, 5.5, 5.5], dtype=float32)

    Source: Johnson 2013; Tibshirani et al., Sparsity and smoothness via the fused lasso, 2005.
    """
    x, t = with_strength(vectors(x), t)
    return at_strength(TotalVariation(t), x)
