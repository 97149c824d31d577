"""The threshold `step t` of a penalty on whole vectors or matrices."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array


def per_vector(t: Any, step: Any, u: Array, axes: int = 1) -> Array:
    """`step t` as `(*batch, 1)`, or with more ones, for `u` of shape `(*batch, n)` and `t` one number or one for each.

    A step that has the shape of `u`, as composite problems pass it, is the same everywhere along the last axes.
    """
    step, ones = jnp.asarray(step, u.dtype), (1,) * axes
    if step.ndim == u.ndim > 0:
        step = step[(..., *[0] * axes)]
    t = jnp.broadcast_to(jnp.asarray(t, u.dtype), u.shape[: u.ndim - axes])
    return (step * t).reshape(*t.shape, *ones)
