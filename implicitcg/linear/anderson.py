"""Anderson acceleration: the next point is a combination of the last few, the one whose residual would be smallest."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ..base import fori_loop
from .iteration import two_norm


class AndersonMemory(NamedTuple):
    """The last differences of points and of values, in no order, with the Gram matrix of the latter."""

    points: Array  # (m, *shape)
    values: Array  # (m, *shape)
    gram: Array  # (m, m)
    u: Array
    F: Array
    steps: Array  # so far, shared by a batch, so that writing to a slot is no scatter


class AndersonMixing(NamedTuple):
    """`u <- u - d F - (dU - d dF) g` with `g = argmin ||F - dF g||` over the last `memory` differences.

    The least-squares problem is solved by its Gram matrix, with every difference scaled to length one and a ridge
    `ridge` times the mean of its diagonal: an absolute ridge would cripple the method once residuals are small. When
    the residual grows by more than `restart` the memory is dropped and a plain step is made.
    """

    memory: int = 5
    ridge: float | None = None
    damping: float = 1.0
    restart: float = 4.0

    def empty(self, u: Array) -> AndersonMemory:
        """No differences yet."""
        none = jnp.zeros((self.memory, *u.shape), u.dtype)
        gram = jnp.zeros((self.memory, self.memory), u.dtype)
        return AndersonMemory(none, none, gram, u, jnp.zeros_like(u), jnp.zeros((), jnp.int32))

    def advance(self, u: Array, F: Array, memory: AndersonMemory) -> tuple[Array, AndersonMemory]:
        """One accelerated step."""
        axes = tuple(range(1, u.ndim + 1))
        begun = memory.steps > 0
        keep = begun & (two_norm(F) <= self.restart * two_norm(memory.F))
        here = jnp.arange(self.memory, dtype=jnp.int32) == memory.steps % self.memory
        at = here.reshape(-1, *[1] * u.ndim)
        points, values = (
            jnp.where(keep, jnp.where(at, (new - last)[None], old), 0)
            for new, last, old in ((u, memory.u, memory.points), (F, memory.F, memory.values))
        )
        row = jnp.sum(values * jnp.where(keep, F - memory.F, 0)[None], axes)
        old = jnp.where(keep, memory.gram, 0)
        gram = jnp.where(here[:, None], row[None, :], jnp.where(here[None, :], row[:, None], old))
        mix = self.combination(gram, jnp.sum(values * F[None], axes)).reshape(-1, *[1] * u.ndim)
        damping = jnp.asarray(self.damping, u.dtype)
        moved = u - damping * F - jnp.sum(mix * (points - damping * values), 0)
        return moved, AndersonMemory(points, values, gram, u, F, memory.steps + 1)

    def combination(self, gram: Array, rhs: Array) -> Array:
        """`argmin_g ||F - dF g||^2`, regularised relative to the Gram matrix; empty slots get 0."""
        ridge = 100 * float(jnp.finfo(gram.dtype).eps) if self.ridge is None else self.ridge
        diagonal = jnp.diagonal(gram)
        scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
        scaled = gram * scale[:, None] * scale[None, :]
        matrix = scaled + jnp.diag(jnp.where(diagonal > 0, jnp.asarray(ridge, gram.dtype), 1))
        return scale * _solve_definite(matrix, scale * rhs)


def _solve_definite(matrix: Array, rhs: Array) -> Array:
    """Elimination without pivots, which a definite matrix does not need: for a batch, a few vector operations a row."""
    rows = jnp.arange(rhs.shape[0])
    tiny = jnp.finfo(matrix.dtype).tiny

    def eliminate(i: Array, table: Array) -> Array:
        pivot = table[i] / jnp.maximum(table[i, i], tiny)
        return jnp.where((rows == i)[:, None], pivot[None], table - table[:, i, None] * pivot[None])

    return fori_loop(0, rhs.shape[0], eliminate, jnp.concatenate([matrix, rhs[:, None]], 1))[:, -1]
