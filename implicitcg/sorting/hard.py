"""Exact sorts, ranks and masks, and what their derivatives are at ties."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from .. import nonsmooth
from ..nonsmooth.choice import report_choice
from ..penalties.closed_form import closed_form
from ..penalties.domain import vectors
from .soft import count


def sort(x: Float[ArrayLike, "*batch n"], tie: float = 1.0) -> Float[Array, "*batch n"]:
    """The entries in increasing order.

    The derivative is the permutation matrix of the sort. Tie element: with `tie` 1 equal entries keep their order, with
    0 it is reversed, and between them the two matrices are mixed.

    Args:
        x: vectors `(*batch, n)`.
        tie: in [0, 1].

    Returns:
        Of the shape and dtype of `x`.

    Raises:
        ValueError: a number instead of vectors, or a `tie` outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sort(jnp.array([2.0, 1.0, 2.0])).tolist()
        [1.0, 2.0, 2.0]
        >>> jax.jacobian(sort)(jnp.array([2.0, 1.0, 2.0])).tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return nonsmooth.sort(vectors(x), -1, tie)


def rank(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The place of each entry in increasing order, from 1 to `n`; equal entries share the mean of their places.

    It is the limit of `soft_rank` as the strength goes to 0. A rank is constant between ties and jumps there, so its
    derivative is 0 everywhere, and at a tie no derivative tells of the jump: `icg.kinks` reports it.

    Args:
        x: vectors `(*batch, n)`.

    Returns:
        Of the shape and dtype of `x`.

    Example:
        >>> import jax.numpy as jnp
        >>> rank(jnp.array([3.0, 1.0, 1.0])).tolist()
        [3.0, 1.5, 1.5]
    """
    return _rank(vectors(x))


def top_k_mask(x: Float[ArrayLike, "*batch n"], k: int) -> Float[Array, "*batch n"]:
    """1 for the `k` largest entries, 0 for the others; among equal ones the first win.

    The derivative is 0, and `icg.kinks` reports the jump where the `k`-th and the next largest tie.

    Args:
        x: vectors `(*batch, n)`.
        k: how many, between 0 and `n`.

    Returns:
        Zeros and ones, in the dtype of `x`.

    Raises:
        ValueError: `k` out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> top_k_mask(jnp.array([3.0, 1.0, 3.0, 3.0]), 2).tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    x = vectors(x)
    k = count(k, x)
    return _masker(k)(x)


def _nearest(ordered: Array) -> Array:
    """The smallest gap between neighbours of sorted entries."""
    return jnp.min(jnp.diff(ordered, axis=-1), axis=-1, keepdims=True, initial=jnp.inf)


def _jump(distance: Array, dx: Array, name: str) -> Array:
    """The derivative 0, with a word on the jump."""
    zero = jnp.zeros_like(dx)
    return report_choice(zero, jnp.broadcast_to(distance, dx.shape), name=name, kind="jump") * dx


def _rank_value(x: Array) -> Array:
    def one(x: Array) -> Array:
        ordered = jnp.sort(x)
        below, upto = jnp.searchsorted(ordered, x, side="left"), jnp.searchsorted(ordered, x, side="right")
        return (below + upto + 1).astype(x.dtype) / 2

    return jnp.vectorize(one, signature="(n)->(n)")(x) if x.shape[-1] else x


def _rank_tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
    del result
    return _jump(_nearest(jnp.sort(primals[0], axis=-1)), tangents[0], "rank")


_rank = closed_form(_rank_value, _rank_tangent)


def _masker(k: int) -> Callable[[Array], Array]:
    def value(x: Array) -> Array:
        _, picked = jax.lax.top_k(x, k)  # the first of equal entries
        return jax.nn.one_hot(picked, x.shape[-1], dtype=x.dtype).sum(-2)

    def tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
        del result
        ordered = jnp.sort(primals[0], axis=-1)
        n = ordered.shape[-1]
        edge = ordered[..., n - k - 1 : n - k + 1] if 0 < k < n else ordered[..., :0]
        return _jump(_nearest(edge), tangents[0], "top k")

    return closed_form(value, tangent)
