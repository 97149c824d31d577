"""Kinks that are met up to rounding."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..base import kink_tolerance


def snapped(distance: Float[Array, "*shape"], scale: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """A distance to a kink, or 0 where it is the rounding of numbers of the size `scale`, up to `eps^{3/4}` of it."""
    return jnp.where(distance <= kink_tolerance(distance.dtype) * scale, 0, distance)
