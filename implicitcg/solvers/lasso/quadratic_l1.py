"""Semismooth Newton for `min_w 1/2 w^T G w - c^T w + sum_j t_j |w_j|` with a small dense Gram matrix `G`.

Each round does three things that never increase the objective:

1. sweeps of coordinate descent, which find the support and the signs (convergence from any start);
2. a Newton step on the support `S` with signs `s`, `d_S = -G_SS^{-1} (G w - c + t s)_S`: exact once both are right;
3. an exact line search along `d`, over the sign changes it meets.

So the method converges globally like coordinate descent and ends exactly, as an active-set method does.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve
from jaxtyping import Bool, Float, Int

from ...base import fori_loop, while_loop


class QuadraticL1(NamedTuple):
    """The data of the problem; padded coordinates have `valid` false and stay at zero."""

    gram: Float[Array, "k k"]
    linear: Float[Array, " k"]
    threshold: Float[Array, " k"]
    valid: Bool[Array, " k"]


class _State(NamedTuple):
    w: Float[Array, " k"]
    done: Bool[Array, ""]
    rounds: Int[Array, ""]


def solve_quadratic_l1(
    problem: QuadraticL1, start: Float[Array, " k"], *, max_rounds: int | Int[Array, ""], sweeps: int = 10
) -> tuple[Float[Array, " k"], Bool[Array, ""], Int[Array, ""]]:
    """The minimiser from `start`, whether the optimality conditions hold to rounding, and the rounds taken.

    A start with a nonempty support gets a Newton step before any sweep, so that a good prediction costs one round.
    """
    warm = jnp.any(start != 0)

    def unfinished(state: _State) -> Bool[Array, ""]:
        return ~state.done & (state.rounds < max_rounds)

    def round_(state: _State) -> _State:
        skip = warm & (state.rounds == 0)
        w = _coordinate_descent(problem, state.w, jnp.where(skip, 0, sweeps))
        w = _newton_step(problem, w)
        return _State(w, _optimal(problem, w), state.rounds + 1)

    start = jnp.where(problem.valid, start, 0)
    w, done, rounds = while_loop(unfinished, round_, _State(start, jnp.asarray(False), jnp.zeros((), jnp.int32)))
    return w, done, rounds


def _coordinate_descent(problem: QuadraticL1, w: Array, sweeps: Array) -> Array:
    """`sweeps` cycles of exact minimisation in one coordinate at a time, with the gradient kept up to date."""
    k = w.shape[0]
    diagonal = jnp.diagonal(problem.gram)
    usable = problem.valid & (diagonal > 0)
    inverse = jnp.where(usable, 1 / jnp.where(usable, diagonal, 1), 0)

    def update(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        w, gradient = state
        j = i % k
        u = w[j] - gradient[j] * inverse[j]
        moved = jnp.sign(u) * jnp.maximum(jnp.abs(u) - problem.threshold[j] * inverse[j], 0)
        moved = jnp.where(usable[j], moved, 0)
        return w.at[j].set(moved), gradient + (moved - w[j]) * problem.gram[j]

    gradient = problem.gram @ w - problem.linear
    return fori_loop(0, sweeps * k, update, (w, gradient))[0]


def _newton_step(problem: QuadraticL1, w: Array) -> Array:
    """One Newton step on the support with an exact line search along it."""
    support = (w != 0) & problem.valid
    sign = jnp.sign(w)
    gradient = problem.gram @ w - problem.linear
    both = support[:, None] & support[None, :]
    diagonal = jnp.diagonal(problem.gram)
    # a ridge at rounding level keeps the factor defined when columns are dependent; it bends the direction, not the
    # fixed point, and the next round corrects what it bent
    ridge = 10 * w.shape[0] * jnp.finfo(w.dtype).eps * jnp.where(diagonal > 0, diagonal, 1)
    matrix = jnp.where(both, problem.gram, 0) + jnp.diag(jnp.where(support, ridge, 1))
    factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    descent = jnp.where(support, gradient + problem.threshold * sign, 0)
    direction = -cho_solve((factor, True), descent)
    direction = jnp.where(support & jnp.isfinite(direction).all(), direction, 0)
    return _exact_line_search(problem, w, direction, gradient)


def _exact_line_search(problem: QuadraticL1, w: Array, direction: Array, gradient: Array) -> Array:
    """The minimiser of the objective on the segment from `w` to `w + direction`.

    Along the segment the slope is increasing and piecewise affine, with a jump `2 t_j |d_j|` where `w_j + s d_j`
    changes sign. A minimiser at a jump puts that coordinate at exactly zero.
    """
    crossing = jnp.where(w * direction < 0, -w / jnp.where(direction == 0, 1, direction), jnp.inf)
    order = jnp.argsort(crossing)
    crossing = crossing[order]
    jump = jnp.where(crossing < 1, 2 * (problem.threshold * jnp.abs(direction))[order], 0)
    before = jnp.cumsum(jump) - jump
    base = gradient @ direction + jnp.sum(problem.threshold * jnp.sign(w) * direction)
    bend = direction @ (problem.gram @ direction)
    at = jnp.minimum(crossing, 1)
    rises = base + at * bend + before + jump >= 0  # slope just after the crossing; past the end: the slope there
    first = jnp.argmax(rises)
    hit = rises[first] & (base + at[first] * bend + before[first] < 0) & (crossing[first] < 1)
    passed = jnp.where(rises[first], before[first], before[-1] + jump[-1])
    interior = jnp.clip(-(base + passed) / jnp.where(bend > 0, bend, 1), 0, 1)
    length = jnp.where(hit, crossing[first], jnp.where(bend > 0, interior, 1))
    moved = w + length * direction
    return jnp.where(hit & (jnp.arange(w.shape[0]) == order[first]), 0, moved)


def _optimal(problem: QuadraticL1, w: Array) -> Bool[Array, ""]:
    """Whether the optimality conditions hold up to the rounding of their own evaluation."""
    gradient = problem.gram @ w - problem.linear
    violation = jnp.where(
        w != 0,
        jnp.abs(gradient + problem.threshold * jnp.sign(w)),
        jnp.maximum(jnp.abs(gradient) - problem.threshold, 0),
    )
    size = jnp.max(jnp.abs(problem.gram) @ jnp.abs(w) + jnp.abs(problem.linear))
    return jnp.all(jnp.where(problem.valid, violation, 0) <= 30 * jnp.finfo(w.dtype).eps * size)
