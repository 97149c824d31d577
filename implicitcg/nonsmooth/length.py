"""Sums of squares that neither overflow nor underflow, at the price of one pass where nothing threatens."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..base import only_where


def scaled_square(x: Array) -> tuple[Array, Array]:
    """`(square, scale)` with `||x||^2 = scale^2 square`: the scale is 1 unless squares leave the range of the format.

    The second pass is a branch and not a loop of one round: what enters a loop is copied first.
    """
    tiny = float(jnp.finfo(x.dtype).tiny) / float(jnp.finfo(x.dtype).eps)
    square = jnp.sum(x * x, axis=-1, keepdims=True)

    def scaled() -> tuple[Array, Array]:
        size = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0)
        # no larger than what has an inverse in the format: compilers divide by multiplying with it
        scale = jnp.where((size > 0) & (size < jnp.inf), jnp.minimum(size, 0.25 / float(jnp.finfo(x.dtype).tiny)), 1)
        return jnp.sum(jnp.square(x / scale), axis=-1, keepdims=True), scale

    return only_where((square <= tiny) | (square == jnp.inf), scaled, (square, jnp.ones_like(square)))
