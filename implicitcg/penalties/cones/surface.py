"""The derivative of a projection on the surface of a cone in three dimensions."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def on_surface(along: Array, normal: Array, bend: Array, d: Array) -> Array:
    """The Jacobian of the projection on a smooth, ruled cone in `R^3`, times `d`.

    With `p` the projection, `n` the normal there and `k` the curvature across the ray, it is `p p^T + bend t t^T` for
    unit vectors `p`, `n` and `t = p x n`: a cone is not curved along its rays, nothing moves along the normal, and
    `bend = 1 / (1 + distance * k)` as for every smooth surface.
    """
    across = jnp.cross(along, normal)
    return along * _dot(along, d) + bend * across * _dot(across, d)


def unit(v: Array) -> Array:
    """`v / ||v||` along the last axis, for vectors of a size that squares stand; zero for zero."""
    length = jnp.sqrt(jnp.sum(jnp.square(jnp.where(v == 0, 0, v)), -1, keepdims=True))
    return v / jnp.where(length == 0, 1, length)


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b, axis=-1, keepdims=True)
