"""Semismooth Newton for any smooth loss plus a penalty of blocks, on working sets."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import Status, fori_loop, while_loop
from ...core import AbstractSolver, Found
from ...equations import Composite
from ...equations.sizes import working_set_sizes
from ...linear import BucketedFactor
from ...penalties import AbstractBlocks, AbstractSmooth
from ..lasso.quadratic_loss import gap_tolerance
from .face_newton import Quadratic, solve_quadratic
from .proximal_gradient import ProximalGradient
from .thresholds import THRESHOLDS

Blocks: TypeAlias = Composite[AbstractSmooth, AbstractBlocks]


class _State(NamedTuple):
    z: Float[Array, " p"]
    gradient: Float[Array, " p"]
    change: Float[Array, ""]
    before: Float[Array, ""]
    steps: Int[Array, ""]
    rounds: Int[Array, ""]
    crowded: Bool[Array, ""]


class SemismoothNewton(AbstractSolver[Blocks]):
    """Working sets, a quadratic model on each, and Newton on the free face of the model (`face_newton`).

    A working set holds what is free and the blocks that violate optimality most, twice as many each time. On it the
    loss is replaced by its second-order model, which is exact for a quadratic; for another loss the step to the
    model's minimiser is halved until the objective falls. Where that stalls, proximal gradient takes over. The end are
    Newton steps with the exact gradient on the face found; the factor of the last one is handed to the derivative.
    With a nonconvex penalty the same steps find a stationary point.

    Args:
        tolerance: reach `||z - prox(z - step grad f(z))||_inf <= tolerance (1 + ||z||_inf)`; `None` means `1e-10` in
            float64 and `50 eps` (6e-6) in float32. It goes on as long as that is cheap.
        max_steps: working sets tried, over all sizes.
        max_rounds: rounds of the small solver per working set.
        capacity: the largest working set; `None` means at most 4096. Free coordinates that need more than half of it
            and do not converge are reported as `over_capacity`.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    max_rounds: int = eqx.field(static=True, default=50)
    capacity: int | None = eqx.field(static=True, default=None)

    def refuses(self, problem: Composite) -> str | None:
        """A penalty that is no sum over blocks."""
        if isinstance(problem.penalty, AbstractBlocks):
            return None
        return f"it needs a penalty that is a sum over blocks, and {type(problem.penalty).__name__} is not"

    def run(self, problem: Blocks, init: Float[Array, " p"]) -> Found:
        p, dtype = problem.smooth.dimension()
        tolerance = gap_tolerance(self.tolerance, dtype)
        # a point that is feasible for the penalty, as the line search needs
        start = problem.penalty.prox(init, problem.step())
        gradient = problem.smooth.gradient(start)
        infinite = jnp.full((), jnp.inf, dtype)
        count = jnp.zeros((), jnp.int32)
        change = _change(problem, start, gradient)
        state = _State(start, gradient, change, infinite, count, count, jnp.asarray(True))
        sizes = working_set_sizes(problem.smooth, self.capacity)
        for size in sizes:
            state = self._stage(problem, tolerance, size, size == sizes[-1], state)
        z = state.z
        slow = ProximalGradient(tolerance, max_steps=2000)
        z = lax.cond(_small(state.change, z, tolerance), lambda: z, lambda: _better(problem, z, slow.run(problem, z).z))
        z, memory, length = _finish(problem, z)
        change = _change(problem, z, problem.smooth.gradient(z))
        status = Status.where(_small(change, z, tolerance), Status.converged, Status.not_converged)
        if sizes[-1] < p:
            crowded = (status != Status.converged) & (jnp.sum(_free(problem, z)) > sizes[-1] // 2)
            status = Status.where(crowded, Status.over_capacity, status)
        # a gradient that vanishes although Newton's method still wants to go far: the infimum lies at infinity
        away = memory.healthy & (length > 1e-3 * (1 + jnp.max(jnp.abs(z), initial=0.0)))
        if not problem.smooth.quadratic:  # the same where dependent columns leave Newton's step undefined
            away = away | (problem.objective(2 * z) < 0.9 * problem.objective(z))
        status = Status.where(away & (status == Status.converged), Status.not_attained, status)
        status = Status.where(jnp.isfinite(change), status, Status.diverged)
        return Found(z, status, state.rounds, memory, problem.relative_gap(z))

    def _stage(self, problem: Blocks, tolerance: float, size: int, last: bool, state: _State) -> _State:
        """Working sets of one static size, until it converges or what is free outgrows half of it."""
        eps = float(jnp.finfo(state.z.dtype).eps)
        smooth, penalty = problem.smooth, problem.penalty
        p = state.z.shape[0]
        room = size if last else size // 2
        everywhere = jnp.arange(p, dtype=jnp.int32)
        # the Hessian of a quadratic on all coordinates is made once
        whole = smooth.hessian_block(state.z, everywhere) if smooth.quadratic and size == p else None

        def unfinished(state: _State) -> Bool[Array, ""]:
            exact = _small(state.change, state.z, 20 * eps)
            stalled = _small(state.change, state.z, tolerance) & (state.change > 0.5 * state.before)
            return ~exact & ~stalled & (state.steps < self.max_steps) & ~state.crowded

        def step(state: _State) -> _State:
            z = state.z
            ranked, free = _ranked(problem, z, state.gradient, size)
            entering = THRESHOLDS.entering * 2 ** jnp.minimum(state.steps, 20)
            allowed = jnp.arange(size, dtype=jnp.int32) < free.astype(jnp.int32) + entering
            if whole is None:
                index, movable, block = ranked, allowed, smooth.hessian_block(z, ranked)
            else:
                index, block = everywhere, whole
                movable = jnp.zeros(p, bool).at[ranked].set(allowed)
            part, complete = penalty.restrict(index, p)
            inside = z[index]
            model = Quadratic(block, block @ inside - state.gradient[index], part, movable & complete)
            found, rounds = solve_quadratic(model, inside, self.max_rounds)
            direction = jnp.zeros_like(z).at[index].set(found - inside)
            moved = z + direction if smooth.quadratic else _line_search(problem, z, direction, state.gradient)
            gradient = smooth.gradient(moved)
            change = _change(problem, moved, gradient)
            crowded = jnp.asarray(False) if last else jnp.sum(_free(problem, moved, gradient)) > room
            return _State(moved, gradient, change, state.change, state.steps + 1, state.rounds + rounds, crowded)

        crowded = jnp.asarray(False) if last else jnp.sum(_free(problem, state.z, state.gradient)) > room
        return while_loop(
            unfinished, step, state._replace(crowded=crowded, before=jnp.full_like(state.before, jnp.inf))
        )


def _argument(problem: Blocks, z: Array, gradient: Array) -> Array:
    return z - problem.step() * gradient


def _change(problem: Blocks, z: Array, gradient: Array) -> Float[Array, ""]:
    """`||z - prox(z - step grad f(z))||_inf`."""
    return jnp.max(jnp.abs(z - problem.penalty.prox(_argument(problem, z, gradient), problem.step())), initial=0.0)


def _small(change: Array, z: Array, tolerance: float) -> Bool[Array, ""]:
    return change <= tolerance * (1 + jnp.max(jnp.abs(z), initial=0.0))


def _free(problem: Blocks, z: Array, gradient: Array | None = None) -> Bool[Array, " p"]:
    """The coordinates of free blocks."""
    there = problem.smooth.gradient(z) if gradient is None else gradient
    branches = problem.penalty.branches(_argument(problem, z, there), problem.step())
    return problem.penalty.spread(branches.free > 0)


def _ranked(problem: Blocks, z: Array, gradient: Array, size: int) -> tuple[Int[Array, " c"], Int[Array, ""]]:
    """The coordinates that matter most, and how many are free already: those, violators, then the nearest to a kink."""
    penalty, step = problem.penalty, problem.step()
    u = _argument(problem, z, gradient)
    branches = penalty.branches(u, step)
    size_of = jnp.maximum(jnp.abs(z - penalty.prox(u, step)) / step, 0)
    blocks = penalty.spread(jnp.arange(branches.free.shape[0], dtype=jnp.int32))
    violation = jnp.zeros_like(branches.distance).at[blocks].max(size_of)
    strict = (z != penalty.prox(z, step)) if penalty.anchor_moves else z != 0
    strict = strict & penalty.spread(branches.free > 0)
    inside = jnp.zeros(branches.free.shape, bool).at[blocks].max(strict)
    score = jnp.where(violation > 0, violation, -branches.distance)
    score = jnp.where(inside, jnp.inf, score)
    if score.shape == z.shape:
        return lax.top_k(score, size)[1].astype(jnp.int32), jnp.sum(inside)
    # whole blocks, one after the other
    order = jnp.argsort(-score)
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=order.dtype))
    return jnp.argsort(penalty.spread(rank))[:size].astype(jnp.int32), jnp.sum(penalty.spread(inside))


def _line_search(problem: Blocks, z: Array, direction: Array, gradient: Array) -> Array:
    """The first of `z + 2^-k direction` that lowers the objective by a fraction of what the model promised."""
    here = problem.objective(z)
    slack = 8 * jnp.finfo(z.dtype).eps * jnp.abs(here)
    promised = direction @ gradient + problem.penalty.value(z + direction) - problem.penalty.value(z)

    def worse(state: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        count, _, there = state
        length = 0.5 ** jnp.maximum(count - 1, 0).astype(z.dtype)
        return ~(there <= here + 1e-4 * length * jnp.minimum(promised, 0) + slack) & (count <= 30)

    def halve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, _, _ = state
        moved = z + 0.5 ** count.astype(z.dtype) * direction
        return count + 1, moved, problem.objective(moved)

    count, moved, _ = while_loop(worse, halve, (jnp.zeros((), jnp.int32), z, jnp.full_like(here, jnp.inf)))
    return jnp.where(count <= 30, moved, z)


def _better(problem: Blocks, z: Array, other: Array) -> Array:
    """The one of lower objective."""
    return jnp.where(problem.objective(other) <= problem.objective(z), other, z)


def _finish(problem: Blocks, z: Array) -> tuple[Array, BucketedFactor, Float[Array, ""]]:
    """Newton steps with the exact gradient on the face found, kept while they help; the factor, and the step left."""
    penalty, step = problem.penalty, problem.step()
    steps = 1 if problem.smooth.quadratic else 2

    def newton(count: Array, state: tuple[Array, Any, Array]) -> tuple[Array, Any, Array]:
        z, _, _ = state
        gradient = problem.smooth.gradient(z)
        u = _argument(problem, z, gradient)
        free = penalty.spread(penalty.branches(u, step).free > 0)
        memory, move = problem.factorise(z, right=jnp.where(free, gradient + penalty.slope(z, u), 0))
        fixed = penalty.prox(u, step)
        moved = jnp.where(free, z - move, fixed)
        change = jnp.max(jnp.abs(z - fixed), initial=0.0)
        better = memory.healthy & (_change(problem, moved, problem.smooth.gradient(moved)) <= change)
        # the last round only makes the factor, at the final point
        return jnp.where(better & (count < steps), moved, z), memory, jnp.max(jnp.abs(move), initial=0.0)

    shapes = jax.eval_shape(lambda z: problem.factorise(z)[0], z)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return fori_loop(0, steps + 1, newton, (z, empty, jnp.zeros((), z.dtype)))
