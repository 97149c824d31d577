"""The length of a vector as a square and a scale, with a derivative."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from ...nonsmooth.length import scaled_square
from ..closed_form import closed_form


def _tangent(result: tuple[Array, Array], primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (square, scale), (x,), (dx,) = result, primals, tangents
    scale = lax.stop_gradient(scale)
    return 2 * jnp.sum((x / scale) * (dx / scale), axis=-1, keepdims=True), jnp.zeros_like(square)


closed_scaled_square = closed_form(scaled_square, _tangent)
