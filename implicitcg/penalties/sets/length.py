"""Sums of squares that neither overflow nor underflow, at the price of one pass where nothing threatens."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from ...base import while_loop
from ..closed_form import closed_form


def _value(x: Array) -> tuple[Array, Array]:
    """`(square, scale)` with `||x||^2 = scale^2 square`.

    The scale is 1 unless squares leave the range of the format, and then the largest entry. The second pass is a loop
    that runs once or not at all, because under `vmap` both sides of a branch are computed.
    """
    tiny = float(jnp.finfo(x.dtype).tiny) / float(jnp.finfo(x.dtype).eps)
    square = jnp.sum(x * x, axis=-1, keepdims=True)

    def unsafe(state: tuple[Array, Array]) -> Array:
        square, scale = state
        out_of_range = (square <= tiny) | (square == jnp.inf)
        return jnp.any(out_of_range & (scale == 1)) & ~jnp.any(scale != 1)

    def scaled(state: tuple[Array, Array]) -> tuple[Array, Array]:
        del state
        size = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0)
        # a scale of exactly one would be taken for none
        scale = jnp.where((size > 0) & (size < jnp.inf), 2 * size, 2)
        return jnp.sum(jnp.square(x / scale), axis=-1, keepdims=True), scale

    return while_loop(unsafe, scaled, (square, jnp.ones_like(square)))


def _tangent(result: tuple[Array, Array], primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (square, scale), (x,), (dx,) = result, primals, tangents
    scale = lax.stop_gradient(scale)
    return 2 * jnp.sum((x / scale) * (dx / scale), axis=-1, keepdims=True), jnp.zeros_like(square)


scaled_square = closed_form(_value, _tangent)
