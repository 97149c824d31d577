"""Soft thresholding, the proximal map of the absolute value, with its kinks told."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..nonsmooth import choose
from .closed_form import closed_form


def soft_threshold(u: Float[Array, "*shape"], threshold: Float[Array, "*shape"] | float) -> Float[Array, "*shape"]:
    """`sign(u) max(|u| - threshold, 0)`, entry by entry.

    Tie rule: at `|u| = threshold > 0` the entry is fixed at 0. With threshold 0 it is the identity, also at `u = 0`.

    >>> import jax, jax.numpy as jnp
    >>> soft_threshold(jnp.array([3.0, -0.5]), 1.0).tolist()
    [2.0, 0.0]
    >>> float(jax.grad(soft_threshold)(0.0, 0.0))
    1.0
    """
    u = jnp.asarray(u)
    return _soft_threshold(u, jnp.broadcast_to(jnp.asarray(threshold, u.dtype), u.shape))


def _value(u: Array, threshold: Array) -> Array:
    return u - jnp.clip(u, -threshold, threshold)


def _tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
    del result
    (u, threshold), (du, dthreshold) = primals, tangents
    excess, smooth = jnp.abs(u) - threshold, threshold == 0
    distance = jnp.where(smooth, jnp.inf, jnp.abs(excess))
    free = choose(((excess > 0) | smooth).astype(u.dtype), distance, name="soft threshold")
    return free * (du - jnp.sign(u) * dthreshold)


_soft_threshold = closed_form(_value, _tangent)
