"""Generalised conjugate residuals: the iterates of GMRES, kept in buffers that a batch can shift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..base import while_loop
from .iteration import norm
from .solves import Iterated


class _State(NamedTuple):
    x: Array
    residual: Array
    seed: Array
    directions: Array  # (m, n), newest first
    images: Array  # (m, n), orthonormal
    steps: Array


def gmres(matvec: Callable[[Array], Array], rhs: Array, tolerance: Any, max_steps: int, memory: int = 30) -> Iterated:
    """`B x = rhs` for a general map, to `||B x - rhs|| <= tolerance ||rhs||`.

    Every step minimises the residual over the last `memory` directions (truncated, not restarted). Where the residual
    is orthogonal to its own image, which stalls conjugate residuals, the next direction is the last image, as in GMRES.
    The verdict rests on the residual evaluated anew.
    """
    memory = min(memory, rhs.shape[0])
    size = norm(rhs)
    target = tolerance * size
    eps = jnp.finfo(rhs.dtype).eps

    def unfinished(s: _State) -> Array:
        return (norm(s.residual) > target) & (s.steps < max_steps)

    def step(s: _State) -> _State:
        direction, image = s.seed, matvec(s.seed)
        for _ in range(2):  # twice is enough (Giraud, Langou, Rozloznik 2005)
            weights = s.images @ image
            image, direction = image - weights @ s.images, direction - weights @ s.directions
        length = norm(image)
        scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
        image, direction = scale * image, scale * direction
        along = jnp.vdot(image, s.residual)
        residual = s.residual - along * image
        stalled = jnp.abs(along) <= 10 * eps * norm(s.residual)
        return _State(
            s.x + along * direction,
            residual,
            jnp.where(stalled, image, residual),
            jnp.concatenate([direction[None], s.directions[:-1]]),
            jnp.concatenate([image[None], s.images[:-1]]),
            s.steps + 1,
        )

    none = jnp.zeros((memory, rhs.shape[0]), rhs.dtype)
    start = _State(jnp.zeros_like(rhs), rhs, rhs, none, none, jnp.zeros((), jnp.int32))
    s = while_loop(unfinished, step, start)
    residual = norm(matvec(s.x) - rhs) / jnp.where(size > 0, size, 1)
    return Iterated(s.x, residual <= 10 * tolerance, s.steps, residual)
