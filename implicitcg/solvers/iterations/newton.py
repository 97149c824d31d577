"""Semismooth Newton for equations in few unknowns."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_solve

from ...base import Status, while_loop
from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.solves import as_matrix, lu, minimum_norm


class Newton(AbstractSolver[AbstractProblem]):
    """`z <- z - s B^{-1} F(z)` with one element `B` of the conservative Jacobian and a step `s` that reduces `||F||`.

    `s` is halved from 1 until the norm falls; where no step helps (a kink that hides the descent), the plain step
    `z <- z - F(z)` is taken, which for a fixed point is one step of its map. A singular `B` is replaced by its
    pseudo-inverse. Memory and time are those of a dense matrix of the size of `z`.

    Args:
        tolerance: reach `||F(z)||_inf <= tolerance (1 + ||z||_inf)`; `None` means `100 eps`.
        max_steps: Newton steps at the most.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=100)

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        start, unravel = ravel_pytree(init)
        eps = float(jnp.finfo(start.dtype).eps)
        tolerance = 100 * eps if self.tolerance is None else self.tolerance

        def equation(z: Array) -> Array:
            return ravel_pytree(problem.residual(unravel(z)))[0].astype(z.dtype)

        def size(F: Array) -> Array:
            return jnp.max(jnp.abs(F), initial=0.0)

        def solved(z: Array, F: Array) -> Array:
            return size(F) <= tolerance * (1 + size(z))

        def unfinished(state: tuple[Array, Array, Array]) -> Array:
            z, F, steps = state
            return ~solved(z, F) & (steps < self.max_steps) & jnp.all(jnp.isfinite(F))

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            z, F, steps = state
            linearisation = problem.linearise(unravel(z))
            matrix = as_matrix(linearisation.on_vectors(unravel), z.shape[0], z.dtype)
            factors, regular = lu(matrix)
            # In a batch both branches run. The second one waits for the verdict of the first: two batched LAPACK calls
            # at once can wait for each other for ever in jaxlib's pool of two threads.
            rest = jnp.where(regular, jnp.eye(z.shape[0], dtype=z.dtype), jnp.nan_to_num(matrix))
            direction = lax.cond(regular, lambda: lu_solve(factors, -F), lambda: minimum_norm(rest, -F))
            new, image = _backtrack(equation, z, F, direction)
            return new, image, steps + 1

        z, F, steps = while_loop(unfinished, step, (start, equation(start), jnp.zeros((), jnp.int32)))
        status = Status.where(solved(z, F), Status.converged, Status.not_converged)
        status = Status.where(jnp.all(jnp.isfinite(F)), status, Status.diverged)
        return Found(unravel(z), status, steps)


def _backtrack(equation: Any, z: Array, F: Array, direction: Array, halvings: int = 30) -> tuple[Array, Array]:
    """The first of `z + 2^-k direction` that reduces `||F||_2`, else the plain step `z - F`."""
    norm = jnp.linalg.norm(F)

    def worse(state: tuple[Array, Array, Array]) -> Array:
        count, _, image = state
        return ~(jnp.linalg.norm(image) < norm) & (count < halvings)

    def halve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, _, _ = state
        new = z + 0.5 ** count.astype(z.dtype) * direction
        return count + 1, new, equation(new)

    start = (jnp.zeros((), jnp.int32), z, jnp.full_like(F, jnp.inf))
    _, new, image = while_loop(worse, halve, start)
    helped = jnp.linalg.norm(image) < norm
    plain = z - F
    return jnp.where(helped, new, plain), jnp.where(helped, image, equation(plain))
