"""The compiled map, and strengths that are checked."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..penalties import AbstractPenalty, GroupL2
from ..penalties.domain import one_each, require


@jax.jit
def at_strength(penalty: AbstractPenalty, x: Array) -> Array:
    """The prox of a penalty with step one, compiled once for each kind and shape: penalties are pytrees."""
    if isinstance(penalty, GroupL2):
        return jnp.vectorize(lambda x: penalty.prox(x, jnp.ones((), x.dtype)), signature="(n)->(n)")(x)
    return penalty.prox(x, jnp.ones((), x.dtype))


def nonnegative_strength(t: Array) -> Array:
    """`t`, once it is known to be nonnegative."""
    return require(t, lambda t: t >= 0, "t is negative; a strength is >= 0. Tune its logarithm to keep it positive.")


def with_strength(x: Array, t: Any, axes: int = 1) -> tuple[Array, Array]:
    """`x`, and a nonnegative number, or one for each vector (for each matrix, with `axes` 2)."""
    return x, nonnegative_strength(one_each(t, "t", x, axes))
