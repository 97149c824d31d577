"""A projection as a compiled function of its set and of the point."""

from __future__ import annotations

import jax
from jax import Array

from ..penalties.sets import AbstractSet


@jax.jit
def project(convex_set: AbstractSet, x: Array) -> Array:
    """`convex_set.project(x)`, compiled once for each kind of set and shape: sets are pytrees."""
    return convex_set.project(x)
