"""Newton on the free face for `min_v 1/2 v^T K v - c^T v + g(v)` with a small dense `K` and a penalty of blocks.

Each round takes a proximal gradient step, which never increases the objective and finds the free blocks, then a Newton
step in their coordinates, where the objective is smooth:

    d = -(K + D + mu diag K)^{-1} (K v - c + grad g(v)),   D the Hessian of g on the free branch.

The longest of `d, d/2, d/4, ...` is kept for which the point, moved and passed through the prox once more, is no worse.
So the method converges like proximal gradient from any start, and ends exactly once the free blocks are right. The
shift `mu` grows while steps are cut and falls to rounding level otherwise, so that dependent columns do no harm.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from ...linear.factorisation import ordered_index
from ...linear.solves import largest_eigenvalue
from ...penalties import AbstractBlocks
from .thresholds import THRESHOLDS


class Quadratic(NamedTuple):
    """The data of the small problem; coordinates that are not `movable` stay where they are."""

    hessian: Float[Array, "c c"]
    linear: Float[Array, " c"]
    penalty: AbstractBlocks
    movable: Bool[Array, " c"]


class _State(NamedTuple):
    v: Float[Array, " c"]
    value: Float[Array, ""]
    change: Float[Array, ""]
    shift: Float[Array, ""]
    rounds: Int[Array, ""]


def solve_quadratic(
    problem: Quadratic, start: Float[Array, " c"], max_rounds: int | Int[Array, ""]
) -> tuple[Float[Array, " c"], Int[Array, ""]]:
    """The minimiser from `start`, to rounding or as far as `max_rounds` get, and the rounds taken."""
    step = _steps(problem)
    eps = float(jnp.finfo(start.dtype).eps)
    least = 10 * start.shape[0] * eps

    def value(v: Array) -> Float[Array, ""]:
        return v @ (problem.hessian @ v / 2 - problem.linear) + problem.penalty.value(v)

    def argument(v: Array) -> Array:
        return v - step * (problem.hessian @ v - problem.linear)

    def forward_backward(v: Array) -> Array:
        return jnp.where(problem.movable, problem.penalty.prox(argument(v), step), v)

    def unfinished(state: _State) -> Bool[Array, ""]:
        return (state.change > 4 * eps * (1 + jnp.max(jnp.abs(state.v)))) & (state.rounds < max_rounds)

    def round_(state: _State) -> _State:
        u = argument(state.v)
        v = jnp.where(problem.movable, problem.penalty.prox(u, step), state.v)
        here = value(v)
        direction = _newton_direction(problem, v, u, step, state.shift)
        size = jnp.abs(problem.linear) @ jnp.abs(v) + jnp.abs(v @ (problem.hessian @ v))
        slack = 8 * eps * size

        def worse(trial: tuple[Array, Array, Array]) -> Bool[Array, ""]:
            count, _, there = trial
            return ~(there <= here + slack) & (count <= THRESHOLDS.halvings)

        def halve(trial: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            count, _, _ = trial
            moved = forward_backward(v + 0.5 ** count.astype(v.dtype) * direction)
            return count + 1, moved, value(moved)

        count, moved, there = while_loop(worse, halve, (jnp.zeros((), jnp.int32), v, jnp.full_like(here, jnp.inf)))
        kept = there <= here + slack
        after = jnp.where(kept, moved, v)
        shift = jnp.where(count == 1, state.shift / 100, jnp.maximum(state.shift, 1e-8) * 10)
        shift = jnp.clip(shift, least, THRESHOLDS.largest_shift)
        change = jnp.max(jnp.abs(after - state.v), initial=0.0)
        return _State(after, jnp.where(kept, there, here), change, shift, state.rounds + 1)

    infinite = jnp.full((), jnp.inf, start.dtype)
    first = _State(start, infinite, infinite, jnp.full_like(infinite, least), jnp.zeros((), jnp.int32))
    end = while_loop(unfinished, round_, first)
    return end.v, end.rounds


def _steps(problem: Quadratic) -> Float[Array, " c"]:
    """Steps `1 / (kappa K_jj)`, with `kappa` the largest eigenvalue of `K` scaled to unit diagonal: a majorant."""
    diagonal = jnp.where(problem.movable, jnp.diagonal(problem.hessian), 0)
    diagonal = jnp.where(diagonal > 0, diagonal, jnp.max(diagonal, initial=0.0))
    diagonal = jnp.where(diagonal > 0, diagonal, 1)
    root = jnp.where(problem.movable, 1 / jnp.sqrt(diagonal), 0)
    scaled = root[:, None] * problem.hessian * root[None, :]
    # twenty rounds find most of the largest eigenvalue; a tenth more covers the rest, and a step too long is only slow
    largest = largest_eigenvalue(lambda v: scaled @ v, diagonal.shape[0], diagonal.dtype, rounds=20)
    kappa = jnp.maximum(1.1 * largest, 1e-3)
    return problem.penalty.steps(kappa * diagonal)


def _newton_direction(problem: Quadratic, v: Array, u: Array, step: Array, shift: Array) -> Float[Array, " c"]:
    """The Newton direction on the free coordinates of `v = prox(u)`, 0 elsewhere or where it is not finite."""
    penalty = problem.penalty
    free = penalty.spread(penalty.branches(u, step).free > 0) & problem.movable

    def slope(v: Array) -> Array:
        return penalty.slope(v, u)

    def bend(direction: Array) -> Array:
        return jax.jvp(slope, (v,), (direction,))[1]

    descent = jnp.where(free, problem.hessian @ v - problem.linear + slope(v), 0)
    none, size, count = jnp.zeros_like(free), v.shape[0], jnp.sum(free).astype(jnp.int32)

    def solve(capacity: int) -> Array:
        index = jnp.arange(size, dtype=jnp.int32) if capacity == size else ordered_index(free, none, capacity)
        inside = free[index] if capacity == size else jnp.arange(capacity, dtype=jnp.int32) < count
        block = problem.hessian[index][:, index]
        diagonal = jnp.diagonal(block)
        ridge = shift * jnp.where(diagonal > 0, diagonal, 1)
        both = inside[:, None] & inside[None, :]
        matrix = jnp.where(both, block + penalty.bend_block(v, bend, index), 0)
        factor = jnp.linalg.cholesky(matrix + jnp.diag(jnp.where(inside, ridge, 1)), symmetrize_input=False)
        reduced = -cho_solve((factor, True), jnp.where(inside, descent[index], 0))
        return jnp.zeros_like(v).at[jnp.where(inside, index, size)].set(reduced, mode="drop")

    capacities = [*(c for c in THRESHOLDS.faces if 2 * c <= size), size]
    bucket = jnp.sum(jnp.asarray(capacities[:-1], jnp.int32) < count)
    direction = solve(size) if len(capacities) == 1 else lax.switch(bucket, [lambda c=c: solve(c) for c in capacities])
    return jnp.where(jnp.isfinite(direction).all(), direction, 0)
