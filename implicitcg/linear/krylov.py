"""Generalised conjugate residuals: the iterates of GMRES, kept in buffers that a batch can shift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..base import anywhere, while_loop
from .iteration import two_norm
from .solves import Iterated


class _State(NamedTuple):
    x: Array
    residual: Array
    seed: Array
    directions: Array  # (m, n), in no order
    images: Array  # (m, n), orthonormal
    active: Array
    steps: Array
    slot: Array  # shared by a batch, so that writing is no scatter


def gmres(matvec: Callable[[Array], Array], rhs: Array, tolerance: Any, max_steps: int, memory: int = 30) -> Iterated:
    """`B x = rhs` for a general map, to `||B x - rhs|| <= tolerance ||rhs||`.

    Every step minimises the residual over the last `memory` directions (truncated, not restarted). Where the residual
    is orthogonal to its own image, which stalls conjugate residuals, the next direction is the last image, as in GMRES.
    The verdict rests on the residual evaluated anew.
    """
    memory = min(memory, rhs.shape[0])
    size = two_norm(rhs)
    target = tolerance * size
    eps = jnp.finfo(rhs.dtype).eps
    slots = jnp.arange(memory, dtype=jnp.int32)

    def step(s: _State) -> _State:
        direction, image = s.seed, matvec(s.seed)
        for _ in range(2):  # twice is enough (Giraud, Langou, Rozloznik 2005)
            weights = s.images @ image
            image, direction = image - weights @ s.images, direction - weights @ s.directions
        length = two_norm(image)
        scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
        image, direction = scale * image, scale * direction
        along = jnp.vdot(image, s.residual)
        residual = s.residual - along * image
        left = two_norm(residual)
        stalled = jnp.abs(along) <= 10 * eps * two_norm(s.residual)
        steps = jnp.where(s.active, s.steps + 1, s.steps)
        # an image of zero leads nowhere, and NaN ends it too
        active = s.active & (left > target) & (steps < max_steps) & (length > 0)
        here = (slots == s.slot)[:, None]
        return _State(
            s.x + along * direction,
            residual,
            jnp.where(active, jnp.where(stalled, image, residual), 0),  # a lane that is done stands still
            jnp.where(here, direction[None], s.directions),
            jnp.where(here, image[None], s.images),
            active,
            steps,
            (s.slot + 1) % memory,
        )

    none, zero = jnp.zeros((memory, rhs.shape[0]), rhs.dtype), jnp.zeros((), jnp.int32)
    start = _State(jnp.zeros_like(rhs), rhs, rhs, none, none, (size > target) & (max_steps > 0), zero, zero)
    s = while_loop(lambda s: anywhere(s.active), step, start)
    residual = two_norm(matvec(s.x) - rhs) / jnp.where(size > 0, size, 1)
    return Iterated(s.x, residual <= 10 * tolerance, s.steps, residual)
