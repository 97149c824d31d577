"""Sorting and ranking as projections on a permutahedron: piecewise linear in `x`, exact beyond a finite distance."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..penalties.domain import one_each, require, vectors
from ..penalties.ordered import toward_permutahedron


def soft_rank(x: Float[ArrayLike, "*batch n"], strength: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """Ranks that move with `x`: the projection of `x / strength` on the permutahedron of `(1, ..., n)`.

    The smallest entry has rank near 1, the largest near `n`; the sum is always `n (n + 1) / 2`. Entries that differ
    from their neighbours by more than `strength` have their exact rank and derivative 0; closer ones share ranks, and
    their ranks move by `1 / strength` times their distance from the common mean.

    Args:
        x: vectors `(*batch, n)`.
        strength: `>= 0`, in the units of `x` per rank; one number, or one for each vector. 0 gives `rank`.

    Returns:
        Of the shape and dtype of `x`, in the order of `x`. At a kink, where an entry just reaches its exact rank, the
        derivative is that of the exact rank.

    Raises:
        ValueError: a negative strength, or one of the wrong shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> soft_rank(jnp.array([3.0, 1.0, 1.5]), 0.1)
        Array([3., 1., 2.], dtype=float32)
        >>> soft_rank(jnp.array([3.0, 1.0, 1.5]), 1.0)
        Array([3.  , 1.25, 1.75], dtype=float32)

    Source: Blondel, Teboul, Berthet, Djolonga, Fast Differentiable Sorting and Ranking, ICML 2020.
    """
    x, strength = _checked(x, strength)
    return _toward(x, jnp.broadcast_to(_places(x) + 1, x.shape), strength)


def soft_sort(x: Float[ArrayLike, "*batch n"], strength: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The entries in increasing order, averaged: the point nearest to `(1, ..., n) / strength` in their permutahedron.

    Args:
        x: vectors `(*batch, n)`.
        strength: `>= 0`, in ranks per unit of `x`; one number, or one for each vector. Neighbours that differ by less
            than `1 / strength` are exact; 0 gives `sort`.

    Returns:
        Of the shape and dtype of `x`, nondecreasing, with the sum of `x`. Its derivative averages over runs of sorted
        entries; equal entries keep their order.

    Raises:
        ValueError: a negative strength, or one of the wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> soft_sort(jnp.array([3.0, 1.0, 2.0]), 0.5)
        Array([1., 2., 3.], dtype=float32)
        >>> soft_sort(jnp.array([3.0, 1.0, 2.0]), 2.0)
        Array([1.5, 2. , 2.5], dtype=float32)

    Source: Blondel, Teboul, Berthet, Djolonga 2020.
    """
    x, strength = _checked(x, strength)
    return _toward(jnp.broadcast_to(_places(x), x.shape), x, strength)


def soft_top_k_mask(
    x: Float[ArrayLike, "*batch n"], k: int, strength: Float[ArrayLike, "*batch"] = 1.0
) -> Float[Array, "*batch n"]:
    """A mask of the `k` largest entries that moves with `x`: the nearest point to `x / strength` in a capped simplex.

    Args:
        x: vectors `(*batch, n)`.
        k: how many, between 0 and `n`.
        strength: `>= 0`, in the units of `x`. The mask is exact where the `k`-th and the next largest differ by more;
            at 0 entries that tie for the last places share them.

    Returns:
        Numbers in [0, 1] with sum `k`.

    Raises:
        ValueError: a negative strength, or `k` out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> soft_top_k_mask(jnp.array([3.0, 1.0, 2.5]), 1, 1.0)
        Array([0.75, 0.  , 0.25], dtype=float32)
    """
    x, strength = _checked(x, strength)
    w = (_places(x) >= x.shape[-1] - count(k, x)).astype(x.dtype)
    return _toward(x, jnp.broadcast_to(w, x.shape), strength)


def count(k: Any, x: Array) -> int:
    """`k` as an integer between 0 and the length of the vectors."""
    k = operator.index(k)
    if not 0 <= k <= x.shape[-1]:
        raise ValueError(f"k is {k}; of vectors of length {x.shape[-1]}, between 0 and {x.shape[-1]} can be picked.")
    return k


def _places(x: Array) -> Array:
    return jnp.arange(x.shape[-1], dtype=x.dtype)


def _checked(x: Any, strength: Any) -> tuple[Array, Array]:
    x = vectors(x)
    strength = require(one_each(strength, "strength", x), lambda s: s >= 0, "strength is negative; it is at least 0.")
    return x, jnp.broadcast_to(strength, x.shape[:-1])


@jax.jit
def _toward(x: Array, w: Array, strength: Array) -> Array:
    return toward_permutahedron(x, w, strength)
